/** The examples of RFC 7396, and the law that the patch between two objects makes the one of the other. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyMergePatch, mergePatchBetween, sameJson } from "../../src/runtime/merge-patch.ts";

/** RFC 7396, appendix A: target, patch, result. */
const examples: readonly (readonly [unknown, unknown, unknown])[] = [
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
  [{ a: "b" }, { a: null }, {}],
  [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
  [{ a: ["b"] }, { a: "c" }, { a: "c" }],
  [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
  [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
  [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
  [
    ["a", "b"],
    ["c", "d"],
    ["c", "d"],
  ],
  [{ a: "b" }, ["c"], ["c"]],
  [{ a: "foo" }, null, null],
  [{ a: "foo" }, "bar", "bar"],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: "b", c: null }, { a: "b" }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];

const { object } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.integer(),
    fc.string({ maxLength: 2 }),
    fc.boolean(),
    fc.array(tie("value"), { maxLength: 2 }),
    tie("object"),
  ),
  object: fc.dictionary(fc.constantFrom("a", "b", "c", "__proto", "d"), tie("value"), {
    noNullPrototype: true,
  }),
}));

describe("merge patches", () => {
  it.each(examples)("%j with %j is %j", (target, patch, result) => {
    expect(applyMergePatch(target, patch)).toEqual(result);
  });

  it("between two objects make the one of the other, and are nothing when there is nothing to do", () => {
    fc.assert(
      fc.property(object, object, (before, after) => {
        const patch = mergePatchBetween(before as object, after as object);
        expect(patch === undefined).toBe(sameJson(before, after));
        expect(applyMergePatch(before, patch ?? {})).toEqual(after);
        // As text too: nothing in it is lost on the way to the server.
        expect(applyMergePatch(before, JSON.parse(JSON.stringify(patch ?? {})))).toEqual(after);
      }),
    );
  });

  it("take null and undefined as absent", () => {
    expect(mergePatchBetween({ a: null, b: 1 }, { c: null, b: 1, d: undefined })).toBeUndefined();
    expect(mergePatchBetween({ a: 1 }, { a: undefined })).toEqual({ a: null });
    expect(sameJson({ a: undefined }, {})).toBe(true);
    expect(sameJson({ a: undefined }, { a: null })).toBe(false);
    expect(sameJson([1, 2], [1])).toBe(false);
    expect(sameJson([], {})).toBe(false);
  });
});
