// Sync, expiry and deletion over HTTP, with caches and queues: a backup of the bucket appears, and goes by itself when its time is over.
import { ConflictError, manualClock, nsPerMs } from "@dm/core";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { addRetentionControllers } from "../../src/retention/retention-controllers.ts";
import { createManager } from "../../src/runtime/manager.ts";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";
import { startMs, World } from "./world.ts";

let home: World;
let away: World;
let client: NodeKubeClient;
beforeEach(async () => {
  home = await World.open();
  away = await World.open(home.bucket);
  client = nodeKubeClient({ server: { url: away.server.url, token: away.server.adminToken } });
});
afterEach(async () => {
  client.close();
  await home[Symbol.asyncDispose]();
  await away[Symbol.asyncDispose]();
});

it("backups appear, and go when their time is over", { timeout: 30_000 }, async () => {
  await home.backup("old", { status: { expiration: "2026-11-25T11:00:00Z" } });
  await home.backup("young");
  const stop = new AbortController();
  const manager = createManager({ client });
  const { listFolders, openFolder, openRepository } = away.deps;
  addRetentionControllers(manager, {
    client,
    namespace: "velero",
    // Not that of the API server, which goes on by itself.
    clock: manualClock(BigInt(startMs) * nsPerMs),
    listFolders,
    openFolder,
    openRepository,
  });
  const running = manager.run(stop.signal);
  await vi.waitFor(
    () => {
      expect(away.names("backups")).toEqual(["young"]);
      expect(away.bucket.folders(["backups"])).toEqual(["young"]);
      expect(away.names("requests")).toEqual([]);
    },
    { timeout: 12_000, interval: 20 },
  );
  expect((await away.snapshotIds("shop")).length).toBe(1);
  stop.abort();
  await running;
  expect(manager.metrics.text()).toContain('velero_backup_deletion_success_total{schedule=""} 1');
});

it("a location that does not answer holds up no other", { timeout: 30_000 }, async () => {
  await home.backup("nightly");
  // First in the list, and so the first to be looked at.
  away.location("a-stuck");
  const stop = new AbortController();
  const manager = createManager({ client });
  const { listFolders, openFolder, openRepository } = away.deps;
  let isStuck = false;
  addRetentionControllers(manager, {
    client,
    namespace: "velero",
    clock: manualClock(BigInt(startMs) * nsPerMs),
    listFolders: (location, path, options) => {
      if (location.name !== "a-stuck") return listFolders(location, path, options);
      isStuck = true;
      return new Promise((_resolve, reject) => {
        options?.signal?.addEventListener("abort", () => reject(options.signal?.reason));
      });
    },
    openFolder,
    openRepository,
  });
  const running = manager.run(stop.signal);
  await vi.waitFor(
    () => {
      expect(isStuck).toBe(true);
      expect(away.names("backups")).toEqual(["nightly"]);
    },
    { timeout: 12_000, interval: 20 },
  );
  const lost = new ConflictError("DM_LEASE_LOST", "so that nothing has a grace");
  stop.abort(lost);
  await running;
});
