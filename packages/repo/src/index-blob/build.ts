/**
 * Builds index blobs, byte for byte as Kopia builds them from the same entries.
 * v1: header 8, entries of key + 20 bytes. v2: header 17, entries of key + 16..19 bytes, pack table, format table.
 * Both end with the pack names, each once, in order of first use.
 * Format: docs/format/indexes.md. Proof: test/index-vectors.test.ts.
 * @module
 */
import { FormatError, utf8Encode } from "@dm/core";
import { type ContentId, contentIdKey } from "../content-id.ts";
import { type IndexEntry, preferEntry } from "./entry.ts";

/** Entries above which an index is cut into several blobs. */
export const maxEntriesPerIndex = 16_000_000;

const v1HeaderBytes = 8;
const v1EntryBytes = 20;
const v2HeaderBytes = 17;
const v2PackBytes = 5;
const v2FormatBytes = 6;
const emptyV1KeyBytes = 0xff;

function limit(message: string, entry?: IndexEntry): FormatError {
  return new FormatError("DM_INDEX_LIMIT", message, entry ? { contentId: entry.contentId } : {});
}

/**
 * Encodes entries, given in any order; of several for one content the winning one is kept.
 * @throws {FormatError} `DM_INDEX_LIMIT` for what the layout cannot hold
 */
export function buildIndex(
  entries: Iterable<IndexEntry>,
  options: { readonly version: 1 | 2 },
): Uint8Array {
  const unique = new Map<ContentId, IndexEntry>();
  for (const entry of entries) {
    const known = unique.get(entry.contentId);
    unique.set(entry.contentId, known ? preferEntry(known, entry) : entry);
  }
  const sorted = [...unique.values()].sort((a, b) => (a.contentId < b.contentId ? -1 : 1));
  if (options.version === 1) return buildV1(sorted);
  if (options.version === 2) return buildV2(sorted);
  throw new FormatError(
    "DM_INDEX_VERSION_UNKNOWN",
    `index version ${String(options.version)} is not known; known: 1, 2`,
  );
}

/** Pack names in order of first use, and where each begins in the extra data. */
class PackNames {
  readonly #numbers = new Map<string, number>();
  readonly names: Uint8Array[] = [];
  readonly offsets: number[] = [];
  byteLength = 0;

  add(name: string, entry: IndexEntry): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    const bytes = utf8Encode(name);
    if (bytes.length > 255) throw limit(`pack id of ${bytes.length} bytes`, entry);
    const number = this.names.length;
    this.#numbers.set(name, number);
    this.names.push(bytes);
    // Kopia notes no place for the empty name.
    this.offsets.push(bytes.length === 0 ? 0 : this.byteLength);
    this.byteLength += bytes.length;
    return number;
  }

  writeTo(bytes: Uint8Array, offset: number): void {
    for (const [number, name] of this.names.entries())
      bytes.set(name, offset + this.offsets[number]!);
  }
}

function keyOf(entry: IndexEntry, keyBytes: number): Uint8Array {
  const key = contentIdKey(entry.contentId);
  if (key.length !== keyBytes)
    throw limit(`content ids of different lengths: ${keyBytes} and ${key.length}`, entry);
  return key;
}

function buildV1(entries: readonly IndexEntry[]): Uint8Array {
  const keyBytes =
    entries.length === 0 ? emptyV1KeyBytes : contentIdKey(entries[0]!.contentId).length;
  const packs = new PackNames();
  const numbers = entries.map((entry) => {
    if (entry.packBlobId === "") throw limit(`entry of ${entry.contentId} names no pack`, entry);
    if (entry.compressionHeaderId !== 0)
      throw limit("index version 1 cannot hold compressed contents", entry);
    if (entry.packOffset >= 2 ** 31 || entry.packedLength >= 2 ** 32)
      throw limit(`pack offset ${entry.packOffset} is too high`, entry);
    return packs.add(entry.packBlobId, entry);
  });
  const stride = keyBytes + v1EntryBytes;
  const extraOffset = v1HeaderBytes + entries.length * stride;
  const bytes = new Uint8Array(extraOffset + packs.byteLength);
  const view = new DataView(bytes.buffer);
  bytes[0] = 1;
  bytes[1] = keyBytes;
  view.setUint16(2, v1EntryBytes);
  view.setUint32(4, entries.length);
  let at = v1HeaderBytes;
  for (const [index, entry] of entries.entries()) {
    const pack = numbers[index]!;
    bytes.set(keyOf(entry, keyBytes), at);
    const value = at + keyBytes;
    view.setUint16(value, Math.floor(entry.timestampSeconds / 2 ** 32));
    view.setUint32(value + 2, entry.timestampSeconds >>> 0);
    bytes[value + 6] = entry.formatVersion;
    bytes[value + 7] = packs.names[pack]!.length;
    view.setUint32(value + 8, extraOffset + packs.offsets[pack]!);
    view.setUint32(value + 12, entry.packOffset + (entry.deleted ? 2 ** 31 : 0));
    view.setUint32(value + 16, entry.packedLength);
    at += stride;
  }
  packs.writeTo(bytes, extraOffset);
  return bytes;
}

function buildV2(entries: readonly IndexEntry[]): Uint8Array {
  if (entries.length === 0) throw limit("an index of version 2 must have entries");
  const keyBytes = contentIdKey(entries[0]!.contentId).length;
  const packs = new PackNames();
  const formats = new Map<string, number>();
  const formatEntries: IndexEntry[] = [];
  let longLengths = false;
  const numbers = entries.map((entry) => {
    if (entry.packedLength >= 2 ** 28 || entry.originalLength >= 2 ** 28) {
      throw limit(
        `content of ${entry.originalLength} bytes, ${entry.packedLength} stored, is too long`,
        entry,
      );
    }
    if (entry.packOffset >= 2 ** 30)
      throw limit(`pack offset ${entry.packOffset} is too high`, entry);
    if (entry.timestampSeconds >= 2 ** 32)
      throw limit(`timestamp ${entry.timestampSeconds} is too high`, entry);
    longLengths ||= entry.packedLength >= 2 ** 24 || entry.originalLength >= 2 ** 24;
    const key = `${entry.compressionHeaderId} ${entry.formatVersion} ${entry.encryptionKeyId}`;
    let format = formats.get(key);
    if (format === undefined) {
      format = formats.size;
      formats.set(key, format);
      formatEntries.push(entry);
    }
    return { pack: packs.add(entry.packBlobId, entry), format };
  });
  if (formats.size > 255) throw limit(`${formats.size} formats in one index, at most 255`);
  if (packs.names.length > 2 ** 24)
    throw limit(`${packs.names.length} packs in one index, at most 2^24`);
  let entryBytes = 16;
  if (formats.size > 1) entryBytes = 17;
  if (packs.names.length > 65536) entryBytes = 18;
  if (longLengths) entryBytes = 19;

  const stride = keyBytes + entryBytes;
  const packsOffset = v2HeaderBytes + entries.length * stride;
  const formatsOffset = packsOffset + packs.names.length * v2PackBytes;
  const extraOffset = formatsOffset + formats.size * v2FormatBytes;
  const bytes = new Uint8Array(extraOffset + packs.byteLength);
  const view = new DataView(bytes.buffer);
  bytes[0] = 2;
  bytes[1] = keyBytes;
  view.setUint16(2, entryBytes);
  view.setUint32(4, entries.length);
  view.setUint32(8, packs.names.length);
  bytes[12] = formats.size;
  let at = v2HeaderBytes;
  for (const [index, entry] of entries.entries()) {
    const { pack, format } = numbers[index]!;
    const { originalLength, packedLength } = entry;
    bytes.set(keyOf(entry, keyBytes), at);
    const value = at + keyBytes;
    view.setUint32(value, entry.timestampSeconds);
    view.setUint32(value + 4, entry.packOffset + (entry.deleted ? 2 ** 31 : 0));
    bytes[value + 8] = originalLength >>> 16;
    view.setUint16(value + 9, originalLength & 0xffff);
    bytes[value + 11] = packedLength >>> 16;
    view.setUint16(value + 12, packedLength & 0xffff);
    view.setUint16(value + 14, pack & 0xffff);
    if (entryBytes > 16) bytes[value + 16] = format;
    if (entryBytes > 17) bytes[value + 17] = pack >>> 16;
    if (entryBytes > 18) bytes[value + 18] = ((originalLength >>> 24) << 4) | (packedLength >>> 24);
    at += stride;
  }
  for (const [number, name] of packs.names.entries()) {
    bytes[packsOffset + number * v2PackBytes] = name.length;
    view.setUint32(packsOffset + number * v2PackBytes + 1, extraOffset + packs.offsets[number]!);
  }
  for (const [number, entry] of formatEntries.entries()) {
    const offset = formatsOffset + number * v2FormatBytes;
    view.setUint32(offset, entry.compressionHeaderId);
    bytes[offset + 4] = entry.formatVersion;
    bytes[offset + 5] = entry.encryptionKeyId;
  }
  packs.writeTo(bytes, extraOffset);
  return bytes;
}

/** FNV-1a, 32 bits, over the text of a content id. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
}

/** Spreads entries over as few blobs as the limit allows, by the hash of their ids; empty shards are dropped. */
export function shardIndexEntries(
  entries: readonly IndexEntry[],
  maxEntriesPerShard: number = maxEntriesPerIndex,
): IndexEntry[][] {
  if (entries.length === 0) return [];
  const count = Math.ceil(entries.length / maxEntriesPerShard);
  if (count === 1) return [[...entries]];
  const shards = Array.from({ length: count }, (): IndexEntry[] => []);
  for (const entry of entries) shards[fnv1a32(entry.contentId) % count]!.push(entry);
  return shards.filter((shard) => shard.length > 0);
}
