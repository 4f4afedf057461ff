/**
 * Error correction around the cipher, `REED-SOLOMON-CRC32`: `u32be(length) || data` is cut into shards, each with a
 * CRC-32, and parity shards in front rebuild as many damaged shards of a block as there are parity shards.
 * Format: docs/format/error-correction.md. Proof: test/ecc.test.ts, test/ecc-properties.test.ts.
 * @module
 */
import { crc32 } from "@dm/compression";
import { FormatError, IntegrityError, UnsupportedError } from "@dm/core";
import { ShardTransform } from "./reed-solomon.ts";
import {
  layoutOfData,
  layoutOfStored,
  lengthPrefixBytes,
  type ShardLayout,
  shardChecksumBytes,
  shardParameters,
  storedBytes,
} from "./shard-layout.ts";

/** Error correction around stored bytes, by `createEcc`. */
export interface Ecc {
  /** Adds checksums and parity; the result is the caller's. */
  encode(data: Uint8Array): Uint8Array;
  /**
   * Removes them, repairing damaged shards. The result is the caller's; it is what was stored only as far as a CRC-32
   * can tell: authenticate it.
   * @throws {IntegrityError} `DM_ECC_UNREPAIRABLE` when a block has more damaged shards than parity shards
   * @throws {FormatError} `DM_ECC_TRUNCATED`, `DM_ECC_LENGTH_INVALID`
   */
  decode(stored: Uint8Array): { readonly data: Uint8Array; readonly repairedShards: number };
  /** Stored bytes of `length` bytes. */
  encodedLength(length: number): number;
}

export const eccAlgorithm = "REED-SOLOMON-CRC32";

/**
 * @param overheadPercent 1 to 100
 * @throws {UnsupportedError} `DM_ECC_UNSUPPORTED`
 */
export function createEcc(algorithm: string, overheadPercent: number): Ecc {
  if (algorithm !== eccAlgorithm) {
    throw new UnsupportedError(
      "DM_ECC_UNSUPPORTED",
      `error correction ${JSON.stringify(algorithm)} is not known; known: ${eccAlgorithm}`,
      { algorithm },
    );
  }
  if (!(Number.isInteger(overheadPercent) && overheadPercent >= 1 && overheadPercent <= 100))
    throw new RangeError(`error correction of ${overheadPercent} %, possible are 1 to 100`);
  const parameters = shardParameters(overheadPercent);
  const encoders = new Map<number, ShardTransform>();

  const encoderOf = ({ dataShards, parityShards }: ShardLayout): ShardTransform => {
    const known = encoders.get(dataShards);
    if (known) return known;
    const encoder = new ShardTransform(range(0, dataShards), range(dataShards, parityShards));
    encoders.set(dataShards, encoder);
    return encoder;
  };

  return {
    encodedLength(length) {
      const total = length + lengthPrefixBytes;
      return storedBytes(layoutOfData(parameters, total), total);
    },
    encode(data) {
      const total = data.length + lengthPrefixBytes;
      const layout = layoutOfData(parameters, total);
      const padded = new Uint8Array(layout.blocks * layout.dataShards * layout.shardBytes);
      new DataView(padded.buffer).setUint32(0, data.length);
      padded.set(data, lengthPrefixBytes);
      return encodeShards(padded, layout, storedBytes(layout, total), encoderOf(layout));
    },
    decode(stored) {
      const layout = layoutOfStored(parameters, stored.length);
      const { padded, repairedShards } = decodeShards(stored, layout);
      const length = new DataView(padded.buffer).getUint32(0);
      if (length > padded.length - lengthPrefixBytes) {
        throw new FormatError(
          "DM_ECC_LENGTH_INVALID",
          `error-corrected data of ${stored.length} bytes claims to hold ${length}`,
          { length, stored: stored.length },
        );
      }
      const data = padded.subarray(lengthPrefixBytes, lengthPrefixBytes + length);
      return { data, repairedShards };
    },
  };
}

function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

/** Views of the shards of one block. */
function shardsOf(padded: Uint8Array, layout: ShardLayout, block: number): Uint8Array[] {
  const { dataShards, shardBytes } = layout;
  return range(block * dataShards, dataShards).map((shard) =>
    padded.subarray(shard * shardBytes, (shard + 1) * shardBytes),
  );
}

function encodeShards(
  padded: Uint8Array,
  layout: ShardLayout,
  storedLength: number,
  encoder: ShardTransform,
): Uint8Array {
  const { blocks, dataShards, parityShards, shardBytes } = layout;
  const stored = new Uint8Array(storedLength);
  const view = new DataView(stored.buffer);
  const stride = shardChecksumBytes + shardBytes;
  for (let block = 0; block < blocks; block++) {
    const offsets = range(block * parityShards, parityShards).map((shard) => shard * stride);
    const parity = offsets.map((offset) =>
      stored.subarray(offset + shardChecksumBytes, offset + stride),
    );
    encoder.apply(shardsOf(padded, layout, block), parity);
    for (const [index, offset] of offsets.entries()) view.setUint32(offset, crc32(parity[index]!));
  }
  let at = blocks * parityShards * stride;
  for (let shard = 0; shard < blocks * dataShards && at < storedLength; shard++) {
    const bytes = padded.subarray(shard * shardBytes, (shard + 1) * shardBytes);
    view.setUint32(at, crc32(bytes));
    stored.set(bytes.subarray(0, storedLength - at - shardChecksumBytes), at + shardChecksumBytes);
    at += stride;
  }
  return stored;
}

function decodeShards(
  stored: Uint8Array,
  layout: ShardLayout,
): { readonly padded: Uint8Array; readonly repairedShards: number } {
  const { blocks, dataShards, parityShards, shardBytes } = layout;
  const stride = shardChecksumBytes + shardBytes;
  const dataOffset = blocks * parityShards * stride;
  const dataBytes = stored.length - dataOffset;
  const lastBytes = dataBytes % stride;
  // Nothing but the last shard may be short, and a shard is never just a checksum.
  if (dataBytes <= shardChecksumBytes || (lastBytes > 0 && lastBytes <= shardChecksumBytes)) {
    throw new FormatError(
      "DM_ECC_TRUNCATED",
      `error-corrected data of ${stored.length} bytes is cut short`,
      { length: stored.length },
    );
  }
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  const padded = new Uint8Array(blocks * dataShards * shardBytes);
  const damaged = range(0, blocks).map((): number[] => []);
  for (let shard = 0; shard < blocks * dataShards; shard++) {
    const at = dataOffset + shard * stride;
    if (at >= stored.length) break;
    const bytes = padded.subarray(shard * shardBytes, (shard + 1) * shardBytes);
    bytes.set(stored.subarray(at + shardChecksumBytes, Math.min(at + stride, stored.length)));
    if (crc32(bytes) !== view.getUint32(at))
      damaged[Math.floor(shard / dataShards)]!.push(shard % dataShards);
  }
  let repairedShards = 0;
  for (const [block, lost] of damaged.entries()) {
    const parity = new Map<number, Uint8Array>();
    for (let index = 0; index < parityShards; index++) {
      const at = (block * parityShards + index) * stride;
      const bytes = stored.subarray(at + shardChecksumBytes, at + stride);
      if (crc32(bytes) === view.getUint32(at)) parity.set(dataShards + index, bytes);
      else repairedShards += 1;
    }
    if (lost.length > parity.size) throw unrepairable(stored, block, lost.length, parity.size);
    if (lost.length > 0) repair(shardsOf(padded, layout, block), lost, parity);
    repairedShards += lost.length;
  }
  return { padded, repairedShards };
}

/** Rebuilds the lost shards in place from the others and as many parity shards as are missing. */
function repair(
  shards: readonly Uint8Array[],
  lost: readonly number[],
  parity: ReadonlyMap<number, Uint8Array>,
): void {
  const inputs = new Map<number, Uint8Array>();
  for (const [index, shard] of shards.entries())
    if (!lost.includes(index)) inputs.set(index, shard);
  for (const [index, shard] of parity) if (inputs.size < shards.length) inputs.set(index, shard);
  const transform = new ShardTransform([...inputs.keys()], lost);
  transform.apply(
    [...inputs.values()],
    lost.map((index) => shards[index]!),
  );
}

function unrepairable(
  stored: Uint8Array,
  block: number,
  lost: number,
  parity: number,
): IntegrityError {
  return new IntegrityError(
    "DM_ECC_UNREPAIRABLE",
    `error-corrected data of ${stored.length} bytes: block ${block} has ${lost} damaged shards, ${parity} parity shards are left`,
    { length: stored.length, block, damagedShards: lost, parityShards: parity },
  );
}
