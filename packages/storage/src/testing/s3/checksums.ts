/**
 * The digests that S3 knows, each computed piece by piece: CRC-32, CRC-32C, CRC-64/NVME, SHA-1, SHA-256 (and MD5, which has
 * a header of its own).
 * Proof: test/testing-s3-formats.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

export type ChecksumAlgorithm = "CRC32" | "CRC32C" | "CRC64NVME" | "SHA1" | "SHA256";

/** A digest under way. */
export interface Checksum {
  update(bytes: Uint8Array): void;
  digest(): Buffer;
}

/** Length of a digest in bytes. */
export const checksumLength: Readonly<Record<ChecksumAlgorithm, number>> = {
  CRC32: 4,
  CRC32C: 4,
  CRC64NVME: 8,
  SHA1: 20,
  SHA256: 32,
};

export const checksumAlgorithms = Object.keys(checksumLength) as readonly ChecksumAlgorithm[];

/** The header (and trailer) that carries a digest: `x-amz-checksum-crc32`. */
export const checksumHeader = (algorithm: ChecksumAlgorithm): string =>
  `x-amz-checksum-${algorithm.toLowerCase()}`;

export function createChecksum(algorithm: ChecksumAlgorithm): Checksum {
  switch (algorithm) {
    case "CRC32": {
      let state = 0;
      return {
        update: (bytes) => {
          state = crc32(bytes, state);
        },
        digest: () => bigEndian(0, state).subarray(4),
      };
    }
    case "CRC32C":
      return crc32c();
    case "CRC64NVME":
      return crc64nvme();
    case "SHA1":
    case "SHA256": {
      const hash = createHash(algorithm.toLowerCase());
      return {
        update: (bytes) => {
          hash.update(bytes);
        },
        digest: () => hash.digest(),
      };
    }
  }
}

/** The digest of whole bytes. */
export function checksumOf(algorithm: ChecksumAlgorithm, bytes: Uint8Array): Buffer {
  const checksum = createChecksum(algorithm);
  checksum.update(bytes);
  return checksum.digest();
}

function bigEndian(high: number, low: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(high >>> 0, 0);
  bytes.writeUInt32BE(low >>> 0, 4);
  return bytes;
}

let castagnoli: Uint32Array | undefined;

function crc32c(): Checksum {
  castagnoli ??= Uint32Array.from({ length: 256 }, (_unused, index) => {
    let value = index;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    return value;
  });
  const table = castagnoli;
  let state = 0xffffffff;
  return {
    update: (bytes) => {
      for (let index = 0; index < bytes.length; index++)
        state = (state >>> 8) ^ (table[(state ^ (bytes[index] as number)) & 0xff] as number);
    },
    digest: () => bigEndian(0, state ^ 0xffffffff).subarray(4),
  };
}

let nvme: { readonly high: Uint32Array; readonly low: Uint32Array } | undefined;

/** CRC-64/NVME: reflected polynomial 9a6c9329ac4bc9b5, in two halves because 64 bits do not fit a number. */
function crc64nvme(): Checksum {
  if (nvme === undefined) {
    nvme = { high: new Uint32Array(256), low: new Uint32Array(256) };
    for (let index = 0; index < 256; index++) {
      let high = 0;
      let low = index;
      for (let bit = 0; bit < 8; bit++) {
        const carry = low & 1;
        low = (low >>> 1) | (high << 31);
        high >>>= 1;
        if (carry) {
          high ^= 0x9a6c9329;
          low ^= 0xac4bc9b5;
        }
      }
      nvme.high[index] = high;
      nvme.low[index] = low;
    }
  }
  const table = nvme;
  let high = 0xffffffff;
  let low = 0xffffffff;
  return {
    update: (bytes) => {
      for (let index = 0; index < bytes.length; index++) {
        const entry = (low ^ (bytes[index] as number)) & 0xff;
        low = ((low >>> 8) | (high << 24)) ^ (table.low[entry] as number);
        high = (high >>> 8) ^ (table.high[entry] as number);
      }
    },
    digest: () => bigEndian(high ^ 0xffffffff, low ^ 0xffffffff),
  };
}
