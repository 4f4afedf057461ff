// The helpers that stand in hot paths: names of blobs and contents, and bounded concurrency.
import { fromHex, mapConcurrent, toHex } from "@dm/core";
import { suite } from "@dm/fixtures/bench";

const count = 100_000;
const hashes = Array.from({ length: count }, (_, number) => {
  const hash = new Uint8Array(16);
  new DataView(hash.buffer).setUint32(4, number);
  return hash;
});
const texts = hashes.map(toHex);
const items = Array.from({ length: count }, (_, number) => number);

await suite("core", {}, (measure) => {
  measure("toHex of 16 bytes", () => hashes.map(toHex), { operations: count });
  measure("fromHex of 32 digits", () => texts.map(fromHex), { operations: count });
  measure(
    "mapConcurrent, 8 at once",
    () => mapConcurrent(items, async (item) => item, { concurrency: 8 }),
    {
      operations: count,
    },
  );
});
