/**
 * Summaries of directories: what lies below, in numbers. Stored in the directory's own stream, and once more in the entry
 * that leads to it. Format: docs/format/directories.md. Proof: test/golden.test.ts, test/codec-properties.test.ts.
 * @module
 */
import { compareUtf8, formatTime, goJsonString, rawElements } from "@dm/repo";
import type { DirectoryEntry } from "./directory-entry.ts";
import {
  checkCount,
  checkTime,
  encodeUnknown,
  integerOf,
  listOf,
  membersOf,
  type RawMember,
  type Refuse,
  rawMember,
  textOf,
  timeOf,
} from "./members.ts";

/** What lies below a directory, counted when it was backed up. */
export interface DirectorySummary {
  /** Bytes of all files below. */
  readonly totalBytes: number;
  readonly fileCount: number;
  readonly symlinkCount: number;
  /** Directories below, and this one. */
  readonly directoryCount: number;
  /** Newest time of everything below; an empty directory's own. */
  readonly maxModifiedAtNs: bigint;
  /** `checkpoint`, `canceled` or `limit reached`; undefined when complete. */
  readonly incompleteReason?: string | undefined;
  /** Entries below that could not be read and are missing. */
  readonly failedCount: number;
  /** Missing entries whose failure a policy ignores. */
  readonly ignoredErrorCount: number;
  readonly failures: readonly FailedEntry[];
  readonly unknownMembers?: readonly RawMember[] | undefined;
}

/** An entry that is missing because it could not be read. */
export interface FailedEntry {
  /** Relative to the root of the snapshot. */
  readonly path: string;
  readonly error: string;
}

const known: ReadonlySet<string> = new Set([
  "size",
  "files",
  "symlinks",
  "dirs",
  "maxTime",
  "incomplete",
  "numFailed",
  "numIgnoredErrors",
  "errors",
]);
const knownOfFailure: ReadonlySet<string> = new Set(["path", "error"]);

export function encodeSummary(summary: DirectorySummary): string {
  const { failures, incompleteReason } = summary;
  const count = (value: number): string => `${checkCount(value, "a count of a summary")}`;
  let json = `{"size":${count(summary.totalBytes)},"files":${count(summary.fileCount)}`;
  json += `,"symlinks":${count(summary.symlinkCount)},"dirs":${count(summary.directoryCount)}`;
  json += `,"maxTime":"${formatTime(checkTime(summary.maxModifiedAtNs))}"`;
  if (incompleteReason) json += `,"incomplete":${goJsonString(incompleteReason)}`;
  json += `,"numFailed":${count(summary.failedCount)}`;
  if (summary.ignoredErrorCount) json += `,"numIgnoredErrors":${count(summary.ignoredErrorCount)}`;
  if (failures.length > 0) json += `,"errors":[${failures.map(encodeFailure).join(",")}]`;
  return `${json}${encodeUnknown(summary.unknownMembers)}}`;
}

function encodeFailure({ path, error }: FailedEntry): string {
  return `{"path":${goJsonString(path)},"error":${goJsonString(error)}}`;
}

/** @param raw the text of `value` */
export function decodeSummary(
  value: unknown,
  raw: () => string,
  where: string,
  refuse: Refuse,
): DirectorySummary {
  const { unknown, values } = membersOf(value, known, raw, where, refuse);
  const count = (name: string): number => integerOf(values[name], `${where}.${name}`, refuse);
  const incompleteReason = textOf(values["incomplete"], `${where}.incomplete`, refuse);
  const failures = listOf(values["errors"], `${where}.errors`, refuse).map((item, index) => {
    const place = `${where}.errors[${index}]`;
    const itemText = (): string => rawElements(rawMember(raw(), "errors"))[index]!;
    const members = membersOf(item, knownOfFailure, itemText, place, refuse).values;
    return {
      path: textOf(members["path"], place, refuse),
      error: textOf(members["error"], place, refuse),
    };
  });
  return {
    totalBytes: count("size"),
    fileCount: count("files"),
    symlinkCount: count("symlinks"),
    directoryCount: count("dirs"),
    maxModifiedAtNs: timeOf(values["maxTime"], `${where}.maxTime`, refuse),
    ...(incompleteReason === "" ? {} : { incompleteReason }),
    failedCount: count("numFailed"),
    ignoredErrorCount: count("numIgnoredErrors"),
    failures,
    ...(unknown && { unknownMembers: unknown }),
  };
}

/**
 * The summary of a directory with these entries, as Kopia makes it: counts of the files here and of the summaries of the
 * directories in it. Times before 1970 never win.
 * @param modifiedAtNs the directory's own time, which counts only when it is empty
 */
export function summarizeDirectory(
  entries: Iterable<DirectoryEntry>,
  modifiedAtNs: bigint,
): DirectorySummary {
  const total = { bytes: 0, files: 0, symlinks: 0, directories: 1, failed: 0, ignored: 0 };
  let maxModifiedAtNs = 0n;
  const failures: FailedEntry[] = [];
  let isEmpty = true;
  for (const { modifiedAtNs: time, sizeBytes, summary, type } of entries) {
    isEmpty = false;
    if (time > maxModifiedAtNs) maxModifiedAtNs = time;
    if (type === "s") total.symlinks += 1;
    else if (type === "f") {
      total.files += 1;
      total.bytes += sizeBytes;
    } else if (type === "d" && summary) {
      total.bytes += summary.totalBytes;
      total.files += summary.fileCount;
      total.symlinks += summary.symlinkCount;
      total.directories += summary.directoryCount;
      total.failed += summary.failedCount;
      total.ignored += summary.ignoredErrorCount;
      for (const failure of summary.failures) failures.push(failure);
      if (summary.maxModifiedAtNs > maxModifiedAtNs) maxModifiedAtNs = summary.maxModifiedAtNs;
    }
  }
  return {
    totalBytes: total.bytes,
    fileCount: total.files,
    symlinkCount: total.symlinks,
    directoryCount: total.directories,
    maxModifiedAtNs: isEmpty ? modifiedAtNs : maxModifiedAtNs,
    failedCount: total.failed,
    ignoredErrorCount: total.ignored,
    failures: failures.sort((a, b) => compareUtf8(a.path, b.path)),
  };
}
