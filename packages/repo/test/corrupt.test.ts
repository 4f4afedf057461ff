// Every recorded case of damage that the real kopia detects is detected by opening or verifying, and the error or finding
// names the damaged blob; nothing else is blamed. What kopia can still read we read, every file and manifest of it.
import { isDmError } from "@dm/core";
import {
  applyPatches,
  blobsOf,
  type CorruptCase,
  corruptCases,
  type Json,
  loadGolden,
  sha256Hex,
} from "@dm/fixtures";
import { memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import {
  type OpenRepositoryOptions,
  openRepository,
  type Repository,
  recoverIndex,
  verifyRepository,
} from "../src/index.ts";
import { memoisedDeriveKey } from "./open-golden.ts";

/**
 * Damage that no blob betrays: an index blob that is gone leaves nothing behind at this level, its contents only seem
 * never to have been written. Kopia notices when it walks the snapshots and misses their contents; so shall we, there.
 */
const onlySeenFromSnapshots: ReadonlySet<string> = new Set([
  "v3-sha3-256/index-missing",
  "v1-index-v2/index-missing",
  "v3-ecc/index-missing",
]);

const cases = corruptCases();
const detected = cases.filter(({ detectedByKopia }) => detectedByKopia);
const seenHere = detected.filter(({ name }) => !onlySeenFromSnapshots.has(name));

async function openDamaged(
  damaged: CorruptCase,
  options: Partial<OpenRepositoryOptions> = {},
): Promise<{ repository: Repository; expected: Json }> {
  const { expected, files } = loadGolden(damaged.repo);
  applyPatches(files, damaged.patches);
  const repository = await openRepository(memoryStore({ blobs: blobsOf(files) }), {
    password: damaged.password ?? expected.password,
    deriveKey: memoisedDeriveKey,
    ...options,
  });
  return { repository, expected };
}

async function listIds(repository: Repository): Promise<string[]> {
  const ids: string[] = [];
  for await (const { contentId } of repository.listContents({ includeDeleted: true }))
    ids.push(contentId);
  return ids;
}

async function expectAllReadable(repository: Repository, expected: Json): Promise<void> {
  expect(await listIds(repository)).toEqual(expected.contents.map(({ id }: Json) => id));
  const manifests = (await repository.findManifests()).map(({ id }) => id);
  expect(manifests.sort()).toEqual(expected.manifests.map(({ id }: Json) => id).sort());
  const files = new Map<string, string>();
  for (const { objectID, sha256 } of Object.values<Json[]>(expected.trees).flat())
    if (objectID && sha256) files.set(objectID, sha256);
  for (const [objectId, sha256] of files) {
    const object = await repository.openObject(objectId);
    expect(sha256Hex(await object.read()), objectId).toBe(sha256);
  }
}

/** Blobs that a case changes; the password is tried on the format blob. */
function damagedBlobs({ name, patches }: CorruptCase): string[] {
  if (name.endsWith("/wrong-password")) return ["kopia.repository"];
  return [...new Set(patches.map(({ path }) => path.slice(0, -2).replaceAll("/", "")))];
}

it.each(seenHere)("detected, with the blob named: $name", async (damaged) => {
  const blobs = damagedBlobs(damaged);
  expect(blobs).toHaveLength(1);
  const named = new Set<unknown>();
  try {
    const { repository } = await openDamaged(damaged);
    const report = await verifyRepository(repository);
    expect(report.ok).toBe(false);
    expect(report.contentsDone).toBe(report.totalContents);
    for (const { blobId, error, severity } of report.findings) {
      named.add(blobId);
      expect(error.message).toContain(blobId);
      if (severity === "error") expect(error).toMatchObject({ details: { blobId } });
    }
    // Damage inside a pack is told by the content that lies there.
    const patch = damaged.patches[0];
    if (patch?.op === "flip") {
      const [finding] = report.findings;
      expect(finding?.contentId).toBeDefined();
      const entry = await repository.contentInfo(finding!.contentId!);
      expect(finding?.offset).toBe(entry?.packOffset);
      expect(patch.at).toBeGreaterThanOrEqual(entry!.packOffset);
      expect(patch.at).toBeLessThan(entry!.packOffset + entry!.packedLength);
    }
  } catch (error) {
    if (!isDmError(error)) throw error;
    named.add(error.details["blobId"]);
    expect(error.message).toContain(blobs[0]);
  }
  expect([...named]).toEqual(blobs);
});

it.each(cases.filter(({ readableByKopia }) => readableByKopia))(
  "still read: $name",
  async (damaged) => {
    const { expected, repository } = await openDamaged(damaged);
    const report = await verifyRepository(repository);
    expect(report.findings.filter(({ severity }) => severity === "error")).toEqual([]);
    for (const { blobId } of report.findings) expect(damagedBlobs(damaged)).toContain(blobId);
    await expectAllReadable(repository, expected);
  },
);

describe("an index blob that is gone", () => {
  it.each(detected.filter(({ name }) => onlySeenFromSnapshots.has(name)))(
    "$name: nothing is found wrong, contents are missing, the packs bring them back",
    async (damaged) => {
      const { expected, repository } = await openDamaged(damaged);
      expect((await verifyRepository(repository)).findings).toEqual([]);
      expect((await listIds(repository)).length).toBeLessThan(expected.contents.length);
      await recoverIndex(repository, { commit: true });
      await repository.refresh();
      await expectAllReadable(repository, expected);
    },
  );

  it("is the only kind of damage that waits for the snapshots", () => {
    expect(detected.length - seenHere.length).toBe(onlySeenFromSnapshots.size);
    for (const { kopia, name } of detected) {
      if (!onlySeenFromSnapshots.has(name)) continue;
      expect(kopia.contentVerifyFull.exit).toBe(0);
      expect(kopia.indexInspectAll.exit).toBe(0);
      expect(kopia.snapshotVerify.exit).not.toBe(0);
    }
  });
});

const damagedIndex = /\/(index-(body|truncated|garbage)|range-checkpoint-body)$/;
it.each(seenHere.filter(({ name }) => damagedIndex.test(name)))(
  "a way on, when damaged index blobs are to be ignored: $name",
  async (damaged) => {
    const { expected, repository } = await openDamaged(damaged, { ignoreDamagedIndexes: true });
    expect(repository.readOnly).toBe(true);
    const report = await verifyRepository(repository);
    expect(report.ok).toBe(false);
    expect(report.findings.map(({ blobId }) => blobId)).toEqual(damagedBlobs(damaged));
    const known = new Set(expected.contents.map(({ id }: Json) => id));
    const ids = await listIds(repository);
    for (const id of ids) {
      expect(known).toContain(id);
      await repository.readContent(id as never);
    }
    if (damaged.name.endsWith("/index-garbage")) expect(ids.length).toBe(known.size);
  },
);
