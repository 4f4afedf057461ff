// Copies of the format blob are found in the packs of repositories whose password cannot be changed, the newest first, each once,
// and in no others; damaged packs are passed over.
import { loadGolden } from "@dm/fixtures";
import { memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import { encodeFormatCopy } from "../src/format/format-copy.ts";
import { type FindFormatCopiesOptions, type FormatCopy, findFormatCopies } from "../src/index.ts";

async function copiesIn(
  store: ReturnType<typeof memoryStore>,
  options: FindFormatCopiesOptions = {},
): Promise<FormatCopy[]> {
  const copies: FormatCopy[] = [];
  for await (const copy of findFormatCopies(store, options)) copies.push(copy);
  return copies;
}

const packId = (digit: number): string => `p${String(digit).repeat(32)}-s1`;

/** A pack of each format blob, each newer than the one before. */
function packsWith(...formats: readonly string[]): ReturnType<typeof memoryStore> {
  const store = memoryStore();
  for (const [at, format] of formats.entries()) {
    const copy = encodeFormatCopy(new TextEncoder().encode(format));
    store.blobs.set(packId(at), new Uint8Array([...copy, 1, 2, 3, ...copy]));
    store.setTimestamp(packId(at), BigInt(at + 1));
  }
  return store;
}

describe("in repositories of kopia", () => {
  it.each(["v1-plain", "v1-maintenance"])("%s has them", async (name) => {
    const { blobs } = loadGolden(name);
    const store = memoryStore({ blobs });
    const [newest] = await copiesIn(store);
    expect(newest?.formatBlob).toEqual(blobs.get("kopia.repository"));
  });

  it.each(["v3-maintenance", "v3-empty"])("%s has none", async (name) => {
    expect(await copiesIn(memoryStore({ blobs: loadGolden(name).blobs }))).toEqual([]);
  });
});

it("the newest comes first, and each once", async () => {
  const copies = await copiesIn(packsWith("old", "new", "old", "new"));
  expect(copies.map(({ formatBlob }) => new TextDecoder().decode(formatBlob))).toEqual([
    "new",
    "old",
  ]);
  expect(copies.map(({ packBlobId }) => packBlobId)).toEqual([packId(3), packId(2)]);
});

it("no more packs are read than asked for", async () => {
  const copies = await copiesIn(packsWith("old", "new"), { maxPacks: 1 });
  expect(copies.map(({ packBlobId }) => packBlobId)).toEqual([packId(1)]);
});

it("one end of a pack is enough; a pack that is damaged at both ends, or empty, is passed over", async () => {
  const store = packsWith("a", "b", "c");
  const flip = (id: string, at: number): void => {
    const pack = store.blobs.get(id)!;
    pack[at < 0 ? pack.length + at : at]! ^= 1;
  };
  flip(packId(0), 5);
  flip(packId(1), 5);
  flip(packId(1), -5);
  store.blobs.set(packId(2), new Uint8Array(0));
  const copies = await copiesIn(store);
  expect(copies.map(({ packBlobId }) => packBlobId)).toEqual([packId(0)]);
});

it("packs that go while they are looked at are passed over", async () => {
  const store = packsWith("a", "b");
  const gone = packId(1);
  const vanishing = {
    ...store,
    get: async (id: string, options?: Parameters<typeof store.get>[1]) => {
      if (id === gone) store.blobs.delete(gone);
      return store.get(id, options);
    },
  };
  expect((await copiesIn(vanishing)).map(({ packBlobId }) => packBlobId)).toEqual([packId(0)]);
});
