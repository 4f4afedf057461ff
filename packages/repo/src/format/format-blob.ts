/**
 * The blob `kopia.repository`: readable JSON around one block that only the password opens.
 * The block is AES-256-GCM under a key derived from the password and the repository's unique id.
 * Format: docs/format/format-blob.md. Proof: test/format-blob.test.ts.
 * @module
 */
import {
  AccessError,
  concatBytes,
  FormatError,
  fromBase64,
  isDmError,
  toBase64,
  UnsupportedError,
  utf8DecodeStrict,
  utf8Encode,
} from "@dm/core";
import { aes256GcmOpen, aes256GcmSeal, hkdfSha256 } from "@dm/encryption";
import * as z from "zod";
import { once } from "../json/checked-json.ts";
import { goJsonString } from "../json/go-json.ts";
import { parseJson } from "../json/raw-json.ts";
import { decodeFormatJson, encodeFormatJson } from "./format-json.ts";
import { prettyJsonObject, type RawMembers, unknownMembersOf } from "./raw-members.ts";
import type { RepositoryFormat } from "./repository-format.ts";

export const formatBlobId = "kopia.repository";
export const formatEncryption = "AES256_GCM";

/** The readable part of a format blob, and the block that is still encrypted. */
export interface FormatEnvelope {
  /** Who created the repository; informational, as the next two. */
  readonly tool: string;
  readonly buildVersion: string;
  readonly buildInfo: string;
  /** Fixed for life; salt of every derivation. */
  readonly uniqueId: Uint8Array;
  /** Name of the derivation from password to key. */
  readonly keyAlgorithm: string;
  readonly encryption: string;
  /** `nonce(12) || ciphertext || tag(16)` */
  readonly encryptedBlock: Uint8Array;
  readonly unknownMembers?: RawMembers | undefined;
}

const nonceLength = 12;
const tagLength = 16;
const minUniqueIdLength = 16;
/** Far above any format blob (about 1 KiB); keeps a wrong blob from being parsed. */
const maxBlobLength = 1 << 20;

const text = z.string().nullish();
const storedEnvelope = z.looseObject({
  tool: text,
  buildVersion: text,
  buildInfo: text,
  uniqueID: z.string(),
  keyAlgo: text,
  encryption: text,
  encryptedBlockFormat: z.string(),
});
const envelopeMembers = Object.keys(storedEnvelope.shape);

function invalid(blobId: string, reason: string, cause?: unknown): FormatError {
  return new FormatError(
    "DM_FORMAT_BLOB_INVALID",
    `blob ${blobId} is not a repository format: ${reason}`,
    { blobId },
    { cause },
  );
}

/**
 * Reads the envelope of a format blob; needs no password.
 * @throws {FormatError} `DM_FORMAT_BLOB_INVALID` naming the blob and what is wrong
 * @throws {UnsupportedError} `DM_FORMAT_UNSUPPORTED` for another encryption of the block
 */
export function parseFormatBlob(bytes: Uint8Array, blobId: string = formatBlobId): FormatEnvelope {
  if (bytes.length > maxBlobLength) throw invalid(blobId, `it has ${bytes.length} bytes`);
  try {
    return parse(utf8DecodeStrict(bytes), blobId);
  } catch (cause) {
    if (!(cause instanceof FormatError) || cause.code === "DM_FORMAT_BLOB_INVALID") throw cause;
    throw invalid(blobId, cause.message, cause);
  }
}

function parse(json: string, blobId: string): FormatEnvelope {
  const parsed = storedEnvelope.safeParse(parseJson(json), once);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw invalid(blobId, `${issue.path.join(".") || "root"}: ${issue.message}`);
  }
  const stored = parsed.data;
  const encryption = stored.encryption ?? "";
  if (encryption !== formatEncryption) {
    throw new UnsupportedError(
      "DM_FORMAT_UNSUPPORTED",
      `blob ${blobId} has encryption ${JSON.stringify(encryption)}, known here: ${formatEncryption}`,
      { blobId, member: "encryption", value: encryption, known: [formatEncryption] },
    );
  }
  const uniqueId = fromBase64(stored.uniqueID);
  if (uniqueId.length < minUniqueIdLength) {
    throw invalid(
      blobId,
      `uniqueID has ${uniqueId.length} bytes, at least ${minUniqueIdLength} are needed`,
    );
  }
  const encryptedBlock = fromBase64(stored.encryptedBlockFormat);
  if (encryptedBlock.length < nonceLength + tagLength) {
    throw invalid(blobId, `encryptedBlockFormat has only ${encryptedBlock.length} bytes`);
  }
  return {
    tool: stored.tool ?? "",
    buildVersion: stored.buildVersion ?? "",
    buildInfo: stored.buildInfo ?? "",
    uniqueId,
    keyAlgorithm: stored.keyAlgo ?? "",
    encryption,
    encryptedBlock,
    unknownMembers: unknownMembersOf(json, envelopeMembers),
  };
}

/** The stored text: JSON indented by two spaces, with a final newline. */
export function encodeFormatBlob(envelope: FormatEnvelope): Uint8Array {
  return utf8Encode(
    prettyJsonObject([
      ["tool", goJsonString(envelope.tool)],
      ["buildVersion", goJsonString(envelope.buildVersion)],
      ["buildInfo", goJsonString(envelope.buildInfo)],
      ["uniqueID", goJsonString(toBase64(envelope.uniqueId))],
      ["keyAlgo", goJsonString(envelope.keyAlgorithm)],
      ["encryption", goJsonString(envelope.encryption)],
      ["encryptedBlockFormat", goJsonString(toBase64(envelope.encryptedBlock))],
      ...(envelope.unknownMembers ?? []),
    ]),
  );
}

function blockKeys(
  passwordKey: Uint8Array,
  uniqueId: Uint8Array,
): { key: Uint8Array; aad: Uint8Array } {
  const derive = (purpose: string): Uint8Array =>
    hkdfSha256(passwordKey, { salt: uniqueId, info: utf8Encode(purpose), length: 32 });
  return { key: derive("AES"), aad: derive("CHECKSUM") };
}

/** Encrypts a block of the format blob or of the blob configuration: `nonce || ciphertext || tag`. */
export function sealBlock(
  plaintext: Uint8Array,
  keys: {
    readonly passwordKey: Uint8Array;
    readonly uniqueId: Uint8Array;
    readonly nonce: Uint8Array;
  },
): Uint8Array {
  const { key, aad } = blockKeys(keys.passwordKey, keys.uniqueId);
  return concatBytes(keys.nonce, aes256GcmSeal(key, keys.nonce, plaintext, aad));
}

/** Decrypts what {@link sealBlock} made; undefined when it does not authenticate: wrong key, or damage. */
export function openBlock(
  block: Uint8Array,
  keys: { readonly passwordKey: Uint8Array; readonly uniqueId: Uint8Array },
): Uint8Array | undefined {
  if (block.length < nonceLength + tagLength) return undefined;
  const { key, aad } = blockKeys(keys.passwordKey, keys.uniqueId);
  try {
    return aes256GcmOpen(key, block.subarray(0, nonceLength), block.subarray(nonceLength), aad);
  } catch (error) {
    if (!isDmError(error)) throw error;
    return undefined;
  }
}

/** A new envelope around `format`, otherwise as `envelope`. */
export function sealFormat(
  envelope: Omit<FormatEnvelope, "encryptedBlock">,
  format: RepositoryFormat,
  options: { readonly passwordKey: Uint8Array; readonly nonce: Uint8Array },
): FormatEnvelope {
  const { uniqueId } = envelope;
  return {
    ...envelope,
    encryptedBlock: sealBlock(encodeFormatJson(format), { ...options, uniqueId }),
  };
}

/**
 * Decrypts the format with the key derived from the password.
 * @throws {AccessError} `DM_PASSWORD_INVALID`: wrong password, or a damaged blob; the two look alike
 * @throws {FormatError} `DM_FORMAT_BLOB_INVALID`
 * @throws {UnsupportedError} `DM_FORMAT_UNSUPPORTED`
 */
export function openFormat(
  envelope: FormatEnvelope,
  passwordKey: Uint8Array,
  blobId: string = formatBlobId,
): RepositoryFormat {
  const plaintext = openBlock(envelope.encryptedBlock, {
    passwordKey,
    uniqueId: envelope.uniqueId,
  });
  if (!plaintext) {
    throw new AccessError(
      "DM_PASSWORD_INVALID",
      `the password does not open blob ${blobId}: it is wrong, or the blob is damaged (the two cannot be told apart)`,
      { blobId },
    );
  }
  return decodeFormatJson(plaintext, blobId);
}
