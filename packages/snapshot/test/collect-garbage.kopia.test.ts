// The real kopia and we collect garbage and maintain one repository in turn: its snapshots verify to the last byte, the space
// of deleted ones comes back as with kopia alone, and kopia reads what our runs recorded.
import { cpSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type MaintenanceReport, runMaintenance } from "@dm/repo";
import { describe, expect, it } from "vitest";
import { collectGarbage } from "../src/index.ts";
import { KopiaClient, kopiaPeer } from "./kopia-client.ts";

const pseudoRandom = (length: number, seed: number): Uint8Array => {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 16;
  });
};

/** Bytes of packs: what maintenance is for. */
function packBytes(path: string): number {
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => /^([pq]|.*\/[pq0-9a-f])/.test(name) && /(^|\/)[pq]/.test(name))
    .map((name) => statSync(join(path, name)))
    .filter((stat) => stat.isFile())
    .reduce((sum, { size }) => sum + size, 0);
}

async function maintainByUs(client: KopiaClient): Promise<MaintenanceReport> {
  await using repository = await client.open();
  return runMaintenance(repository, {
    mode: "full",
    safety: "none",
    force: true,
    collectGarbage,
  });
}

const maintainByKopia = (client: KopiaClient): Promise<string> =>
  client.run("maintenance", "run", "--full", "--safety=none");

async function expectSound(client: KopiaClient): Promise<void> {
  await client.run("snapshot", "verify", "--verify-files-percent=100");
  await client.run("content", "verify", "--full");
}

interface ListedSnapshot {
  readonly id: string;
}

const snapshotsOf = async (client: KopiaClient): Promise<ListedSnapshot[]> =>
  JSON.parse(await client.run("snapshot", "list", "--all", "--json"));

/** A tree that changes with the seed, apart from one file. */
async function snapshotByKopia(client: KopiaClient, seed: number): Promise<void> {
  const tree = join(client.folder, "tree");
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "same"), pseudoRandom(300_000, 7));
  writeFileSync(join(tree, "sub", "changes"), pseudoRandom(2_000_000, seed));
  writeFileSync(join(tree, "sub", `small${seed}`), `${seed}`);
  await client.run("snapshot", "create", "--no-auto-maintenance", tree);
}

async function withDeletedSnapshots(version: string): Promise<KopiaClient> {
  const client = new KopiaClient();
  await client.create(`--format-version=${version}`);
  for (let seed = 1; seed <= 5; seed += 1) await snapshotByKopia(client, seed);
  const ids = (await snapshotsOf(client)).map(({ id }) => id);
  for (const id of ids.slice(0, 4)) await client.run("snapshot", "delete", id, "--delete");
  return client;
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1100));

describe.skipIf(!kopiaPeer.path)("garbage collection beside kopia", () => {
  it.each(["1", "3"])(
    "gives space back as kopia does, format %s",
    { timeout: 120_000 },
    async (version) => {
      using client = await withDeletedSnapshots(version);
      const path = client.repositoryPath;
      const before = packBytes(path);
      const copy = join(client.folder, "copy");
      cpSync(path, copy, { recursive: true, preserveTimestamps: true });
      await pause();
      const { tasks } = await maintainByUs(client);
      await pause();
      await maintainByUs(client);
      const ours = packBytes(path);
      await expectSound(client);

      using alone = new KopiaClient();
      cpSync(copy, alone.repositoryPath, { recursive: true, preserveTimestamps: true });
      await alone.run("repository", "connect", "filesystem", "--path", alone.repositoryPath);
      await maintainByKopia(alone);
      await pause();
      await maintainByKopia(alone);
      const theirs = packBytes(alone.repositoryPath);

      console.log(
        `packs of format ${version}: ${before} bytes, ${ours} after us, ${theirs} after kopia`,
      );
      expect(before).toBeGreaterThan(9_000_000);
      expect(ours).toBeLessThanOrEqual(theirs * 1.01);
      expect(ours).toBeGreaterThan(2_300_000);
      expect(tasks.map(({ task }) => task).slice(0, 4)).toEqual([
        "snapshot-gc",
        "full-rewrite-contents",
        "full-drop-deleted-content",
        "full-delete-blobs",
      ]);
      const info = await client.run("maintenance", "info");
      expect(info).toMatch(
        /snapshot-gc:\n.*SUCCESS: Found \d+\(\d+\) unreferenced contents and marked /,
      );
      expect(info).toMatch(
        /full-drop-deleted-content:\n.*SUCCESS: Dropped contents deleted before 20/,
      );
    },
  );

  it("counts what kopia counts", { timeout: 60_000 }, async () => {
    using client = await withDeletedSnapshots("3");
    let found: Awaited<ReturnType<typeof collectGarbage>>;
    {
      await using repository = await client.open();
      found = await collectGarbage(repository, { minAgeMs: 0, dryRun: true });
    }
    await maintainByKopia(client);
    const { schedule } = JSON.parse(await client.run("maintenance", "info", "--json"));
    const [{ extra }] = schedule.runs["snapshot-gc"];
    expect({ ...extra[0].data }).toMatchObject({
      unreferencedContentCount: found.unreferencedContentCount,
      unreferencedContentSize: found.unreferencedContentSize,
      inUseContentCount: found.inUseContentCount,
      inUseContentSize: found.inUseContentSize,
      inUseSystemContentCount: found.inUseSystemContentCount,
    });
  });

  it("alternates over a repository that goes on changing", { timeout: 180_000 }, async () => {
    using client = await withDeletedSnapshots("3");
    for (let round = 0; round < 4; round += 1) {
      await snapshotByKopia(client, 100 + round);
      const [oldest] = await snapshotsOf(client);
      await client.run("snapshot", "delete", oldest!.id, "--delete");
      await pause();
      if (round % 2 === 0) await maintainByUs(client);
      else await maintainByKopia(client);
      await expectSound(client);
    }
    expect(await snapshotsOf(client)).toHaveLength(1);
  });
});
