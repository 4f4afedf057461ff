/**
 * S2 streams: chunks with a checksum each, around blocks of literals and copies. Reads Snappy framing as well. One
 * implementation serves every platform.
 * Format: docs/format/compression.md. Proof: test/vectors.test.ts, test/s2.test.ts, test/format-page.test.ts.
 * @module
 */
import { crc32c } from "./crc32.ts";
import { checksumMismatch, corrupt, tooLarge, truncated } from "./failures.ts";
import { copyMatch } from "./growable.ts";
import { createMatcher, type Effort, findMatches } from "./matcher.ts";

const compressedChunk = 0x00;
const rawChunk = 0x01;
const firstSkippableChunk = 0x80;
const identifierChunk = 0xff;
const chunkHeaderLength = 4;
const checksumLength = 4;
const identifiers = ["S2sTwO", "sNaPpY"];
const identifierLength = 6;
/** The largest block a reader takes. */
const maxBlockBytes = 4 * 1024 * 1024;
/** What we write, as Kopia does. */
const blockBytes = 1024 * 1024;

/** CRC-32C as the framing stores it, so that data that holds its own CRC does not give a constant. */
function maskedCrc(data: Uint8Array, from: number, to: number): number {
  const crc = crc32c(data, from, to);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  );
}

/** The length a block states, and where its tags begin. */
function readBlockLength(
  source: Uint8Array,
  at: number,
  end: number,
): { length: number; tags: number } {
  let length = 0;
  for (let scale = 1; scale <= 2 ** 28; scale *= 128) {
    if (at >= end) break;
    const byte = source[at++]!;
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if (length > maxBlockBytes) throw corrupt("s2", `a block of ${length} bytes is too long`, at);
      return { length, tags: at };
    }
  }
  throw corrupt("s2", "length of a block does not end", at);
}

/** Calls `visit` for each data chunk: its type, where its checksum begins and where it ends. */
function walkChunks(
  source: Uint8Array,
  from: number,
  visit: (type: number, body: number, end: number) => void,
): void {
  for (let at = from; at < source.length; ) {
    if (at + chunkHeaderLength > source.length) throw truncated("s2", source.length);
    const type = source[at]!;
    if (at === from && type !== identifierChunk) throw corrupt("s2", "no stream identifier", at);
    const body = at + chunkHeaderLength;
    const end = body + (source[at + 1]! | (source[at + 2]! << 8) | (source[at + 3]! << 16));
    if (type === identifierChunk && end - body !== identifierLength)
      throw corrupt("s2", "no stream identifier", at);
    if (end > source.length) throw truncated("s2", source.length);
    if (type === identifierChunk) {
      const text = String.fromCharCode(...source.subarray(body, end));
      if (!identifiers.includes(text)) throw corrupt("s2", "no stream identifier", at);
    } else if (type === compressedChunk || type === rawChunk) {
      if (end - body < checksumLength)
        throw corrupt("s2", "a chunk is too short for its checksum", at);
      visit(type, body, end);
    } else if (type < firstSkippableChunk) {
      throw corrupt("s2", `no such chunk type as ${type}`, at);
    }
    at = end;
  }
}

/** Decodes the stream from `from` to the end of `source`; an empty one gives empty data. */
export function decodeS2(source: Uint8Array, from: number, maxBytes: number): Uint8Array {
  let total = 0;
  walkChunks(source, from, (type, body, end) => {
    if (type === compressedChunk) {
      total += readBlockLength(source, body + checksumLength, end).length;
    } else {
      const length = end - body - checksumLength;
      if (length > maxBlockBytes)
        throw corrupt("s2", `a chunk of ${length} bytes is too long`, body);
      total += length;
    }
    if (total > maxBytes) throw tooLarge(maxBytes);
  });
  const bytes = new Uint8Array(total);
  let to = 0;
  walkChunks(source, from, (type, body, end) => {
    const start = to;
    if (type === compressedChunk) {
      const { length, tags } = readBlockLength(source, body + checksumLength, end);
      to += length;
      decodeBlock(source, tags, end, bytes, start, to);
    } else {
      bytes.set(source.subarray(body + checksumLength, end), start);
      to += end - body - checksumLength;
    }
    if (maskedCrc(bytes, start, to) !== readUint32(source, body))
      throw checksumMismatch("s2", body);
  });
  return bytes;
}

/** Fills `bytes` from `start` to `stop` with the block whose tags are at `from` up to `end`; both must come out even. */
function decodeBlock(
  source: Uint8Array,
  from: number,
  end: number,
  bytes: Uint8Array,
  start: number,
  stop: number,
): void {
  let at = from;
  let to = start;
  let offset = 0;
  while (at < end) {
    const tag = source[at++]!;
    let length = tag >> 2;
    if ((tag & 3) === 0) {
      if (length >= 60) {
        const count = length - 59;
        if (at + count > end) throw corrupt("s2", "a literal ends early", at);
        length = source[at]!;
        if (count > 1) length |= source[at + 1]! << 8;
        if (count > 2) length |= source[at + 2]! << 16;
        if (count > 3 && source[at + 3] !== 0) throw corrupt("s2", "a literal is too long", at);
        at += count;
      }
      length++;
      if (length > end - at || length > stop - to) throw corrupt("s2", "a literal is too long", at);
      if (length > 24) {
        bytes.set(source.subarray(at, at + length), to);
        to += length;
        at += length;
      } else {
        for (const last = at + length; at < last; ) bytes[to++] = source[at++]!;
      }
      continue;
    }
    if ((tag & 3) === 1) {
      if (at >= end) throw corrupt("s2", "a copy ends early", at);
      const stated = ((tag & 0xe0) << 3) | source[at++]!;
      length = (tag >> 2) & 7;
      if (stated !== 0) {
        offset = stated;
        length += 4;
      } else if (length < 5) {
        length += 4;
      } else {
        const count = length - 4;
        if (at + count > end) throw corrupt("s2", "a copy ends early", at);
        length = source[at]!;
        if (count === 1) length += 8;
        else if (count === 2) length = (length | (source[at + 1]! << 8)) + 260;
        else length = (length | (source[at + 1]! << 8) | (source[at + 2]! << 16)) + 65540;
        at += count;
      }
    } else {
      const count = (tag & 3) === 2 ? 2 : 4;
      if (at + count > end) throw corrupt("s2", "a copy ends early", at);
      length++;
      offset = source[at]! | (source[at + 1]! << 8);
      if (count === 4) offset = (offset | (source[at + 2]! << 16) | (source[at + 3]! << 24)) >>> 0;
      at += count;
    }
    if (offset === 0 || offset > to - start)
      throw corrupt("s2", "a copy reaches before the start of its block", at);
    if (length > stop - to) throw corrupt("s2", "a copy is too long", at);
    if (length > 24) {
      copyMatch(bytes, to, offset, length);
      to += length;
    } else {
      let back = to - offset;
      for (const last = to + length; to < last; ) bytes[to++] = bytes[back++]!;
    }
  }
  if (to !== stop) throw corrupt("s2", "a block is shorter than it states", at);
}

/** One stream, after `prefixLength` bytes left free for the caller; empty data gives an empty stream. */
export function encodeS2(data: Uint8Array, effort: Effort, prefixLength: number): Uint8Array {
  if (data.length === 0) return new Uint8Array(prefixLength);
  const overhead = chunkHeaderLength + checksumLength;
  const blockCount = Math.ceil(data.length / blockBytes);
  const bytes = new Uint8Array(
    prefixLength + chunkHeaderLength + identifierLength + blockCount * overhead + data.length,
  );
  let to = prefixLength;
  bytes.set([identifierChunk, identifierLength, 0, 0], to);
  to += chunkHeaderLength;
  for (let index = 0; index < identifierLength; index++)
    bytes[to++] = identifiers[0]!.charCodeAt(index);
  const matcher = createMatcher(data, blockBytes, effort);
  for (let from = 0; from < data.length; from += blockBytes) {
    const end = Math.min(data.length, from + blockBytes);
    const body = to + overhead;
    const count = findMatches(matcher, from, end, from, blockBytes);
    const coded = encodeBlock(data, from, end, matcher.sequences, count, bytes, body);
    let stop = coded;
    if (coded < 0) {
      bytes.set(data.subarray(from, end), body);
      stop = body + end - from;
    }
    const length = stop - to - chunkHeaderLength;
    const crc = maskedCrc(data, from, end);
    bytes.set([coded < 0 ? rawChunk : compressedChunk, length, length >>> 8, length >>> 16], to);
    bytes.set([crc, crc >>> 8, crc >>> 16, crc >>> 24], to + chunkHeaderLength);
    to = stop;
  }
  return bytes.slice(0, to);
}

/** Writes a block at `to`; returns where it ends, or -1 when it would not be shorter than the data. */
function encodeBlock(
  data: Uint8Array,
  from: number,
  end: number,
  sequences: Int32Array,
  count: number,
  bytes: Uint8Array,
  start: number,
): number {
  /** Beyond this a block is no shorter than its data; a sequence takes at most 13 bytes besides its literals. */
  const limit = start + (end - from) - 16;
  let to = start;
  let length = end - from;
  for (; length >= 0x80; length >>>= 7) bytes[to++] = (length & 0x7f) | 0x80;
  bytes[to++] = length;
  let at = from;
  let previous = 0;
  for (let index = 0, field = 0; index <= count; index++, field += 3) {
    const literalLength = index < count ? sequences[field]! : end - at;
    if (literalLength > 0) {
      if (to + literalLength > limit) return -1;
      const stated = literalLength - 1;
      if (stated < 60) bytes[to++] = stated << 2;
      else {
        const width = stated < 1 << 8 ? 1 : stated < 1 << 16 ? 2 : 3;
        bytes[to++] = (59 + width) << 2;
        bytes[to++] = stated;
        if (width > 1) bytes[to++] = stated >>> 8;
        if (width > 2) bytes[to++] = stated >>> 16;
      }
      if (literalLength > 24) {
        bytes.set(data.subarray(at, at + literalLength), to);
        to += literalLength;
        at += literalLength;
      } else {
        for (const last = at + literalLength; at < last; ) bytes[to++] = data[at++]!;
      }
    }
    if (index === count) break;
    if (to > limit) return -1;
    let rest = sequences[field + 1]!;
    const offset = sequences[field + 2]!;
    at += rest;
    if (offset !== previous) {
      // The offset once, with as much of the length as its form holds; what is left must be nothing or at least 4.
      if (offset < 1 << 11 && (rest < 12 || rest > 64)) {
        const part = rest < 12 ? rest : 8;
        bytes[to++] = ((offset >>> 8) << 5) | ((part - 4) << 2) | 1;
        bytes[to++] = offset;
        rest -= part;
      } else {
        const part = rest <= 64 ? rest : 60;
        const wide = offset >= 1 << 16;
        bytes[to++] = ((part - 1) << 2) | (wide ? 3 : 2);
        bytes[to++] = offset;
        bytes[to++] = offset >>> 8;
        if (wide) {
          bytes[to++] = offset >>> 16;
          bytes[to++] = offset >>> 24;
        }
        rest -= part;
      }
      previous = offset;
    }
    if (rest === 0) continue;
    // A repeat of the offset; its longest form holds a whole block.
    if (rest <= 8) {
      bytes[to++] = ((rest - 4) << 2) | 1;
      bytes[to++] = 0;
    } else {
      const width = rest < 260 ? 1 : rest < 65540 ? 2 : 3;
      const stated = rest - (width === 1 ? 8 : width === 2 ? 260 : 65540);
      bytes[to++] = ((4 + width) << 2) | 1;
      bytes[to++] = 0;
      bytes[to++] = stated;
      if (width > 1) bytes[to++] = stated >>> 8;
      if (width > 2) bytes[to++] = stated >>> 16;
    }
  }
  return to <= start + (end - from) - 1 ? to : -1;
}
