/**
 * The JSONPath of printer columns: `.status.phase`, `.spec.items[0].name`, `.items[*].name`,
 * `.status.conditions[?(@.type=='Ready')].status`, `.metadata.annotations.example\.com/x`.
 * Proof: test/api-server/table.test.ts.
 * @module
 */
import type { Json } from "../kube-object.ts";
import { isObject } from "./json.ts";

type Step = (values: readonly Json[]) => Json[];

/** All values that the path names, in order. */
export type JsonPath = (object: Json) => Json[];

const paths = new Map<string, JsonPath | undefined>();

/** Undefined for a path that this server cannot read: its column stays empty. */
export function parseJsonPath(text: string): JsonPath | undefined {
  if (!paths.has(text)) {
    const steps = parseSteps(text.replace(/^\{(.*)\}$/, "$1").replace(/^\$/, ""));
    const path: JsonPath | undefined =
      steps && ((object) => steps.reduce<Json[]>((values, step) => step(values), [object]));
    paths.set(text, path);
  }
  return paths.get(text);
}

const field = /^\.?((?:\\.|[^.[\]\\])+)/;
const quoted = /^\[(['"])((?:\\.|(?!\1).)*)\1\]/;
const index = /^\[(-?\d+|\*)\]/;
const filter = /^\[\?\(\s*@((?:\.|\[)[^=!<>]*?)\s*(==|!=)\s*(?:(['"])(.*?)\3|([^)\s]+))\s*\)\]/;

function parseSteps(text: string): Step[] | undefined {
  const steps: Step[] = [];
  let rest = text;
  while (rest !== "") {
    const match = filter.exec(rest) ?? quoted.exec(rest) ?? index.exec(rest) ?? field.exec(rest);
    if (!match) return undefined;
    const step = stepOf(match, rest);
    if (step === undefined) return undefined;
    steps.push(step);
    rest = rest.slice(match[0].length);
  }
  return steps;
}

function stepOf(match: RegExpExecArray, rest: string): Step | undefined {
  if (rest.startsWith("[?")) {
    const inner = parseSteps(match[1] as string);
    if (inner === undefined) return undefined;
    const wanted = match[4] ?? match[5];
    const equal = match[2] === "==";
    return (values) =>
      values.flatMap(elements).filter((item) => {
        const [found] = inner.reduce<Json[]>((all, step) => step(all), [item]);
        return (String(found) === wanted) === equal;
      });
  }
  if (rest.startsWith("['") || rest.startsWith('["'))
    return fieldStep(withoutEscapes(match[2] as string));
  if (rest.startsWith("[")) {
    const at = match[1] as string;
    if (at === "*") return (values) => values.flatMap(elements);
    return (values) =>
      values.flatMap((value) => {
        const item = Array.isArray(value) ? value.at(Number(at)) : undefined;
        return item === undefined ? [] : [item];
      });
  }
  const name = match[1] as string;
  return name === "*" ? (values) => values.flatMap(elements) : fieldStep(withoutEscapes(name));
}

function fieldStep(name: string): Step {
  return (values) =>
    values.flatMap((value) => (isObject(value) && Object.hasOwn(value, name) ? [value[name]] : []));
}

function elements(value: Json): Json[] {
  if (Array.isArray(value)) return value;
  return isObject(value) ? Object.values(value) : [];
}

function withoutEscapes(text: string): string {
  return text.replace(/\\(.)/g, "$1");
}
