// The data plane in worker threads makes the objects that the in-place plane makes, whatever the splitter, the compressor, the
// parts, the sizes around chunk borders, and the number of workers; each content is stored once; what goes wrong with one file,
// with the session or with a worker reaches exactly the tasks concerned.
import { closeSync, openSync, writeSync } from "node:fs";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { CompressorName } from "@dm/compression";
import { random } from "@dm/fixtures/bench";
import {
  createRepository,
  openRepository,
  type Repository,
  verifyRepository,
  type WriteSession,
} from "@dm/repo";
import { splitterAlgorithms } from "@dm/splitter";
import { type BlobStore, forward, type MemoryStore, memoryStore } from "@dm/storage";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { DataPlane, SourceFile, StoreFileOptions } from "../src/index.ts";
import { createDataPlane, type WorkerDataPlane } from "../src/node/index.ts";
import { inPlacePlane } from "../src/upload/in-place-plane.ts";

type Format = NonNullable<Parameters<typeof createRepository>[1]["format"]>;

const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);
let folder: string;
let fileCount = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dm-data-plane-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function newRepository(
  format: Format = {},
  wrap: (store: MemoryStore) => BlobStore = (store) => store,
): Promise<{ repository: Repository; reopen: () => Promise<Repository> }> {
  const store = memoryStore();
  await createRepository(store, { password: "p", deriveKey, format });
  const open = (under: BlobStore): Promise<Repository> =>
    openRepository(under, { password: "p", deriveKey });
  return { repository: await open(wrap(store)), reopen: () => open(store) };
}

const metadata = { mode: 0o644, modifiedAtNs: 0n, uid: 0, gid: 0, type: "f" } as const;

/** Bytes as a file of this machine. */
async function local(bytes: Uint8Array, toldBytes = bytes.length): Promise<SourceFile> {
  const name = `file-${fileCount++}`;
  const localPath = join(folder, name);
  await writeFile(localPath, bytes);
  const { read } = inMemory(bytes);
  return { ...metadata, name, localPath, sizeBytes: toldBytes, read };
}

/** Bytes that have no path, in slices of odd lengths. */
function inMemory(bytes: Uint8Array, sliceBytes = 77_777): SourceFile {
  return {
    ...metadata,
    name: "memory",
    sizeBytes: bytes.length,
    async *read({ from = 0 } = {}) {
      for (let at = from; at < bytes.length; at += sliceBytes)
        yield bytes.subarray(at, at + sliceBytes);
    },
  };
}

async function storeAll(
  plane: DataPlane,
  files: readonly SourceFile[],
  options: StoreFileOptions = {},
): Promise<Array<{ objectId: string; sizeBytes: number }>> {
  return Promise.all(files.map((file) => plane.store(file, options).done));
}

/** Both planes, each in a repository of its own with the same keys, so that equal contents have equal ids. */
async function bothPlanes(
  format: Format,
  files: readonly SourceFile[],
  options: StoreFileOptions = {},
  workers = 2,
): Promise<void> {
  const { repository, reopen } = await newRepository(format);
  let expected: Array<{ objectId: string; sizeBytes: number }>;
  let found: Array<{ objectId: string; sizeBytes: number }>;
  let contentsWritten: number;
  {
    // Never flushed: the other session does not know of it.
    await using session = await repository.openWriteSession();
    await using plane = inPlacePlane(session);
    expected = await storeAll(plane, files, options);
    ({ contentsWritten } = session.progress);
  }
  {
    await using session = await repository.openWriteSession({ verifyBeforeUpload: true });
    await using plane = createDataPlane(session, { workers });
    expect(plane.describe().kind).toBe("workers");
    found = await storeAll(plane, files, options);
    expect(found).toEqual(expected);
    expect(session.progress.contentsWritten).toBe(contentsWritten);
    await session.commit();
  }
  const other = await reopen();
  expect((await verifyRepository(other)).findings).toEqual([]);
  for (const [index, file] of files.entries()) {
    const object = await other.openObject(found[index]!.objectId);
    const bytes: Uint8Array[] = [];
    for await (const slice of file.read()) bytes.push(slice.slice());
    expect(Buffer.compare(await object.read(), Buffer.concat(bytes))).toBe(0);
  }
}

describe("the objects are those of the in-place plane", () => {
  const families = ["FIXED-128K", "DYNAMIC-128K-BUZHASH", "DYNAMIC-128K-RABINKARP"] as const;
  it.each(families)("%s, around the borders of chunks", async (splitter) => {
    const { maxChunkBytes, minChunkBytes } = splitterAlgorithms[splitter];
    const data = random({ bytes: 20 * maxChunkBytes, seed: 3 });
    const sizes = [0, 1, 63, 64, 65, 4096, 3 * maxChunkBytes, 17 * maxChunkBytes + 5];
    for (const border of [minChunkBytes, maxChunkBytes, 2 * maxChunkBytes])
      sizes.push(border - 1, border, border + 1);
    const files = sizes.map((size, index) => data.subarray(index * 1000, index * 1000 + size));
    // Zeros are never cut but at the longest length.
    files.push(new Uint8Array(5 * maxChunkBytes + 1));
    const locals = await Promise.all(files.map((bytes) => local(bytes)));
    await bothPlanes({ splitter }, [...locals, ...files.map((bytes) => inMemory(bytes))]);
  });

  it("the default splitter, a file that is longer than all slots together", async () => {
    const data = random({ bytes: 36 << 20, seed: 8 });
    await bothPlanes({}, [await local(data), inMemory(data.subarray(1 << 20), 1 << 20)]);
  });

  it("the longest chunks", async () => {
    const zeros = new Uint8Array(40 << 20);
    await bothPlanes({ splitter: "DYNAMIC-8M-BUZHASH" }, [await local(zeros), inMemory(zeros)]);
  });

  const compressors: CompressorName[] = ["zstd-fastest", "gzip", "s2-default", "pgzip"];
  it.each(compressors)("%s", async (compressor) => {
    const text = new TextEncoder().encode("all work and no play ".repeat(60_000));
    const noise = random({ bytes: 400_000, seed: 1 });
    const mixed = Buffer.concat([text, noise, text]);
    const bytes = [text.subarray(0, 10), text.subarray(0, 5000), noise, text, mixed];
    const files = await Promise.all(bytes.map((each) => local(each)));
    const format: Format = { splitter: "DYNAMIC-256K-BUZHASH" };
    await bothPlanes(format, [...files, inMemory(mixed)], { compressor });
    await bothPlanes(format, files, { compressor, metadataCompressor: null });
  });

  it("parts with splitters of their own, also where nothing is left for the last", async () => {
    const data = random({ bytes: 3_000_000, seed: 5 });
    const splitter = "DYNAMIC-128K-BUZHASH";
    for (const partBytes of [1_000_000, 700_001, 3_000_000]) {
      const files = [await local(data), await local(data.subarray(0, 1_000_000)), inMemory(data)];
      await bothPlanes({ splitter }, files, { partBytes });
    }
  });

  it("a splitter of the file's own", async () => {
    const data = random({ bytes: 9_000_000, seed: 5 });
    await bothPlanes({}, [await local(data), inMemory(data)], { splitter: "FIXED-1M" });
  });

  it.each(["HMAC-SHA3-256", "BLAKE3-256", "HMAC-SHA256-128"])("hash %s", async (hash) => {
    const encryption = "CHACHA20-POLY1305-HMAC-SHA256";
    const data = random({ bytes: 700_000, seed: 6 });
    const files = [0, 100, 5000, 700_000].map((size) => local(data.subarray(0, size)));
    await bothPlanes({ hash, encryption, splitter: "FIXED-256K" }, await Promise.all(files));
  });

  it("hundreds of small files with duplicates, in one worker and in three", async () => {
    const data = random({ bytes: 100_000, seed: 9 });
    const files = await Promise.all(
      Array.from({ length: 600 }, (_, index) => {
        const start = (index * 97) % 300;
        return local(data.subarray(start, start + ((index * 7919) % 30_000)));
      }),
    );
    await bothPlanes({}, files, {}, 1);
    await bothPlanes({}, files, {}, 3);
  });

  it("index version 1 and error correction work in place, and say so", async () => {
    for (const format of [
      { version: 1 as const },
      { ecc: "REED-SOLOMON-CRC32", eccOverheadPercent: 3 },
    ]) {
      const { repository } = await newRepository(format);
      await using session = await repository.openWriteSession();
      await using plane = createDataPlane(session);
      expect(plane.describe()).toMatchObject({ kind: "in place", maxWorkers: 0 });
      const { objectId } = await plane.store(inMemory(new Uint8Array(500))).done;
      expect((await session.openObject(objectId)).length).toBe(500);
    }
  });
});

async function withPlane(
  run: (plane: WorkerDataPlane, session: WriteSession) => Promise<void>,
  format: Format = { splitter: "DYNAMIC-128K-BUZHASH" },
): Promise<void> {
  const { repository } = await newRepository(format);
  await using session = await repository.openWriteSession();
  await using plane = createDataPlane(session, { workers: 2 });
  await run(plane, session);
}

describe("files that change", () => {
  it("are stored as they are, when they are longer or shorter than their metadata tells", async () => {
    const data = random({ bytes: 1_000_000, seed: 2 });
    const files = [
      await local(data.subarray(0, 5000), 100),
      await local(data.subarray(0, 5000), 0),
      await local(data.subarray(0, 100), 5000),
      await local(data, 100),
      await local(data, 65_535),
      await local(data.subarray(0, 100), 1_000_000),
      await local(data, 3_000_000),
      await local(new Uint8Array(0), 1_000_000),
    ];
    await bothPlanes({ splitter: "DYNAMIC-128K-BUZHASH" }, files);
  });

  it("are told bytes as they are read", async () => {
    const data = random({ bytes: 1_000_000, seed: 2 });
    await withPlane(async (plane) => {
      for (const file of [await local(data), await local(data.subarray(0, 900)), inMemory(data)]) {
        let bytes = 0;
        const onBytes = (count: number): void => {
          bytes += count;
        };
        const { sizeBytes } = await plane.store(file, { onBytes }).done;
        expect(bytes).toBe(sizeBytes);
      }
    });
  });

  it("fail alone, with the system's error, when they cannot be read", async () => {
    const good = await local(random({ bytes: 3000, seed: 1 }));
    const vanished = { ...good, localPath: join(folder, "vanished") };
    const directory = { ...good, localPath: folder };
    const longVanished = { ...vanished, sizeBytes: 10_000_000 };
    const longDirectory = { ...directory, sizeBytes: 10_000_000 };
    const refused = new Error("refused");
    const broken: SourceFile = {
      ...inMemory(new Uint8Array(10)),
      async *read() {
        yield new Uint8Array(300_000);
        throw refused;
      },
    };
    await withPlane(async (plane) => {
      const files = [good, vanished, directory, longVanished, longDirectory, broken, good];
      const outcomes = await Promise.allSettled(files.map((file) => plane.store(file).done));
      const codes = outcomes.map((outcome) =>
        outcome.status === "fulfilled" ? "stored" : (outcome.reason.code ?? outcome.reason.message),
      );
      expect(codes).toEqual([
        "stored",
        "ENOENT",
        "EISDIR",
        "ENOENT",
        "EISDIR",
        "refused",
        "stored",
      ]);
    });
  });

  it("have paths of any bytes", async () => {
    const localPath = Buffer.concat([Buffer.from(`${folder}/`), Uint8Array.of(0xff, 0xfe)]);
    await writeFile(localPath, "bytes");
    await withPlane(async (plane) => {
      const file = { ...inMemory(new Uint8Array(5)), localPath };
      expect((await plane.store(file).done).sizeBytes).toBe(5);
      expect((await plane.store({ ...file, sizeBytes: 10_000_000 }).done).sizeBytes).toBe(5);
    });
  });
});

describe("checkpoint and resume", () => {
  it("a checkpoint holds whole chunks from the beginning on, and the next run goes on behind them", async () => {
    const data = random({ bytes: 6_000_000, seed: 4 });
    for (const partBytes of [undefined, 1_500_000]) {
      await withPlane(async (plane, session) => {
        const whole = await plane.store(await local(data), { partBytes }).done;
        const cut = Promise.withResolvers<void>();
        const slow: SourceFile = {
          ...inMemory(data),
          async *read() {
            yield data.subarray(0, 4_000_000);
            await cut.promise;
            throw new Error("cut off");
          },
        };
        const task = plane.store(slow, { partBytes });
        await expect
          .poll(async () => (await task.checkpoint())?.sizeBytes ?? 0, { timeout: 30_000 })
          .toBeGreaterThan(0);
        const begun = (await task.checkpoint())!;
        expect(begun.sizeBytes).toBeLessThanOrEqual(4_000_000);
        expect((await session.openObject(begun.objectId)).length).toBe(begun.sizeBytes);
        cut.resolve();
        await expect(task.done).rejects.toThrow("cut off");
        for (const file of [await local(data), inMemory(data)]) {
          let read = 0;
          const onBytes = (count: number): void => {
            read += count;
          };
          const options = { partBytes, resumeFrom: begun.objectId, onBytes };
          expect(await plane.store(file, options).done).toEqual(whole);
          expect(read).toBe(data.length - begun.sizeBytes);
        }
      });
    }
  });

  it("of a small file is nothing, or all", async () => {
    await withPlane(async (plane) => {
      const task = plane.store(await local(new Uint8Array(100)));
      expect(await task.checkpoint()).toBeUndefined();
      const stored = await task.done;
      expect(await task.checkpoint()).toEqual(stored);
    });
  });
});

describe("abort and failure", () => {
  it("an abort ends tasks of all kinds with its reason, others go on", async () => {
    const data = random({ bytes: 8_000_000, seed: 4 });
    await withPlane(async (plane) => {
      const controller = new AbortController();
      const { signal } = controller;
      const endless: SourceFile = {
        ...inMemory(data),
        async *read({ signal: own } = {}) {
          for (;;) {
            own?.throwIfAborted();
            yield data.subarray(0, 100_000);
            await new Promise((resolve) => setTimeout(resolve, 1));
          }
        },
      };
      const files = [await local(data), await local(data.subarray(0, 10)), endless];
      const tasks = files.map((file) => plane.store(file, { signal }).done);
      const reason = new Error("enough");
      controller.abort(reason);
      for (const task of tasks) await expect(task).rejects.toBe(reason);
      expect((await plane.store(await local(data)).done).sizeBytes).toBe(data.length);
    });
  });

  it("an abort ends waiting for a store that does not answer", async () => {
    const { repository } = await newRepository({ maxPackSizeBytes: 10 << 20 }, (store) => ({
      ...forward(store),
      put: (id, data, options) =>
        id.startsWith("p") ? new Promise(() => undefined) : store.put(id, data, options),
    }));
    const session = await repository.openWriteSession({ parallelUploads: 1 });
    const plane = createDataPlane(session, { workers: 1 });
    const controller = new AbortController();
    const data = random({ bytes: 60 << 20, seed: 4 });
    const files = [await local(data), inMemory(data, 1 << 20), await local(data.subarray(0, 99))];
    const tasks = files.map((file) => plane.store(file, { signal: controller.signal }).done);
    const settled = Promise.allSettled(tasks);
    await new Promise((resolve) => setTimeout(resolve, 500));
    controller.abort(new Error("enough"));
    for (const outcome of (await settled).slice(0, 2))
      expect(outcome).toMatchObject({ status: "rejected", reason: { message: "enough" } });
    await plane[Symbol.asyncDispose]();
  });

  it("a store that refuses packs fails the tasks that come after, with its own error", async () => {
    const full = new Error("no space left");
    const { repository } = await newRepository({ maxPackSizeBytes: 10 << 20 }, (store) => ({
      ...forward(store),
      async put(id, data, options) {
        if (id.startsWith("p")) throw full;
        return store.put(id, data, options);
      },
    }));
    await using session = await repository.openWriteSession({ parallelUploads: 1 });
    await using plane = createDataPlane(session, { workers: 2 });
    const data = random({ bytes: 60 << 20, seed: 4 });
    await expect(plane.store(await local(data)).done).rejects.toBe(full);
  });

  it("a lost worker fails what was in it with DM_WORKER_LOST; after the last one everything fails", async () => {
    const workers = new Set<Worker>();
    const post = Worker.prototype.postMessage;
    const spy = vi.spyOn(Worker.prototype, "postMessage").mockImplementation(function (
      this: Worker,
      ...parameters
    ) {
      workers.add(this);
      post.apply(this, parameters);
    });
    try {
      const { repository } = await newRepository();
      await using session = await repository.openWriteSession();
      await using plane = createDataPlane(session, { workers: 1 });
      const data = random({ bytes: 20_000_000, seed: 4 });
      const file = await local(data);
      const lost = { status: "rejected", reason: { code: "DM_WORKER_LOST" } };
      const settled = Promise.allSettled([
        plane.store(file).done,
        plane.store(inMemory(data)).done,
        plane.store(await local(new Uint8Array(9))).done,
      ]);
      await expect.poll(() => workers.size, { timeout: 30_000 }).toBe(1);
      // As when the thread runs out of memory.
      for (const worker of workers) void worker.terminate();
      expect(await settled).toMatchObject([lost, lost, lost]);
      const small = await local(new Uint8Array(9));
      await expect(plane.store(small).done).rejects.toMatchObject(lost.reason);
      const later = [file, inMemory(data), small];
      expect(await Promise.allSettled(later.map((each) => plane.store(each).done))).toMatchObject([
        lost,
        lost,
        lost,
      ]);
    } finally {
      spy.mockRestore();
    }
  });

  it("a worker that cannot be started is lost; others do its work", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const file = await local(random({ bytes: 20_000_000, seed: 4 }));
    const { WebAssembly: real } = globalThis as unknown as {
      WebAssembly: { Memory: new (descriptor: object) => object };
    };
    let left = 0;
    class Memory {
      constructor(descriptor: object) {
        if (left-- <= 0) throw new Error("no more memory");
        // biome-ignore lint/correctness/noConstructorReturn: stands in for the real one
        return new real.Memory(descriptor);
      }
    }
    vi.stubGlobal("WebAssembly", { Memory });
    try {
      await using none = createDataPlane(session, { workers: 2 });
      await expect(none.store(file).done).rejects.toMatchObject({ code: "DM_WORKER_LOST" });
      left = 1;
      await using one = createDataPlane(session, { workers: 2 });
      const files = [file, await local(random({ bytes: 20_000_000, seed: 5 }))];
      expect(await storeAll(one, files)).toMatchObject([{ sizeBytes: 20_000_000 }, {}]);
      expect(left).toBeLessThan(0);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it("disposing ends tasks that are not done, and later ones", async () => {
    const data = random({ bytes: 20_000_000, seed: 4 });
    await withPlane(async (plane) => {
      const files = [await local(data), inMemory(data), await local(data.subarray(0, 99))];
      const settled = Promise.allSettled(files.map((file) => plane.store(file).done));
      await plane[Symbol.asyncDispose]();
      for (const outcome of await settled) expect(outcome.status).toBe("rejected");
      await expect(plane.store(files[0]!).done).rejects.toThrow(TypeError);
    });
  });

  it("unknown splitters and impossible numbers of workers are refused", async () => {
    await withPlane(async (plane, session) => {
      const file = inMemory(new Uint8Array(5));
      await expect(plane.store(file, { splitter: "NONE" }).done).rejects.toMatchObject({
        code: "DM_SPLITTER_UNKNOWN",
      });
      expect(() => createDataPlane(session, { workers: -1 })).toThrow(RangeError);
    });
  });
});

it("a file that is cut short while it is read is stored as far as it was read", async () => {
  const data = random({ bytes: 30_000_000, seed: 11 });
  await withPlane(async (plane, session) => {
    const file = await local(data);
    let isShort = false;
    const onBytes = (): void => {
      if (isShort) return;
      isShort = true;
      void truncate(file.localPath as string, 1000);
    };
    const { objectId, sizeBytes } = await plane.store(file, { onBytes }).done;
    expect(sizeBytes).toBeLessThanOrEqual(data.length);
    const stored = await (await session.openObject(objectId)).read();
    expect(Buffer.compare(stored, data.subarray(0, sizeBytes))).toBe(0);
  });
});

it("holds no more memory than it says, whatever there is to store", async () => {
  const stamped = random({ bytes: 1 << 20, seed: 12 });
  const localPath = join(folder, "large");
  const sizeBytes = 384 << 20;
  const fd = openSync(localPath, "w");
  for (let at = 0; at < sizeBytes; at += stamped.length) {
    new DataView(stamped.buffer, stamped.byteOffset).setUint32(0, at);
    writeSync(fd, stamped);
  }
  closeSync(fd);
  const maxPackSizeBytes = 20 << 20;
  const { repository } = await newRepository({ maxPackSizeBytes }, (store) => ({
    ...forward(store),
    async put(id, data, options) {
      if (!id.startsWith("p")) await store.put(id, data, options);
    },
  }));
  await using session = await repository.openWriteSession();
  await using plane = createDataPlane(session, { workers: 2 });
  const before = process.memoryUsage().rss;
  let peak = before;
  const onBytes = (): void => {
    peak = Math.max(peak, process.memoryUsage().rss);
  };
  const large: SourceFile = { ...inMemory(stamped), localPath, sizeBytes };
  const stored = await plane.store(large, { onBytes }).done;
  expect(stored.sizeBytes).toBe(sizeBytes);
  expect(session.progress.contentsWritten).toBeGreaterThan(40);
  // Packs: the open one, one that waits, two under way. Threads have heaps, too.
  const threadsBytes = 2 * (40 << 20);
  const bound = plane.describe().maxBytesInFlight + 4 * 1.5 * maxPackSizeBytes + threadsBytes;
  expect(peak - before).toBeLessThan(bound);
});

it("starts no worker for a few small files at a time, until they have become many", async () => {
  const post = vi.spyOn(Worker.prototype, "postMessage");
  try {
    const few = await Promise.all(
      [0, 1, 4000, 70_000].map((bytes) => local(random({ bytes, seed: 21 }))),
    );
    await bothPlanes({}, few);
    expect(post).not.toHaveBeenCalled();
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    await using plane = createDataPlane(session, { workers: 1 });
    let megabytes = 0;
    for (; post.mock.calls.length === 0; megabytes++)
      await plane.store(await local(random({ bytes: 1e6, seed: megabytes }))).done;
    expect(megabytes).toBe(9);
  } finally {
    post.mockRestore();
  }
});
