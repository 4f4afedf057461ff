/**
 * Rows 95 and 96, and beyond: a server is killed at each call that it makes to the API server, the bucket or a pod, just before or
 * just after it took effect, and another one goes on. A Backup whose run was cut off is Failed, with nothing left behind: no snapshot,
 * no DataUpload or PodVolumeBackup that goes on, no pod that stands still. Every other Backup ends as if nothing had happened: one
 * snapshot and one DataUpload for each claim, the same files. A sample by seed; every call with DM_FULL=1.
 */
import { isFinalPhase, labels } from "@dm/crds";
import { afterAll, describe, expect, it } from "vitest";
import { decodeGzipJson, decodeItems } from "../../src/bucket/backup-files.ts";
import { type CrashAt, crashPoints, MortalServer, seed } from "./crash-points.ts";
import { Crash, kinds, operator, World } from "./world.ts";

type Story = "success" | "failures" | "kept";
let failed = 0;

/** Runs a backup. Returns what came of them and how many calls there were. */
async function run(story: Story, at?: CrashAt): Promise<{ end: object | "failed"; calls: number }> {
  await using world = await World.open();
  const server = new MortalServer(at, Crash);
  world.hooks = server.hooks;
  const made = { snapshots: 0, uploads: 0, podBackups: 0 };
  for (const kind of ["snapshots", "uploads", "podBackups"] as const)
    world.api.watch(kinds[kind], ({ type }) => {
      if (type === "ADDED") made[kind]++;
    });
  const turns = async (isDone: () => boolean): Promise<void> => {
    for (let turn = 0; !isDone(); turn++) {
      if (turn > 500) throw new Error("it does not end");
      await world.turn();
      server.isDead = false;
    }
  };
  for (const name of ["a", "b", "c", "d"]) world.claim("shop", name);
  const frozen = new Set<string>();
  world.onExec = (command) => {
    const pod = command.split(" ")[0] ?? "";
    if (command.endsWith("freeze")) frozen.add(pod);
    else frozen.delete(pod);
    return {};
  };
  const hooks = {
    "pre.hook.backup.velero.io/command": "freeze",
    "post.hook.backup.velero.io/command": "thaw",
  };
  world.pod("shop", "db", ["a"], { metadata: { annotations: hooks } });
  const files = { ...hooks, "backup.velero.io/backup-volumes": "d" };
  world.pod("shop", "web", ["d"], { metadata: { annotations: files } });
  if (story === "failures") {
    world.movements.set("b", "fail");
    world.stuckSnapshots.add("c");
  }
  const isFinal = (): boolean =>
    /^(Completed|PartiallyFailed|Failed\w*)$/.test(world.phase("backups", "nightly"));
  const snapshotMoveData = story !== "kept";
  world.backup("nightly", { csiSnapshotTimeout: "1m", snapshotMoveData });
  await turns(isFinal);
  if (world.phase("backups", "nightly") === "Failed") {
    await world.turn();
    expect(world.get("backups", operator, "nightly").status.failureReason).toBe(
      'found a backup with status "InProgress" during the server starting, mark it as "Failed"',
    );
    for (const kind of ["uploads", "podBackups"] as const)
      for (const { spec, status } of world.list(kind))
        expect(spec.cancel === true || isFinalPhase(status?.phase)).toBe(true);
    expect([world.list("snapshots"), world.list("contents")]).toEqual([[], []]);
    expect([...world.handles, ...frozen]).toEqual([]);
    return { end: "failed", calls: server.calls };
  }
  await world.turn();
  const { uid: backupUid } = world.get("backups", operator, "nightly").metadata;
  const file = (name: string): Uint8Array =>
    world.blobs.get(`default/backups/nightly/${name}`) ?? new Uint8Array();
  const stable = (value: unknown): unknown =>
    JSON.parse(
      JSON.stringify(value)
        .replaceAll(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/g, '"time"')
        .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "uid")
        .replaceAll(/-[0-9a-f]{10}\b/g, "-name"),
    );
  const items = decodeItems(file("nightly.tar.gz"), "nightly.tar.gz");
  const end = stable({
    made,
    backup: world.get("backups", operator, "nightly").status,
    uploads: world
      .list("uploads")
      .filter((one) => one.metadata.labels?.[labels.backupUid] === backupUid).length,
    items: items.map(({ object, resource }) => `${resource}/${object.metadata.name}`).sort(),
    results: decodeGzipJson(file("nightly-results.gz"), "results"),
    head: JSON.parse(new TextDecoder().decode(file("velero-backup.json"))).status,
    left: [world.list("snapshots"), world.list("contents"), [...world.handles], [...frozen]],
  }) as object;
  return { end, calls: server.calls };
}

describe(`rows 95, 96: a server that is killed at any call (seed ${seed})`, () => {
  it.each(["success", "failures", "kept"] satisfies Story[])(
    "%s",
    { timeout: 600_000 },
    async (story) => {
      const { calls, end } = await run(story);
      const uploads = { success: 3, failures: 2, kept: 0 }[story];
      expect(end).toMatchObject({
        backup: { phase: story === "failures" ? "PartiallyFailed" : "Completed" },
        made: { snapshots: 3, uploads, podBackups: 1 },
        left: [[], [], story === "kept" ? ["snap-uid", "snap-uid", "snap-uid"] : [], []],
      });
      for (const at of crashPoints(calls, 15)) {
        try {
          const killed = (await run(story, at)).end;
          if (killed === "failed") failed++;
          else expect(killed).toEqual(end);
        } catch (error) {
          throw new Error(`killed ${at.when} call ${at.call} of ${calls}`, { cause: error });
        }
      }
    },
  );
});

afterAll(() => {
  console.log(
    `servers killed ${MortalServer.kills} times (seed ${seed}): ${failed} Backups were cut off and left nothing, all else ended as without`,
  );
});
