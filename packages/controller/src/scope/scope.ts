/**
 * What a Backup or Restore covers: namespaces, kinds and labels, included and excluded. Pure.
 * Proof: test/scope/scope.test.ts.
 * @module
 */
import type { BackupSpec, KubeObject, LabelSelector } from "@dm/crds";
import { matchesSelector } from "../node-agent/label-selector.ts";

export type NameList = readonly string[] | null | undefined;

/** Whether the lists let a name pass. An empty list of inclusions admits all; `*` stands for any text. */
export function admits(included: NameList, excluded: NameList, name: string): boolean {
  const isIncluded = !included?.length || included.some((pattern) => matches(pattern, name));
  return isIncluded && !excluded?.some((pattern) => matches(pattern, name));
}

/** The names, when the list has nothing but names. */
export function plainNames(included: NameList): readonly string[] | undefined {
  return included?.length && !included.some((name) => name.includes("*")) ? included : undefined;
}

function matches(pattern: string, name: string): boolean {
  const [first = "", ...others] = pattern.split("*");
  const last = others.pop();
  if (last === undefined) return pattern === name;
  if (!name.startsWith(first)) return false;
  // The leftmost place of each part leaves the most for those behind it. A regular expression would try all of them.
  let from = first.length;
  for (const part of others) {
    const at = name.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return name.length - last.length >= from && name.endsWith(last);
}

/** What contradicts itself in two lists. */
export function listProblems(included: NameList, excluded: NameList): string[] {
  const problems: string[] = [];
  const names = included ?? [];
  if (names.length > 1 && names.includes("*"))
    problems.push("includes list must either contain '*' only, or a non-empty list of items");
  for (const name of excluded ?? []) {
    if (name === "*") problems.push("excludes list cannot contain '*'");
    else if (names.includes(name))
      problems.push(`excludes list item cannot be in the includes list: ${name}`);
  }
  return problems;
}

/** As {@link listProblems}, of lists for one scope: there everything may be excluded. */
export function scopedListProblems(included: NameList, excluded: NameList): string[] {
  if (!excluded?.includes("*")) return listProblems(included, excluded);
  const problems: string[] = [];
  if (excluded.length > 1)
    problems.push("excludes list must either contain '*' only, or a non-empty list of items");
  if (included?.length) problems.push("when exclude is '*', include cannot have value");
  return problems;
}

/** Either kind of selector; without any, everything. */
export function isSelected(
  { labelSelector, orLabelSelectors }: Pick<BackupSpec, "labelSelector" | "orLabelSelectors">,
  { metadata }: KubeObject,
): boolean {
  const some = (selector: LabelSelector): boolean =>
    matchesSelector(selector, metadata.labels ?? {});
  if (orLabelSelectors?.length) return orLabelSelectors.some(some);
  return !labelSelector || some(labelSelector);
}
