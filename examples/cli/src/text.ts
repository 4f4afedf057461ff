/**
 * Numbers, sizes, times and lists as kopia prints and reads them.
 * @module
 */
import { formatTime } from "@dm/repo";
import { type Io, UsageError } from "./io.ts";

const decimalUnits = ["B", "KB", "MB", "GB", "TB", "PB", "EB"];
const binaryUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** `29.4 MB`: one decimal, `.0` removed, the next unit from nine tenths of it on. */
export function formatBytes(io: Pick<Io, "env">, bytes: number): string {
  const binary = /^(1|t|true)$/i.test(io.env["KOPIA_BYTES_STRING_BASE_2"] ?? "");
  return scaled(bytes, binary ? 1024 : 1000, binary ? binaryUnits : decimalUnits);
}

function scaled(value: number, base: number, units: readonly string[]): string {
  let rest = value;
  let unit = 0;
  while (rest >= 0.9 * base && unit < units.length - 1) {
    rest /= base;
    unit += 1;
  }
  return `${rest.toFixed(1).replace(/\.0$/, "")} ${units[unit]}`;
}

const sizePattern = /^(\d+(?:\.\d+)?)\s*([KMGTPE]?)(?:i?B)?$/i;

/** `1MB`, `64KB`: units are powers of 1024. */
export function parseSize(text: string): number {
  const match = sizePattern.exec(text);
  if (!match) throw new UsageError(`not a size: ${text} (examples: 64KB, 1MB)`);
  const power = "KMGTPE".indexOf((match[2] ?? "").toUpperCase()) + 1;
  return Math.round(Number(match[1]) * 1024 ** (match[2] ? power : 0));
}

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of `15m`, `1h30m`, `24h`, `2d`. */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join("") !== text) {
    throw new UsageError(`not a duration: ${text} (examples: 15m, 1h30m)`);
  }
  return parts.reduce((sum, part) => sum + Number(part[1]) * durationUnits[part[2]!]!, 0);
}

export function parseCount(text: string): number {
  if (!/^\d+$/.test(text)) throw new UsageError(`not a whole number: ${text}`);
  return Number(text);
}

/** `2006-01-02 15:04:05 MST` in the local zone; with milliseconds on request. */
export function formatTimestamp(ns: bigint, options: { readonly milliseconds?: boolean } = {}): string {
  const date = new Date(Number(ns / 1_000_000n));
  const pad = (value: number, length = 2): string => String(value).padStart(length, "0");
  const day = `${pad(date.getFullYear(), 4)}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  const fraction = options.milliseconds ? `.${pad(date.getMilliseconds(), 3)}` : "";
  return `${day} ${time}${fraction} ${zoneName(date)}`;
}

function zoneName(date: Date): string {
  const parts = new Intl.DateTimeFormat("en-US", { timeZoneName: "short" }).formatToParts(date);
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "UTC";
}

export { formatTime };

/** A JSON list, one item a line, as kopia prints it (no newline at the end). */
export class JsonList {
  readonly #io: Io;
  #count = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  async add(item: unknown): Promise<void> {
    await this.#io.out(`${this.#count === 0 ? "[" : ","}\n ${JSON.stringify(item)}`);
    this.#count += 1;
  }

  async end(): Promise<void> {
    await this.#io.out(this.#count === 0 ? "[\n]" : "\n]");
  }
}

/** Counts sizes by powers of ten. */
export class SizeHistogram {
  readonly #limits: readonly number[];
  readonly #counts: number[];
  readonly #bytes: number[];

  constructor(powers: number) {
    this.#limits = Array.from({ length: powers }, (_, index) => 10 ** (index + 1));
    this.#counts = this.#limits.map(() => 0);
    this.#bytes = this.#limits.map(() => 0);
  }

  add(bytes: number): void {
    const index = this.#limits.findIndex((limit) => bytes < limit);
    const bucket = index < 0 ? this.#limits.length - 1 : index;
    this.#counts[bucket]! += 1;
    this.#bytes[bucket]! += bytes;
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
