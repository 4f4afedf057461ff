// Verification reads every pack once, finds every kind of damage and tells how far it has come.
import { FormatError, IntegrityError, NotFoundError, StorageError } from "@dm/core";
import { describe, expect, it } from "vitest";
import { type VerifyProgress, verifyRepository } from "../src/index.ts";
import { packBatches } from "../src/verify.ts";
import { bytesOf, newRepository } from "./new-repository.ts";

async function withPacks(count: number) {
  const test = await newRepository();
  const packs: string[] = [];
  for (let seed = 1; seed <= count; seed += 1) {
    await using session = await test.repository.openWriteSession();
    const id = await session.writeContent(bytesOf(1000, seed));
    await session.commit();
    packs.push((await test.repository.contentInfo(id))!.packBlobId);
  }
  return { ...test, packs };
}

describe("a sound repository", () => {
  it.each(["full", "structure"] as const)("has no findings, to the depth %s", async (depth) => {
    const { repository } = await withPacks(3);
    const seen: VerifyProgress[] = [];
    const report = await verifyRepository(repository, {
      depth,
      onProgress: (progress) => void seen.push({ ...progress }),
    });
    expect(report).toMatchObject({ ok: true, findings: [], packsDone: 4, manifestsDone: 1 });
    expect(seen.map(({ packsDone }) => packsDone)).toEqual([1, 2, 3, 4]);
    expect(seen.at(-1)).toMatchObject({ contentsDone: 4, totalContents: 4, totalPacks: 4 });
  });

  it("may share its store with blobs of other programs", async () => {
    const { repository, store } = await withPacks(1);
    await store.put("policy.json", bytesOf(10));
    expect((await verifyRepository(repository, { depth: "structure" })).findings).toEqual([]);
  });

  it("stops when asked to", async () => {
    const { repository } = await withPacks(3);
    const abort = new AbortController();
    const report = verifyRepository(repository, {
      signal: abort.signal,
      parallelPacks: 1,
      onProgress: () => abort.abort(new Error("stop")),
    });
    await expect(report).rejects.toThrow("stop");
  });
});

describe("damage", () => {
  it.each(["full", "structure"] as const)("a store that fails is none, %s", async (depth) => {
    const { open, store } = await withPacks(1);
    const repository = await open();
    const { get } = store;
    const failure = new StorageError("DM_STORE_FAILED", "the line is cut");
    store.get = async (id, options) => {
      if (id.startsWith("q")) throw failure;
      return get(id, options);
    };
    await expect(verifyRepository(repository, { depth })).rejects.toBe(failure);
  });

  it.each(["full", "structure"] as const)("a pack that is gone or cut short, %s", async (depth) => {
    const { open, packs, store } = await withPacks(3);
    await store.delete(packs[0]!);
    store.blobs.set(packs[1]!, store.blobs.get(packs[1]!)!.subarray(0, 500));
    const { findings, ok } = await verifyRepository(await open(), { depth });
    expect(ok).toBe(false);
    const of = (blobId: string) => findings.filter((finding) => finding.blobId === blobId);
    expect(of(packs[0]!)).toMatchObject([{ severity: "error", contentCount: 1 }]);
    expect(of(packs[0]!)[0]!.error).toBeInstanceOf(NotFoundError);
    expect(of(packs[1]!).find(({ severity }) => severity === "error")).toMatchObject({
      offset: 32,
    });
    expect(of(packs[1]!).some(({ error }) => error instanceof FormatError)).toBe(true);
    expect(of(packs[2]!)).toEqual([]);
  });

  it("a content that authenticates and has another hash than its id", async () => {
    const { open, repository } = await withPacks(1);
    const { digest } = repository.crypter.hash;
    await using session = await repository.openWriteSession();
    repository.crypter.hash.digest = (data) => digest.call(repository.crypter.hash, data).fill(9);
    const id = await session.writeContent(bytesOf(50));
    repository.crypter.hash.digest = digest;
    await session.commit();
    const { findings } = await verifyRepository(await open());
    expect(findings).toMatchObject([{ severity: "error", contentId: id, offset: 32 }]);
    expect(findings[0]!.error).toBeInstanceOf(IntegrityError);
  });
});

describe("batches of packs", () => {
  const counts = new Map([
    ["a", 3],
    ["b", 4],
    ["c", 3],
    ["d", 25],
    ["e", 1],
  ]);

  it("hold no more contents than allowed, unless one pack does", () => {
    expect(packBatches(counts, 10)).toEqual([["a", "b", "c"], ["d"], ["e"]]);
    expect(packBatches(counts, 1)).toEqual([["a"], ["b"], ["c"], ["d"], ["e"]]);
    expect(packBatches(counts)).toEqual([["a", "b", "c", "d", "e"]]);
    expect(packBatches(new Map())).toEqual([]);
  });
});
