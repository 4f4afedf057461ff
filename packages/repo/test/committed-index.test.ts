// The index in memory keeps up with the store: loads are shared, survive an abort, and never lose what was just written.
import { forward } from "@dm/storage";
import { describe, expect, it } from "vitest";
import { memoryCache, runMaintenance, verifyRepository } from "../src/index.ts";
import { bytesOf, newRepository } from "./new-repository.ts";

/** A repository whose next listing of `x` blobs waits, once, after it was taken. */
async function slowListing() {
  const test = await newRepository();
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  let isSlow = false;
  const client = await test.open({
    store: {
      ...forward(test.store),
      async *list(prefix, options) {
        const blobs = [];
        for await (const blob of test.store.list(prefix, options)) blobs.push(blob);
        if (isSlow && prefix === "x") {
          isSlow = false;
          reached.resolve();
          await gate.promise;
        }
        yield* blobs;
      },
    },
  });
  const slowDown = (): Promise<void> => {
    isSlow = true;
    return reached.promise;
  };
  return { ...test, client, slowDown, goOn: () => gate.resolve() };
}

describe("loading", () => {
  it("keeps what this client has stored while the list was on its way", async () => {
    const { client, goOn, slowDown } = await slowListing();
    await using session = await client.openWriteSession();
    const reached = slowDown();
    const refreshed = client.refresh();
    await reached;
    const id = await session.writeContent(bytesOf(100));
    await session.flush();
    goOn();
    await refreshed;
    const listed = [];
    for await (const { contentId } of client.listContents({ prefix: "" })) listed.push(contentId);
    expect(listed).toEqual([id]);
  });

  it("goes on for others when the one who began it gives up", async () => {
    const { client, goOn, slowDown } = await slowListing();
    const reached = slowDown();
    const abort = new AbortController();
    const first = client.findManifests({}, { signal: abort.signal });
    const second = client.findManifests({});
    await reached;
    abort.abort(new Error("stop"));
    await expect(first).rejects.toThrow("stop");
    goOn();
    expect((await second).length).toBe(1);
  });

  it("answers a refresh from a list that was taken after the call", async () => {
    const { client, goOn, repository, slowDown } = await slowListing();
    const reached = slowDown();
    const first = client.findManifests({});
    await reached;
    await using session = await repository.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    await session.commit();
    const refreshed = client.refresh();
    goOn();
    await first;
    await refreshed;
    expect((await client.contentInfo(id))?.contentId).toBe(id);
  });

  it("is due every fifteen minutes", async () => {
    const { clock, open, repository } = await newRepository();
    const client = await open();
    await client.refresh();
    await using session = await repository.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    await session.commit();
    clock.advance(14 * 60_000);
    expect(await client.contentInfo(id)).toBeUndefined();
    // The epochs are listed anew after 20 minutes, which bounds how old the list may be.
    clock.advance(6 * 60_000);
    expect(await client.contentInfo(id)).toBeDefined();
  });

  it("is due when the clock was set back", async () => {
    const { clock, open, repository } = await newRepository();
    const client = await open();
    await client.refresh();
    await using session = await repository.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    await session.commit();
    clock.advance(-3_600_000);
    expect(await client.contentInfo(id)).toBeDefined();
  });
});

describe("reading", () => {
  it("finds a content that maintenance has moved into another pack", async () => {
    const { open, repository } = await newRepository();
    const ids = [];
    for (const seed of [1, 2]) {
      await using session = await repository.openWriteSession();
      ids.push(await session.writeContent(bytesOf(1000, seed)));
      await session.commit();
    }
    const client = await open();
    await client.refresh();
    await runMaintenance(repository, { mode: "full", safety: "none" });
    expect(await client.readContent(ids[0]!)).toEqual(bytesOf(1000, 1));
    expect((await verifyRepository(client)).findings).toEqual([]);
  });

  it("does not keep what was damaged on its way, and does not trust what the cache has damaged", async () => {
    const { open, repository, store } = await newRepository();
    await using session = await repository.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    await session.commit();
    const caches = {
      data: memoryCache({ maxBytes: 1 << 20 }),
      indexes: memoryCache({ maxBytes: 1 << 20 }),
    };
    let damages = 1;
    const flaky = {
      ...forward(store),
      async get(blobId: string, options?: object) {
        const bytes = await store.get(blobId, options);
        if (blobId.startsWith("p") && damages-- > 0) bytes[20]! ^= 1;
        return bytes;
      },
    };
    const client = await open({ store: flaky, caches });
    await expect(client.readContent(id)).rejects.toMatchObject({ code: "DM_CONTENT_ALTERED" });
    expect(await client.readContent(id)).toEqual(bytesOf(100));
    // From here on the caches' own bytes are damaged.
    for (const cache of [caches.data, caches.indexes]) {
      const { get } = cache;
      cache.get = async (key, options) => {
        const bytes = (await get(key, options))?.slice();
        if (bytes) bytes[20]! ^= 1;
        return bytes;
      };
    }
    const again = await open({ caches });
    expect(await again.readContent(id)).toEqual(bytesOf(100));
  });
});
