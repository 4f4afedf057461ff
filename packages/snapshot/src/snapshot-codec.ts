/**
 * The payload of a snapshot's manifest: source, times, statistics, root entry, tags, pins.
 * Format: docs/format/snapshots.md. Proof: test/golden.test.ts, test/codec-properties.test.ts.
 * @module
 */
import { FormatError, isDmError } from "@dm/core";
import { formatTime, goJsonString, goJsonStringMap } from "@dm/repo";
import { type DirectoryEntry, decodeEntry, encodeEntry } from "./directory-entry.ts";
import {
  checkTime,
  encodeUnknown,
  integerOf,
  membersOf,
  type RawMember,
  type Refuse,
  rawMember,
  textMapOf,
  textOf,
  textsOf,
  timeOf,
} from "./members.ts";

/** Whose data a snapshot holds: under these three names it is found. */
export interface SnapshotSource {
  readonly host: string;
  readonly userName: string;
  /** Usually absolute; Velero's are not. */
  readonly path: string;
}

/** What happened while it was made. Informative: take counts from the summary of the root entry. */
export interface SnapshotStats {
  readonly totalSize: number;
  readonly excludedTotalSize: number;
  readonly fileCount: number;
  readonly cachedFiles: number;
  readonly nonCachedFiles: number;
  readonly dirCount: number;
  readonly excludedFileCount: number;
  readonly excludedDirCount: number;
  readonly ignoredErrorCount: number;
  readonly errorCount: number;
  readonly unknownMembers?: readonly RawMember[] | undefined;
}

/** Of a snapshot for which nothing was read yet. */
export const emptyStats: SnapshotStats = {
  totalSize: 0,
  excludedTotalSize: 0,
  fileCount: 0,
  cachedFiles: 0,
  nonCachedFiles: 0,
  dirCount: 0,
  excludedFileCount: 0,
  excludedDirCount: 0,
  ignoredErrorCount: 0,
  errorCount: 0,
};

/** A snapshot, as its manifest has it. */
export interface Snapshot {
  /** Of its manifest; not part of the payload. Another one after an edit. */
  readonly id: string;
  readonly source: SnapshotSource;
  readonly description: string;
  readonly startedAtNs: bigint;
  readonly endedAtNs: bigint;
  readonly stats: SnapshotStats;
  /** `checkpoint`, `canceled` or `limit reached`; undefined when complete. */
  readonly incompleteReason?: string | undefined;
  /** A directory, or the only file. */
  readonly rootEntry?: DirectoryEntry | undefined;
  readonly tags: Readonly<Record<string, string>>;
  /** Any pin keeps it from expiring. */
  readonly pins: readonly string[];
  readonly unknownMembers?: readonly RawMember[] | undefined;
}

const known: ReadonlySet<string> = new Set([
  "id",
  "source",
  "description",
  "startTime",
  "endTime",
  "stats",
  "incomplete",
  "rootEntry",
  "tags",
  "pins",
]);
const knownOfSource: ReadonlySet<string> = new Set(["host", "userName", "path"]);
const statNames = [
  "totalSize",
  "excludedTotalSize",
  "fileCount",
  "cachedFiles",
  "nonCachedFiles",
  "dirCount",
  "excludedFileCount",
  "excludedDirCount",
  "ignoredErrorCount",
  "errorCount",
] as const;
const knownStats: ReadonlySet<string> = new Set(statNames);

/** JSON as Kopia writes it, without a newline; the id is left empty. Pins are sorted. */
export function encodeSnapshotManifest(snapshot: Snapshot): string {
  const { incompleteReason, pins, rootEntry, source, stats, tags } = snapshot;
  const { host, path, userName } = source;
  let json = `{"id":"","source":{"host":${goJsonString(host)},"userName":${goJsonString(userName)}`;
  json += `,"path":${goJsonString(path)}},"description":${goJsonString(snapshot.description)}`;
  json += `,"startTime":"${formatTime(checkTime(snapshot.startedAtNs))}"`;
  json += `,"endTime":"${formatTime(checkTime(snapshot.endedAtNs))}"`;
  const statMembers = statNames.map((name) => `"${name}":${stats[name]}`).join(",");
  json += `,"stats":{${statMembers}${encodeUnknown(stats.unknownMembers)}}`;
  if (incompleteReason) json += `,"incomplete":${goJsonString(incompleteReason)}`;
  json += `,"rootEntry":${rootEntry ? encodeEntry(rootEntry) : "null"}`;
  if (Object.keys(tags).length > 0) json += `,"tags":${goJsonStringMap(tags)}`;
  if (pins.length > 0) json += `,"pins":[${pins.toSorted().map(goJsonString).join(",")}]`;
  return `${json}${encodeUnknown(snapshot.unknownMembers)}}`;
}

/**
 * @param data the payload of the manifest
 * @param id of the manifest
 * @throws {FormatError} `DM_SNAPSHOT_INVALID` naming the manifest and the member
 */
export function decodeSnapshotManifest(data: string, id = ""): Snapshot {
  const refuse: Refuse = (where, why, cause) =>
    new FormatError(
      "DM_SNAPSHOT_INVALID",
      `snapshot manifest ${id}: ${where === "" ? "" : `${where}: `}${why}`,
      { manifestId: id, where },
      { cause },
    );
  try {
    return decodeValue(JSON.parse(data), data, id, refuse);
  } catch (error) {
    if (isDmError(error, "DM_SNAPSHOT_INVALID")) throw error;
    if (error instanceof SyntaxError || isDmError(error)) throw refuse("", "not JSON", error);
    throw error;
  }
}

function decodeValue(value: unknown, data: string, id: string, refuse: Refuse): Snapshot {
  const { unknown, values } = membersOf(value, known, () => data, "", refuse);
  const rawOf = (name: string) => (): string => rawMember(data, name);
  const incompleteReason = textOf(values["incomplete"], "incomplete", refuse);
  const root = values["rootEntry"];
  const source = membersOf(
    values["source"] ?? {},
    knownOfSource,
    rawOf("source"),
    "source",
    refuse,
  ).values;
  return {
    id,
    source: {
      host: textOf(source["host"], "source.host", refuse),
      userName: textOf(source["userName"], "source.userName", refuse),
      path: textOf(source["path"], "source.path", refuse),
    },
    description: textOf(values["description"], "description", refuse),
    startedAtNs: timeOf(values["startTime"], "startTime", refuse),
    endedAtNs: timeOf(values["endTime"], "endTime", refuse),
    stats: decodeStats(values["stats"] ?? {}, rawOf("stats"), refuse),
    ...(incompleteReason === "" ? {} : { incompleteReason }),
    ...(root === undefined || root === null
      ? {}
      : { rootEntry: decodeEntry(root, rawOf("rootEntry"), "rootEntry", refuse) }),
    tags: textMapOf(values["tags"], "tags", refuse),
    pins: textsOf(values["pins"], "pins", refuse),
    ...(unknown && { unknownMembers: unknown }),
  };
}

function decodeStats(value: unknown, raw: () => string, refuse: Refuse): SnapshotStats {
  const { unknown, values } = membersOf(value, knownStats, raw, "stats", refuse);
  const count = (name: string): number =>
    integerOf(values[name], `stats.${name}`, refuse, Number.MIN_SAFE_INTEGER);
  return {
    totalSize: count("totalSize"),
    excludedTotalSize: count("excludedTotalSize"),
    fileCount: count("fileCount"),
    cachedFiles: count("cachedFiles"),
    nonCachedFiles: count("nonCachedFiles"),
    dirCount: count("dirCount"),
    excludedFileCount: count("excludedFileCount"),
    excludedDirCount: count("excludedDirCount"),
    ignoredErrorCount: count("ignoredErrorCount"),
    errorCount: count("errorCount"),
    ...(unknown && { unknownMembers: unknown }),
  };
}
