/**
 * The rules between a request and the store: which kinds there are, what a create or update may change, generation, finalizers,
 * graceful deletion, optimistic concurrency. HTTP and ClusterApi both write through it, and in no other way.
 * Proof: test/api-server/registry.test.ts.
 * @module
 */
import { randomUUID } from "node:crypto";
import type { Clock } from "@dm/core";
import { nowMs, timestamp, timestampOf } from "../controllers/timestamp.ts";
import type { Json, NewObject, ObjectMeta, StoredObject } from "../kube-object.ts";
import {
  ApiError,
  alreadyExists,
  badRequest,
  forbidden,
  invalid,
  notFound,
  unknownPath,
} from "./api-error.ts";
import { type ApiKind, type ApiVersion, preferredVersion, resourceOf } from "./api-kind.ts";
import { builtInKinds } from "./built-in-kinds.ts";
import { checkBuiltIn } from "./built-in-rules.ts";
import { crdConditions, crdKind, crdResource } from "./custom-kind.ts";
import { fillDefaults, pruneUnknown, validateSchema } from "./custom-schema.ts";
import { addProtection, applyBuiltInDefaults } from "./defaults.ts";
import {
  addDeletionFinalizers,
  checkPreconditions,
  type DeleteOptions,
  gracePeriodSeconds,
  mayGo,
} from "./deletion-rules.ts";
import { rootType } from "./field-paths.ts";
import { copyJson, equalJson, isObject } from "./json.ts";
import {
  applyConfiguration,
  type FieldWriter,
  managedAfterCreate,
  managedAfterUpdate,
} from "./managed-fields.ts";
import { checkName, generateName } from "./object-names.ts";
import { type ObjectStore, storeKey } from "./object-store.ts";
import {
  changesGeneration,
  checkMetadataTypes,
  checkSame,
  checkUpdate,
  mergeUpdate,
  type WriteSubresource,
} from "./update-rules.ts";

export interface WriteOptions {
  readonly subresource?: WriteSubresource | undefined;
  /** Checks and answers as if, and stores nothing. */
  readonly dryRun?: boolean | undefined;
  /** Under whose name changed fields are noted in `metadata.managedFields`; without it nothing is noted. */
  readonly fieldManager?: string | undefined;
  /** Told of fields that the schema does not know, which are left out; may refuse. */
  readonly onUnknownFields?:
    | ((paths: readonly string[], kind: ApiKind, version: ApiVersion) => void)
    | undefined;
}

export interface Deleted {
  readonly object: StoredObject;
  /** False when finalizers or a grace period keep it. */
  readonly gone: boolean;
}

/** Keeps a definition until its last object is gone. */
const crdCleanup = "customresourcecleanup.apiextensions.k8s.io";

function addCleanup(metadata: ObjectMeta): void {
  metadata.finalizers = [...new Set([...(metadata.finalizers ?? []), crdCleanup])];
}

export class Registry {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly #kinds = new Map<string, ApiKind>();
  /** Changes whenever a kind comes, changes or goes. */
  #kindsVersion = 0;

  constructor(store: ObjectStore, clock: Clock) {
    this.store = store;
    this.clock = clock;
    for (const kind of builtInKinds) this.#kinds.set(resourceOf(kind), kind);
    for (const crd of store.list(crdResource)) this.#register(crd);
  }

  get kindsVersion(): number {
    return this.#kindsVersion;
  }

  kinds(): Iterable<ApiKind> {
    return this.#kinds.values();
  }

  /** @throws {ApiError} 404 */
  kind(resource: string): ApiKind {
    const kind = this.#kinds.get(resource);
    if (kind === undefined) throw unknownPath();
    return kind;
  }

  findKind(group: string, version: string, plural: string): ApiKind | undefined {
    const kind = this.#kinds.get(resourceOf({ group, plural }));
    return kind?.versions.some(({ name }) => name === version) ? kind : undefined;
  }

  get(kind: ApiKind, namespace: string, name: string): StoredObject | undefined {
    return this.store.get(resourceOf(kind), storeKey(namespace, name));
  }

  /** @throws {ApiError} */
  create(
    kind: ApiKind,
    input: NewObject,
    options: WriteOptions & {
      readonly version?: ApiVersion | undefined;
      /** Takes over `metadata.managedFields`, which an apply has made. */
      readonly applied?: boolean;
    } = {},
  ): StoredObject {
    const version = options.version ?? preferredVersion(kind);
    const object = this.#received(kind, version, input);
    const { metadata } = object;
    const resource = resourceOf(kind);
    // "0" is none: Velero's client writes it.
    if (metadata.resourceVersion && metadata.resourceVersion !== "0") {
      const text = "resourceVersion should not be set on objects to be created";
      throw new ApiError(500, "InternalError", text);
    }
    this.#checkNamespace(kind, metadata);
    const generated = !metadata.name && metadata["generateName"];
    if (generated)
      metadata.name = generateName(metadata, (name) => this.#has(resource, metadata, name));
    checkName(kind, metadata);

    metadata.uid = randomUUID();
    metadata.creationTimestamp = timestamp(this.clock);
    delete metadata.deletionTimestamp;
    delete metadata.deletionGracePeriodSeconds;
    delete metadata.generation;
    const applied = options.applied ? metadata["managedFields"] : undefined;
    delete metadata["managedFields"];
    if (kind.hasGeneration) metadata.generation = 1;
    if (version.status) delete object.status;
    this.#prepare(kind, version, object, options);
    addProtection(resource, object);
    if (resource === crdResource) crdConditions(object, undefined, timestamp(this.clock));

    const writer = this.#writer(version, options);
    const managed = writer
      ? managedAfterUpdate(undefined, undefined, object, rootType(kind, version), writer)
      : applied;
    if (managed !== undefined) metadata["managedFields"] = managed;

    const key = storeKey(metadata.namespace ?? "", metadata.name);
    const existing = this.store.get(resource, key);
    if (existing !== undefined) {
      throw alreadyExists(kind, metadata.name, existing.metadata.deletionTimestamp !== undefined);
    }
    if (options.dryRun) return object;
    const stored = this.store.put(resource, key, this.#storable(kind, object));
    this.#afterWrite(resource, stored);
    return stored;
  }

  /**
   * Replaces an object by what `change` makes of a copy of it.
   * @throws {ApiError}
   */
  update(
    kind: ApiKind,
    namespace: string,
    name: string,
    change: (object: StoredObject) => NewObject,
    options: WriteOptions & {
      readonly version?: ApiVersion | undefined;
      /** As PUT does for kinds that ask for it. */
      readonly versionRequired?: boolean;
    } = {},
  ): StoredObject {
    const resource = resourceOf(kind);
    const key = storeKey(namespace, name);
    const stored = this.store.get(resource, key);
    if (stored === undefined) throw notFound(kind, name);
    const version = options.version ?? preferredVersion(kind);
    const current = { ...stored, apiVersion: version.apiVersion };
    const object = this.#received(kind, version, change(copyJson(current)));
    checkSame(kind, current, object, options.versionRequired ?? false);
    const next = mergeUpdate(kind, version, current, object, options.subresource ?? "");
    this.#prepare(kind, version, next, options);
    checkUpdate(kind, current, next);
    if (resource === crdResource) crdConditions(next, current, timestamp(this.clock));
    next.metadata.resourceVersion = current.metadata.resourceVersion;
    this.#noteManager(kind, version, current, next, options);
    if (equalJson(next, current)) return stored;
    if (kind.hasGeneration && changesGeneration(version, current, next)) {
      next.metadata.generation = (current.metadata.generation ?? 0) + 1;
    }
    const gone = mayGo(next);
    if (options.dryRun) return next;
    const written = this.store.put(resource, key, this.#storable(kind, next));
    if (gone) {
      // A real server turns the write that takes the last finalizer into the deletion itself.
      this.store.remove(resource, key);
      this.#afterRemove(resource, written);
    } else this.#afterWrite(resource, written);
    return written;
  }

  /**
   * Server-side apply. Says whether the object was made.
   * @throws {ApiError}
   */
  apply(
    kind: ApiKind,
    namespace: string,
    name: string,
    applied: NewObject,
    options: WriteOptions & {
      readonly version: ApiVersion;
      readonly fieldManager: string;
      readonly force: boolean;
    },
  ): { readonly object: StoredObject; readonly created: boolean } {
    const { version, force, fieldManager: _, ...rest } = options;
    const type = rootType(kind, version);
    const writer = this.#writer(version, options) as FieldWriter;
    const configuration = copyJson(applied);
    if (configuration.metadata?.["managedFields"]) {
      throw badRequest("metadata.managedFields must be nil");
    }
    if (this.get(kind, namespace, name) === undefined) {
      const managedFields = managedAfterCreate(configuration, type, writer);
      const metadata = { ...configuration.metadata, name, namespace, managedFields };
      const made = { ...rest, version, applied: true };
      return { object: this.create(kind, { ...configuration, metadata }, made), created: true };
    }
    const change = (live: StoredObject): NewObject =>
      applyConfiguration(live, configuration, type, writer, force);
    return {
      object: this.update(kind, namespace, name, change, { ...rest, version }),
      created: false,
    };
  }

  #writer(version: ApiVersion, options: WriteOptions): FieldWriter | undefined {
    if (options.fieldManager === undefined) return undefined;
    return {
      manager: options.fieldManager,
      apiVersion: version.apiVersion,
      subresource: options.subresource ?? "",
      time: timestamp(this.clock),
    };
  }

  /** Writes who owns which field now. A request may set the entries itself; one empty entry clears them. */
  #noteManager(
    kind: ApiKind,
    version: ApiVersion,
    current: StoredObject,
    next: StoredObject,
    options: WriteOptions,
  ): void {
    const given = next.metadata["managedFields"] ?? current.metadata["managedFields"];
    const cleared = Array.isArray(given) && given.length === 1 && !given[0]?.manager;
    const writer = this.#writer(version, options);
    const entries = cleared
      ? undefined
      : writer
        ? managedAfterUpdate(given, current, next, rootType(kind, version), writer)
        : given;
    if (entries === undefined) delete next.metadata["managedFields"];
    else next.metadata["managedFields"] = entries;
  }

  /** @throws {ApiError} */
  delete(kind: ApiKind, namespace: string, name: string, options: DeleteOptions = {}): Deleted {
    const resource = resourceOf(kind);
    const key = storeKey(namespace, name);
    const stored = this.store.get(resource, key);
    if (stored === undefined) throw notFound(kind, name);
    checkPreconditions(kind, stored, options);

    const next = copyJson(stored);
    const { metadata } = next;
    addDeletionFinalizers(next, options);
    if (resource === crdResource && this.store.count(name) > 0) addCleanup(metadata);
    const grace = gracePeriodSeconds(resource, stored, options);
    const already = metadata.deletionTimestamp !== undefined;
    if (!already || grace < (metadata.deletionGracePeriodSeconds ?? 0)) {
      metadata.deletionTimestamp = timestampOf(nowMs(this.clock) + grace * 1000);
      metadata.deletionGracePeriodSeconds = grace;
    }
    if (!already && metadata.generation !== undefined) metadata.generation += 1;
    if (resource === "namespaces") next.status = { ...next.status, phase: "Terminating" };
    if (mayGo(next)) {
      if (options.dryRun) return { object: next, gone: true };
      const removed = this.store.remove(resource, key) as StoredObject;
      this.#afterRemove(resource, removed);
      return { object: removed, gone: true };
    }
    if (options.dryRun || equalJson(next, stored)) return { object: next, gone: false };
    const written = this.store.put(resource, key, next);
    this.#afterWrite(resource, written);
    return { object: written, gone: false };
  }

  #received(kind: ApiKind, version: ApiVersion, input: NewObject): StoredObject {
    if (!isObject(input)) throw badRequest("the body is not an object");
    const object = copyJson(input) as Json;
    if (object.apiVersion === undefined) object.apiVersion = version.apiVersion;
    if (object.kind === undefined) object.kind = kind.kind;
    if (object.kind !== kind.kind || object.apiVersion !== version.apiVersion) {
      throw badRequest(
        `${kind.kind} in version ${JSON.stringify(version.name)} cannot be handled as a ${kind.kind}: ` +
          `the data says ${object.apiVersion}, Kind=${object.kind}, expected ${version.apiVersion}, Kind=${kind.kind}`,
      );
    }
    if (object.metadata === undefined || object.metadata === null) object.metadata = {};
    if (!isObject(object.metadata)) throw badRequest("metadata is not an object");
    checkMetadataTypes(kind, object.metadata);
    if (!kind.namespaced) delete object.metadata.namespace;
    for (const [name, value] of Object.entries(object.metadata)) {
      if (value === null || (Array.isArray(value) && value.length === 0))
        delete object.metadata[name];
    }
    return object;
  }

  #has(resource: string, { namespace = "" }: ObjectMeta, name: string): boolean {
    return this.store.get(resource, storeKey(namespace, name)) !== undefined;
  }

  #checkNamespace(kind: ApiKind, metadata: ObjectMeta): void {
    if (!kind.namespaced) return;
    metadata.namespace ||= "default";
    const namespace = this.store.get("namespaces", storeKey("", metadata.namespace));
    if (namespace === undefined) throw notFound(this.kind("namespaces"), metadata.namespace);
    if (namespace.metadata.deletionTimestamp === undefined) return;
    const text = `because it is being terminated`;
    const name = metadata.name ?? "";
    const error = forbidden(
      kind,
      name,
      `unable to create new content in namespace ${metadata.namespace} ${text}`,
    );
    throw new ApiError(403, "Forbidden", error.message, {
      ...error.statusDetails,
      causes: [
        {
          reason: "NamespaceTerminating",
          message: `namespace ${metadata.namespace} is being terminated`,
          field: "metadata.namespace",
        },
      ],
    });
  }

  /** Defaults and checks of a complete object. */
  #prepare(
    kind: ApiKind,
    version: ApiVersion,
    object: StoredObject,
    { onUnknownFields }: WriteOptions,
  ): void {
    if (!kind.custom) {
      applyBuiltInDefaults(resourceOf(kind), object, {
        list: (resource) => this.store.list(resource),
        get: (resource, key) => this.store.get(resource, key),
      });
      checkBuiltIn(kind, object, (resource) => this.store.list(resource));
      return;
    }
    const { schema } = version;
    if (schema === undefined) return;
    const unknown = pruneUnknown(schema, object);
    if (unknown.length > 0) onUnknownFields?.(unknown, kind, version);
    fillDefaults(schema, object);
    const errors = validateSchema(schema, object);
    if (errors.length > 0) throw invalid(kind, object.metadata.name, errors);
  }

  /** In the version that is stored. */
  #storable(kind: ApiKind, object: StoredObject): StoredObject {
    object.apiVersion = preferredVersion(kind).apiVersion;
    return object;
  }

  #afterWrite(resource: string, object: StoredObject): void {
    if (resource !== crdResource) return;
    this.#register(object);
    if (object.metadata.deletionTimestamp !== undefined) this.#deleteInstances(object);
  }

  #afterRemove(resource: string, object: StoredObject): void {
    if (resource === crdResource) {
      if (this.#kinds.get(object.metadata.name)?.custom) this.#kinds.delete(object.metadata.name);
      this.#kindsVersion++;
      return;
    }
    const kind = this.#kinds.get(resource);
    if (!kind?.custom || this.store.count(resource) > 0) return;
    const crd = this.store.get(crdResource, storeKey("", resource));
    if (crd?.metadata.deletionTimestamp === undefined) return;
    this.#removeCleanup(crd);
  }

  #deleteInstances(crd: StoredObject): void {
    const resource = crd.metadata.name;
    const kind = this.#kinds.get(resource);
    if (kind === undefined) return;
    for (const { metadata } of this.store.list(resource)) {
      if (metadata.deletionTimestamp !== undefined) continue;
      this.delete(kind, metadata.namespace ?? "", metadata.name);
    }
  }

  #removeCleanup(crd: StoredObject): void {
    if (!crd.metadata.finalizers?.includes(crdCleanup)) return;
    this.update(this.kind(crdResource), "", crd.metadata.name, (object) => {
      object.metadata.finalizers = (object.metadata.finalizers ?? []).filter(
        (one) => one !== crdCleanup,
      );
      return object;
    });
  }

  #register(crd: StoredObject): void {
    const kind = crdKind(crd);
    if (kind === undefined) return;
    this.#kinds.set(resourceOf(kind), kind);
    this.#kindsVersion++;
  }
}
