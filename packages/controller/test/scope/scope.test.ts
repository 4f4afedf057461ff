/** What a Backup or Restore covers: a table for each rule. */
import { expect, it } from "vitest";
import {
  admits,
  isSelected,
  listProblems,
  plainNames,
  scopedListProblems,
} from "../../src/scope/scope.ts";

it.each([
  [null, null, "a", true],
  [[], [], "a", true],
  [["*"], [], "a", true],
  [["a"], [], "a", true],
  [["b"], [], "a", false],
  [["*"], ["a"], "a", false],
  [["app-*"], [], "app-1", true],
  [["app-*"], [], "an-app-1", false],
  [["a.c"], [], "abc", false],
  [["*"], ["kube-*"], "kube-system", false],
] as const)("included %j, excluded %j: %s passes is %s", (included, excluded, name, passes) => {
  expect(admits(included, excluded, name)).toBe(passes);
});

it.each([
  ["*a*b*", "xaxbx", true],
  ["*a*b*", "xbxax", false],
  ["ab*ba", "aba", false],
  ["ab*ba", "abba", true],
  ["a*", "a", true],
  ["**", "", true],
  // Tried one after another, there would be more ways than time.
  [`${"*a".repeat(25)}*b`, "a".repeat(253), false],
])("pattern %s, name %s: %s", (pattern, name, passes) => {
  expect(admits([pattern], [], name)).toBe(passes);
});

it("knows lists of nothing but names", () => {
  expect(plainNames(["a", "b"])).toEqual(["a", "b"]);
  for (const list of [undefined, null, [], ["*"], ["a", "b*"]])
    expect(plainNames(list)).toBeUndefined();
});

it.each([
  [["*", "a"], [], "includes list must either contain '*' only, or a non-empty list of items"],
  [["a"], ["*"], "excludes list cannot contain '*'"],
  [["a"], ["a"], "excludes list item cannot be in the includes list: a"],
])("included %j and excluded %j contradict each other", (included, excluded, problem) => {
  expect(listProblems(included, excluded)).toEqual([problem]);
});

it("everything may be excluded of one scope, and only by itself", () => {
  expect(scopedListProblems([], ["*"])).toEqual([]);
  expect(scopedListProblems(["a"], ["*"])).toEqual([
    "when exclude is '*', include cannot have value",
  ]);
  expect(scopedListProblems([], ["*", "a"])).toEqual([
    "excludes list must either contain '*' only, or a non-empty list of items",
  ]);
  expect(scopedListProblems(["a"], ["a"])).toHaveLength(1);
});

it("finds nothing wrong with lists that fit", () => {
  expect(listProblems(["*"], ["a"])).toEqual([]);
  expect(listProblems(null, undefined)).toEqual([]);
});

it("either kind of selector selects, none selects all", () => {
  const object = { metadata: { labels: { app: "shop", tier: "web" } } };
  const with1 = (matchLabels: Record<string, string>) => ({ matchLabels });
  expect(isSelected({}, object)).toBe(true);
  expect(isSelected({ labelSelector: null }, { metadata: {} })).toBe(true);
  expect(isSelected({ labelSelector: with1({ app: "shop" }) }, object)).toBe(true);
  expect(isSelected({ labelSelector: with1({ app: "other" }) }, object)).toBe(false);
  expect(
    isSelected({ orLabelSelectors: [with1({ app: "x" }), with1({ tier: "web" })] }, object),
  ).toBe(true);
  expect(isSelected({ orLabelSelectors: [with1({ app: "x" })] }, object)).toBe(false);
  const matchExpressions = [{ key: "app", operator: "NotIn", values: ["shop"] }];
  expect(isSelected({ labelSelector: { matchExpressions } }, object)).toBe(false);
});
