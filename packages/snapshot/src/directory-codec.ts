/**
 * Directory streams: `{"stream":"kopia:directory","entries":[…],"summary":{…}}` and a newline. They are hashed as bytes, so
 * an unchanged directory keeps its object id only when these are Kopia's to the byte.
 * Format: docs/format/directories.md. Proof: test/golden.test.ts, test/codec-properties.test.ts.
 * @module
 */
import {
  compareBytes,
  concatBytes,
  FormatError,
  isDmError,
  utf8DecodeStrict,
  utf8Encode,
} from "@dm/core";
import { compareUtf8, rawElements } from "@dm/repo";
import { type DirectoryEntry, decodeEntry, encodeEntry } from "./directory-entry.ts";
import {
  encodeUnknown,
  listOf,
  membersOf,
  type RawMember,
  type Refuse,
  rawMember,
  textOf,
} from "./members.ts";
import { readStoredEntry } from "./stored-entry.ts";
import { type DirectorySummary, decodeSummary, encodeSummary } from "./summary.ts";

/** What a directory stream holds. */
export interface Directory {
  readonly entries: readonly DirectoryEntry[];
  readonly summary: DirectorySummary;
  readonly unknownMembers?: readonly RawMember[] | undefined;
}

/** Longest stream that is written and read, about three million entries. It is also what a string can hold. */
export const maxDirectoryBytes = 500 << 20;

const streamType = "kopia:directory";
const beforeEntries = `{"stream":"${streamType}","entries":`;
const beforeSummary = ',"summary":';
const surrogate = /[\ud800-\udfff]/;
const known: ReadonlySet<string> = new Set(["stream", "entries", "summary"]);

/**
 * The bytes of a directory. Entries may come in any order: directories are put first, each group sorted by the bytes of
 * its names. A byte of a name that is not UTF-8 is given as a lone surrogate U+DC80 to U+DCFF, and is written as U+FFFD
 * once it has been sorted. Entries with equal names are all written, in the order given; a reader sees the last.
 * @throws {RangeError} for a time beyond 64 bits, a size or count that is no integer from 0 to 2^53 − 1, or more than 500 MiB
 */
export function encodeDirectory(directory: Directory): Uint8Array {
  return directoryBytes(directoryText(directory));
}

/**
 * The stream with this text.
 * @throws {RangeError} when it is longer than anybody would read
 */
export function directoryBytes(text: string): Uint8Array {
  const bytes = text.length > maxDirectoryBytes ? undefined : utf8Encode(text);
  if (bytes && bytes.length <= maxDirectoryBytes) return bytes;
  throw new RangeError(
    `the directory takes more than ${maxDirectoryBytes} bytes, which no reader takes: spread its entries over several directories`,
  );
}

/** What {@link encodeDirectory} makes, as text. */
export function directoryText({ entries, summary, unknownMembers }: Directory): string {
  const areSimple = !entries.some(({ name }) => surrogate.test(name));
  const list = [...entries].sort(areSimple ? compareSimple : compareEntries).map(encodeEntry);
  const json = list.length === 0 ? "null" : `[${list.join(",")}]`;
  const tail = `${encodeSummary(summary)}${encodeUnknown(unknownMembers)}}\n`;
  return `${beforeEntries}${json}${beforeSummary}${tail}`;
}

/** The order of a directory stream. */
export function compareEntries(a: DirectoryEntry, b: DirectoryEntry): number {
  if (a.name.isWellFormed() && b.name.isWellFormed()) return compareWellFormed(a, b);
  return compareTypes(a, b) || compareBytes(nameBytes(a.name), nameBytes(b.name));
}

/** {@link compareEntries} for names without surrogates: the order of units is that of bytes. */
function compareSimple(a: DirectoryEntry, b: DirectoryEntry): number {
  if (a.name === b.name) return compareTypes(a, b);
  return compareTypes(a, b) || (a.name < b.name ? -1 : 1);
}

function compareWellFormed(a: DirectoryEntry, b: DirectoryEntry): number {
  return compareTypes(a, b) || compareUtf8(a.name, b.name);
}

function compareTypes(a: DirectoryEntry, b: DirectoryEntry): number {
  const aIsDirectory = a.type === "d";
  return aIsDirectory === (b.type === "d") ? 0 : aIsDirectory ? -1 : 1;
}

/** The name as the file system has it: a lone surrogate U+DC80 to U+DCFF stands for a byte that is not UTF-8. */
function nameBytes(name: string): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const character of name) {
    const code = character.codePointAt(0) ?? 0;
    const isByte = code >= 0xdc80 && code <= 0xdcff;
    pieces.push(isByte ? Uint8Array.of(code & 0xff) : utf8Encode(character));
  }
  return concatBytes(...pieces);
}

/**
 * Reads any valid JSON of that shape, whatever its order and spacing; the entries are left in their order.
 * @param objectId for messages
 * @throws {FormatError} `DM_DIRECTORY_INVALID` naming the object and the entry
 */
export function decodeDirectory(bytes: Uint8Array, objectId = ""): Directory {
  const refuse: Refuse = (where, why, cause) =>
    new FormatError(
      "DM_DIRECTORY_INVALID",
      `directory ${objectId || "stream"}: ${where === "" ? "" : `${where}: `}${why}`,
      { objectId, where },
      { cause },
    );
  try {
    const text = utf8DecodeStrict(bytes);
    return decodeText(text, refuse);
  } catch (error) {
    if (isDmError(error, "DM_DIRECTORY_INVALID")) throw error;
    // Neither the text nor what JSON.parse says of it goes into the message: it may quote names of files.
    if (error instanceof SyntaxError || isDmError(error))
      throw refuse("", "not JSON in UTF-8", error);
    throw error;
  }
}

function decodeText(text: string, refuse: Refuse): Directory {
  return decodeStored(text, refuse) ?? decodeJson(text, refuse);
}

const texts = new WeakMap<Directory, string>();

/** The text that a directory was read from, where that was simple. */
export const storedDirectoryText = (directory: Directory): string | undefined =>
  texts.get(directory);

/** A subdirectory's text, as far as it goes without braces in texts or failures in its summary. */
const subdirectoryPattern = /\{"name":"[^"\\]*","type":"d"[^{}[\]]*(?:\{[^{}[\]]*\})?[^{}[\]]*\}/y;

/**
 * A directory whose files and links are written as this version would write them; undefined for any other. Its
 * subdirectories and the summary are still JSON.
 */
function decodeStored(text: string, refuse: Refuse): Directory | undefined {
  if (!text.startsWith(`${beforeEntries}[{`)) return undefined;
  const entries: DirectoryEntry[] = [];
  let at = beforeEntries.length;
  do {
    at += 1;
    const stored = readStoredEntry(text, at);
    if (stored) {
      entries.push(stored.entry);
      at = stored.end;
      continue;
    }
    subdirectoryPattern.lastIndex = at;
    const raw = subdirectoryPattern.exec(text)?.[0];
    const value = raw === undefined ? undefined : parsed(raw);
    if (raw === undefined || value === undefined) return undefined;
    entries.push(decodeEntry(value, () => raw, `entries[${entries.length}]`, refuse));
    at += raw.length;
  } while (text[at] === ",");
  if (!text.startsWith(`]${beforeSummary}`, at)) return undefined;
  const rest = `{${text.slice(at + 2)}`;
  const tail = parsed(rest) as { readonly summary?: unknown } | undefined;
  if (tail === undefined || Object.keys(tail).length !== 1) return undefined;
  const rawSummary = (): string => rawMember(rest, "summary");
  const summary = decodeSummary(tail.summary ?? {}, rawSummary, "summary", refuse);
  const directory = { entries, summary };
  texts.set(directory, text);
  return directory;
}

/** Undefined for what is no JSON by itself: then more of the text is needed. */
function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function decodeJson(text: string, refuse: Refuse): Directory {
  const { unknown, values } = membersOf(JSON.parse(text), known, () => text, "", refuse);
  if (values["stream"] !== streamType) {
    const found = textOf(values["stream"], "stream", refuse).slice(0, 40);
    throw refuse("stream", `expected ${streamType}, found ${JSON.stringify(found)}`);
  }
  let rawEntries: string[] | undefined;
  const rawEntry = (index: number): string => {
    rawEntries ??= rawElements(rawMember(text, "entries"));
    return rawEntries[index]!;
  };
  const entries = listOf(values["entries"], "entries", refuse).map((value, index) =>
    decodeEntry(value, () => rawEntry(index), `entries[${index}]`, refuse),
  );
  const rawSummary = (): string => rawMember(text, "summary");
  const summary = decodeSummary(values["summary"] ?? {}, rawSummary, "summary", refuse);
  return { entries, summary, ...(unknown && { unknownMembers: unknown }) };
}
