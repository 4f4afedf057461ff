/**
 * KubeClient on the embedded API server without HTTP between: as the real one answers, and counting. Nothing here knows rights or
 * watches.
 */

import type { KubeObject, Resource } from "@dm/crds";
import { ApiError, type ClusterApi, type StoredObject } from "@dm/testbed";
import { applyMergePatch } from "../../src/runtime/index.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";
import { kubeError } from "../../src/runtime/kube-errors.ts";

export interface CountedClient extends KubeClient {
  readonly calls: number;
  readonly writes: number;
}

export const qualified = ({ plural, group }: Resource): string =>
  group === "" ? plural : `${plural}.${group}`;

/** `before` is asked before each call, and may throw, or wait. */
export function clusterClient(
  api: ClusterApi,
  before: (what: string) => void | Promise<void> = () => {},
  after: (what: string) => void = () => {},
): CountedClient {
  let calls = 0;
  let writes = 0;
  const call = async <R>(what: string, work: () => R): Promise<R> => {
    calls++;
    if (!what.startsWith("get") && !what.startsWith("list")) writes++;
    await before(what);
    let result: R;
    try {
      result = work();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      throw kubeError({ what, status: error.toJSON(), httpStatus: error.status });
    }
    after(what);
    return result;
  };
  return {
    get calls() {
      return calls;
    },
    get writes() {
      return writes;
    },
    get: (resource, { namespace = "", name }) =>
      call(
        `get ${qualified(resource)}/${name}`,
        () => api.get(qualified(resource), namespace, name) as never,
      ),
    list: (resource, options = {}) =>
      call(`list ${qualified(resource)}`, () => {
        const items = api.list(qualified(resource), options.namespace);
        const { labelSelector = "", fieldSelector = "" } = options;
        const found = items.filter((item) => matches(item, labelSelector, fieldSelector));
        return { items: found as never[], resourceVersion: "0" };
      }),
    create: (resource, object) =>
      call(
        `create ${qualified(resource)}/${object.metadata.name}`,
        () => api.create(qualified(resource), named(resource, object)) as never,
      ),
    replace: (resource, object, { subresource } = {}) =>
      call(
        `replace ${qualified(resource)}/${object.metadata.name}`,
        () =>
          api.update(qualified(resource), named(resource, object) as StoredObject, {
            subresource,
          }) as never,
      ),
    patch: (resource, { namespace = "", name }, patch, { subresource } = {}) =>
      call(`patch ${qualified(resource)}/${name}`, () => {
        const stored = api.get(qualified(resource), namespace, name);
        if (stored === undefined)
          throw new ApiError(404, "NotFound", `${qualified(resource)} "${name}" not found`);
        const next = applyMergePatch(stored, patch) as StoredObject;
        return api.update(qualified(resource), next, { subresource }) as never;
      }),
    delete: (resource, { namespace = "", name }, { uid, gracePeriodSeconds } = {}) =>
      call(`delete ${qualified(resource)}/${name}`, () =>
        api.delete(qualified(resource), namespace, name, { uid, gracePeriodSeconds }),
      ),
    watch: () => {
      throw new TypeError("nothing is watched here");
    },
  };
}

function named<T extends KubeObject>(resource: Resource, object: T): never {
  const { group, version, kind } = resource;
  return { apiVersion: group ? `${group}/${version}` : version, kind, ...object } as never;
}

/** `a=b` and `involvedObject.uid=x`: what the code under test uses. */
function matches(item: StoredObject, labelSelector: string, fieldSelector: string): boolean {
  const pairs = (text: string) =>
    text
      .split(",")
      .filter(Boolean)
      .map((pair) => pair.split("=") as [string, string]);
  const field = (path: string): unknown =>
    path.split(".").reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], item);
  return (
    pairs(labelSelector).every(([key, value]) => item.metadata.labels?.[key] === value) &&
    pairs(fieldSelector).every(([path, value]) => field(path) === value)
  );
}
