/**
 * Kills processes in the middle of a scenario, at moments that are counted and at moments by chance, and proves what they
 * leave: each snapshot that must be there is, and verifies whole; the next run finishes; space comes back.
 * @module
 */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ManualClock, manualClock, mapConcurrent } from "@dm/core";
import { type SeededRandom, seededRandom } from "@dm/fixtures";
import { verifyRepository } from "@dm/repo";
import { type BlobStore, type MemoryStore, memoryStore } from "@dm/storage";
import { filesystemStore } from "@dm/storage/filesystem";
import { expect } from "vitest";
import { collectGarbage, listSnapshots, type Snapshot, verifySnapshots } from "../../src/index.ts";
import { type ChildEnd, type Death, deathsOf, isFull, runChild, seed } from "./run-child.ts";
import { maintain, namesOf, open, type Scenario, startNs, withClock } from "./scenarios.ts";

export const totals = { moments: 0, kills: 0, byChance: 0, snapshotsVerified: 0, files: 0 };

const child = join(import.meta.dirname, "child.ts");
const hourMs = 3_600_000;
/** Days of maintenance after which all space is back, packs that a dead session's marker protects (96 hours) included. */
const daysOfMaintenance = 6;

interface Place {
  readonly store: BlobStore;
  readonly clock: ManualClock;
}

type Blobs = ReadonlyMap<string, { readonly data: Uint8Array; readonly timestampNs: bigint }>;

async function blobsOf(store: BlobStore): Promise<Blobs> {
  const blobs = new Map<string, { data: Uint8Array; timestampNs: bigint }>();
  for await (const { id, timestampNs } of store.list(""))
    blobs.set(id, { data: await store.get(id), timestampNs });
  return blobs;
}

function inMemory(blobs: Blobs, clock: ManualClock): MemoryStore {
  const data = Array.from(blobs, ([id, blob]) => [id, blob.data] as const);
  const store = memoryStore({ clock, blobs: new Map(data) });
  for (const [id, { timestampNs }] of blobs) store.setTimestamp(id, timestampNs);
  return store;
}

/** All snapshots verify whole, and so does the repository. */
async function expectSound(place: Place): Promise<Snapshot[]> {
  const repository = await open(place);
  const snapshots = await listSnapshots(repository);
  const report = await verifySnapshots(repository, snapshots, { readFiles: "all" });
  expect(report.findings).toEqual([]);
  expect((await verifyRepository(repository)).findings).toEqual([]);
  totals.snapshotsVerified += snapshots.length;
  totals.files += report.filesRead;
  return snapshots;
}

const rootsOf = (snapshots: readonly Snapshot[]): Map<string, string> =>
  new Map(
    snapshots
      .filter(({ incompleteReason }) => !incompleteReason)
      .map(({ description, rootEntry }) => [description, rootEntry!.objectId]),
  );

/** Days of maintenance; then nothing is in the index that nobody wants. The bytes of the packs that are left. */
async function bytesInTheEnd(place: Place, { safety }: Scenario): Promise<number> {
  for (let day = 0; day < daysOfMaintenance; day += 1) {
    place.clock.advance(25 * hourMs);
    await maintain(place, safety);
  }
  await expectSound(place);
  expect(await collectGarbage(await open(place), { dryRun: true })).toMatchObject({
    unreferencedContentCount: 0,
    recoveredContentCount: 0,
  });
  let bytes = 0;
  for await (const { id, length } of place.store.list("")) if (/^[pq]/.test(id)) bytes += length;
  return bytes;
}

interface Expected {
  readonly before: Blobs;
  readonly endNs: bigint;
  /** Names of the snapshots after 0, 1, 2, … steps. */
  readonly names: readonly ReadonlySet<string>[];
  /** Of every snapshot that there ever is. */
  readonly roots: ReadonlyMap<string, string>;
  readonly endBytes: number;
  readonly beginNs: bigint;
}

const stepsOf = (place: Place, step = (work: () => Promise<void>) => work()) => ({
  ...place,
  step,
  uncut: (work: () => Promise<void>) => work(),
});

/** The scenario without a death, in memory. */
async function uncutRun(scenario: Scenario): Promise<Expected> {
  const clock = manualClock(startNs);
  const place = { clock, store: inMemory(new Map(), clock) };
  await scenario.prepare(stepsOf(place));
  const beginNs = clock.nowNs();
  const before = await blobsOf(place.store);
  const names: ReadonlySet<string>[] = [];
  const roots = new Map<string, string>();
  const note = async (): Promise<void> => {
    const now = rootsOf(await listSnapshots(await open(place)));
    names.push(new Set(now.keys()));
    for (const [name, root] of now) roots.set(name, root);
  };
  await note();
  const step = async (work: () => Promise<void>): Promise<void> => {
    await work();
    await note();
  };
  await scenario.work(stepsOf(place, step));
  const endNs = clock.nowNs();
  return { before, beginNs, endNs, names, roots, endBytes: await bytesInTheEnd(place, scenario) };
}

async function expectSurvived(
  scenario: Scenario,
  expected: Expected,
  directory: string,
  steps: number,
  toTheEnd: boolean,
): Promise<void> {
  const { endBytes, endNs, names, roots } = expected;
  const clock = manualClock(endNs + 60_000_000_000n);
  // On in memory, where syncing costs nothing.
  const place = {
    clock,
    store: inMemory(await blobsOf(filesystemStore({ path: directory })), clock),
  };
  const found = rootsOf(await expectSound(place));
  // What was under way may or may not have happened, snapshot by snapshot.
  const now = names[steps]!;
  const next = names[steps + 1] ?? now;
  for (const name of now) if (next.has(name)) expect([...found.keys()]).toContain(name);
  for (const [name, root] of found) {
    expect(now.has(name) || next.has(name)).toBe(true);
    expect([name, root]).toEqual([name, roots.get(name)]);
  }
  const last = names.at(-1)!;
  await scenario.finish(stepsOf(place), last);
  const finished = await expectSound(place);
  expect(namesOf(finished)).toEqual(last);
  for (const [name, root] of rootsOf(finished))
    expect([name, root]).toEqual([name, roots.get(name)]);
  if (!toTheEnd) return;
  // Contents may lie in other packs than without the death: what is short of 60 % there is written anew.
  expect(await bytesInTheEnd(place, scenario)).toBeLessThan(1.25 * endBytes);
}

/** Steps that a child has told as done. */
const stepsIn = ({ output }: ChildEnd): number => output.match(/^a$/gm)?.length ?? 0;

export interface Sample {
  /** Moments chosen; all with DM_FULL=1. */
  readonly moments: number;
  /** Deaths by chance. */
  readonly byChance: number;
}

/** All scenarios with DM_FULL=1, else one of them. */
export async function killEverywhere(
  scenarios: readonly Scenario[],
  sample: Sample,
): Promise<void> {
  const random = seededRandom(seed);
  for (const scenario of isFull ? scenarios : [random.pick(scenarios)])
    await killIn(scenario, sample, random);
}

async function killIn(scenario: Scenario, sample: Sample, random: SeededRandom): Promise<void> {
  const expected = await uncutRun(scenario);
  const work = await mkdtemp(join(tmpdir(), "dm-kill-"));
  try {
    const template = join(work, "template");
    const store = filesystemStore({ path: template, create: true });
    for (const [id, { data, timestampNs }] of expected.before)
      await withClock(store, manualClock(timestampNs)).put(id, data);
    const copy = async (name: string): Promise<string> => {
      const target = join(work, name);
      await cp(template, target, { recursive: true, preserveTimestamps: true });
      return target;
    };
    const whole = await copy("whole");
    const childIn = async (target: string, { afterMs, moment }: Death): Promise<ChildEnd> =>
      runChild(child, [scenario.name, target, `${expected.beginNs}`, `${moment}`], { afterMs });
    const uncut = await childIn(whole, { moment: 0 });
    const { killed, moments } = uncut;
    const steps = stepsIn(uncut);
    expect({ killed, steps }).toEqual({ killed: false, steps: expected.names.length - 1 });
    await expectSurvived(scenario, expected, whole, steps, true);
    totals.moments += moments!;
    const deaths = deathsOf(uncut, sample, random);
    await mapConcurrent(
      deaths,
      async (death, index) => {
        const target = await copy(`${index}`);
        const end = await childIn(target, death);
        const done = stepsIn(end);
        if (end.killed) totals.kills += 1;
        if (end.killed && death.moment === 0) totals.byChance += 1;
        try {
          await expectSurvived(scenario, expected, target, done, index % 6 === 0);
        } catch (cause) {
          const when = death.moment ? `at moment ${death.moment}` : `after ${death.afterMs} ms`;
          throw new Error(
            `${scenario.name}: killed ${when} of ${moments}, after ${done} steps: ${cause}`,
            { cause },
          );
        }
        await rm(target, { recursive: true });
      },
      { concurrency: 2 },
    );
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
