// One call backs a path up as the command line does: under the names of user, host and path, on top of earlier snapshots,
// durable when it returns; what one call restores is what was backed up.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRepository, type Repository } from "@dm/repo";
import { defaultHostname, defaultUsername } from "@dm/repo/client";
import type { MemoryStore } from "@dm/storage";
import { afterEach, beforeEach, expect, it } from "vitest";
import { listSnapshots, openSnapshot, updatePolicy } from "../src/index.ts";
import { createSnapshot, restoreTree } from "../src/node/index.ts";
import { deriveKey, newRepository } from "./new-repository.ts";

let folder = "";
let data = "";
let store: MemoryStore;
let repository: Repository;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "dm-create-"));
  data = join(folder, "data");
  mkdirSync(join(data, "sub"), { recursive: true });
  writeFileSync(join(data, "sub", "a.txt"), "kept");
  writeFileSync(join(data, "b.log"), "left out by a policy");
  ({ repository, store } = await newRepository());
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("backs up, and another client restores it", async () => {
  const { id } = await createSnapshot(repository, data, { workers: 0, description: "first" });
  const other = await openRepository(store, { password: "p", deriveKey });
  const { description, rootEntry, source } = await openSnapshot(other, id);
  expect(description).toBe("first");
  expect(source).toEqual({ host: defaultHostname(), userName: defaultUsername(), path: data });
  const report = await restoreTree(other, rootEntry!, join(folder, "restored"));
  expect(report).toMatchObject({ ok: true, filesDone: 2 });
  expect(readFileSync(join(folder, "restored", "sub", "a.txt"), "utf8")).toBe("kept");
});

it("takes unchanged files over, follows policies of the source, and tells of what is missing", async () => {
  await createSnapshot(repository, data, { workers: 0 });
  await using session = await repository.openWriteSession();
  const source = { host: defaultHostname(), userName: defaultUsername(), path: data };
  await updatePolicy(session, source, (policy) => ({ ...policy, files: { ignore: ["*.log"] } }));
  await session.commit();
  const second = await createSnapshot(repository, data, { workers: 0 });
  expect(second.stats).toMatchObject({ cachedFiles: 1, nonCachedFiles: 0, excludedFileCount: 1 });
});

it("is found under other names where they are given", async () => {
  const source = { host: "node1", path: "/data" };
  await createSnapshot(repository, data, { workers: 0, source });
  const [snapshot] = await listSnapshots(repository, { source });
  expect(snapshot?.source).toEqual({ ...source, userName: defaultUsername() });
});

it("a link is followed, and gives the snapshot its name", async () => {
  symlinkSync("data", join(folder, "link"));
  const snapshot = await createSnapshot(repository, join(folder, "link"), { workers: 0 });
  expect(snapshot.source.path).toBe(join(folder, "link"));
  expect(snapshot.rootEntry).toMatchObject({ name: "data", type: "d" });
});

it("saves nothing when there is nothing at the path, or when it is aborted", async () => {
  await expect(createSnapshot(repository, join(folder, "gone"))).rejects.toThrow("ENOENT");
  const signal = AbortSignal.abort(new Error("not now"));
  await expect(createSnapshot(repository, data, { signal })).rejects.toThrow("not now");
  expect(await listSnapshots(repository)).toEqual([]);
});
