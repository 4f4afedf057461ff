// All of the storage together, with as many volumes as a large test has: each is cut and restored, all go, and nothing is left.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { resources } from "../../src/csi/storage-names.ts";
import { createWorld, namespace, until } from "./storage-world.ts";

const count = process.env["DM_FULL"] ? 200 : 40;

describe("the storage of a cluster", () => {
  it(`serves ${count} volumes at once and keeps none of them`, async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    const names = Array.from({ length: count }, (_, index) => `data-${index}`);
    const isBound = (name: string): boolean => world.claim(name).status.phase === "Bound";

    for (const name of names) world.createClaim(name);
    await until(world, () => names.every(isBound));
    for (const name of names) {
      await writeFile(join(await world.mount(name), "file"), name);
      world.createSnapshot(name, { persistentVolumeClaimName: name });
    }
    await until(world, () =>
      names.every((name) => world.snapshot(name).status?.readyToUse === true),
    );
    for (const name of names)
      world.createClaim(`restored-${name}`, {
        dataSource: { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name },
      });
    await until(world, () => names.every((name) => isBound(`restored-${name}`)));
    for (const name of names) {
      const path = join(await world.mount(`restored-${name}`), "file");
      expect(await readFile(path, "utf8")).toBe(name);
      for (const claim of [name, `restored-${name}`]) {
        await world.unmount(claim);
        world.api.delete(resources.claims, namespace, claim);
      }
      world.api.delete(resources.snapshots, namespace, name);
    }
    const left = (): number =>
      [
        resources.claims,
        resources.volumes,
        resources.snapshots,
        resources.contents,
        resources.attachments,
      ]
        .map((resource) => world.api.list(resource).length)
        .reduce((sum, each) => sum + each);
    await until(world, () => left() === 0);
    expect(world.driver.volumes()).toEqual([]);
    expect(world.driver.snapshots()).toEqual([]);
    expect(world.driver.publications()).toEqual([]);
  });

  it("registers its driver, once", async () => {
    await using world = await createWorld();
    expect(world.api.list(resources.drivers)).toMatchObject([
      { metadata: { name: "csi.testbed.dm" }, spec: { attachRequired: true } },
    ]);
  });
});
