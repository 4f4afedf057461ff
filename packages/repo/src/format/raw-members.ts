/**
 * Members of stored JSON objects that this program does not know, carried as raw text through a read-modify-write.
 * @module
 */
import { goJsonString } from "../json/go-json.ts";
import { rawMembers } from "../json/raw-json.ts";

/** Name and JSON text of each member, in stored order. */
export type RawMembers = ReadonlyArray<readonly [name: string, json: string]>;

/** Members of the object in `json` other than `known`; nothing for `null`. */
export function unknownMembersOf(json: string, known: readonly string[]): RawMembers {
  if (json.trim() === "null") return [];
  return rawMembers(json).filter(([name]) => !known.includes(name));
}

/** Raw text of one member; undefined when it is absent or null. Of several of one name, the last counts. */
export function memberOf(json: string, name: string): string | undefined {
  const raw = rawMembers(json).findLast(([key]) => key === name)?.[1];
  return raw === "null" ? undefined : raw;
}

/** A JSON object without spaces; members whose text is undefined are left out. */
export function jsonObject(
  members: ReadonlyArray<readonly [name: string, json: string | undefined]>,
): string {
  const written = members.filter(([, json]) => json !== undefined);
  return `{${written.map(([name, json]) => `${goJsonString(name)}:${json}`).join(",")}}`;
}

/** As {@link jsonObject}, one member a line, indented by two spaces, with a final newline. */
export function prettyJsonObject(
  members: ReadonlyArray<readonly [name: string, json: string | undefined]>,
): string {
  const written = members.filter(([, json]) => json !== undefined);
  return `{\n${written.map(([name, json]) => `  ${goJsonString(name)}: ${json}`).join(",\n")}\n}\n`;
}
