/**
 * Content ids: an optional letter `g`..`z` and the hexadecimal hash. For one hash length the order of the texts is the
 * order of the binary keys (`prefix byte || hash`), since digits sort before letters and hexadecimal letters before `g`.
 * Format: docs/format/contents.md. Proof: test/content-id.test.ts.
 * @module
 */
import { FormatError, fromHex, toHex } from "@dm/core";

declare const brand: unique symbol;

/** Canonical text of a content id. */
export type ContentId = string & { readonly [brand]: "ContentId" };

const pattern = /^[g-z]?(?:[0-9a-fA-F]{2}){1,32}$/;

/**
 * The canonical form of a content id; upper-case digits are accepted. The empty text is the empty id.
 * @throws {FormatError} `DM_CONTENT_ID_INVALID`
 */
export function parseContentId(text: string): ContentId {
  if (text !== "" && !pattern.test(text)) {
    const shown = text.length > 100 ? `${text.slice(0, 100)}…` : text;
    throw new FormatError("DM_CONTENT_ID_INVALID", `not a content id: ${JSON.stringify(shown)}`, {
      text: shown,
    });
  }
  return text.toLowerCase() as ContentId;
}

/** @throws {RangeError} for a prefix that is not one letter `g`..`z` */
export function contentIdFromHash(prefix: string, hash: Uint8Array): ContentId {
  if (prefix !== "" && !/^[g-z]$/.test(prefix))
    throw new RangeError(`content prefix must be one letter g..z, not ${prefix}`);
  return (prefix + toHex(hash)) as ContentId;
}

/** The letter, or the empty text. */
export function contentIdPrefix(id: ContentId): string {
  return id.length % 2 === 1 ? id[0]! : "";
}

/** The hash in an id, without its prefix. */
export function contentIdHash(id: ContentId): Uint8Array {
  return fromHex(id.length % 2 === 1 ? id.slice(1) : id);
}

/** `prefix byte (0 without a prefix) || hash`. */
export function contentIdKey(id: ContentId): Uint8Array {
  const key = new Uint8Array(1 + (id.length >> 1));
  let at = id.length % 2;
  if (at === 1) key[0] = id.charCodeAt(0);
  for (let index = 1; index < key.length; index++, at += 2)
    key[index] = digit(id.charCodeAt(at)) * 16 + digit(id.charCodeAt(at + 1));
  return key;
}

/** Value of `0`..`9` and `a`..`f`; an id holds nothing else. */
const digit = (code: number): number => (code & 15) + (code >> 6) * 9;

export function contentIdFromKey(key: Uint8Array): ContentId {
  const prefix = key[0] === 0 ? "" : String.fromCharCode(key[0]!);
  return (prefix + toHex(key.subarray(1))) as ContentId;
}
