/**
 * JSON as Go writes a map, which is what Velero's files hold: keys in order, and what HTML minds escaped. The same
 * object comes to the same bytes, whoever wrote it.
 * Proof: test/bucket/go-json.test.ts.
 * @module
 */
const escapes = /[<>&\u2028\u2029]/g;

/** @example goJson({ b: 1, a: "<" }) // '{"a":"\\u003c","b":1}' */
export function goJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, sortedKeys, indent).replace(
    escapes,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function sortedKeys(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  // In the order of UTF-16, which is that of the bytes but for keys beyond the basic plane.
  const keys = Object.keys(value).sort();
  return Object.fromEntries(keys.map((key) => [key, (value as Record<string, unknown>)[key]]));
}
