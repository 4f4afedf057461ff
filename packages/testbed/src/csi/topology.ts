/**
 * Where a volume can be reached: of a StorageClass with parameter `topologyKey` (a node label) or `allowedTopologies`, only from
 * nodes with the same label as the node that was chosen.
 * Proof: test/csi/provisioner.test.ts.
 * @module
 */
import { UnsupportedError } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import { annotations } from "./storage-names.ts";
import { annotationOf } from "./storage-object.ts";

/** The volume's `nodeAffinity`; undefined when it can be reached from everywhere. */
export function topologyFor(
  api: ClusterApi,
  claim: StoredObject,
  storageClass: StoredObject,
): Json | undefined {
  const allowed: { key: string; values: string[] } | undefined =
    storageClass["allowedTopologies"]?.[0]?.matchLabelExpressions?.[0];
  const key: string | undefined = storageClass["parameters"]?.["topologyKey"] ?? allowed?.key;
  if (key === undefined) return undefined;
  const selected = annotationOf(claim, annotations.selectedNode);
  const nodes = selected === undefined ? api.list("nodes") : [api.get("nodes", "", selected)];
  const reachable = nodes
    .map((node) => node?.metadata.labels?.[key])
    .filter((value): value is string => value !== undefined)
    .filter((value) => !allowed || allowed.values.includes(value));
  const [value] = reachable;
  if (value === undefined)
    throw new UnsupportedError(
      "DM_CSI_CLAIM_REFUSED",
      `error generating accessibility requirements: no topology key ${key} found on node ${selected ?? "(any)"}`,
    );
  return {
    required: {
      nodeSelectorTerms: [{ matchExpressions: [{ key, operator: "In", values: [value] }] }],
    },
  };
}
