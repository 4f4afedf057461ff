/**
 * The format blob, its copy in packs, and blobcfg.
 * @module
 */
import { createHmac } from "node:crypto";
import { openEnvelope, passwordKey } from "./crypto.ts";

export interface Format {
  readonly uniqueId: Uint8Array;
  readonly keyAlgorithm: string;
  /** Key derived from the password. */
  readonly formatKey: Uint8Array;
  readonly hash: string;
  readonly encryption: string;
  readonly eccOverheadPercent: number;
  readonly secret: Uint8Array;
  readonly masterKey: Uint8Array;
  readonly version: number;
  readonly indexVersion: number;
  readonly maxPackSize: number;
  readonly epochsEnabled: boolean;
  readonly enablePasswordChange: boolean;
  readonly splitter: string;
}

type Blobs = ReadonlyMap<string, Uint8Array>;

export function openFormat(blobs: Blobs, password: string): Format {
  const text = blobs.get("kopia.repository");
  if (!text) throw new Error("no kopia.repository");
  const outer = JSON.parse(Buffer.from(text).toString());
  if (outer.encryption !== "AES256_GCM") throw new Error(`envelope ${outer.encryption}`);
  const uniqueId = Buffer.from(outer.uniqueID, "base64");
  const formatKey = passwordKey(password, uniqueId, outer.keyAlgo);
  const sealed = Buffer.from(outer.encryptedBlockFormat, "base64");
  const inner = JSON.parse(Buffer.from(openEnvelope(formatKey, uniqueId, sealed)).toString());
  const { format } = inner;
  if (![1, 2, 3].includes(format.version)) throw new Error(`format version ${format.version}`);
  const indexVersion = format.indexVersion || 1;
  if (![1, 2].includes(indexVersion)) throw new Error(`index version ${indexVersion}`);
  if (format.ecc && format.ecc !== "REED-SOLOMON-CRC32") throw new Error(`ECC ${format.ecc}`);
  return {
    uniqueId,
    keyAlgorithm: outer.keyAlgo,
    formatKey,
    hash: format.hash,
    encryption: format.encryption,
    eccOverheadPercent: format.ecc ? format.eccOverheadPercent : 0,
    secret: Buffer.from(format.secret ?? "", "base64"),
    masterKey: Buffer.from(format.masterKey, "base64"),
    version: format.version,
    indexVersion,
    maxPackSize: format.maxPackSize || 20 << 20,
    epochsEnabled: format.epochParameters?.Enabled === true,
    enablePasswordChange: format.enablePasswordChange === true,
    splitter: format.splitter,
  };
}

/** Retention as the repository records it; an absent blob records none. */
export function openBlobConfig(
  blobs: Blobs,
  format: Format,
): { retentionMode?: string; retentionPeriod?: number } {
  const sealed = blobs.get("kopia.blobcfg");
  if (!sealed) return {};
  return JSON.parse(
    Buffer.from(openEnvelope(format.formatKey, format.uniqueId, sealed)).toString(),
  );
}

/**
 * Length of the copy of the format blob at the head of a pack; the copy may be older than the blob.
 * @throws {Error} when there is none
 */
export function formatCopyLength(pack: Uint8Array): number {
  const bytes = Buffer.from(pack.buffer, pack.byteOffset, pack.length);
  const length = bytes.readUInt16LE(0);
  const body = bytes.subarray(2, 2 + length);
  const text = body.subarray(0, -32);
  const sum = createHmac("sha256", "kopia-repository").update(text).digest();
  if (!sum.equals(body.subarray(-32))) throw new Error("the format copy has another checksum");
  if (bytes.readUInt16LE(2 + length) !== length) throw new Error("the format copy does not end");
  if (typeof JSON.parse(text.toString()).uniqueID !== "string") throw new Error("no format copy");
  return length + 4;
}
