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
  return encodeSorted(() => sorted, options);
}

/**
 * Encodes entries that come in the order of their ids, each id once, as a merged index yields them. They are asked for
 * twice and not kept: memory is the result's.
 * @throws {FormatError} `DM_INDEX_LIMIT` for what the layout cannot hold
 */
export function encodeSorted(
  entries: () => Iterable<IndexEntry>,
  options: { readonly version: 1 | 2 },
): Uint8Array {
  if (options.version === 1) return encodeV1(entries);
  if (options.version === 2) return encodeV2(entries);
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

  numberOf(name: string): number {
    return this.#numbers.get(name)!;
  }

  add(entry: IndexEntry): void {
    const name = entry.packBlobId;
    if (this.#numbers.has(name)) return;
    const bytes = utf8Encode(name);
    if (bytes.length > 255) throw limit(`pack id of ${bytes.length} bytes`, entry);
    this.#numbers.set(name, this.names.length);
    this.names.push(bytes);
    // Kopia notes no place for the empty name.
    this.offsets.push(bytes.length === 0 ? 0 : this.byteLength);
    this.byteLength += bytes.length;
  }

  writeTo(bytes: Uint8Array, offset: number): void {
    for (const [number, name] of this.names.entries())
      bytes.set(name, offset + this.offsets[number]!);
  }
}

/** Formats (compression, format version, key) in order of first use. */
class Formats {
  readonly #numbers = new Map<number, number>();
  readonly entries: IndexEntry[] = [];

  static #key(entry: IndexEntry): number {
    return (entry.compressionHeaderId * 256 + entry.formatVersion) * 256 + entry.encryptionKeyId;
  }

  numberOf(entry: IndexEntry): number {
    return this.#numbers.get(Formats.#key(entry))!;
  }

  add(entry: IndexEntry): void {
    const key = Formats.#key(entry);
    if (this.#numbers.has(key)) return;
    this.#numbers.set(key, this.entries.length);
    this.entries.push(entry);
  }
}

function keyOf(entry: IndexEntry, keyBytes: number): Uint8Array {
  const key = contentIdKey(entry.contentId);
  if (key.length !== keyBytes)
    throw limit(`content ids of different lengths: ${keyBytes} and ${key.length}`, entry);
  return key;
}

function encodeV1(entries: () => Iterable<IndexEntry>): Uint8Array {
  let count = 0;
  let keyBytes = emptyV1KeyBytes;
  const packs = new PackNames();
  for (const entry of entries()) {
    if (entry.packBlobId === "") throw limit(`entry of ${entry.contentId} names no pack`, entry);
    if (entry.compressionHeaderId !== 0)
      throw limit("index version 1 cannot hold compressed contents", entry);
    if (entry.packOffset >= 2 ** 31 || entry.packedLength >= 2 ** 32)
      throw limit(`pack offset ${entry.packOffset} is too high`, entry);
    if (count === 0) keyBytes = contentIdKey(entry.contentId).length;
    packs.add(entry);
    count += 1;
  }
  const stride = keyBytes + v1EntryBytes;
  const extraOffset = v1HeaderBytes + count * stride;
  const bytes = new Uint8Array(extraOffset + packs.byteLength);
  const view = new DataView(bytes.buffer);
  bytes[0] = 1;
  bytes[1] = keyBytes;
  view.setUint16(2, v1EntryBytes);
  view.setUint32(4, count);
  let at = v1HeaderBytes;
  for (const entry of entries()) {
    const pack = packs.numberOf(entry.packBlobId);
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

function encodeV2(entries: () => Iterable<IndexEntry>): Uint8Array {
  let count = 0;
  let keyBytes = 0;
  let longLengths = false;
  const packs = new PackNames();
  const formats = new Formats();
  for (const entry of entries()) {
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
    if (count === 0) keyBytes = contentIdKey(entry.contentId).length;
    packs.add(entry);
    formats.add(entry);
    count += 1;
  }
  if (count === 0) throw limit("an index of version 2 must have entries");
  const formatCount = formats.entries.length;
  if (formatCount > 255) throw limit(`${formatCount} formats in one index, at most 255`);
  if (packs.names.length > 2 ** 24)
    throw limit(`${packs.names.length} packs in one index, at most 2^24`);
  let entryBytes = 16;
  if (formatCount > 1) entryBytes = 17;
  if (packs.names.length > 65536) entryBytes = 18;
  if (longLengths) entryBytes = 19;

  const stride = keyBytes + entryBytes;
  const packsOffset = v2HeaderBytes + count * stride;
  const formatsOffset = packsOffset + packs.names.length * v2PackBytes;
  const extraOffset = formatsOffset + formatCount * v2FormatBytes;
  const bytes = new Uint8Array(extraOffset + packs.byteLength);
  const view = new DataView(bytes.buffer);
  bytes[0] = 2;
  bytes[1] = keyBytes;
  view.setUint16(2, entryBytes);
  view.setUint32(4, count);
  view.setUint32(8, packs.names.length);
  bytes[12] = formatCount;
  let at = v2HeaderBytes;
  for (const entry of entries()) {
    const pack = packs.numberOf(entry.packBlobId);
    const format = formats.numberOf(entry);
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
  for (const [number, entry] of formats.entries.entries()) {
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

const shardOf = (entry: IndexEntry, count: number): number => fnv1a32(entry.contentId) % count;

/** Spreads entries over as few blobs as the limit allows, by the hash of their ids; empty shards are dropped. */
export function shardIndexEntries(
  entries: readonly IndexEntry[],
  maxEntriesPerShard: number = maxEntriesPerIndex,
): IndexEntry[][] {
  if (entries.length === 0) return [];
  const count = Math.ceil(entries.length / maxEntriesPerShard);
  if (count === 1) return [[...entries]];
  const shards = Array.from({ length: count }, (): IndexEntry[] => []);
  for (const entry of entries) shards[shardOf(entry, count)]!.push(entry);
  return shards.filter((shard) => shard.length > 0);
}

/** As {@link shardIndexEntries}, of entries that are asked for again and again and not kept. */
export function shardSorted(
  entries: () => Iterable<IndexEntry>,
  maxEntriesPerShard: number = maxEntriesPerIndex,
): Array<() => Iterable<IndexEntry>> {
  let total = 0;
  for (const _ of entries()) total += 1;
  const count = Math.ceil(total / maxEntriesPerShard);
  if (count < 2) return count === 0 ? [] : [entries];
  const used = new Set<number>();
  for (const entry of entries()) used.add(shardOf(entry, count));
  return [...used]
    .sort((a, b) => a - b)
    .map(
      (shard) =>
        function* () {
          for (const entry of entries()) if (shardOf(entry, count) === shard) yield entry;
        },
    );
}
