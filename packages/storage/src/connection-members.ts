/**
 * Connection JSON as Kopia writes it: known members in its order, empty ones where it leaves them, all others kept.
 * Format: docs/format/blobs.md. Proof: test/store-configs.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";

export type MemberKind = "string" | "boolean" | "number" | "strings" | "lengths" | "object";

/** Name, kind, and whether Kopia writes the member also when it is empty. */
export type Member = readonly [name: string, kind: MemberKind, presence?: "always"];

const isList = (value: unknown, type: string): boolean =>
  Array.isArray(value) && value.every((item) => typeof item === type);

const kinds: Readonly<
  Record<
    MemberKind,
    { readonly text: string; readonly empty: unknown; is(value: unknown): boolean }
  >
> = {
  string: { text: "no string", empty: "", is: (value) => typeof value === "string" },
  boolean: { text: "no boolean", empty: false, is: (value) => typeof value === "boolean" },
  number: { text: "no number", empty: 0, is: (value) => typeof value === "number" },
  strings: { text: "no list of strings", empty: null, is: (value) => isList(value, "string") },
  object: {
    text: "no object",
    empty: undefined,
    is: (value) => typeof value === "object" && !Array.isArray(value),
  },
  lengths: { text: "no list of numbers", empty: null, is: (value) => isList(value, "number") },
};

export interface ConnectionMembers {
  /** @throws {FormatError} `DM_STORE_CONFIG_INVALID` for a member of the wrong kind; its value is not told */
  decode(value: unknown): Readonly<Record<string, unknown>>;
  encode(config: Readonly<Record<string, unknown>>): Record<string, unknown>;
  /** @throws {FormatError} `DM_STORE_CONFIG_INVALID` when a text is missing or empty */
  require(config: Readonly<Record<string, unknown>>, name: string): void;
  invalid(reason: string): FormatError;
}

export function connectionMembers(type: string, members: readonly Member[]): ConnectionMembers {
  const invalid = (reason: string): FormatError =>
    new FormatError("DM_STORE_CONFIG_INVALID", `connection of type ${type}: ${reason}`, { type });
  return {
    invalid,
    decode(value) {
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        throw invalid("it is no object");
      }
      const config = value as Readonly<Record<string, unknown>>;
      for (const [name, kind] of members) {
        const member = config[name];
        if (member === undefined || member === null || kinds[kind].is(member)) continue;
        throw invalid(`${name} is ${kinds[kind].text}`);
      }
      return config;
    },
    encode(config) {
      const written: Record<string, unknown> = {};
      for (const [name, kind, presence] of members) {
        const { empty } = kinds[kind];
        const value = config[name] ?? empty;
        const isEmpty =
          value === empty ||
          (kind === "strings" && isList(value, "string") && !(value as []).length);
        if (presence === "always" || !isEmpty) written[name] = value;
      }
      for (const [name, value] of Object.entries(config)) {
        if (!members.some(([known]) => known === name) && value !== undefined)
          written[name] = value;
      }
      return written;
    },
    require(config, name) {
      if (!config[name]) throw invalid(`${name} is missing`);
    },
  };
}

/** With its zone: without one, Go does not read it, and each machine would see another time. */
const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

/**
 * The time of a view of an earlier state; undefined for none, which Go also writes as the year 1.
 * @throws {FormatError} what `invalid` makes
 */
export function pointInTimeOf(
  text: unknown,
  invalid: (reason: string) => FormatError,
): Date | undefined {
  if (text === undefined || text === null || text === "") return undefined;
  if (typeof text !== "string") throw invalid("pointInTime is no string");
  if (text.startsWith("0001-01-01T")) return undefined;
  const time = rfc3339.test(text) ? new Date(text) : new Date(Number.NaN);
  if (Number.isNaN(time.getTime())) throw invalid("pointInTime is no time of RFC 3339");
  return time;
}
