// Deletion by manifest id, and maintenance as Velero runs it: what is due, by its owner only.
import {
  createRepositoryFormat,
  defaultMaintenanceParameters,
  Repository,
  writeMaintenanceParameters,
} from "@dm/repo";
import { memoryStore } from "@dm/storage";
import { expect, it } from "vitest";
import { listSnapshots } from "../src/index.ts";
import {
  connectOrCreateVeleroRepository,
  deleteVeleroSnapshots,
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
