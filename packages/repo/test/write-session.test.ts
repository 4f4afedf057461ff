// A write session stores each content once, acknowledges at flush and not before, and writes nothing when nothing changed.
import { IntegrityError } from "@dm/core";
import { type BlobStore, forward } from "@dm/storage";
import { describe, expect, it } from "vitest";
import { type EpochManager, parseContentId, verifyRepository } from "../src/index.ts";
import { bytesOf, kinds, newRepository } from "./new-repository.ts";

/** The same store; `before` is called ahead of every put with what has been asked for so far. */
function watched(store: BlobStore, before: (id: string) => Promise<void> | void): BlobStore {
  return {
    ...forward(store),
    async put(id, data, options) {
      await before(id);
      return store.put(id, data, options);
    },
  };
}

describe.each([1, 2, 3] as const)("format version %i", (version) => {
  it("stores packs before indexes, and other clients see the contents after the flush only", async () => {
    const { open, store } = await newRepository({ version });
    const puts: string[] = [];
    const writer = await open({ store: watched(store, (id) => void puts.push(id)) });
    await using session = await writer.openWriteSession();
    const id = await session.writeContent(bytesOf(1000));
    const prefixed = await session.writeContent(bytesOf(1000), { prefix: "k" });
    expect(prefixed).toBe(`k${id}`);
    expect(puts).toEqual([]);
    expect(await session.readContent(id)).toEqual(bytesOf(1000));
    await session.flush();
    const kindsPut = puts.map((blobId) => /^(xn|[a-z])/.exec(blobId)?.[1]);
    expect(kindsPut[0]).toBe("s");
    expect(kindsPut.slice(1, 3).sort()).toEqual(["p", "q"]);
    expect(kindsPut.slice(3)).toEqual([version === 1 ? "n" : "xn"]);
    expect(kinds(store)["s"]).toBeUndefined();
    const reader = await open();
    expect(await reader.readContent(id)).toEqual(bytesOf(1000));
    expect((await verifyRepository(reader)).findings).toEqual([]);
  });
});

describe("deduplication", () => {
  it("stores equal contents once, within a session and across", async () => {
    const { open, repository, store } = await newRepository();
    for (let round = 0; round < 2; round += 1) {
      await using session = await repository.openWriteSession();
      const id = await session.writeContent(bytesOf(500, 7));
      expect(await session.writeContent(bytesOf(500, 7))).toBe(id);
      expect(session.progress.contentsWritten).toBe(round === 0 ? 1 : 0);
      await session.commit();
    }
    expect(kinds(store)["p"]).toBe(1);
    const other = await open();
    await using session = await other.openWriteSession();
    await session.writeContent(bytesOf(500, 7));
    expect(session.progress.contentsWritten).toBe(0);
  });

  it("writes nothing when nothing changed", async () => {
    const { repository, store } = await newRepository();
    const before = [...store.blobs.keys()];
    await using session = await repository.openWriteSession();
    await session.flush();
    await session.commit();
    expect([...store.blobs.keys()]).toEqual(before);
  });

  it("keeps index blobs few: one for each flush, however many packs", async () => {
    const { repository, store } = await newRepository({ maxPackSizeBytes: 10 << 20 });
    const before = kinds(store)["xn"] ?? 0;
    await using session = await repository.openWriteSession();
    for (let seed = 1; seed <= 12; seed += 1) await session.writeContent(bytesOf(3 << 20, seed));
    await session.commit();
    expect(kinds(store)["p"]).toBe(3);
    expect((kinds(store)["xn"] ?? 0) - before).toBe(1);
  });
});

describe("deletion", () => {
  it("marks a content as deleted without a new pack, and writes it again when it comes back", async () => {
    const { clock, open, repository, store } = await newRepository();
    await using session = await repository.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    await session.flush();
    const packs = kinds(store)["p"];
    clock.advance(5000);
    await session.deleteContent(id);
    await session.flush();
    expect(kinds(store)["p"]).toBe(packs);
    const other = await open();
    expect((await other.contentInfo(id))?.deleted).toBe(true);
    // Readers that still hold the id may finish.
    expect(await other.readContent(id)).toEqual(bytesOf(100));
    await session.undeleteContent(id);
    await session.flush();
    await other.refresh();
    expect((await other.contentInfo(id))?.deleted).toBe(false);
    await session.deleteContent(id);
    await session.writeContent(bytesOf(100));
    await session.flush();
    await other.refresh();
    expect((await other.contentInfo(id))?.deleted).toBe(false);
  });

  it("outdoes the existing entry even when the clock stands still or went back", async () => {
    const { clock, open, repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    await session.flush();
    clock.advance(-3_600_000);
    await session.deleteContent(id);
    await session.commit();
    expect((await (await open()).contentInfo(id))?.deleted).toBe(true);
  });

  it("rewrites a content into a new pack under the same id", async () => {
    const { clock, open, repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    await session.flush();
    const before = await repository.contentInfo(id);
    clock.advance(1000);
    expect(await session.rewriteContent(id)).toBe(true);
    expect(await session.rewriteContent(parseContentId("00".repeat(16)))).toBe(false);
    await session.commit();
    const other = await open();
    expect((await other.contentInfo(id))?.packBlobId).not.toBe(before?.packBlobId);
    expect(await other.readContent(id)).toEqual(bytesOf(100));
  });
});

describe("compression", () => {
  const text = new TextEncoder().encode("abcdefgh".repeat(1000));

  it("stores compressed what gets smaller, plain what does not", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const small = await session.writeContent(text, { compressor: "zstd-fastest" });
    const random = await session.writeContent(bytesOf(1000), { compressor: "zstd-fastest" });
    await session.commit();
    expect(await repository.contentInfo(small)).toMatchObject({
      originalLength: text.length,
      compressionHeaderId: 0x1101,
    });
    expect(await repository.contentInfo(random)).toMatchObject({ compressionHeaderId: 0 });
    expect(await repository.readContent(small)).toEqual(text);
  });

  it("compresses objects, not contents, where index version 1 cannot say so", async () => {
    const { repository } = await newRepository({ version: 1 });
    await using session = await repository.openWriteSession();
    const content = await session.writeContent(text, { compressor: "zstd-fastest" });
    const object = await session.writeObject(text, { compressor: "zstd-fastest" });
    await session.commit();
    expect(object).toMatch(/^Z/);
    expect(await repository.contentInfo(content)).toMatchObject({ compressionHeaderId: 0 });
    expect(await (await repository.openObject(object)).read()).toEqual(text);
  });
});

describe("failures", () => {
  const broken = new Error("the store is gone");

  /** A repository whose store refuses the next puts of blobs with these prefixes; every put that it saw. */
  async function refusing(prefixes: string[], format = {}) {
    const test = await newRepository(format);
    const puts: { id: string; data: Uint8Array }[] = [];
    const writer = await test.open({
      store: {
        ...forward(test.store),
        async put(id, data, options) {
          puts.push({ id, data: data.slice() });
          const refused = prefixes.findIndex((prefix) => id.startsWith(prefix));
          if (refused >= 0) {
            prefixes.splice(refused, 1);
            throw broken;
          }
          return test.store.put(id, data, options);
        },
      },
    });
    return { ...test, puts, writer };
  }

  it.each(["s", "p", "q", "xn"])(
    "a put of %s that fails is acknowledged by no flush; the next one stores it",
    async (kind) => {
      const { open, puts, writer } = await refusing([kind]);
      await using session = await writer.openWriteSession();
      const id = await session.writeContent(bytesOf(100));
      const prefixed = await session.writeContent(bytesOf(100), { prefix: "k" });
      await expect(session.flush()).rejects.toBe(broken);
      expect(await (await open()).contentInfo(id)).toBeUndefined();
      // Still readable for the session, still deduplicated.
      expect(await session.readContent(id)).toEqual(bytesOf(100));
      await session.writeContent(bytesOf(100));
      expect(session.progress.contentsWritten).toBe(2);
      await session.flush();
      const reader = await open();
      expect(await reader.readContent(id)).toEqual(bytesOf(100));
      expect(await reader.readContent(prefixed)).toEqual(bytesOf(100));
      expect((await verifyRepository(reader)).findings).toEqual([]);
      // A repeated pack has the name and the bytes that it had.
      const packs = puts.filter((put) => /^[pq]/.test(put.id));
      const byId = new Map(packs.map((put) => [put.id, put.data]));
      expect(byId.size).toBe(2);
      for (const put of packs) expect(put.data).toEqual(byId.get(put.id));
    },
  );

  it("a full pack that the store refused is offered again before anything is added", async () => {
    const { open, puts, writer } = await refusing(["p", "p"], { maxPackSizeBytes: 10 << 20 });
    await using session = await writer.openWriteSession();
    const large = await session.writeContent(bytesOf(11 << 20));
    await expect.poll(() => puts.length).toBe(2);
    await expect(session.writeContent(bytesOf(1))).rejects.toBe(broken);
    const small = await session.writeContent(bytesOf(1));
    await session.commit();
    const reader = await open();
    expect((await reader.readContent(large)).length).toBe(11 << 20);
    expect(await reader.readContent(small)).toEqual(bytesOf(1));
  });

  it("after a failed flush nothing is added until one succeeds", async () => {
    const { open, writer } = await refusing(["xn", "xn", "xn"]);
    await using session = await writer.openWriteSession();
    const first = await session.writeContent(bytesOf(10, 1));
    await expect(session.flush()).rejects.toBe(broken);
    // Those who come at the same time share one attempt.
    const writes = [2, 3, 4].map((seed) => session.writeContent(bytesOf(10, seed)));
    for (const write of writes) await expect(write).rejects.toBe(broken);
    await expect(session.writeContent(bytesOf(10, 2))).rejects.toBe(broken);
    expect(session.progress.contentsWritten).toBe(1);
    const second = await session.writeContent(bytesOf(10, 2));
    expect(await (await open()).readContent(first)).toEqual(bytesOf(10, 1));
    await session.commit();
    expect(await (await open()).readContent(second)).toEqual(bytesOf(10, 2));
  });

  it("manifests of a failed flush are in the next", async () => {
    const { open, writer } = await refusing(["xn"]);
    await using session = await writer.openWriteSession();
    const id = session.putManifest({ type: "t" }, { n: 1 });
    await expect(session.flush()).rejects.toBe(broken);
    expect((await session.findManifests({ type: "t" })).map((entry) => entry.id)).toEqual([id]);
    await session.commit();
    expect((await (await open()).readManifest(id)).data).toBe(`{"n":1}`);
  });

  it("what an earlier flush acknowledged stays", async () => {
    const { open, store } = await newRepository();
    let failing = false;
    const writer = await open({
      store: watched(store, () => {
        if (failing) throw broken;
      }),
    });
    await using session = await writer.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    await session.flush();
    failing = true;
    await session.writeContent(bytesOf(200));
    await expect(session.flush()).rejects.toBe(broken);
    expect(await (await open()).readContent(id)).toEqual(bytesOf(100));
  });

  it("what was not flushed is dropped with the session", async () => {
    const { open, repository } = await newRepository();
    const id = await (async () => {
      await using session = await repository.openWriteSession();
      return session.writeContent(bytesOf(100));
    })();
    expect(await (await open()).contentInfo(id)).toBeUndefined();
    await using next = await repository.openWriteSession();
    await next.writeContent(bytesOf(100));
    expect(next.progress.contentsWritten).toBe(1);
  });

  it("a session without the right to delete leaves its marker behind", async () => {
    const { open, store } = await newRepository();
    const { AccessError } = await import("@dm/core");
    const writer = await open({
      store: {
        ...forward(store),
        delete: async () => {
          throw new AccessError("DM_ACCESS_DENIED", "no right to delete");
        },
      },
    });
    await using session = await writer.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    await session.commit();
    expect(kinds(store)["s"]).toBe(1);
    expect(await (await open()).readContent(id)).toEqual(bytesOf(100));
  });

  it("verifies before upload that what is stored is what was hashed", async () => {
    const { repository, store } = await newRepository({ hash: "BLAKE2B-256-128" });
    await using session = await repository.openWriteSession({ verifyBeforeUpload: true });
    const id = await session.writeContent(bytesOf(100));
    await session.commit();
    expect(await repository.readContent(id)).toEqual(bytesOf(100));
    const packs = kinds(store)["p"];
    // A hash that lies once stands for memory that changed between hashing and encrypting.
    const { digest } = repository.crypter.hash;
    await using second = await repository.openWriteSession({ verifyBeforeUpload: true });
    repository.crypter.hash.digest = (data) => digest.call(repository.crypter.hash, data).fill(9);
    await second.writeContent(bytesOf(300));
    repository.crypter.hash.digest = digest;
    await expect(second.flush()).rejects.toBeInstanceOf(IntegrityError);
    expect(kinds(store)["p"]).toBe(packs);
  });

  it("a content is refused that no index could describe once it is encrypted", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    repository.crypter.storedLength = () => 2 ** 28;
    await expect(session.writeContent(bytesOf(10))).rejects.toThrow(RangeError);
    await session.commit();
    expect(session.progress.contentsWritten).toBe(0);
  });

  it("an abort ends the waiting of a flush; the next flush acknowledges", async () => {
    const { open, store } = await newRepository();
    const { promise: later, resolve } = Promise.withResolvers<void>();
    const writer = await open({
      store: watched(store, (id) => (id.startsWith("p") ? later : undefined)),
    });
    await using session = await writer.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    const abort = new AbortController();
    const flush = session.flush({ signal: abort.signal });
    abort.abort(new Error("stop"));
    await expect(flush).rejects.toThrow("stop");
    resolve();
    await session.flush();
    expect(await (await open()).readContent(id)).toEqual(bytesOf(100));
  });

  it("a session that ends does not wait for a store that hangs", async () => {
    const { open, store } = await newRepository();
    const writer = await open({
      store: {
        ...forward(store),
        put: (id, data, options) =>
          id.startsWith("p")
            ? new Promise((_, reject) => {
                options?.signal?.addEventListener("abort", () => reject(options.signal?.reason));
              })
            : store.put(id, data, options),
      },
    });
    const abort = new AbortController();
    const ended = (async () => {
      await using session = await writer.openWriteSession();
      await session.writeContent(bytesOf(100));
      await session.flush({ signal: abort.signal });
    })();
    abort.abort(new Error("stop"));
    await expect(ended).rejects.toThrow("stop");
  });

  it("an aborted signal stops a write", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const signal = AbortSignal.abort(new Error("stop"));
    await expect(session.writeContent(bytesOf(10), { signal })).rejects.toThrow("stop");
  });

  it("a read-only repository has no sessions", async () => {
    const { open } = await newRepository();
    const reader = await open({ readOnly: true });
    await expect(reader.openWriteSession()).rejects.toMatchObject({
      code: "DM_REPOSITORY_READ_ONLY",
    });
  });
});

describe("time", () => {
  it("flushes what is older than ten minutes, also when no pack gets full", async () => {
    const { clock, open, repository, store } = await newRepository();
    await using session = await repository.openWriteSession();
    // A session that sleeps before it begins has nothing to flush.
    clock.advance(3_600_000);
    const first = await session.writeContent(bytesOf(10, 1));
    clock.advance(599_000);
    await session.writeContent(bytesOf(10, 2));
    expect(kinds(store)["p"]).toBeUndefined();
    clock.advance(1000);
    await session.writeContent(bytesOf(10, 3));
    expect(kinds(store)["p"]).toBe(1);
    expect(await (await open()).readContent(first)).toEqual(bytesOf(10, 1));
  });

  it("flushes when many entries wait, so that a long session does not fill the memory", async () => {
    const { repository, store } = await newRepository();
    const before = kinds(store)["xn"]!;
    await using session = await repository.openWriteSession({ maxUnflushedEntries: 10 });
    for (let seed = 1; seed <= 25; seed += 1) await session.writeContent(bytesOf(20, seed));
    expect(kinds(store)["xn"]! - before).toBe(2);
    await session.commit();
    expect(kinds(store)["xn"]! - before).toBe(3);
  });

  it("outdoes a deletion that the watermark hides, even when the clock went back", async () => {
    const { clock, open, repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    await session.flush();
    await session.deleteContent(id);
    await session.flush();
    const seconds = Number(clock.nowNs() / 1_000_000_000n) + 3600;
    await (repository.indexManager as EpochManager).setDeletionWatermark(seconds);
    const other = await open();
    expect(await other.contentInfo(id)).toBeUndefined();
    clock.advance(-24 * 3_600_000);
    await using writer = await other.openWriteSession();
    await writer.writeContent(bytesOf(100));
    await writer.commit();
    expect(await (await open()).contentInfo(id)).toMatchObject({ deleted: false });
  });
});

describe("changes at once", () => {
  it("many writers of few contents store each once", async () => {
    const { open, repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const ids = await Promise.all(
      Array.from({ length: 100 }, (_, i) => session.writeContent(bytesOf(50, (i % 10) + 1))),
    );
    expect(session.progress.contentsWritten).toBe(10);
    await session.commit();
    const reader = await open();
    for (const [i, id] of ids.entries())
      expect(await reader.readContent(id)).toEqual(bytesOf(50, (i % 10) + 1));
  });

  it("many writers stop when the store is slower than they are", async () => {
    const { open, store } = await newRepository({ maxPackSizeBytes: 10 << 20 });
    const gate = Promise.withResolvers<void>();
    const writer = await open({
      store: watched(store, (id) => (id.startsWith("p") ? gate.promise : undefined)),
    });
    await using session = await writer.openWriteSession({ parallelUploads: 1 });
    const bytes = bytesOf(1 << 20);
    const writers = Array.from({ length: 20 }, async (_, number) => {
      for (let i = 0; i < 5; i += 1) {
        const data = bytes.slice();
        data[0] = number;
        data[1] = i;
        await session.writeContent(data);
      }
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    // A pack under way, one that waits, one that is filled, and one content from each who had begun.
    expect(session.progress.contentsWritten).toBeLessThanOrEqual(50);
    gate.resolve();
    await Promise.all(writers);
    await session.commit();
    expect(session.progress.contentsWritten).toBe(100);
  });

  it("a deleted content that is rewritten and written again at once is alive", async () => {
    const { open, store } = await newRepository();
    const { promise: later, resolve } = Promise.withResolvers<void>();
    let slow = false;
    const writer = await open({
      store: {
        ...forward(store),
        async get(id, options) {
          if (slow && id.startsWith("p")) await later;
          return store.get(id, options);
        },
      },
    });
    await using session = await writer.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    await session.flush();
    await session.deleteContent(id);
    await session.flush();
    slow = true;
    const rewritten = session.rewriteContent(id);
    await session.writeContent(bytesOf(100));
    resolve();
    await rewritten;
    await session.commit();
    expect(await (await open()).contentInfo(id)).toMatchObject({ deleted: false });
  });

  it("taking a deletion back stores the data anew: the old pack may be about to go", async () => {
    const { open, repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    await session.flush();
    const before = await repository.contentInfo(id);
    await session.deleteContent(id);
    await session.flush();
    await session.undeleteContent(id);
    await session.commit();
    const after = await (await open()).contentInfo(id);
    expect(after?.deleted).toBe(false);
    expect(after?.packBlobId).not.toBe(before?.packBlobId);
  });
});

describe("two flushes at once", () => {
  it("are both acknowledged, and contents written between them too", async () => {
    const { open, repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const first = await session.writeContent(bytesOf(10, 1));
    const flushes = [session.flush()];
    const second = await session.writeContent(bytesOf(10, 2));
    expect(await session.readContent(first)).toEqual(bytesOf(10, 1));
    flushes.push(session.flush());
    await Promise.all(flushes);
    const reader = await open();
    expect(await reader.readContent(first)).toEqual(bytesOf(10, 1));
    expect(await reader.readContent(second)).toEqual(bytesOf(10, 2));
  });

  it("two clients write the same content at once: both acknowledged, one wins, nothing is lost", async () => {
    const { open } = await newRepository();
    const [a, b] = [await open(), await open()];
    await using sessionA = await a.openWriteSession();
    await using sessionB = await b.openWriteSession();
    const id = await sessionA.writeContent(bytesOf(10));
    expect(await sessionB.writeContent(bytesOf(10))).toBe(id);
    await Promise.all([sessionA.commit(), sessionB.commit()]);
    const reader = await open();
    expect(await reader.readContent(id)).toEqual(bytesOf(10));
    expect((await verifyRepository(reader)).findings).toEqual([]);
  });
});
