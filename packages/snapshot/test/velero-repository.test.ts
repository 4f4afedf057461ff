// Repositories of namespaces: made in an empty place only, with Velero's owner, cycles and mark; by one of several creators; and
// finished where a creator was cut off.
import { manualClock, utf8Encode } from "@dm/core";
import {
  blobConfigId,
  createRepositoryFormat,
  formatBlobId,
  readMaintenanceParameters,
} from "@dm/repo";
import { type BlobStore, forward, type MemoryStore, memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import {
  connectOrCreateVeleroRepository,
  openVeleroRepository,
  veleroDefaultPassword,
} from "../src/velero/index.ts";
import { isVeleroRepository, veleroRepositoryBlobId } from "../src/velero/velero-repository.ts";
import { deriveKey } from "./new-repository.ts";
import { memoisedDeriveKey } from "./open-golden.ts";

const options = { password: veleroDefaultPassword, deriveKey };

async function idsOf(store: BlobStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of store.list("")) ids.push(id);
  return ids.sort();
}

describe("connectOrCreateVeleroRepository", () => {
  it("row 62: makes a repository of default@default, with the mark and the cycles", async () => {
    const store = memoryStore();
    const repository = await connectOrCreateVeleroRepository(store, {
      ...options,
      fullMaintenanceInterval: "fastGC",
    });
    expect(repository.clientName).toBe("default@default");
    expect(repository.format).toMatchObject({
      hash: "BLAKE2B-256-128",
      encryption: "AES256-GCM-HMAC-SHA256",
      splitter: "DYNAMIC-4M-BUZHASH",
      version: 3,
    });
    const { full, owner, quick } = await readMaintenanceParameters(repository);
    expect(owner).toBe("default@default");
    expect(full.interval).toBe(12 * 3_600e9);
    expect(quick.interval).toBe(3_600e9);
    expect(await isVeleroRepository(repository)).toBe(true);
    expect(await repository.findManifests({ type: "policy" })).toEqual([]);
  });

  it("row 64, row 65: takes other algorithms for a new one, and not for one that is there", async () => {
    const store = memoryStore();
    const format = {
      hash: "BLAKE3-256",
      encryption: "CHACHA20-POLY1305-HMAC-SHA256",
      splitter: "DYNAMIC-8M-RABINKARP",
    };
    const made = await connectOrCreateVeleroRepository(store, { ...options, format });
    expect(made.format).toMatchObject({ ...format, version: 3 });
    const before = await idsOf(store);
    const again = await connectOrCreateVeleroRepository(store, options);
    expect(again.format).toMatchObject(format);
    expect(await idsOf(store)).toEqual(before);
  });

  it("row 66: refuses an unknown algorithm with the names of the known ones", async () => {
    const store = memoryStore();
    await expect(
      connectOrCreateVeleroRepository(store, { ...options, format: { hash: "NOPE" } }),
    ).rejects.toThrow(/NOPE.*BLAKE2B-256-128/);
    expect(await idsOf(store)).toEqual([]);
  });

  it("row 67: a wrong password makes nothing", async () => {
    const store = memoryStore();
    const real = { ...options, deriveKey: memoisedDeriveKey };
    await connectOrCreateVeleroRepository(store, real);
    const before = await idsOf(store);
    await expect(
      connectOrCreateVeleroRepository(store, { ...real, password: "wrong" }),
    ).rejects.toMatchObject({ code: "DM_PASSWORD_INVALID" });
    expect(await idsOf(store)).toEqual(before);
    // The secret may end with a line feed.
    await openVeleroRepository(store, { ...real, password: `${veleroDefaultPassword}\n` });
  });

  it("row 68: leaves foreign blobs alone", async () => {
    const store = memoryStore({ blobs: new Map([["pabc", utf8Encode("x")]]) });
    await expect(connectOrCreateVeleroRepository(store, options)).rejects.toMatchObject({
      code: "DM_STORE_NOT_EMPTY",
    });
    expect(await idsOf(store)).toEqual(["pabc"]);
  });

  it("row 77: adopts a repository without the mark", async () => {
    const store = memoryStore();
    await createRepositoryFormat(store, options);
    const repository = await connectOrCreateVeleroRepository(store, options);
    expect(await isVeleroRepository(repository)).toBe(true);
    await store.delete(veleroRepositoryBlobId);
    expect(await isVeleroRepository(await connectOrCreateVeleroRepository(store, options))).toBe(
      true,
    );
  });

  it("writes nothing where it may only read", async () => {
    const store = memoryStore();
    await createRepositoryFormat(store, options);
    const before = await idsOf(store);
    await connectOrCreateVeleroRepository(store, { ...options, readOnly: true });
    expect(await idsOf(store)).toEqual(before);
  });

  it("row 78: of two creators at once one makes it, the other connects", async () => {
    const shared = memoryStore();
    const opened = await Promise.all(
      [1, 2, 3, 4].map(() => connectOrCreateVeleroRepository(paced(shared), options)),
    );
    const ids = new Set(opened.map(({ uniqueId }) => Buffer.from(uniqueId).toString("hex")));
    expect(ids.size).toBe(1);
    const blobs = await idsOf(shared);
    expect(blobs.filter((id) => id === formatBlobId).length).toBe(1);
    expect(await isVeleroRepository(opened[0]!)).toBe(true);
  });

  describe("what a creator that was cut off has left", () => {
    const leftover = async (): Promise<{
      store: MemoryStore;
      clock: ReturnType<typeof manualClock>;
    }> => {
      const clock = manualClock(1_800_000_000_000_000_000n);
      const store = memoryStore({ clock });
      await createRepositoryFormat(store, { ...options, clock });
      await store.delete(formatBlobId);
      return { store, clock };
    };

    it("is left alone while it may be at work", async () => {
      const { clock, store } = await leftover();
      await expect(
        connectOrCreateVeleroRepository(store, { ...options, clock }),
      ).rejects.toMatchObject({ code: "DM_VELERO_REPOSITORY_UNFINISHED" });
      expect(await idsOf(store)).toEqual([blobConfigId]);
    });

    it("is replaced after some minutes", async () => {
      const { clock, store } = await leftover();
      clock.advance(6 * 60_000);
      const repository = await connectOrCreateVeleroRepository(store, { ...options, clock });
      expect(await isVeleroRepository(repository)).toBe(true);
    });

    it("is never replaced when there is anything else", async () => {
      const { clock, store } = await leftover();
      await store.put("pabc", utf8Encode("x"));
      clock.advance(60 * 60_000);
      await expect(connectOrCreateVeleroRepository(store, { ...options, clock })).rejects.toThrow();
      expect(await idsOf(store)).toEqual([blobConfigId, "pabc"]);
    });
  });
});

/** Each call takes a turn, so that several clients meet. */
function paced(store: BlobStore): BlobStore {
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  return {
    ...forward(store),
    async get(id, call) {
      await turn();
      return store.get(id, call);
    },
    async put(id, data, call) {
      await turn();
      return store.put(id, data, call);
    },
    async stat(id, call) {
      await turn();
      return store.stat(id, call);
    },
  };
}
