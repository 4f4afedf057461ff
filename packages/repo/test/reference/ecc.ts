/**
 * REED-SOLOMON-CRC32 without the Reed-Solomon: the CRC of every shard is compared, data shards are joined, nothing
 * is repaired.
 * @module
 */
import { crc32 } from "node:zlib";

interface Layout {
  readonly data: number;
  readonly parity: number;
  readonly shard: number;
}

/** Shards of a full block; the ratios are computed in 32-bit floats. */
export function eccLayout(percent: number): Layout {
  const f32 = Math.fround;
  const shard = percent <= 3 ? [0, 1024, 512, 256][percent]! : percent <= 6 ? 128 : 64;
  const ratio = Math.max(f32(f32(percent) - f32(400 / shard)), f32(0.01));
  const clamp = (value: number, low: number, high: number): number =>
    Math.min(Math.max(value, low), high);
  const parity = clamp(Math.floor(128 * f32(ratio / 100)), 1, 128);
  if (parity > 1) return { data: 128, parity, shard };
  return { data: clamp(Math.floor(2 * f32(100 / ratio)), 128, 254), parity: 2, shard };
}

export function decodeEcc(stored: Uint8Array, percent: number): Uint8Array {
  let { data, parity, shard } = eccLayout(percent);
  let blocks = 1;
  const fullBlock = (data + parity) * (4 + shard);
  const length = stored.length;
  if (length <= 8 * (4 + Math.ceil((8 * (data + parity)) / 6))) {
    [data, parity] = [6, 2];
    shard = Math.max(Math.ceil(length / 8), 5) - 4;
  } else if (length <= fullBlock) shard = Math.max(Math.ceil(length / (data + parity)), 5) - 4;
  else blocks = Math.ceil(length / fullBlock);

  const view = new DataView(stored.buffer, stored.byteOffset, length);
  const pieces: Uint8Array[] = [];
  for (let at = 0; at + 4 < length; at += 4 + shard) {
    const padded = new Uint8Array(shard);
    padded.set(stored.subarray(at + 4, at + 4 + shard));
    if (crc32(padded) !== view.getUint32(at)) throw new Error(`shard at ${at} has a wrong CRC`);
    if (at >= blocks * parity * (4 + shard)) pieces.push(padded);
  }
  const joined = Buffer.concat(pieces);
  const end = 4 + joined.readUInt32BE(0);
  if (end > joined.length) throw new Error(`${end - 4} bytes promised, ${joined.length - 4} there`);
  return joined.subarray(4, end);
}
