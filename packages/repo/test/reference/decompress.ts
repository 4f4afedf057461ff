/**
 * Compressed payloads by header id. S2 streams are decoded here, the rest by node:zlib.
 * @module
 */
import { gunzipSync, inflateRawSync, zstdDecompressSync } from "node:zlib";

export function decompress(payload: Uint8Array): Uint8Array {
  const header = Buffer.from(payload.subarray(0, 4)).readUInt32BE(0);
  const body = payload.subarray(4);
  if (header <= 0x1002 || (header >= 0x1300 && header <= 0x1302)) return gunzipSync(body);
  if (header >= 0x1100 && header <= 0x1103) return zstdDecompressSync(body);
  if (header >= 0x1200 && header <= 0x1203) return s2Stream(body);
  if (header >= 0x1500 && header <= 0x1502) return inflateRawSync(body);
  throw new Error(`unknown compression header 0x${header.toString(16)}`);
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

function maskedCrc32c(bytes: Uint8Array): number {
  let crc = ~0;
  for (let i = 0; i < bytes.length; i += 1) crc = crcTable[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  crc = ~crc;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function s2Stream(stream: Uint8Array): Uint8Array {
  const input = Buffer.from(stream.buffer, stream.byteOffset, stream.length);
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < input.length; ) {
    const type = input[at]!;
    const length = input.readUIntLE(at + 1, 3);
    const chunk = input.subarray(at + 4, at + 4 + length);
    if (chunk.length < length) throw new Error("S2 stream ends inside a chunk");
    if (at === 0 && type !== 0xff) throw new Error("S2 stream without its name");
    at += 4 + length;
    if (type === 0xff) {
      if (!["S2sTwO", "sNaPpY"].includes(chunk.toString("latin1"))) throw new Error("not S2");
    } else if (type <= 1) {
      const body = chunk.subarray(4);
      const plain = type === 0 ? s2Block(body) : body;
      if (maskedCrc32c(plain) !== chunk.readUInt32LE(0)) throw new Error("S2 checksum differs");
      pieces.push(plain);
    } else if (type < 0x80) throw new Error(`S2 chunk of type ${type}`);
  }
  return Buffer.concat(pieces);
}

function s2Block(block: Buffer): Uint8Array {
  let at = 0;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = block[at++]!;
    length |= (byte & 127) << shift;
    if (byte < 128) break;
  }
  const output = new Uint8Array(length);
  let end = 0;
  let offset = 0;
  const copy = (count: number): void => {
    if (offset < 1 || offset > end || end + count > length) throw new Error("S2 copy out of range");
    for (let i = 0; i < count; i += 1, end += 1) output[end] = output[end - offset]!;
  };
  while (at < block.length) {
    const tag = block[at++]!;
    const field = tag >> 2;
    if ((tag & 3) === 0) {
      let count = field + 1;
      if (field >= 60) {
        count = block.readUIntLE(at, field - 59) + 1;
        at += field - 59;
      }
      if (at + count > block.length || end + count > length) throw new Error("S2 literal too long");
      output.set(block.subarray(at, at + count), end);
      at += count;
      end += count;
    } else if ((tag & 3) === 1) {
      const newOffset = ((tag & 0xe0) << 3) | block[at++]!;
      const short = field & 7;
      if (newOffset > 0) {
        offset = newOffset;
        copy(short + 4);
      } else if (short < 5) copy(short + 4);
      else {
        const extra = short - 4;
        copy(block.readUIntLE(at, extra) + [8, 260, 65540][extra - 1]!);
        at += extra;
      }
    } else {
      const size = (tag & 3) === 2 ? 2 : 4;
      offset = block.readUIntLE(at, size);
      at += size;
      copy(field + 1);
    }
  }
  if (end !== length) throw new Error("S2 block is shorter than it says");
  return output;
}
