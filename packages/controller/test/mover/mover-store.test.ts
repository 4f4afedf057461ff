// Movers over stores that fail, and beside others in one repository: what may pass is tried again, what will not is told at once, and
// no repository is left that does not verify.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger, systemClock } from "@dm/core";
import { splitmix64 } from "@dm/fixtures";
import { listSnapshots, verifySnapshots } from "@dm/snapshot";
import { faultOn, type S3Server, slowDown, startS3Server } from "@dm/storage/testing/s3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { reconcileBackupRepository } from "../../src/repository/reconcile-backup-repository.ts";
import { runMaintenance } from "../../src/repository/run-maintenance.ts";
import { nodeKubeClient } from "../../src/runtime/node-client.ts";
import { MoverWorld, operator, shop } from "./mover-world.ts";
import { expectSameTree } from "./run-child.ts";

let world: MoverWorld;
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

function makeVolume(name: string, seed: number, largeBytes = 3_000_000): string {
  const path = world.newDirectory(name);
  for (let index = 0; index < 10; index++)
    writeFileSync(join(path, `f${index}`), splitmix64(seed + index, 20_000));
  writeFileSync(join(path, "large"), splitmix64(seed + 99, largeBytes));
  return path;
}

async function expectSound(snapshots: number): Promise<void> {
  await using repository = await world.openRepository();
  const all = await listSnapshots(repository);
  expect(all.length).toBe(snapshots);
  const report = await verifySnapshots(repository, all, { readFiles: "all" });
  expect(report.findings).toEqual([]);
}

describe("an S3 server", () => {
  let server: S3Server;
  beforeEach(async () => {
    server = await startS3Server({ buckets: ["backups"] });
    const { accessKeyId, secretAccessKey } = server.accessKey;
    world = await MoverWorld.start({
      location: {
        provider: "aws",
        objectStorage: { bucket: "backups", prefix: "velero" },
        config: { s3Url: server.url, region: "us-east-1" },
      },
      credentials: `[default]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`,
    });
    await world.makeRepository();
  });
  afterEach(async () => {
    await server.close();
  });

  const backUp = async (name: string, path: string) => {
    world.upload(name);
    return world.outcome("DataUpload", await world.run(world.settings("DataUpload", name, path)));
  };

  it("row 71: answers that may pass are asked for again", async () => {
    const lift = server.inject(
      faultOn({ operations: ["PutObject"], times: 3 }, { answer: slowDown }),
    );
    const liftCuts = server.inject(
      faultOn({ operations: ["GetObject"], times: 2 }, { reset: "before" }),
    );
    expect((await backUp("du-1", makeVolume("volume", 1))).outcome).toBe("backedUp");
    lift();
    liftCuts();
    await expectSound(1);
  });

  it("row 71: one that stays away fails it, and leaves a repository that verifies", {
    timeout: 120_000,
  }, async () => {
    expect((await backUp("du-1", makeVolume("volume", 1))).outcome).toBe("backedUp");
    const path = makeVolume("other", 1_000);
    const lift = server.inject(faultOn({ operations: ["PutObject"] }, { answer: slowDown }));
    const failed = await backUp("du-2", path);
    expect(failed.outcome).toBe("failed");
    lift();
    await expectSound(1);
    expect((await backUp("du-3", path)).outcome).toBe("backedUp");
    await expectSound(2);
  });

  const isPack = (key: string): boolean => /\/p[0-9a-f]+[^/]*$/.test(key);

  /** No backup of more than a pack ends before this is lifted. */
  function hold(): () => void {
    return server.inject(faultOn({ operations: ["PutObject"], key: isPack }, { answer: slowDown }));
  }

  async function until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  const isAtWork = (): boolean => world.eventReasons("du-1").includes("Data-Path-Progress");

  it("row 34: canceled while it works and the store hangs, it ends, and saves no snapshot", {
    timeout: 60_000,
  }, async () => {
    const path = makeVolume("volume", 1, 60_000_000);
    let hangs = 0;
    server.inject((call) => {
      if (call.operation !== "PutObject" || !isPack(call.key)) return undefined;
      hangs++;
      return { delayMs: 600_000 };
    });
    world.upload("du-1");
    const ended = world.run(world.settings("DataUpload", "du-1", path));
    await until(() => hangs > 0);
    world.change("DataUpload", "du-1", (object) => {
      object["spec"].cancel = true;
      object["status"].phase = "Canceling";
    });
    expect(world.outcome("DataUpload", await ended).outcome).toBe("canceled");
    const reasons = world.eventReasons("du-1");
    expect(reasons).toContain("Data-Path-Canceling");
    expect(reasons).toContain("Data-Path-Canceled");
    expect(reasons.at(-1)).toBe("Data-Path-Stopped");
    await expectSound(0);
  });

  it("row 37: the object is deleted while it works: as canceled", { timeout: 60_000 }, async () => {
    const path = makeVolume("volume", 1, 60_000_000);
    hold();
    world.upload("du-1");
    const ended = world.run(world.settings("DataUpload", "du-1", path));
    await until(isAtWork);
    world.api.delete("datauploads.velero.io", operator, "du-1");
    expect(world.outcome("DataUpload", await ended).outcome).toBe("canceled");
  });

  it("stopped, it leaves a checkpoint, from which the next attempt goes on", {
    timeout: 60_000,
  }, async () => {
    const path = makeVolume("volume", 1, 60_000_000);
    const lift = hold();
    world.upload("du-1");
    const stop = new AbortController();
    const settings = world.settings("DataUpload", "du-1", path);
    const ended = world.run(settings, { stopSignal: stop.signal });
    await until(isAtWork);
    stop.abort(new Error("SIGTERM"));
    lift();
    expect(world.outcome("DataUpload", await ended).outcome).toBe("interrupted");
    await expectSound(1);
    expect(world.outcome("DataUpload", await world.run(settings)).outcome).toBe("backedUp");
    await expectSound(1);
  });

  it("row 72: a refusal fails it at once, with the reason and without the key", async () => {
    server.inject(
      faultOn({ operations: ["PutObject"] }, { answer: { status: 403, code: "AccessDenied" } }),
    );
    const failed = await backUp("du-1", makeVolume("volume", 1));
    if (failed.outcome !== "failed") throw new Error(failed.outcome);
    expect(failed.message).toMatch(/AccessDenied|denied/i);
    expect(failed.message).not.toContain(server.accessKey.secretAccessKey);
    const puts = server.log.filter(
      ({ operation, status }) => operation === "PutObject" && status === 403,
    );
    expect(puts.length).toBeLessThan(5);
  });
});

describe("a directory", () => {
  beforeEach(async () => {
    world = await MoverWorld.start();
  });

  it("row 73: maintenance while a volume is backed up: both succeed", {
    timeout: 60_000,
  }, async () => {
    await world.makeRepository();
    const path = makeVolume("volume", 1, 40_000_000);
    world.upload("du-1");
    const client = nodeKubeClient({ kubeconfig: world.kubeconfig });
    const place = { namespace: operator, volumeNamespace: shop, backupStorageLocation: "default" };
    const more = ["--checkpoint-interval=100ms"];
    const [end, maintained] = await Promise.all([
      world.run(world.settings("DataUpload", "du-1", path, more)),
      runMaintenance(place, { client }),
    ]);
    client.close();
    expect(maintained).toEqual({ exitCode: 0, message: "" });
    const outcome = world.outcome("DataUpload", end);
    if (outcome.outcome !== "backedUp") throw new Error(end.message);
    await expectSound(1);
    const target = world.newDirectory("target");
    world.download("dd-1", outcome.result.snapshotID);
    expect((await world.run(world.settings("DataDownload", "dd-1", target))).exitCode).toBe(0);
    expectSameTree(path, target);
  });

  it("row 63: five volumes of a new namespace at once: one repository", {
    timeout: 60_000,
  }, async () => {
    const client = nodeKubeClient({ kubeconfig: world.kubeconfig });
    const deps = { client, clock: systemClock, logger: silentLogger, environment: {} };
    const key = { namespace: operator, name: `${shop}-default-kopia` };
    const ended = new AbortController();
    // Two controllers, as for a moment at a change of leaders.
    const controllers = [1, 2].map(async () => {
      while (!ended.signal.aborted) {
        await reconcileBackupRepository(deps, key).catch((error) => {
          if (error.code !== "DM_KUBE_CONFLICT") throw error;
        });
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    });
    const names = ["a", "b", "c", "d", "e"];
    const ends = await Promise.all(
      names.map((name, index) => {
        const path = makeVolume(name, 1_000 * index + 1);
        world.upload(`du-${name}`, { phase: "InProgress" }, { sourcePVC: name });
        return world.run(world.settings("DataUpload", `du-${name}`, path));
      }),
    );
    ended.abort();
    await Promise.all(controllers);
    client.close();
    expect(ends.map(({ message }) => message)).toEqual(
      ends.map(() => expect.stringContaining("snapshotID")),
    );
    expect(world.api.list("backuprepositories.velero.io", operator).length).toBe(1);
    await expectSound(5);
  });
});
