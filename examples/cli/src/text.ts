/**
 * Numbers, sizes, times and lists as kopia prints and reads them.
 * @module
 */
import { nsPerMs, parseGoDuration } from "@dm/core";
import { type Io, UsageError } from "./io.ts";

const decimalUnits = ["B", "KB", "MB", "GB", "TB", "PB", "EB"];
const binaryUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** One decimal, halves to the even digit, as Go rounds. Only quarters lie exactly between two digits. */
export function oneDecimal(value: number): string {
  const isDownwardHalf = Number.isInteger(value * 4) && (value * 4) % 4 === 1;
  return isDownwardHalf ? (Math.floor(value * 10) / 10).toFixed(1) : value.toFixed(1);
}

/** `29.4 MB`: one decimal, `.0` removed, the next unit from nine tenths of it on. */
export function formatBytes(io: Pick<Io, "env">, bytes: number): string {
  const binary = /^(1|t|true)$/i.test(io.env["KOPIA_BYTES_STRING_BASE_2"] ?? "");
  return scaled(bytes, binary ? 1024 : 1000, binary ? binaryUnits : decimalUnits);
}

/** `32MiB`, `1MiB512KiB`: exact, as kopia repeats sizes that it was given. */
export function sizeText(bytes: number): string {
  let rest = bytes;
  let text = "";
  for (const [power, unit] of [...binaryUnits.entries()].reverse()) {
    const count = Math.floor(rest / 1024 ** power);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * 1024 ** power;
  }
  return text || "0B";
}

/** A number of things with a decimal prefix; kopia leaves the space when there is none. */
export const formatCount = (count: number): string =>
  scaled(count, 1000, ["", "K", "M", "G", "T", "P", "E"]);

export const formatBytesBase2 = (bytes: number): string => scaled(bytes, 1024, binaryUnits);

function scaled(value: number, base: number, units: readonly string[]): string {
  let rest = value;
  let unit = 0;
  while (rest >= 0.9 * base && unit < units.length - 1) {
    rest /= base;
    unit += 1;
  }
  return `${oneDecimal(rest).replace(/\.0$/, "")} ${units[unit]}`;
}

const sizePattern = /^(\d+(?:\.\d+)?)\s*([KMGTPE]?)(?:i?B)?$/i;

/** `1MB`, `64KB`: units are powers of 1024. */
export function parseSize(text: string): number {
  const match = sizePattern.exec(text);
  if (!match) throw new UsageError(`not a size: ${text} (examples: 64KB, 1MB)`);
  const power = "KMGTPE".indexOf((match[2] ?? "").toUpperCase()) + 1;
  return Math.round(Number(match[1]) * 1024 ** (match[2] ? power : 0));
}

/** Milliseconds of `15m`, `1h30m`, `24h`, and beyond Go `2d`. */
export function parseDuration(text: string): number {
  const inHours = text.replace(/(\d+(?:\.\d+)?)d/g, (_, days: string) => `${Number(days) * 24}h`);
  const ms = text === "0" ? undefined : parseGoDuration(inHours);
  if (ms === undefined) throw new UsageError(`not a duration: ${text} (examples: 15m, 1h30m)`);
  return ms;
}

export function parseCount(text: string): number {
  if (!/^\d+$/.test(text)) throw new UsageError(`not a whole number: ${text}`);
  return Number(text);
}

export function parsePositive(text: string): number {
  const count = parseCount(text);
  if (count < 1) throw new UsageError("counts begin at 1");
  return count;
}

export function parsePercent(text: string): number {
  const percent = parseCount(text);
  if (percent > 100) throw new UsageError(`not a percentage: ${text}`);
  return percent;
}

/** A percentage that need not be whole. */
export function parseShare(text: string): number {
  const percent = Number(text);
  if (text.trim() === "" || !(percent >= 0 && percent <= 100))
    throw new UsageError(`not a percentage: ${text}`);
  return percent;
}

/** `2006-01-02 15:04:05 MST` in the local zone; with milliseconds on request. */
export function formatTimestamp(
  ns: bigint,
  options: { readonly milliseconds?: boolean } = {},
): string {
  // Towards the past, also before 1970.
  const date = new Date(Number((ns - (((ns % nsPerMs) + nsPerMs) % nsPerMs)) / nsPerMs));
  const pad = (value: number, length = 2): string => String(value).padStart(length, "0");
  const day = `${pad(date.getFullYear(), 4)}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  const fraction = options.milliseconds ? `.${pad(date.getMilliseconds(), 3)}` : "";
  return `${day} ${time}${fraction} ${zoneName(date)}`;
}

/** What `formatTimestamp` prints, in the local zone or in UTC, as nanoseconds since 1970. */
export function parseTimestamp(text: string): bigint {
  const match = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (\S+)$/.exec(text);
  if (match) {
    const [, day, time, zone] = match;
    const universal = zone === "UTC" || zone === "GMT";
    const ms = Date.parse(`${day}T${time}${universal ? "Z" : ""}`);
    const ns = Number.isNaN(ms) ? undefined : BigInt(ms) * nsPerMs;
    if (ns !== undefined && (universal || formatTimestamp(ns) === text)) return ns;
  }
  throw new UsageError(`not a time: ${text} (example: ${formatTimestamp(0n)})`);
}

function zoneName(date: Date): string {
  const parts = new Intl.DateTimeFormat("en-US", { timeZoneName: "short" }).formatToParts(date);
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "UTC";
}

/** JSON as Go's encoder writes it: `<`, `>`, `&` and two line separators inside texts are escaped. */
export function goJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** JSON text indented by two, its numbers and escapes as they stand, like Go's `json.Indent`. */
export function indented(json: string): string {
  const tokens = json.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  let depth = 0;
  let text = "";
  for (const [index, token] of tokens.entries()) {
    const isOpening = token === "{" || token === "[";
    const isClosing = token === "}" || token === "]";
    const before = tokens[index - 1];
    if (isClosing) depth -= 1;
    const startsLine = before === "{" || before === "[" || before === ",";
    const isEmpty = isClosing && (before === "{" || before === "[");
    if (!isEmpty && (isClosing || startsLine)) text += `\n${"  ".repeat(depth)}`;
    text += token === ":" ? ": " : token;
    if (isOpening) depth += 1;
  }
  // Go keeps what white space follows.
  return text + (/\s*$/.exec(json)?.[0] ?? "");
}

/** A JSON list, one item a line, as kopia prints it (no newline at the end). */
export class JsonList {
  readonly #io: Io;
  #count = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  async add(item: unknown): Promise<void> {
    await this.#io.out(`${this.#count === 0 ? "[" : ","}\n ${goJson(item)}`);
    this.#count += 1;
  }

  async end(): Promise<void> {
    await this.#io.out(this.#count === 0 ? "[\n]" : "\n]");
  }
}

/** Counts sizes below 10, 100, … 100 million bytes, as kopia does: what is larger is in the totals only. */
export class SizeHistogram {
  readonly #limits = Array.from({ length: 8 }, (_, index) => 10 ** (index + 1));
  readonly #counts = this.#limits.map(() => 0);
  readonly #bytes = this.#limits.map(() => 0);

  add(bytes: number): void {
    const index = this.#limits.findIndex((limit) => bytes < limit);
    if (index < 0) return;
    this.#counts[index]! += 1;
    this.#bytes[index]! += bytes;
  }

  *lines(format: (bytes: number) => string): Generator<string> {
    let low = 0;
    for (const [index, limit] of this.#limits.entries()) {
      const count = String(this.#counts[index]).padStart(9);
      yield `${count} between ${format(low)} and ${format(limit)} (total ${format(this.#bytes[index]!)})`;
      low = limit;
    }
  }
}
