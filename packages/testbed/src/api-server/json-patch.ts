/**
 * JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386).
 * Proof: test/api-server/patches.test.ts.
 * @module
 */
import type { Json } from "../kube-object.ts";
import { ApiError, badRequest } from "./api-error.ts";
import { copyJson, equalJson, isObject } from "./json.ts";

function failed(message: string): ApiError {
  return new ApiError(
    422,
    "Invalid",
    `the server rejected our request due to an error in our request: ${message}`,
    {},
  );
}

/** @throws {ApiError} 400 when it is no JSON Patch, 422 when it does not apply */
export function applyJsonPatch(document: Json, patch: Json): Json {
  if (!Array.isArray(patch)) {
    throw badRequest(
      `error decoding patch: json: cannot unmarshal ${isObject(patch) ? "object" : typeof patch} into Go value of type jsonpatch.Patch`,
    );
  }
  let result = copyJson(document);
  for (const operation of patch) result = applyOperation(result, operation);
  return result;
}

function applyOperation(document: Json, operation: Json): Json {
  if (!isObject(operation) || typeof operation["path"] !== "string") {
    throw badRequest("error decoding patch: an operation has no path");
  }
  const { op, path, value, from } = operation;
  switch (op) {
    case "add":
      return write(document, path, copyJson(value ?? null), true);
    case "replace":
      read(document, path);
      return write(document, path, copyJson(value ?? null), false);
    case "remove":
      return remove(document, path);
    case "test":
      if (equalJson(read(document, path, true) ?? null, value ?? null)) return document;
      throw failed(`testing value ${path} failed`);
    case "move": {
      const moved = read(document, from);
      return write(remove(document, from), path, moved, true);
    }
    case "copy":
      return write(document, path, copyJson(read(document, from)), true);
    default:
      throw badRequest(`error decoding patch: Unexpected kind: ${op}`);
  }
}

function parsePointer(pointer: Json): string[] {
  if (typeof pointer !== "string") throw badRequest("error decoding patch: a pointer is missing");
  if (pointer === "") return [];
  if (!pointer.startsWith("/")) throw failed(`${pointer} is no JSON pointer`);
  const names = pointer.slice(1).split("/");
  return names.map((name) => name.replace(/~1/g, "/").replace(/~0/g, "~"));
}

function child(at: Json, name: string): Json {
  if (Array.isArray(at)) return /^\d+$/.test(name) ? at[Number(name)] : undefined;
  return isObject(at) && Object.hasOwn(at, name) ? at[name] : undefined;
}

function read(document: Json, pointer: Json, missingIsFine = false): Json {
  let at = document;
  for (const name of parsePointer(pointer)) at = child(at, name);
  if (at === undefined && !missingIsFine) throw failed(`no value at ${pointer}`);
  return at;
}

function parentOf(document: Json, names: readonly string[], pointer: string): Json {
  let at = document;
  for (const name of names.slice(0, -1)) at = child(at, name);
  if (typeof at !== "object" || at === null) {
    throw failed(
      `add operation does not apply: doc is missing path: ${JSON.stringify(pointer)}: missing value`,
    );
  }
  return at;
}

function write(document: Json, pointer: Json, value: Json, insert: boolean): Json {
  const names = parsePointer(pointer);
  const last = names.at(-1);
  if (last === undefined) return value;
  const parent = parentOf(document, names, pointer);
  if (last === "__proto__") throw failed("this name is not allowed");
  if (!Array.isArray(parent)) parent[last] = value;
  else {
    const index = last === "-" ? parent.length : Number(last);
    if (!Number.isInteger(index) || index < 0 || index > parent.length) {
      throw failed(`index ${last} is out of bounds`);
    }
    parent.splice(index, insert ? 0 : 1, value);
  }
  return document;
}

function remove(document: Json, pointer: Json): Json {
  read(document, pointer);
  const names = parsePointer(pointer);
  const last = names.at(-1);
  if (last === undefined) throw failed("the whole document cannot be removed");
  const parent = parentOf(document, names, pointer);
  if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete parent[last];
  return document;
}

/** @throws {ApiError} 400 */
export function applyMergePatch(document: Json, patch: Json): Json {
  if (!isObject(patch)) throw badRequest("error decoding patch: a merge patch is an object");
  return merge(document, patch);
}

function merge(target: Json, patch: Json): Json {
  if (!isObject(patch)) return copyJson(patch);
  const result: Record<string, Json> = isObject(target) ? copyJson(target) : {};
  for (const [name, value] of Object.entries(patch)) {
    if (name === "__proto__") continue;
    if (value === null) delete result[name];
    else result[name] = merge(Object.hasOwn(result, name) ? result[name] : undefined, value);
  }
  return result;
}
