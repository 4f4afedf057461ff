/**
 * The API server as the parts of the cluster that live in its process see it: built-in controllers, scheduler, kubelets and the
 * CSI driver. The same objects, admission, versions and watches as over HTTP, without HTTP and without rights.
 * Proof: test/cluster-api.test.ts.
 * @module
 */
import type { Clock } from "@dm/core";
import type { NewObject, StoredObject } from "./kube-object.ts";

export interface ClusterEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: StoredObject;
}

export interface ClusterWriteOptions {
  readonly subresource?: "status" | undefined;
}

export interface ClusterDeleteOptions {
  readonly uid?: string | undefined;
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan" | undefined;
}

/**
 * `resource` is the plural with its group: `pods`, `volumesnapshots.snapshot.storage.k8s.io`, `datauploads.velero.io`. Kinds
 * without a namespace have `""` for it. Objects that come out are the caller's own copies. Refusals are thrown as `ApiError`
 * with the status code that HTTP has.
 */
export interface ClusterApi {
  readonly clock: Clock;
  get(resource: string, namespace: string, name: string): StoredObject | undefined;
  /** All namespaces when `namespace` is undefined. */
  list(resource: string, namespace?: string): StoredObject[];
  create(resource: string, object: NewObject): StoredObject;
  /** Refused with 409 when `metadata.resourceVersion` is not the stored one. */
  update(resource: string, object: StoredObject, options?: ClusterWriteOptions): StoredObject;
  /** Reads, changes and writes in one step; undefined when there is no such object. */
  modify(
    resource: string,
    namespace: string,
    name: string,
    change: (object: StoredObject) => void,
    options?: ClusterWriteOptions,
  ): StoredObject | undefined;
  /** False when there was none. Objects with finalizers stay until the last one is taken away. */
  delete(
    resource: string,
    namespace: string,
    name: string,
    options?: ClusterDeleteOptions,
  ): boolean;
  /** Tells first of all that exist, then of every change, in order, after the call that made it has returned. Returns the end. */
  watch(resource: string, listener: (event: ClusterEvent) => void): () => void;
  /** Where HTTP clients reach it. */
  readonly url: string;
  /** PEM of the certificate authority when `url` is https. */
  readonly certificateAuthority?: string | undefined;
  /** A bearer token that speaks for a service account. */
  tokenFor(namespace: string, serviceAccount: string): string;
}
