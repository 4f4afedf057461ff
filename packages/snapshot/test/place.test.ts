// Places as people write them: ids of snapshots, of roots and of other objects, with and without paths.
import type { Repository } from "@dm/repo";
import { beforeAll, describe, expect, it } from "vitest";
import { openPlace, type Snapshot } from "../src/index.ts";
import { directoryIn, fileIn, newRepository, snapshotIn } from "./new-repository.ts";

let repository: Repository;
let older: Snapshot;
let newer: Snapshot;
let fileId = "";
let innerId = "";

beforeAll(async () => {
  ({ repository } = await newRepository());
  await using session = await repository.openWriteSession();
  const file = await fileIn(session, "f", new Uint8Array(5));
  const inner = await directoryIn(session, "inner", [file]);
  const root = await directoryIn(session, "p", [inner]);
  fileId = file.objectId;
  innerId = inner.objectId;
  newer = await snapshotIn(session, { ...root, mode: 0o700 }, { startedAtNs: 20n });
  older = await snapshotIn(session, root, { startedAtNs: 10n });
  await session.commit();
});

describe("a place", () => {
  it("is the root of a snapshot, or lies below it", async () => {
    expect(await openPlace(repository, older.id)).toEqual({
      entry: older.rootEntry,
      path: "",
      snapshot: older,
    });
    for (const path of ["/inner/f", "//inner//f", "/inner/f/"]) {
      const { entry, path: found } = await openPlace(repository, older.id + path);
      expect([entry.objectId, found.replace("//", "/")]).toEqual([fileId, "inner/f"]);
    }
  });

  it("named by a root object is that of the newest snapshot with it", async () => {
    const { entry, snapshot } = await openPlace(repository, older.rootEntry!.objectId);
    expect([snapshot, entry.mode]).toEqual([newer, 0o700]);
  });

  it("named by another object has no snapshot", async () => {
    expect(await openPlace(repository, `${innerId}/f`)).toMatchObject({
      entry: { name: "f", objectId: fileId },
      snapshot: undefined,
    });
    expect(await openPlace(repository, fileId)).toMatchObject({
      entry: { type: "f", mode: 0o644, sizeBytes: 5 },
    });
    expect((await openPlace(repository, innerId)).entry).toMatchObject({ type: "d", mode: 0o555 });
  });

  it.each([
    ["what", "DM_OBJECT_ID_INVALID"],
    ["what/ever", "DM_OBJECT_ID_INVALID"],
    ["", "DM_SNAPSHOT_NOT_FOUND"],
    ["0".repeat(32), "DM_SNAPSHOT_NOT_FOUND"],
    [`k${"0".repeat(32)}/a`, "DM_SNAPSHOT_NOT_FOUND"],
    [`Ix${"0".repeat(32)}`, "DM_SNAPSHOT_NOT_FOUND"],
  ])("%s is refused", async (place, code) => {
    await expect(openPlace(repository, place)).rejects.toMatchObject({ code });
  });

  it("that is not in the tree is refused", async () => {
    for (const path of ["/g", "/inner/f/g"])
      await expect(openPlace(repository, older.id + path)).rejects.toMatchObject({
        code: "DM_ENTRY_NOT_FOUND",
      });
  });
});
