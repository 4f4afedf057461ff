/**
 * How many shards of which size, from the overhead in per cent, for writing (by the data's length) and for reading (by
 * the stored length). Single-precision steps are part of the format. Format: docs/format/error-correction.md. Proof: test/ecc.test.ts.
 * @module
 */

export interface ShardLayout {
  readonly dataShards: number;
  readonly parityShards: number;
  /** Bytes of a shard, without its checksum. */
  readonly shardBytes: number;
  readonly blocks: number;
  /** Whether the zeros at the end of the last block are stored. */
  readonly paddingStored: boolean;
}

export interface ShardParameters {
  readonly dataShards: number;
  readonly parityShards: number;
  /** Longest shard. */
  readonly shardBytes: number;
}

/** Bytes of the CRC-32 in front of each shard. */
export const shardChecksumBytes = 4;
/** Bytes of the length in front of the data. */
export const lengthPrefixBytes = 4;

const smallDataShards = 6;
const smallParityShards = 2;

/** Shards for an overhead of 1 to 100 per cent. */
export function shardParameters(overheadPercent: number): ShardParameters {
  const shardBytes =
    overheadPercent <= 1
      ? 1024
      : overheadPercent === 2
        ? 512
        : overheadPercent === 3
          ? 256
          : overheadPercent <= 6
            ? 128
            : 64;
  const { fround } = Math;
  // What is left of the overhead after the checksums' share.
  const share = Math.max(fround(overheadPercent - fround(400 / shardBytes)), fround(0.01));
  const parityShards = clamp(Math.floor(128 * fround(share / 100)), 1, 128);
  if (parityShards > 1) return { dataShards: 128, parityShards, shardBytes };
  const dataShards = clamp(Math.floor(2 * fround(100 / share)), 128, 254);
  return { dataShards, parityShards: 2, shardBytes };
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}

/** Layout of `length` bytes, the length prefix included. */
export function layoutOfData(parameters: ShardParameters, length: number): ShardLayout {
  const { dataShards, parityShards, shardBytes } = parameters;
  if (length <= 8 * (dataShards + parityShards))
    return oneBlock(smallDataShards, smallParityShards, Math.ceil(length / smallDataShards));
  if (length <= dataShards * shardBytes)
    return oneBlock(dataShards, parityShards, Math.ceil(length / dataShards));
  const blocks = Math.ceil(length / (dataShards * shardBytes));
  return { dataShards, parityShards, shardBytes, blocks, paddingStored: false };
}

/** Layout of `length` stored bytes. */
export function layoutOfStored(parameters: ShardParameters, length: number): ShardLayout {
  const { dataShards, parityShards, shardBytes } = parameters;
  const shards = dataShards + parityShards;
  const smallShards = smallDataShards + smallParityShards;
  const smallShardBytes = Math.ceil((8 * shards) / smallDataShards);
  const perShard = (count: number): number =>
    Math.max(Math.ceil(length / count), shardChecksumBytes + 1) - shardChecksumBytes;
  if (length <= smallShards * (shardChecksumBytes + smallShardBytes))
    return oneBlock(smallDataShards, smallParityShards, perShard(smallShards));
  const blockBytes = shards * (shardChecksumBytes + shardBytes);
  if (length <= blockBytes) return oneBlock(dataShards, parityShards, perShard(shards));
  const blocks = Math.ceil(length / blockBytes);
  return { dataShards, parityShards, shardBytes, blocks, paddingStored: false };
}

function oneBlock(dataShards: number, parityShards: number, shardBytes: number): ShardLayout {
  return { dataShards, parityShards, shardBytes, blocks: 1, paddingStored: true };
}

/** Stored bytes of `length` bytes of data, the length prefix included. */
export function storedBytes(layout: ShardLayout, length: number): number {
  const stride = shardChecksumBytes + layout.shardBytes;
  const parity = layout.blocks * layout.parityShards * stride;
  if (layout.paddingStored) return parity + layout.dataShards * stride;
  const rest = length % layout.shardBytes;
  const last = rest === 0 ? 0 : shardChecksumBytes + rest;
  return parity + Math.floor(length / layout.shardBytes) * stride + last;
}
