/**
 * JSON patches (RFC 6902) on one object. Pure: what is given is not changed.
 * Proof: test/restore/json-patch.test.ts.
 * @module
 */
import { sameJson } from "../runtime/merge-patch.ts";

export interface PatchOperation {
  readonly op: "add" | "remove" | "replace" | "test" | "move" | "copy";
  /** A JSON pointer. */
  readonly path: string;
  readonly from?: string | undefined;
  readonly value?: unknown;
}

/** A patch does not fit the object. `isTest` when nothing is wrong but that a test did not hold. */
export class PatchProblem extends Error {
  readonly isTest: boolean;

  constructor(message: string, isTest = false) {
    super(message);
    this.isTest = isTest;
  }
}

type Json = unknown;

/** @throws {PatchProblem} */
export function applyJsonPatch(object: Json, operations: readonly PatchOperation[]): Json {
  let result = structuredClone(object);
  for (const operation of operations) result = applyOne(result, operation);
  return result;
}

function applyOne(document: Json, { from = "", op, path, value }: PatchOperation): Json {
  switch (op) {
    case "add":
      return put(document, path, structuredClone(value), true);
    case "replace":
      read(document, path);
      return put(document, path, structuredClone(value), false);
    case "remove":
      return remove(document, path);
    case "copy":
      return put(document, path, structuredClone(read(document, from)), true);
    case "move": {
      const moved = read(document, from);
      if (path.startsWith(`${from}/`)) throw new PatchProblem(`${from} cannot move into itself`);
      return put(remove(document, from), path, moved, true);
    }
    case "test":
      if (sameJson(read(document, path), value)) return document;
      throw new PatchProblem(`testing value ${path} failed`, true);
  }
}

function namesIn(pointer: string): string[] {
  if (pointer === "") return [];
  if (!pointer.startsWith("/")) throw new PatchProblem(`${pointer} is no JSON pointer`);
  const names = pointer.slice(1).split("/");
  return names.map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function child(at: Json, name: string): Json {
  if (Array.isArray(at)) return /^(0|[1-9]\d*)$/.test(name) ? at[Number(name)] : undefined;
  return isObject(at) && Object.hasOwn(at, name) ? at[name] : undefined;
}

function read(document: Json, pointer: string): Json {
  const found = namesIn(pointer).reduce(child, document);
  if (found === undefined) throw new PatchProblem(`there is nothing at ${pointer}`, true);
  return found;
}

function put(document: Json, pointer: string, value: Json, isInserted: boolean): Json {
  const names = namesIn(pointer);
  const last = names.pop();
  if (last === undefined) return value;
  const parent = names.reduce(child, document);
  if (Array.isArray(parent)) {
    const index = last === "-" ? parent.length : Number(last);
    if (!/^(-|0|[1-9]\d*)$/.test(last) || index > parent.length)
      throw new PatchProblem(`${pointer} is beyond the list`);
    parent.splice(index, isInserted ? 0 : 1, value);
  } else if (isObject(parent)) {
    // A plain assignment would set the prototype.
    Object.defineProperty(parent, last, {
      value,
      configurable: true,
      enumerable: true,
      writable: true,
    });
  } else throw new PatchProblem(`there is nothing that holds ${pointer}`);
  return document;
}

function remove(document: Json, pointer: string): Json {
  read(document, pointer);
  const names = namesIn(pointer);
  const last = names.pop();
  if (last === undefined) throw new PatchProblem("the whole object cannot be removed");
  const parent = names.reduce(child, document);
  if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else if (isObject(parent)) delete parent[last];
  return document;
}

function isObject(value: Json): value is Record<string, Json> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
