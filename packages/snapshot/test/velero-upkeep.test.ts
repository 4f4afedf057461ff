// Deletion by manifest id, and maintenance as Velero runs it: what is due, by its owner only.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manualClock } from "@dm/core";
import { splitmix64 } from "@dm/fixtures";
import {
  createRepositoryFormat,
  defaultMaintenanceParameters,
  Repository,
  writeMaintenanceParameters,
} from "@dm/repo";
import { type BlobStore, forward, memoryStore } from "@dm/storage";
import { expect, it } from "vitest";
import { listSnapshots, verifySnapshots } from "../src/index.ts";
import {
  backupVeleroVolume,
  connectOrCreateVeleroRepository,
  deleteVeleroSnapshots,
  forgetVeleroCheckpoints,
  maintainVeleroRepository,
} from "../src/velero/index.ts";
import { deriveKey, directoryIn, snapshotIn } from "./new-repository.ts";

const options = { password: "p", deriveKey };
const open = () => connectOrCreateVeleroRepository(memoryStore(), options);

async function withSnapshots(repository: Repository): Promise<string[]> {
  await using session = await repository.openWriteSession();
  const root = await directoryIn(session, "data", []);
  const ids: string[] = [];
  for (const pins of [["velero-pin"], []]) ids.push((await snapshotIn(session, root, { pins })).id);
  await session.commit();
  return ids;
}

it("snapshots are deleted by id, pinned or not; unknown ids and other manifests are no failure", async () => {
  const repository = await open();
  const [pinned = "", other = ""] = await withSnapshots(repository);
  const [maintenance] = await repository.findManifests({ type: "maintenance" });
  const ids = [pinned, "f".repeat(32), maintenance!.id];
  expect(await deleteVeleroSnapshots(repository, ids)).toEqual([pinned]);
  expect((await listSnapshots(repository)).map(({ id }) => id)).toEqual([other]);
  expect(await repository.findManifests({ type: "maintenance" })).toEqual([maintenance]);
});

it("maintenance does what is due, and nothing when nothing is", async () => {
  const repository = await open();
  await withSnapshots(repository);
  expect(await maintainVeleroRepository(repository)).toMatchObject({
    outcome: "done",
    report: { mode: "full" },
  });
  expect(await maintainVeleroRepository(repository)).toMatchObject({
    outcome: "done",
    report: { mode: "none", tasks: [] },
  });
});

it("row 74: maintenance that somebody took over is left to them, and told with the owner", async () => {
  const store = memoryStore();
  const opened = await createRepositoryFormat(store, options);
  const repository = new Repository(store, opened, { username: "default", hostname: "default" });
  const give = async (owner: string): Promise<void> => {
    await using session = await repository.openWriteSession();
    await writeMaintenanceParameters(session, defaultMaintenanceParameters(owner));
    await session.commit();
  };
  await give("me@laptop");
  const refused = await maintainVeleroRepository(repository);
  expect(refused).toMatchObject({
    outcome: "notOwner",
    message: expect.stringContaining("me@laptop"),
  });
  await give("default@default");
  expect((await maintainVeleroRepository(repository)).outcome).toBe("done");
});

it("row 76: what an upload that was stopped half-way and given up has left goes with maintenance; earlier snapshots stay", {
  timeout: 30_000,
}, async () => {
  const clock = manualClock(1_800_000_000_000_000_000n);
  const store = memoryStore({ clock });
  let onPack = (): void => {};
  const told: BlobStore = {
    ...forward(store),
    put(id, data, call) {
      if (id.startsWith("p")) onPack();
      return store.put(id, data, call);
    },
  };
  const repository = await connectOrCreateVeleroRepository(told, { ...options, clock });
  const folder = mkdtempSync(join(tmpdir(), "dm-velero-upkeep-"));
  try {
    const bytesStored = async (): Promise<number> => {
      let bytes = 0;
      for await (const { id, length } of store.list("")) if (/^[pq]/.test(id)) bytes += length;
      return bytes;
    };
    const volume = ["shop", "data"] as const;
    const operation = (id: string) => ({ id, startedAtNs: 1n });
    const common = { volumeMode: "Filesystem", volume, workers: 0 } as const;
    writeFileSync(join(folder, "old"), splitmix64(1, 300_000));
    const first = await backupVeleroVolume(repository, folder, {
      ...common,
      operation: operation("a"),
    });
    const before = await bytesStored();
    for (let index = 0; index < 6; index++)
      writeFileSync(join(folder, `new${index}`), splitmix64(index + 2, 8_000_000));
    // The first pack is full when less than half is read.
    const stop = new AbortController();
    onPack = () => stop.abort(new Error("drained"));
    const stopped = backupVeleroVolume(repository, folder, {
      ...common,
      operation: operation("b"),
      stopSignal: stop.signal,
    });
    await expect(stopped).rejects.toMatchObject({ code: "DM_VELERO_BACKUP_STOPPED" });
    expect(await bytesStored()).toBeGreaterThan(before + 15_000_000);
    await forgetVeleroCheckpoints(repository, volume, operation("b"));
    for (let day = 0; day < 6; day++) {
      clock.advance(25 * 3_600_000);
      expect((await maintainVeleroRepository(repository)).outcome).toBe("done");
    }
    expect(await bytesStored()).toBeLessThan(before + 500_000);
    const [only, ...others] = await listSnapshots(repository);
    expect(only!.id).toBe(first.snapshot.id);
    expect(others).toEqual([]);
    expect((await verifySnapshots(repository, [only!], { readFiles: "all" })).findings).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
