// A volume whose chunks worker threads hash and seal is the same object; a failure of theirs ends it, and nothing is lost.
import { describe, expect, it } from "vitest";
import { storeVolume, uploadVolume, verifySnapshot, volumePlane } from "../src/index.ts";
import { createDataPlane } from "../src/node/index.ts";
import { volumeSource } from "../src/volume/volume-entry.ts";
import { newRepository } from "./new-repository.ts";
import { type Segment, volumeOfSegments } from "./volume-in-memory.ts";

const layout: readonly Segment[] = [
  { kind: "random", length: 20_000_000, seed: 1 },
  { kind: "hole", length: 30_000_000, seed: 0 },
  { kind: "random", length: 5_000_000, seed: 2 },
  { kind: "zeros", length: 9_000_000, seed: 0 },
  { kind: "random", length: 12_345_678, seed: 1 },
];

describe("a volume stored by worker threads", () => {
  it.each([1, 3])("is the object of the whole stream, with %i of them", async (workers) => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    await using plane = createDataPlane(session, { workers });
    const volume = volumeOfSegments(layout);
    const compressor = "zstd-fastest";
    const stored = await storeVolume(session, volume, { sink: plane.chunks, compressor });
    const contents = session.progress.contentsWritten;
    expect(stored.objectId).toBe(await session.writeObject(volume.bytes, { compressor }));
    expect(session.progress.contentsWritten).toBe(contents);
    expect(volume.readBytes).toBe(volume.sizeBytes - 30_000_000);
  });

  it("is a snapshot that verifies", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    await using dataPlane = createDataPlane(session, { workers: 2 });
    const volume = volumeOfSegments(layout);
    const { snapshot } = await uploadVolume(session, volume, {
      source: { host: "h", userName: "u", path: "/dev/vdb" },
      name: "/dev/vdb",
      openedAtNs: 1n,
      dataPlane,
    });
    await session.commit();
    expect((await verifySnapshot(repository, snapshot)).ok).toBe(true);
  });

  it("fails when the plane is closed under it", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const plane = createDataPlane(session, { workers: 1 });
    const volume = volumeOfSegments(layout);
    const [file] = await volumeSource(volume, { name: "v", openedAtNs: 0n }).list();
    if (file?.type !== "f") throw new Error("no file");
    const task = volumePlane(session, plane, {
      onProgress: ({ doneBytes }) => {
        if (doneBytes > 10_000_000) void plane[Symbol.asyncDispose]();
      },
    }).store(file);
    await expect(task.done).rejects.toThrow("the data plane is closed");
  });
});
