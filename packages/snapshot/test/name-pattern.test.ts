// Patterns of names match what Go's `path.Match` matches, which Kopia's command line uses: a table of its rules.
import { describe, expect, it } from "vitest";
import { compileNamePattern } from "../src/index.ts";

describe("patterns of names", () => {
  it.each([
    ["", "", true],
    ["", "a", false],
    ["abc", "abc", true],
    ["abc", "abcd", false],
    ["*", "", true],
    ["*", "abc", true],
    ["*", "a/b", false],
    ["*c", "abc", true],
    ["a*", "a", true],
    ["a*/b", "abc/b", true],
    ["a*/b", "a/c/b", false],
    ["a*b*c*d*e*", "axbxcxdxe", true],
    ["a*b*c*d*e*", "axbxcxdxex", true],
    ["a*b*c*d*e*f", "axbxcxdxexxx", false],
    ["*a*a*a*a*a*a*a*a*a*b", "a".repeat(40), false],
    ["a?c", "abc", true],
    ["a?c", "a/c", false],
    ["a???b", "aü☺😀b", true],
    ["ab[c]", "abc", true],
    ["ab[b-d]", "abc", true],
    ["ab[e-g]", "abc", false],
    ["ab[g-e]", "abf", false],
    ["ab[^c]", "abc", false],
    ["ab[^e-g]", "abc", true],
    ["a[^a]b", "a☺b", true],
    ["[☺-😀]", "😀", true],
    ["[a-ζ]*", "α", true],
    ["*[a-ζ]", "A", false],
    ["[\\]a]", "]", true],
    ["[\\-x]", "-", true],
    ["[x\\-]", "z", false],
    ["[!a]", "!", true],
    ["a\\*b", "a*b", true],
    ["a\\*b", "acb", false],
    ["\\\\", "\\", true],
    [".*", ".x", true],
    ["$(^)+|{}", "$(^)+|{}", true],
    ["*\n*", "a\nb", true],
  ])("%j, %j: %s", (pattern, name, expected) => {
    expect(compileNamePattern(pattern)(name)).toBe(expected);
  });

  it.each(["[", "[a", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[^", "a\\", "[\\"])(
    "%j is none",
    (pattern) => {
      expect(() => compileNamePattern(pattern)).toThrow(RangeError);
    },
  );
});
