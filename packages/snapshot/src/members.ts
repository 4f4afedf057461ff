/**
 * Members of stored JSON objects by name: types are checked, members that are unknown here are kept as raw text, so that
 * what is read can be written again without a loss. Names match without regard to case, as in Go; `null` counts as absent.
 * @module
 */
import { type FormatError, isDmError } from "@dm/core";
import { goJsonString, parseTime, rawMembers } from "@dm/repo";

/** A member whose name is unknown here, and its value as JSON text. */
export type RawMember = readonly [name: string, json: string];

/** Makes the error of one structure; where in it, and what is wrong. */
export type Refuse = (where: string, why: string, cause?: unknown) => FormatError;

export interface Members {
  readonly values: Readonly<Record<string, unknown>>;
  readonly unknown: readonly RawMember[] | undefined;
}

/**
 * Sorts the members of a parsed object into known and unknown ones.
 * @param raw the object's text, asked for only when something is unknown
 */
export function membersOf(
  value: unknown,
  known: ReadonlySet<string>,
  raw: () => string,
  where: string,
  refuse: Refuse,
): Members {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw refuse(where, "not an object");
  for (const name in value) {
    if (!known.has(name)) return sorted(value as Record<string, unknown>, known, raw());
  }
  return { values: value as Record<string, unknown>, unknown: undefined };
}

function sorted(
  value: Readonly<Record<string, unknown>>,
  known: ReadonlySet<string>,
  raw: string,
): Members {
  const byLowerCase = new Map([...known].map((name) => [name.toLowerCase(), name]));
  const values: Record<string, unknown> = Object.create(null);
  for (const [name, member] of Object.entries(value)) {
    const canonical = byLowerCase.get(name.toLowerCase());
    if (canonical !== undefined) values[canonical] = member;
  }
  const unknown = rawMembers(raw).filter(([name]) => !byLowerCase.has(name.toLowerCase()));
  return { values, unknown: unknown.length > 0 ? unknown : undefined };
}

/** The raw text of one member, by its name without regard to case. */
export function rawMember(text: string, name: string): string {
  const members = rawMembers(text).filter(([key]) => key.toLowerCase() === name.toLowerCase());
  return members.at(-1)?.[1] ?? "null";
}

/** Unknown members as they stand behind the known ones: `,"name":value` each. */
export function encodeUnknown(members: readonly RawMember[] | undefined): string {
  return (members ?? []).map(([name, json]) => `,${goJsonString(name)}:${json}`).join("");
}

export function textOf(value: unknown, where: string, refuse: Refuse): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  throw refuse(where, "not a text");
}

/** An integer from `least` to 2^53 − 1, or to `most`. */
export function integerOf(
  value: unknown,
  where: string,
  refuse: Refuse,
  least = 0,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  if (value === undefined || value === null) return 0;
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most)
    return value;
  throw refuse(where, `not an integer from ${least} to ${most}`);
}

/**
 * Nanoseconds since 1970 as a signed 64-bit number, in which Kopia keeps times: what lies outside of 1678 to 2262 wraps
 * around there, too. Absent is 0.
 */
export function timeOf(value: unknown, where: string, refuse: Refuse): bigint {
  if (value === undefined || value === null) return 0n;
  const text = textOf(value, where, refuse);
  try {
    return BigInt.asIntN(64, parseTime(text));
  } catch (cause) {
    if (!isDmError(cause)) throw cause;
    throw refuse(where, "not an RFC 3339 time", cause);
  }
}

export function listOf(value: unknown, where: string, refuse: Refuse): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw refuse(where, "not a list");
}

export function textsOf(value: unknown, where: string, refuse: Refuse): string[] {
  return listOf(value, where, refuse).map((item, index) =>
    textOf(item, `${where}[${index}]`, refuse),
  );
}

export function textMapOf(value: unknown, where: string, refuse: Refuse): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw refuse(where, "not an object");
  const map: Record<string, string> = Object.create(null);
  for (const [key, text] of Object.entries(value)) map[key] = textOf(text, where, refuse);
  return { ...map };
}

/** @throws {RangeError} when it does not fit into 64 bits */
export function checkTime(ns: bigint): bigint {
  if (BigInt.asIntN(64, ns) !== ns) throw new RangeError(`${ns} ns since 1970 is beyond 64 bits`);
  return ns;
}

/** @throws {RangeError} when it is not an integer from 0 to 2^53 − 1 */
export function checkCount(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`${what} must be an integer from 0 to 2^53 - 1, not ${value}`);
  return value;
}
