/**
 * Amounts of resources: `250m` of a processor, `512Mi` of memory; and what a pod asks for of each.
 * Proof: test/controllers/resource-quantity.test.ts.
 * @module
 */
import type { Json } from "../kube-object.ts";

const scales: Readonly<Record<string, number>> = {
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** 0 for what is no amount. @example parseQuantity("250m"); // 0.25 */
export function parseQuantity(text: string | number): number {
  const match = /^([+-]?[\d.]+(?:[eE][+-]?\d+)?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$/.exec(
    String(text),
  );
  if (match === null) return 0;
  return Number(match[1]) * (match[2] === undefined ? 1 : (scales[match[2]] as number));
}

/** By name, with `pods: 1`. Init containers run before the others: the largest of both counts. */
export function podRequests(spec: Json): Map<string, number> {
  const total = new Map([["pods", 1]]);
  for (const container of spec?.containers ?? []) {
    for (const [name, amount] of requestsOf(container)) {
      total.set(name, (total.get(name) ?? 0) + amount);
    }
  }
  for (const container of spec?.initContainers ?? []) {
    for (const [name, amount] of requestsOf(container)) {
      total.set(name, Math.max(total.get(name) ?? 0, amount));
    }
  }
  return total;
}

/** A limit without a request is the request. */
function requestsOf({ resources }: Json): [string, number][] {
  const stated: Record<string, string> = { ...resources?.limits, ...resources?.requests };
  return Object.entries(stated).map(([name, text]) => [name, parseQuantity(text)]);
}
