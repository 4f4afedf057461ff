// The registry: kopia's names and what they stand for; what is not known is refused with the list of what is.
import { UnsupportedError } from "@dm/core";
import { generate, loadVectors } from "@dm/fixtures";
import { expect, it } from "vitest";
import {
  createSplitter,
  defaultSplitterAlgorithm,
  describeSplitters,
  splitterAlgorithms,
  splitterDescription,
} from "../src/index.ts";
import { segmentLengths } from "./split.ts";

const vectors = loadVectors("splitter");

it("knows exactly the recorded algorithms and their longest segments", () => {
  expect(Object.keys(splitterAlgorithms).sort()).toEqual([...vectors.algorithms].sort());
  expect(Object.keys(splitterAlgorithms)).toHaveLength(23);
  expect(defaultSplitterAlgorithm).toBe(vectors.defaultAlgorithm);
  for (const [name, bytes] of Object.entries(vectors.maxSegmentSize)) {
    expect(createSplitter(name), name).toMatchObject({ algorithm: name, maxChunkBytes: bytes });
  }
});

it("cuts the same under the short names", () => {
  const bytes = generate({ kind: "splitmix64", seed: 11, len: 20 << 20 });
  for (const [alias, name] of [
    ["DYNAMIC", "DYNAMIC-4M-BUZHASH"],
    ["FIXED", "FIXED-4M"],
  ] as const) {
    expect(splitterDescription(alias)).toEqual({
      ...splitterDescription(name),
      name: alias,
      aliasOf: name,
    });
    const lengths = segmentLengths(createSplitter(alias), bytes);
    expect(lengths.length).toBeGreaterThan(2);
    expect(lengths).toEqual(segmentLengths(createSplitter(name), bytes));
  }
});

it("cannot be changed", () => {
  expect(Object.isFrozen(splitterAlgorithms)).toBe(true);
  for (const description of Object.values(splitterAlgorithms))
    expect(Object.isFrozen(description)).toBe(true);
});

it.each(["", "DYNAMIC-3M-BUZHASH", "dynamic-4m-buzhash", "FIXED-16M", "toString", "__proto__"])(
  "refuses %j with the known names",
  (name) => {
    const create = (): unknown => createSplitter(name);
    expect(create).toThrow(UnsupportedError);
    expect(create).toThrow(expect.objectContaining({ code: "DM_SPLITTER_UNKNOWN" }));
    for (const known of Object.keys(splitterAlgorithms)) expect(create).toThrow(known);
  },
);

it("says which back-end is used, pins it, and refuses another", () => {
  expect(describeSplitters().map(({ algorithm }) => algorithm)).toEqual(
    Object.keys(splitterAlgorithms),
  );
  for (const { algorithm, available, backend } of describeSplitters()) {
    expect(available[0]).toBe(backend);
    expect(createSplitter(algorithm).backend).toBe(backend);
    for (const name of available)
      expect(createSplitter(algorithm, { backend: name }).backend).toBe(name);
  }
  expect(() => createSplitter("DYNAMIC", { backend: "scissors" })).toThrow(
    expect.objectContaining({ code: "DM_SPLITTER_BACKEND_UNKNOWN" }),
  );
});

it("refuses what is no offset, and has nothing to say beyond the end", () => {
  const splitter = createSplitter("FIXED-128K");
  const bytes = new Uint8Array(200_000);
  for (const from of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => splitter.next(bytes, from)).toThrow(RangeError);
  }
  expect(splitter.next(bytes, 200_000)).toBe(-1);
  expect(splitter.next(bytes, 300_000)).toBe(-1);
  expect(splitter.next(new Uint8Array(0))).toBe(-1);
  // None of these took anything.
  expect(splitter.next(bytes)).toBe(131_072);
});
