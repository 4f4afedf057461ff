/**
 * The index of an object of several parts: `{"stream":"kopia:indirect","entries":[{"s":start,"l":length,"o":id},…]}`.
 * Format: docs/format/objects.md. Proof: test/object.test.ts.
 * @module
 */
import { FormatError, utf8Decode, utf8Encode } from "@dm/core";
import { parseJson } from "../json/raw-json.ts";
import type { ObjectId } from "./object-id.ts";

/** One part of an object, in the index above its parts. */
export interface IndirectEntry {
  /** Bytes from the start of the object. */
  readonly start: number;
  /** Bytes of the part. */
  readonly length: number;
  readonly objectId: string;
}

export function encodeIndirect(entries: readonly IndirectEntry[]): Uint8Array {
  const members = entries.map(({ start, length, objectId }) => {
    const s = start === 0 ? "" : `"s":${start},`;
    const l = length === 0 ? "" : `"l":${length},`;
    return `{${s}${l}"o":"${objectId}"}`;
  });
  const list = entries.length === 0 ? "null" : `[${members.join(",")}]`;
  return utf8Encode(`{"stream":"kopia:indirect","entries":${list}}\n`);
}

/**
 * Entries in offset order, without gaps.
 * @throws {FormatError} `DM_INDIRECT_INVALID` naming the object
 */
export function decodeIndirect(bytes: Uint8Array, id: ObjectId | string): IndirectEntry[] {
  const invalid = (why: string, cause?: unknown): FormatError =>
    new FormatError(
      "DM_INDIRECT_INVALID",
      `index of object ${id}: ${why}`,
      { objectId: id },
      { cause },
    );
  let parsed: unknown;
  try {
    parsed = parseJson(utf8Decode(bytes));
  } catch (cause) {
    throw invalid("not JSON", cause);
  }
  const list = member(parsed, "entries");
  if (list === null || list === undefined) return [];
  if (!Array.isArray(list)) throw invalid("no list of entries");
  let position = 0;
  return list.map((item: unknown, index) => {
    const start = member(item, "s") ?? 0;
    const length = member(item, "l") ?? 0;
    const objectId = member(item, "o");
    if (typeof objectId !== "string" || !isOffset(start) || !isOffset(length))
      throw invalid(`entry ${index} is malformed`);
    if (start !== position)
      throw invalid(`entry ${index} starts at ${start}, expected ${position}`);
    position = start + length;
    if (!Number.isSafeInteger(position)) throw invalid(`entry ${index} ends beyond 2^53`);
    return { start, length, objectId };
  });
}

function isOffset(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** A member by name; Go matches names without regard to case. */
function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  const exact = (value as Record<string, unknown>)[name];
  if (exact !== undefined) return exact;
  for (const [key, found] of Object.entries(value)) if (key.toLowerCase() === name) return found;
  return undefined;
}
