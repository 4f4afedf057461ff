// Every recorded case of damage is told by the doctor with the right blob; after the repair the repository verifies again, the
// doctor has nothing more to repair, and what is lost is listed file by file: no sound file is, and no damaged one is missing.
import {
  applyPatches,
  blobsOf,
  type CorruptCase,
  corruptCases,
  type Json,
  loadGolden,
} from "@dm/fixtures";
import { openRepository, verifyRepository } from "@dm/repo";
import { type MemoryStore, memoryStore } from "@dm/storage";
import { expect, it } from "vitest";
import {
  type Diagnosis,
  diagnoseRepository,
  listSnapshots,
  repairRepository,
  verifySnapshots,
} from "../src/index.ts";
import { memoisedDeriveKey as deriveKey } from "./open-golden.ts";

const cases = corruptCases();

interface Examined {
  readonly store: MemoryStore;
  readonly password: string;
  readonly expected: Json;
  readonly diagnosis: Diagnosis;
}

async function examine(damaged: CorruptCase): Promise<Examined> {
  const { expected, files } = loadGolden(damaged.repo);
  applyPatches(files, damaged.patches);
  const store = memoryStore({ blobs: blobsOf(files) });
  const password: string = damaged.password ?? expected.password;
  return {
    store,
    password,
    expected,
    diagnosis: await diagnoseRepository(store, { password, deriveKey }),
  };
}

const kindOf = ({ name }: CorruptCase): string => name.slice(name.indexOf("/") + 1);

function named(damaged: CorruptCase): string {
  if (kindOf(damaged) === "wrong-password") return "kopia.repository";
  return damaged.patches[0]!.path.slice(0, -2).replaceAll("/", "");
}

/** What the damage of a file looks like to a reader that knows nothing of the doctor. */
async function lostFiles({ password, store }: Examined): Promise<string[]> {
  const repository = await openRepository(store, { password, deriveKey });
  const lost: string[] = [];
  for (const snapshot of await listSnapshots(repository))
    for (const { path } of (await verifySnapshots(repository, [snapshot])).findings)
      lost.push(`${snapshot.id} ${path}`);
  return lost.sort();
}

const losses = ({ findings }: Diagnosis): string[] =>
  findings
    .filter(({ part, severity }) => part === "snapshots" && severity === "lost")
    .map(({ path, snapshotId }) => `${snapshotId} ${path}`)
    .sort();

it("there are as many cases as were recorded", () => expect(cases).toHaveLength(84));

/** What the doctor can say of this damage, and nobody can repair. */
const isUnrepairable = (damaged: CorruptCase): boolean =>
  kindOf(damaged) === "wrong-password" ||
  // Packs have copies of the format blob where the password cannot be changed.
  (kindOf(damaged).startsWith("format-") && !damaged.repo.startsWith("v1-"));

const isRepairedWhole = (damaged: CorruptCase): boolean =>
  /^(index-|format-|range-checkpoint-body)/.test(kindOf(damaged)) && !isUnrepairable(damaged);

const packsOf = (store: MemoryStore): Map<string, Uint8Array> =>
  new Map([...store.blobs].filter(([id]) => /^[pq]/.test(id)));

it.each(cases.filter(({ detectedByKopia }) => detectedByKopia))(
  "told, and repaired as far as can be: $name",
  async (damaged) => {
    const examined = await examine(damaged);
    const { diagnosis, expected, password, store } = examined;
    const blobId = named(damaged);
    expect(diagnosis.ok).toBe(false);
    const told = diagnosis.findings.filter(({ severity }) => severity !== "note");
    if (kindOf(damaged) === "index-missing") {
      // The name of a blob that is gone is nowhere; its packs are.
      const session = blobId.replace(/^.*-(s[0-9a-f]+).*$/, "$1");
      expect(told).toHaveLength(1);
      expect(told[0]!.text).toContain(session);
    } else
      for (const finding of told) expect(`${finding.blobId} ${finding.text}`).toContain(blobId);

    expect(diagnosis.opens).toBe(!isUnrepairable(damaged));
    if (!diagnosis.opens) {
      expect(diagnosis.plan).toEqual([]);
      expect(told).toEqual([expect.objectContaining({ part: "format", severity: "lost" })]);
      return;
    }
    const packs = packsOf(store);
    await repairRepository(store, diagnosis.plan);
    expect(packsOf(store)).toEqual(packs);

    const again = await diagnoseRepository(store, { password, deriveKey });
    expect(again.plan).toEqual([]);
    expect(again.findings.filter(({ severity }) => severity === "repairable")).toEqual([]);
    expect(losses(again)).toEqual(losses(diagnosis));
    expect(await lostFiles(examined)).toEqual(losses(diagnosis));
    const isWhole = isRepairedWhole(damaged);
    // With the manifests all snapshots are gone: nothing that is left refers to what else was in their pack.
    const isForgotten = /^(blobcfg-body|manifest-body|metadata-pack-missing)$/.test(
      kindOf(damaged),
    );
    expect(again.ok).toBe(isWhole || isForgotten);
    if (!isWhole) return;
    expect(told.every(({ severity }) => severity === "repairable")).toBe(true);
    const repository = await openRepository(store, { password, deriveKey });
    expect((await verifyRepository(repository)).ok).toBe(true);
    const ids = (await listSnapshots(repository)).map(({ id }) => id);
    expect(ids.sort()).toEqual(expected.snapshots.map(({ id }: Json) => id).sort());
  },
);

it.each(cases.filter(({ detectedByKopia }) => !detectedByKopia))(
  "healthy, as for kopia: $name",
  async (damaged) => {
    const { diagnosis } = await examine(damaged);
    expect(diagnosis).toMatchObject({ ok: true, opens: true, plan: [] });
    for (const { blobId, severity } of diagnosis.findings) {
      expect(severity).toBe("note");
      expect(blobId).toBe(named(damaged));
    }
  },
);

it("without reading of data, what index and lengths tell is told", async () => {
  const damaged = cases.find(({ name }) => name === "v1-index-v2/pack-truncated")!;
  const { store, password, diagnosis } = await examine(damaged);
  const quick = await diagnoseRepository(store, { password, deriveKey, readData: false });
  expect(losses(quick)).toEqual(losses(diagnosis));
  expect(losses(quick)).not.toEqual([]);
});
