/**
 * The blob `kopia.blobcfg`: whether new blobs are put under object lock. Encrypted like the format blob's block.
 * Format: docs/format/format-blob.md. Proof: test/format-blob.test.ts.
 * @module
 */
import { FormatError, UnsupportedError, utf8DecodeStrict, utf8Encode } from "@dm/core";
import type { Retention } from "@dm/storage";
import * as z from "zod";
import { once } from "../json/checked-json.ts";
import { goJsonString } from "../json/go-json.ts";
import { parseJson } from "../json/raw-json.ts";
import { jsonObject, type RawMembers, unknownMembersOf } from "./raw-members.ts";

export const blobConfigId = "kopia.blobcfg";

export interface BlobConfig {
  /** Absent: blobs are not locked. */
  readonly retention?: Retention | undefined;
  readonly unknownMembers?: RawMembers | undefined;
}

/** Shortest retention that may be set: 24 hours. */
export const minRetentionMs = 24 * 3_600_000;
export const retentionModes: readonly Retention["mode"][] = ["GOVERNANCE", "COMPLIANCE"];

const storedBlobConfig = z.looseObject({
  retentionMode: z.string().nullish(),
  retentionPeriod: z.number().refine(Number.isInteger, "expected an integer").nullish(),
});
const members = Object.keys(storedBlobConfig.shape);

/** Plaintext of the blob; `{}` without retention. */
export function encodeBlobConfig(config: BlobConfig): Uint8Array {
  const { retention } = config;
  return utf8Encode(
    jsonObject([
      ["retentionMode", retention && goJsonString(retention.mode)],
      ["retentionPeriod", retention && `${Math.round(retention.periodMs * 1e6)}`],
      ...(config.unknownMembers ?? []),
    ]),
  );
}

/**
 * Reads the decrypted blob.
 * @throws {FormatError} `DM_BLOB_CONFIG_INVALID`
 * @throws {UnsupportedError} `DM_RETENTION_MODE_UNSUPPORTED`
 */
export function decodeBlobConfig(plaintext: Uint8Array): BlobConfig {
  try {
    return decode(utf8DecodeStrict(plaintext));
  } catch (cause) {
    if (!(cause instanceof FormatError) || cause.code === "DM_BLOB_CONFIG_INVALID") throw cause;
    throw invalid(cause.message, cause);
  }
}

function invalid(reason: string, cause?: unknown): FormatError {
  return new FormatError(
    "DM_BLOB_CONFIG_INVALID",
    `blob ${blobConfigId} is not a blob configuration: ${reason}`,
    { blobId: blobConfigId },
    { cause },
  );
}

function decode(json: string): BlobConfig {
  const parsed = storedBlobConfig.safeParse(parseJson(json), once);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw invalid(`${issue.path.join(".") || "root"}: ${issue.message}`);
  }
  const unknownMembers = unknownMembersOf(json, members);
  const mode = parsed.data.retentionMode || undefined;
  const periodNs = parsed.data.retentionPeriod || undefined;
  if (mode === undefined && periodNs === undefined) return { unknownMembers };
  if (mode === undefined || periodNs === undefined || periodNs < 0) {
    throw invalid("retention needs a mode and a period above 0");
  }
  if (!retentionModes.includes(mode as Retention["mode"])) {
    throw new UnsupportedError(
      "DM_RETENTION_MODE_UNSUPPORTED",
      `retention mode ${JSON.stringify(mode)} is unknown, known here: ${retentionModes.join(", ")}`,
      { blobId: blobConfigId, mode, known: retentionModes },
    );
  }
  return {
    retention: { mode: mode as Retention["mode"], periodMs: periodNs / 1e6 },
    unknownMembers,
  };
}
