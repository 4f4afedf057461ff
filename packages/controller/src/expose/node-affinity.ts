/**
 * On which nodes a hosting pod may run: where the volume can be reached, where the configuration wants the load, where the
 * operating system fits.
 * Proof: test/expose/hosting-pod.test.ts.
 * @module
 */
import {
  type Affinity,
  type LabelSelector,
  labels,
  type NodeSelectorRequirement,
  type NodeSelectorTerm,
} from "@dm/crds";
import type { LoadAffinity } from "./exposer-settings.ts";

export type HostingOS = "linux" | "windows";

/** The entry of the claim's storage class; else the first that names no class; else none. */
export function loadAffinityFor(
  affinities: readonly LoadAffinity[] | undefined,
  storageClass: string | undefined,
): LoadAffinity | undefined {
  const ofClass = affinities?.find(
    (entry) => entry.storageClass !== undefined && entry.storageClass === storageClass,
  );
  return ofClass ?? affinities?.find((entry) => (entry.storageClass ?? "") === "");
}

/**
 * The terms of the required node affinity: each of the volume's own terms (one empty term when it has none), narrowed by the
 * rest.
 */
export function nodeSelectorTerms(input: {
  readonly topology: readonly NodeSelectorTerm[];
  readonly selector: LabelSelector | undefined;
  readonly nodeOS: HostingOS;
  readonly avoidHostnames?: readonly string[] | undefined;
}): NodeSelectorTerm[] {
  const narrowed: NodeSelectorRequirement[] = [...requirementsOf(input.selector)];
  const operator = input.nodeOS === "windows" ? "In" : "NotIn";
  narrowed.push({ key: labels.nodeOS, operator, values: ["windows"] });
  const avoid = input.avoidHostnames ?? [];
  if (avoid.length > 0)
    narrowed.push({ key: labels.hostname, operator: "NotIn", values: [...avoid] });
  const terms = input.topology.length > 0 ? input.topology : [{}];
  return terms.map((term) => ({
    ...term,
    matchExpressions: [...(term.matchExpressions ?? []), ...narrowed],
  }));
}

/** A node fits when one of the entries fits it; undefined when there is none, and any fits. */
export function affinityOf(
  entries: readonly { readonly nodeSelector?: LabelSelector | undefined }[],
): Affinity | undefined {
  if (entries.length === 0) return undefined;
  const nodeSelectorTerms = entries.map(({ nodeSelector }) => ({
    matchExpressions: requirementsOf(nodeSelector),
  }));
  return {
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
  };
}

function requirementsOf(selector: LabelSelector | undefined): NodeSelectorRequirement[] {
  const exact = Object.entries(selector?.matchLabels ?? {});
  return [
    ...exact.map(([key, value]) => ({ key, operator: "In", values: [value] })),
    ...(selector?.matchExpressions ?? []),
  ];
}
