/**
 * Fields of an object as paths, in the notation of `fieldsV1`: `f:NAME` a field, `k:{…}` an item of a list by its key, `v:VALUE` an
 * item of a set. What is one field depends on the schema: lists are one as a whole unless they say otherwise.
 * Proof: test/api-server/server-side-apply.test.ts.
 * @module
 */
import type { Json } from "../kube-object.ts";
import type { ApiKind, ApiVersion } from "./api-kind.ts";
import { copyJson, equalJson, isObject } from "./json.ts";
import { listMergeKey } from "./strategic-merge.ts";

/** How a value is taken apart. */
export interface FieldType {
  /** Keys of the items of a list, or how a list is treated otherwise. */
  readonly list: readonly string[] | "set" | "atomic";
  /** An object that is one field as a whole. */
  readonly atomic: boolean;
  child(name: string): FieldType;
  readonly item: FieldType;
}

/** Elements of a path, joined. */
export type FieldPath = string;

const separator = "\u0000";

export function splitPath(path: FieldPath): string[] {
  return path.split(separator);
}

function join(path: FieldPath, element: string): FieldPath {
  return path === "" ? element : `${path}${separator}${element}`;
}

function schemaType(schema: Json): FieldType {
  const listType = schema?.["x-kubernetes-list-type"];
  const keys: readonly string[] = schema?.["x-kubernetes-list-map-keys"] ?? [];
  return {
    list: listType === "map" ? keys : listType === "set" ? "set" : "atomic",
    atomic: schema?.["x-kubernetes-map-type"] === "atomic",
    child: (name) => schemaType(schema?.properties?.[name] ?? schema?.additionalProperties),
    get item() {
      return schemaType(schema?.items);
    },
  };
}

/** By the names of fields, as strategic merge does it. */
function builtInType(kind: string, field: string): FieldType {
  const key = listMergeKey(kind, field);
  const set = field === "finalizers" || field === "accessModes";
  return {
    list: key !== undefined ? [key] : set ? "set" : "atomic",
    atomic: atomicMaps.has(field),
    child: (name) => builtInType(kind, name),
    get item() {
      return builtInType(kind, "");
    },
  };
}

const atomicMaps = new Set(["selector", "nodeSelector", "claimRef", "secretRef", "fieldRef"]);

export function rootType(kind: ApiKind, version: ApiVersion): FieldType {
  const type = kind.custom ? schemaType(version.schema) : builtInType(kind.kind, "");
  const metadata = builtInType(kind.kind, "metadata");
  return { ...type, child: (name) => (name === "metadata" ? metadata : type.child(name)) };
}

const serverFields = new Set([
  "name",
  "namespace",
  "generateName",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "managedFields",
  "selfLink",
]);

/** An item is there; what is in it are fields of their own. */
const present = true;

/** Every field of an object that somebody can own, with its value. */
export function fieldValues(object: Json, type: FieldType): Map<FieldPath, Json> {
  const { apiVersion: _, kind: __, metadata, ...rest } = object;
  const found = new Map<FieldPath, Json>();
  const own = Object.entries(metadata ?? {}).filter(([name]) => !serverFields.has(name));
  const all = { ...rest, ...(own.length > 0 ? { metadata: Object.fromEntries(own) } : {}) };
  for (const [name, value] of Object.entries(all))
    collect(value, type.child(name), `f:${name}`, found);
  return found;
}

function collect(value: Json, type: FieldType, path: FieldPath, found: Map<FieldPath, Json>): void {
  if (value === undefined) return;
  if (isObject(value) && !type.atomic && Object.keys(value).length > 0) {
    for (const [name, field] of Object.entries(value)) {
      collect(field, type.child(name), join(path, `f:${name}`), found);
    }
    return;
  }
  if (!Array.isArray(value) || value.length === 0 || type.list === "atomic") {
    found.set(path, value);
    return;
  }
  for (const item of value) {
    const at = join(path, itemElement(item, type.list));
    found.set(at, present);
    if (type.list === "set" || !isObject(item)) continue;
    for (const [name, field] of Object.entries(item)) {
      collect(field, type.item.child(name), join(at, `f:${name}`), found);
    }
  }
}

function itemElement(item: Json, list: readonly string[] | "set"): string {
  if (list === "set" || !isObject(item)) return `v:${JSON.stringify(item)}`;
  const keys = [...list].sort().filter((key) => item[key] !== undefined);
  return `k:${JSON.stringify(Object.fromEntries(keys.map((key) => [key, item[key]])))}`;
}

/** `live` with everything of `applied` in it. */
export function mergeApplied(live: Json, applied: Json, type: FieldType): Json {
  if (isObject(applied) && isObject(live) && !type.atomic) {
    const result: Record<string, Json> = copyJson(live);
    for (const [name, value] of Object.entries(applied)) {
      const before = Object.hasOwn(result, name) ? result[name] : undefined;
      result[name] = mergeApplied(before, value, type.child(name));
    }
    return result;
  }
  const { list } = type;
  if (!Array.isArray(applied) || !Array.isArray(live) || list === "atomic")
    return copyJson(applied);
  const result = copyJson(live);
  for (const item of applied) {
    const element = itemElement(item, list);
    const index = result.findIndex((one) => itemElement(one, list) === element);
    if (index < 0) result.push(copyJson(item));
    else result[index] = mergeApplied(result[index], item, type.item);
  }
  return result;
}

/** Takes a field out, in place, and what held it if that is empty then. */
export function removeField(object: Json, path: FieldPath): void {
  removeAt(object, splitPath(path));
}

function removeAt(at: Json, [element = "", ...rest]: readonly string[]): void {
  if (element.startsWith("f:")) {
    const name = element.slice(2);
    if (!isObject(at) || !Object.hasOwn(at, name)) return;
    if (rest.length > 0) removeAt(at[name], rest);
    const value = at[name];
    const empty = typeof value === "object" && value !== null && Object.keys(value).length === 0;
    if (rest.length === 0 || empty) delete at[name];
    return;
  }
  if (!Array.isArray(at)) return;
  const wanted = JSON.parse(element.slice(2));
  const index = at.findIndex((item) =>
    element.startsWith("v:")
      ? equalJson(item, wanted)
      : isObject(item) && Object.keys(wanted).every((key) => equalJson(item[key], wanted[key])),
  );
  if (index < 0) return;
  if (rest.length > 0) removeAt(at[index], rest);
  else at.splice(index, 1);
}

/** `.spec.containers[name="a"].image`. */
export function pathText(path: FieldPath): string {
  return splitPath(path)
    .map((element) => {
      const text = element.slice(2);
      if (element.startsWith("f:")) return `.${text}`;
      if (element.startsWith("v:")) return `[=${text}]`;
      const keys = Object.entries(JSON.parse(text));
      return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(",")}]`;
    })
    .join("");
}

/** The tree form that is stored. */
export function encodeFields(paths: Iterable<FieldPath>): Json {
  const root: Record<string, Json> = {};
  const nodes = new Map<FieldPath, Record<string, Json>>([["", root]]);
  const nodeOf = (elements: readonly string[]): Record<string, Json> => {
    const path = elements.join(separator);
    let node = nodes.get(path);
    if (node === undefined) {
      node = {};
      nodeOf(elements.slice(0, -1))[elements.at(-1) as string] = node;
      nodes.set(path, node);
    }
    return node;
  };
  const sorted = [...paths].sort();
  for (const path of sorted) nodeOf(splitPath(path));
  for (const path of sorted) {
    const node = nodes.get(path) as Record<string, Json>;
    if (Object.keys(node).length > 0) node["."] = {};
  }
  return root;
}

export function decodeFields(tree: Json): Set<FieldPath> {
  const paths = new Set<FieldPath>();
  const walk = (node: Json, path: FieldPath): void => {
    const names = Object.keys(node ?? {});
    if (path !== "" && (names.length === 0 || names.includes("."))) paths.add(path);
    for (const name of names) if (name !== ".") walk(node[name], join(path, name));
  };
  walk(tree, "");
  return paths;
}
