/**
 * The old ("v0") index manager as pure functions: `n` blobs are indexes, an `m` blob records that some replaced others,
 * an `l` blob records which `m` blobs may go. Format: docs/format/epochs.md. Proof: test/v0.test.ts.
 * @module
 */
import { FormatError, isDmError, utf8DecodeStrict, utf8Encode } from "@dm/core";
import type { BlobMetadata } from "@dm/storage";
import * as z from "zod";
import { parseChecked } from "../json/checked-json.ts";
import { formatTime, goJsonString, parseTime } from "../json/go-json.ts";

export interface CompactionLog {
  readonly inputs: readonly BlobMetadata[];
  readonly outputs: readonly BlobMetadata[];
}

/** Time that the store must have moved on before a compaction's inputs, or its log, are deleted. */
export const v0CleanupDelayNs = 3_600_000_000_000n;

const blobSchema = z.looseObject({ id: z.string(), length: z.number(), timestamp: z.string() });
const logSchema = z.looseObject({
  inputMetadata: z.array(blobSchema).nullish(),
  outputMetadata: z.array(blobSchema).nullish(),
});
const cleanupSchema = z.looseObject({
  blobIDs: z.array(z.string()).nullish(),
  cleanupScheduleTime: z.string(),
});

/** Runs a decoder; what it finds wrong is told with the blob's id. */
function decodeNamed<Result>(blobId: string, decode: () => Result): Result {
  try {
    return decode();
  } catch (cause) {
    if (!isDmError(cause)) throw cause;
    throw new FormatError(
      "DM_COMPACTION_LOG_INVALID",
      `blob ${blobId} is not a compaction log: ${cause.message}`,
      { blobId },
      { cause },
    );
  }
}

/** @throws {FormatError} `DM_COMPACTION_LOG_INVALID` naming the blob */
export function decodeCompactionLog(bytes: Uint8Array, blobId: string): CompactionLog {
  const metadata = (blob: z.infer<typeof blobSchema>): BlobMetadata => ({
    id: blob.id,
    length: blob.length,
    timestampNs: parseTime(blob.timestamp),
  });
  return decodeNamed(blobId, () => {
    const log = parseChecked(logSchema, utf8DecodeStrict(bytes));
    return {
      inputs: (log.inputMetadata ?? []).map(metadata),
      outputs: (log.outputMetadata ?? []).map(metadata),
    };
  });
}

export function encodeCompactionLog(log: CompactionLog): Uint8Array {
  const list = (blobs: readonly BlobMetadata[]): string =>
    `[${blobs
      .map(
        ({ id, length, timestampNs }) =>
          `{"id":${goJsonString(id)},"length":${length},"timestamp":"${formatTime(timestampNs)}"}`,
      )
      .join(",")}]`;
  return utf8Encode(`{"inputMetadata":${list(log.inputs)},"outputMetadata":${list(log.outputs)}}`);
}

export interface DelayedCleanup {
  readonly blobIds: readonly string[];
  readonly scheduledAtNs: bigint;
}

/** @throws {FormatError} `DM_COMPACTION_LOG_INVALID` naming the blob */
export function decodeDelayedCleanup(bytes: Uint8Array, blobId: string): DelayedCleanup {
  return decodeNamed(blobId, () => {
    const cleanup = parseChecked(cleanupSchema, utf8DecodeStrict(bytes));
    return {
      blobIds: cleanup.blobIDs ?? [],
      scheduledAtNs: parseTime(cleanup.cleanupScheduleTime),
    };
  });
}

export function encodeDelayedCleanup(cleanup: DelayedCleanup): Uint8Array {
  const ids = cleanup.blobIds.map(goJsonString).join(",");
  return utf8Encode(
    `{"blobIDs":[${ids}],"cleanupScheduleTime":"${formatTime(cleanup.scheduledAtNs)}"}`,
  );
}

/** Index blobs that count: all but the inputs of logs whose outputs are all there. */
export function activeV0Blobs(
  indexBlobs: readonly BlobMetadata[],
  logs: Iterable<CompactionLog>,
): readonly BlobMetadata[] {
  const present = new Set(indexBlobs.map((blob) => blob.id));
  const replaced = new Set<string>();
  for (const log of logs) {
    if (!log.outputs.every((output) => present.has(output.id))) continue;
    for (const input of log.inputs) replaced.add(input.id);
  }
  return indexBlobs.filter((blob) => !replaced.has(blob.id));
}

const smallBlobsToCompact = 8;
const mediumBlobsToCompact = 7;

/** Which active index blobs quick maintenance merges; empty when there are too few small ones. */
export function v0CompactionCandidates(
  active: readonly BlobMetadata[],
  options: { readonly maxPackSizeBytes: number; readonly allIndexes?: boolean },
): readonly BlobMetadata[] {
  const { maxPackSizeBytes, allIndexes = false } = options;
  const candidates = active.filter((blob) => allIndexes || blob.length <= maxPackSizeBytes);
  if (allIndexes) return candidates;
  if (candidates.length < smallBlobsToCompact) return [];
  const verySmall = candidates.filter((blob) => blob.length < maxPackSizeBytes / 20);
  const mediumCount = candidates.length - verySmall.length;
  if (verySmall.length > candidates.length / 2 && mediumCount < mediumBlobsToCompact)
    return verySmall;
  return candidates;
}
