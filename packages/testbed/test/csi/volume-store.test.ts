// The storage system: the same name gives the same volume, records survive, half-made things do not.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDmError } from "@dm/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createContents } from "../../src/csi/volume-content.ts";
import { VolumeStore } from "../../src/csi/volume-store.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "dm-volume-store-"));
});
afterEach(() => rm(root, { recursive: true }));

const contents = createContents({ canMount: false });
const open = (): Promise<VolumeStore> => VolumeStore.open(root, contents);
const wanted = { name: "pvc-1", kind: "directory", sizeBytes: 1000, createdAtMs: 1 } as const;
const refusedWith = (code: string) => expect.toSatisfy((error) => isDmError(error, code));

describe("the volume store", () => {
  it("makes one volume for one name", async () => {
    const store = await open();
    const first = await store.createVolume(wanted);
    expect(await store.createVolume(wanted)).toEqual(first);
    expect(store.volumes()).toEqual([first]);
  });

  it("keeps volumes and volume snapshots over a restart, and bytes in them", async () => {
    const store = await open();
    const volume = await store.createVolume(wanted);
    await writeFile(join(await store.stage(volume.handle), "file"), "text");
    const cut = await store.createSnapshot({
      name: "s",
      volumeHandle: volume.handle,
      createdAtMs: 2,
    });
    const again = await open();
    expect(again.volumes()).toEqual([volume]);
    expect(again.snapshots()).toEqual([cut]);
    const restored = await again.createVolume({ ...wanted, name: "pvc-2", source: cut.handle });
    expect(await readFile(join(await again.stage(restored.handle), "file"), "utf8")).toBe("text");
  });

  it("takes away what was half made or half deleted", async () => {
    await mkdir(join(root, "volumes", "draft-vol-1", "data"), { recursive: true });
    await mkdir(join(root, "snapshots", "draft-snap-1"), { recursive: true });
    const store = await open();
    expect(store.volumes()).toEqual([]);
    expect(await readdir(join(root, "volumes"))).toEqual([]);
    expect(await readdir(join(root, "snapshots"))).toEqual([]);
  });

  it("leaves nothing of a volume that could not be made", async () => {
    const store = await open();
    await expect(store.createVolume({ ...wanted, source: "snap-missing" })).rejects.toThrow(
      refusedWith("DM_CSI_SNAPSHOT_NOT_FOUND"),
    );
    expect(await readdir(join(root, "volumes"))).toEqual([]);
  });

  it("refuses a volume smaller than its source, and of another kind", async () => {
    const store = await open();
    const volume = await store.createVolume(wanted);
    const { handle: source } = await store.createSnapshot({
      name: "s",
      volumeHandle: volume.handle,
      createdAtMs: 2,
    });
    for (const change of [{ sizeBytes: 999 }, { kind: "raw" as const }])
      await expect(
        store.createVolume({ ...wanted, name: "pvc-2", source, ...change }),
      ).rejects.toThrow(refusedWith("DM_CSI_SOURCE_UNSUITABLE"));
  });

  it("refuses a second volume snapshot of the same name of another volume", async () => {
    const store = await open();
    const one = await store.createVolume(wanted);
    const two = await store.createVolume({ ...wanted, name: "pvc-2" });
    await store.createSnapshot({ name: "s", volumeHandle: one.handle, createdAtMs: 2 });
    await expect(
      store.createSnapshot({ name: "s", volumeHandle: two.handle, createdAtMs: 2 }),
    ).rejects.toThrow(refusedWith("DM_CSI_SNAPSHOT_EXISTS"));
  });

  it("keeps a volume snapshot when its volume is deleted, and deletes only what is named", async () => {
    const store = await open();
    const volume = await store.createVolume(wanted);
    const cut = await store.createSnapshot({
      name: "s",
      volumeHandle: volume.handle,
      createdAtMs: 2,
    });
    await store.deleteVolume(volume.handle);
    await store.deleteVolume(volume.handle);
    expect(store.volumes()).toEqual([]);
    expect(store.snapshots()).toEqual([cut]);
    await store.deleteSnapshot(cut.handle);
    expect(await readdir(join(root, "snapshots"))).toEqual([]);
    expect(() => store.volume(volume.handle)).toThrow(refusedWith("DM_CSI_VOLUME_NOT_FOUND"));
  });

  it("makes what is too small as large as it must be, and enlarges", async () => {
    const store = await open();
    const volume = await store.createVolume({ ...wanted, kind: "raw", sizeBytes: 0 });
    expect(volume.sizeBytes).toBe(512);
    expect(await store.expandVolume(volume.handle, 4096)).toMatchObject({
      sizeBytes: 4096,
      growsWhenStaged: false,
    });
    expect((await open()).volume(volume.handle).sizeBytes).toBe(4096);
  });
});
