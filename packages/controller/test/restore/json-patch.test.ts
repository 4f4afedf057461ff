/** JSON patches: the examples of RFC 6902 that a patch of an object can be, and what is refused. */
import { describe, expect, it } from "vitest";
import { applyJsonPatch, type PatchOperation, PatchProblem } from "../../src/restore/json-patch.ts";

describe("RFC 6902, appendix A", () => {
  it.each([
    ["A.1", { foo: "bar" }, { op: "add", path: "/baz", value: "qux" }, { baz: "qux", foo: "bar" }],
    [
      "A.2",
      { foo: ["bar", "baz"] },
      { op: "add", path: "/foo/1", value: "qux" },
      { foo: ["bar", "qux", "baz"] },
    ],
    ["A.3", { baz: "qux", foo: "bar" }, { op: "remove", path: "/baz" }, { foo: "bar" }],
    [
      "A.4",
      { foo: ["bar", "qux", "baz"] },
      { op: "remove", path: "/foo/1" },
      { foo: ["bar", "baz"] },
    ],
    [
      "A.5",
      { baz: "qux", foo: "bar" },
      { op: "replace", path: "/baz", value: "boo" },
      { baz: "boo", foo: "bar" },
    ],
    [
      "A.6",
      { foo: { bar: "baz", waldo: "fred" }, qux: { corge: "grault" } },
      { op: "move", from: "/foo/waldo", path: "/qux/thud" },
      { foo: { bar: "baz" }, qux: { corge: "grault", thud: "fred" } },
    ],
    [
      "A.7",
      { foo: ["all", "grass", "cows", "eat"] },
      { op: "move", from: "/foo/1", path: "/foo/3" },
      { foo: ["all", "cows", "eat", "grass"] },
    ],
    [
      "A.8",
      { baz: "qux", foo: ["a", 2, "c"] },
      { op: "test", path: "/foo/1", value: 2 },
      { baz: "qux", foo: ["a", 2, "c"] },
    ],
    [
      "A.10",
      { foo: "bar" },
      { op: "add", path: "/child", value: { grandchild: {} } },
      { foo: "bar", child: { grandchild: {} } },
    ],
    ["A.14", { "/": 9, "~1": 10 }, { op: "test", path: "/~01", value: 10 }, { "/": 9, "~1": 10 }],
    [
      "A.16",
      { foo: ["bar"] },
      { op: "add", path: "/foo/-", value: ["abc", "def"] },
      { foo: ["bar", ["abc", "def"]] },
    ],
  ] as [string, object, PatchOperation, object][])("%s", (_name, before, operation, after) => {
    const copy = structuredClone(before);
    expect(applyJsonPatch(before, [operation])).toEqual(after);
    expect(before).toEqual(copy);
  });
});

it.each([
  ["A.9: a value that differs", { op: "test", path: "/baz", value: "bar" }, true],
  ["A.12: no parent", { op: "add", path: "/none/bat", value: "qux" }, false],
  ["A.15: a number is no text", { op: "test", path: "/list/0", value: "10" }, true],
  ["beyond the list", { op: "add", path: "/list/2", value: 1 }, false],
  ["a list's name", { op: "add", path: "/list/x", value: 1 }, false],
  ["no number with zeros", { op: "replace", path: "/list/00", value: 1 }, true],
  ["nothing there", { op: "remove", path: "/none" }, true],
  ["no pointer", { op: "add", path: "baz", value: 1 }, false],
  ["into itself", { op: "move", from: "/deep", path: "/deep/er" }, false],
  ["of everything", { op: "remove", path: "" }, false],
  ["of the prototype", { op: "replace", path: "/__proto__/x", value: 1 }, true],
] as [string, PatchOperation, boolean][])("refuses: %s", (_what, operation, isTest) => {
  const apply = (): unknown =>
    applyJsonPatch({ baz: "qux", list: [10], deep: { er: 1 } }, [operation]);
  expect(apply).toThrow(PatchProblem);
  expect(apply).toThrow(expect.objectContaining({ isTest }));
});

it("a name that means the prototype elsewhere is a name here", () => {
  const result = applyJsonPatch({}, [{ op: "add", path: "/__proto__", value: { polluted: true } }]);
  expect(Object.keys(result as object)).toEqual(["__proto__"]);
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});
