// The three kinds of patches on plain values: each operation, each directive, and what is refused.
import { describe, expect, it } from "vitest";
import { copyJson, equalJson } from "../../src/api-server/json.ts";
import { applyJsonPatch, applyMergePatch } from "../../src/api-server/json-patch.ts";
import { applyStrategicMerge } from "../../src/api-server/strategic-merge.ts";
import type { Json } from "../../src/index.ts";

describe("JSON Patch", () => {
  it.each<[string, Json, Json, Json]>([
    ["add", { a: 1 }, [{ op: "add", path: "/b", value: 2 }], { a: 1, b: 2 }],
    ["add into a list", { a: [1, 3] }, [{ op: "add", path: "/a/1", value: 2 }], { a: [1, 2, 3] }],
    ["add at the end", { a: [1] }, [{ op: "add", path: "/a/-", value: 2 }], { a: [1, 2] }],
    ["replace", { a: { b: 1 } }, [{ op: "replace", path: "/a/b", value: 2 }], { a: { b: 2 } }],
    ["remove", { a: 1, b: 2 }, [{ op: "remove", path: "/a" }], { b: 2 }],
    ["remove from a list", { a: [1, 2] }, [{ op: "remove", path: "/a/0" }], { a: [2] }],
    ["move", { a: 1 }, [{ op: "move", from: "/a", path: "/b" }], { b: 1 }],
    ["copy", { a: 1 }, [{ op: "copy", from: "/a", path: "/b" }], { a: 1, b: 1 }],
    ["test", { a: { b: 1 } }, [{ op: "test", path: "/a", value: { b: 1 } }], { a: { b: 1 } }],
    ["escapes", { "a/b": { "c~d": 1 } }, [{ op: "remove", path: "/a~1b/c~0d" }], { "a/b": {} }],
  ])("%s", (_name, document, patch, expected) => {
    expect(applyJsonPatch(document, patch)).toEqual(expected);
  });

  it.each<[string, Json, number]>([
    ["no list", { spec: {} }, 400],
    ["unknown operation", [{ op: "zork", path: "/a" }], 400],
    ["failed test", [{ op: "test", path: "/a", value: 2 }], 422],
    ["missing path", [{ op: "add", path: "/x/y", value: 2 }], 422],
    ["missing value", [{ op: "remove", path: "/x" }], 422],
    ["index out of bounds", [{ op: "add", path: "/l/5", value: 2 }], 422],
  ])("refuses: %s", (_name, patch, status) => {
    const document = { a: 1, l: [] };
    expect(() => applyJsonPatch(document, patch)).toThrow(expect.objectContaining({ status }));
    expect(document).toEqual({ a: 1, l: [] });
  });
});

describe("merge patch", () => {
  it("merges objects, replaces the rest, removes null", () => {
    const document = { a: { b: 1, c: 2 }, d: [1], e: 1 };
    const patch = { a: { b: null, x: { y: null, z: 1 } }, d: [2], e: { f: 1 } };
    expect(applyMergePatch(document, patch)).toEqual({
      a: { c: 2, x: { z: 1 } },
      d: [2],
      e: { f: 1 },
    });
  });

  it("reaches no prototype", () => {
    const patch = JSON.parse('{"__proto__":{"polluted":1},"a":{"__proto__":{"polluted":1}}}');
    applyMergePatch({}, patch);
    applyStrategicMerge("Pod", {}, patch);
    expect(({} as Json).polluted).toBeUndefined();
  });
});

describe("strategic merge patch", () => {
  const pod = {
    metadata: { finalizers: ["a"], ownerReferences: [{ uid: "1", name: "x" }] },
    spec: {
      containers: [
        {
          name: "main",
          image: "i",
          env: [{ name: "A", value: "1" }],
          ports: [{ containerPort: 80 }],
        },
        { name: "side", image: "i" },
      ],
      tolerations: [{ key: "a" }],
    },
  };
  const patched = (patch: Json): Json => applyStrategicMerge("Pod", pod, patch);

  it("merges lists by key", () => {
    const env = [
      { name: "A", value: "2" },
      { name: "B", value: "3" },
    ];
    const { spec } = patched({ spec: { containers: [{ name: "main", env }] } });
    expect(spec.containers).toEqual([
      { name: "main", image: "i", env, ports: [{ containerPort: 80 }] },
      { name: "side", image: "i" },
    ]);
  });

  it("replaces lists without a key, and merges sets", () => {
    const { spec, metadata } = patched({
      metadata: { finalizers: ["b"] },
      spec: { tolerations: [{ key: "b" }] },
    });
    expect(spec.tolerations).toEqual([{ key: "b" }]);
    expect(metadata.finalizers).toEqual(["a", "b"]);
  });

  it("follows directives", () => {
    const { spec, metadata } = patched({
      metadata: {
        "$deleteFromPrimitiveList/finalizers": ["a"],
        ownerReferences: [{ $patch: "delete", uid: "1" }],
      },
      spec: {
        "$setElementOrder/containers": [{ name: "new" }, { name: "main" }],
        containers: [
          { name: "new", image: "n" },
          { $patch: "delete", name: "side" },
        ],
        tolerations: null,
      },
    });
    expect(metadata).toEqual({ finalizers: [], ownerReferences: [] });
    expect(spec.containers.map(({ name }: Json) => name)).toEqual(["new", "main"]);
    expect(spec.tolerations).toBeUndefined();
    const replaced = patched({ spec: { $patch: "replace", containers: [] } });
    expect(replaced.spec).toEqual({ containers: [] });
  });

  it("refuses an item without its key", () => {
    expect(() => patched({ spec: { containers: [{ image: "i" }] } })).toThrow("merge key: name");
  });
});

it("compares and copies JSON", () => {
  expect(equalJson({ a: [1, { b: null }], c: 2 }, { c: 2, a: [1, { b: null }] })).toBe(true);
  expect(equalJson({ a: 1 }, { a: 1, b: 2 })).toBe(false);
  expect(equalJson([1], { 0: 1 })).toBe(false);
  expect(copyJson({ a: undefined, b: [{ c: 1 }] })).toStrictEqual({ b: [{ c: 1 }] });
});
