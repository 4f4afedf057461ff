// Which files a share picks: the same ones each time, about as many as asked for, and all of them after one turn.
import { toHex } from "@dm/core";
import { splitmix64 } from "@dm/fixtures";
import { expect, it } from "vitest";
import { fileChooser, nextFrom } from "../src/verify/file-choice.ts";
import { fc } from "./property.ts";

const ids = Array.from({ length: 2000 }, (_, index) => toHex(splitmix64(index, 16)));

it("after a turn of shares, each object was in exactly one", () => {
  fc.assert(
    fc.property(fc.constantFrom(2, 4, 8), fc.nat(7), fc.string(), (count, eighth, seed) => {
      const counts = new Map<string, number>();
      let choice = { share: 1 / count, from: eighth / 8, seed };
      for (let run = 0; run < count; run++) {
        const isChosen = fileChooser(choice);
        for (const id of ids.slice(0, 200))
          if (isChosen(id)) counts.set(id, (counts.get(id) ?? 0) + 1);
        choice = { ...choice, from: nextFrom(choice) };
      }
      expect([...counts.values()]).toEqual(Array(200).fill(1));
    }),
  );
});

it.each([0, 0.01, 0.1, 0.5, 0.9, 1])("a share of %d is about that many", (share) => {
  for (const seed of ["", "a", "b"]) {
    const chosen = ids.filter(fileChooser({ share, from: 0.75, seed })).length;
    // Five standard deviations.
    const margin = 5 * Math.sqrt(ids.length * share * (1 - share));
    expect(Math.abs(chosen - share * ids.length)).toBeLessThanOrEqual(margin);
  }
});

it("ids that differ at their end only are picked apart from each other", () => {
  const alike = Array.from({ length: 1000 }, (_, index) => index.toString(16).padStart(32, "0"));
  const chosen = alike.filter(fileChooser({ share: 0.25, from: 0, seed: "s" })).length;
  expect(Math.abs(chosen - 250)).toBeLessThan(70);
});

it("another seed picks others", () => {
  const choice = { share: 0.5, from: 0 };
  const [one, two] = ["a", "b"].map((seed) => fileChooser({ ...choice, seed }));
  const both = ids.filter((id) => one!(id) && two!(id)).length;
  expect(Math.abs(both - ids.length / 4)).toBeLessThan(100);
});

it("what is not on the circle is refused", () => {
  for (const share of [-0.1, 1.1, Number.NaN])
    expect(() => fileChooser({ share, from: 0, seed: "" })).toThrow(RangeError);
  for (const from of [-0.1, 1, Number.NaN])
    expect(() => fileChooser({ share: 0.5, from, seed: "" })).toThrow(RangeError);
});
