// Which targets cover a source, and which paths lie below which, for paths of every system.
import { expect, it } from "vitest";
import { policyLabels } from "../src/index.ts";
import {
  parentPath,
  pathBelow,
  targetOfLabels,
  targetsCovering,
} from "../src/policy/policy-target.ts";

it.each([
  ["/a/b/c", "/a/b"],
  ["/a/b/", "/a"],
  ["/a", "/"],
  ["/", "/"],
  ["a/b", "a"],
  ["a", "a"],
  ["C:\\a\\b", "C:\\a"],
  ["C:\\a", "C:\\"],
  ["C:\\", "C:\\"],
  ["C:/a", "C:/"],
])("the parent of %s is %s", (path, parent) => {
  expect(parentPath(path)).toBe(parent);
});

it.each([
  ["/a", "/a/b/c", "b/c"],
  ["/", "/a", "a"],
  ["/", "/", undefined],
  ["/a", "/ab", undefined],
  ["/a", "/a", undefined],
  ["/a/", "/a/b", "b"],
  ["C:\\a", "C:\\a\\b\\c", "b/c"],
  ["C:\\", "C:\\a", "a"],
])("below %s, %s is %s", (directory, path, below) => {
  expect(pathBelow(directory, path)).toBe(below);
});

it("goes from the path over its parents, the user and the host to everybody", () => {
  const shown = (source: Parameters<typeof targetsCovering>[0]): string[] =>
    targetsCovering(source).map(({ host, path, userName }) => `${userName}@${host}:${path}`);
  expect(shown({ host: "h", userName: "u", path: "/a/b" })).toEqual([
    "u@h:/a/b",
    "u@h:/a",
    "u@h:/",
    "u@h:",
    "@h:",
    "@:",
  ]);
  expect(shown({ host: "h", userName: "u", path: "ns/pvc" })).toEqual([
    "u@h:ns/pvc",
    "u@h:ns",
    "u@h:",
    "@h:",
    "@:",
  ]);
  expect(shown({ host: "h", userName: "", path: "" })).toEqual(["@h:", "@:"]);
  expect(shown({ host: "", userName: "", path: "" })).toEqual(["@:"]);
});

it("reads targets from their labels", () => {
  for (const target of targetsCovering({ host: "h", userName: "u", path: "/a" }))
    expect(targetOfLabels(policyLabels(target))).toEqual(target);
});
