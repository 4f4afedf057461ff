// A volume's snapshot has Velero's layout: that of the golden repository comes out byte for byte. Runs that were cut off go
// on; what has not changed is not read.
import { splitmix64 } from "@dm/fixtures";
import { openRepository, parseTime } from "@dm/repo";
import { memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import {
  encodeDirectory,
  findEntry,
  findVeleroParent,
  listSnapshots,
  openFile,
  putSnapshot,
  readDirectory,
  type UploadVolumeOptions,
  uploadVolume,
  type Volume,
  veleroSnapshot,
  veleroSource,
  veleroTags,
  verifySnapshot,
  volumeFile,
} from "../src/index.ts";
import { newRepository } from "./new-repository.ts";
import { memoisedDeriveKey, openGolden } from "./open-golden.ts";
import { memoryVolume, volumeOfSegments } from "./volume-in-memory.ts";

const mover = "snapshot-data-upload-download";
const options: UploadVolumeOptions = {
  source: veleroSource(mover, ["shop", "disk"]),
  tags: veleroTags(mover),
  ...veleroSnapshot,
  name: "/dev/vdb",
  openedAtNs: 1_800_000_000_000_000_000n,
};

describe("uploadVolume", () => {
  it("gives the directories and files of Velero's golden repository", async () => {
    const { golden, repository: theirs } = await openGolden("velero-block");
    const ours = await openRepository(memoryStore({ blobs: golden.blobs }), {
      password: golden.expected.password,
      deriveKey: memoisedDeriveKey,
    });
    for (const listed of await listSnapshots(theirs)) {
      const root = listed.rootEntry!;
      const file = await volumeFile(theirs, root);
      const bytes = await (await openFile(theirs, file)).read();
      const { snapshot } = await uploadVolume(ours, memoryVolume(bytes), {
        ...options,
        source: listed.source,
        tags: listed.tags,
        name: root.name,
        openedAtNs: file.modifiedAtNs,
        startedAtNs: listed.startedAtNs,
        endedAtNs: listed.endedAtNs,
      });
      expect({ ...snapshot, id: "" }).toEqual({ ...listed, id: "" });
      expect((await findVeleroParent(ours, listed.source, mover))!.source).toEqual(listed.source);
    }
    expect((await listSnapshots(ours)).length).toBe(4);
  });

  it("says what it read and what it did not", async () => {
    const { repository } = await newRepository();
    const volume = volumeOfSegments([
      { kind: "random", length: 3 << 20, seed: 1 },
      { kind: "hole", length: 20 << 20, seed: 0 },
    ]);
    const { snapshot, volume: done } = await uploadVolume(repository, volume, options);
    expect(done).toMatchObject({ sizeBytes: 23 << 20, doneBytes: 23 << 20, readBytes: 3 << 20 });
    expect(done.zeroBytes).toBeGreaterThan(10 << 20);
    expect(snapshot.stats).toMatchObject({ totalSize: 23 << 20, nonCachedFiles: 1, dirCount: 1 });
    const { entries } = await readDirectory(repository, snapshot.rootEntry!);
    expect(entries.map(({ name }) => name)).toEqual(["/dev/vdb"]);
    expect((await verifySnapshot(repository, snapshot)).ok).toBe(true);
    const found = await findEntry(repository, snapshot.rootEntry!, "dev/vdb");
    const bytes = await (await openFile(repository, found)).read();
    expect(Buffer.compare(bytes, volume.bytes)).toBe(0);
  });

  it("takes over what has not changed", async () => {
    const { repository } = await newRepository();
    const before = splitmix64(1, 40 << 20);
    const first = await uploadVolume(repository, memoryVolume(before), options);
    const base = await volumeFile(repository, first.snapshot.rootEntry!);
    const after = before.slice();
    after.set(splitmix64(2, 5000), 20 << 20);
    const changedBlocks = {
      baseObjectId: base.objectId,
      ranges: [{ start: 20 << 20, length: 5000 }],
    };
    const second = await uploadVolume(repository, memoryVolume(after), {
      ...options,
      changedBlocks,
    });
    expect(second.volume.keptBytes).toBeGreaterThan(20 << 20);
    expect(second.volume.readBytes + second.volume.keptBytes).toBe(after.length);
    const file = await volumeFile(repository, second.snapshot.rootEntry!);
    const full = await uploadVolume(repository, memoryVolume(after), options);
    expect((await volumeFile(repository, full.snapshot.rootEntry!)).objectId).toBe(file.objectId);
  });

  it("goes on behind the checkpoint of a run that was cut off", async () => {
    const { repository } = await newRepository();
    const bytes = splitmix64(1, 40 << 20);
    const controller = new AbortController();
    const slow: Volume = {
      ...memoryVolume(bytes),
      async read(target, offset) {
        if (offset >= 24 << 20) controller.abort(new Error("killed"));
        target.set(bytes.subarray(offset, offset + target.length));
      },
    };
    const cutOff = uploadVolume(repository, slow, {
      ...options,
      signal: controller.signal,
      saveOnAbort: true,
    });
    const { snapshot: incomplete } = await cutOff;
    expect(incomplete.incompleteReason).toBe("canceled");
    const volume = memoryVolume(bytes);
    const { snapshot, volume: done } = await uploadVolume(repository, volume, {
      ...options,
      resume: true,
    });
    expect(snapshot.incompleteReason).toBeUndefined();
    expect(done.keptBytes).toBeGreaterThan(8 << 20);
    expect(volume.readBytes).toBe(bytes.length - done.keptBytes);
    const file = await volumeFile(repository, snapshot.rootEntry!);
    const stored = await (await openFile(repository, file)).read();
    expect(Buffer.compare(stored, bytes)).toBe(0);
    const again = memoryVolume(bytes);
    await uploadVolume(repository, again, { ...options, resume: true });
    expect(again.readBytes).toBe(bytes.length);
  });

  it("reads everything again where the checkpoint is damaged", async () => {
    const { repository } = await newRepository();
    const volume = memoryVolume(splitmix64(1, 40 << 20));
    const limited = { ...options, uploadLimitBytes: 20 << 20 };
    const { snapshot } = await uploadVolume(repository, volume, limited);
    const lost = { ...snapshot.rootEntry!, objectId: `k${"0".repeat(32)}` };
    await using session = await repository.openWriteSession();
    const { entries, ...rest } = await readDirectory(repository, snapshot.rootEntry!);
    const gone = entries.map((entry) => ({ ...entry, objectId: `Ix${"0".repeat(32)}` }));
    const stream = encodeDirectory({ ...rest, entries: gone });
    const empty = await session.writeObject(stream, { prefix: "k" });
    let startedAtNs = 2n ** 62n;
    for (const rootEntry of [lost, { ...lost, objectId: empty }]) {
      // Later than all that is made here.
      startedAtNs += 1n;
      putSnapshot(session, { ...snapshot, rootEntry, startedAtNs });
      await session.flush();
      const again = await uploadVolume(repository, volume, { ...limited, resume: true });
      expect(again.volume).toMatchObject({ keptBytes: 0 });
    }
  });

  it("ends at a number of bytes, for the next run to go on", async () => {
    const { repository } = await newRepository();
    const volume = memoryVolume(splitmix64(1, 40 << 20));
    const named = { ...options, name: "point" };
    const limited = { ...named, uploadLimitBytes: 20 << 20 };
    const { snapshot } = await uploadVolume(repository, volume, limited);
    expect(snapshot.incompleteReason).toBe("limit reached");
    // What is taken over does not count, or no run would ever get further.
    const next = await uploadVolume(repository, volume, { ...limited, resume: true });
    expect(next.volume.keptBytes).toBeGreaterThan(8 << 20);
    expect(next.volume.readBytes).toBeGreaterThan(16 << 20);
    const { volume: done } = await uploadVolume(repository, volume, { ...named, resume: true });
    expect(done.keptBytes).toBeGreaterThan(24 << 20);
  });

  it("fails when the volume cannot be read, and keeps what it has for the next run", async () => {
    const { repository } = await newRepository();
    const bytes = splitmix64(1, 40 << 20);
    const whole = memoryVolume(bytes);
    const broken: Volume = {
      sizeBytes: bytes.length,
      async read(target, offset, call) {
        if (offset >= 32 << 20) throw new Error("no medium");
        return whole.read(target, offset, call);
      },
    };
    const uploading = uploadVolume(repository, broken, options);
    await expect(uploading).rejects.toThrow("no medium");
    const reasons = (await listSnapshots(repository)).map((each) => each.incompleteReason);
    expect(reasons).toEqual(["checkpoint"]);
    const { volume: done } = await uploadVolume(repository, whole, { ...options, resume: true });
    expect(done.keptBytes).toBeGreaterThan(16 << 20);
  });
});

it("Go's zero time is the year 1 in 64 bits", () => {
  expect(BigInt.asIntN(64, parseTime("0001-01-01T00:00:00Z"))).toBe(-6795364578871345152n);
});
