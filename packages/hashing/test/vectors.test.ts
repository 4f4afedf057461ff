// Every keyed hash of every back-end agrees with kopia for each recorded key and length, and refuses what kopia refuses.
import { fromHex, toHex } from "@dm/core";
import { generate, loadVectors } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { createHash, describeHashing, hashAlgorithms } from "../src/index.ts";

const vectors = loadVectors("hashing");
const input = generate(vectors.input, vectors.input.longest);
// Plain JavaScript takes seconds for the longest input.
const longestForNoble = 200_000;

it("knows exactly the recorded algorithms", () => {
  expect(Object.keys(hashAlgorithms).sort()).toEqual(Object.keys(vectors.algorithms).sort());
});

describe.each(describeHashing())("$algorithm", ({ algorithm, available }) => {
  describe.each(available)("%s", (backend) => {
    it.each(vectors.algorithms[algorithm].cases as Array<Record<string, never>>)(
      "key $key",
      (recorded) => {
        const { createError, digests, key } = recorded as unknown as {
          key: string;
          digests?: Record<string, string>;
          createError?: string;
        };
        if (createError) {
          expect(() => createHash(algorithm, fromHex(key), { backend })).toThrow(RangeError);
          return;
        }
        const hash = createHash(algorithm, fromHex(key), { backend });
        for (const [length, digest] of Object.entries(digests!)) {
          if (backend === "noble" && Number(length) > longestForNoble) continue;
          expect(toHex(hash.digest(input.subarray(0, Number(length)))), length).toBe(digest);
        }
      },
    );
  });
});
