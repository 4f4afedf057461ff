/**
 * The Kubernetes API as controllers see it: a few calls over any kind. Everything in this package talks to this interface, so
 * that tests and other clients can stand behind it.
 * Proof: test/runtime/node-client.test.ts.
 * @module
 */
import type { KubeObject, Resource } from "@dm/crds";

export interface KubeCallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** `namespace` is empty or absent for kinds without one. */
export interface ObjectKey {
  readonly namespace?: string | undefined;
  readonly name: string;
}

export interface ListOptions extends KubeCallOptions {
  /** All namespaces when absent. */
  readonly namespace?: string | undefined;
  /** As in the API: `a=b,c!=d,e in (f,g)`. */
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Most items of one page; the next page begins at `continue`. */
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
}

export interface ListPage<T> {
  readonly items: T[];
  readonly resourceVersion: string;
  readonly continue?: string | undefined;
}

export interface WatchOptions extends KubeCallOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Changes after this version. */
  readonly resourceVersion: string;
  /** The server ends the watch then; 300 by default. */
  readonly timeoutSeconds?: number | undefined;
}

/** A bookmark has an object with nothing but its kind and `metadata.resourceVersion`. */
export interface WatchEvent<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: T;
}

export interface WriteOptions extends KubeCallOptions {
  /** No kind of velero.io has a status subresource; pods, claims and snapshots do. */
  readonly subresource?: "status" | undefined;
}

export interface DeleteOptions extends KubeCallOptions {
  /** Deletes only this object, not another one of its name. */
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan" | undefined;
}

/**
 * Errors: `DM_KUBE_NOT_FOUND` (NotFoundError), `DM_KUBE_ALREADY_EXISTS` and `DM_KUBE_CONFLICT` (ConflictError),
 * `DM_KUBE_FORBIDDEN` and `DM_KUBE_UNAUTHORIZED` (AccessError), `DM_KUBE_INVALID` (400, 422), `DM_KUBE_EXPIRED` (410),
 * `DM_KUBE_UNAVAILABLE` (retryable StorageError: connection, timeout, 429, 5xx).
 */
export interface KubeClient {
  /** Undefined when there is none. */
  get<T extends KubeObject>(
    resource: Resource<T>,
    key: ObjectKey,
    options?: KubeCallOptions,
  ): Promise<T | undefined>;
  list<T extends KubeObject>(resource: Resource<T>, options?: ListOptions): Promise<ListPage<T>>;
  create<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options?: KubeCallOptions,
  ): Promise<T>;
  /** PUT of the whole object; the one with an outdated `metadata.resourceVersion` fails with `DM_KUBE_CONFLICT`. */
  replace<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options?: WriteOptions,
  ): Promise<T>;
  /** A JSON merge patch: null removes. */
  patch<T extends KubeObject>(
    resource: Resource<T>,
    key: ObjectKey,
    patch: object,
    options?: WriteOptions,
  ): Promise<T>;
  /** False when there was none. */
  delete<T extends KubeObject>(
    resource: Resource<T>,
    key: ObjectKey,
    options?: DeleteOptions,
  ): Promise<boolean>;
  /** Ends when the server ends it; throws `DM_KUBE_EXPIRED` when the version is too old. */
  watch<T extends KubeObject>(
    resource: Resource<T>,
    options: WatchOptions,
  ): AsyncIterable<WatchEvent<T>>;
}
