// One suite holds every store to the contract of BlobStore: memory, filesystem in each layout, and stacks of wrappers.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@dm/core";
import { afterAll, describe, it } from "vitest";
import { filesystemStore } from "../src/filesystem.ts";
import {
  type BlobStore,
  checkPutOptions,
  counting,
  forward,
  logging,
  memoryStore,
  optionUnsupported,
  prefixed,
  retaining,
  retrying,
  throttled,
} from "../src/index.ts";
import { eventuallyConsistentStore, faulty, seededFaults, testBlobStore } from "../src/testing.ts";

const runner = { describe, it };
const base = await mkdtemp(join(tmpdir(), "dm-storage-contract-"));
afterAll(() => rm(base, { recursive: true, force: true }));

testBlobStore("memory", async () => memoryStore(), runner, {
  reopen: async (store) => forward(store),
});

const layouts = {
  "default shards": { dirShards: undefined, shards: undefined },
  flat: { dirShards: [], shards: undefined },
  "shards of a client that knows only 3,3": { dirShards: [3, 3], shards: undefined },
  overrides: {
    dirShards: undefined,
    shards: {
      default: [2, 2, 2],
      maxNonShardedLength: 5,
      overrides: [
        { prefix: "p", shards: [1, 1, 1, 1] },
        { prefix: "kopia", shards: [] },
      ],
    },
  },
};

describe.each(Object.entries(layouts))("filesystem, %s", (_name, { dirShards, shards }) => {
  const paths = new WeakMap<BlobStore, string>();
  testBlobStore(
    "filesystem",
    async () => {
      const path = await mkdtemp(join(base, "store-"));
      if (shards) await writeFile(join(path, ".shards"), JSON.stringify(shards));
      const store = filesystemStore({ path, create: true, dirShards });
      paths.set(store, path);
      return store;
    },
    runner,
    {
      // The other client says nothing of shards: it finds them in the root.
      reopen: async (store) => filesystemStore({ path: paths.get(store)! }),
      manyBlobs: 300,
    },
  );
});

const stacks: Record<string, () => BlobStore> = {
  forward: () => forward(memoryStore()),
  prefixed: () =>
    prefixed(memoryStore({ blobs: new Map([["other", new Uint8Array(3)]]) }), "part-"),
  "prefixed twice": () => prefixed(prefixed(memoryStore(), "outer."), "inner-"),
  counting: () => counting(memoryStore()),
  logging: () => logging(memoryStore(), silentLogger),
  retaining: () => retaining(memoryStore(), () => ({ mode: "COMPLIANCE", periodMs: 1000 })),
  throttled: () =>
    throttled(memoryStore(), {
      readsPerSecond: 1e6,
      writesPerSecond: 1e6,
      listsPerSecond: 1e6,
      maxUploadSpeedBytesPerSecond: 1e9,
      maxDownloadSpeedBytesPerSecond: 1e9,
      concurrentReads: 3,
      concurrentWrites: 2,
    }),
  retrying: () => retrying(memoryStore()),
  "retrying over a store whose every fifth call fails before it is done": () =>
    retrying(
      faulty(memoryStore(), {
        rule: seededFaults({ seed: 5, probability: 0.2, faults: [{ fail: "before" }] }),
      }),
      { attempts: 20, firstDelayMs: 0 },
    ),
  "all of them": () =>
    retrying(
      logging(
        counting(
          throttled(
            prefixed(
              faulty(memoryStore(), {
                rule: seededFaults({ seed: 6, probability: 0.1, faults: [{ fail: "before" }] }),
              }),
              "repo-",
            ),
            { writesPerSecond: 1e6, concurrentReads: 5 },
          ),
        ),
        silentLogger,
      ),
      { attempts: 20, firstDelayMs: 0 },
    ),
  "eventually consistent, settled after each change": () => {
    const store = eventuallyConsistentStore({ seed: 3, maxLagMs: Infinity });
    return {
      ...forward(store),
      put: async (id, data, options) => {
        await store.put(id, data, options);
        store.settle();
      },
      delete: async (id, options) => {
        await store.delete(id, options);
        store.settle();
      },
    };
  },
  "a store that has nothing beyond the basics": () => {
    const store = memoryStore();
    const features = { ifAbsent: false, retention: false, setTimestamp: false };
    return {
      ...forward(store),
      features,
      put: async (id, data, options = {}) => {
        checkPutOptions("basic", features, options);
        await store.put(id, data, options);
      },
      extendRetention: async () => {
        throw optionUnsupported("basic", "retention");
      },
    };
  },
};

for (const [name, open] of Object.entries(stacks)) {
  testBlobStore(name, async () => open(), runner);
}
