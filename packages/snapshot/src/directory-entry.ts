/**
 * One entry of a directory; also the root entry of a snapshot.
 * Format: docs/format/directories.md. Proof: test/golden.test.ts, test/codec-properties.test.ts.
 * @module
 */
import { formatTime, goJsonString } from "@dm/repo";
import {
  checkCount,
  checkTime,
  encodeUnknown,
  integerOf,
  membersOf,
  type RawMember,
  type Refuse,
  rawMember,
  textOf,
  timeOf,
} from "./members.ts";
import { decodeMode, encodeMode } from "./mode.ts";
import { storedTextOf } from "./stored-entry.ts";
import { type DirectorySummary, decodeSummary, encodeSummary } from "./summary.ts";

/** `f` file, `d` directory, `s` symbolic link. Other programs may have written others: they are kept, not understood. */
export type EntryType = "f" | "d" | "s" | (string & {});

/** A file, link or directory, as the directory that it lies in has it. */
export interface DirectoryEntry {
  /** Base name. Streams of volumes may have slashes in it. */
  readonly name: string;
  readonly type: EntryType;
  /** Permission bits, setuid, setgid and sticky in POSIX numbering: 0 to 0o7777. */
  readonly mode: number;
  /** Bytes of a file or of a link's target; 0 for a directory. */
  readonly sizeBytes: number;
  /** Nanoseconds since 1970. */
  readonly modifiedAtNs: bigint;
  readonly uid: number;
  readonly gid: number;
  /** Empty when there is no object. */
  readonly objectId: string;
  /** On directories, and on a root entry that is a file. */
  readonly summary?: DirectorySummary | undefined;
  /** Members that this version does not know; they are written again as they were. */
  readonly unknownMembers?: readonly RawMember[] | undefined;
}

const maxId = 2 ** 32 - 1;

const known: ReadonlySet<string> = new Set([
  "name",
  "type",
  "mode",
  "size",
  "mtime",
  "uid",
  "gid",
  "obj",
  "summ",
]);

/** JSON as Kopia writes it: members in its order, empty ones left out. */
export function encodeEntry(entry: DirectoryEntry): string {
  const stored = storedTextOf(entry);
  if (stored !== undefined) return stored;
  const { gid, mode, modifiedAtNs, sizeBytes, summary, uid } = entry;
  let json = "";
  if (entry.name !== "") json += `"name":${goJsonString(entry.name)},`;
  if (entry.type !== "") json += `"type":${goJsonString(entry.type)},`;
  if ((mode & 0o7777) !== 0) json += `"mode":"${encodeMode(mode)}",`;
  if (sizeBytes !== 0) json += `"size":${checkCount(sizeBytes, "size")},`;
  if (modifiedAtNs !== 0n) json += `"mtime":"${formatTime(checkTime(modifiedAtNs))}",`;
  if (uid !== 0) json += `"uid":${checkCount(uid, "uid")},`;
  if (gid !== 0) json += `"gid":${checkCount(gid, "gid")},`;
  json += `"obj":${goJsonString(entry.objectId)}`;
  if (summary) json += `,"summ":${encodeSummary(summary)}`;
  return `{${json}${encodeUnknown(entry.unknownMembers)}}`;
}

/**
 * An entry of parsed JSON.
 * @param raw the text of `value`, for members that are unknown here
 */
export function decodeEntry(
  value: unknown,
  raw: () => string,
  where: string,
  refuse: Refuse,
): DirectoryEntry {
  const { unknown, values } = membersOf(value, known, raw, where, refuse);
  const { mode, summ } = values as { mode?: unknown; summ?: unknown };
  const entry = {
    name: textOf(values["name"], where, refuse),
    type: textOf(values["type"], where, refuse),
    mode: mode === undefined || mode === null ? 0 : modeOf(mode, where, refuse),
    sizeBytes: integerOf(values["size"], where, refuse),
    modifiedAtNs: timeOf(values["mtime"], where, refuse),
    uid: integerOf(values["uid"], where, refuse, 0, maxId),
    gid: integerOf(values["gid"], where, refuse, 0, maxId),
    objectId: textOf(values["obj"], where, refuse),
  };
  if (unknown === undefined && (summ === undefined || summ === null)) return entry;
  const summary =
    summ === undefined || summ === null
      ? undefined
      : decodeSummary(summ, () => rawMember(raw(), "summ"), `${where}.summ`, refuse);
  return { ...entry, ...(summary && { summary }), ...(unknown && { unknownMembers: unknown }) };
}

function modeOf(value: unknown, where: string, refuse: Refuse): number {
  const mode = decodeMode(textOf(value, where, refuse));
  if (mode === undefined) throw refuse(where, "mode is not a number of 31 bits");
  return mode;
}
