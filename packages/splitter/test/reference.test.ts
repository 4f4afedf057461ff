// The reference itself agrees with kopia's rolling hashes, byte for byte, so that what agrees with it agrees with kopia.
import { generate, loadVectors } from "@dm/fixtures";
import { expect, it } from "vitest";
import { buzhash, rabinKarp, windowAt } from "./reference.ts";

const { rollingHashTrace: trace } = loadVectors("splitter");
const bytes = generate(trace.data);

it.each([
  ["buzhash32", buzhash, 8],
  ["rabinkarp64", rabinKarp, 16],
] as const)("%s after each of 200 bytes", (name, hash, digits) => {
  const values = Array.from({ length: bytes.length + 1 }, (_, end) =>
    hash(windowAt(bytes, end)).toString(16).padStart(digits, "0"),
  );
  expect(values).toEqual(trace[name]);
});
