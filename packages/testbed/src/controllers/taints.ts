/**
 * Taints of nodes, and the pods that tolerate them.
 * Proof: test/controllers/scheduler.test.ts.
 * @module
 */
import type { Json, StoredObject } from "../kube-object.ts";

export interface Taint {
  key: string;
  value?: string;
  effect: string;
}

/** `untolerated` is the first taint of these effects that the pod does not tolerate; `forMs` how long it tolerates the rest. */
export function toleratesTaints(
  pod: { spec?: Json },
  node: StoredObject,
  effects: readonly string[],
): { untolerated: Taint | undefined; forMs: number } {
  let forMs = Number.POSITIVE_INFINITY;
  for (const taint of (node.spec?.taints ?? []) as Taint[]) {
    if (!effects.includes(taint.effect)) continue;
    const matching = (pod.spec?.tolerations ?? []).filter((one: Json) => tolerates(one, taint));
    if (matching.length === 0) return { untolerated: taint, forMs: 0 };
    for (const { tolerationSeconds } of matching) {
      if (tolerationSeconds !== undefined) forMs = Math.min(forMs, tolerationSeconds * 1000);
    }
  }
  return { untolerated: undefined, forMs };
}

function tolerates(toleration: Json, taint: Taint): boolean {
  const { key = "", operator = "Equal", value = "", effect = "" } = toleration;
  if (effect !== "" && effect !== taint.effect) return false;
  if (operator === "Exists") return key === "" || key === taint.key;
  return key === taint.key && value === (taint.value ?? "");
}
