/**
 * Hashing and encryption of one repository: contents in packs, and the small blobs (index, session, compaction log).
 * With error correction on, it wraps every use of the cipher.
 * Format: docs/format/encryption.md. Proof: test/golden.test.ts.
 * @module
 */
import { FormatError, fromHex, IntegrityError, isDmError, type RandomBytes, toHex } from "@dm/core";
import { type ContentEncryption, createEncryption } from "@dm/encryption";
import { type ContentHash, createHash } from "@dm/hashing";
import { createEcc, type Ecc } from "../ecc/index.ts";
import type { RepositoryFormat } from "../format/repository-format.ts";

/** Hash, cipher and error correction of one repository. Holds its keys. */
export interface Crypter {
  readonly hash: ContentHash;
  readonly encryption: ContentEncryption;
  readonly ecc: Ecc | undefined;
  /** Bytes that encryption (without error correction) adds. */
  readonly overheadBytes: number;
  /** Longest stored form of `length` plaintext bytes. */
  storedLength(length: number): number;
  /** Encrypts; with `output` (at least `storedLength` bytes) the result is a view of its start. */
  seal(plaintext: Uint8Array, iv: Uint8Array, output?: Uint8Array): Uint8Array;
  /** @throws {IntegrityError} `DM_DECRYPT_FAILED` */
  open(stored: Uint8Array, iv: Uint8Array): Uint8Array;
}

/** The iv of a content: the last 16 bytes of its hash. */
export function contentIv(hash: Uint8Array): Uint8Array {
  return hash.subarray(hash.length - 16);
}

/** What a crypter is made from. Holds keys: never log it. */
export type CrypterFormat = Pick<
  RepositoryFormat,
  "hash" | "encryption" | "ecc" | "eccOverheadPercent" | "secret" | "masterKey"
>;

export function createCrypter(
  format: CrypterFormat,
  options: { readonly randomBytes?: RandomBytes | undefined } = {},
): Crypter {
  const hash = createHash(format.hash, format.secret);
  const encryption = createEncryption(
    format.encryption,
    format.masterKey,
    options.randomBytes ? { randomBytes: options.randomBytes } : {},
  );
  const ecc = format.ecc === "" ? undefined : createEcc(format.ecc, format.eccOverheadPercent);
  const { overheadBytes } = encryption;
  return {
    hash,
    encryption,
    ecc,
    overheadBytes,
    storedLength: (length) =>
      ecc ? ecc.encodedLength(length + overheadBytes) : length + overheadBytes,
    seal(plaintext, iv, output) {
      if (!ecc) return encryption.encrypt(plaintext, iv, output ? { output } : {});
      const encoded = ecc.encode(encryption.encrypt(plaintext, iv));
      if (!output) return encoded;
      output.set(encoded);
      return output.subarray(0, encoded.length);
    },
    open: (stored, iv) => encryption.decrypt(ecc ? ecc.decode(stored).data : stored, iv),
  };
}

export interface SealedBlob {
  readonly blobId: string;
  readonly data: Uint8Array;
}

/** Encrypts a small blob and names it: `prefix || hex(hash of the plaintext) [|| "-" suffix]`. */
export function sealBlob(
  crypter: Crypter,
  plaintext: Uint8Array,
  prefix: string,
  suffix = "",
): SealedBlob {
  const digest = crypter.hash.digest(plaintext);
  const blobId = prefix + toHex(digest) + (suffix === "" ? "" : `-${suffix}`);
  return { blobId, data: crypter.seal(plaintext, contentIv(digest)) };
}

/** Whether blobs of this class are encrypted as a whole, under their name: indexes, compaction logs, markers, logs. */
export function isSealedBlob(blobId: string): boolean {
  return /^(_log_|n|m|l|s|x[nsr])/.test(blobId);
}

/**
 * Decrypts a small blob; its name holds the iv.
 * @throws {FormatError} `DM_BLOB_NAME_INVALID` for a name without 32 hexadecimal digits before its first dash
 * @throws {IntegrityError} `DM_BLOB_ALTERED` when the bytes do not authenticate under that name
 */
export function openBlob(crypter: Crypter, blobId: string, stored: Uint8Array): Uint8Array {
  const stem = blobId.split("-", 1)[0]!;
  const digits = stem.slice(-32);
  if (stem.length < 32 || !/^[0-9a-f]{32}$/.test(digits)) {
    throw new FormatError("DM_BLOB_NAME_INVALID", `blob id ${blobId} is too short to hold a hash`, {
      blobId,
    });
  }
  try {
    return crypter.open(stored, fromHex(digits));
  } catch (cause) {
    if (!isDmError(cause)) throw cause;
    throw new IntegrityError(
      "DM_BLOB_ALTERED",
      `blob ${blobId} (${stored.length} bytes) is damaged or belongs to another repository: ${cause.message}`,
      { blobId, length: stored.length },
      { cause },
    );
  }
}
