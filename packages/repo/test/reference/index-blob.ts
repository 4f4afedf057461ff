/**
 * Index blobs, layouts 1 and 2: decoded to entries, and written again, since only one form is right.
 * @module
 */

export interface Entry {
  readonly id: string;
  readonly timestamp: number;
  readonly pack: string;
  readonly offset: number;
  readonly packedLength: number;
  readonly length: number;
  /** 0: not compressed. */
  readonly compression: number;
  readonly formatVersion: number;
  readonly deleted: boolean;
}

function idOfKey(key: Buffer): string {
  return (key[0] === 0 ? "" : String.fromCharCode(key[0]!)) + key.toString("hex", 1);
}

function keyOfId(id: string): Buffer {
  const prefix = id.length % 2 === 1 ? id.charCodeAt(0) : 0;
  return Buffer.concat([Buffer.of(prefix), Buffer.from(prefix ? id.slice(1) : id, "hex")]);
}

/** Entries, and how many bytes after the index are left. */
export function decodeIndex(plaintext: Uint8Array): { entries: Entry[]; trailing: number } {
  const bytes = Buffer.from(plaintext.buffer, plaintext.byteOffset, plaintext.length);
  const entries = bytes[0] === 1 ? decodeV1(bytes) : bytes[0] === 2 ? decodeV2(bytes) : undefined;
  if (!entries) throw new Error(`index layout ${bytes[0]}`);
  const again = bytes[0] === 1 ? encodeV1(entries) : encodeV2(entries);
  if (!bytes.subarray(0, again.length).equals(again))
    throw new Error("the index has another form than a writer gives it");
  return { entries, trailing: bytes.length - again.length };
}

function decodeV1(bytes: Buffer): Entry[] {
  const keyLength = bytes[1]!;
  if (bytes.readUInt16BE(2) !== 20) throw new Error("entries of an odd size");
  return Array.from({ length: bytes.readUInt32BE(4) }, (_, i) => {
    const at = 8 + i * (keyLength + 20);
    const value = bytes.subarray(at + keyLength, at + keyLength + 20);
    const name = value.readUInt32BE(8);
    return {
      id: idOfKey(bytes.subarray(at, at + keyLength)),
      timestamp: value.readUIntBE(0, 6),
      pack: bytes.toString("latin1", name, name + value[7]!),
      offset: value.readUInt32BE(12) & 0x7fffffff,
      packedLength: value.readUInt32BE(16),
      length: value.readUInt32BE(16) - 28,
      compression: 0,
      formatVersion: value[6]!,
      deleted: value.readInt32BE(12) < 0,
    };
  });
}

function encodeV1(entries: readonly Entry[]): Buffer {
  const sorted = sortedUnique(entries);
  const keyLength = sorted[0]?.key.length ?? 0xff;
  const start = 8 + (sorted.length > 0 ? sorted.length * (keyLength + 20) : 0);
  const names = nameTable(sorted, start);
  const header = Buffer.from([1, keyLength, 0, 20, 0, 0, 0, 0]);
  header.writeUInt32BE(sorted.length, 4);
  const rows = sorted.map(({ key, entry }) => {
    const value = Buffer.alloc(20);
    value.writeUIntBE(entry.timestamp, 0, 6);
    value[6] = entry.formatVersion;
    value[7] = entry.pack.length;
    value.writeUInt32BE(names.offsets.get(entry.pack)!, 8);
    value.writeUInt32BE(entry.offset + (entry.deleted ? 2 ** 31 : 0), 12);
    value.writeUInt32BE(entry.packedLength, 16);
    return Buffer.concat([key, value]);
  });
  return Buffer.concat([header, ...rows, names.text]);
}

function decodeV2(bytes: Buffer): Entry[] {
  const keyLength = bytes[1]!;
  const size = bytes.readUInt16BE(2);
  const count = bytes.readUInt32BE(4);
  const packCount = bytes.readUInt32BE(8);
  const base = bytes.readUInt32BE(13);
  const packsAt = 17 + count * (keyLength + size);
  const formatsAt = packsAt + 5 * packCount;
  const packs = Array.from({ length: packCount }, (_, i) => {
    const at = packsAt + 5 * i;
    const name = bytes.readUInt32BE(at + 1);
    return bytes.toString("latin1", name, name + bytes[at]!);
  });
  return Array.from({ length: count }, (_, i) => {
    const at = 17 + i * (keyLength + size);
    const value = Buffer.alloc(19);
    bytes.copy(value, 0, at + keyLength, at + keyLength + size);
    const format = bytes.subarray(formatsAt + 6 * value[16]!, formatsAt + 6 * value[16]! + 6);
    if (format[5] !== 0) throw new Error(`encryption key ${format[5]}`);
    return {
      id: idOfKey(bytes.subarray(at, at + keyLength)),
      timestamp: base + value.readUInt32BE(0),
      pack: packs[value.readUInt16BE(14) + (value[17]! << 16)]!,
      offset: value.readUInt32BE(4) & 0x7fffffff,
      packedLength: value.readUIntBE(11, 3) + ((value[18]! & 15) << 24),
      length: value.readUIntBE(8, 3) + ((value[18]! >> 4) << 24),
      compression: format.readUInt32BE(0),
      formatVersion: format[4]!,
      deleted: value.readInt32BE(4) < 0,
    };
  });
}

function encodeV2(entries: readonly Entry[]): Buffer {
  const sorted = sortedUnique(entries);
  const keyLength = sorted[0]!.key.length;
  const formatOf = (entry: Entry): string => `${entry.compression}/${entry.formatVersion}`;
  const packs = [...new Set(sorted.map(({ entry }) => entry.pack))];
  const formats = [...new Set(sorted.map(({ entry }) => formatOf(entry)))];
  const long = entries.some((entry) => Math.max(entry.length, entry.packedLength) >= 2 ** 24);
  const size = long ? 19 : packs.length > 65536 ? 18 : formats.length > 1 ? 17 : 16;
  const packNumbers = new Map(packs.map((pack, i) => [pack, i]));
  const start = 17 + sorted.length * (keyLength + size) + 5 * packs.length + 6 * formats.length;
  const names = nameTable(sorted, start);
  const header = Buffer.alloc(17);
  header[0] = 2;
  header[1] = keyLength;
  header.writeUInt16BE(size, 2);
  header.writeUInt32BE(sorted.length, 4);
  header.writeUInt32BE(packs.length, 8);
  header[12] = formats.length;
  const rows = sorted.map(({ key, entry }) => {
    const value = Buffer.alloc(19);
    const pack = packNumbers.get(entry.pack)!;
    value.writeUInt32BE(entry.timestamp, 0);
    value.writeUInt32BE(entry.offset + (entry.deleted ? 2 ** 31 : 0), 4);
    value.writeUIntBE(entry.length % 2 ** 24, 8, 3);
    value.writeUIntBE(entry.packedLength % 2 ** 24, 11, 3);
    value.writeUInt16BE(pack % 65536, 14);
    value[16] = formats.indexOf(formatOf(entry));
    value[17] = pack >> 16;
    value[18] = ((entry.length >> 24) << 4) | (entry.packedLength >> 24);
    return Buffer.concat([key, value.subarray(0, size)]);
  });
  const packTable = packs.map((pack) => {
    const row = Buffer.from([pack.length, 0, 0, 0, 0]);
    row.writeUInt32BE(names.offsets.get(pack)!, 1);
    return row;
  });
  const formatTable = formats.map((format) => {
    const [compression, version] = format.split("/").map(Number) as [number, number];
    const row = Buffer.alloc(6);
    row.writeUInt32BE(compression, 0);
    row[4] = version;
    return row;
  });
  return Buffer.concat([header, ...rows, ...packTable, ...formatTable, names.text]);
}

function sortedUnique(entries: readonly Entry[]): { key: Buffer; entry: Entry }[] {
  const keyed = entries.map((entry) => ({ key: keyOfId(entry.id), entry }));
  keyed.sort((a, b) => Buffer.compare(a.key, b.key));
  for (const [i, { key }] of keyed.entries())
    if (i > 0 && key.equals(keyed[i - 1]!.key)) throw new Error("two entries for one content");
  return keyed;
}

/** Pack names, each once, in the order of their first use. */
function nameTable(sorted: readonly { entry: Entry }[], start: number) {
  const offsets = new Map<string, number>();
  let text = "";
  for (const { entry } of sorted) {
    if (offsets.has(entry.pack)) continue;
    offsets.set(entry.pack, start + text.length);
    text += entry.pack;
  }
  return { offsets, text: Buffer.from(text, "latin1") };
}

/** Of several entries for one content the newest counts; a living one before a deleted one; the greater pack. */
export function mergeEntries(lists: Iterable<readonly Entry[]>): Map<string, Entry> {
  const merged = new Map<string, Entry>();
  for (const list of lists) {
    for (const entry of list) {
      const known = merged.get(entry.id);
      if (!known || isNewer(entry, known)) merged.set(entry.id, entry);
    }
  }
  return merged;
}

function isNewer(a: Entry, b: Entry): boolean {
  if (a.timestamp !== b.timestamp) return a.timestamp > b.timestamp;
  if (a.deleted !== b.deleted) return b.deleted;
  return a.pack > b.pack;
}
