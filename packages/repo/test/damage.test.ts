// What is left of a damaged repository: with `ignoreDamagedIndexes` everything that an undamaged index blob names, and
// nothing can be written. Beside that: entries that only a broken program with the keys can write, packs that are gone,
// markers that make no sense. test/bit-flip.test.ts does single bits, test/corrupt.test.ts the recorded cases.
import { isDmError } from "@dm/core";
import { describe, expect, it } from "vitest";
import { contentIdFromHash } from "../src/content-id.ts";
import {
  type EpochManager,
  type IndexEntry,
  openBlob,
  openIndex,
  runMaintenance,
  sealBlob,
  verifyRepository,
} from "../src/index.ts";
import { buildIndex } from "../src/index-blob/build.ts";
import { encodeIndirect } from "../src/object/indirect-codec.ts";
import { bytesOf, newRepository, type TestRepository } from "./new-repository.ts";

async function withSessions(version: 1 | 3, count = 3) {
  const test = await newRepository({ version });
  const contents: Array<{ id: string; bytes: Uint8Array; indexBlobId: string }> = [];
  const known = new Set(test.store.blobs.keys());
  for (let seed = 1; seed <= count; seed += 1) {
    await using session = await test.repository.openWriteSession();
    const bytes = bytesOf(500, seed);
    const id = await session.writeContent(bytes);
    session.putManifest({ type: "test", name: `${seed}` }, { seed });
    await session.commit();
    test.clock.advance(1000);
    const indexBlobId = [...test.store.blobs.keys()].find(
      (blobId) => !known.has(blobId) && /^(?:n|xn)/.test(blobId),
    )!;
    for (const blobId of test.store.blobs.keys()) known.add(blobId);
    contents.push({ id, bytes, indexBlobId });
  }
  return { ...test, contents };
}

/** Ways in which a blob can be useless. */
const damages: ReadonlyArray<[name: string, damage: (bytes: Uint8Array) => Uint8Array]> = [
  ["a bit flipped", (bytes) => bytes.map((byte, at) => (at === 40 ? byte ^ 1 : byte))],
  ["cut short", (bytes) => bytes.slice(0, -1)],
  ["empty", () => new Uint8Array(0)],
  ["zeros", (bytes) => new Uint8Array(bytes.length)],
];

describe.each([1, 3] as const)("a damaged index blob, format %i", (version) => {
  it.each(damages)("%s: refused by name, read around on request", async (_, damage) => {
    const { contents, open, store } = await withSessions(version);
    const [first, second, third] = contents as [
      (typeof contents)[0],
      (typeof contents)[0],
      (typeof contents)[0],
    ];
    const blobId = second.indexBlobId;
    store.blobs.set(blobId, damage(store.blobs.get(blobId)!));

    const strict = await open();
    const refused = expect.objectContaining({
      code: "DM_BLOB_ALTERED",
      details: expect.objectContaining({ blobId }),
    });
    await expect(strict.readContent(first.id as never)).rejects.toEqual(refused);
    await expect(strict.openWriteSession()).rejects.toEqual(refused);
    await expect(strict.findManifests({ type: "test" })).rejects.toEqual(refused);
    await expect(runMaintenance(strict, { mode: "full" })).rejects.toEqual(refused);
    await expect(verifyRepository(strict)).rejects.toEqual(refused);

    const lenient = await open({ ignoreDamagedIndexes: true });
    for (const { bytes, id } of [first, third])
      expect(await lenient.readContent(id as never)).toEqual(bytes);
    await expect(lenient.readContent(second.id as never)).rejects.toMatchObject({
      code: "DM_CONTENT_NOT_FOUND",
    });
    const manifests = await lenient.findManifests({ type: "test" });
    expect(manifests.map(({ labels }) => labels["name"])).toEqual(["1", "3"]);
    expect(lenient.damagedIndexBlobs).toEqual([{ blobId, error: refused }]);
    const report = await verifyRepository(lenient);
    expect(report.ok).toBe(false);
    expect(report.findings).toEqual([
      expect.objectContaining({ severity: "error", blobId, error: refused }),
    ]);

    const before = new Map(store.blobs);
    const readOnly = expect.objectContaining({ code: "DM_REPOSITORY_READ_ONLY" });
    await expect(lenient.openWriteSession()).rejects.toEqual(readOnly);
    await expect(runMaintenance(lenient, { mode: "full", force: true })).rejects.toEqual(readOnly);
    expect(store.blobs).toEqual(before);
  });
});

describe("index entries that cannot be", () => {
  /** Another index blob with one more entry, as a broken program with the keys would write it. */
  async function withEntry(change: Partial<IndexEntry>): Promise<TestRepository & { id: string }> {
    const test = await withSessions(3, 1);
    const { crypter } = test.repository;
    const blobId = test.contents[0]!.indexBlobId;
    const index = openIndex(openBlob(crypter, blobId, test.store.blobs.get(blobId)!));
    const id = contentIdFromHash("", bytesOf(16, 77));
    const entry = { ...index.entryAt(0), contentId: id, ...change };
    const sealed = sealBlob(crypter, buildIndex([entry], { version: 2 }), "xn0_", "s1-c1");
    test.store.blobs.set(sealed.blobId, sealed.data);
    return { ...test, id: entry.contentId };
  }

  it.each<[name: string, change: Partial<IndexEntry>, code: string]>([
    ["a path as the pack", { packBlobId: "p../../etc/passwd" }, "DM_INDEX_ENTRY_INVALID"],
    ["no pack", { packBlobId: "" }, "DM_INDEX_ENTRY_INVALID"],
    ["a short hash", { contentId: contentIdFromHash("", bytesOf(4)) }, "DM_INDEX_ENTRY_INVALID"],
    ["a length below the overhead", { packedLength: 3 }, "DM_INDEX_ENTRY_INVALID"],
    ["an end beyond the pack", { packedLength: 2 ** 28 - 1 }, "DM_PACK_TRUNCATED"],
    ["a start beyond the pack", { packOffset: 2 ** 30 - 1 }, "DM_PACK_TRUNCATED"],
    ["another key", { encryptionKeyId: 1 }, "DM_ENCRYPTION_KEY_UNKNOWN"],
    ["a pack that is gone", { packBlobId: `p${"0".repeat(32)}-s1` }, "DM_PACK_NOT_FOUND"],
    ["bytes of another content", {}, "DM_CONTENT_ALTERED"],
  ])("%s", async (_, change, code) => {
    const { id, open } = await withEntry(change);
    const repository = await open();
    await expect(repository.readContent(id as never)).rejects.toMatchObject({
      code,
      details: { contentId: id },
    });
    const { findings, ok } = await verifyRepository(repository);
    expect(ok).toBe(false);
    expect(findings.map(({ error }) => isDmError(error) && error.code)).toEqual([code]);
  });
});

describe("an object whose index promises too much", () => {
  it.each([100, 2 ** 33, 2 ** 52])(
    "%i bytes: a typed error, no such allocation",
    async (length) => {
      const { open, repository } = await newRepository();
      await using session = await repository.openWriteSession();
      const part = await session.writeContent(bytesOf(10));
      const list = encodeIndirect([{ start: 0, length, objectId: part }]);
      const index = await session.writeContent(list, { prefix: "x" });
      await session.commit();
      const object = await (await open()).openObject(`I${index}`);
      await expect(object.read()).rejects.toMatchObject({
        code: "DM_OBJECT_PART_LENGTH_MISMATCH",
        details: { objectId: `I${index}`, length: 10, expected: length },
      });
    },
  );

  it("is read whole beyond the first allocation when the promise is kept", async () => {
    const { open, repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const bytes = bytesOf(1 << 20, 5);
    const part = await session.writeObject(bytes);
    const whole = await session.concatenateObjects(Array.from({ length: 70 }, () => part));
    await session.commit();
    const read = await (await (await open()).openObject(whole)).read({ offset: 10 });
    expect(read.length).toBe(70 * bytes.length - 10);
    for (let copy = 1; copy < 70; copy += 1) {
      const start = copy * bytes.length - 10;
      expect(Buffer.compare(read.subarray(start, start + bytes.length), bytes)).toBe(0);
    }
  });
});

describe("packs that are gone or too short", () => {
  it("break their own contents only, by name", async () => {
    const { contents, open, store } = await withSessions(3);
    const [first, second, third] = contents;
    const reader = await open();
    const packOf = async (id: string): Promise<string> =>
      (await reader.contentInfo(id as never))!.packBlobId;
    const gone = await packOf(first!.id);
    const short = await packOf(second!.id);
    store.blobs.delete(gone);
    store.blobs.set(short, store.blobs.get(short)!.slice(0, 50));
    await expect(reader.readContent(first!.id as never)).rejects.toMatchObject({
      code: "DM_PACK_NOT_FOUND",
      details: { blobId: gone, contentId: first!.id },
    });
    await expect(reader.readContent(second!.id as never)).rejects.toMatchObject({
      code: "DM_PACK_TRUNCATED",
      details: { blobId: short, contentId: second!.id },
    });
    expect(await reader.readContent(third!.id as never)).toEqual(third!.bytes);
    const { findings } = await verifyRepository(reader);
    expect(new Set(findings.map(({ blobId }) => blobId))).toEqual(new Set([gone, short]));
    const structure = await verifyRepository(reader, { depth: "structure" });
    expect(new Set(structure.findings.map(({ blobId }) => blobId))).toEqual(new Set([gone, short]));
  });
});

describe("a stray epoch marker", () => {
  it("far beyond the others costs a listing, not one for each epoch between", async () => {
    const { contents, open, store } = await withSessions(3);
    store.blobs.set("xe900000000000000", bytesOf(12));
    let listings = 0;
    const { list } = store;
    store.list = (prefix, options) => {
      listings += 1;
      return list(prefix, options);
    };
    const reader = await open();
    for (const { bytes, id } of contents)
      expect(await reader.readContent(id as never)).toEqual(bytes);
    expect(listings).toBeLessThan(20);
    const report = await runMaintenance(reader, { mode: "full", safety: "none" });
    expect(report.tasks.length).toBeGreaterThan(5);
    expect(listings).toBeLessThan(200);
    const after = await open();
    for (const { bytes, id } of contents)
      expect(await after.readContent(id as never)).toEqual(bytes);
    const manager = after.indexManager as EpochManager;
    expect((await manager.state()).writeEpoch).toBe(900_000_000_000_000);
  });
});
