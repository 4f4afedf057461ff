// Changes to manifests of snapshots: what is found after them, and by which names snapshots are found.
import { beforeEach, expect, it } from "vitest";
import {
  deleteSnapshots,
  findSnapshots,
  listSnapshots,
  openSnapshot,
  pinSnapshot,
  putSnapshot,
  type Snapshot,
  updateSnapshot,
} from "../src/index.ts";
import { directoryIn, fileIn, newRepository, snapshotIn } from "./new-repository.ts";

let repository: Awaited<ReturnType<typeof newRepository>>["repository"];
let first: Snapshot;
let second: Snapshot;
let other: Snapshot;

beforeEach(async () => {
  ({ repository } = await newRepository());
  await using session = await repository.openWriteSession();
  const root = await directoryIn(session, "p", [await fileIn(session, "f", new Uint8Array(3))]);
  const empty = await directoryIn(session, "p", []);
  first = await snapshotIn(session, root, { startedAtNs: 10n });
  second = await snapshotIn(session, root, { startedAtNs: 20n });
  other = await snapshotIn(session, empty, { startedAtNs: 30n });
  await session.commit();
});

const listed = async (): Promise<string[]> => (await listSnapshots(repository)).map(({ id }) => id);

it("an updated snapshot has a new id, its edits, and the labels of its new tags", async () => {
  await using session = await repository.openWriteSession();
  const edited = { ...first, pins: ["z", "a"], tags: { "tag:env": "prod" } };
  const updated = await updateSnapshot(session, edited);
  expect(await listed()).toEqual([first.id, second.id, other.id]);
  await session.commit();
  expect(updated.id).not.toBe(first.id);
  expect(await listed()).toEqual([updated.id, second.id, other.id]);
  const found = await openSnapshot(repository, updated.id);
  expect(found).toEqual({ ...updated, pins: ["a", "z"] });
  const byTag = await listSnapshots(repository, { tags: { "tag:env": "prod" } });
  expect(byTag.map(({ id }) => id)).toEqual([updated.id]);
});

it("members that this version does not know survive an update", async () => {
  await using session = await repository.openWriteSession();
  const unknownMembers = [["future", '{"a": [1, 2.50]}']] as const;
  const put = putSnapshot(session, { ...first, unknownMembers });
  await session.flush();
  const updated = await updateSnapshot(session, await openSnapshot(repository, put.id));
  await session.commit();
  expect(await openSnapshot(repository, updated.id)).toMatchObject({ unknownMembers });
});

it("deleted snapshots are gone, the others stay", async () => {
  await using session = await repository.openWriteSession();
  await deleteSnapshots(session, [first, other]);
  await session.commit();
  expect(await listed()).toEqual([second.id]);
});

it("they are found by id, and by root object", async () => {
  const idsOf = async (name: string): Promise<string[]> =>
    (await findSnapshots(repository, name)).map(({ id }) => id);
  expect(await idsOf(first.id)).toEqual([first.id]);
  const rootId = first.rootEntry!.objectId;
  expect(await idsOf(rootId)).toEqual([first.id, second.id]);
  expect(await idsOf(rootId.toUpperCase().replace("K", "k"))).toEqual([first.id, second.id]);
  for (const name of ["", "what", `k${"0".repeat(32)}`, "0".repeat(32)])
    await expect(idsOf(name), name).rejects.toMatchObject({ code: "DM_SNAPSHOT_NOT_FOUND" });
});

it("a source without a host, and a tag like a label, are refused and nothing is put", async () => {
  await using session = await repository.openWriteSession();
  const { source } = first;
  const noHost = { ...first, source: { ...source, host: "" } };
  await expect(updateSnapshot(session, noHost)).rejects.toThrow(RangeError);
  expect(() => putSnapshot(session, { ...first, tags: { hostname: "x" } })).toThrow(RangeError);
  await session.commit();
  expect(await listed()).toEqual([first.id, second.id, other.id]);
});

it("pins come and go, and nothing is written when nothing changes", async () => {
  await using session = await repository.openWriteSession();
  const pinned = await pinSnapshot(session, first, { add: ["z", "a", "a"], remove: ["none"] });
  expect(pinned.pins).toEqual(["a", "z"]);
  expect(pinned.id).not.toBe(first.id);
  expect(await pinSnapshot(session, pinned, { add: ["z"], remove: ["none"] })).toBe(pinned);
  const less = await pinSnapshot(session, pinned, { add: ["b"], remove: ["z", "b"] });
  await session.commit();
  expect((await openSnapshot(repository, less.id)).pins).toEqual(["a"]);
  expect(await listed()).toEqual([less.id, second.id, other.id]);
});
