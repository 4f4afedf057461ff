/**
 * Label selectors of Kubernetes, for what a configuration says about nodes.
 * Proof: test/node-agent/label-selector.test.ts, test/node-agent/node-agent-config.test.ts.
 * @module
 */
import type { LabelSelector } from "@dm/crds";

type Labels = Readonly<Record<string, string>>;

/** What each operator of a requirement asks; `values` counts where it says so. */
const operators = new Map<
  string,
  (value: string | undefined, values: readonly string[]) => boolean
>([
  ["In", (value, values) => value !== undefined && values.includes(value)],
  ["NotIn", (value, values) => value === undefined || !values.includes(value)],
  ["Exists", (value) => value !== undefined],
  ["DoesNotExist", (value) => value === undefined],
]);

/** Why it is no selector; undefined when it is one. */
export function selectorProblem(selector: unknown): string | undefined {
  if (!isObject(selector)) return "it is no object";
  const { matchLabels = {}, matchExpressions = [] } = selector;
  if (
    !isObject(matchLabels) ||
    Object.values(matchLabels).some((value) => typeof value !== "string")
  )
    return "matchLabels has values that are no text";
  if (!Array.isArray(matchExpressions)) return "matchExpressions is no list";
  for (const each of matchExpressions) {
    if (!isObject(each) || typeof each["key"] !== "string" || each["key"] === "")
      return "a requirement has no key";
    const { operator, values = [] } = each;
    if (typeof operator !== "string" || !operators.has(operator))
      return `"${String(operator)}" is no operator; there are ${[...operators.keys()].join(", ")}`;
    if (!Array.isArray(values) || values.some((value) => typeof value !== "string"))
      return `the values of ${each["key"]} are no texts`;
    const takesValues = operator === "In" || operator === "NotIn";
    if (takesValues !== values.length > 0)
      return `${operator} takes ${takesValues ? "values" : "no values"}`;
  }
  return undefined;
}

/** An empty selector matches everything. One with a problem matches nothing. */
export function matchesSelector(selector: LabelSelector, labels: Labels): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  // A label may be called as what every object has: `constructor`.
  const labelOf = (key: string): string | undefined =>
    Object.hasOwn(labels, key) ? labels[key] : undefined;
  return (
    Object.entries(matchLabels).every(([key, value]) => labelOf(key) === value) &&
    matchExpressions.every(
      ({ key, operator, values = [] }) => operators.get(operator)?.(labelOf(key), values) ?? false,
    )
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
