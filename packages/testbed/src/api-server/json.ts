/**
 * Copies and comparisons of JSON values, which the store makes at every write.
 * Proof: test/api-server/patches.test.ts.
 * @module
 */
import type { Json } from "../kube-object.ts";

/** A deep copy; fields that are undefined are left out, as JSON leaves them out. */
export function copyJson<T>(value: T): T {
  return copy(value) as T;
}

function copy(value: Json): Json {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copy);
  const result: Record<string, Json> = {};
  for (const key of Object.keys(value)) {
    const field = value[key];
    if (field !== undefined && key !== "__proto__") result[key] = copy(field);
  }
  return result;
}

/** Whether both are the same JSON; the order of fields does not matter. */
export function equalJson(a: Json, b: Json): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  if (Array.isArray(a)) {
    return a.length === b.length && a.every((item, index) => equalJson(item, b[index]));
  }
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && equalJson(a[key], b[key]));
}

export function isObject(value: Json): value is Record<string, Json> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value at a path of field names, or undefined. */
export function valueAt(value: Json, path: readonly string[]): Json {
  let at = value;
  for (const name of path) {
    if (!isObject(at) || !Object.hasOwn(at, name)) return undefined;
    at = at[name];
  }
  return at;
}
