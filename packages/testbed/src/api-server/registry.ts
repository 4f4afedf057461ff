/**
 * The rules between a request and the store: which kinds there are, what a create or update may change, generation, finalizers,
 * graceful deletion, optimistic concurrency. HTTP and ClusterApi both write through it, and in no other way.
 * Proof: test/api-server/registry.test.ts.
 * @module
 */
import { randomUUID } from "node:crypto";
import { type Clock, systemRandomBytes } from "@dm/core";
import { nowMs, timestamp, timestampOf } from "../controllers/timestamp.ts";
import type { Json, NewObject, ObjectMeta, StoredObject } from "../kube-object.ts";
import {
  ApiError,
  alreadyExists,
  badRequest,
  conflict,
  type FieldError,
  forbidden,
  invalid,
  notFound,
  unknownPath,
} from "./api-error.ts";
import { type ApiKind, type ApiVersion, preferredVersion, resourceOf } from "./api-kind.ts";
import { builtInKinds } from "./built-in-kinds.ts";
import { checkBuiltIn, checkBuiltInUpdate } from "./built-in-rules.ts";
import { crdConditions, crdKind, crdResource } from "./custom-kind.ts";
import { fillDefaults, pruneUnknown, validateSchema } from "./custom-schema.ts";
import { addProtection, applyBuiltInDefaults } from "./defaults.ts";
import { rootType } from "./field-paths.ts";
import { copyJson, equalJson, isObject } from "./json.ts";
import {
  applyConfiguration,
  type FieldWriter,
  managedAfterCreate,
  managedAfterUpdate,
} from "./managed-fields.ts";
import { type ObjectStore, storeKey } from "./object-store.ts";

export type WriteSubresource = "" | "status" | "finalize" | "scale";

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

export interface DeleteOptions {
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: string | undefined;
  readonly dryRun?: boolean | undefined;
}

export interface Deleted {
  readonly object: StoredObject;
  /** False when finalizers or a grace period keep it. */
  readonly gone: boolean;
}

/** Letters of generated names: no vowels, and nothing that is easily misread. */
const nameLetters = "bcdfghjklmnpqrstvwxz2456789";
const nameSuffixLength = 5;
const nameTries = 8;

const crdCleanup = "customresourcecleanup.apiextensions.k8s.io";

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
    if (metadata.resourceVersion) {
      const text = "resourceVersion should not be set on objects to be created";
      throw new ApiError(500, "InternalError", text);
    }
    this.#checkNamespace(kind, metadata);
    const generated = !metadata.name && metadata["generateName"];
    if (generated) metadata.name = this.#generateName(resource, metadata);
    this.#checkName(kind, metadata);

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
    this.#checkSame(kind, current, object, options.versionRequired ?? false);
    const next = this.#merged(kind, version, current, object, options.subresource ?? "");
    this.#prepare(kind, version, next, options);
    this.#checkUpdate(kind, current, next);
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
    this.#checkPreconditions(kind, stored, options);

    const next = copyJson(stored);
    const { metadata } = next;
    this.#addDeletionFinalizers(resource, next, options);
    const grace = this.#gracePeriodSeconds(resource, stored, options);
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

  #generateName(resource: string, metadata: ObjectMeta): string {
    const prefix = String(metadata["generateName"]).slice(0, 63 - nameSuffixLength);
    let name = "";
    for (let tries = 0; tries < nameTries; tries++) {
      name = prefix;
      for (const byte of systemRandomBytes(nameSuffixLength)) {
        name += nameLetters[byte % nameLetters.length];
      }
      if (!this.store.get(resource, storeKey(metadata.namespace ?? "", name))) break;
    }
    return name;
  }

  #checkName(kind: ApiKind, metadata: ObjectMeta): void {
    const { name } = metadata;
    const field = "metadata.name";
    if (!name) {
      const message = "Required value: name or generateName is required";
      throw invalid(kind, "", [{ reason: "FieldValueRequired", field, message }]);
    }
    const message = wrongName(kind, name);
    if (message === undefined) return;
    throw invalid(kind, name, [
      {
        reason: "FieldValueInvalid",
        field,
        message: `Invalid value: ${JSON.stringify(name)}: ${message}`,
      },
    ]);
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
      checkBuiltIn(kind, object);
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

  #checkSame(
    kind: ApiKind,
    current: StoredObject,
    object: StoredObject,
    versionRequired: boolean,
  ): void {
    const { metadata } = object;
    const { name } = current.metadata;
    if (!metadata.name) metadata.name = name;
    if (metadata.name !== name) {
      throw badRequest(
        `the name of the object (${metadata.name}) does not match the name on the URL (${name})`,
      );
    }
    if (kind.namespaced) {
      if (!metadata.namespace) metadata.namespace = current.metadata.namespace as string;
      if (metadata.namespace !== current.metadata.namespace) {
        throw badRequest(
          `the namespace of the provided object does not match the namespace sent on the request`,
        );
      }
    }
    if (metadata.uid && metadata.uid !== current.metadata.uid) {
      throw conflict(
        kind,
        name,
        `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${current.metadata.uid}`,
      );
    }
    if (!metadata.resourceVersion) {
      if (!versionRequired || !(kind.custom || kind.versionRequired)) return;
      throw invalid(kind, name, [
        {
          reason: "FieldValueInvalid",
          field: "metadata.resourceVersion",
          message: "Invalid value: 0: must be specified for an update",
        },
      ]);
    }
    if (metadata.resourceVersion !== current.metadata.resourceVersion) throw conflict(kind, name);
  }

  /** What of `object` the request may change, on top of what is stored. */
  #merged(
    kind: ApiKind,
    version: ApiVersion,
    current: StoredObject,
    object: StoredObject,
    subresource: WriteSubresource,
  ): StoredObject {
    if (subresource === "status") {
      const next = copyJson(current);
      if (object.status === undefined) delete next.status;
      else next.status = object.status;
      if (object.metadata["managedFields"]) {
        next.metadata["managedFields"] = object.metadata["managedFields"];
      }
      return next;
    }
    if (subresource === "finalize") {
      const next = copyJson(current);
      next.spec = { ...next.spec, finalizers: object.spec?.finalizers ?? [] };
      return next;
    }
    const next = object;
    const { metadata } = next;
    const kept = current.metadata;
    metadata.uid = kept.uid;
    metadata.creationTimestamp = kept.creationTimestamp;
    for (const field of [
      "generation",
      "deletionTimestamp",
      "deletionGracePeriodSeconds",
      "generateName",
      "selfLink",
    ]) {
      delete metadata[field];
      if (kept[field] !== undefined) metadata[field] = kept[field];
    }
    if (version.status) {
      delete next.status;
      if (current.status !== undefined) next.status = copyJson(current.status);
    }
    if (resourceOf(kind) === "namespaces" && next.metadata.deletionTimestamp === undefined) {
      // The last finalizer of a namespace goes through its own subresource.
      next.spec = copyJson(current.spec ?? {});
    }
    return next;
  }

  #checkUpdate(kind: ApiKind, current: StoredObject, next: StoredObject): void {
    if (!kind.custom) checkBuiltInUpdate(kind, current, next);
    if (current.metadata.deletionTimestamp === undefined) return;
    const before = current.metadata.finalizers ?? [];
    const added = (next.metadata.finalizers ?? []).filter((name) => !before.includes(name));
    if (added.length === 0) return;
    const list = added.map((name) => JSON.stringify(name)).join(", ");
    throw invalid(kind, next.metadata.name, [
      {
        reason: "FieldValueForbidden",
        field: "metadata.finalizers",
        message: `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
      },
    ]);
  }

  #checkPreconditions(kind: ApiKind, stored: StoredObject, options: DeleteOptions): void {
    const { metadata } = stored;
    if (options.uid && options.uid !== metadata.uid) {
      throw conflict(
        kind,
        metadata.name,
        `Precondition failed: UID in precondition: ${options.uid}, UID in object meta: ${metadata.uid}`,
      );
    }
    if (options.resourceVersion && options.resourceVersion !== metadata.resourceVersion) {
      throw conflict(
        kind,
        metadata.name,
        `Precondition failed: ResourceVersion in precondition: ${options.resourceVersion}, ResourceVersion in object meta: ${metadata.resourceVersion}`,
      );
    }
  }

  /** Finalizers by which the garbage collector sees how dependents are to be treated. */
  #addDeletionFinalizers(resource: string, object: StoredObject, options: DeleteOptions): void {
    const { metadata } = object;
    const finalizers = new Set(metadata.finalizers ?? []);
    const policy = options.propagationPolicy;
    if (policy === "Orphan") {
      finalizers.delete("foregroundDeletion");
      finalizers.add("orphan");
    } else if (policy === "Foreground") {
      finalizers.delete("orphan");
      finalizers.add("foregroundDeletion");
    } else if (policy === "Background") {
      finalizers.delete("orphan");
      finalizers.delete("foregroundDeletion");
    }
    const name = metadata.name;
    if (resource === crdResource && this.store.count(name) > 0) finalizers.add(crdCleanup);
    if (finalizers.size > 0) metadata.finalizers = [...finalizers];
    else delete metadata.finalizers;
  }

  /** Only pods on a node are given time; everything else goes at once. */
  #gracePeriodSeconds(resource: string, stored: StoredObject, options: DeleteOptions): number {
    if (resource !== "pods") return 0;
    const { spec, status } = stored;
    if (!spec?.nodeName || status?.phase === "Succeeded" || status?.phase === "Failed") return 0;
    return options.gracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? 30;
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

/** Nothing holds it: no finalizer, no time to stop in. */
function mayGo(object: StoredObject): boolean {
  const { metadata } = object;
  return (
    metadata.deletionTimestamp !== undefined &&
    (metadata.finalizers ?? []).length === 0 &&
    (metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
    (object.kind !== "Namespace" || (object.spec?.finalizers ?? []).length === 0)
  );
}

function changesGeneration(
  version: ApiVersion,
  before: StoredObject,
  after: StoredObject,
): boolean {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  for (const name of names) {
    if (name === "metadata" || name === "apiVersion" || (name === "status" && version.status))
      continue;
    if (!equalJson(before[name], after[name])) return true;
  }
  return false;
}

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

function wrongName(kind: ApiKind, name: string): string | undefined {
  if (kind.group === "rbac.authorization.k8s.io") {
    return name === "." || name === ".." || /[/%]/.test(name)
      ? "may not contain '/' or '%'"
      : undefined;
  }
  if (kind.plural === "namespaces" || kind.plural === "services") {
    if (label.test(name) && name.length <= 63) return undefined;
    return "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
  }
  if (name.length > 253) return "must be no more than 253 bytes";
  if (subdomain.test(name)) return undefined;
  return "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
}

/** Labels and the like with wrong types would break every reader. */
function checkMetadataTypes(kind: ApiKind, metadata: Record<string, Json>): void {
  const errors: FieldError[] = [];
  for (const field of ["labels", "annotations"]) {
    const value = metadata[field];
    if (value === undefined || value === null) continue;
    if (isObject(value) && Object.values(value).every((one) => typeof one === "string")) continue;
    throw badRequest(
      `${kind.kind} in version cannot be handled: metadata.${field} must be a map of strings`,
    );
  }
  for (const field of ["finalizers", "ownerReferences"]) {
    const value = metadata[field];
    if (value === undefined || value === null || Array.isArray(value)) continue;
    throw badRequest(`${kind.kind} cannot be handled: metadata.${field} must be a list`);
  }
  for (const [index, reference] of (metadata["ownerReferences"] ?? []).entries()) {
    for (const field of ["apiVersion", "kind", "name", "uid"]) {
      if (reference?.[field]) continue;
      errors.push({
        reason: "FieldValueInvalid",
        field: `metadata.ownerReferences[${index}].${field}`,
        message: `Invalid value: "": ${field} must not be empty`,
      });
    }
  }
  if (errors.length > 0) throw invalid(kind, String(metadata["name"] ?? ""), errors);
}
