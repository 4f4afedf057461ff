/**
 * Resource modifiers: rules of a ConfigMap that patch what is restored (`spec.resourceModifier`). JSON patches and JSON merge patches;
 * strategic merge patches need the schema of each kind, and are refused. Pure.
 * Proof: test/restore/resource-modifier.test.ts.
 * @module
 */
import type { ConfigMap, LabelSelector } from "@dm/crds";
import { loadYaml } from "@kubernetes/client-node";
import { matchesSelector, selectorProblem } from "../node-agent/label-selector.ts";
import { applyMergePatch } from "../runtime/merge-patch.ts";
import { admits } from "../scope/scope.ts";
import type { AnyObject } from "./actions/action.ts";
import { applyJsonPatch, type PatchOperation, PatchProblem } from "./json-patch.ts";

export interface ModifierRule {
  readonly namespaces: readonly string[];
  /** Every resource that it means. */
  readonly isMeant: (resource: string) => boolean;
  readonly name: RegExp | undefined;
  readonly labelSelector: LabelSelector | undefined;
  /** Tests that must hold. */
  readonly matches: readonly PatchOperation[];
  readonly patches: readonly PatchOperation[];
  readonly mergePatches: readonly unknown[];
}

/** Rules, or why there are none. */
export function parseResourceModifiers({
  data = {},
  metadata,
}: ConfigMap): readonly ModifierRule[] | { readonly problem: string } {
  const named = `${metadata.namespace}/${metadata.name}`;
  const [text, ...others] = Object.values(data);
  const invalid = (reason: string) => ({
    problem: `Error in parsing resource modifiers provided in configmap ${named}: ${reason}`,
  });
  if (text === undefined || others.length > 0)
    return invalid(`illegal resource modifiers ${named} configmap`);
  try {
    return rulesIn(asObject(loadYaml(text), "the document"));
  } catch (error) {
    return invalid((error as Error).message);
  }
}

/** The object after all rules that mean it, and what went wrong. Rules look at the object as it was before all of them. */
export function applyResourceModifiers(
  rules: readonly ModifierRule[],
  resource: string,
  object: AnyObject,
): { readonly object: AnyObject; readonly errors: readonly string[] } {
  const errors: string[] = [];
  let result = object;
  for (const rule of rules) {
    try {
      if (isMeant(rule, resource, object)) result = modified(rule, result);
    } catch (error) {
      if (!(error instanceof PatchProblem)) throw error;
      if (!error.isTest || !rule.patches.some(({ op }) => op === "test"))
        errors.push(`error in applying patch: ${error.message}`);
    }
  }
  return { object: result, errors };
}

function isMeant(rule: ModifierRule, resource: string, object: AnyObject): boolean {
  const { labels = {}, name = "", namespace = "" } = object.metadata;
  if (namespace !== "" && !admits(rule.namespaces, [], namespace)) return false;
  if (!rule.isMeant(resource) || !(rule.name?.test(name) ?? true)) return false;
  if (rule.labelSelector && !matchesSelector(rule.labelSelector, labels)) return false;
  try {
    applyJsonPatch(object, rule.matches);
    return true;
  } catch (error) {
    if (error instanceof PatchProblem && error.isTest) return false;
    throw error;
  }
}

function modified({ mergePatches, patches }: ModifierRule, object: AnyObject): AnyObject {
  const patched = applyJsonPatch(object, patches);
  const merged = mergePatches.reduce(applyMergePatch, patched) as Partial<AnyObject> | null;
  if (typeof merged?.metadata?.name !== "string")
    throw new PatchProblem("nothing that has a name is left of the object");
  return merged as AnyObject;
}

function rulesIn(document: Fields): ModifierRule[] {
  const { resourceModifierRules: rules, version } = document;
  if (String(version).toLowerCase() !== "v1")
    throw new Error(`unsupported resource modifier version ${version}`);
  if (!Array.isArray(rules) || rules.length === 0)
    throw new Error("resource modifier rules cannot be empty");
  return rules.map((rule) => ruleOf(asObject(rule, "a rule")));
}

function ruleOf(rule: Fields): ModifierRule {
  const conditions = asObject(rule["conditions"] ?? {}, "conditions");
  const resource = conditions["groupResource"];
  if (typeof resource !== "string" || resource === "")
    throw new Error("groupResource cannot be empty");
  const selector = conditions["labelSelector"] as LabelSelector | undefined;
  const problem = selector && selectorProblem(selector);
  if (problem) throw new Error(`error in creating label selector: ${problem}`);
  const [patches, merges, strategic] = ["patches", "mergePatches", "strategicPatches"].map((key) =>
    listOf(rule[key], key),
  ) as [Fields[], Fields[], Fields[]];
  if ([patches, merges, strategic].filter(({ length }) => length > 0).length > 1)
    throw new Error("only one of patches, mergePatches, strategicPatches can be specified");
  if (strategic.length > 0)
    throw new Error("strategicPatches are not supported: use patches or mergePatches");
  if (patches.length + merges.length === 0) throw new Error("no patch data found");
  const name = conditions["resourceNameRegex"];
  return {
    namespaces: listOf(conditions["namespaces"], "namespaces") as unknown as string[],
    isMeant: globbed(resource),
    name: name ? new RegExp(String(name)) : undefined,
    labelSelector: selector,
    matches: listOf(conditions["matches"], "matches").map(({ path, value }) => {
      if (!path) throw new Error("path is required for match rule");
      return { op: "test", path: String(path), value: meantBy(value) };
    }),
    patches: patches.map(operationOf),
    mergePatches: merges.map(({ patchData }) => loadYaml(String(patchData ?? ""))),
  };
}

const operations = ["add", "remove", "replace", "test", "move", "copy"];

function operationOf({ from, operation, path, value }: Fields): PatchOperation {
  const op = String(operation ?? "").toLowerCase();
  if (op === "") throw new Error("operation cannot be empty");
  if (!operations.includes(op)) throw new Error(`unsupported operation ${operation}`);
  if (!path) throw new Error("path cannot be empty");
  return {
    op: op as PatchOperation["op"],
    path: String(path),
    ...(from ? { from: String(from) } : {}),
    value: meantBy(value),
  };
}

/** Values are texts that mean JSON where they can; in quotes they mean themselves. */
function meantBy(given: unknown): unknown {
  const text = String(given ?? "");
  if (text.length > 1 && text.startsWith('"') && text.endsWith('"')) return text.slice(1, -1);
  const lower = text.toLowerCase();
  if (lower === "true" || lower === "false") return lower === "true";
  const isJson = /^[{[]/.test(text) || text === "null" || jsonNumber.test(text);
  return isJson ? JSON.parse(text) : text;
}

/** Neither `0755` nor `0x1f`. */
const jsonNumber = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/** As `deployments.*`: a star stands for one part of the name, two for any. */
function globbed(pattern: string): (resource: string) => boolean {
  const parts = pattern.split(/(\*+)/).map((part) => {
    if (part.startsWith("**")) return ".*";
    return part === "*" ? "[^.]*" : part.replace(/[^\w-]/g, "\\$&");
  });
  const expression = new RegExp(`^${parts.join("")}$`);
  return (resource) => expression.test(resource);
}

type Fields = Readonly<Record<string, unknown>>;

function asObject(value: unknown, what: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw new Error(`${what} is no object`);
}

function listOf(value: unknown, what: string): Fields[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value as Fields[];
  throw new Error(`${what} is no list`);
}
