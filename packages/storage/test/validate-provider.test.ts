// Validation of a provider: stores that keep the contract pass, a store with one deliberate fault is found out by the check that
// looks for it, and nothing stays behind.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AccessError, manualClock, StorageError } from "@dm/core";
import { afterAll, describe, expect, it } from "vitest";
import { filesystemStore } from "../src/filesystem.ts";
import {
  type BlobStore,
  forward,
  type MemoryStore,
  memoryStore,
  readOnly,
  type ValidateProviderOptions,
  validateProvider,
} from "../src/index.ts";
import { s3Store, staticCredentials } from "../src/s3.ts";
import { type S3Server, startS3Server } from "../src/testing/s3.ts";
import { eventuallyConsistentStore, faulty } from "../src/testing.ts";

/** Long enough for every kind of worker to meet the others. */
const quick = {
  concurrencyTestMs: 300,
  maxBlobBytes: 100_000,
  pagedBlobs: 1001,
} as const satisfies ValidateProviderOptions;

const nsPerMs = 1_000_000n;

async function blobsOf(store: BlobStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of store.list("")) ids.push(id);
  return ids;
}

const allChecks = [
  ...["capacity", "missing", "write", "conditional-put", "ranges", "overwrite", "list"],
  ...["metadata", "delete", "clock", "pages", "concurrency"],
];

describe("passes", () => {
  let folder = "";
  let server: S3Server | undefined;
  afterAll(async () => {
    await server?.close();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const s3 = async (conditionalPuts: boolean): Promise<BlobStore> => {
    server ??= await startS3Server({ buckets: ["bucket"] });
    const { endpoint } = server;
    const credentials = staticCredentials(server.accessKey);
    return s3Store({ endpoint, tls: false, bucket: "bucket", credentials, conditionalPuts });
  };
  const stores: Record<string, () => Promise<BlobStore>> = {
    filesystem: async () => {
      folder ||= await mkdtemp(join(tmpdir(), "dm-validate-"));
      return filesystemStore({ path: folder });
    },
    "S3, with conditions": () => s3(true),
    "S3, without": () => s3(false),
  };

  it.each(Object.entries(stores))("%s, through three connections", async (_name, connect) => {
    const store = await connect();
    await store.put("kopia.repository", new Uint8Array(10));
    const titles: string[] = [];
    const report = await validateProvider(store, {
      ...quick,
      connect,
      connections: 3,
      onCheck: (title) => titles.push(title),
    });
    expect(report).toEqual({ findings: [], passed: allChecks, skipped: [] });
    expect(titles.length).toBe(allChecks.length + 1);
    expect(await blobsOf(store)).toEqual(["kopia.repository"]);
    await store.delete("kopia.repository");
    await store.close();
  });

  it("memory, in virtual time", async () => {
    const clock = manualClock(1_790_000_000_000_000_000n);
    const store = memoryStore({ clock });
    const { findings } = await validateProvider(store, {
      clock,
      concurrencyTestMs: 20_000,
      maxBlobBytes: 10_000,
    });
    expect(findings).toEqual([]);
    expect(store.blobs.size).toBe(0);
  });
});

type Breaking = (good: MemoryStore) => Partial<BlobStore>;

/** One fault each: the check that must find it, what it must say, and how the store breaks the contract. */
const faults: Record<string, readonly [string, RegExp, Breaking]> = {
  "more free than there is": [
    "capacity",
    /200 bytes are free of 100/,
    () => ({ capacity: async () => ({ capacityBytes: 100, availableBytes: 200 }) }),
  ],
  "an empty blob in place of none": [
    "missing",
    /reading it succeeds/,
    (good) => ({ get: (id, call) => good.get(id, call).catch(() => new Uint8Array()) }),
  ],
  "another error for what is missing": [
    "missing",
    /metadata does not say that the blob is missing, but: 404/,
    (good) => ({
      stat: (id, call) =>
        good.stat(id, call).catch(() => {
          throw new StorageError("DM_STORE_FAILED", "404");
        }),
    }),
  ],
  "a delete that fails where nothing is": [
    "delete",
    /deleting what is not there fails/,
    (good) => ({
      delete: async (id, call) => {
        await good.stat(id);
        await good.delete(id, call);
      },
    }),
  ],
  "a bucket that others' blobs show through": [
    "missing",
    /a prefix that nobody has used has blobs/,
    (good) => ({
      async *list(prefix, call) {
        yield { id: "kopia.repository", length: 1, timestampNs: 0n };
        yield* good.list(prefix, call);
      },
    }),
  ],
  "framing stored with the bytes": [
    "write",
    /5000002 bytes where 5000000 were stored/,
    (good) => ({
      put: (id, data, call) => good.put(id, Buffer.concat([data, Buffer.from("\r\n")]), call),
    }),
  ],
  "conditions ignored": [
    "conditional-put",
    /8 of 8 racing writers succeed/,
    (good) => ({ put: (id, data, call) => good.put(id, data, { ...call, ifAbsent: false }) }),
  ],
  "conditions ignored, and not even promised": [
    "conditional-put",
    /a store without conditions takes one: no error/,
    (good) => ({
      features: { ...good.features, ifAbsent: false },
      put: (id, data, call) => good.put(id, data, { ...call, ifAbsent: false }),
    }),
  ],
  "ranges ignored": [
    "ranges",
    /10 bytes from 0 on are 1000000 bytes where 10 were stored/,
    (good) => ({ get: (id, call) => good.get(id, { signal: call?.signal }) }),
  ],
  "ranges one byte off": [
    "ranges",
    /10 bytes from 1 on are other bytes than were stored, from byte 0 on/,
    (good) => ({
      get: (id, call) =>
        good.get(id, call?.offset === 1 && call.length === 10 ? { offset: 2, length: 10 } : call),
    }),
  ],
  "short answers to ranges beyond the end": [
    "ranges",
    /a range beyond the end is not refused/,
    (good) => ({
      get: async (id, call) =>
        good.get(id, call).catch(async (error: { code?: string }) => {
          if (error.code !== "DM_BLOB_RANGE_INVALID") throw error;
          return (await good.get(id)).slice(call?.offset);
        }),
    }),
  ],
  "the first version kept": [
    "overwrite",
    /reading z.*-again gives 1000 bytes where 10 were stored/,
    (good) => ({
      put: async (id, data, call) => {
        if (id.endsWith("-again") && good.blobs.has(id)) return;
        await good.put(id, data, call);
      },
    }),
  ],
  "lists without the newest blob": [
    "list",
    /not in the list, right after it was written/,
    (good) => ({
      async *list(prefix, call) {
        const newest = [...good.blobs.keys()].at(-1);
        for await (const blob of good.list(prefix, call))
          if (blob.id !== newest || !/-list-/.test(blob.id)) yield blob;
      },
    }),
  ],
  "lengths of lists that are those of stored blocks": [
    "list",
    /the list says that z.* has 512 bytes, not \d+/,
    (good) => ({
      async *list(prefix, call) {
        for await (const blob of good.list(prefix, call))
          yield { ...blob, length: /-list-/.test(blob.id) ? 512 : blob.length };
      },
    }),
  ],
  "lists cut after a page": [
    "pages",
    /a list of 1001 blobs lacks 1 of them/,
    (good) => ({
      async *list(prefix, call) {
        let given = 0;
        for await (const blob of good.list(prefix, call)) if (given++ < 1000) yield blob;
      },
    }),
  ],
  "a page given twice": [
    "pages",
    /a list shows 1 blobs twice/,
    (good) => ({
      async *list(prefix, call) {
        let given = 0;
        for await (const blob of good.list(prefix, call)) {
          yield blob;
          if (++given === 1000) yield blob;
        }
      },
    }),
  ],
  "lengths that are those of a compressed form": [
    "overwrite",
    /its metadata say 500 bytes, the list 1000, not 1000/,
    (good) => ({
      stat: async (id, call) => {
        const blob = await good.stat(id, call);
        return { ...blob, length: blob.length / 2 };
      },
    }),
  ],
  "another time in the list": [
    "metadata",
    /its time is .* when asked for, 1970-01-01T00:00:00.000Z in the list/,
    (good) => ({
      async *list(prefix, call) {
        for await (const blob of good.list(prefix, call)) yield { ...blob, timestampNs: 0n };
      },
    }),
  ],
  "times that go back": [
    "metadata",
    /its time goes back/,
    (good) => {
      let offsetNs = 0n;
      const shifted = (blob: { id: string; length: number; timestampNs: bigint }) => ({
        ...blob,
        timestampNs: blob.timestampNs - offsetNs,
      });
      return {
        put: async (id, data, call) => {
          await good.put(id, data, call);
          offsetNs += 5_000n * nsPerMs;
        },
        stat: async (id, call) => shifted(await good.stat(id, call)),
        async *list(prefix, call) {
          for await (const blob of good.list(prefix, call)) yield shifted(blob);
        },
      };
    },
  ],
  "a clock that is an hour behind": [
    "clock",
    /3[56]\d\d s apart, 180 s are allowed/,
    (good) => {
      const late = <Blob extends { timestampNs: bigint }>(blob: Blob): Blob => ({
        ...blob,
        timestampNs: blob.timestampNs - 3_600_000n * nsPerMs,
      });
      return {
        stat: async (id, call) => late(await good.stat(id, call)),
        async *list(prefix, call) {
          for await (const blob of good.list(prefix, call)) yield late(blob);
        },
      };
    },
  ],
  "deleted blobs that can still be read": [
    "delete",
    /reading what was deleted succeeds/,
    (good) => {
      const kept = new Map<string, Uint8Array>();
      return {
        put: async (id, data, call) => {
          kept.set(id, data.slice());
          await good.put(id, data, call);
        },
        get: (id, call) =>
          good.get(id, call).catch((error: unknown) => {
            const bytes = kept.get(id);
            if (bytes) return bytes;
            throw error;
          }),
      };
    },
  ],
  "half-written blobs that readers see": [
    "concurrency",
    /read by another client, is \d+ bytes where \d+ were stored|metadata of z.* say \d+ bytes while|a list says that/,
    (good) => ({
      put: async (id, data, call) => {
        if (/-concurrency-/.test(id)) {
          await good.put(id, data.subarray(0, data.length >> 1));
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        await good.put(id, data, call);
      },
    }),
  ],
  "blobs that get lost under load": [
    "concurrency",
    /a blob that was written is not there|a list lacks a blob that was written/,
    (good) => ({
      put: async (id, data, call) => {
        if (!/-concurrency-/.test(id)) await good.put(id, data, call);
      },
    }),
  ],
};

describe("finds", () => {
  it.each(Object.entries(faults))("%s", async (_name, [check, text, breaking]) => {
    // In virtual time: what many clients meet does not depend on how busy the machine is.
    const clock = manualClock(1_790_000_000_000_000_000n);
    const good = memoryStore({ clock });
    const store: BlobStore = { ...forward(good), ...breaking(good) };
    const { findings } = await validateProvider(store, {
      ...quick,
      clock,
      concurrencyTestMs: check === "concurrency" ? 2_000 : 0,
      pagedBlobs: check === "pages" ? quick.pagedBlobs : 0,
    });
    const found = findings.find((finding) => finding.check === check);
    expect(found?.text).toMatch(text);
    expect(found?.consequence).not.toBe("");
    expect(good.blobs.size).toBe(0);
  });

  it("changes that are seen late", async () => {
    const store = eventuallyConsistentStore({ seed: 7, maxLagMs: Infinity });
    const { findings } = await validateProvider(store, { ...quick, pagedBlobs: 0 });
    const found = findings.map(({ check }) => check);
    // The first check that reads what was written finds it out; no other has anything to look at then.
    expect(found).toContain("write");
  });

  it("lists that are late while blobs can be read", async () => {
    const good = memoryStore();
    const late = eventuallyConsistentStore({ seed: 7, maxLagMs: Infinity });
    const store: BlobStore = {
      ...forward(good),
      put: async (id, data, call) => {
        await Promise.all([good.put(id, data, call), late.put(id, data)]);
      },
      delete: async (id, call) => {
        await Promise.all([good.delete(id, call), late.delete(id)]);
      },
      list: (prefix, call) => late.list(prefix, call),
    };
    const { findings } = await validateProvider(store, { ...quick, pagedBlobs: 0 });
    const found = findings.map(({ check }) => check);
    expect(found).toContain("list");
    expect(findings.find(({ check }) => check === "list")?.text).toContain("list");
  });

  it("each call that fails, by the check in which it did", async () => {
    for (const [part, check] of [
      ["-ranges", "ranges"],
      ["-again", "overwrite"],
      ["-metadata", "metadata"],
      ["-delete-gone", "delete"],
      ["-clock", "clock"],
    ] as const) {
      const store = faulty(memoryStore(), {
        rule: ({ id, operation }) =>
          operation === "put" && id.endsWith(part) ? { fail: "after" } : undefined,
      });
      const { findings } = await validateProvider(store, { ...quick, concurrencyTestMs: 0 });
      expect(findings.map((finding) => finding.check)).toEqual([check]);
      expect(findings[0]?.text).toContain("[DM_STORE_FAULT_INJECTED]");
    }
  });

  it("that nothing may be written, and tries no more then", async () => {
    const store: BlobStore = {
      ...forward(memoryStore()),
      put: async () => {
        throw new AccessError("DM_STORE_ACCESS_DENIED", "the server refuses to put");
      },
    };
    const { findings, passed, skipped } = await validateProvider(store, quick);
    expect(findings.map(({ check, text }) => [check, text])).toEqual([
      ["write", "it fails: the server refuses to put [DM_STORE_ACCESS_DENIED]"],
    ]);
    expect(passed).toEqual(["capacity", "missing"]);
    expect(skipped).toEqual(allChecks.slice(3));
  });

  it("that nothing may be deleted, and says what stays", async () => {
    const good = memoryStore();
    const store: BlobStore = {
      ...forward(good),
      delete: async () => {
        throw new AccessError("DM_STORE_ACCESS_DENIED", "the server refuses to delete");
      },
    };
    const { findings } = await validateProvider(store, { ...quick, pagedBlobs: 0 });
    expect(findings.map(({ check }) => check)).toEqual(["delete", "cleanup"]);
    expect(findings.at(-1)?.text).toMatch(
      /^\d+ blobs below z[0-9a-f]{32} stay: the server refuses/,
    );
    expect(findings.at(-1)?.text).toContain(`${good.blobs.size} blobs`);
  });
});

it("cleans up after an abort, and rejects with its reason", async () => {
  const store = memoryStore();
  const abort = new AbortController();
  const reason = new Error("enough");
  let sawBlobs = false;
  const onCheck = (title: string): void => {
    if (title !== "Deleting") return;
    sawBlobs = store.blobs.size > 0;
    abort.abort(reason);
  };
  const options = { ...quick, signal: abort.signal, onCheck };
  await expect(validateProvider(store, options)).rejects.toBe(reason);
  expect(sawBlobs).toBe(true);
  expect(store.blobs.size).toBe(0);
});

it("refuses a store that is read-only", async () => {
  await expect(validateProvider(readOnly(memoryStore()))).rejects.toMatchObject({
    code: "DM_STORE_READ_ONLY",
  });
});
