// One ignore rule against one path: a table of what each kind of rule matches, Kopia's deviations from `.gitignore` included;
// the quick ways give what the slow way gives; hostile rules end in time.
import { isDmError } from "@dm/core";
import { expect, it } from "vitest";
import { compileIgnorePattern } from "../src/index.ts";
import { CompiledPattern } from "../src/policy/ignore-pattern.ts";
import { fc } from "./property.ts";
import { referenceMatches } from "./reference-ignore-pattern.ts";

const rows: [rule: string, matches: string[], others: string[]][] = [
  ["*.log", ["/a.log", "/d/e/a.log", "/.log"], ["/a.logs", "/log", "/a.log/b"]],
  ["name", ["/name", "/d/name"], ["/names", "/name/a", "/aname"]],
  ["/top.txt", ["/top.txt"], ["/d/top.txt"]],
  ["a/b", ["/a/b"], ["/c/a/b", "/a/b/c"]],
  ["a/b/*.txt", ["/a/b/c.txt", "/a/b/.txt"], ["/a/b/c/d.txt", "/x/a/b/c.txt"]],
  ["logs/**", ["/logs/a", "/logs/a/b"], ["/logs", "/x/logs/a"]],
  ["**/x", ["/x", "/a/x", "/a/b/x"], ["/ax", "/x/a"]],
  ["a/**/b", ["/a/b", "/a/c/b", "/a/c/d/b"], ["/ab", "/a/cb", "/x/a/b"]],
  ["**", ["/a", "/a/b"], []],
  ["*", ["/a", "/a/b"], []],
  ["/*", ["/a", "/.b"], ["/a/b"]],
  ["/a?c", ["/abc", "/a😀c"], ["/ac", "/a/c", "/abbc"]],
  ["[a-c]x", ["/ax", "/d/cx"], ["/dx", "/Ax"]],
  ["[!a-c]x", ["/dx", "/d/😀x"], ["/ax", "/d/x"]],
  ["[]x", [], ["/x", "/]x"]],
  ["/[a\\]]x", ["/]x", "/ax"], ["/\\x"]],
  ["/[a-]x", ["/-x", "/ax"], ["/bx"]],
  ["[[:digit:]]x", ["/1x", "/٣x"], ["/ax"]],
  ["[[:ALPHA:]_]", ["/a", "/é", "/_"], ["/1"]],
  ["[[:upper:]]", ["/A"], ["/a"]],
  ["[[:xdigit:]]", ["/f", "/9"], ["/g"]],
  ["[[:space:]]", ["/\t"], ["/a"]],
  ["[[:punct:]]", ["/!", "/+"], ["/a"]],
  ["\\#a", ["/#a"], ["/\\#a"]],
  ["\\!a", ["/!a"], ["/a"]],
  ["a\\*", ["/a*"], ["/ab"]],
  ["a\\\\", ["/a\\"], ["/a"]],
  ["  a  ", ["/a", "/d/a"], ["/a  "]],
  ["a\\ ", ["/a "], ["/a"]],
  ["#a", ["/#a"], ["/a"]],
  ["é*", ["/é1"], ["/e\u0301"]],
  ["A", ["/A"], ["/a"]],
  ["", [], ["/a", "/"]],
  ["/", [], ["/a"]],
  // Kopia's own: a negated set matches a `/`, a star may cross the one `/` before its rest, and further into a rule the names
  // of sets are not known.
  ["/a[!b]c", ["/axc", "/a/c"], ["/abc"]],
  ["/a*b", ["/ab", "/axb", "/ax/b"], ["/a/b", "/ax/yb", "/axy/z/b"]],
  ["/something[[:digit:]]", ["/something:]", "/somethingd]"], ["/something1"]],
  ["[!a]x", ["/x"], ["/d/x"]],
  ["!**/x", ["/a/x"], ["/x", "/a/b/x"]],
];

it.each(rows)("%j", (rule, matches, others) => {
  const pattern = compileIgnorePattern(rule);
  for (const path of matches) expect(pattern.matches(path, false), path).toBe(true);
  for (const path of others) expect(pattern.matches(path, false), path).toBe(false);
});

it("knows rules for directories only, and negated ones", () => {
  const build = compileIgnorePattern("build/");
  expect(build.matches("/a/build", true)).toBe(true);
  expect(build.matches("/a/build", false)).toBe(false);
  const kept = compileIgnorePattern("!keep.log");
  expect(kept.isNegated).toBe(true);
  expect(kept.matches("/keep.log", false)).toBe(true);
  expect(build.isNegated).toBe(false);
});

it.each(["a\\", "[a", "[", "[a\\", "[a-\\", "[[:nope:]]", "[!", "x".repeat(4097)])(
  "refuses %j",
  (rule) => {
    expect(() => compileIgnorePattern(rule)).toThrow(
      expect.objectContaining({ code: "DM_IGNORE_RULE_INVALID" }),
    );
  },
);

const pieces = ["a", "b", "/", "*", "**", "?", "[!a]", "[ab]", "**/", "/**", "\\/", "😀", "a*b"];
const ruleOf = fc
  .array(fc.constantFrom(...pieces), { maxLength: 9 })
  .map((all) => all.join(""))
  .filter((rule) => !rule.endsWith("\\/"));
const pathOf = fc
  .array(fc.array(fc.constantFrom("a", "b", "😀"), { minLength: 1, maxLength: 5 }), {
    minLength: 1,
    maxLength: 5,
  })
  .map((names) => names.map((name) => `/${name.join("")}`).join(""));

it("gives what the slow way gives, by trying and by the table", () => {
  fc.assert(
    fc.property(ruleOf, pathOf, fc.boolean(), (rule, path, ofRoot) => {
      const pattern = compileIgnorePattern(rule, ofRoot);
      const expected = referenceMatches(rule, path, ofRoot);
      expect(pattern.matches(path, false)).toBe(expected);
      if (!(pattern instanceof CompiledPattern)) throw new TypeError("another matcher");
      if (!rule.endsWith("/")) expect(pattern.matchesByTable(path)).toBe(expected);
    }),
    { numRuns: process.env["DM_FULL"] ? 200_000 : 5_000 },
  );
});

it("compiles or refuses any text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), pathOf, (rule, path) => {
      try {
        compileIgnorePattern(rule).matches(path, true);
      } catch (error) {
        expect(isDmError(error, "DM_IGNORE_RULE_INVALID")).toBe(true);
      }
    }),
  );
});

it.each([
  "**/a".repeat(900),
  `/${"a*".repeat(1900)}b`,
  `/${"*a".repeat(1900)}b`,
  `/${"**/a*".repeat(700)}b`,
  `${"?*".repeat(1900)}x`,
])("ends in time with hostile rules: %.12s…", (rule) => {
  const pattern = compileIgnorePattern(rule);
  const started = performance.now();
  expect(pattern.matches(`/${"a".repeat(255)}`.repeat(16), false)).toBe(false);
  expect(performance.now() - started).toBeLessThan(30_000);
});
