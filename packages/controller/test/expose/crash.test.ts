// Row 46 and row 84: the process dies at any call to the API, before or after the server acts on it, and another one goes on. In the
// end there are the same objects as without; nothing is left behind; and at no moment is the volume's content lost: the storage has
// the snapshot until a volume is made of it, and the restored volume until its claim has it. Every call is a kill in each run; before
// or after, and whether the cluster acts between two calls, are drawn for each (all four with DM_FULL=1).
import { seededRandom } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { csiSnapshotExposer } from "../../src/expose/csi-snapshot-exposer.ts";
import type { Exposer, RestoreExposer, Step } from "../../src/expose/exposer.ts";
import { genericRestoreExposer } from "../../src/expose/generic-restore-exposer.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";
import {
  delayedClient,
  flakyClient,
  type Interruption,
  interruptedClient,
  Killed,
} from "./interrupted-client.ts";
import { namespace } from "./samples.ts";
import { createWorld, downloadOf, drive, fresh, uploadOf, type World } from "./world.ts";

const claims = "persistentvolumeclaims";
const volumes = "persistentvolumes";
const contents = "volumesnapshotcontents.snapshot.storage.k8s.io";

const seed = Number(process.env["DM_SEED"] ?? Date.now() % 1_000_000);
const isFull = process.env["DM_FULL"] === "1";
const random = seededRandom(seed);
const chance = (rate: number): boolean => random.integer(1000) < rate * 1000;

/** A step of the whole, over whichever client. */
interface Story<T extends Exposer> {
  readonly make: (world: World, client: KubeClient) => T;
  /** The steps that are done before, undisturbed. */
  readonly before: readonly (keyof T)[];
  /** The one that is interrupted. */
  readonly interrupted: keyof T;
  /** What goes on after it: the same, or clean-up at once. */
  readonly after: readonly (keyof T)[];
  /** Holds at every moment. */
  readonly always: (world: World) => void;
  readonly finally: (world: World) => void;
}

async function runStory<T extends Exposer>(
  story: Story<T>,
  interruption: Interruption | undefined,
  settles: boolean,
): Promise<number> {
  await using world = await createWorld();
  const check = (): void => story.always(world);
  const then = (): void => {
    check();
    if (!settles) return;
    world.csi.settle();
    check();
  };
  const exposer = story.make(world, world.client);
  const call = (of: T, name: keyof T) => (of[name] as unknown as () => Promise<Step>)();
  for (const name of story.before) await drive(world, () => call(exposer, name));
  if (story.before.includes("expose" as keyof T)) fill(world);
  const { client, calls } = interruptedClient(world.client, interruption, then);
  const dying = story.make(world, client);
  try {
    await drive(world, () => call(dying, story.interrupted), { between: check });
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
  }
  if (settles) world.csi.settle();
  check();
  for (const name of story.after) await drive(world, () => call(exposer, name), { between: check });
  world.csi.settle();
  story.finally(world);
  return calls();
}

/** What the data path of a restore does. */
function fill(world: World): void {
  const ours = world.api.get(claims, namespace, "restore-1");
  if (ours !== undefined) world.csi.storedVolumes.set(world.csi.handleOf(ours), "restored");
}

async function everyInterruption<T extends Exposer>(story: Story<T>): Promise<void> {
  const counts = [
    await runStory(story, undefined, false),
    await runStory(story, undefined, true),
  ] as const;
  for (let at = 0; at < Math.max(...counts); at += 1) {
    const all = (["before", "after"] as const).flatMap((when) => [
      { when, settles: false },
      { when, settles: true },
    ]);
    for (const { when, settles } of isFull ? all : [random.pick(all)])
      await runStory(story, { at, when }, settles).catch((error: unknown) => {
        const where = `killed ${when} call ${at}, the cluster acts ${settles ? "between calls" : "later"}`;
        throw new Error(`${where} (DM_SEED=${seed})`, { cause: error });
      });
  }
}

function makeUpload(snapshotClass: string): (world: World, client: KubeClient) => Exposer {
  return (world, client) => {
    const known = world.api.get("datauploads.velero.io", namespace, "backup-1");
    const upload = (known as never) ?? uploadOf(world, { snapshotClass });
    return fresh(() => csiSnapshotExposer({ ...world.context, client }, upload));
  };
}

function makeDownload(
  storageClassName: string,
): (world: World, client: KubeClient) => RestoreExposer {
  return (world, client) => {
    const known = world.api.get("datadownloads.velero.io", namespace, "restore-1");
    const download = (known as never) ?? downloadOf(world, { claim: { storageClassName } });
    return fresh(() => genericRestoreExposer({ ...world.context, client }, download));
  };
}

function contentsWithDelete(world: World): number {
  return world.api.list(contents).filter(({ spec }) => spec.deletionPolicy === "Delete").length;
}

/** The snapshot, or a volume made of it, is in the storage. */
function hasCopy(world: World): void {
  const source = world.api.get(claims, "shop", "db");
  const sourceHandle = source === undefined ? "" : world.csi.handleOf(source);
  const elsewhere = [...world.csi.storedVolumes].filter(([handle]) => handle !== sourceHandle);
  expect(world.csi.storedSnapshots.size + elsewhere.length).toBeGreaterThan(0);
  expect(contentsWithDelete(world)).toBeLessThan(2);
}

function isExposed(world: World): void {
  expect(world.csi.storedSnapshots.size).toBe(1);
  expect(world.leftovers().map((line) => line.replace(/pvc-.*/, "pvc"))).toEqual([
    "pods/backup-1",
    `${claims}/backup-1`,
    `${volumes}/pvc`,
    "volumesnapshots.snapshot.storage.k8s.io/backup-1",
    `${contents}/backup-1`,
  ]);
  expect(world.api.get("pods", namespace, "backup-1")?.status?.phase).toBe("Running");
  const claim = world.api.get(claims, namespace, "backup-1");
  expect(claim && world.csi.storedVolumes.get(world.csi.handleOf(claim))).toBe("data of db");
}

function nothingIsLeft(world: World): void {
  expect(world.leftovers()).toEqual([]);
  expect(world.csi.storedSnapshots.size).toBe(0);
  const source = world.api.get(claims, "shop", "db");
  const kept = source?.status?.phase === "Bound" ? 1 : 0;
  expect(world.csi.storedVolumes.size).toBe(kept);
}

function restored(world: World): void {
  const held = [...world.csi.storedVolumes.values()];
  expect(held).toContain("restored");
}

function isRebound(policy: string): (world: World) => void {
  return (world) => {
    const target = world.api.get(claims, "shop", "db");
    expect(target?.status?.phase).toBe("Bound");
    expect(target && world.csi.storedVolumes.get(world.csi.handleOf(target))).toBe("restored");
    const volume = world.api.get(volumes, "", target?.spec.volumeName ?? "");
    expect(volume?.spec.persistentVolumeReclaimPolicy).toBe(policy);
    expect(world.leftovers()).toEqual([]);
  };
}

const nothing = (): void => {};

describe.each(["snap", "snap-kept"])("a backup with snapshot class %s", (snapshotClass) => {
  const make = makeUpload(snapshotClass);

  it("row 46: killed while exposing, goes on", async () => {
    await everyInterruption({
      make,
      before: [],
      interrupted: "expose",
      after: ["expose"],
      always: hasCopy,
      finally: isExposed,
    });
  });

  it("row 46: killed while exposing, and given up then, leaves nothing", async () => {
    await everyInterruption({
      make,
      before: [],
      interrupted: "expose",
      after: ["cleanUp"],
      always: nothing,
      finally: nothingIsLeft,
    });
  });

  it("row 46: killed while cleaning up, leaves nothing", async () => {
    await everyInterruption({
      make,
      before: ["expose"],
      interrupted: "cleanUp",
      after: ["cleanUp"],
      always: nothing,
      finally: nothingIsLeft,
    });
  });
});

describe.each([
  ["fast", "Delete"],
  ["kept", "Retain"],
])("a restore with storage class %s", (storageClassName, policy) => {
  const make = makeDownload(storageClassName);

  it("killed while exposing, goes on, and is bound in the end", async () => {
    await everyInterruption<RestoreExposer>({
      make,
      before: [],
      interrupted: "expose",
      after: ["expose", "cleanUp"],
      always: nothing,
      finally: nothingIsLeft,
    });
  });

  it("row 84: killed while rebinding, goes on", async () => {
    await everyInterruption<RestoreExposer>({
      make,
      before: ["expose"],
      interrupted: "rebind",
      after: ["rebind", "cleanUp"],
      always: restored,
      finally: isRebound(policy),
    });
  });

  it("row 84: killed while rebinding, and given up then, either has the data or nothing", async () => {
    await everyInterruption<RestoreExposer>({
      make,
      before: ["expose"],
      interrupted: "rebind",
      after: ["cleanUp"],
      always: nothing,
      finally(world) {
        const target = world.api.get(claims, "shop", "db");
        if (target?.spec.volumeName === undefined) nothingIsLeft(world);
        else isRebound(policy)(world);
      },
    });
  });

  it("row 90: killed while cleaning up, leaves nothing", async () => {
    await everyInterruption<RestoreExposer>({
      make,
      before: ["expose"],
      interrupted: "cleanUp",
      after: ["cleanUp"],
      always: nothing,
      finally: nothingIsLeft,
    });
  });
});

describe(`row 58: while the API fails now and then (DM_SEED=${seed})`, () => {
  const rounds = isFull ? 300 : 10;

  it.each(["snap", "snap-kept"])(
    "a backup with class %s ends as without",
    async (snapshotClass) => {
      for (let round = 0; round < rounds; round += 1) {
        await using world = await createWorld();
        makeUpload(snapshotClass)(world, world.client);
        const then = (): void => {
          hasCopy(world);
          if (chance(0.5)) world.csi.settle();
        };
        const exposer = makeUpload(snapshotClass)(
          world,
          flakyClient(world.client, () => chance(0.15), then),
        );
        await drive(world, retried(exposer.expose));
        isExposed(world);
        const cleaning = makeUpload(snapshotClass)(
          world,
          flakyClient(world.client, () => chance(0.15), nothing),
        );
        await drive(world, retried(cleaning.cleanUp));
        world.csi.settle();
        nothingIsLeft(world);
      }
    },
  );

  it.each([
    ["fast", "Delete"],
    ["kept", "Retain"],
  ])("a restore with class %s ends as without", async (storageClassName, policy) => {
    for (let round = 0; round < rounds; round += 1) {
      await using world = await createWorld();
      const make = makeDownload(storageClassName);
      await drive(world, make(world, world.client).expose);
      fill(world);
      const then = (): void => {
        restored(world);
        if (chance(0.5)) world.csi.settle();
      };
      const exposer = make(
        world,
        flakyClient(world.client, () => chance(0.15), then),
      );
      await drive(world, retried(exposer.rebind));
      await drive(world, retried(exposer.cleanUp));
      world.csi.settle();
      isRebound(policy)(world);
    }
  });
});

describe(`two node agents at once, each not knowing of the other (DM_SEED=${seed})`, () => {
  const rounds = isFull ? 200 : 10;

  /** Both make the same step, and their calls come in any order. */
  async function both<T extends Exposer>(
    world: World,
    make: (world: World, client: KubeClient) => T,
    name: keyof T,
    always: (world: World) => void,
  ): Promise<void> {
    const one = async (): Promise<void> => {
      const client = delayedClient(
        world.client,
        () => random.integer(4),
        () => {
          always(world);
          if (chance(0.3)) world.csi.settle();
        },
      );
      const exposer = make(world, client);
      await drive(world, () => (exposer[name] as unknown as () => Promise<Step>)());
    };
    await Promise.all([one(), one()]);
    world.csi.settle();
    always(world);
  }

  it.each(["snap", "snap-kept"])(
    "make one backup of class %s, and clean it up",
    async (snapshotClass) => {
      for (let round = 0; round < rounds; round += 1) {
        await using world = await createWorld();
        const make = makeUpload(snapshotClass);
        make(world, world.client);
        await both(world, make, "expose", hasCopy);
        isExposed(world);
        await both(world, make, "cleanUp", nothing);
        nothingIsLeft(world);
      }
    },
  );

  it.each([
    ["fast", "Delete"],
    ["kept", "Retain"],
  ])("make one restore of class %s, and bind it", async (storageClassName, policy) => {
    for (let round = 0; round < rounds; round += 1) {
      await using world = await createWorld();
      const make = makeDownload(storageClassName);
      make(world, world.client);
      await both(world, make, "expose", nothing);
      fill(world);
      await both(world, make, "rebind", restored);
      await both(world, make, "cleanUp", restored);
      isRebound(policy)(world);
    }
  });
});

/** As a controller does: what is refused for the moment is tried again. */
function retried(call: () => Promise<Step>): () => Promise<Step> {
  return async () => {
    try {
      return await call();
    } catch (error) {
      if ((error as { retryable?: boolean }).retryable !== true) throw error;
      return { done: false, reason: "refused for the moment" };
    }
  };
}
