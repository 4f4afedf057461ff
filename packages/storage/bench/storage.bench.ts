// What a call to a store costs: memory, and the filesystem store beside the same files written without any fsync, which is
// the price of a put that survives a power failure; a list of many blobs; and what the wrappers add.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { open, readFile, rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mapConcurrent } from "@dm/core";
import { random, suite } from "@dm/fixtures/bench";
import { type BlobStore, counting, memoryStore, prefixed, retrying, throttled } from "@dm/storage";
import { filesystemStore } from "@dm/storage/filesystem";

const base = mkdtempSync(join(process.env["BENCH_FOLDER"] ?? tmpdir(), "dm-storage-bench-"));
const small = random({ bytes: 4096, seed: 1 });
const pack = random({ bytes: 20 << 20, seed: 2 });
const listed = 10_000;

const idOf = (index: number): string =>
  `p${((index * 2654435761) >>> 0).toString(16).padStart(8, "0")}${"0".repeat(24)}`;
const indexes = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

async function count(store: BlobStore): Promise<number> {
  let found = 0;
  for await (const _ of store.list("p")) found += 1;
  return found;
}

/** The same temporary file and rename, with nothing made durable. */
async function putWithoutSync(path: string, data: Uint8Array): Promise<void> {
  const file = await open(`${path}.tmp`, "wx", 0o600);
  await file.write(data);
  await file.close();
  await rename(`${path}.tmp`, path);
}

try {
  await suite("storage", {}, async (measure) => {
    const memory = memoryStore();
    const disk = filesystemStore({ path: join(base, "store"), create: true });
    const plain = join(base, "plain");
    mkdirSync(plain);
    const each = 2000;
    const puts = 100;

    measure(
      "memory put 4 KiB",
      async () => {
        for (const index of indexes(each)) await memory.put(idOf(index), small);
      },
      { operations: each },
    );
    measure(
      "memory get 4 KiB",
      async () => {
        for (const index of indexes(each)) await memory.get(idOf(index));
      },
      { operations: each },
    );
    const wrapped = retrying(throttled(counting(prefixed(memory, "a")), { readsPerSecond: 1e9 }));
    await wrapped.put(idOf(0), small);
    measure(
      "memory get 4 KiB through four wrappers",
      async () => {
        for (const _ of indexes(each)) await wrapped.get(idOf(0));
      },
      { operations: each },
    );

    measure(
      "filesystem put 4 KiB",
      async () => {
        for (const index of indexes(puts)) await disk.put(idOf(index), small);
      },
      { operations: puts },
    );
    measure(
      "filesystem put 4 KiB, 8 at once",
      () =>
        mapConcurrent(indexes(puts), (index) => disk.put(idOf(index), small), { concurrency: 8 }),
      { operations: puts },
    );
    measure(
      "  the same files without fsync",
      async () => {
        for (const index of indexes(puts)) await putWithoutSync(join(plain, idOf(index)), small);
      },
      { operations: puts },
    );
    measure("filesystem put 20 MiB", () => disk.put("q-pack", pack), { bytes: pack.length });
    measure("  the same file without fsync", () => putWithoutSync(join(plain, "q-pack"), pack), {
      bytes: pack.length,
    });

    measure(
      "filesystem get 4 KiB",
      async () => {
        for (const index of indexes(puts)) await disk.get(idOf(index));
      },
      { operations: puts },
    );
    measure(
      "  readFile of the same files",
      async () => {
        for (const index of indexes(puts)) await readFile(join(plain, idOf(index)));
      },
      { operations: puts },
    );
    await disk.put("q-pack", pack);
    measure("filesystem get 20 MiB", () => disk.get("q-pack"), { bytes: pack.length });
    measure(
      "filesystem get a range of 4 KiB",
      async () => {
        for (const index of indexes(puts)) {
          await disk.get("q-pack", { offset: index * 100_000, length: 4096 });
        }
      },
      { operations: puts },
    );

    // Files as they lie in a store, made without fsync to save time.
    const many = join(base, "many");
    const manyStore = filesystemStore({ path: many, create: true });
    const manyMemory = memoryStore();
    await manyStore.stat("none").catch(() => undefined);
    await mapConcurrent(
      indexes(listed),
      async (index) => {
        const id = idOf(index);
        const folder = join(many, id.slice(0, 1), id.slice(1, 4));
        mkdirSync(folder, { recursive: true });
        await (await open(join(folder, `${id.slice(4)}.f`), "wx")).close();
        await manyMemory.put(id, new Uint8Array(0));
      },
      { concurrency: 8 },
    );
    if ((await count(manyStore)) !== listed) throw new Error("the list is not whole");
    measure(`memory list of ${listed}`, () => count(manyMemory), { operations: listed });
    measure(`filesystem list of ${listed}`, () => count(manyStore), { operations: listed });
  });
} finally {
  rmSync(base, { recursive: true, force: true });
}
