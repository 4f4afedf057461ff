/** The kinds of `snapshot.storage.k8s.io` in the least that the API server needs to serve them. */
import type { ClusterApi } from "../../src/cluster-api.ts";

const kinds = [
  { kind: "VolumeSnapshot", plural: "volumesnapshots", scope: "Namespaced", hasStatus: true },
  {
    kind: "VolumeSnapshotContent",
    plural: "volumesnapshotcontents",
    scope: "Cluster",
    hasStatus: true,
  },
  {
    kind: "VolumeSnapshotClass",
    plural: "volumesnapshotclasses",
    scope: "Cluster",
    hasStatus: false,
  },
];

export function createSnapshotKinds(api: ClusterApi): void {
  for (const { kind, plural, scope, hasStatus } of kinds) {
    api.create("customresourcedefinitions.apiextensions.k8s.io", {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: {
        name: `${plural}.snapshot.storage.k8s.io`,
        annotations: {
          "api-approved.kubernetes.io":
            "https://github.com/kubernetes-csi/external-snapshotter/pull/814",
        },
      },
      spec: {
        group: "snapshot.storage.k8s.io",
        names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
        scope,
        versions: [
          {
            name: "v1",
            served: true,
            storage: true,
            ...(hasStatus ? { subresources: { status: {} } } : {}),
            schema: {
              openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
            },
          },
        ],
      },
    });
  }
}
