// Kopia and we back up a changing tree in turn, into one repository, under policies that either sets, with maintenance by
// either: each takes over what the other has stored, reads only what has changed, and both find everything sound.
import { mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Json, seededRandom } from "@dm/fixtures";
import { runMaintenance } from "@dm/repo";
import { afterAll, describe, expect, it } from "vitest";
import {
  collectGarbage,
  emptyPolicy,
  listSnapshots,
  setPolicy,
  uploadSnapshot,
  verifySnapshot,
} from "../src/index.ts";
import { createDataPlane, openLocalSource } from "../src/node/index.ts";
import { KopiaClient, kopiaPeer } from "./kopia-client.ts";

const seed = Number(process.env["DM_SEED"] ?? Date.now() % 1_000_000);
const random = seededRandom(seed);
const rounds = 10;
const filesPerDirectory = 12;
const directories = 8;

interface Outcome {
  readonly root: string;
  readonly read: number;
  readonly cached: number;
}

describe.skipIf(!kopiaPeer.available)(kopiaPeer.title(`in turn (DM_SEED=${seed})`), () => {
  const folder = mkdtempSync(join(tmpdir(), "dm-turns-"));
  const tree = join(folder, "tree");
  const source = { host: "host", userName: "user", path: tree };
  const kopia = new KopiaClient();
  afterAll(() => {
    kopia[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  let clock = 1_600_000_000;
  const write = (path: string): void => {
    writeFileSync(join(tree, path), random.bytes(random.integer(60_000)));
    utimesSync(join(tree, path), clock, clock++);
  };
  const anyFile = (): string =>
    `d${random.integer(directories)}/f${random.integer(filesPerDirectory)}`;

  /** Changes some files; answers how many are to be read. */
  function change(round: number): number {
    const changed = new Set(Array.from({ length: 1 + random.integer(6) }, anyFile));
    for (const path of changed) write(path);
    write(`new ${round}`);
    mkdirSync(join(tree, `empty ${round}`));
    if (round > 1) rmSync(join(tree, `new ${round - 2}`));
    if (round > 2) renameSync(join(tree, `empty ${round - 1}`), join(tree, `renamed ${round}`));
    return changed.size + 1;
  }

  async function theirs(): Promise<Outcome> {
    const out = await kopia.run(
      ...["snapshot", "create", tree, "--json", "--json-verbose", "--no-auto-maintenance"],
    );
    const { rootEntry, stats }: Json = JSON.parse(out);
    return { root: rootEntry.obj, read: stats.nonCachedFiles, cached: stats.cachedFiles };
  }

  async function ours(workers: number): Promise<Outcome> {
    await using repository = await kopia.open();
    await using session = await repository.openWriteSession();
    await using dataPlane = createDataPlane(session, { workers });
    const root = await openLocalSource(tree);
    const { rootEntry, stats } = await uploadSnapshot(session, root, { source, dataPlane });
    return { root: rootEntry!.objectId, read: stats.nonCachedFiles, cached: stats.cachedFiles };
  }

  async function maintain(byKopia: boolean): Promise<void> {
    if (byKopia) {
      await kopia.run("maintenance", "run", "--full", "--safety=none");
      return;
    }
    await using repository = await kopia.open();
    const options = { mode: "full", safety: "none", force: true, collectGarbage } as const;
    await runMaintenance(repository, options);
  }

  async function expectSound(): Promise<void> {
    await kopia.run("snapshot", "verify", "--verify-files-percent=100");
    await using repository = await kopia.open();
    for (const snapshot of await listSnapshots(repository))
      expect((await verifySnapshot(repository, snapshot, { readFiles: "all" })).findings).toEqual(
        [],
      );
  }

  it(`${rounds} rounds`, { timeout: 300_000 }, async () => {
    await kopia.create("--override-hostname=host", "--override-username=user");
    for (let index = 0; index < directories; index++) {
      mkdirSync(join(tree, `d${index}`), { recursive: true });
      for (let at = 0; at < filesPerDirectory; at++) write(`d${index}/f${at}`);
    }
    await theirs();
    for (let round = 0; round < rounds; round++) {
      // Either program sets a policy now and then, which both must follow: the roots show it.
      if (round === 2) await kopia.run("policy", "set", tree, "--compression=zstd-fastest");
      if (round === 4) {
        await using repository = await kopia.open();
        await using session = await repository.openWriteSession();
        const files = { ignore: ["/renamed *"] };
        const retention = { keepLatest: 3 };
        const below = { ...emptyPolicy, files, retention, noParent: true };
        await setPolicy(session, source, below);
        await session.commit();
      }
      const expected = change(round);
      const writers = round % 2 === 0 ? [() => ours(round % 4), theirs] : [theirs, () => ours(0)];
      const first = await writers[0]!();
      const second = await writers[1]!();
      expect(first.read).toBe(expected);
      expect(second).toMatchObject({ root: first.root, read: 0 });
      expect(second.cached).toBe(first.cached + expected);
      if (round % 3 === 2) await maintain(round % 2 === 0);
      if (round % 5 === 4) await expectSound();
    }
    const listed: Json[] = JSON.parse(await kopia.run("snapshot", "list", "--json"));
    expect(listed).toHaveLength(3);
  });
});
