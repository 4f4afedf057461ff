/** Controllers of Backups and Restores over HTTP, with caches and queues: a Backup and its Restore go their way by themselves. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { addBackupControllers } from "../../src/backup/backup-controllers.ts";
import { addRestoreControllers } from "../../src/restore/restore-controllers.ts";
import { apiDiscovery } from "../../src/runtime/api-discovery.ts";
import { createManager } from "../../src/runtime/manager.ts";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";
import { kinds, operator, World } from "./world.ts";

let world: World;
let client: NodeKubeClient;
beforeEach(async () => {
  world = await World.open();
  client = nodeKubeClient({ server: { url: world.server.url, token: world.server.adminToken } });
});
afterEach(async () => {
  client.close();
  await world[Symbol.asyncDispose]();
});

it("a Backup and its Restore end by themselves", { timeout: 30_000 }, async () => {
  world.claim("shop", "data");
  const stop = new AbortController();
  const manager = createManager({ client });
  const { openFolder } = world.deps;
  const options = {
    client,
    namespace: "velero",
    discovery: apiDiscovery(client),
    exec: client.exec,
    openFolder,
    clock: world.clock,
    settings: { snapshotPollMs: 20, operationPollMs: 20 },
  };
  addBackupControllers(manager, options);
  addRestoreControllers(manager, options);
  const running = manager.run(stop.signal);
  const ended = (kind: "backups" | "restores", name: string) =>
    vi.waitFor(
      () => {
        world.playAround();
        expect(world.phase(kind, name)).toBe("Completed");
      },
      { timeout: 12_000, interval: 20 },
    );
  const sizes: number[] = [];
  world.hooks = {
    after(what) {
      if (what !== "write nightly.tar.gz") return;
      for (const [name, bytes] of world.blobs)
        if (name.endsWith(".tar.gz")) sizes.push(bytes.length);
    },
  };
  world.backup("nightly");
  await ended("backups", "nightly");
  const shown = /^velero_backup_tarball_size_bytes\{schedule=""\} (\d+)$/m.exec(
    manager.metrics.text(),
  );
  expect(Number(shown?.[1])).toBe(sizes[0]);
  world.restore("back", { backupName: "nightly", namespaceMapping: { shop: "copy" } });
  await ended("restores", "back");
  expect(world.get("claims", "copy", "data").status?.phase).toBe("Bound");
  stop.abort();
  await running;
});

it("Backups that have ended cost the API nothing when a server starts", async () => {
  const count = 20;
  for (let at = 0; at < count; at++) {
    world.backup(`b-${at}`);
    world.api.modify(kinds.backups, operator, `b-${at}`, (backup) => {
      backup.status = { phase: "Completed" };
    });
  }
  const calls: string[] = [];
  const told = <K extends "get" | "list">(method: K): NodeKubeClient[K] =>
    ((...args: Parameters<NodeKubeClient[K]>) => {
      calls.push(`${method} ${args[0].plural}`);
      return (client[method] as (...all: unknown[]) => unknown)(...args);
    }) as NodeKubeClient[K];
  const stop = new AbortController();
  const manager = createManager({ client });
  addBackupControllers(manager, {
    client: { ...client, get: told("get"), list: told("list") },
    namespace: operator,
    discovery: apiDiscovery(client),
    exec: client.exec,
    openFolder: world.deps.openFolder,
    clock: world.clock,
  });
  const running = manager.run(stop.signal);
  const ended = (controller: string): number => {
    const line = `dm_reconcile_total{controller="${controller}",result="success"} `;
    return Number(manager.metrics.text().split(line)[1]?.split("\n")[0] ?? 0);
  };
  await vi.waitFor(
    () => {
      expect(ended("Backup")).toBe(count);
      expect(ended("BackupQueue")).toBeGreaterThan(0);
    },
    { timeout: 12_000, interval: 20 },
  );
  expect(calls).toEqual([]);
  world.backup("new");
  await vi.waitFor(() => expect(world.phase("backups", "new")).not.toBe("New"), {
    timeout: 12_000,
    interval: 20,
  });
  stop.abort();
  await running;
});
