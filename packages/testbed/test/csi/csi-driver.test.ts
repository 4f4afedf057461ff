// Volumes under pods' directories without root: links, taken away again, over restarts too; and writers held still for copies.
import { lstat, mkdir, mkdtemp, readdir, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDmError } from "@dm/core";
import { describe, expect, it } from "vitest";
import { CsiDriver } from "../../src/csi/csi-driver.ts";
import type { VolumeTarget } from "../../src/kubelet/volume-driver.ts";
import { virtualClock } from "../../src/virtual-clock.ts";
import { createWorld } from "./storage-world.ts";

const refusedWith = (code: string) => expect.toSatisfy((error) => isDmError(error, code));

describe("publishing", () => {
  it.each([
    ["Filesystem", "isDirectory"],
    ["Block", "isFile"],
  ] as const)(
    "puts a %s volume at its target, as often as it is asked, and takes it away",
    async (volumeMode, isIt) => {
      await using world = await createWorld();
      world.createStorageClass("standard");
      await world.boundClaim("data", { volumeMode });
      const path = await world.mount("data");
      expect(await world.mount("data")).toBe(path);
      const [target] = world.driver.publications();
      expect(await readlink(target!.targetPath)).toBe(path);
      expect((await lstat(path))[isIt]()).toBe(true);
      await world.unmount("data");
      await world.unmount("data");
      expect(world.driver.publications()).toEqual([]);
      await expect(lstat(target!.targetPath)).rejects.toThrow("ENOENT");
    },
  );

  it("lets one node have a ReadWriteOnce volume, all nodes a Many one, one pod a ReadWriteOncePod one", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    await world.boundClaim("once");
    await world.boundClaim("many", { accessModes: ["ReadWriteMany"] });
    await world.boundClaim("pod", { accessModes: ["ReadWriteOncePod"] });
    for (const claim of ["once", "many", "pod"])
      await world.mount(claim, { pod: "p1", node: "n1" });
    await world.mount("once", { pod: "p2", node: "n1" });
    await world.mount("many", { pod: "p2", node: "n2" });
    await expect(world.mount("once", { pod: "p3", node: "n2" })).rejects.toThrow(
      /^Multi-Attach error for volume/,
    );
    await expect(world.mount("pod", { pod: "p2", node: "n1" })).rejects.toThrow(
      /already in use by another pod/,
    );
    await world.unmount("once", { pod: "p1", node: "n1" });
    await world.unmount("once", { pod: "p2", node: "n1" });
    await world.mount("once", { pod: "p3", node: "n2" });
  });

  it("keeps the bytes of a volume that a pod has", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    await world.boundClaim("data");
    await world.mount("data");
    const [volume] = world.driver.volumes();
    await expect(world.driver.deleteVolume("app/data", volume!.handle)).rejects.toThrow(
      refusedWith("DM_CSI_VOLUME_IN_USE"),
    );
    await world.unmount("data");
    await world.driver.deleteVolume("app/data", volume!.handle);
  });

  it("takes away at the start what a killed process left, and only that", async () => {
    const directory = await mkdtemp(join(tmpdir(), "dm-driver-"));
    const clock = virtualClock(0);
    try {
      const first = await CsiDriver.open({ clock, directory, canMount: false });
      const { handle } = await first.createVolume("app/data", {
        name: "v",
        kind: "directory",
        sizeBytes: 0,
      });
      const targets = join(directory, "pod");
      await mkdir(targets);
      const target: VolumeTarget = {
        volumeName: "v",
        podUid: "u",
        nodeName: "n",
        volumeMode: "Filesystem",
        targetPath: join(targets, "v"),
      };
      const object = {
        apiVersion: "v1",
        kind: "X",
        metadata: { name: "x", uid: "u", resourceVersion: "1", creationTimestamp: "" },
      };
      const { path } = await first.publish({
        ...target,
        claim: { ...object, metadata: { ...object.metadata, namespace: "app" } },
        volume: { ...object, spec: { csi: { volumeHandle: handle } } },
        pod: { ...object, spec: {} },
        readOnly: false,
      });
      await writeFile(join(path, "file"), "text");
      await symlink("elsewhere", join(targets, "foreign"));
      // Not closed: killed.
      const second = await CsiDriver.open({ clock, directory, canMount: false });
      expect(second.publications()).toEqual([]);
      expect(await readdir(targets)).toEqual(["foreign"]);
      expect(await readdir(path)).toEqual(["file"]);
      await second.close();
      expect(await readdir(path)).toEqual(["file"]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("leaves nothing of a driver without a directory", async () => {
    // A temporary folder of its own: other tests make drivers, too.
    const temporary = await mkdtemp(join(tmpdir(), "dm-temporary-"));
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = temporary;
    try {
      const driver = await CsiDriver.open({ clock: virtualClock(0), canMount: false });
      await driver.createVolume("app/data", { name: "v", kind: "raw", sizeBytes: 1 << 20 });
      const { handle } = driver.volumes()[0]!;
      await driver.createSnapshot("app/cut", { name: "s", volumeHandle: handle });
      expect(await readdir(temporary)).toHaveLength(1);
      await driver.close();
      expect(await readdir(temporary)).toEqual([]);
    } finally {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
      await rm(temporary, { recursive: true });
    }
  });
});

describe("copies", () => {
  it("are made while the writers of the volume stand still", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    const { volumeName } = (await world.boundClaim("data")).spec;
    await world.boundClaim("other");
    const path = await world.mount("data");
    await world.mount("other");
    const seen: string[] = [];
    world.driver.useWriters({
      async freeze(name) {
        seen.push(`freeze ${name}`);
        // The last thing written before they stand still is in the copy, what follows is not.
        await writeFile(join(path, "file"), "while stopping");
        return () => {
          seen.push(`thaw ${name}, ${world.driver.snapshots().length} cut`);
        };
      },
    });
    await world.readySnapshot("cut", "data");
    expect(seen).toEqual([`freeze ${volumeName}`, `thaw ${volumeName}, 1 cut`]);
  });

  it("let the writers go on when they fail", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    await world.boundClaim("data");
    const path = await world.mount("data");
    let held = 0;
    world.driver.useWriters({
      async freeze() {
        held += 1;
        await rm(path, { recursive: true });
        return () => {
          held -= 1;
        };
      },
    });
    const [volume] = world.driver.volumes();
    await expect(
      world.driver.createSnapshot("app/cut", { name: "s", volumeHandle: volume!.handle }),
    ).rejects.toThrow(refusedWith("DM_CSI_COMMAND_FAILED"));
    expect(held).toBe(0);
    expect(world.driver.snapshots()).toEqual([]);
  });
});

describe("what the driver says of itself", () => {
  it("names the kinds that it has, what their copies are, and whose size is a limit", async () => {
    await using world = await createWorld();
    const lines = world.driver.describe().split("\n");
    expect(lines.map((line) => line.slice(0, line.indexOf(":")))).toEqual([
      "directory",
      "raw",
      "ext4, xfs",
    ]);
    expect(lines[0]).toContain("Its size is not a limit");
  });

  it("refuses a file system that it does not have", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard", { parameters: { "csi.storage.k8s.io/fstype": "xfs" } });
    world.createClaim("data");
    await expect
      .poll(() => world.messages("data").join())
      .toContain("no xfs volumes here; there are: directory");
  });
});
