/**
 * Entries of files and links as they stand in a directory stream, with their text: most of what a backup writes into a
 * directory it has read there, and neither side needs JSON for it. Only text that this version would write to the byte is
 * taken; everything else is for the decoder of JSON.
 * Format: docs/format/directories.md. Proof: test/stored-entry.test.ts, test/golden.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import { parseTime } from "@dm/repo";
import type { DirectoryEntry, EntryType } from "./directory-entry.ts";
import { decodeMode, encodeMode } from "./mode.ts";

/** An entry that remembers the text it was read from. A changed copy is a plain object, which does not. */
class StoredEntry implements DirectoryEntry {
  readonly name: string;
  readonly type: EntryType;
  readonly mode: number;
  readonly sizeBytes: number;
  readonly modifiedAtNs: bigint;
  readonly uid: number;
  readonly gid: number;
  readonly objectId: string;
  readonly #text: string;

  constructor(match: RegExpExecArray, mode: number, modifiedAtNs: bigint) {
    this.name = match[1]!;
    this.type = match[2]!;
    this.mode = mode;
    this.sizeBytes = match[4] === undefined ? 0 : Number(match[4]);
    this.modifiedAtNs = modifiedAtNs;
    this.uid = match[6] === undefined ? 0 : Number(match[6]);
    this.gid = match[7] === undefined ? 0 : Number(match[7]);
    this.objectId = match[8]!;
    this.#text = match[0];
  }

  static textOf(entry: DirectoryEntry): string | undefined {
    return #text in entry ? entry.#text : undefined;
  }
}

/** The text that an entry was read from, which is the text it would be written as; undefined for any other. */
export const storedTextOf = StoredEntry.textOf;

/** Members as they are written: none that is empty, zero or escaped, no time with zeros at its end, no number too long. */
const entryPattern =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these would be escaped
  /\{"name":"([^"\\<>&\u0000-\u001f\u2028\u2029]+)","type":"([fs])"(?:,"mode":"(0[1-7][0-7]*)")?(?:,"size":([1-9]\d{0,14}))?(?:,"mtime":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{0,8}[1-9])?Z)")?(?:,"uid":([1-9]\d{0,8}))?(?:,"gid":([1-9]\d{0,8}))?,"obj":"([0-9A-Za-z]*)"\}/y;

/**
 * The entry whose text begins here, and where it ends; undefined when it is written in any other way.
 * @param at index of its brace
 */
export function readStoredEntry(
  text: string,
  at: number,
): { readonly entry: DirectoryEntry; readonly end: number } | undefined {
  entryPattern.lastIndex = at;
  const match = entryPattern.exec(text);
  if (!match) return undefined;
  const mode = modeOf(match[3]);
  const modifiedAtNs = timeOf(match[5]);
  if (mode === undefined || modifiedAtNs === undefined) return undefined;
  return { entry: new StoredEntry(match, mode, modifiedAtNs), end: entryPattern.lastIndex };
}

/** The last one: most entries of a directory have the same. */
let lastModeText = "";
let lastMode: number | undefined;

function modeOf(text: string | undefined): number | undefined {
  if (text === undefined) return 0;
  if (text === lastModeText) return lastMode;
  const mode = decodeMode(text);
  lastMode = mode !== undefined && encodeMode(mode) === text ? mode : undefined;
  lastModeText = text;
  return lastMode;
}

/** Where the minute of the last time began: files that were made together need no calendar. */
let lastMinute = "";
let lastMinuteSeconds = 0;
const minuteLength = "2026-01-02T03:04".length;
const secondsLength = "2026-01-02T03:04:05".length;
/** Further away is what wraps around in 64 bits, and nearer than a minute to 1970 what is written as nothing. */
const latestSeconds = 9_223_372_000;

function timeOf(text: string | undefined): bigint | undefined {
  if (text === undefined) return 0n;
  const minute = text.slice(0, minuteLength);
  if (minute !== lastMinute) {
    try {
      lastMinuteSeconds = Number(parseTime(`${minute}:00Z`) / 1_000_000_000n);
    } catch (error) {
      if (!isDmError(error)) throw error;
      return undefined;
    }
    lastMinute = minute;
  }
  const ofMinute = Number(text.slice(minuteLength + 1, secondsLength));
  if (ofMinute > 59 || lastMinuteSeconds <= 0 || lastMinuteSeconds > latestSeconds)
    return undefined;
  const fraction = text.slice(secondsLength + 1, -1).padEnd(9, "0");
  return BigInt(lastMinuteSeconds + ofMinute) * 1_000_000_000n + BigInt(Number(fraction));
}
