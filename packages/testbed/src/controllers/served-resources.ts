/**
 * Everything that the cluster serves and stores, the kinds of CRDs included, as they come.
 * Proof: test/controllers/garbage-collector.test.ts.
 * @module
 */
import { builtInKinds } from "../api-server/built-in-kinds.ts";
import type { ClusterApi, ClusterEvent } from "../cluster-api.ts";

export interface ServedResource {
  /** As ClusterApi names it. */
  readonly resource: string;
  readonly group: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface ServedResources {
  all(): ServedResource[];
  /** By an owner reference; undefined while nothing of that kind is served. */
  find(apiVersion: string, kind: string): ServedResource | undefined;
  close(): void;
}

const crds = "customresourcedefinitions.apiextensions.k8s.io";

/** `listener` gets the events of all of them. */
export function followServedResources(
  api: ClusterApi,
  listener: (served: ServedResource, event: ClusterEvent) => void,
): ServedResources {
  const served = new Map<string, ServedResource & { stop: () => void }>();
  const add = (one: ServedResource): void => {
    if (served.has(one.resource)) return;
    const entry = { ...one, stop: () => {} };
    served.set(one.resource, entry);
    entry.stop = api.watch(one.resource, (event) => listener(one, event));
  };
  for (const { group, kind, plural, namespaced, virtual } of builtInKinds) {
    // Events belong to nobody, and there are many.
    if (virtual || kind === "Event") continue;
    add({ resource: group === "" ? plural : `${plural}.${group}`, group, kind, namespaced });
  }
  const stopCrds = api.watch(crds, ({ type, object }) => {
    const { group, names, scope } = object.spec;
    const resource = `${names.plural}.${group}`;
    if (type === "DELETED") {
      served.get(resource)?.stop();
      served.delete(resource);
      return;
    }
    const { conditions = [] } = object.status ?? {};
    const established = conditions.some(
      (one: { type: string; status: string }) =>
        one.type === "Established" && one.status === "True",
    );
    if (established) add({ resource, group, kind: names.kind, namespaced: scope === "Namespaced" });
  });
  return {
    all: () => [...served.values()],
    find(apiVersion, kind) {
      const slash = apiVersion.indexOf("/");
      const group = slash < 0 ? "" : apiVersion.slice(0, slash);
      for (const one of served.values()) if (one.kind === kind && one.group === group) return one;
      return undefined;
    },
    close() {
      stopCrds();
      for (const { stop } of served.values()) stop();
      served.clear();
    },
  };
}
