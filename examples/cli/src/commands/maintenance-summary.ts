/**
 * Kopia's sentences about what a maintenance run did, from the figures that it stores with the run.
 * Proof: test/interop.kopia.test.ts compares them with kopia's own.
 * @module
 */
import { parseTime } from "@dm/repo";

interface Figures {
  readonly kind: string;
  /** Null when all figures are zero. */
  readonly data?: Readonly<Record<string, unknown>> | null;
}

/** One sentence for each kind of figures that is known here; empty when there are none. */
export function runSummary(extra: unknown, size: (bytes: number) => string): string {
  if (!Array.isArray(extra)) return "";
  return extra
    .filter((item): item is Figures => typeof item?.kind === "string")
    .map(({ data, kind }) => {
      const template = templates[kind];
      return template === undefined ? "" : filled(template, data ?? {}, size);
    })
    .join("");
}

/** `{name}` is a number, `{name:size}` a size, `{name:time}` a time. */
const templates: Readonly<Record<string, string>> = {
  advanceEpochStats: "{wasAdvanced:advanced} {currentEpoch}",
  cleanupLogsStats:
    "Found {toDeleteBlobCount}({toDeleteBlobSize:size}) logs blobs for deletion and deleted " +
    "{deletedBlobCount}({deletedBlobSize:size}) of them. Retained " +
    "{retainedBlobCount}({retainedBlobSize:size}) log blobs.",
  cleanupMarkersStats:
    "Cleaned up {deletedEpochMarkerBlobCount} epoch markers and {deletedWatermarkBlobCount} deletion watermarks",
  cleanupSupersededIndexesStats:
    "Cleaned up {deletedBlobCount}({deletedTotalSize:size}) superseded index blobs, max replacement time " +
    "{maxReplacementTime:time}",
  compactIndexesStats: "Dropped contents deleted before {droppedContentsDeletedBefore:time}",
  compactSingleEpochStats:
    "Compacted {supersededIndexBlobCount}({supersededIndexTotalSize:size}) index blobs for epoch {epoch}",
  deleteUnreferencedPacksStats:
    "Found {unreferencedPackCount}({unreferencedTotalSize:size}) unreferenced pack blobs to delete and deleted " +
    "{deletedPackCount}({deletedTotalSize:size}). Retained {retainedPackCount}({retainedTotalSize:size}) " +
    "unreferenced pack blobs.",
  extendBlobRetentionStats:
    "Blob retention extension found {toExtendBlobCount} blobs and extended for {extendedBlobCount} blobs, " +
    "retention period {retentionPeriod}",
  generateRangeCheckpointStats:
    "Generated a range checkpoint from epoch {rangeMinEpoch} to {rangeMaxEpoch} inclusive",
  rewriteContentsStats:
    "Found {toRewriteContentCount}({toRewriteContentSize:size}) contents to rewrite and rewrote " +
    "{rewrittenContentCount}({rewrittenContentSize:size}). Retained " +
    "{retainedContentCount}({retainedContentSize:size}) contents from rewrite",
  snapshotGCStats:
    "Found {unreferencedContentCount}({unreferencedContentSize}) unreferenced contents and marked " +
    "{deletedContentCount}({deletedContentSize}) for deletion. Found {inUseContentCount}({inUseContentSize}) in-use " +
    "contents and {inUseSystemContentCount}({inUseSystemContentSize}) in-use system contents. Retained " +
    "{unreferencedRecentContentCount}({unreferencedRecentContentSize}) recent contents. Recovered " +
    "{recoveredContentCount}({recoveredContentSize}) contents",
};

const zeroTime = "0001-01-01T00:00:00Z";

function filled(
  template: string,
  data: Readonly<Record<string, unknown>>,
  size: (bytes: number) => string,
): string {
  return template.replace(/\{(\w+)(?::(\w+))?\}/g, (_all, name: string, form?: string) => {
    const value = data[name];
    if (form === "size") return size(Number(value ?? 0));
    if (form === "time") return goTime(String(value ?? zeroTime));
    if (form === "advanced") return value === true ? "Advanced epoch to" : "Stayed at epoch";
    return String(value ?? 0);
  });
}

/** `2006-01-02 15:04:05.999 +0000 UTC`, as Go prints a time that nobody has formatted. */
function goTime(text: string): string {
  if (text === zeroTime) return "0001-01-01 00:00:00 +0000 UTC";
  const ns = parseTime(text);
  const seconds = new Date(Number(ns / 1_000_000n)).toISOString().slice(0, 19).replace("T", " ");
  const fraction = (((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n)
    .toString()
    .padStart(9, "0")
    .replace(/0+$/, "");
  return `${seconds}${fraction && `.${fraction}`} +0000 UTC`;
}
