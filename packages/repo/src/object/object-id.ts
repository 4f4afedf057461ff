/**
 * Object ids: `I` for an index of further objects (may nest), `Z` for a compressed stream (index v1 only), then a
 * content id. `D` after them is an old spelling and is skipped. Format: docs/format/objects.md. Proof: test/object.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import { type ContentId, parseContentId } from "../content-id.ts";

declare const brand: unique symbol;

/** Canonical text of an object id; the empty text stands for "no object". */
export type ObjectId = string & { readonly [brand]: "ObjectId" };

export interface ParsedObjectId {
  /** How many indexes lie above the contents. */
  readonly indirection: number;
  readonly compressed: boolean;
  /** Undefined for the empty id. */
  readonly contentId: ContentId | undefined;
}

/** More levels than any object of 2^63 bytes needs. */
const maxIndirection = 16;

/** @throws {FormatError} `DM_OBJECT_ID_INVALID` */
export function parseObjectId(text: string): ParsedObjectId {
  const match = /^(I*)(Z?)D?([^IZD].*)?$/.exec(text);
  if (!match) throw invalid(text);
  const indirection = match[1]!.length;
  const compressed = match[2] === "Z";
  if ((indirection > 0 && compressed) || indirection > maxIndirection) throw invalid(text);
  const rest = match[3] ?? "";
  try {
    return { indirection, compressed, contentId: rest === "" ? undefined : parseContentId(rest) };
  } catch (cause) {
    throw invalid(text, cause);
  }
}

function invalid(text: string, cause?: unknown): FormatError {
  const shown = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return new FormatError(
    "DM_OBJECT_ID_INVALID",
    `not an object id: ${JSON.stringify(shown)}`,
    { text: shown },
    { cause },
  );
}

/** The canonical id of a checked text. Errors as {@link parseObjectId}. */
export function objectId(text: string): ObjectId {
  return formatObjectId(parseObjectId(text));
}

export function formatObjectId(id: ParsedObjectId): ObjectId {
  return `${"I".repeat(id.indirection)}${id.compressed ? "Z" : ""}${id.contentId ?? ""}` as ObjectId;
}

/** Whether the object is a directory stream: its contents carry the prefix `k`. */
export function isDirectoryObject(id: string): boolean {
  return /^I*k/.test(id);
}
