// The data plane in this thread makes the objects that an object writer makes, whatever the slices, parts and resumptions.
import { generate } from "@dm/fixtures";
import type { ContentId, ObjectWriterOptions, Repository, WriteSession } from "@dm/repo";
import { beforeEach, describe, expect, it } from "vitest";
import { inPlacePlane, type SourceFile } from "../src/index.ts";
import { file } from "./memory-source.ts";
import { newRepository } from "./new-repository.ts";
import { fc } from "./property.ts";

const splitter = "DYNAMIC-128K-BUZHASH";
const data = (len: number): Uint8Array => generate({ kind: "splitmix64", seed: 5, len });

let repository: Repository;
let session: WriteSession;

beforeEach(async () => {
  ({ repository } = await newRepository());
  session = await repository.openWriteSession();
  return () => session[Symbol.asyncDispose]();
});

const options: ObjectWriterOptions = { splitter, compressor: "zstd-fastest" };

/** What Kopia stores: each part an object of its own, then joined. */
async function expectedId(bytes: Uint8Array, partBytes = Infinity, size = bytes.length) {
  if (size <= partBytes) return session.writeObject(bytes, options);
  const ids: string[] = [];
  const count = Math.floor(size / partBytes) + 1;
  for (let part = 0; part < count; part++) {
    const end = part === count - 1 ? bytes.length : (part + 1) * partBytes;
    ids.push(await session.writeObject(bytes.subarray(part * partBytes, end), options));
  }
  return session.concatenateObjects(ids, options);
}

const store = (source: SourceFile, more = {}) =>
  inPlacePlane(session).store(source, { ...options, ...more });

describe("objects", () => {
  it.each([0, 1, 64 << 10, 1_000_000])("of %i bytes are those of an object writer", async (len) => {
    const bytes = data(len);
    const expected = { objectId: await expectedId(bytes), sizeBytes: len };
    for (const sliceBytes of [1 << 16, 77_777, 1 << 21])
      expect(await store(file("f", bytes, { sliceBytes })).done).toEqual(expected);
  });

  it("one plane makes any number of them at once, with different splitters", async () => {
    const plane = inPlacePlane(session);
    const lengths = [5, 400_000, 0, 900_000, 300_000];
    const splitters = [splitter, "FIXED-256K"];
    const tasks = splitters.flatMap((name) =>
      lengths.map((len) => plane.store(file("f", data(len)), { splitter: name }).done),
    );
    const stored = await Promise.all(tasks);
    const expected: string[] = [];
    for (const name of splitters)
      for (const len of lengths)
        expected.push(await session.writeObject(data(len), { splitter: name }));
    expect(stored.map(({ objectId }) => objectId)).toEqual(expected);
  });

  it("in parts, whatever the length of the file, the parts and the slices", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(900_000),
        fc.integer({ min: 100_000, max: 500_000 }),
        fc.integer({ min: 10_000, max: 400_000 }),
        async (len, partBytes, sliceBytes) => {
          const bytes = data(len);
          const stored = await store(file("f", bytes, { sliceBytes }), { partBytes }).done;
          expect(stored.objectId).toBe(await expectedId(bytes, partBytes));
          expect(stored.sizeBytes).toBe(len);
        },
      ),
      { numRuns: process.env["DM_FULL"] ? 300 : 12 },
    );
  });

  it("a file of a whole number of parts has an empty last one", async () => {
    const bytes = data(600_000);
    const { objectId } = await store(file("f", bytes), { partBytes: 200_000 }).done;
    expect(objectId).toBe(await expectedId(bytes, 200_000));
    const parts = await session.objectParts(objectId);
    expect(parts.at(-1)).toMatchObject({ start: 600_000, length: 0 });
    expect(await session.openObject(objectId).then((object) => object.read())).toEqual(bytes);
  });
});

describe("files that change while they are read", () => {
  it.each([
    ["shrinks", 250_000],
    ["vanishes but for its size", 0],
    ["grows", 1_200_000],
  ])("a file that %s is stored as it was read", async (_what, len) => {
    const bytes = data(len);
    const source = file("f", bytes, { sizeBytes: 700_000 });
    expect(await store(source).done).toEqual({
      objectId: await expectedId(bytes),
      sizeBytes: len,
    });
    expect(await store(source, { partBytes: 200_000 }).done).toEqual({
      objectId: await expectedId(bytes, 200_000, 700_000),
      sizeBytes: len,
    });
  });

  it("an error of the source is the task's", async () => {
    const error = new Error("EIO");
    const source = file("f", data(500_000), { failsAfter: { bytes: 300_000, error } });
    const task = store(source);
    await expect(task.done).rejects.toBe(error);
    const again = await store(file("f", data(500_000))).done;
    expect(again.objectId).toBe(await expectedId(data(500_000)));
  });
});

describe("checkpoints", () => {
  const bytes = data(2_000_000);

  /** Stores up to `cutAt` bytes, then stops there for good; answers what a checkpoint has then. */
  async function cutOffAt(cutAt: number, more = {}) {
    const controller = new AbortController();
    const onSlice = (from: number): void => {
      if (from >= cutAt) controller.abort(new Error("cut"));
    };
    const task = store(file("f", bytes, { onSlice, sliceBytes: 50_000 }), {
      signal: controller.signal,
      ...more,
    });
    await expect(task.done).rejects.toThrow("cut");
    return task.checkpoint();
  }

  it("there is none before the first chunk", async () => {
    expect(await cutOffAt(0)).toBeUndefined();
    expect(await cutOffAt(50_000)).toBeUndefined();
  });

  it("hold the beginning of the file, and are made while it is read", async () => {
    const lengths: number[] = [];
    const task = store(
      file("f", bytes, {
        sliceBytes: 100_000,
        onSlice: async (from) => {
          const at = from > 0 ? await task.checkpoint() : undefined;
          if (!at) return;
          const object = await session.openObject(at.objectId);
          expect(object.length).toBe(at.sizeBytes);
          expect(await object.read()).toEqual(bytes.subarray(0, at.sizeBytes));
          lengths.push(at.sizeBytes);
        },
      }),
    );
    const { objectId } = await task.done;
    expect(objectId).toBe(await expectedId(bytes));
    expect(lengths.length).toBeGreaterThan(10);
    expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
  });

  it.each([
    ["whole", {}],
    ["in parts", { partBytes: 300_000 }],
    ["in parts that end where the file does", { partBytes: 500_000 }],
  ])("are gone on from, and the object is the same: %s", async (_what, more) => {
    const expected = await expectedId(bytes, (more as { partBytes?: number }).partBytes);
    for (const cutAt of [300_000, 650_000, 1_950_000]) {
      const begun = (await cutOffAt(cutAt, more))!;
      const source = file("f", bytes);
      const done = await store(source, { ...more, resumeFrom: begun.objectId }).done;
      expect(done).toEqual({ objectId: expected, sizeBytes: bytes.length });
      expect(source.reads).toEqual([begun.sizeBytes]);
    }
  });

  it("are gone on from where the first chunk is lost, or marked as deleted", async () => {
    const begun = (await cutOffAt(1_500_000))!;
    const [, , lost] = await session.objectParts(begun.objectId);
    await session.deleteContent(lost!.objectId as ContentId);
    const source = file("f", bytes);
    const { objectId } = await store(source, { resumeFrom: begun.objectId }).done;
    expect(source.reads).toEqual([lost!.start]);
    const { deleted } = (await session.contentInfo(lost!.objectId as ContentId))!;
    expect(deleted).toBe(false);
    expect(objectId).toBe(await expectedId(bytes));
  });

  it("of a whole file read nothing again", async () => {
    const whole = await store(file("f", bytes)).done;
    let readBytes = 0;
    const onBytes = (count: number): void => {
      readBytes += count;
    };
    const task = store(file("f", bytes), { resumeFrom: whole.objectId, onBytes });
    expect(await task.done).toEqual(whole);
    expect(readBytes).toBe(0);
  });

  it.each([
    ["other parts", { partBytes: 300_000 }],
    ["a longer file", {}],
    ["an object that is gone", {}],
  ])("that do not fit are left alone: %s", async (what, more) => {
    let resumeFrom: string = (await cutOffAt(1_500_000))!.objectId;
    if (what === "an object that is gone") resumeFrom = `Ix${"0".repeat(32)}`;
    const now = what === "a longer file" ? bytes.subarray(0, 700_000) : bytes;
    const source = file("f", now);
    const { objectId } = await store(source, { ...more, resumeFrom }).done;
    expect(source.reads).toEqual([0]);
    expect(objectId).toBe(await expectedId(now, (more as { partBytes?: number }).partBytes));
  });
});
