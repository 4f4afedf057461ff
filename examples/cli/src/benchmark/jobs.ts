/**
 * What the benchmarks measure. A job is plain data, so that a worker thread can be given one; its preparation (keys,
 * data) is not measured.
 * @module
 */
import { readFile } from "node:fs/promises";
import type { SplitCounts } from "./split-counts.ts";

export type Job =
  | {
      readonly kind: "hash" | "encrypt";
      readonly algorithm: string;
      readonly blockBytes: number;
      /** Blocks in one call; 1 calls the function for single blocks. */
      readonly blocksPerCall: number;
    }
  | {
      readonly kind: "hash-encrypt";
      readonly hash: string;
      readonly encryption: string;
      readonly blockBytes: number;
    }
  | {
      readonly kind: "split";
      readonly algorithm: string;
      readonly seed: number;
      readonly blockBytes: number;
      readonly blockCount: number;
    }
  | {
      readonly kind: "compress" | "decompress";
      readonly algorithm: string;
      readonly file: string;
      readonly verifyStable: boolean;
    }
  | {
      readonly kind: "ecc-encode" | "ecc-decode";
      readonly overheadPercent: number;
      readonly blockBytes: number;
    };

export interface JobResult {
  readonly storedBytes?: number | undefined;
  readonly counts?: SplitCounts | undefined;
}

/** Runs one repetition. */
export type Work = () => JobResult;

export async function prepare(job: Job): Promise<Work> {
  switch (job.kind) {
    case "hash":
      return hashing(job.algorithm, job.blockBytes, job.blocksPerCall);
    case "encrypt":
      return encrypting(job.algorithm, job.blockBytes, job.blocksPerCall);
    case "hash-encrypt":
      return hashingAndEncrypting(job.hash, job.encryption, job.blockBytes);
    case "split":
      return splitting(job);
    case "compress":
      return compressing(job.algorithm, await dataOf(job.file), job.verifyStable);
    case "decompress":
      return decompressing(job.algorithm, await dataOf(job.file));
    case "ecc-encode":
    case "ecc-decode":
      return correcting(job.kind, job.overheadPercent, job.blockBytes);
  }
}

const zeroKey = new Uint8Array(32);
const nothing: JobResult = {};

async function hashing(
  algorithm: string,
  blockBytes: number,
  blocksPerCall: number,
): Promise<Work> {
  const { createHash } = await import("@dm/hashing");
  const hash = createHash(algorithm, zeroKey);
  const block = new Uint8Array(blockBytes);
  if (blocksPerCall === 1) {
    return () => {
      hash.digest(block);
      return nothing;
    };
  }
  const blocks = Array.from({ length: blocksPerCall }, () => new Uint8Array(blockBytes));
  return () => {
    hash.digestMany(blocks);
    return nothing;
  };
}

async function encrypting(
  algorithm: string,
  blockBytes: number,
  blocksPerCall: number,
): Promise<Work> {
  const { createEncryption } = await import("@dm/encryption");
  const encryption = createEncryption(algorithm, zeroKey);
  const plaintext = new Uint8Array(blockBytes);
  const iv = zeroKey;
  if (blocksPerCall === 1) {
    // As kopia does: the output buffer is used again.
    const output = new Uint8Array(blockBytes + encryption.overheadBytes);
    return () => {
      encryption.encrypt(plaintext, iv, { output });
      return nothing;
    };
  }
  const items = Array.from({ length: blocksPerCall }, () => ({ plaintext, iv }));
  return () => {
    encryption.encryptMany(items);
    return nothing;
  };
}

async function hashingAndEncrypting(
  hashName: string,
  encryptionName: string,
  blockBytes: number,
): Promise<Work> {
  const [{ createHash }, { createEncryption }] = await Promise.all([
    import("@dm/hashing"),
    import("@dm/encryption"),
  ]);
  const hash = createHash(hashName, zeroKey);
  const encryption = createEncryption(encryptionName, zeroKey);
  const block = new Uint8Array(blockBytes);
  const output = new Uint8Array(blockBytes + encryption.overheadBytes);
  return () => {
    encryption.encrypt(block, hash.digest(block), { output });
    return nothing;
  };
}

async function splitting(job: Job & { readonly kind: "split" }): Promise<Work> {
  const [{ createSplitter }, { randomBlocks, splitCounts }] = await Promise.all([
    import("@dm/splitter"),
    import("./split-counts.ts"),
  ]);
  const blocks = await randomBlocks(job.seed, job.blockBytes, job.blockCount);
  return () => {
    const lengths: number[] = [];
    for (const block of blocks) {
      const splitter = createSplitter(job.algorithm);
      let from = 0;
      while (from < block.length) {
        const cut = splitter.next(block, from);
        const end = cut < 0 ? block.length : cut;
        lengths.push(end - from);
        from = end;
      }
    }
    return { counts: splitCounts(lengths) };
  };
}

/** Longest part of a file that is compressed. */
export const maxCompressedBytes = 128 << 20;

async function dataOf(file: string): Promise<Uint8Array> {
  const bytes = await readFile(file);
  return bytes.subarray(0, maxCompressedBytes);
}

async function compressing(
  algorithm: string,
  data: Uint8Array,
  verifyStable: boolean,
): Promise<Work> {
  const { compress } = await import("@dm/compression");
  let first: Uint8Array | undefined;
  return () => {
    const stored = compress(algorithm, data);
    if (verifyStable) {
      first ??= stored;
      if (Buffer.compare(first, stored) !== 0) {
        throw new Error(`compression ${algorithm} is not stable`);
      }
    }
    return { storedBytes: stored.length };
  };
}

async function decompressing(algorithm: string, data: Uint8Array): Promise<Work> {
  const { compress, decompress } = await import("@dm/compression");
  const stored = compress(algorithm, data);
  return () => {
    const plain = decompress(stored, { maxBytes: data.length });
    if (plain.length !== data.length) throw new Error(`decompression ${algorithm} lost bytes`);
    return { storedBytes: stored.length };
  };
}

async function correcting(
  kind: "ecc-encode" | "ecc-decode",
  overheadPercent: number,
  blockBytes: number,
): Promise<Work> {
  const { createEcc } = await import("@dm/repo");
  const ecc = createEcc("REED-SOLOMON-CRC32", overheadPercent);
  const data = new Uint8Array(blockBytes);
  for (let index = 0; index < blockBytes; index++) data[index] = (index % 255) + 1;
  if (kind === "ecc-encode") return () => ({ storedBytes: ecc.encode(data).length });
  const stored = ecc.encode(data);
  await damageFirstShards(stored, overheadPercent);
  return () => {
    ecc.decode(stored);
    return { storedBytes: stored.length };
  };
}

/** As kopia does: the first data shard of each block is lost, so that decoding has something to rebuild. */
async function damageFirstShards(stored: Uint8Array, overheadPercent: number): Promise<void> {
  const { layoutOfStored, shardChecksumBytes, shardParameters } = await import("@dm/repo");
  const layout = layoutOfStored(shardParameters(overheadPercent), stored.length);
  const stride = shardChecksumBytes + layout.shardBytes;
  const start = layout.blocks * layout.parityShards * stride;
  for (let block = 0; block < layout.blocks; block++) {
    stored[start + block * layout.dataShards * stride]! ^= 1;
  }
}
