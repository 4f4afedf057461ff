// Restoring by the rules: what is overwritten, skipped, resumed and deleted; attributes and their proof; damage listed file by
// file while the rest goes on; and how few reads of the store many files cost.
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDmError, utf8Encode } from "@dm/core";
import { requirePeer, splitmix64 } from "@dm/fixtures";
import { createRepository, openRepository, type Repository, type WriteSession } from "@dm/repo";
import { type BlobStore, counting, type MemoryStore, memoryStore } from "@dm/storage";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DirectoryEntry, RestoreProgress } from "../src/index.ts";
import { loadPosix, restoreTree } from "../src/node/index.ts";
import { directoryIn, fileIn } from "./new-repository.ts";
import { nearTime, noticesHere } from "./restored-times.ts";

const root = requirePeer("root");
const mine = { uid: process.getuid!(), gid: process.getgid!() };

let folder: string;
let target: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dm-restore-"));
  target = join(folder, "target");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);

interface Sample {
  readonly store: MemoryStore;
  readonly repository: Repository;
  readonly entry: DirectoryEntry;
}

/** A repository with a tree in it, opened anew so that nothing is known of it. */
async function sampleOf(
  make: (session: WriteSession) => Promise<DirectoryEntry>,
  wrap: (store: BlobStore) => BlobStore = (store) => store,
): Promise<Sample> {
  const store = memoryStore();
  const made = await createRepository(store, {
    password: "p",
    format: { splitter: "FIXED-128K" },
    deriveKey,
  });
  const session = await made.openWriteSession();
  const entry = await make(session);
  await session.commit();
  const repository = await openRepository(wrap(store), { password: "p", deriveKey });
  return { store, repository, entry };
}

const file = async (
  session: WriteSession,
  name: string,
  data: Uint8Array | string = name,
  change: Partial<DirectoryEntry> = {},
): Promise<DirectoryEntry> => ({
  ...(await fileIn(session, name, typeof data === "string" ? utf8Encode(data) : data)),
  ...mine,
  ...change,
});

const link = async (session: WriteSession, name: string, to: string): Promise<DirectoryEntry> =>
  file(session, name, to, { type: "s", mode: 0o777 });

const directory = async (
  session: WriteSession,
  name: string,
  entries: readonly DirectoryEntry[],
  change: Partial<DirectoryEntry> = {},
): Promise<DirectoryEntry> => ({
  ...(await directoryIn(session, name, entries)),
  ...mine,
  ...change,
});

const small = (): Promise<Sample> =>
  sampleOf(async (session) =>
    directory(session, "root", [
      await directory(session, "sub", [await file(session, "inner")]),
      await file(session, "file"),
      await link(session, "link", "file"),
    ]),
  );

const random = (length: number, seed = 1): Uint8Array => {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
};

const noTemporaries = (path: string): void => {
  for (const name of readdirSync(path, { recursive: true, encoding: "utf8" }))
    expect(name).not.toContain(".dm-restore-");
};

describe("a tree", () => {
  it("has its data, modes, times and links", async () => {
    const long = random(20 << 20);
    const { entry, repository } = await sampleOf(async (session) =>
      directory(
        session,
        "root",
        [
          await directory(session, "closed", [await file(session, "inner")], {
            mode: 0o500,
            modifiedAtNs: 1_234_567_890_123_456_789n,
          }),
          await directory(session, "empty", [], { mode: 0o1777 }),
          await file(session, "long", long),
          await file(session, "several parts", random(1 << 20, 7)),
          await file(session, "nothing", ""),
          await file(session, "setuid", "x", { mode: 0o4755 }),
          await file(session, "unreadable", "x", { mode: 0o000 }),
          await file(session, "before 1970", "x", { modifiedAtNs: -1_000_000_001n }),
          await file(session, "far", "x", { modifiedAtNs: 4_102_444_800_000_000_999n }),
          await link(session, "link", "empty"),
        ],
        { mode: 0o751, modifiedAtNs: 1_111_111_111_111_111_111n },
      ),
    );
    const told: RestoreProgress[] = [];
    const report = await restoreTree(repository, entry, target, {
      onProgress: (progress) => told.push(progress),
    });
    expect(report).toMatchObject({ ok: true, losses: [], notices: noticesHere });
    expect(report).toMatchObject({ filesDone: 8, directoriesDone: 3, symlinksDone: 1 });
    expect(report.bytesDone).toBe(long.length + (1 << 20) + 4 + 5);
    expect(told.at(-1)).toMatchObject({ filesDone: 8, bytesDone: report.bytesDone });
    const mode = (path: string): number => lstatSync(join(target, path)).mode & 0o7777;
    expect(mode("")).toBe(0o751);
    expect(mode("closed")).toBe(0o500);
    expect(mode("empty")).toBe(0o1777);
    expect(mode("setuid")).toBe(0o4755);
    expect(mode("unreadable")).toBe(0);
    for (const [path, timeNs] of [
      ["", 1_111_111_111_111_111_111n],
      ["closed", 1_234_567_890_123_456_789n],
      ["before 1970", -1_000_000_001n],
      ["far", 4_102_444_800_000_000_999n],
      ["link", 1_700_000_000_000_000_001n],
    ] as const) {
      const { mtimeNs } = lstatSync(join(target, path), { bigint: true });
      expect([path, nearTime(mtimeNs, timeNs)]).toEqual([path, timeNs]);
    }
    expect(readlinkSync(join(target, "link"))).toBe("empty");
    expect(Buffer.compare(readFileSync(join(target, "long")), long)).toBe(0);
    expect(Buffer.compare(readFileSync(join(target, "several parts")), random(1 << 20, 7))).toBe(0);
    expect(statSync(join(target, "nothing")).size).toBe(0);
    noTemporaries(target);
  });

  it("may give directories the newest time inside, as kopia does", async () => {
    const { entry, repository } = await sampleOf(async (session) => {
      const sub = await directory(session, "sub", [await file(session, "a")], {
        modifiedAtNs: 5n,
      });
      const summary = { maxModifiedAtNs: 1_700_000_000_000_000_001n } as never;
      return directory(session, "root", [{ ...sub, summary: summaryOf(summary) }]);
    });
    await restoreTree(repository, entry, target, { directoryTimes: "newest" });
    const time = (): bigint => statSync(join(target, "sub"), { bigint: true }).mtimeNs;
    expect(nearTime(time(), 1_700_000_000_000_000_001n)).toBe(1_700_000_000_000_000_001n);
    await restoreTree(repository, entry, target);
    expect(nearTime(time(), 5n)).toBe(5n);
  });

  it("leaves out owners, modes and times when told so", async () => {
    const { entry, repository } = await sampleOf(async (session) =>
      directory(session, "root", [
        await file(session, "a", "a", { uid: 4711, gid: 4712, mode: 0o6711 }),
      ]),
    );
    const report = await restoreTree(repository, entry, target, {
      skipOwners: true,
      skipPermissions: true,
      skipTimes: true,
    });
    expect(report).toMatchObject({ losses: [], notices: noticesHere });
    const stat = statSync(join(target, "a"));
    expect(stat).toMatchObject(mine);
    expect(stat.mode & 0o7000).toBe(0);
    expect(Date.now() - stat.mtimeMs).toBeLessThan(60_000);
  });

  it("restores a file or a link to a path", async () => {
    const { entry, repository } = await sampleOf((session) => file(session, "name", "data"));
    expect(await restoreTree(repository, entry, join(folder, "new/as"))).toMatchObject({
      ok: true,
      filesDone: 1,
      directoriesDone: 0,
    });
    expect(readFileSync(join(folder, "new/as"), "utf8")).toBe("data");
    const other = await sampleOf((session) => link(session, "name", "to"));
    await restoreTree(other.repository, other.entry, join(folder, "l"));
    expect(readlinkSync(join(folder, "l"))).toBe("to");
  });

  it("refuses to put a file in the place of a device or a pipe, also of a link to one", async () => {
    const { entry, repository } = await sampleOf((session) => file(session, "name", "data"));
    symlinkSync("/dev/null", target);
    for (const path of [target, "/dev/null"]) {
      const error = await restoreTree(repository, entry, path).catch((thrown: unknown) => thrown);
      expect(isDmError(error, "DM_RESTORE_TARGET_CONFLICT")).toBe(true);
    }
    expect(readlinkSync(target)).toBe("/dev/null");
    rmSync(target);
    symlinkSync("gone", target);
    expect(await restoreTree(repository, entry, target)).toMatchObject({ ok: true });
  });

  it("refuses a target that is a file, or cannot be made", async () => {
    const { entry, repository } = await small();
    writeFileSync(target, "");
    for (const path of [target, join(target, "below")]) {
      const error = await restoreTree(repository, entry, path).catch((thrown: unknown) => thrown);
      expect(isDmError(error, "DM_RESTORE_TARGET_CONFLICT")).toBe(true);
    }
    const error = await restoreTree(repository, entry, "/proc/nowhere").catch((thrown) => thrown);
    expect(isDmError(error, "DM_RESTORE_FAILED")).toBe(true);
  });
});

/** A summary with these members. */
function summaryOf(change: { maxModifiedAtNs: bigint }): NonNullable<DirectoryEntry["summary"]> {
  return {
    totalBytes: 1,
    fileCount: 1,
    symlinkCount: 0,
    directoryCount: 1,
    failedCount: 0,
    ignoredErrorCount: 0,
    failures: [],
    ...change,
  };
}

describe("what is there already", () => {
  it("is overwritten, a file of its own each time", async () => {
    const { entry, repository } = await small();
    mkdirSync(target);
    const other = join(folder, "other name");
    writeFileSync(join(target, "file"), "older");
    linkSync(join(target, "file"), other);
    symlinkSync("elsewhere", join(target, "link"));
    expect(await restoreTree(repository, entry, target)).toMatchObject({ ok: true });
    expect(readFileSync(join(target, "file"), "utf8")).toBe("file");
    expect(readlinkSync(join(target, "link"))).toBe("file");
    expect(readFileSync(other, "utf8")).toBe("older");
  });

  it("is left when it must not be overwritten, and listed", async () => {
    const { entry, repository } = await small();
    mkdirSync(join(target, "sub"), { recursive: true });
    writeFileSync(join(target, "sub/inner"), "older");
    writeFileSync(join(target, "file"), "older");
    symlinkSync("elsewhere", join(target, "link"));
    const report = await restoreTree(repository, entry, target, {
      overwriteFiles: false,
      overwriteSymlinks: false,
    });
    expect(report.losses).toMatchObject([
      { path: "file", code: "DM_RESTORE_TARGET_CONFLICT" },
      { path: "link", code: "DM_RESTORE_TARGET_CONFLICT" },
      { path: "sub/inner", code: "DM_RESTORE_TARGET_CONFLICT" },
    ]);
    expect(report).toMatchObject({ ok: false, lossCount: 3, filesDone: 0, symlinksDone: 0 });
    expect(readFileSync(join(target, "file"), "utf8")).toBe("older");
    expect(readlinkSync(join(target, "link"))).toBe("elsewhere");
    await expect(
      restoreTree(repository, entry, target, { overwriteDirectories: false }),
    ).rejects.toThrow("is not empty");
  });

  it("is entered when empty, even if directories must not be overwritten", async () => {
    const { entry, repository } = await small();
    mkdirSync(target);
    const options = { overwriteDirectories: false };
    expect(await restoreTree(repository, entry, target, options)).toMatchObject({ ok: true });
  });

  it("counts as existing by size and time within 2 s, and is not touched", async () => {
    const { entry, repository } = await small();
    await restoreTree(repository, entry, target);
    const at = (seconds: number): void =>
      utimesSync(join(target, "file"), seconds, 1_700_000_000 + seconds);
    const inode = (): number => statSync(join(target, "file")).ino;
    const first = inode();
    at(1.5);
    const report = await restoreTree(repository, entry, target, { skipExisting: true });
    expect(report).toMatchObject({ skippedCount: 3, skippedBytes: 9, filesDone: 0, ok: true });
    expect(inode()).toBe(first);
    expect(statSync(join(target, "file")).mtimeMs).toBe(1_700_000_001_500);
    at(2.5);
    const again = await restoreTree(repository, entry, target, { skipExisting: true });
    expect(again).toMatchObject({ skippedCount: 2, filesDone: 1 });
    expect(inode()).not.toBe(first);
  });

  it("is taken over by a resumed restore only when size, time and mode are equal", async () => {
    const { entry, repository } = await small();
    await restoreTree(repository, entry, target);
    const resumed = await restoreTree(repository, entry, target, { resume: true });
    expect(resumed).toMatchObject({ skippedCount: 2, filesDone: 0, symlinksDone: 1 });
    utimesSync(join(target, "file"), 0, 1_700_000_001);
    chmodSync(join(target, "sub/inner"), 0o600);
    const repaired = await restoreTree(repository, entry, target, { resume: true });
    expect(repaired).toMatchObject({ skippedCount: 0, filesDone: 2, ok: true });
    expect(statSync(join(target, "sub/inner")).mode & 0o777).toBe(0o644);
  });

  it("is deleted when it is extra, or of another type", async () => {
    const { entry, repository } = await small();
    mkdirSync(join(target, "file/deep/er"), { recursive: true });
    writeFileSync(join(target, "file/deep/er/x"), "");
    mkdirSync(join(target, "sub"));
    writeFileSync(join(target, "sub/extra"), "");
    writeFileSync(join(target, "sub/inner"), "older");
    symlinkSync("nowhere", join(target, "extra link"));
    const report = await restoreTree(repository, entry, target, { deleteExtra: true });
    expect(report).toMatchObject({
      ok: true,
      deletedFiles: 2,
      deletedDirectories: 3,
      deletedSymlinks: 1,
    });
    const found = readdirSync(target, { recursive: true, encoding: "utf8" }).sort();
    expect(found).toEqual(["file", "link", "sub", "sub/inner"]);
    expect(readFileSync(join(target, "sub/inner"), "utf8")).toBe("inner");
  });

  it("is cleaned of what a killed restore has left, and of nothing else", async () => {
    const { entry, repository } = await small();
    mkdirSync(join(target, "sub"), { recursive: true });
    const dead = ".dm-restore-4194305-0123456789-7.part";
    const alive = `.dm-restore-${process.pid}-0123456789-7.part`;
    for (const name of [dead, alive, `${dead}.mine`]) writeFileSync(join(target, "sub", name), "");
    await restoreTree(repository, entry, target);
    expect(readdirSync(join(target, "sub")).sort()).toEqual(
      [alive, `${dead}.mine`, "inner"].sort(),
    );
  });
});

describe("damage", () => {
  it("is listed file by file; everything else is restored, and no half file stands", async () => {
    const { entry, repository, store } = await sampleOf(async (session) => {
      const files: DirectoryEntry[] = [];
      for (let index = 0; index < 20; index++)
        files.push(await file(session, `f${index}`, random(100_000, index)));
      files.push(await file(session, "long", random(12 << 20, 99)));
      files.push(await file(session, "wrong size", "abc", { sizeBytes: 4 }));
      files.push(await file(session, "no object", "", { objectId: "" }));
      return directory(session, "root", files);
    });
    const contents: { pack: string; offset: number; id: string }[] = [];
    for await (const info of repository.listContents({ prefix: "" }))
      contents.push({ pack: info.packBlobId, offset: info.packOffset, id: info.contentId });
    const broken = new Set<string>();
    for (const path of ["f3", "f17", "long"]) {
      const child = await entryAt(repository, entry, path);
      const [part] = await repository.objectParts(child.objectId);
      const place = contents.find(({ id }) => id === part!.objectId)!;
      const pack = (await store.get(place.pack)).slice();
      pack[place.offset + 40]! ^= 1;
      await store.put(place.pack, pack);
      broken.add(path);
    }
    const report = await restoreTree(repository, entry, target);
    expect(report.losses.map(({ code, path }) => `${path}: ${code}`)).toEqual([
      "f17: DM_CONTENT_ALTERED",
      "f3: DM_CONTENT_ALTERED",
      "long: DM_CONTENT_ALTERED",
      "no object: DM_OBJECT_EMPTY_ID",
      "wrong size: DM_OBJECT_PART_LENGTH_MISMATCH",
    ]);
    expect(report).toMatchObject({ filesDone: 18, ok: false });
    for (let index = 0; index < 20; index++)
      expect(existsSync(join(target, `f${index}`))).toBe(!broken.has(`f${index}`));
    expect(readdirSync(target)).toHaveLength(18);
  });

  it("of a directory loses what is in it, and nothing else", async () => {
    const { entry, repository } = await sampleOf(async (session) => {
      const lost = await directory(session, "lost", [await file(session, "x")], {
        objectId: "k00000000000000000000000000000000",
        mode: 0o711,
      });
      return directory(session, "root", [lost, await file(session, "kept")]);
    });
    const report = await restoreTree(repository, entry, target);
    expect(report.losses).toMatchObject([{ path: "lost", code: "DM_CONTENT_NOT_FOUND" }]);
    expect(readdirSync(target).sort()).toEqual(["kept", "lost"]);
    expect(statSync(join(target, "lost")).mode & 0o777).toBe(0o711);
  });

  it("of a store that fails is thrown, and what stands is whole", async () => {
    let reads = 0;
    const failing = (store: BlobStore): BlobStore =>
      new Proxy(store, {
        get: (of, name: keyof BlobStore) =>
          name === "get"
            ? async (id: string, options: object) => {
                if (id.startsWith("p") && ++reads > 2) throw new Error("the network is down");
                return of.get(id, options);
              }
            : typeof of[name] === "function"
              ? (of[name] as (...all: unknown[]) => unknown).bind(of)
              : of[name],
      });
    const { entry, repository } = await sampleOf(async (session) => {
      const files: DirectoryEntry[] = [];
      for (let index = 0; index < 6; index++)
        files.push(await file(session, `f${index}`, random(12 << 20, index)));
      return directory(session, "root", files);
    }, failing);
    await expect(restoreTree(repository, entry, target)).rejects.toThrow("the network is down");
    noTemporaries(target);
    for (const name of readdirSync(target)) {
      const index = Number(name.slice(1));
      expect(Buffer.compare(readFileSync(join(target, name)), random(12 << 20, index))).toBe(0);
    }
  });

  it("stops when told to, with its reason, and leaves no temporary file", async () => {
    const abort = new AbortController();
    const { entry, repository } = await sampleOf(async (session) => {
      const files: DirectoryEntry[] = [];
      for (let index = 0; index < 4; index++)
        files.push(await file(session, `f${index}`, random(12 << 20, index)));
      return directory(session, "root", files);
    });
    const running = restoreTree(repository, entry, target, {
      signal: abort.signal,
      onProgress: () => abort.abort(new Error("enough")),
    });
    await expect(running).rejects.toThrow("enough");
    noTemporaries(target);
  });
});

async function entryAt(
  repository: Repository,
  root: DirectoryEntry,
  path: string,
): Promise<DirectoryEntry> {
  const { findEntry } = await import("../src/index.ts");
  return findEntry(repository, root, path);
}

describe("reads of the store", () => {
  it("are few for many files: neighbours in a pack come together", async () => {
    let counted: ReturnType<typeof counting> | undefined;
    const { entry, repository } = await sampleOf(
      async (session) => {
        const folders: DirectoryEntry[] = [];
        for (let at = 0; at < 20; at++) {
          const files: DirectoryEntry[] = [];
          for (let index = 0; index < 100; index++)
            files.push(await file(session, `f${index}`, random(2000, at * 100 + index)));
          folders.push(await directory(session, `d${at}`, files));
        }
        return directory(session, "root", folders);
      },
      (store) => {
        counted = counting(store);
        return counted;
      },
    );
    await repository.refresh();
    const before = counted!.counts.get;
    const report = await restoreTree(repository, entry, target);
    expect(report).toMatchObject({ filesDone: 2000, ok: true });
    // 21 directories, 8 groups of 256 files, and what opening the index costs.
    expect(counted!.counts.get - before).toBeLessThanOrEqual(21 + 8 + 8);
  });

  it("are none for files that are there already", async () => {
    let counted: ReturnType<typeof counting> | undefined;
    const { entry, repository } = await sampleOf(
      async (session) =>
        directory(session, "root", [await file(session, "a"), await file(session, "b")]),
      (store) => {
        counted = counting(store);
        return counted;
      },
    );
    await restoreTree(repository, entry, target);
    const before = counted!.counts.get;
    expect(await restoreTree(repository, entry, target, { resume: true })).toMatchObject({
      skippedCount: 2,
    });
    // The directory as well: it lies in what was read of its pack before.
    expect(counted!.counts.get - before).toBe(0);
  });
});

describe("zeros", () => {
  const holes = (): Promise<Sample> =>
    sampleOf(async (session) => {
      const data = new Uint8Array(4 << 20);
      data.set(random(5000), 1_000_003);
      data.set([1], data.length - 1);
      return directory(session, "root", [
        await file(session, "mixed", data),
        await file(session, "all zero", new Uint8Array(9 << 20)),
        await file(session, "ends in zeros", new Uint8Array([1, ...new Uint8Array(100_000)])),
      ]);
    });

  it("compares contents of any length", async () => {
    const bytes = splitmix64(1, 9_000_000);
    const { entry, repository } = await sampleOf(async (session) => {
      const objectId = await session.writeObject(bytes, { splitter: "DYNAMIC-2M-BUZHASH" });
      expect((await session.objectParts(objectId)).length).toBeGreaterThan(3);
      const large = { ...(await file(session, "large")), objectId, sizeBytes: bytes.length };
      return directoryIn(session, "", [large]);
    });
    const report = await restoreTree(repository, entry, target, { verifyContent: true });
    expect(report.losses).toEqual([]);
    expect(Buffer.compare(readFileSync(join(target, "large")), bytes)).toBe(0);
  });

  it("become holes, and read back as zeros", async () => {
    const { entry, repository } = await holes();
    const report = await restoreTree(repository, entry, target, { verifyContent: true });
    expect(report).toMatchObject({ ok: true, filesDone: 3 });
    const blocks = (name: string): number => statSync(join(target, name)).blocks * 512;
    expect(blocks("mixed")).toBeLessThanOrEqual(64 << 10);
    expect(blocks("all zero")).toBe(0);
    const mixed = readFileSync(join(target, "mixed"));
    expect(mixed).toHaveLength(4 << 20);
    expect(Buffer.compare(mixed.subarray(1_000_003, 1_005_003), random(5000))).toBe(0);
    expect(mixed.filter((byte) => byte !== 0).length).toBe(
      random(5000).filter((byte) => byte !== 0).length + 1,
    );
    expect(statSync(join(target, "ends in zeros")).size).toBe(100_001);
  });

  it("are written when told so", async () => {
    const { entry, repository } = await holes();
    await restoreTree(repository, entry, target, { sparse: false });
    expect(statSync(join(target, "all zero")).blocks * 512).toBeGreaterThanOrEqual(9 << 20);
  });
});

describe.skipIf(!root.available)(root.title("owners"), () => {
  const owned = (): Promise<Sample> =>
    sampleOf(async (session) =>
      directory(session, "root", [
        await file(session, "a", "a", { uid: 4711, gid: 4712, mode: 0o6755 }),
        await file(session, "b", "b", { uid: 0, gid: 0 }),
        { ...(await link(session, "l", "a")), uid: 4713, gid: 4714 },
        await directory(session, "d", [], { uid: 4715, gid: 4716, mode: 0o2775 }),
      ]),
    );

  it("are restored by root, links' too, and setuid survives the change of owner", async () => {
    const { entry, repository } = await owned();
    expect(await restoreTree(repository, entry, target)).toMatchObject({
      ok: true,
      notices: noticesHere,
    });
    const of = (name: string): number[] => {
      const { gid, mode, uid } = lstatSync(join(target, name));
      return [uid, gid, mode & 0o7777];
    };
    expect(of("a")).toEqual([4711, 4712, 0o6755]);
    expect(of("l")).toEqual([4713, 4714, 0o777]);
    expect(of("d")).toEqual([4715, 4716, 0o2775]);
  });

  it("are said to be lost once by others, without setuid; or listed, when told so", async () => {
    const { entry, repository } = await owned();
    chmodSync(folder, 0o777);
    process.seteuid!(65_534);
    try {
      const report = await restoreTree(repository, entry, target);
      expect(report).toMatchObject({ ok: true, losses: [], filesDone: 2 });
      expect(report.notices).toEqual([
        expect.stringContaining("the owner of 5 entries"),
        ...noticesHere,
      ]);
      expect(statSync(join(target, "a")).mode & 0o7777).toBe(0o755);
      const strict = await restoreTree(repository, entry, join(folder, "strict"), {
        ignorePermissionErrors: false,
      });
      expect(strict.losses.map(({ path }) => path)).toEqual(["", "a", "b", "d", "l"]);
      expect(strict.losses[1]!.reason).toContain("EPERM");
      expect(readdirSync(join(folder, "strict"))).toEqual(["d"]);
    } finally {
      process.seteuid!(0);
    }
  });
});

describe("without a back-end for system calls", () => {
  it("restores what Node can, and says once what it could not", async () => {
    const { entry, repository } = await small();
    const before = process.env["DM_POSIX"];
    process.env["DM_POSIX"] = "none";
    try {
      const report = await restoreTree(repository, entry, target);
      expect(report).toMatchObject({ ok: true, losses: [], filesDone: 2 });
      const { losses } = await loadPosix({ backend: "none" });
      expect(report.notices).toEqual(losses);
      const { mtimeNs } = statSync(join(target, "file"), { bigint: true });
      expect(mtimeNs / 1_000_000n).toBe(1_700_000_000_000n);
      expect(readFileSync(join(target, "sub/inner"), "utf8")).toBe("inner");
      // Of nanoseconds Node sets none; a resumed restore knows its own files all the same.
      expect(mtimeNs).not.toBe(1_700_000_000_000_000_001n);
      const resumed = await restoreTree(repository, entry, target, { resume: true });
      expect(resumed).toMatchObject({ skippedCount: 2, filesDone: 0, ok: true });
      utimesSync(join(target, "file"), 1_700_000_000, 1_700_000_000.001);
      const repaired = await restoreTree(repository, entry, target, { resume: true });
      expect(repaired).toMatchObject({ skippedCount: 1, filesDone: 1, ok: true });
    } finally {
      if (before === undefined) delete process.env["DM_POSIX"];
      else process.env["DM_POSIX"] = before;
    }
  });
});
