/**
 * The frame of a pack: format copy, preamble, contents without gaps, padding, local index, postamble.
 * @module
 */
import { crc32 } from "node:zlib";
import { formatCopyLength } from "./format.ts";
import { decodeIndex, type Entry } from "./index-blob.ts";

function uvarint(bytes: Uint8Array, at: number): [value: number, next: number] {
  let value = 0;
  for (let next = at, unit = 1; ; next += 1, unit *= 128) {
    const byte = bytes[next];
    if (byte === undefined) throw new Error("the postamble ends inside a number");
    value += (byte & 127) * unit;
    if (byte < 128) return [value, next + 1];
  }
}

function readPostamble(pack: Uint8Array) {
  const length = pack.at(-1) ?? 0;
  const start = pack.length - 1 - length;
  const bytes = Buffer.from(pack.subarray(start, -1));
  if (length < 8 || crc32(bytes.subarray(0, -4)) !== bytes.readUInt32BE(length - 4))
    throw new Error("the postamble's checksum differs");
  const [version, afterVersion] = uvarint(bytes, 0);
  const [ivLength, ivAt] = uvarint(bytes, afterVersion);
  const iv = bytes.subarray(ivAt, ivAt + ivLength);
  const [indexOffset, afterOffset] = uvarint(bytes, ivAt + ivLength);
  const [indexLength, end] = uvarint(bytes, afterOffset);
  if (version !== 1 || end !== length - 4) throw new Error("the postamble is of another kind");
  if (indexOffset + indexLength !== start) throw new Error("the local index ends elsewhere");
  return { iv, indexOffset, indexLength };
}

/** Entries of the local index, once the whole frame was found to be right. */
export function checkPack(
  id: string,
  pack: Uint8Array,
  repository: {
    readonly hasFormatCopy: boolean;
    readonly open: (stored: Uint8Array, iv: Uint8Array) => Uint8Array;
    readonly hash: (data: Uint8Array) => Uint8Array;
  },
): Entry[] {
  if (!/^[pq][0-9a-f]{32}-s[0-9a-f]{16,}$/.test(id)) throw new Error("an odd name for a pack");
  const { iv, indexOffset, indexLength } = readPostamble(pack);
  const plaintext = repository.open(pack.subarray(indexOffset, indexOffset + indexLength), iv);
  if (!Buffer.from(repository.hash(plaintext)).equals(iv))
    throw new Error("the local index has another hash than the postamble says");
  const { entries, trailing } = decodeIndex(plaintext);
  if (trailing !== 32) throw new Error(`${trailing} bytes after the local index, not 32`);

  let at = (repository.hasFormatCopy ? formatCopyLength(pack) : 0) + 32;
  // A deleted content that was moved here has its bytes here, too; other tombstones name other packs.
  const own = entries.filter((entry) => entry.pack === id);
  for (const entry of own.sort((a, b) => a.offset - b.offset)) {
    if (entry.offset !== at)
      throw new Error(`content ${entry.id} begins at ${entry.offset}, not ${at}`);
    if ((entry.id.length % 2 === 1) !== id.startsWith("q"))
      throw new Error(`content ${entry.id} is in a pack of the other kind`);
    at += entry.packedLength;
  }
  const padding = indexOffset - at;
  if (indexOffset % 4096 !== 0 || padding < 1 || padding > 4096)
    throw new Error(`padding of ${padding} bytes up to ${indexOffset}`);
  return entries;
}
