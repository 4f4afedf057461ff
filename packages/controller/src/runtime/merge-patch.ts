/**
 * JSON merge patches (RFC 7396): the one between two objects, and what one makes of an object.
 * Proof: test/runtime/merge-patch.test.ts.
 * @module
 */

/**
 * The patch that makes `after` of `before`; undefined when there is nothing to change. Lists are replaced whole. A null in
 * `after` cannot be written by a merge patch and counts as absent.
 */
export function mergePatchBetween(before: object, after: object): object | undefined {
  const patch: Record<string, unknown> = {};
  const was = before as Record<string, unknown>;
  const is = after as Record<string, unknown>;
  for (const name of Object.keys(was)) {
    const gone = is[name] === undefined || is[name] === null;
    if (gone && was[name] !== undefined && was[name] !== null) patch[name] = null;
  }
  for (const [name, value] of Object.entries(is)) {
    if (value === undefined || value === null || sameJson(was[name], value)) continue;
    const old = was[name];
    patch[name] = isObject(old) && isObject(value) ? mergePatchBetween(old, value) : value;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

/** A new value; nothing of `target` is changed, but parts of both are shared with it. */
export function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else if (value !== undefined) result[name] = applyMergePatch(result[name], value);
  }
  return result;
}

/** Whether two values are the same JSON; a key that is undefined is absent. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, at) => sameJson(item, b[at]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
    if (!sameJson(a[name], b[name])) return false;
  }
  return true;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
