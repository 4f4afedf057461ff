/**
 * Calls of `KubeClient` as requests of the API: paths, queries, and what the objects that come back lack.
 * Proof: test/runtime/node-client.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import { apiVersionOf, type KubeObject, type Resource } from "@dm/crds";
import type { ListOptions, ObjectKey, WatchEvent } from "./kube-client.ts";
import { type KubeStatus, kubeError } from "./kube-errors.ts";

/** One request, before it has credentials. */
export interface Call {
  what: string;
  readonly method: string;
  path: string;
  readonly secret: boolean;
  query?: URLSearchParams;
  body?: unknown;
  contentType?: string;
  accept?: string | undefined;
}

const verbs: Readonly<Record<string, string>> = {
  GET: "get",
  POST: "create",
  PUT: "replace",
  PATCH: "patch",
  DELETE: "delete",
};

export function callOf(
  method: string,
  resource: Resource,
  key: { readonly namespace?: string | undefined; readonly name?: string | undefined },
  verb = verbs[method],
): Call {
  const { group, version, plural, namespaced } = resource;
  const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const namespace = namespaced ? key.namespace || undefined : undefined;
  if (namespaced && namespace === undefined && (key.name !== undefined || method === "POST")) {
    throw new TypeError(`a namespace is needed to ${verb} ${plural}`);
  }
  if (key.name === "") throw new TypeError(`a name is needed to ${verb} ${plural}`);
  const inNamespace = namespace === undefined ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  const byName = key.name === undefined ? "" : `/${encodeURIComponent(key.name)}`;
  const kind = group === "" ? plural : `${plural}.${group}`;
  const object = [namespace, key.name].filter((part) => part !== undefined).join("/");
  return {
    what: object === "" ? `${verb} ${kind}` : `${verb} ${kind} ${object}`,
    method,
    path: `${root}${inNamespace}/${plural}${byName}`,
    secret: group === "" && plural === "secrets",
  };
}

export function keyOfObject({ metadata }: KubeObject): ObjectKey {
  return { namespace: metadata.namespace, name: metadata.name ?? "" };
}

export function addSelectors(
  query: URLSearchParams,
  { labelSelector, fieldSelector }: Pick<ListOptions, "labelSelector" | "fieldSelector">,
): void {
  if (labelSelector) query.set("labelSelector", labelSelector);
  if (fieldSelector) query.set("fieldSelector", fieldSelector);
}

/** Items of lists of core kinds come without apiVersion and kind. */
export function named<T extends KubeObject>(resource: Resource<T>, object: T): T {
  if (object.kind !== undefined && object.apiVersion !== undefined) return object;
  return { ...object, apiVersion: apiVersionOf(resource), kind: resource.kind };
}

/** Whether the object itself was not found, rather than its kind or its namespace. */
export function isMissing(error: unknown, name: string): boolean {
  return isDmError(error, "DM_KUBE_NOT_FOUND") && error.message.includes(`"${name}" not found`);
}

export function eventOf<T extends KubeObject>(
  resource: Resource<T>,
  call: Call,
  event: unknown,
): WatchEvent<T> {
  const { type, object } = event as { readonly type: string; readonly object: unknown };
  switch (type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
    case "BOOKMARK":
      return { type, object: named(resource, object as T) };
    default: {
      const status = (object ?? {}) as KubeStatus;
      const { what, secret } = call;
      throw kubeError({ what, status, httpStatus: status.code ?? 500, secret });
    }
  }
}
