// Which path lies above which, for paths of every system.
import { expect, it } from "vitest";
import { parentPath, pathBelow } from "../src/source/source-path.ts";

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
  ["/", "/", ""],
  ["/a", "/ab", undefined],
  ["/a", "/a", ""],
  ["/a", "/a/", ""],
  ["/a/", "/a/b", "b"],
  ["C:\\a", "C:\\a\\b\\c", "b/c"],
  ["C:\\", "C:\\a", "a"],
  ["C:\\a", "C:\\a\\", ""],
  ["ns/pvc", "ns/pvc/a", "a"],
])("below %s, %s is %s", (directory, path, below) => {
  expect(pathBelow(directory, path)).toBe(below);
});
