// With all index blobs gone, the packs themselves bring every content back; damaged packs are named, not fatal.
import { AccessError, NotFoundError, StorageError } from "@dm/core";
import { describe, expect, it } from "vitest";
import { recoverIndex, verifyRepository } from "../src/index.ts";
import { bytesOf, newRepository, type TestRepository } from "./new-repository.ts";

async function withContents(version: 1 | 2 | 3): Promise<TestRepository & { ids: string[] }> {
  const test = await newRepository({ version });
  const ids: string[] = [];
  for (let seed = 1; seed <= 3; seed += 1) {
    await using session = await test.repository.openWriteSession();
    for (const prefix of ["", "k"])
      ids.push(await session.writeContent(bytesOf(500, seed), { prefix }));
    session.putManifest({ type: "t" }, { seed });
    await session.commit();
  }
  for (const id of test.store.blobs.keys()) if (/^(n|x)/.test(id)) test.store.blobs.delete(id);
  return { ...test, ids };
}

describe.each([1, 2, 3] as const)("format version %i", (version) => {
  it("reports what it found, and stores it when asked to", async () => {
    const { ids, open, store } = await withContents(version);
    const lost = await open();
    expect(await lost.findManifests()).toEqual([]);
    const dry = await recoverIndex(lost);
    expect(dry).toMatchObject({ failures: [], indexBlobIds: [] });
    // The six contents, three manifests, and the maintenance parameters of the new repository.
    expect(dry.entriesFound).toBe(10);
    expect([...store.blobs.keys()].some((id) => /^(n|x)/.test(id))).toBe(false);
    const progress: number[] = [];
    const report = await recoverIndex(lost, {
      commit: true,
      onProgress: ({ packsDone }) => void progress.push(packsDone),
    });
    expect(report.indexBlobIds.length).toBe(1);
    expect(progress.at(-1)).toBe(report.packsRead);
    const found = await open();
    const seen = [];
    for await (const { contentId } of found.listContents()) seen.push(contentId);
    for (const id of ids) expect(seen).toContain(id);
    expect((await found.findManifests({ type: "t" })).length).toBe(3);
    expect((await verifyRepository(found)).findings).toEqual([]);
  });

  it("goes on past packs that are cut short or altered, and names them", async () => {
    const { open, store } = await withContents(version);
    const packs = [...store.blobs.keys()].filter((id) => id.startsWith("p"));
    store.blobs.set(packs[0]!, store.blobs.get(packs[0]!)!.subarray(0, 100));
    store.blobs.get(packs[1]!)!.fill(0, -200, -100);
    const report = await recoverIndex(await open(), { commit: true });
    expect(report.failures.map(({ blobId }) => blobId).sort()).toEqual([packs[0], packs[1]].sort());
    expect(report.entriesFound).toBe(8);
  });
});

it("takes a store that does not answer for no damage", async () => {
  const { open, store } = await withContents(3);
  const repository = await open();
  const { get } = store;
  const [pack] = [...store.blobs.keys()].filter((id) => id.startsWith("p"));
  const before = [...store.blobs.keys()];
  for (const error of [
    new StorageError("DM_STORE_FAILED", "the line is cut", {}, { retryable: true }),
    new AccessError("DM_STORE_ACCESS_DENIED", "not for you"),
    new NotFoundError("DM_STORE_NOT_FOUND", "the volume is gone"),
  ]) {
    store.get = async (id, options) => {
      if (id === pack) throw error;
      return get(id, options);
    };
    await expect(recoverIndex(repository, { commit: true })).rejects.toBe(error);
  }
  expect([...store.blobs.keys()]).toEqual(before);
});

it("needs the right to write only when it is to store something", async () => {
  const { open } = await withContents(3);
  const reader = await open({ readOnly: true });
  expect((await recoverIndex(reader)).entriesFound).toBe(10);
  await expect(recoverIndex(reader, { commit: true })).rejects.toMatchObject({
    code: "DM_REPOSITORY_READ_ONLY",
  });
});
