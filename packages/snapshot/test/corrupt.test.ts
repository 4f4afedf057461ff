// Every recorded case of damage that the real kopia detects is detected by listing and verifying snapshots, also the loss of
// an index blob, which nothing below the snapshots can see; what kopia still reads whole has no findings.
import { isDmError } from "@dm/core";
import {
  applyPatches,
  blobsOf,
  type CorruptCase,
  corruptCases,
  type Json,
  loadGolden,
} from "@dm/fixtures";
import { openRepository, verifyRepository } from "@dm/repo";
import { memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import { listSnapshots, type SnapshotFinding, verifySnapshot } from "../src/index.ts";
import { memoisedDeriveKey } from "./open-golden.ts";

const cases = corruptCases();

interface Outcome {
  readonly findings: readonly SnapshotFinding[];
  /** What made reading impossible as a whole. */
  readonly thrown?: Error;
  readonly expected: Json;
}

async function openDamaged(damaged: CorruptCase) {
  const { expected, files } = loadGolden(damaged.repo);
  applyPatches(files, damaged.patches);
  const repository = await openRepository(memoryStore({ blobs: blobsOf(files) }), {
    password: damaged.password ?? expected.password,
    deriveKey: memoisedDeriveKey,
    readOnly: true,
  });
  return { expected, repository };
}

async function verify(damaged: CorruptCase, readFiles: "all" | number = "all"): Promise<Outcome> {
  const { expected } = loadGolden(damaged.repo);
  try {
    const { repository } = await openDamaged(damaged);
    const findings: SnapshotFinding[] = [];
    for (const snapshot of await listSnapshots(repository))
      findings.push(...(await verifySnapshot(repository, snapshot, { readFiles })).findings);
    return { expected, findings };
  } catch (thrown) {
    if (!isDmError(thrown)) throw thrown;
    return { expected, findings: [], thrown };
  }
}

it.each(cases.filter(({ detectedByKopia }) => detectedByKopia))(
  "detected: $name",
  async (damaged) => {
    const { expected, findings, thrown } = await verify(damaged);
    expect(findings.length + (thrown ? 1 : 0)).toBeGreaterThan(0);
    for (const { error, objectId, path, snapshotId } of findings) {
      const { tree } = expected.snapshots.find(({ id }: Json) => id === snapshotId);
      const names: Json[] = expected.trees[tree];
      expect(names).toContainEqual(
        expect.objectContaining({ path: path === "" ? "." : path, objectID: objectId }),
      );
      expect(isDmError(error)).toBe(true);
    }
  },
);

it.each(cases.filter(({ readableByKopia }) => readableByKopia))(
  "read whole: $name",
  async (damaged) => {
    const { findings, thrown } = await verify(damaged);
    expect(thrown).toBeUndefined();
    expect(findings).toEqual([]);
  },
);

describe("an index blob that is gone", () => {
  const gone = cases.filter(({ name }) => name.endsWith("/index-missing"));

  it.each(gone)("$name: the repository seems sound, its snapshots do not", async (damaged) => {
    const { repository } = await openDamaged(damaged);
    expect((await verifyRepository(repository)).findings).toEqual([]);
    const { findings, thrown } = await verify(damaged);
    expect(thrown).toBeUndefined();
    const codes = new Set(findings.map(({ error }) => error.code));
    expect([...codes]).toEqual(["DM_CONTENT_NOT_FOUND"]);
  });

  it("is recorded for three repositories", () => expect(gone).toHaveLength(3));
});

describe("without reading files", () => {
  const packs = cases.filter(({ name }) => /\/pack-(missing|truncated|empty)$/.test(name));

  it.each(packs)("what index and lengths of packs tell is told: $name", async (damaged) => {
    const { findings } = await verify(damaged, 0);
    expect(findings.length).toBeGreaterThan(0);
    for (const { error } of findings)
      expect(["DM_PACK_NOT_FOUND", "DM_PACK_TRUNCATED"]).toContain(error.code);
  });

  it("a flipped byte is not seen, with all files read it is", async () => {
    const damaged = cases.find(({ name }) => name === "v1-index-v2/data-body")!;
    expect((await verify(damaged, 0)).findings).toEqual([]);
    const { findings } = await verify(damaged, "all");
    expect(findings.map(({ path }) => path)).toContain("text.txt");
    expect(new Set(findings.map(({ error }) => error.code))).toEqual(
      new Set(["DM_CONTENT_ALTERED"]),
    );
  });
});
