/**
 * The written report of a verification: what was asked for, what was counted, what was found, and how old the proof is.
 * Meant to be kept: plain JSON, times in RFC 3339. Proof: test/verify-report.test.ts.
 * @module
 */
import type { DmError } from "@dm/core";
import { formatTime } from "@dm/repo";
import type { Snapshot } from "../snapshot-codec.ts";
import type { VerifySnapshotReport } from "./verify-snapshots.ts";

/** What a report says about the run. */
export interface VerifyReportOptions {
  /** The snapshots that were verified. */
  readonly snapshots: readonly Snapshot[];
  /** Unique id of the repository, hexadecimal. */
  readonly repositoryId: string;
  readonly startedAtNs: bigint;
  readonly endedAtNs: bigint;
  /** Manifests that could not be read, so that their snapshots were not verified; each is an error of the report. */
  readonly unreadable?: ReadonlyMap<string, DmError> | undefined;
}

/** A report's JSON form. */
export interface VerifyReportFile {
  readonly version: 1;
  readonly repository: string;
  readonly startTime: string;
  readonly endTime: string;
  readonly ok: boolean;
  /** It ended before the last entry, at the greatest number of errors that was asked for. */
  readonly cutOff: boolean;
  readonly snapshots: readonly {
    readonly id: string;
    readonly source: Snapshot["source"];
    readonly startTime: string;
    readonly rootObjectId: string;
    readonly ok: boolean;
  }[];
  /** Which files were to be read: a share from a place on the circle on, by a seed. */
  readonly choice: { readonly share: number; readonly from: number; readonly seed: string };
  readonly counts: {
    /** Different objects, directories included. */
    readonly objects: number;
    /** Different files and links, and their bytes. */
    readonly files: number;
    readonly bytes: number;
    /** Of these, read by this run. */
    readonly filesRead: number;
    readonly bytesRead: number;
    /** Of these, read by an earlier run. */
    readonly filesProvenEarlier: number;
    readonly bytesProvenEarlier: number;
  };
  /** Of what was read by this run or an earlier one. */
  readonly proof: {
    /** Share of all files that were looked at, 0 to 1. */
    readonly share: number;
    readonly oldest: string | null;
    readonly newest: string | null;
    /** Of the oldest, when the run ended. */
    readonly oldestAgeSeconds: number | null;
  };
  readonly errorCount: number;
  readonly errors: readonly {
    readonly snapshot: string;
    readonly path: string;
    readonly objectId: string;
    readonly code: string;
    readonly message: string;
  }[];
}

/** @example await writeFile("report.json", JSON.stringify(verifyReportFile(report, options), null, 2)); */
export function verifyReportFile(
  report: VerifySnapshotReport,
  options: VerifyReportOptions,
): VerifyReportFile {
  const { endedAtNs, repositoryId, snapshots, startedAtNs, unreadable = new Map() } = options;
  const { damagedSnapshots, filesDone, filesProven, filesRead, oldestProofNs } = report;
  const timeOf = (ns: bigint | undefined): string | null =>
    ns === undefined ? null : formatTime(ns);
  const { from, seed, share } = report.choice;
  return {
    version: 1,
    repository: repositoryId,
    startTime: formatTime(startedAtNs),
    endTime: formatTime(endedAtNs),
    ok: report.ok && unreadable.size === 0,
    cutOff: report.isCutOff,
    snapshots: snapshots.map((snapshot) => ({
      id: snapshot.id,
      source: snapshot.source,
      startTime: formatTime(snapshot.startedAtNs),
      rootObjectId: snapshot.rootEntry?.objectId ?? "",
      ok: !damagedSnapshots.has(snapshot.id),
    })),
    choice: { share, from, seed },
    counts: {
      objects: report.objectsDone,
      files: filesDone,
      bytes: report.objectBytesDone,
      filesRead,
      bytesRead: report.bytesRead,
      filesProvenEarlier: filesProven,
      bytesProvenEarlier: report.bytesProven,
    },
    proof: {
      share: filesDone === 0 ? 1 : Math.min(1, (filesRead + filesProven) / filesDone),
      oldest: timeOf(oldestProofNs),
      newest: timeOf(report.newestProofNs),
      oldestAgeSeconds:
        oldestProofNs === undefined ? null : Number((endedAtNs - oldestProofNs) / 1_000_000_000n),
    },
    errorCount: unreadable.size + report.findings.length,
    errors: [
      ...[...unreadable].map(([id, error]) => errorOf(id, "", "", error)),
      ...report.findings.map(({ error, objectId, path, snapshotId }) =>
        errorOf(snapshotId, path, objectId, error),
      ),
    ],
  };
}

const errorOf = (
  snapshot: string,
  path: string,
  objectId: string,
  { code, message }: DmError,
): VerifyReportFile["errors"][number] => ({ snapshot, path, objectId, code, message });
