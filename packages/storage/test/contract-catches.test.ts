// The contract suite can fail: stores that break one promise each are run through it, and the test that is there for that
// promise must refuse them.
import { describe, expect, it } from "vitest";
import { type BlobStore, blobNotFound, forward, memoryStore } from "../src/index.ts";
import { testBlobStore } from "../src/testing.ts";

/** Runs the suite with a runner of our own, or its tests of some titles; answers the titles of those that failed. */
async function failures(open: () => BlobStore, titles = /./): Promise<string[]> {
  const tests: Array<{ readonly title: string; readonly body: () => Promise<void> }> = [];
  testBlobStore(
    "broken",
    async () => open(),
    { describe: (_name, body) => body(), it: (title, body) => tests.push({ title, body }) },
    { manyBlobs: 50, reopen: async (store) => forward(store) },
  );
  const failed: string[] = [];
  for (const { body, title } of tests.filter(({ title }) => titles.test(title)))
    await body().catch(() => failed.push(title));
  return failed;
}

type Broken = (memory: ReturnType<typeof memoryStore>) => Partial<BlobStore>;

const broken: Array<readonly [what: string, title: RegExp, make: Broken]> = [
  [
    "gives a short result",
    /never a short result/,
    (memory) => ({
      get: async (id, options = {}) => {
        const whole = await memory.get(id, { signal: options.signal });
        const { length, offset = 0 } = options;
        return whole.slice(offset, length === undefined ? undefined : offset + length);
      },
    }),
  ],
  [
    "ignores the offset",
    /exactly the range/,
    (memory) => ({
      get: (id, options) => memory.get(id, { ...options, offset: 0 }),
    }),
  ],
  [
    "finds nothing where nothing was put",
    /which blob is not there/,
    (memory) => ({
      get: async (id, options) => memory.get(id, options).catch(() => new Uint8Array(0)),
    }),
  ],
  [
    "does not check existence for a length of 0",
    /which blob is not there/,
    (memory) => ({
      get: async (id, options) =>
        options?.length === 0 ? new Uint8Array(0) : memory.get(id, options),
    }),
  ],
  [
    "uses an error of its own",
    /which blob is not there/,
    (memory) => ({
      stat: async (id, options) =>
        memory.stat(id, options).catch((error) => {
          throw error instanceof RangeError ? error : new Error("404");
        }),
    }),
  ],
  [
    "minds deleting what is not there",
    /deletes what is not there/,
    (memory) => ({
      delete: async (id, options) => {
        if (memory.blobs.has(id)) return memory.delete(id, options);
        if (options?.signal?.aborted) throw options.signal.reason;
        throw blobNotFound(id);
      },
    }),
  ],
  [
    "keeps the bytes that were put",
    /keeps no hold/,
    (memory) => ({
      put: async (id, data, options) => {
        await memory.put(id, data, options);
        memory.blobs.set(id, data);
      },
    }),
  ],
  [
    "gives out its own bytes",
    /keeps no hold/,
    (memory) => ({
      get: async (id, options) => {
        const bytes = await memory.get(id, options);
        const { length, offset = 0 } = options ?? {};
        return length === 0
          ? bytes
          : memory.blobs
              .get(id)!
              .subarray(offset, length === undefined ? undefined : offset + length);
      },
    }),
  ],
  [
    "takes the whole buffer of a view",
    /view into a larger buffer/,
    (memory) => ({
      put: (id, data, options) =>
        memory.put(id, new Uint8Array(data.buffer as ArrayBuffer), options),
    }),
  ],
  [
    "takes any id",
    /refuses what is no id/,
    (memory) => ({
      stat: async (id, options) => {
        if (id === "" || id.includes("/")) throw blobNotFound(id);
        return memory.stat(id, options);
      },
    }),
  ],
  [
    "folds dots",
    /every kind of id|begin alike/,
    (memory) => ({
      put: (id, data, options) => memory.put(id.replaceAll(".", ""), data, options),
      get: (id, options) => memory.get(id.replaceAll(".", ""), options),
    }),
  ],
  [
    "ignores the prefix",
    /lists by prefix/,
    (memory) => ({
      list: (_prefix, options) => memory.list("", options),
    }),
  ],
  [
    "lists a blob twice",
    /lists by prefix/,
    (memory) => ({
      async *list(prefix, options) {
        for await (const blob of memory.list(prefix, options)) {
          yield blob;
          if (blob.id.startsWith("xn0_")) yield blob;
        }
      },
    }),
  ],
  [
    "stops after a page",
    /lists 50 blobs/,
    (memory) => ({
      async *list(prefix, options) {
        let left = 40;
        for await (const blob of memory.list(prefix, options)) if (left-- > 0) yield blob;
      },
    }),
  ],
  [
    "lists other lengths",
    /lists by prefix/,
    (memory) => ({
      async *list(prefix, options) {
        for await (const blob of memory.list(prefix, options)) yield { ...blob, length: 0 };
      },
    }),
  ],
  [
    "keeps deleted blobs in the list",
    /deletes for get, stat and list/,
    (memory) => {
      const dead = new Set<string>();
      return {
        delete: async (id, options) => {
          if (memory.blobs.has(id)) dead.add(id);
          await memory.delete(id, options);
        },
        async *list(prefix, options) {
          yield* memory.list(prefix, options);
          for (const id of dead)
            if (id.startsWith(prefix)) yield { id, length: 1, timestampNs: 0n };
        },
      };
    },
  ],
  [
    "gives times of another clock",
    /by its own clock/,
    (memory) => ({
      stat: async (id, options) => ({ ...(await memory.stat(id, options)), timestampNs: 12345n }),
    }),
  ],
  [
    "forgets a given time",
    /keeps a given time/,
    (memory) => ({
      put: (id, data, options) => memory.put(id, data, { ...options, timestampNs: undefined }),
    }),
  ],
  [
    "lets several win",
    /exactly one of several/,
    (memory) => ({
      put: async (id, data, options = {}) => {
        options.signal?.throwIfAborted();
        if (options.ifAbsent && memory.blobs.has(id)) return memory.put(id, data, options);
        await new Promise((resolve) => setTimeout(resolve, 1));
        return memory.put(id, data, { ...options, ifAbsent: false });
      },
    }),
  ],
  [
    "ignores an option that it does not have",
    /only what is absent/,
    (memory) => ({
      features: { ...memory.features, ifAbsent: false },
    }),
  ],
  [
    "claims a retention that it does not have",
    /retains/,
    (memory) => ({
      extendRetention: async () => {
        memory.features;
        throw new Error("not implemented");
      },
    }),
  ],
  [
    "does not look at the signal",
    /has done nothing/,
    (memory) => ({
      put: (id, data, options) => memory.put(id, data, { ...options, signal: undefined }),
    }),
  ],
  [
    "rejects with a reason of its own",
    /reason of the signal/,
    (memory) => ({
      stat: async (id, options) => {
        if (options?.signal?.aborted) throw new Error("aborted");
        return memory.stat(id, options);
      },
    }),
  ],
  [
    "lists to the end after an abort",
    /stops a list/,
    (memory) => ({
      async *list(prefix, options) {
        options?.signal?.throwIfAborted();
        yield* memory.list(prefix);
      },
    }),
  ],
  [
    "shows a put while it is under way",
    /never shows a part/,
    (memory) => ({
      put: async (id, data, options = {}) => {
        options.signal?.throwIfAborted();
        if (data.length > 100_000) {
          await memory.put(id, data.subarray(0, data.length >> 1), options);
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        return memory.put(id, data, options);
      },
    }),
  ],
  [
    "cannot be closed twice",
    /closed twice/,
    () => {
      let closed = false;
      return {
        close: async () => {
          if (closed) throw new Error("closed");
          closed = true;
        },
      };
    },
  ],
];

describe("a store that", () => {
  it.each(broken)("%s is refused", async (_what, title, make) => {
    const failed = await failures(() => {
      const memory = memoryStore();
      return { ...forward(memory), ...make(memory) };
    }, title);
    expect(failed).not.toEqual([]);
  });

  it("breaks nothing passes", async () => {
    expect(await failures(() => memoryStore())).toEqual([]);
  });
});
