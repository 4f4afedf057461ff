// The page about policies: its examples are read and written again to the byte, its table has every field in the order in which
// they are written, and its odd rules match what the page says.
import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import {
  compileIgnorePattern,
  decodePolicy,
  defaultPolicy,
  emptyPolicy,
  encodePolicy,
} from "../src/index.ts";
import { policySections } from "../src/policy/policy-fields.ts";

const page = await readFile(new URL("../../../docs/format/policies.md", import.meta.url), "utf8");

const blockIn = (info: string): string => page.split(`\`\`\`json ${info}\n`)[1]!.split("\n```")[0]!;

const sectionOf = (heading: string): string =>
  page.split(`\n## ${heading}\n`)[1]!.split("\n## ")[0]!;

it("shows policies that we read and write", () => {
  for (const [info, policy] of [
    ["nothing", emptyPolicy],
    ["defaults", defaultPolicy],
  ] as const) {
    expect(decodePolicy(blockIn(info))).toEqual(policy);
    expect(encodePolicy(policy)).toBe(blockIn(info));
  }
});

it("names every field in its order, and which of them are set whenever they are present", () => {
  const named: string[] = [];
  let section = "";
  for (const [, first, name, kind] of sectionOf("Payload").matchAll(
    /^\| (?:`(\w+)`)? *\| `([\w.]+)` +\| ([\w ?]+?) +\|/gm,
  )) {
    section = first ?? section;
    named.push(`${section}.${name} ${kind!.endsWith("?")}`);
  }
  const fields: string[] = [];
  const collect = (table: object, prefix: string): void => {
    for (const [name, kind] of Object.entries(table))
      if (typeof kind === "string") fields.push(`${prefix}${name} ${kind.startsWith("optional")}`);
      else collect(kind, `${prefix}${name}.`);
  };
  collect(policySections, "");
  expect(named).toEqual(fields);
});

it("tells what odd rules match", () => {
  const rows: [rule: string, matched: string, other: string][] = [
    ["/a*b", "/ax/b", "/a/b"],
    ["/a[!b]c", "/a/c", "/abc"],
    ["[!a]b", "/b", "/d/b"],
    ["!**/x", "/d/x", "/x"],
    ["/something[[:digit:]]", "/somethingd]", "/something1"],
  ];
  for (const [rule, matched, other] of rows) {
    expect(page).toContain(`| \`${rule}\``);
    const pattern = compileIgnorePattern(rule);
    expect(pattern.matches(matched, false), rule).toBe(true);
    expect(pattern.matches(other, false), rule).toBe(false);
  }
});
