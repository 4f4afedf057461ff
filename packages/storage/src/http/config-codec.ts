/**
 * The `config` of a connection in Kopia's JSON: checked, and written with the members in Kopia's order.
 * Proof: test/azure-config.test.ts, test/gcs-config.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";

export type MemberKind = "string" | "boolean" | "object";

export interface ConfigCodec<Config> {
  /** The error that the type has for a config that is none; the reason never quotes a value. */
  invalid(reason: string): FormatError;
  decode(value: unknown): Config;
  encode(config: Config): Record<string, unknown>;
}

export interface ConfigShape {
  /** Kopia's name of the type. */
  readonly type: string;
  readonly code: string;
  /** In Kopia's order, without `pointInTime`, which is the last of all types. */
  readonly members: ReadonlyArray<readonly [name: string, kind: MemberKind]>;
  /** Kopia writes these also when they are empty, and opens nothing without them. */
  readonly required: readonly string[];
}

/** Members that are not named (throttling limits, newer ones) are kept as they are. */
export function configCodec<Config extends { readonly [other: string]: unknown }>(
  shape: ConfigShape,
): ConfigCodec<Config> {
  const { code, members, required, type } = shape;
  const known = new Set(members.map(([name]) => name));
  const invalid = (reason: string): FormatError =>
    new FormatError(code, `connection of type ${type}: ${reason}`, {});

  function decode(value: unknown): Config {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw invalid("it is no object");
    }
    const config = value as Record<string, unknown>;
    for (const [name, kind] of [...members, ["pointInTime", "string"] as const]) {
      const member = config[name];
      const fits = typeof member === kind && !Array.isArray(member);
      if (member !== undefined && member !== null && !fits) throw invalid(`${name} is no ${kind}`);
    }
    for (const name of required) if (!config[name]) throw invalid(`${name} is missing`);
    pointInTimeOf(config["pointInTime"], invalid);
    return config as Config;
  }

  return {
    invalid,
    decode,
    encode(config) {
      const { pointInTime, ...rest } = decode(config);
      const written: Record<string, unknown> = {};
      for (const [name] of members) if (rest[name]) written[name] = rest[name];
      for (const [name, value] of Object.entries(rest)) {
        if (!known.has(name) && value !== undefined) written[name] = value;
      }
      if (pointInTime) written["pointInTime"] = pointInTime;
      return written;
    },
  };
}

/** The time of a view; undefined for none, which Go also writes as the year 1. */
export function pointInTimeOf(
  text: unknown,
  invalid: (reason: string) => FormatError,
): Date | undefined {
  if (typeof text !== "string" || text === "" || text.startsWith("0001-01-01T")) return undefined;
  const time = /^\d{4}-\d\d-\d\dT/.test(text) ? new Date(text) : new Date(Number.NaN);
  if (Number.isNaN(time.getTime())) throw invalid("pointInTime is no time of RFC 3339");
  return time;
}
