/**
 * Work on the snapshots of a repository that a killed process does not finish: expiry, rounds of full maintenance with
 * garbage collection, the upload of a volume. Each is steps; between two of them it is known which snapshots there are.
 * @module
 */
import type { Clock, ManualClock } from "@dm/core";
import { splitmix64 } from "@dm/fixtures";
import { createRepository, openRepository, Repository, runMaintenance } from "@dm/repo";
import { type BlobStore, forward } from "@dm/storage";
import {
  collectGarbage,
  deleteSnapshots,
  emptyPolicy,
  expireSnapshots,
  globalPolicyTarget,
  listSnapshots,
  type Policy,
  type Snapshot,
  type SnapshotSource,
  type SourceEntry,
  setPolicy,
  type UploadedVolume,
  uploadSnapshot,
  uploadVolume,
} from "../../src/index.ts";
import { directory, file, link } from "../memory-source.ts";
import { memoryVolume } from "../volume-in-memory.ts";

export interface ScenarioRun {
  readonly store: BlobStore;
  readonly clock: ManualClock;
  /** What a step did is durable when it settles. */
  step(work: () => Promise<void>): Promise<void>;
  /** Nobody is killed meanwhile, unless by chance. */
  uncut(work: () => Promise<void>): Promise<void>;
}

export interface Scenario {
  readonly name: string;
  /** Margins of maintenance, here and afterwards. */
  readonly safety: "full" | "none";
  prepare(run: ScenarioRun): Promise<void>;
  work(run: ScenarioRun): Promise<void>;
  /** What the next run does after a death; the names of `complete` are there afterwards. */
  finish(run: ScenarioRun, complete: ReadonlySet<string>): Promise<void>;
}

export const startNs = 1_700_000_000_000_000_000n;
const hourMs = 3_600_000;

const common = {
  password: "p",
  deriveKey: async (): Promise<Uint8Array> => new Uint8Array(32).fill(9),
  username: "u",
  hostname: "h",
};

const quickEpochs = {
  epochRefreshFrequencyMs: 60_000,
  minEpochDurationMs: 600_000,
  cleanupSafetyMarginMs: 180_000,
  fullCheckpointFrequency: 2,
  epochAdvanceOnCountThreshold: 10,
};

/** The same hashes each time, so that a root has the same id wherever it was made. */
async function create({ clock, store }: ScenarioRun, version: 1 | 3): Promise<void> {
  const secrets = { secret: new Uint8Array(32).fill(1), masterKey: new Uint8Array(32).fill(2) };
  const epochs = version === 1 ? {} : { epochParameters: quickEpochs };
  const format = { version, splitter: "FIXED-128K", ...secrets, ...epochs };
  await createRepository(store, { ...common, clock, format });
}

/** With packs that are full after a few contents, below what a format may say: some full ones, some shared ones. */
export async function open({
  clock,
  store,
}: Pick<ScenarioRun, "clock" | "store">): Promise<Repository> {
  const { openedFormat } = await openRepository(store, { ...common, clock });
  const format = { ...openedFormat.format, maxPackSizeBytes: 200_000 };
  return new Repository(store, { ...openedFormat, format }, { ...common, clock });
}

/** The same store, whose puts carry the time of a clock instead of the machine's. */
export function withClock(store: BlobStore, clock: Clock): BlobStore {
  return {
    ...forward(store),
    put: (id, data, options) => store.put(id, data, { timestampNs: clock.nowNs(), ...options }),
  };
}

/** A file of three contents and a list of them, a link, and a directory that all trees share and each has twice. */
function tree(seed: number): SourceEntry {
  const shared = (): SourceEntry => directory("shared", [file("same", splitmix64(77, 500))]);
  // Not the time of the others, else these would be taken for the same files.
  const metadata = { modifiedAtNs: startNs + BigInt(seed) };
  const inner = directory("inner", [
    file("small", splitmix64(seed, 1000), metadata),
    file("large", splitmix64(seed + 1000, 300_000), metadata),
    link("link", `to ${seed}`, metadata),
    file("empty", ""),
    shared(),
  ]);
  return directory("root", [inner, shared()]);
}

interface Plan {
  /** Of what is in the tree: two with one seed share all. */
  readonly seed: number;
  readonly source?: SnapshotSource;
  readonly pins?: readonly string[];
}

const somewhere: SnapshotSource = { host: "h", userName: "u", path: "/p" };

/** Backs up one of the trees; its name is the snapshot's description. */
async function backUp(run: ScenarioRun, name: string, { pins, seed, source }: Plan): Promise<void> {
  const startedAtNs = run.clock.nowNs();
  const options = { source: source ?? somewhere, description: name, startedAtNs, pins };
  await uploadSnapshot(await open(run), tree(seed), { ...options, expire: false });
}

async function remove(run: ScenarioRun, ...names: string[]): Promise<void> {
  const repository = await open(run);
  const doomed = (await listSnapshots(repository)).filter(({ description }) =>
    names.includes(description),
  );
  await using session = await repository.openWriteSession();
  await deleteSnapshots(session, doomed);
  await session.commit();
}

/** Names of complete snapshots. */
export const namesOf = (snapshots: readonly Snapshot[]): Set<string> =>
  new Set(
    snapshots
      .filter(({ incompleteReason }) => !incompleteReason)
      .map(({ description }) => description),
  );

export async function maintain(
  run: Pick<ScenarioRun, "clock" | "store">,
  safety: "full" | "none",
): Promise<void> {
  const repository = await open(run);
  await runMaintenance(repository, { mode: "full", safety, force: true, collectGarbage });
}

/** Four sources, each with its own rule of what is kept; their snapshots lie an hour apart, and share some data. */
const expiringSources: readonly SnapshotSource[] = [
  somewhere,
  { ...somewhere, path: "/p/below" },
  { ...somewhere, userName: "v" },
  { ...somewhere, host: "other" },
];

const policies: readonly (readonly [Parameters<typeof setPolicy>[1], Policy["retention"]])[] = [
  [
    globalPolicyTarget,
    {
      keepLatest: 2,
      keepHourly: 0,
      keepDaily: 1,
      keepWeekly: 0,
      keepMonthly: 0,
      keepAnnual: 0,
    },
  ],
  [expiringSources[1]!, { keepLatest: 3 }],
  [
    { host: "other", userName: "", path: "" },
    { keepLatest: 1, keepDaily: 0 },
  ],
];

const expiringPlans: ReadonlyMap<string, Plan> = new Map(
  Array.from({ length: 14 }, (_, index) => [
    `${index}`,
    {
      seed: 1 + (index % 7),
      source: expiringSources[index % 4]!,
      ...(index === 4 ? { pins: ["legal"] } : {}),
    },
  ]),
);

function expiry(version: 1 | 3): Scenario {
  const expire = async (run: ScenarioRun, source: Partial<SnapshotSource>): Promise<void> => {
    await using session = await (await open(run)).openWriteSession();
    await expireSnapshots(session, source);
    await session.commit();
  };
  return {
    name: `expiry, format ${version}`,
    safety: "full",
    async prepare(run) {
      await create(run, version);
      {
        await using session = await (await open(run)).openWriteSession();
        for (const [target, retention] of policies)
          await setPolicy(session, target, { ...emptyPolicy, retention });
        await session.commit();
      }
      // With the policies one content of manifests less than makes a later flush merge them all.
      for (const [name, plan] of expiringPlans) {
        await backUp(run, name, plan);
        run.clock.advance(hourMs);
      }
    },
    async work(run) {
      for (const source of [expiringSources[0]!, expiringSources[1]!])
        await run.step(() => expire(run, source));
      // The rest, in one session.
      await run.step(() => expire(run, {}));
    },
    finish: (run) => expire(run, {}),
  };
}

const maintainedPlans: ReadonlyMap<string, Plan> = new Map([
  ["kept 1", { seed: 1 }],
  ["doomed 2", { seed: 2 }],
  ["doomed 3", { seed: 3 }],
  ["kept 4", { seed: 4 }],
  ["doomed 5", { seed: 5 }],
  // What has been marked as deleted by then is wanted again.
  ["again 2", { seed: 2 }],
  ["again 3", { seed: 3 }],
]);

/** What happens between two rounds of maintenance. */
const between: readonly { readonly written?: string; readonly deleted?: string }[] = [
  { written: "again 2", deleted: "doomed 5" },
  { written: "again 3", deleted: "again 2" },
];

function maintenance(version: 1 | 3, safety: "full" | "none", rounds: number): Scenario {
  return {
    name: `maintenance ${rounds} times, format ${version}, safety ${safety}`,
    safety,
    async prepare(run) {
      await create(run, version);
      for (const [name, plan] of [...maintainedPlans].slice(0, 5)) {
        await backUp(run, name, plan);
        run.clock.advance(180_000);
      }
      await remove(run, "doomed 2", "doomed 3");
      run.clock.advance(25 * hourMs);
    },
    async work(run) {
      await run.step(() => maintain(run, safety));
      for (const { deleted, written } of between.slice(0, rounds - 1)) {
        await run.uncut(async () => {
          if (written) await run.step(() => backUp(run, written, maintainedPlans.get(written)!));
          if (deleted) await run.step(() => remove(run, deleted));
          run.clock.advance(25 * hourMs);
        });
        await run.step(() => maintain(run, safety));
      }
    },
    async finish(run, complete) {
      const present = namesOf(await listSnapshots(await open(run)));
      await remove(run, ...[...present].filter((name) => !complete.has(name)));
      for (const name of complete)
        if (!present.has(name)) await backUp(run, name, maintainedPlans.get(name)!);
      await maintain(run, safety);
    },
  };
}

/** An image with holes and zeros. */
function disk(generation: number) {
  const bytes = new Uint8Array(3_000_000);
  bytes.set(splitmix64(1, 900_000));
  bytes.set(splitmix64(2, 700_000), 1_500_000);
  bytes.set(splitmix64(10 + generation, 300_000), 2_600_000);
  const volume = memoryVolume(bytes, [
    { start: 0, length: 1_000_000 },
    { start: 1_500_000, length: 1_500_000 },
  ]);
  const read = volume.read.bind(volume);
  // Slow enough for a checkpoint in its middle.
  return Object.assign(volume, {
    read: async (target: Uint8Array, offset: number) => {
      await new Promise((resolve) => setTimeout(resolve, 2));
      await read.call(volume, target, offset);
    },
  });
}

/** Its sleep is short: checkpoints come all the time. */
const hasty: Clock = {
  nowNs: () => BigInt(Date.now()) * 1_000_000n,
  async sleep(_ms, { signal } = {}) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    signal?.throwIfAborted();
  },
};

/** Bytes that runs after a death did not read again. */
export const volumeFigures = { keptBytes: 0 };

async function backUpVolume(
  run: ScenarioRun,
  generation: number,
  resume: boolean,
): Promise<UploadedVolume> {
  return uploadVolume(await open(run), disk(generation), {
    source: somewhere,
    name: "/dev/vdb",
    openedAtNs: startNs + BigInt(generation),
    startedAtNs: startNs + BigInt(generation) * 1_000_000_000n,
    description: `volume ${generation}`,
    clock: hasty,
    // Else the default policy would delete what is looked for.
    expire: false,
    resume,
  });
}

const volumeUpload: Scenario = {
  name: "upload of a volume",
  safety: "full",
  async prepare(run) {
    await create(run, 3);
    await backUpVolume(run, 1, false);
  },
  async work(run) {
    await run.step(async () => {
      await backUpVolume(run, 2, false);
    });
  },
  async finish(run) {
    if (namesOf(await listSnapshots(await open(run))).has("volume 2")) return;
    const { volume } = await backUpVolume(run, 2, true);
    volumeFigures.keptBytes += volume.keptBytes;
  },
};

export const expiries: readonly Scenario[] = [expiry(1), expiry(3)];
export const maintenances: readonly Scenario[] = [
  maintenance(1, "full", 3),
  maintenance(3, "full", 3),
  maintenance(1, "none", 2),
  maintenance(3, "none", 2),
];
export const volumes: readonly Scenario[] = [volumeUpload];
export const scenarios: readonly Scenario[] = [...expiries, ...maintenances, ...volumes];
