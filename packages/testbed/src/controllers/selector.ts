/**
 * Label selectors, and the terms of node affinity.
 * Proof: test/controllers/selector.test.ts.
 * @module
 */

export interface SelectorRequirement {
  key: string;
  operator: string;
  values?: string[];
}

export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: SelectorRequirement[];
}

type Labels = Readonly<Record<string, string>>;

/** An empty selector takes everything, a missing one nothing. */
export function matchesSelector(selector: LabelSelector | undefined, labels: Labels = {}): boolean {
  if (selector === undefined) return false;
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (labels[key] !== value) return false;
  }
  return (selector.matchExpressions ?? []).every((one) => matchesRequirement(one, labels));
}

export function matchesRequirement(requirement: SelectorRequirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, requirement.key) ? labels[requirement.key] : undefined;
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return value !== undefined && Number(value) > Number(values[0]);
    case "Lt":
      return value !== undefined && Number(value) < Number(values[0]);
    default:
      return false;
  }
}

export interface NodeSelectorTerm {
  matchExpressions?: SelectorRequirement[];
  matchFields?: SelectorRequirement[];
}

/** One of the terms is enough; a term without requirements takes no node. `matchFields` knows `metadata.name`. */
export function matchesNodeSelectorTerms(
  terms: readonly NodeSelectorTerm[],
  node: { metadata: { name: string; labels?: Labels } },
): boolean {
  return terms.some((term) => {
    const expressions = term.matchExpressions ?? [];
    const fields = term.matchFields ?? [];
    if (expressions.length + fields.length === 0) return false;
    return (
      expressions.every((one) => matchesRequirement(one, node.metadata.labels ?? {})) &&
      fields.every((one) => matchesRequirement(one, { "metadata.name": node.metadata.name }))
    );
  });
}
