/**
 * Empties a namespace that is being deleted, and lets it go when nothing is left in it.
 * Proof: test/controllers/namespaces.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import { type RunningController, startController } from "./controller.ts";
import { followServedResources } from "./served-resources.ts";

export function startNamespaceController({
  api,
  logger,
}: {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
}): RunningController {
  const terminating = new Set<string>();
  const resources = followServedResources(api, ({ resource, namespaced }, { type, object }) => {
    if (resource === "namespaces") {
      const { name, deletionTimestamp } = object.metadata;
      if (type === "DELETED" || deletionTimestamp === undefined) terminating.delete(name);
      else {
        terminating.add(name);
        controller.enqueue(name);
      }
    } else if (namespaced && type !== "MODIFIED") {
      const { namespace = "" } = object.metadata;
      if (terminating.has(namespace)) controller.enqueue(namespace);
    }
  });
  const controller = startController({
    name: "namespace",
    api,
    logger,
    watches: {},
    reconcile(name) {
      const namespace = api.get("namespaces", "", name);
      if (namespace === undefined) return undefined;
      if (namespace.metadata.deletionTimestamp === undefined) return undefined;
      let left = 0;
      for (const { resource, namespaced } of resources.all()) {
        if (!namespaced) continue;
        for (const object of api.list(resource, name)) {
          left++;
          const { uid, deletionTimestamp } = object.metadata;
          if (deletionTimestamp !== undefined) continue;
          const options = { uid, propagationPolicy: "Background" } as const;
          api.delete(resource, name, object.metadata.name, options);
          if (api.get(resource, name, object.metadata.name)?.metadata.uid !== uid) left--;
        }
      }
      // What has finalizers tells when it goes.
      if (left > 0) return undefined;
      for (const { metadata } of api.list("events", name))
        api.delete("events", name, metadata.name);
      api.modify("namespaces", "", name, ({ spec }) => {
        spec.finalizers = (spec.finalizers ?? []).filter((one: string) => one !== "kubernetes");
      });
      return undefined;
    },
  });
  return {
    ...controller,
    async close() {
      resources.close();
      await controller.close();
    },
  };
}
