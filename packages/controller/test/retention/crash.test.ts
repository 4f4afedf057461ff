/**
 * A server is killed at each call that it makes to the API server, the bucket or a repository, just before or just after it took
 * effect, and another one goes on. Sync, expiry and deletion end as if nothing had happened, and no backup that stays loses anything.
 * At the moment of the crash, every backup that the bucket shows as whole has all of its snapshots. A sample by seed; every call with
 * DM_FULL=1.
 */
import type { Backup } from "@dm/crds";
import { afterAll, describe, expect, it } from "vitest";
import { decodeBackup, decodeItems } from "../../src/bucket/backup-files.ts";
import { collectExpired } from "../../src/retention/collect-expired.ts";
import { reconcileDeleteRequest } from "../../src/retention/reconcile-delete-request.ts";
import { syncLocation } from "../../src/retention/sync-location.ts";
import { type CrashAt, crashPoints, MortalServer, seed } from "../backup/crash-points.ts";
import { Crash, operator, World } from "./world.ts";

type Story = "plenty of space" | "a full store";

async function run(story: Story, at?: CrashAt): Promise<{ end: object; calls: number }> {
  await using home = await World.open();
  const podVolume = {
    apiVersion: "velero.io/v1",
    kind: "PodVolumeBackup",
    metadata: { name: "lost-v", labels: {} },
    spec: {
      backupStorageLocation: "default",
      node: "n",
      pod: { kind: "Pod", namespace: "web", name: "db" },
      repoIdentifier: "",
      volume: "data",
    },
    status: { phase: "Completed", snapshotID: await home.snapshot("web", "db", "p") },
  };
  await home.backup("kept", { namespaces: ["shop", "web"] });
  await home.backup("lost", { podVolumeBackups: [podVolume] });
  await home.backup("gone");
  await home.backup("old", {
    namespaces: ["shop", "web"],
    status: { expiration: "2026-11-25T11:00:00Z" },
  });
  home.restore("back", "old");
  home.api.delete("backups.velero.io", operator, "lost");
  home.api.delete("datauploads.velero.io", operator, "lost-shop");
  for (const file of home.filesOf("backups/gone/")) home.bucket.files.delete(file);
  if (story === "a full store") home.bucket.capacityBytes = home.bucket.usedBytes;

  const server = new MortalServer(at, Crash);
  home.hooks = server.hooks;
  const call = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    }
  };
  for (let turn = 0; turn < 4; turn++) {
    await call(() => syncLocation(home.deps, { namespace: operator, name: "default" }));
    for (const name of home.names("backups"))
      await call(() => collectExpired(home.deps, home.get("backups", name) as unknown as Backup));
    for (const name of home.names("requests"))
      await call(() => reconcileDeleteRequest(home.deps, { namespace: operator, name }));
    if (server.isDead) await expectWhole(home);
    server.isDead = false;
    home.advance(60_000);
  }
  home.hooks = {};
  const end = {
    files: home.filesOf(""),
    objects: (
      ["backups", "restores", "requests", "uploads", "podVolumeBackups", "configMaps"] as const
    ).map((kind) => home.names(kind)),
    phases: home.names("backups").map((name) => home.get("backups", name).status?.phase),
    annotations: home
      .names("backups")
      .map((name) => home.get("backups", name).metadata.annotations ?? {}),
    snapshots: [(await home.snapshotIds("shop")).length, (await home.snapshotIds("web")).length],
  };
  return { end, calls: server.calls };
}

/** What the bucket shows as a whole backup can be restored. */
async function expectWhole(world: World): Promise<void> {
  const there = new Set([
    ...(await world.snapshotIds("shop")),
    ...(await world.snapshotIds("web")),
  ]);
  for (const name of world.bucket.folders(["backups"])) {
    const head = world.bucket.files.get(`backups/${name}/velero-backup.json`);
    if (head === undefined || decodeBackup(head).status?.phase !== "Completed") continue;
    const tarball = world.bucket.files.get(`backups/${name}/${name}.tar.gz`) ?? new Uint8Array();
    for (const { object } of decodeItems(tarball, name)) {
      const { snapshotID } = (object as { status?: { snapshotID?: string } }).status ?? {};
      if (snapshotID && !there.has(snapshotID))
        throw new Error(`the bucket shows backup ${name}, but its snapshot ${snapshotID} is gone`);
    }
  }
}

describe(`a server that is killed at any call (seed ${seed})`, () => {
  it.each(["plenty of space", "a full store"] satisfies Story[])(
    "%s",
    { timeout: 600_000 },
    async (story) => {
      const { calls, end } = await run(story);
      expect(end).toMatchObject({
        objects: [["kept", "lost"], [], [], ["gone-shop", "kept-shop", "kept-web"], ["lost-v"], []],
        phases: ["Completed", "Completed"],
        annotations: [{}, {}],
        snapshots: [3, 2],
      });
      for (const at of crashPoints(calls, 8)) {
        try {
          expect((await run(story, at)).end).toEqual(end);
        } catch (error) {
          throw new Error(`killed ${at.when} call ${at.call} of ${calls}`, { cause: error });
        }
      }
    },
  );
});

afterAll(() => {
  console.log(
    `servers killed ${MortalServer.kills} times (seed ${seed}): backups were in order as without`,
  );
});
