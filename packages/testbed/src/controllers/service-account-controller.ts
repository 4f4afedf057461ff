/**
 * Every namespace has a ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`.
 * Proof: test/controllers/namespaces.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { NewObject } from "../kube-object.ts";
import { type RunningController, startController } from "./controller.ts";

export function startServiceAccountController({
  api,
  logger,
}: {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
}): RunningController {
  return startController({
    name: "serviceaccount",
    api,
    logger,
    watches: {
      namespaces: ({ object }) => [object.metadata.name],
      serviceaccounts: ({ type, object }) =>
        type === "DELETED" ? [object.metadata.namespace ?? ""] : [],
      configmaps: ({ type, object }) =>
        type === "DELETED" ? [object.metadata.namespace ?? ""] : [],
    },
    reconcile(namespace) {
      const found = api.get("namespaces", "", namespace);
      if (found === undefined || found.metadata.deletionTimestamp !== undefined) return undefined;
      ensure("serviceaccounts", {
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name: "default", namespace },
      });
      ensure("configmaps", {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "kube-root-ca.crt", namespace },
        data: { "ca.crt": api.certificateAuthority ?? "" },
      });
      return undefined;
    },
  });

  function ensure(resource: string, object: NewObject): void {
    const { namespace = "", name = "" } = object.metadata;
    if (api.get(resource, namespace, name) === undefined) api.create(resource, object);
  }
}
