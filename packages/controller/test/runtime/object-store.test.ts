/** What is found by key, namespace and index after any sequence of changes is what a plain search finds. */
import type { KubeObject } from "@dm/crds";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { keyOf, keyText, parseKeyText } from "../../src/runtime/object-key.ts";
import { ObjectStore } from "../../src/runtime/object-store.ts";

interface Labelled extends KubeObject {
  readonly values: string[];
}

const change = fc.record({
  remove: fc.boolean(),
  namespace: fc.constantFrom("", "x", "y"),
  name: fc.constantFrom("a", "b", "c"),
  values: fc.array(fc.constantFrom("1", "2", "3"), { maxLength: 3 }),
});

describe("the store of objects", () => {
  it("finds the same as a plain search", () => {
    fc.assert(
      fc.property(fc.array(change), (changes) => {
        const store = new ObjectStore<Labelled>({ value: ({ values }) => values });
        const plain = new Map<string, Labelled>();
        for (const { remove, namespace, name, values } of changes) {
          const object = { metadata: { namespace, name }, values };
          const key = keyText(object.metadata);
          const before = plain.get(key);
          if (remove) {
            plain.delete(key);
            expect(store.remove(key)).toBe(before);
          } else {
            plain.set(key, object);
            expect(store.put(object)).toBe(before);
          }
        }
        const all = [...plain.values()];
        expect(new Set(store.list())).toEqual(new Set(all));
        expect(store.size).toBe(all.length);
        for (const namespace of ["", "x", "y", "z"]) {
          const inside = all.filter(({ metadata }) => metadata.namespace === namespace);
          expect(new Set(store.list(namespace))).toEqual(new Set(inside));
        }
        for (const value of ["1", "2", "3", "4"]) {
          const inside = all.filter(({ values }) => values.includes(value));
          expect(new Set(store.byIndex("value", value))).toEqual(new Set(inside));
        }
      }),
    );
  });

  it("does not know indexes that nobody made", () => {
    expect(() => new ObjectStore({}).byIndex("value", "1")).toThrow(RangeError);
  });
});

describe("keys", () => {
  it("are texts and back", () => {
    for (const key of [{ name: "n1" }, { namespace: "velero", name: "du1" }]) {
      expect(parseKeyText(keyText(key))).toEqual(key);
      expect(keyOf({ metadata: key })).toEqual(key);
    }
    expect(keyText({ namespace: "", name: "n1" })).toBe("n1");
    expect(() => keyOf({ metadata: { generateName: "a-" } })).toThrow(TypeError);
  });
});
