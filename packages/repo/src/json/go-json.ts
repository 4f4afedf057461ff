/**
 * JSON text as Go's `encoding/json` writes it: several stored objects are hashed as bytes, so the text decides ids.
 * Format: docs/format/json.md. Proof: test/go-json.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";

// Control characters, the three characters of HTML, and the two line separators of JavaScript.
const escaped =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to escape
  /["\\<>&\u0000-\u001f\u2028\u2029]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

const shortEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

function escapeCharacter(character: string): string {
  const short = shortEscapes[character];
  if (short) return short;
  const code = character.charCodeAt(0);
  // A lone surrogate cannot be written as UTF-8; Go has written U+FFFD for such bytes.
  if (code >= 0xd800 && code <= 0xdfff) return "\\ufffd";
  return `\\u${code.toString(16).padStart(4, "0")}`;
}

/** Anything in {@link escaped}, and every surrogate: one look that costs a tenth of the exact one. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const suspicious = /["\\<>&\u0000-\u001f\u2028\u2029\ud800-\udfff]/;

/** A JSON string literal with Go's escapes. */
export function goJsonString(text: string): string {
  if (!suspicious.test(text)) return `"${text}"`;
  return `"${text.replace(escaped, escapeCharacter)}"`;
}

/** A JSON object of strings with keys in byte order; `null` for undefined. */
export function goJsonStringMap(map: Readonly<Record<string, string>> | undefined): string {
  if (!map) return "null";
  const members = Object.keys(map)
    .sort(compareUtf8)
    .map((key) => `${goJsonString(key)}:${goJsonString(map[key]!)}`);
  return `{${members.join(",")}}`;
}

/** Order of the UTF-8 bytes, which is the order of code points (UTF-16 order differs above U+FFFF). */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    let x = a.charCodeAt(index);
    let y = b.charCodeAt(index);
    if (x === y) continue;
    // Surrogates stand for code points above every other unit.
    if (x >= 0xd800 && x <= 0xdfff) x += 0x10000;
    if (y >= 0xd800 && y <= 0xdfff) y += 0x10000;
    return x - y;
  }
  return a.length - b.length;
}

const nsPerSecond = 1_000_000_000n;

const secondsPerDay = 86_400;
const twoDigits = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, "0"));
/** The day of the last time: entries of one directory often have the same. Half of the cost of a directory was dates. */
let lastDay = Number.NaN;
let lastDate = "";

/** RFC 3339 in UTC with up to nine fractional digits, trailing zeros removed. */
export function formatTime(ns: bigint): string {
  let seconds = Number(ns / nsPerSecond);
  let fraction = Number(ns % nsPerSecond);
  if (fraction < 0) {
    fraction += 1e9;
    seconds -= 1;
  }
  const day = Math.floor(seconds / secondsPerDay);
  if (day !== lastDay) {
    lastDate = new Date(day * secondsPerDay * 1000).toISOString().slice(0, 10);
    lastDay = day;
  }
  const ofDay = seconds - day * secondsPerDay;
  const hour = twoDigits[Math.floor(ofDay / 3600)];
  const base = `${lastDate}T${hour}:${twoDigits[Math.floor(ofDay / 60) % 60]}:${twoDigits[ofDay % 60]}`;
  if (fraction === 0) return `${base}Z`;
  let digits = 9;
  for (; fraction % 10 === 0; digits--) fraction /= 10;
  return `${base}.${String(fraction).padStart(digits, "0")}Z`;
}

const timePattern = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:[.,](\d+))?(Z|[+-]\d{2}:\d{2})$/;

/**
 * Nanoseconds since 1970 of an RFC 3339 text.
 * @throws {FormatError} `DM_TIME_INVALID`
 */
export function parseTime(text: string): bigint {
  const match = timePattern.exec(text);
  const ms = match ? Date.parse(`${match[1]}${match[3]}`) : Number.NaN;
  if (!match || Number.isNaN(ms))
    throw new FormatError("DM_TIME_INVALID", "text is not an RFC 3339 time", { text });
  const fraction = BigInt((match[2] ?? "").slice(0, 9).padEnd(9, "0"));
  return BigInt(ms) * 1_000_000n + fraction;
}

/** A duration as Go prints it: `15m0s`, `24h0m0s`, `1.5s`, `0s`. */
export function formatDuration(ns: bigint): string {
  if (ns === 0n) return "0s";
  const sign = ns < 0n ? "-" : "";
  const magnitude = ns < 0n ? -ns : ns;
  if (magnitude < nsPerSecond) {
    for (const [unit, size] of [
      ["ms", 1_000_000n],
      ["µs", 1_000n],
      ["ns", 1n],
    ] as const) {
      if (magnitude >= size) return `${sign}${decimal(magnitude, size)}${unit}`;
    }
  }
  const hours = magnitude / (3600n * nsPerSecond);
  const minutes = (magnitude / (60n * nsPerSecond)) % 60n;
  const seconds = decimal(magnitude % (60n * nsPerSecond), nsPerSecond);
  if (hours > 0n) return `${sign}${hours}h${minutes}m${seconds}s`;
  if (minutes > 0n) return `${sign}${minutes}m${seconds}s`;
  return `${sign}${seconds}s`;
}

function decimal(value: bigint, unit: bigint): string {
  const whole = value / unit;
  const rest = value % unit;
  if (rest === 0n) return `${whole}`;
  const digits = (unit.toString().length - 1) | 0;
  return `${whole}.${rest.toString().padStart(digits, "0").replace(/0+$/, "")}`;
}
