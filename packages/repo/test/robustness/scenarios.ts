/**
 * Work that is cut off by a crash, and what must hold afterwards. Each scenario is deterministic, so that a child
 * process, an uncut run and the proof agree on what every acknowledgement promised.
 */
import { type ManualClock, manualClock } from "@dm/core";
import type { SeededRandom } from "@dm/fixtures";
import type { BlobStore } from "@dm/storage";
import {
  beginUpgradeLock,
  type ContentId,
  type CreateRepositoryOptions,
  changePassword,
  createRepository,
  finishRepositoryUpgrade,
  type OpenRepositoryOptions,
  openRepository,
  Repository,
  runMaintenance,
  upgradeRepository,
  type WriteSession,
} from "../../src/index.ts";
import { quickKey } from "../format-helpers.ts";
import { bytesOf, seededRandomBytes, startNs } from "../new-repository.ts";
import { type Blobs, blobsOf, crashRecorder, restored } from "./crash-states.ts";

/** What is promised. Kept by the scenario as it goes, copied at every acknowledgement. */
export interface Model {
  exists: boolean;
  password: string;
  /** Plaintext and whether it is marked as deleted. */
  readonly contents: Map<ContentId, { readonly bytes: Uint8Array; readonly deleted: boolean }>;
  readonly objects: Map<string, Uint8Array>;
  /** Data of the one manifest with this `name`. */
  readonly manifests: Map<string, number>;
}

export interface ScenarioRun {
  readonly store: BlobStore;
  readonly clock: ManualClock;
  readonly model: Model;
  /** Everything in the model is durable from here on. */
  acknowledge(): void;
  /** Does what leads to the next piece of work; nothing is cut off meanwhile. */
  uncut(lead: () => Promise<void>): Promise<void>;
}

export interface Scenario {
  readonly name: string;
  /** Brings an empty store to the state in which the work begins; absent for an empty one. */
  prepare?(run: ScenarioRun): Promise<void>;
  work(run: ScenarioRun): Promise<void>;
}

const hourMs = 3_600_000;
export const ownerId = "upgrader";
export const common = { deriveKey: quickKey, username: "u", hostname: "h" };

export function emptyModel(): Model {
  return {
    exists: false,
    password: "password",
    contents: new Map(),
    objects: new Map(),
    manifests: new Map(),
  };
}

export function copyOfModel(model: Model): Model {
  const { contents, manifests, objects } = model;
  return {
    ...model,
    contents: new Map(contents),
    objects: new Map(objects),
    manifests: new Map(manifests),
  };
}

async function create(
  { clock, model, store }: ScenarioRun,
  seed: number,
  options: Partial<CreateRepositoryOptions> = {},
): Promise<Repository> {
  const repository = await createRepository(store, {
    ...common,
    password: model.password,
    clock,
    randomBytes: seededRandomBytes(seed),
    ...options,
    format: { splitter: "DYNAMIC-128K-BUZHASH", ...options.format },
  });
  model.exists = true;
  return repository;
}

async function open(
  { clock, model, store }: ScenarioRun,
  seed: number,
  options: Partial<OpenRepositoryOptions> = {},
): Promise<Repository> {
  return openRepository(store, {
    ...common,
    password: model.password,
    clock,
    randomBytes: seededRandomBytes(seed),
    ...options,
  });
}

/** Packs that are full after a few contents, below what the format blob may say: many packs, little data. */
function withSmallPacks(
  { clock, store }: ScenarioRun,
  repository: Repository,
  seed: number,
): Repository {
  const opened = repository.openedFormat;
  return new Repository(
    store,
    { ...opened, format: { ...opened.format, maxPackSizeBytes: 5000 } },
    { ...common, clock, randomBytes: seededRandomBytes(seed) },
  );
}

async function writeContents(
  { model }: ScenarioRun,
  session: WriteSession,
  seeds: readonly number[],
  options: { readonly length?: number; readonly prefix?: string } = {},
): Promise<ContentId[]> {
  const ids: ContentId[] = [];
  for (const seed of seeds) {
    const bytes = bytesOf(options.length ?? 2000, seed);
    const id = await session.writeContent(bytes, { prefix: options.prefix });
    model.contents.set(id, { bytes, deleted: false });
    ids.push(id);
  }
  return ids;
}

async function putManifest(
  { model }: ScenarioRun,
  session: WriteSession,
  name: string,
  value: number,
): Promise<void> {
  await session.replaceManifests({ type: "test", name }, { value });
  model.manifests.set(name, value);
}

async function markDeleted(
  { model }: ScenarioRun,
  session: WriteSession,
  id: ContentId,
  deleted: boolean,
): Promise<void> {
  if (deleted) await session.deleteContent(id);
  else await session.undeleteContent(id);
  model.contents.set(id, { ...model.contents.get(id)!, deleted });
}

type Version = 1 | 2 | 3;

/** Flushes with several packs each, an object of several parts, manifests, deletions, a compaction of manifests. */
function writeSession(version: Version): Scenario {
  return {
    name: `write session, format ${version}`,
    async prepare(run) {
      const repository = await create(run, 1, { format: { version } });
      await using session = await repository.openWriteSession();
      await writeContents(run, session, [1, 2, 3]);
      // One short of what makes a later flush of manifests merge them all.
      for (let round = 0; round < 14; round += 1) {
        await putManifest(run, session, `m${round % 4}`, round);
        await session.flush();
        run.clock.advance(1000);
      }
      await session.commit();
    },
    async work(run) {
      const repository = withSmallPacks(run, await open(run, 2), 3);
      await using session = await repository.openWriteSession();
      const flush = async (): Promise<void> => {
        await session.flush();
        run.acknowledge();
        run.clock.advance(1000);
      };
      const ids = await writeContents(run, session, [11, 12, 13, 14, 15, 16, 17]);
      await writeContents(run, session, [18, 19, 20], { prefix: "k" });
      await flush();
      const bytes = bytesOf(200_000, 21);
      run.model.objects.set(await session.writeObject(bytes), bytes);
      await putManifest(run, session, "m0", 100);
      await flush();
      await markDeleted(run, session, ids[0]!, true);
      await markDeleted(run, session, ids[1]!, true);
      await putManifest(run, session, "m1", 101);
      await flush();
      await markDeleted(run, session, ids[1]!, false);
      await session.rewriteContent(ids[2]!);
      for (const { id } of await session.findManifests({ type: "test", name: "m2" }))
        await session.deleteManifest(id);
      run.model.manifests.delete("m2");
      await flush();
      // Nothing new: acknowledged without a write.
      await writeContents(run, session, [12, 13]);
      await flush();
      await writeContents(run, session, [11, 22]);
      await putManifest(run, session, "m3", 102);
      await session.commit();
      run.acknowledge();
    },
  };
}

const quickEpochs = {
  epochRefreshFrequencyMs: 60_000,
  minEpochDurationMs: 600_000,
  cleanupSafetyMarginMs: 180_000,
  fullCheckpointFrequency: 2,
  epochAdvanceOnCountThreshold: 10,
};

/** A store's own log and a pack that nobody names: what clean-up is for. */
async function litter({ clock, store }: ScenarioRun, seed: number): Promise<void> {
  const digits = seed.toString(16).padStart(32, "0");
  await store.put(`p${digits}-s${"5".repeat(16)}147`, bytesOf(300, seed));
  await store.put(`_log_20260101000000_abcd_1_2_${seed}_${digits}`, bytesOf(50, seed), {
    timestampNs: clock.nowNs() - 40n * 24n * 3_600_000_000_000n,
  });
}

async function tenSessions(run: ScenarioRun, repository: Repository, first: number): Promise<void> {
  for (let seed = first; seed < first + 10; seed += 1) {
    await using session = await repository.openWriteSession();
    const ids = await writeContents(run, session, [seed]);
    if (seed === first) await putManifest(run, session, `m${first % 3}`, seed);
    if (seed === first + 1) await markDeleted(run, session, ids[0]!, true);
    await session.commit();
    run.clock.advance(180_000);
  }
}

/** Figures of the maintenance tasks by scenario, filled by its uncut run. */
export const maintenanceFigures = new Map<string, Map<string, number>>();

interface MaintenanceSettings {
  readonly version: Version;
  readonly safety: "none" | "full";
  /** Uncut runs that went before. */
  readonly before: number;
  /** Runs that are cut off. */
  readonly runs: number;
}

/** Rounds of sessions and full maintenance, in which every task has something to do at least once. */
function maintenance({ before, runs, safety, version }: MaintenanceSettings): Scenario {
  const name = `maintenance ${runs === 1 ? "once" : `${runs} times`}, format ${version}, safety ${safety}`;
  const figures = new Map<string, number>();
  maintenanceFigures.set(name, figures);
  const leadUp = async (run: ScenarioRun, repository: Repository, round: number): Promise<void> => {
    await tenSessions(run, repository, round * 20);
    await litter(run, round);
    run.clock.advance(25 * hourMs);
  };
  return {
    name,
    async prepare(run) {
      const repository = await create(run, 1, {
        format: { version, ...(version === 1 ? {} : { epochParameters: quickEpochs }) },
      });
      for (let round = 1; round <= before; round += 1) {
        await leadUp(run, repository, round);
        await runMaintenance(repository, { mode: "full", safety: "full" });
      }
      await leadUp(run, repository, before + 1);
    },
    async work(run) {
      const repository = withSmallPacks(run, await open(run, 2), 3);
      for (let round = 1; round <= runs; round += 1) {
        if (round > 1) await run.uncut(() => leadUp(run, repository, before + round));
        run.acknowledge();
        const { tasks } = await runMaintenance(repository, { mode: "full", safety });
        for (const task of tasks) {
          const done = Object.values(task.figures).reduce((sum, figure) => sum + figure, 0);
          figures.set(task.task, (figures.get(task.task) ?? 0) + done);
        }
        run.acknowledge();
      }
    },
  };
}

/** Whether `kopia.blobcfg` says anything decides the order of writes (docs/decisions/0006-password-change-crash.md). */
function passwordChange(retention: boolean): Scenario {
  return {
    name: `password change, ${retention ? "with" : "without"} retention`,
    async prepare(run) {
      const repository = await create(
        run,
        1,
        retention ? { retention: { mode: "GOVERNANCE", periodMs: 48 * hourMs } } : {},
      );
      await using session = await repository.openWriteSession();
      await writeContents(run, session, [1, 2]);
      await putManifest(run, session, "m", 1);
      await session.commit();
    },
    async work(run) {
      const { clock, model, store } = run;
      for (const newPassword of ["second", "third"]) {
        const { openedFormat } = await open(run, 2);
        await changePassword(store, openedFormat, { newPassword, clock, deriveKey: quickKey });
        model.password = newPassword;
        run.acknowledge();
      }
    },
  };
}

function creation(version: Version): Scenario {
  return {
    name: `creation, format ${version}`,
    async work(run) {
      const repository = await create(run, 1, { format: { version } });
      run.acknowledge();
      await using session = await repository.openWriteSession();
      await writeContents(run, session, [1]);
      await session.commit();
      run.acknowledge();
    },
  };
}

async function oldRepository(run: ScenarioRun): Promise<void> {
  const repository = await create(run, 1, { format: { version: 1 } });
  for (const seed of [1, 2, 3, 4]) {
    await using session = await repository.openWriteSession();
    const [id] = await writeContents(run, session, [seed]);
    if (seed === 2) await markDeleted(run, session, id!, true);
    await putManifest(run, session, "m", seed);
    await session.commit();
    run.clock.advance(1000);
  }
}

const upgrade: Scenario = {
  name: "upgrade at once",
  prepare: oldRepository,
  async work(run) {
    await upgradeRepository(await open(run, 2));
    run.acknowledge();
    const repository = await open(run, 3);
    await using session = await repository.openWriteSession();
    await writeContents(run, session, [5]);
    await session.commit();
    run.acknowledge();
  },
};

const lockedUpgrade: Scenario = {
  name: "upgrade with a lock",
  prepare: oldRepository,
  async work(run) {
    const { clock, store } = run;
    const { openedFormat } = await open(run, 2);
    await beginUpgradeLock(store, openedFormat, { ownerId, clock });
    run.acknowledge();
    clock.advance(hourMs);
    const repository = await open(run, 3, { upgradeOwnerId: ownerId });
    await finishRepositoryUpgrade(repository, { ownerId });
    run.acknowledge();
  },
};

export const scenarios: readonly (Scenario & {
  /** Not for a directory: it needs object locks, or differs too little from another one for its price. */
  readonly inMemoryOnly?: boolean;
})[] = [
  writeSession(1),
  { ...writeSession(2), inMemoryOnly: true },
  writeSession(3),
  maintenance({ version: 1, safety: "none", before: 6, runs: 1 }),
  maintenance({ version: 3, safety: "none", before: 6, runs: 1 }),
  { ...maintenance({ version: 1, safety: "none", before: 2, runs: 3 }), inMemoryOnly: true },
  { ...maintenance({ version: 3, safety: "none", before: 2, runs: 3 }), inMemoryOnly: true },
  { ...maintenance({ version: 1, safety: "full", before: 2, runs: 3 }), inMemoryOnly: true },
  { ...maintenance({ version: 3, safety: "full", before: 2, runs: 3 }), inMemoryOnly: true },
  passwordChange(false),
  { ...passwordChange(true), inMemoryOnly: true },
  creation(1),
  creation(3),
  upgrade,
  lockedUpgrade,
];

export interface UncutRun {
  readonly scenario: Scenario;
  /** What the store holds when the work begins, and when it has ended. */
  readonly before: Blobs;
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** The promises after 0, 1, 2, … acknowledgements. */
  readonly models: readonly Model[];
}

async function prepared(
  scenario: Scenario,
): Promise<{ clock: ManualClock; model: Model; blobs: Blobs }> {
  const clock = manualClock(startNs);
  const store = restored(new Map(), clock);
  const model = emptyModel();
  const uncut = (lead: () => Promise<void>): Promise<void> => lead();
  await scenario.prepare?.({ store, clock, model, acknowledge: () => {}, uncut });
  return { clock, model, blobs: await blobsOf(store) };
}

/** Does the work without a crash and notes every promise and every state on the way. */
export async function recordRun(
  scenario: Scenario,
  options: { readonly random: SeededRandom; readonly everyCombination: boolean },
): Promise<UncutRun & { readonly recorder: ReturnType<typeof crashRecorder> }> {
  const { blobs, clock, model } = await prepared(scenario);
  const beginNs = clock.nowNs();
  const recorder = crashRecorder(blobs, { clock, ...options });
  const models = [copyOfModel(model)];
  await scenario.work({
    store: recorder.store,
    clock,
    model,
    acknowledge() {
      models.push(copyOfModel(model));
      recorder.acknowledge();
    },
    uncut: recorder.uncut,
  });
  return { scenario, before: blobs, startNs: beginNs, endNs: clock.nowNs(), models, recorder };
}
