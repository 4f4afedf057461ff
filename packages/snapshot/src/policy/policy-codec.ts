/**
 * The payload of a policy's manifest: JSON as Kopia writes it, sections in their order and always present.
 * Format: docs/format/policies.md. Proof: test/policy-codec.test.ts, test/policy.kopia.test.ts.
 * @module
 */
import { FormatError, isDmError } from "@dm/core";
import { goJsonString } from "@dm/repo";
import {
  encodeUnknown,
  integerOf,
  listOf,
  membersOf,
  type RawMember,
  type Refuse,
  rawMember,
  textOf,
  textsOf,
} from "../members.ts";
import type { Policy, TimeOfDay } from "./policy.ts";
import {
  commandFields,
  type FieldKind,
  policySections,
  type SectionTable,
} from "./policy-fields.ts";

type Values = Readonly<Record<string, unknown>>;

/**
 * JSON without a newline. Fields that are unset are left out, members that are unknown here follow the known ones.
 * @throws {RangeError} for numbers that are not integers
 */
export function encodePolicy(policy: Policy): string {
  const sections = Object.entries(policySections).map(
    ([name, fields]) =>
      `"${name}":${encodeSection(fields, policy[name as keyof typeof policySections] as Values)}`,
  );
  if (policy.noParent) sections.push('"noParent":true');
  return `{${sections.join(",")}${encodeUnknown(policy.unknownMembers)}}`;
}

function encodeSection(fields: SectionTable, values: Values): string {
  const members: string[] = [];
  for (const [name, kind] of Object.entries(fields)) {
    const value = values[name];
    const text =
      typeof kind === "string"
        ? encodeField(kind, value, name)
        : encodeSection(kind, (value ?? {}) as Values);
    if (text !== undefined) members.push(`"${name}":${text}`);
  }
  const unknown = encodeUnknown(values["unknownMembers"] as readonly RawMember[] | undefined);
  return `{${members.length > 0 ? members.join(",") + unknown : unknown.slice(1)}}`;
}

function encodeField(kind: FieldKind, value: unknown, name: string): string | undefined {
  if (value === undefined) return undefined;
  switch (kind) {
    case "optionalFlag":
      return String(value);
    case "flag":
    case "stopUnion":
    case "stopTimes":
      return value ? "true" : undefined;
    case "optionalInteger":
      return integerText(value, name);
    case "integer":
      return value === 0 ? undefined : integerText(value, name);
    case "text":
      return value === "" ? undefined : goJsonString(value as string);
    case "texts":
    case "union": {
      const texts = value as readonly string[];
      return texts.length === 0 ? undefined : `[${texts.map(goJsonString).join(",")}]`;
    }
    case "times": {
      const times = (value as readonly TimeOfDay[]).map(
        ({ hour, min }) => `{"hour":${integerText(hour, name)},"min":${integerText(min, name)}}`,
      );
      return times.length === 0 ? undefined : `[${times.join(",")}]`;
    }
    case "command":
    case "ownCommand":
      return encodeSection(commandFields, value as Values);
  }
}

/**
 * Kopia's largest integer, 2^63 - 1, as a JavaScript number: "without a limit". Velero up to 1.13 has it for the size above
 * which files are stored in parts. No other number beyond 2^53 is taken.
 */
const largestInteger = 2 ** 63;

function integerText(value: unknown, name: string): string {
  if (value === largestInteger) return "9223372036854775807";
  if (!Number.isSafeInteger(value)) throw new RangeError(`${name} must be an integer: ${value}`);
  return String(value);
}

/**
 * @param data the payload of the manifest
 * @param id of the manifest, for the error
 * @throws {FormatError} `DM_POLICY_INVALID` naming the manifest and the member
 */
export function decodePolicy(data: string, id = ""): Policy {
  const refuse: Refuse = (where, why, cause) =>
    new FormatError(
      "DM_POLICY_INVALID",
      `policy manifest ${id}: ${where === "" ? "" : `${where}: `}${why}`,
      { manifestId: id, where },
      { cause },
    );
  try {
    return decodeValue(JSON.parse(data), data, refuse);
  } catch (error) {
    if (isDmError(error, "DM_POLICY_INVALID")) throw error;
    if (error instanceof SyntaxError || isDmError(error)) throw refuse("", "not JSON", error);
    throw error;
  }
}

/** Paths of the members that are unknown here, like `files.ignoreMore`. */
export function unknownPolicyMembers(policy: Policy): string[] {
  const paths: string[] = [];
  const collect = (value: object, prefix: string): void => {
    for (const [name, member] of Object.entries(value)) {
      if (name === "unknownMembers")
        for (const [unknown] of (member ?? []) as readonly RawMember[])
          paths.push(prefix + unknown);
      else if (typeof member === "object" && !Array.isArray(member))
        collect(member, `${prefix}${name}.`);
    }
  };
  collect(policy, "");
  return paths;
}

const known: ReadonlySet<string> = new Set([...Object.keys(policySections), "noParent"]);

function decodeValue(value: unknown, data: string, refuse: Refuse): Policy {
  const { unknown, values } = membersOf(value, known, () => data, "", refuse);
  const policy: Record<string, unknown> = {};
  for (const [name, fields] of Object.entries(policySections)) {
    const raw = (): string => rawMember(data, name);
    policy[name] = decodeSection(fields, values[name] ?? {}, raw, name, refuse);
  }
  if (flagOf(values["noParent"], "noParent", refuse)) policy["noParent"] = true;
  if (unknown) policy["unknownMembers"] = unknown;
  return policy as unknown as Policy;
}

function decodeSection(
  fields: SectionTable,
  value: unknown,
  raw: () => string,
  where: string,
  refuse: Refuse,
): Values {
  const { unknown, values } = membersOf(value, new Set(Object.keys(fields)), raw, where, refuse);
  const section: Record<string, unknown> = {};
  for (const [name, kind] of Object.entries(fields)) {
    const place = `${where}.${name}`;
    const inner = (): string => rawMember(raw(), name);
    if (typeof kind !== "string") {
      section[name] = decodeSection(kind, values[name] ?? {}, inner, place, refuse);
      continue;
    }
    const field = values[name];
    if (field === undefined || field === null) continue;
    const decoded = decodeField(kind, field, inner, place, refuse);
    if (decoded !== undefined) section[name] = decoded;
  }
  if (unknown) section["unknownMembers"] = unknown;
  return section;
}

function decodeField(
  kind: FieldKind,
  value: unknown,
  raw: () => string,
  where: string,
  refuse: Refuse,
): unknown {
  switch (kind) {
    case "optionalFlag":
      return flagOf(value, where, refuse);
    case "flag":
    case "stopUnion":
    case "stopTimes":
      return flagOf(value, where, refuse) || undefined;
    case "optionalInteger":
      return wideIntegerOf(value, where, refuse);
    case "integer":
      return wideIntegerOf(value, where, refuse) || undefined;
    case "text":
      return textOf(value, where, refuse) || undefined;
    case "texts":
    case "union": {
      const texts = textsOf(value, where, refuse);
      return texts.length === 0 ? undefined : texts;
    }
    case "times": {
      const times = listOf(value, where, refuse).map((time, index) =>
        decodeTime(time, `${where}[${index}]`, refuse),
      );
      return times.length === 0 ? undefined : times;
    }
    case "command":
    case "ownCommand":
      return decodeSection(commandFields, value, raw, where, refuse);
  }
}

function wideIntegerOf(value: unknown, where: string, refuse: Refuse): number {
  if (value === largestInteger) return largestInteger;
  return integerOf(value, where, refuse, Number.MIN_SAFE_INTEGER);
}

const knownOfTime: ReadonlySet<string> = new Set(["hour", "min"]);

/** Members that are unknown in a time of day are dropped: its place in the text is not kept. */
function decodeTime(value: unknown, where: string, refuse: Refuse): TimeOfDay {
  const { values } = membersOf(value, knownOfTime, () => "{}", where, refuse);
  return {
    hour: integerOf(values["hour"], `${where}.hour`, refuse, 0, 23),
    min: integerOf(values["min"], `${where}.min`, refuse, 0, 59),
  };
}

function flagOf(value: unknown, where: string, refuse: Refuse): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === "boolean") return value;
  throw refuse(where, "neither true nor false");
}
