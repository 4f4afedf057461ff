/*
 * Drawn lives of claims, volumes and volume snapshots under drawn faults, in virtual time: no volume ever has two claims, whatever is
 * restored holds what was cut, and once all is deleted the storage is empty. Seeded (DM_SEED); 100 seeds with DM_FULL=1.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type SeededRandom, seededRandom } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import type { CsiOperation } from "../../src/csi/faults.ts";
import { resources } from "../../src/csi/storage-names.ts";
import { createWorld, namespace, type StorageWorld, until } from "./storage-world.ts";

const firstSeed = Number(process.env["DM_SEED"] ?? Date.now() % 2 ** 31);
const seeds = Array.from(
  { length: process.env["DM_FULL"] ? 100 : 3 },
  (_, index) => firstSeed + index,
);
const steps = 100;

const operations: readonly CsiOperation[] = [
  "createVolume",
  "deleteVolume",
  "createSnapshot",
  "deleteSnapshot",
  "publish",
];

class Life {
  readonly world: StorageWorld;
  readonly random: SeededRandom;
  /** What the file of a claim holds; claims that were mounted. */
  readonly written = new Map<string, string>();
  /** What the file of a claim held when the snapshot was cut. */
  readonly cut = new Map<string, string | undefined>();
  readonly counts: Record<string, number> = {};
  #names = 0;

  constructor(world: StorageWorld, seed: number) {
    this.world = world;
    this.random = seededRandom(seed);
  }

  names(resource: string): string[] {
    const space = resource === resources.claims || resource === resources.snapshots;
    return this.world.api
      .list(resource, space ? namespace : undefined)
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(({ metadata }) => metadata.name);
  }

  #claims(phase: string): string[] {
    return this.names(resources.claims).filter(
      (name) => this.world.claim(name).status.phase === phase,
    );
  }

  #new(prefix: string): string {
    return `${prefix}-${this.#names++}`;
  }

  async step(): Promise<void> {
    const { world, random } = this;
    const acts: Record<string, () => void | Promise<void>> = {
      createClaim: () => {
        world.createClaim(this.#new("claim"), {
          storageClassName: random.pick(["delete", "retain"]),
        });
      },
      createSnapshot: async () => {
        // Only of what is not being changed, so that it is known what it must hold.
        const claim = this.#pick(this.#claims("Bound"));
        const name = this.#new("cut");
        this.cut.set(name, this.#contentOf(claim));
        world.createSnapshot(
          name,
          { persistentVolumeClaimName: claim },
          random.pick(["delete", "retain"]),
        );
        await until(world, () => this.#isCutOrHopeless(name));
      },
      restore: () => {
        const name = this.#pick(this.names(resources.snapshots));
        const claim = this.#new(`of-${name}-claim`);
        const dataSource = { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name };
        world.createClaim(claim, {
          storageClassName: random.pick(["delete", "retain"]),
          dataSource,
        });
      },
      use: async () => {
        const claim = this.#pick(this.#claims("Bound"));
        const path = await world.mount(claim).catch(() => undefined);
        if (path === undefined) return;
        await this.#checkRestored(claim, path);
        const text = `written ${this.#names++}`;
        await writeFile(join(path, "file"), text);
        this.written.set(claim, text);
        await world.unmount(claim);
      },
      deleteClaim: () => {
        world.api.delete(resources.claims, namespace, this.#pick(this.names(resources.claims)));
      },
      deleteSnapshot: () => {
        world.api.delete(
          resources.snapshots,
          namespace,
          this.#pick(this.names(resources.snapshots)),
        );
      },
      fault: () => {
        const operation = random.pick(operations);
        const times = 1 + random.integer(3);
        world.driver.faults.add({ operation, times, error: "drawn" });
      },
      wait: async () => {
        let turns = 1 + random.integer(40);
        await until(world, () => turns-- === 0);
      },
    };
    const name = random.pick(Object.keys(acts));
    try {
      await acts[name]!();
      this.counts[name] = (this.counts[name] ?? 0) + 1;
    } catch (error) {
      if (!(error instanceof NothingToPick)) throw error;
    }
  }

  #pick(names: readonly string[]): string {
    if (names.length === 0) throw new NothingToPick();
    return this.random.pick(names);
  }

  #isCutOrHopeless(name: string): boolean {
    const { status } = this.world.snapshot(name);
    return (
      status?.creationTime !== undefined ||
      /cannot get claim|not yet bound/.test(status?.error?.message)
    );
  }

  async #checkRestored(claim: string, path: string): Promise<void> {
    const found = await readFile(join(path, "file"), "utf8").catch(() => undefined);
    expect([claim, found]).toEqual([claim, this.#contentOf(claim)]);
  }

  /** What was written last, or what was in the snapshot that it was made from. */
  #contentOf(claim: string): string | undefined {
    const source = /^of-(cut-\d+)-claim/.exec(claim)?.[1];
    return this.written.get(claim) ?? (source === undefined ? undefined : this.cut.get(source));
  }

  /** No two claims have one volume, and both sides say the same. */
  checkBinding(): void {
    const bound = this.#claims("Bound").map((name) => this.world.claim(name));
    const volumes = bound.map(({ spec }) => spec.volumeName);
    expect(new Set(volumes).size).toBe(volumes.length);
    for (const { metadata, spec } of bound)
      expect(this.world.volume(spec.volumeName).spec.claimRef.uid).toBe(metadata.uid);
  }

  /** Everything is deleted, what was retained too. */
  async end(): Promise<void> {
    const { world } = this;
    world.driver.faults.clear();
    for (const resource of [resources.claims, resources.snapshots])
      for (const name of this.names(resource)) world.api.delete(resource, namespace, name);
    const left = (resource: string): number => world.api.list(resource).length;
    await until(world, () => left(resources.claims) + left(resources.snapshots) === 0);
    await until(world, () => {
      this.#giveUpRetained();
      return left(resources.volumes) + left(resources.contents) === 0;
    });
  }

  /** More than once: a volume may have been under way when its claim was deleted. */
  #giveUpRetained(): void {
    const { api } = this.world;
    for (const name of this.names(resources.volumes))
      api.modify(resources.volumes, "", name, (volume) => {
        volume.spec.persistentVolumeReclaimPolicy = "Delete";
      });
    for (const name of this.names(resources.contents)) {
      api.modify(resources.contents, "", name, (content) => {
        content.spec.deletionPolicy = "Delete";
      });
      api.delete(resources.contents, "", name);
    }
  }
}

class NothingToPick extends Error {}

describe.each(seeds)("a drawn life (DM_SEED=%i)", (seed) => {
  it("ends with nothing left, and with every copy true", async () => {
    await using world = await createWorld();
    for (const [name, reclaimPolicy] of [
      ["delete", "Delete"],
      ["retain", "Retain"],
    ])
      world.createStorageClass(name!, { reclaimPolicy });
    const life = new Life(world, seed);
    for (let step = 0; step < steps; step++) {
      await life.step();
      life.checkBinding();
    }
    await life.end();
    expect(world.driver.volumes()).toEqual([]);
    expect(world.driver.snapshots()).toEqual([]);
    expect(world.driver.publications()).toEqual([]);
    process.stdout.write(`DM_SEED=${seed}: ${JSON.stringify(life.counts)}\n`);
  });
});
