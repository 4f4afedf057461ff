/**
 * Label and field selectors in their text form, as they stand in the query of a request.
 * Proof: test/api-server/selectors.test.ts.
 * @module
 */
import type { StoredObject } from "../kube-object.ts";
import { badRequest } from "./api-error.ts";
import { type ApiKind, apiVersionName } from "./api-kind.ts";
import { valueAt } from "./json.ts";

export type ObjectFilter = (object: StoredObject) => boolean;

type Labels = Readonly<Record<string, string>>;

const setTerm = /^\s*([^\s!=,()]+)\s+(in|notin)\s*\(([^)]*)\)\s*$/;
const equalTerm = /^\s*([^\s!=,()<>]+)\s*(==|=|!=)\s*([^\s=,()!]*)\s*$/;
const orderTerm = /^\s*([^\s!=,()<>]+)\s*([<>])\s*(-?\d+)\s*$/;
const existsTerm = /^\s*(!?)\s*([^\s!=,()<>]+)\s*$/;

/** @throws {ApiError} 400 */
export function parseLabelSelector(text: string): (labels: Labels) => boolean {
  const terms = splitTerms(text).map(parseLabelTerm);
  return (labels) => terms.every((term) => term(labels));
}

/** At commas, but not at those inside parentheses. */
function splitTerms(text: string): string[] {
  const terms = text.match(/[^,(]*(\([^)]*\)[^,(]*)?/g) ?? [];
  return terms.filter((term) => term.trim() !== "");
}

function parseLabelTerm(term: string): (labels: Labels) => boolean {
  const set = setTerm.exec(term);
  if (set) {
    const [, key = "", operator, list = ""] = set;
    const values = new Set(list.split(",").map((value) => value.trim()));
    const wanted = operator === "in";
    return (labels) => {
      const value = labelOf(labels, key);
      return value === undefined ? !wanted : values.has(value) === wanted;
    };
  }
  const equal = equalTerm.exec(term);
  if (equal) {
    const [, key = "", operator, wanted = ""] = equal;
    return (labels) => (labelOf(labels, key) === wanted) === (operator !== "!=");
  }
  const order = orderTerm.exec(term);
  if (order) {
    const [, key = "", operator, limit] = order;
    return (labels) => {
      const value = Number(labelOf(labels, key) ?? Number.NaN);
      return operator === "<" ? value < Number(limit) : value > Number(limit);
    };
  }
  const exists = existsTerm.exec(term);
  if (exists) {
    const [, not, key = ""] = exists;
    return (labels) => (labelOf(labels, key) !== undefined) === (not === "");
  }
  throw badRequest(`unable to parse requirement: found ${JSON.stringify(term.trim())}`);
}

function labelOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

interface FieldTerm {
  readonly path: readonly string[];
  readonly value: string;
  readonly equal: boolean;
}

/** @throws {ApiError} 400, also for fields that this kind cannot be selected by */
export function parseFieldSelector(kind: ApiKind, version: string, text: string): ObjectFilter {
  const terms = text
    .split(/(?<!\\),/)
    .filter((term) => term.trim() !== "")
    .map((term): FieldTerm => {
      const match = /^\s*([^=!\s]+)\s*(==|=|!=)\s*(.*)$/.exec(term);
      if (!match) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
      const [, field = "", operator, value = ""] = match;
      const known = ["metadata.name", "metadata.namespace", ...kind.selectableFields];
      if (!known.includes(field)) {
        throw badRequest(
          `Unable to find ${JSON.stringify(`${apiVersionName(kind.group, version)}, Resource=${kind.plural}`)} that match label selector "", field selector ${JSON.stringify(text)}: field label not supported: ${field}`,
        );
      }
      return {
        path: field.split("."),
        value: value.replace(/\\(.)/g, "$1"),
        equal: operator !== "!=",
      };
    });
  return (object) =>
    terms.every(({ path, value, equal }) => (fieldText(object, path) === value) === equal);
}

function fieldText(object: StoredObject, path: readonly string[]): string {
  const value = valueAt(object, path);
  // `source` of an event is an object, selected by its component.
  if (path[0] === "source" && path.length === 1) return String(value?.component ?? "");
  return value === undefined || value === null ? "" : String(value);
}

/** Both selectors of a request; undefined when everything matches. */
export function objectFilter(
  kind: ApiKind,
  version: string,
  query: URLSearchParams,
): ObjectFilter | undefined {
  const labels = query.get("labelSelector") ?? "";
  const fields = query.get("fieldSelector") ?? "";
  const byLabels = labels === "" ? undefined : parseLabelSelector(labels);
  const byFields = fields === "" ? undefined : parseFieldSelector(kind, version, fields);
  if (byLabels === undefined) return byFields;
  return (object) =>
    byLabels(object.metadata.labels ?? {}) && (byFields === undefined || byFields(object));
}
