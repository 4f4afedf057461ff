// Recorded repositories of the real kopia: damaged ones verify clean once their snapshots have been written again, and sound
// ones copied to other keys hold the files that were recorded. A seeded sample, all of them with DM_FULL=1.
import { type DmError, isDmError } from "@dm/core";
import {
  applyPatches,
  blobsOf,
  type CorruptCase,
  corruptCases,
  goldenRepositories,
  type Json,
  loadGolden,
  seededRandom,
  sha256Hex,
} from "@dm/fixtures";
import { openRepository } from "@dm/repo";
import { memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import {
  listSnapshots,
  migrateSnapshots,
  openFile,
  rewriteSnapshots,
  type Snapshot,
  unreadableFiles,
  verifySnapshots,
  walkTree,
} from "../src/index.ts";
import { newRepository } from "./new-repository.ts";
import { memoisedDeriveKey, openGolden } from "./open-golden.ts";

const seed = Number(process.env["DM_SEED"] ?? Date.now() % 1_000_000);
const isFull = Boolean(process.env["DM_FULL"]);
const random = seededRandom(seed);

function some<Item>(all: readonly Item[], count: number): readonly Item[] {
  if (isFull) return all;
  return [...new Set(Array.from({ length: count }, () => random.pick(all)))];
}

/** A damaged repository that can be written to; undefined where nothing of it can be read. */
async function openDamaged({ password, patches, repo }: CorruptCase) {
  const { expected, files } = loadGolden(repo);
  applyPatches(files, patches);
  try {
    const repository = await openRepository(memoryStore({ blobs: blobsOf(files) }), {
      password: password ?? expected.password,
      deriveKey: memoisedDeriveKey,
    });
    const invalid: DmError[] = [];
    const onInvalid = (_id: string, error: DmError): void => void invalid.push(error);
    return { repository, snapshots: await listSnapshots(repository, { onInvalid }) };
  } catch (error) {
    if (!isDmError(error)) throw error;
    return undefined;
  }
}

describe(`damaged repositories (DM_SEED=${seed})`, () => {
  const damaged = corruptCases().filter(({ detectedByKopia }) => detectedByKopia);
  const counts = { fixed: 0, beyond: 0 };

  it.each(some(damaged, 4))("$name", async (one) => {
    const opened = await openDamaged(one);
    if (!opened) {
      counts.beyond += 1;
      return;
    }
    const { repository, snapshots } = opened;
    const before: readonly Snapshot[] = snapshots;
    const { damagedSnapshots } = await verifySnapshots(repository, before);
    const rewrite = await unreadableFiles(repository, { readFiles: 1 });
    const rewritten = await rewriteSnapshots(repository, before, { rewrite, commit: true });
    const changed = rewritten
      .filter(({ isChanged }) => isChanged)
      .map((result) => result.before.id);
    expect(new Set(changed)).toEqual(damagedSnapshots);
    await repository.refresh();
    const after = await listSnapshots(repository, { onInvalid: () => {} });
    expect(after).toHaveLength(before.length);
    expect((await verifySnapshots(repository, after)).findings).toEqual([]);
    counts.fixed += 1;
  });

  it.runIf(isFull)("are beyond help where neither format nor index can be read (DM_FULL=1)", () => {
    expect(counts).toEqual({ fixed: 24, beyond: 32 });
  });
});

it.each(some(goldenRepositories(), 1))(
  "%s, copied to other keys",
  { timeout: 60_000 },
  async (name) => {
    const { golden, repository: from } = await openGolden(name);
    const { repository: to } = await newRepository();
    const originals = await listSnapshots(from);
    const report = await migrateSnapshots(from, to);
    const complete = originals.filter(({ incompleteReason }) => !incompleteReason);
    expect(report).toMatchObject({
      snapshotsMigrated: complete.length,
      entriesFailed: 0,
      policiesFailed: 0,
    });
    await to.refresh();
    for (const copy of await listSnapshots(to)) {
      const original = complete.find(({ startedAtNs }) => startedAtNs === copy.startedAtNs)!;
      const { tree } = golden.expected.snapshots.find(({ id }: Json) => id === original.id);
      const files = new Map<string, string>();
      for await (const { entry, path } of walkTree(to, copy.rootEntry!))
        if (entry.type === "f" && entry.sizeBytes < 20_000_000)
          files.set(path, sha256Hex(await (await openFile(to, entry)).read()));
      const recorded: Json[] = golden.expected.trees[tree].filter(({ type }: Json) => type === "f");
      for (const { path, sha256 } of recorded)
        if (files.has(path)) expect(files.get(path), path).toBe(sha256);
      expect(files.size).toBeLessThanOrEqual(recorded.length);
      const summaryOf = ({ rootEntry }: Snapshot) => rootEntry!.summary;
      expect(summaryOf(copy)).toEqual(summaryOf(original));
    }
  },
);
