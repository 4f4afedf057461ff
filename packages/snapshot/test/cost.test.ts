// What repositories in an object store cost, in requests by operation and in round trips on the critical path. The figures are
// those of the table in the README: a change that makes one larger must say why.
import { randomFillSync } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { IndirectEntry, Repository } from "@dm/repo";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type DirectoryEntry,
  findEntry,
  listSnapshots,
  restoreObject,
  type VolumeTarget,
} from "../src/index.ts";
import { createSnapshot, restoreTree } from "../src/node/index.ts";
import { entryOf } from "./made-up.ts";
import { directoryIn } from "./new-repository.ts";
import { type Cost, S3Bucket } from "./s3-bucket.ts";

const quietMs = 30;
const folder = mkdtempSync(join(tmpdir(), "dm-cost-"));
const tree = join(folder, "tree");
/** A thousand files in ten directories. */
const fileText = (directory: number, file: number): string =>
  `file ${file} of ${directory}\n`.repeat(1 + ((directory * 31 + file * 17) % 200));

let bucket: S3Bucket;
beforeAll(async () => {
  mkdirSync(tree);
  for (let directory = 0; directory < 10; directory++) {
    mkdirSync(join(tree, `d${directory}`));
    for (let file = 0; file < 100; file++)
      writeFileSync(join(tree, `d${directory}`, `f${file}`), fileText(directory, file));
  }
  bucket = await S3Bucket.start();
});
afterAll(async () => {
  await bucket[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Requests are exact; round trips may come out higher on a busy machine, which answers a round before all have asked. */
function expectCost(cost: Cost, { roundTrips, ...requests }: Cost): void {
  const { roundTrips: taken, ...made } = cost;
  expect(made).toEqual(requests);
  expect(taken).toBeGreaterThan(0);
  expect(taken).toBeLessThanOrEqual(roundTrips + 1);
}

/**
 * With DM_FULL=1 it is 1 GiB, in random parts of 4 MiB. Plain runs take a quarter of it, zeros behind 4 KiB of their own, so that
 * little is stored and written; what is under way at once counts by the length in the file, and is the same.
 */
const isFull = process.env["DM_FULL"] !== undefined;
const partBytes = 4 << 20;
const partCount = isFull ? 256 : 64;
function partOf(number: number): Uint8Array {
  const part = new Uint8Array(partBytes);
  randomFillSync(part, 0, isFull ? partBytes : 4096);
  new DataView(part.buffer).setUint32(0, number);
  return part;
}

const none = { list: 0, get: 0, put: 0, head: 0, delete: 0 };

describe("requests and round trips", () => {
  let repository: Repository;

  it("open: format and blob configuration, together", async () => {
    const { cost, result } = await bucket.cost(quietMs, () => bucket.open());
    repository = result;
    expectCost(cost, { ...none, get: 2, roundTrips: 1 });
  });

  it("first snapshot of 1,000 files", async () => {
    const { cost, result } = await bucket.cost(quietMs, () => createSnapshot(repository, tree));
    expect(result.rootEntry.summary?.fileCount).toBe(1000);
    // Index (list, get), manifests, `.storageconfig`; session marker, both packs, index blob; the list that proves its
    // epoch, and the marker's end.
    expectCost(cost, { list: 2, get: 3, put: 4, head: 0, delete: 1, roundTrips: 9 });
  });

  it("nothing changed", async () => {
    const client = await bucket.open();
    const { cost, result } = await bucket.cost(quietMs, () => createSnapshot(client, tree));
    expect(result.stats.cachedFiles).toBe(1000);
    // Index (list, two blobs), two manifests, all directories in one window, `.storageconfig`; marker, pack of the manifest, index.
    expectCost(cost, { list: 2, get: 5, put: 3, head: 0, delete: 1, roundTrips: 9 });
  });

  it("nothing changed, by a client that has just made a snapshot", async () => {
    await createSnapshot(repository, tree);
    const { cost } = await bucket.cost(quietMs, () => createSnapshot(repository, tree));
    // It reads the manifest that it has stored itself.
    expectCost(cost, { list: 1, get: 1, put: 3, head: 0, delete: 1, roundTrips: 6 });
  });

  it("restore of one file, from finding its snapshot on", async () => {
    const client = await bucket.open();
    const { cost } = await bucket.cost(quietMs, async () => {
      const [first] = await listSnapshots(client);
      const entry = await findEntry(client, first!.rootEntry!, "d5/f7");
      const report = await restoreTree(client, entry, join(folder, "one"));
      expect(report.ok).toBe(true);
    });
    // Index (list, five blobs), five packs with manifests of which one has the directories, and the data.
    expectCost(cost, { ...none, list: 1, get: 11, roundTrips: 4 });
  });

  it("restore of all 1,000 files", async () => {
    const client = await bucket.open();
    const [first] = await listSnapshots(client);
    const { cost } = await bucket.cost(quietMs, async () => {
      const report = await restoreTree(client, first!.rootEntry!, join(folder, "all"), {
        workers: 0,
      });
      expect(report).toMatchObject({ ok: true, filesDone: 1000 });
    });
    expectCost(cost, { ...none, get: 4, roundTrips: 1 });
  });
});

it("open with 1,000 index blobs: one page of a list, and 32 blobs at a time", async () => {
  await using many = await S3Bucket.start();
  const writer = await many.open();
  await using session = await writer.openWriteSession();
  for (let number = 0; number < 9; number++) {
    await session.writeContent(Uint8Array.of(number));
    await session.flush();
  }
  const store = many.store();
  const indexes = many.blobIds.filter((id) => id.startsWith("xn"));
  expect(indexes.length).toBe(10);
  // The name behind the dash is not part of what seals a blob: each under a hundred names.
  for (const id of indexes) {
    const data = await store.get(id);
    const copies = Array.from({ length: 99 }, (_, copy) => `${id.split("-")[0]}-s${copy}-c1`);
    await Promise.all(copies.map((copy) => store.put(copy, data)));
  }
  await store.close();
  const { cost } = await many.cost(quietMs, async () => {
    const repository = await many.open();
    await repository.refresh();
    let contents = 0;
    for await (const { contentId } of repository.listContents({ prefix: "" }))
      contents += Number(contentId !== "");
    expect(contents).toBe(9);
  });
  // Format, one page with all, the blobs.
  expectCost(cost, { ...none, list: 1, get: 1002, roundTrips: 1 + 1 + Math.ceil(1000 / 32) });
});

describe("restores take one round trip for 64 MiB, 16 for 1 GiB:", () => {
  let big: S3Bucket;
  let files: DirectoryEntry;
  let file: DirectoryEntry;
  /** Decrypting and decompressing what one round trip has brought may keep a thread busy for so long. */
  const longQuietMs = isFull ? 500 : 100;
  const options = isFull ? {} : { workers: 0 };

  beforeAll(async () => {
    big = await S3Bucket.start();
    const repository = await big.open();
    await using session = await repository.openWriteSession();
    const parts: IndirectEntry[] = [];
    const entries: DirectoryEntry[] = [];
    for (let number = 0; number < partCount; number++) {
      const objectId = await session.writePart(partOf(number), { compressor: "zstd-fastest" });
      parts.push({ start: number * partBytes, length: partBytes, objectId });
      entries.push(entryOf({ name: `f${number}`, sizeBytes: partBytes, objectId }));
    }
    const objectId = await session.joinParts(parts);
    file = entryOf({ name: "big", sizeBytes: partCount * partBytes, objectId });
    files = await directoryIn(session, "tree", entries);
    await session.commit();
  }, 300_000);
  afterAll(() => big[Symbol.asyncDispose]());

  /** And one for the directory or the index of the file; one more each where the last or the first round is not full. */
  const roundTrips = (partCount * partBytes) / (64 << 20) + 3;

  it("a tree of files", async () => {
    const repository = await big.open();
    await repository.refresh();
    const target = join(folder, "files");
    const { cost } = await big.cost(longQuietMs, async () => {
      const report = await restoreTree(repository, files, target, options);
      expect(report).toMatchObject({ ok: true, filesDone: partCount });
    });
    expect(readFileSync(join(target, "f50")).readUint32BE()).toBe(50);
    rmSync(target, { recursive: true });
    expect(cost.get).toBeLessThanOrEqual(1 + partCount);
    expect(cost.roundTrips).toBeLessThanOrEqual(roundTrips);
  }, 120_000);

  it("one file", async () => {
    const repository = await big.open();
    await repository.refresh();
    const target = join(folder, "big");
    const { cost } = await big.cost(longQuietMs, async () => {
      expect((await restoreTree(repository, file, target, options)).ok).toBe(true);
    });
    rmSync(target);
    expect(cost.roundTrips).toBeLessThanOrEqual(roundTrips);
  }, 120_000);

  it("a volume", async () => {
    const repository = await big.open();
    await repository.refresh();
    const target: VolumeTarget = {
      readsAsZeros: true,
      write: async () => {},
      clear: async () => true,
      read: async () => {},
      flush: async () => {},
    };
    const { cost } = await big.cost(longQuietMs, async () => {
      const { objectId } = file;
      const report = await restoreObject(repository, objectId, target, { verifyContent: false });
      expect(report).toMatchObject({ ok: true, doneBytes: partCount * partBytes });
    });
    expect(cost.roundTrips).toBeLessThanOrEqual(roundTrips);
  }, 120_000);
});
