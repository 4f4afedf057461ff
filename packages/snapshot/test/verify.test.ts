// Verification of made-up snapshots: each kind of finding with path and object named, the share of files that is read,
// progress, and what is thrown because it is no damage.
import { StorageError } from "@dm/core";
import { splitmix64 } from "@dm/fixtures";
import { openRepository } from "@dm/repo";
import { memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import { type DirectoryEntry, type VerifySnapshotProgress, verifySnapshot } from "../src/index.ts";
import { entryOf } from "./made-up.ts";
import { directoryIn, fileIn, newRepository, snapshotIn } from "./new-repository.ts";

const bytesOf = (length: number): Uint8Array => splitmix64(length, length);

/** A snapshot of a directory with four sound files in it, and these entries. */
async function snapshotWith(entries: readonly DirectoryEntry[]) {
  const { repository, store } = await newRepository();
  await using session = await repository.openWriteSession();
  const sound = [];
  for (let index = 0; index < 4; index++)
    sound.push(await fileIn(session, `sound-${index}`, bytesOf(100 + index)));
  const inner = await directoryIn(session, "inner", [...entries, sound[0]!]);
  const root = await directoryIn(session, "root", [inner, ...sound]);
  const snapshot = await snapshotIn(session, root);
  await session.commit();
  return { repository, root, snapshot, sound, store };
}

const findingsOf = async (entry: DirectoryEntry) => {
  const { repository, snapshot } = await snapshotWith([entry]);
  const { findings, ok } = await verifySnapshot(repository, snapshot);
  expect(ok).toBe(false);
  return findings.map(({ error, objectId, path }) => [path, objectId, error.code]);
};

describe("findings", () => {
  const missing = "00".repeat(16);

  it.each([
    ["a missing file", entryOf({ objectId: missing }), "DM_CONTENT_NOT_FOUND"],
    [
      "a missing directory",
      entryOf({ type: "d", objectId: `k${missing}` }),
      "DM_CONTENT_NOT_FOUND",
    ],
    ["a missing index of a file", entryOf({ objectId: `Ix${missing}` }), "DM_CONTENT_NOT_FOUND"],
    ["an object id that is none", entryOf({ objectId: "what" }), "DM_OBJECT_ID_INVALID"],
    ["a file without an object", entryOf({ objectId: "" }), "DM_OBJECT_EMPTY_ID"],
  ])("%s", async (_what, entry, code) => {
    expect(await findingsOf(entry)).toEqual([["inner/a", entry.objectId, code]]);
  });

  it("a size that differs, though another entry of that object has the right one", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const right = await fileIn(session, "right", bytesOf(100));
    const wrong = { ...right, name: "wrong", sizeBytes: 99 };
    const snapshot = await snapshotIn(session, await directoryIn(session, "r", [right, wrong]));
    await session.commit();
    for (const readFiles of ["all", 0] as const) {
      const { findings } = await verifySnapshot(repository, snapshot, { readFiles });
      expect(findings).toMatchObject([
        {
          snapshotId: snapshot.id,
          path: "wrong",
          objectId: right.objectId,
          error: { code: "DM_ENTRY_SIZE_MISMATCH", details: { length: 100, expected: 99 } },
        },
      ]);
    }
  });

  it("a directory whose stream is none", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const objectId = await session.writeObject(bytesOf(10), { prefix: "k" });
    const snapshot = await snapshotIn(session, entryOf({ type: "d", objectId }));
    await session.commit();
    const { findings } = await verifySnapshot(repository, snapshot);
    expect(findings).toMatchObject([
      { path: "", objectId, error: { code: "DM_DIRECTORY_INVALID" } },
    ]);
  });

  it("every path of an object that is missing", async () => {
    const entry = entryOf({ objectId: missing });
    const { repository, snapshot } = await snapshotWith([
      entry,
      { ...entry, name: "b" },
      { ...entry, name: "c" },
    ]);
    const { findings } = await verifySnapshot(repository, snapshot);
    expect(findings.map(({ path }) => path)).toEqual(["inner/a", "inner/b", "inner/c"]);
  });

  it("a snapshot without a root", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const snapshot = await snapshotIn(session, undefined);
    await session.commit();
    const { findings, ok } = await verifySnapshot(repository, snapshot);
    expect(ok).toBe(false);
    expect(findings).toMatchObject([{ path: "", error: { code: "DM_SNAPSHOT_INVALID" } }]);
  });
});

describe("what is read", () => {
  it("all files by default, each object once", async () => {
    const { repository, snapshot } = await snapshotWith([]);
    const seen: VerifySnapshotProgress[] = [];
    const report = await verifySnapshot(repository, snapshot, { onProgress: (p) => seen.push(p) });
    expect(report).toMatchObject({
      ok: true,
      findings: [],
      entriesDone: 7,
      filesRead: 4,
      bytesRead: 406,
      bytesDone: 506,
    });
    expect(seen).toHaveLength(7);
    expect(seen.map(({ entriesDone }) => entriesDone)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it("none, or those that chance picks", async () => {
    const { repository, snapshot } = await snapshotWith([]);
    expect((await verifySnapshot(repository, snapshot, { readFiles: 0 })).filesRead).toBe(0);
    const dice = [0.1, 0.9, 0.49, 0.5];
    const random = (): number => dice.shift()!;
    const report = await verifySnapshot(repository, snapshot, { readFiles: 0.5, random });
    expect(report.filesRead).toBe(2);
    const byRepository = await verifySnapshot(repository, snapshot, { readFiles: 0.999_999 });
    expect(byRepository.ok).toBe(true);
  });

  it.each([-0.1, 1.1, Number.NaN])("a share of %s is refused", async (readFiles) => {
    const { repository, snapshot } = await snapshotWith([]);
    await expect(verifySnapshot(repository, snapshot, { readFiles })).rejects.toThrow(RangeError);
  });

  it("a directory that is in the tree many times costs one reading", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    let inner = await directoryIn(session, "d", [await fileIn(session, "f", bytesOf(10))]);
    // Twice two to the 60th paths.
    for (let depth = 0; depth < 60; depth++)
      inner = await directoryIn(session, "d", [inner, { ...inner, name: "e" }]);
    const snapshot = await snapshotIn(session, inner);
    await session.commit();
    const report = await verifySnapshot(repository, snapshot);
    expect(report).toMatchObject({ ok: true, filesRead: 1, entriesDone: 122 });
  });
});

describe("what is no damage is thrown", () => {
  it("storage that fails", async () => {
    const { snapshot, store } = await snapshotWith([]);
    const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);
    const failing = memoryStore({ blobs: store.blobs });
    const repository = await openRepository(failing, { password: "p", deriveKey });
    await repository.refresh();
    failing.get = async () => {
      throw new StorageError("DM_STORAGE_FAILED", "the cable is out");
    };
    await expect(verifySnapshot(repository, snapshot)).rejects.toThrow("the cable is out");
  });

  it("an abort", async () => {
    const { repository, snapshot } = await snapshotWith([]);
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(verifySnapshot(repository, snapshot, { signal })).rejects.toThrow("enough");
  });
});
