// A restored volume has the bytes of the snapshot whatever was on the target before; zeros are not written where that can be
// spared; what the target loses afterwards, and what the repository has lost, is found and listed by range.
import { splitmix64 } from "@dm/fixtures";
import type { Repository } from "@dm/repo";
import { describe, expect, it } from "vitest";
import { restoreObject, type VolumeTarget } from "../src/volume/restore-object.ts";
import { storeVolume } from "../src/volume/store-volume.ts";
import { goZeroTimeNs, volumeFile, volumeSource } from "../src/volume/volume-entry.ts";
import { entryOf } from "./made-up.ts";
import { directoryIn, fileIn, newRepository } from "./new-repository.ts";
import { fc } from "./property.ts";
import { memoryVolume, segment, volumeOfSegments } from "./volume-in-memory.ts";

const splitter = "DYNAMIC-128K-BUZHASH";

interface MemoryTarget extends VolumeTarget {
  readonly bytes: Uint8Array;
  writtenBytes: number;
  clearedBytes: number;
  flushes: number;
}

/** Memory as a target; `clear` works for multiples of 4 KiB, as devices have it. */
function memoryTarget(
  bytes: Uint8Array,
  { canClear = false, readsAsZeros = false } = {},
): MemoryTarget {
  return {
    bytes,
    readsAsZeros,
    writtenBytes: 0,
    clearedBytes: 0,
    flushes: 0,
    async write(data, offset) {
      if (offset + data.length > bytes.length) throw new Error("beyond the end");
      bytes.set(data, offset);
      this.writtenBytes += data.length;
    },
    async clear({ length, start }) {
      if (!canClear) return false;
      if (start % 4096 !== 0 || length % 4096 !== 0) throw new Error("not aligned");
      bytes.fill(0, start, start + length);
      this.clearedBytes += length;
      return true;
    },
    async read(data, offset) {
      data.set(bytes.subarray(offset, offset + data.length));
    },
    async flush() {
      this.flushes += 1;
    },
  };
}

async function stored(
  volume: Parameters<typeof storeVolume>[1],
): Promise<{ repository: Repository; objectId: string }> {
  const { repository } = await newRepository();
  await using session = await repository.openWriteSession();
  const { objectId } = await storeVolume(session, volume, { splitter });
  await session.commit();
  return { repository, objectId };
}

describe("restoreObject", () => {
  it("gives the bytes back, onto old data and onto zeros, with a target that clears and one that does not", async () => {
    const targets = fc.constantFrom("old", "old, clears", "zeros");
    await fc.assert(
      fc.asyncProperty(fc.array(segment, { maxLength: 8 }), targets, async (layout, kind) => {
        const volume = volumeOfSegments(layout);
        const { objectId, repository } = await stored(volume);
        const old = new Uint8Array(volume.sizeBytes).fill(kind === "zeros" ? 0 : 0xaa);
        const target = memoryTarget(old, {
          canClear: kind === "old, clears",
          readsAsZeros: kind === "zeros",
        });
        const report = await restoreObject(repository, objectId, target);
        expect(Buffer.compare(target.bytes, volume.bytes)).toBe(0);
        expect(report).toMatchObject({ ok: true, losses: [], keptBytes: 0 });
        expect(report.doneBytes).toBe(volume.sizeBytes);
        expect(report.verifiedBytes).toBe(volume.sizeBytes);
        expect(report.writtenBytes).toBe(target.writtenBytes);
        expect(report.writtenBytes + report.zeroBytes).toBe(volume.sizeBytes);
        if (kind === "old") expect(report.zeroBytes).toBe(0);
        expect(target.flushes).toBe(1);
      }),
      { numRuns: 30 },
    );
  });

  it("writes no zeros onto zeros, and clears what it can", async () => {
    const bytes = new Uint8Array(20 << 20);
    bytes.set(splitmix64(1, 100_000), 7_000_000);
    const { objectId, repository } = await stored(memoryVolume(bytes));
    const zeros = memoryTarget(new Uint8Array(bytes.length), { readsAsZeros: true });
    await restoreObject(repository, objectId, zeros);
    expect(zeros.writtenBytes).toBeLessThan(200_000);
    const old = memoryTarget(new Uint8Array(bytes.length).fill(1), { canClear: true });
    await restoreObject(repository, objectId, old);
    expect(old.clearedBytes).toBeGreaterThan(bytes.length - 2_000_000);
    expect(Buffer.compare(old.bytes, bytes)).toBe(0);
  });

  it("leaves what is in place when it goes on with a restore that was cut off", async () => {
    const bytes = splitmix64(1, 5 << 20);
    const { objectId, repository } = await stored(memoryVolume(bytes));
    const half = bytes.slice();
    half.fill(0, 3 << 20);
    const target = memoryTarget(half);
    const report = await restoreObject(repository, objectId, target, { resume: true });
    expect(Buffer.compare(target.bytes, bytes)).toBe(0);
    expect(report.keptBytes).toBeGreaterThan(2 << 20);
    expect(report.keptBytes + target.writtenBytes).toBe(bytes.length);
  });

  it("finds that the target does not hold what was written", async () => {
    const bytes = splitmix64(1, 3 << 20);
    const { objectId, repository } = await stored(memoryVolume(bytes));
    const target: MemoryTarget = {
      ...memoryTarget(new Uint8Array(bytes.length)),
      async flush() {
        target.bytes[2_000_000]! ^= 1;
      },
    };
    const report = await restoreObject(repository, objectId, target);
    expect(report.ok).toBe(false);
    const [loss] = report.losses;
    expect(report.losses.length).toBe(1);
    expect(loss!.code).toBe("DM_RESTORE_DIFFERS");
    expect(loss!.start <= 2_000_000 && loss!.start + loss!.length > 2_000_000).toBe(true);
    expect(report.verifiedBytes).toBe(bytes.length - loss!.length);
    const unseen = await restoreObject(repository, objectId, target, { verifyContent: false });
    expect(unseen).toMatchObject({ ok: true, verifiedBytes: 0 });
  });

  it("restores around what the repository has lost, and lists it", async () => {
    const { repository, store } = await newRepository();
    const bytes = splitmix64(1, 3 << 20);
    // Each half in packs of its own.
    const ids: string[] = [];
    const packs: string[][] = [];
    for (const half of [bytes.subarray(0, 1 << 20), bytes.subarray(1 << 20)]) {
      await using session = await repository.openWriteSession();
      ids.push((await storeVolume(session, memoryVolume(half), { splitter })).objectId);
      await session.commit();
      const present: string[] = [];
      for await (const { id } of store.list("p")) present.push(id);
      packs.push(present);
    }
    await using session = await repository.openWriteSession();
    const objectId = await session.concatenateObjects(ids);
    await session.commit();
    await store.delete(packs[0]![0]!);
    const target = memoryTarget(new Uint8Array(bytes.length));
    const report = await restoreObject(repository, objectId, target);
    expect(report.ok).toBe(false);
    expect(report.losses[0]!.start).toBe(0);
    expect(report.losses.reduce((sum, { length }) => sum + length, 0)).toBe(1 << 20);
    expect(new Set(report.losses.map(({ code }) => code))).toEqual(new Set(["DM_PACK_NOT_FOUND"]));
    expect(Buffer.compare(target.bytes.subarray(1 << 20), bytes.subarray(1 << 20))).toBe(0);
  });

  it("an object of nothing restores to nothing", async () => {
    const { objectId, repository } = await stored(memoryVolume(new Uint8Array(0)));
    const report = await restoreObject(repository, objectId, memoryTarget(new Uint8Array(0)));
    expect(report).toMatchObject({ sizeBytes: 0, ok: true });
  });

  it("what the target says is thrown", async () => {
    const { objectId, repository } = await stored(memoryVolume(splitmix64(1, 1000)));
    const small = memoryTarget(new Uint8Array(10));
    await expect(restoreObject(repository, objectId, small)).rejects.toThrow("beyond the end");
  });
});

describe("the snapshot of a volume", () => {
  it("is a directory named by the device with one file of that name", async () => {
    const volume = memoryVolume(splitmix64(1, 3_000_000));
    const root = volumeSource(volume, { name: "/dev/vdb", openedAtNs: 5n });
    expect(root).toMatchObject({
      name: "/dev/vdb",
      mode: 0o777,
      modifiedAtNs: goZeroTimeNs,
      uid: 0,
    });
    const [file] = await root.list();
    expect(file).toMatchObject({ name: "/dev/vdb", mode: 0o777, modifiedAtNs: 5n, isStream: true });
    if (file?.type !== "f") throw new Error("no file");
    const pieces: Uint8Array[] = [];
    for await (const piece of file.read({ from: 1_000_000 })) pieces.push(piece.slice());
    expect(Buffer.compare(Buffer.concat(pieces), volume.bytes.subarray(1_000_000))).toBe(0);
  });

  it("has one file; everything else is refused", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const file = await fileIn(session, "/dev/vdb", new Uint8Array(5));
    const one = await directoryIn(session, "/dev/vdb", [file]);
    const two = await directoryIn(session, "d", [file, { ...file, name: "b" }]);
    const none = await directoryIn(session, "d", []);
    const nested = await directoryIn(session, "d", [one]);
    await session.commit();
    expect(await volumeFile(repository, one)).toEqual(file);
    expect(await volumeFile(repository, file)).toBe(file);
    for (const entry of [two, none, nested, entryOf({ type: "s" })])
      await expect(volumeFile(repository, entry)).rejects.toMatchObject({
        code: "DM_SNAPSHOT_NOT_OF_VOLUME",
      });
  });
});
