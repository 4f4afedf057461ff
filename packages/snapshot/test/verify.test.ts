// Verification of made-up snapshots: each kind of finding with path and object named, the share of files that is read,
// progress, and what is thrown because it is no damage.
import { manualClock, StorageError } from "@dm/core";
import { splitmix64 } from "@dm/fixtures";
import { openRepository, parseContentId } from "@dm/repo";
import { memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import {
  type DirectoryEntry,
  nextFrom,
  ReadProofs,
  type VerifySnapshotProgress,
  verifySnapshot,
  verifySnapshots,
} from "../src/index.ts";
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

  it("none, or a share", async () => {
    const { repository, snapshot } = await snapshotWith([]);
    expect((await verifySnapshot(repository, snapshot, { readFiles: 0 })).filesRead).toBe(0);
    const most = await verifySnapshot(repository, snapshot, { readFiles: 0.999_999 });
    expect([most.ok, most.filesRead]).toEqual([true, 4]);
    // The same seed reads the same files, and the other half the others.
    const half = { readFiles: 0.5, seed: "s" };
    const first = await verifySnapshot(repository, snapshot, half);
    const again = await verifySnapshot(repository, snapshot, half);
    const other = await verifySnapshot(repository, snapshot, {
      ...half,
      from: nextFrom(first.choice),
    });
    expect([again.bytesRead, other.bytesRead]).toEqual([first.bytesRead, 406 - first.bytesRead]);
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

describe("several snapshots", () => {
  it("are looked at once where they have something in common, and each that is damaged is told", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const sound = await fileIn(session, "sound", bytesOf(50));
    const missing = entryOf({ name: "missing", sizeBytes: 5, objectId: "00".repeat(16) });
    const inner = await directoryIn(session, "inner", [sound, missing]);
    const snapshots = [
      await snapshotIn(session, await directoryIn(session, "r", [inner])),
      await snapshotIn(session, await directoryIn(session, "r", [inner, sound])),
      await snapshotIn(session, await directoryIn(session, "r", [sound])),
    ];
    await session.commit();
    const report = await verifySnapshots(repository, snapshots);
    expect(report.findings.map(({ path, snapshotId }) => [snapshotId, path])).toEqual([
      [snapshots[0]!.id, "inner/missing"],
    ]);
    expect([...report.damagedSnapshots]).toEqual([snapshots[0]!.id, snapshots[1]!.id]);
    expect(report).toMatchObject({
      ok: false,
      isCutOff: false,
      objectsDone: 6,
      filesDone: 2,
      objectBytesDone: 55,
      entriesDone: 9,
      filesRead: 1,
    });
  });

  it("end at the greatest number of errors", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const damaged = Array.from({ length: 50 }, (_, index) =>
      entryOf({ name: `f${index}`, objectId: index.toString(16).padStart(32, "0") }),
    );
    const snapshot = await snapshotIn(session, await directoryIn(session, "r", damaged));
    await session.commit();
    const report = await verifySnapshots(repository, [snapshot], { maxErrors: 3, parallel: 1 });
    expect([report.findings.length, report.isCutOff]).toEqual([3, true]);
    const all = await verifySnapshots(repository, [snapshot]);
    expect([all.findings.length, all.isCutOff]).toEqual([50, false]);
  });

  it("that were not looked at any more may be damaged, too", async () => {
    const { repository } = await newRepository();
    await using session = await repository.openWriteSession();
    const rootWith = async (digit: string) => {
      const gone = { name: "gone", type: "d", objectId: `k${digit.repeat(32)}` } as const;
      return snapshotIn(session, await directoryIn(session, "r", [entryOf(gone)]));
    };
    const snapshots = [await rootWith("1"), await rootWith("2")];
    await session.commit();
    const report = await verifySnapshots(repository, snapshots, { maxErrors: 1, parallel: 1 });
    expect([report.findings.length, report.isCutOff]).toEqual([1, true]);
    expect([...report.damagedSnapshots]).toEqual(snapshots.map(({ id }) => id));
  });
});

describe("proofs", () => {
  const day = 86_400_000;

  /** Forty files, in a repository with a clock of its own. */
  async function timed() {
    const { store } = await newRepository();
    const clock = manualClock(1_700_000_000_000_000_000n);
    const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);
    const repository = await openRepository(store, { password: "p", deriveKey, clock });
    await using session = await repository.openWriteSession();
    const files = [];
    for (let index = 0; index < 40; index++)
      files.push(await fileIn(session, `f${index}`, bytesOf(100 + index)));
    const snapshot = await snapshotIn(session, await directoryIn(session, "r", files));
    await session.commit();
    return { clock, repository, snapshot };
  }

  it("let a run that was cut off go on where it was", async () => {
    const { repository, snapshot } = await timed();
    const proofs = new ReadProofs("00", "seed");
    const enough = new AbortController();
    const cutOff = verifySnapshot(repository, snapshot, {
      proofs,
      parallel: 1,
      signal: enough.signal,
      onProgress: ({ filesRead }) => {
        if (filesRead === 15) enough.abort(new Error("enough"));
      },
    });
    await expect(cutOff).rejects.toThrow("enough");
    // As it is found in the file that was written until then.
    const found = ReadProofs.parse(proofs.takeUnwritten());
    const report = await verifySnapshot(repository, snapshot, { proofs: found });
    expect([report.filesProven, report.filesRead, report.ok]).toEqual([15, 25, true]);
    expect(report.bytesRead + report.bytesProven).toBe(report.objectBytesDone);
  });

  it("let shares go round, and grow old", async () => {
    const { clock, repository, snapshot } = await timed();
    const proofs = new ReadProofs("00", "seed");
    let read = 0;
    for (let round = 0; round < 4; round++) {
      const report = await verifySnapshot(repository, snapshot, { proofs, readFiles: 0.25 });
      expect(report.filesProven).toBe(read);
      read += report.filesRead;
      proofs.nextFrom = nextFrom(report.choice);
      clock.advance(day);
    }
    expect([read, proofs.size]).toEqual([40, 40]);
    const maxProofAgeMs = 3.5 * day;
    const report = await verifySnapshot(repository, snapshot, { proofs, maxProofAgeMs });
    expect(report.filesProven + report.filesRead).toBe(40);
    expect(report.filesRead).toBeGreaterThan(0);
    // The first share was read four days ago, and now.
    expect(report.newestProofNs! - report.oldestProofNs!).toBe(BigInt(3 * day) * 1_000_000n);
  });

  it("are not given for what is damaged", async () => {
    const { repository, snapshot, sound, store } = await snapshotWith([]);
    const info = await repository.contentInfo(parseContentId(sound[1]!.objectId));
    const pack = await store.get(info!.packBlobId);
    pack[info!.packOffset + 20]! ^= 1;
    await store.put(info!.packBlobId, pack);
    const proofs = new ReadProofs("00", "seed");
    const report = await verifySnapshot(repository, snapshot, { proofs });
    expect(report.findings).toMatchObject([
      { path: "sound-1", error: { code: "DM_CONTENT_ALTERED" } },
    ]);
    expect([proofs.size, proofs.readAtNs(sound[1]!.objectId)]).toEqual([3, undefined]);
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
