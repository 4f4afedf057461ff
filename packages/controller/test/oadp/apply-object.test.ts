// Whether an object is as wanted: defaults of the API server count as nothing, differences count.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { covers } from "../../src/oadp/apply-object.ts";

describe("an object is as wanted", () => {
  it.each<[string, unknown, unknown]>([
    ["with more fields", { a: 1, b: 2 }, { a: 1 }],
    ["with what Go leaves out", { a: 1 }, { a: 1, b: "", c: false, d: 0, e: null, f: [], g: {} }],
    ["with filled-in fields of a list's items", { c: [{ n: "x", more: 1 }] }, { c: [{ n: "x" }] }],
    ["with a quantity in another spelling", { cpu: "1" }, { cpu: "1000m" }],
    ["with an empty object that says something", { emptyDir: { medium: "" } }, { emptyDir: {} }],
  ])("%s", (_, live, wanted) => {
    expect(covers(live, wanted)).toBe(true);
  });
});

describe("an object is not as wanted", () => {
  it.each<[string, unknown, unknown]>([
    ["without a field", {}, { a: 1 }],
    ["with another value", { a: 1 }, { a: 2 }],
    ["with a flag that is to be off", { privileged: true }, { privileged: false }],
    ["with a longer list", { a: [1, 2] }, { a: [1] }],
    ["with a list in another order", { a: [1, 2] }, { a: [2, 1] }],
    ["with a list that is to be empty", { a: [1] }, { a: [] }],
    ["with another quantity", { cpu: "1" }, { cpu: "999m" }],
    ["with another text", { v: "1000m" }, { v: "x" }],
  ])("%s", (_, live, wanted) => {
    expect(covers(live, wanted)).toBe(false);
  });
});

it("holds for every value and itself, and through JSON", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(covers(value, value)).toBe(true);
      expect(covers(JSON.parse(JSON.stringify({ value })), { value })).toBe(true);
    }),
  );
});
