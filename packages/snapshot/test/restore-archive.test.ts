// Archives as other programs read them: tar is extracted by the system's tar with names, modes, owners and nanoseconds; zip is
// read by Python's zipfile. Damage is listed, a long file's is thrown, and no half archive stands under its name.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { utf8Encode } from "@dm/core";
import type { Repository, WriteSession } from "@dm/repo";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DirectoryEntry } from "../src/index.ts";
import { archiveFormatOf, restoreArchive, streamArchive } from "../src/node/index.ts";
import { directoryIn, fileIn, newRepository } from "./new-repository.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dm-archive-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const owner = { uid: process.getuid!(), gid: process.getgid!() };
const longName = `${"long ".repeat(40)}é.txt`;
const big = new Uint8Array(9 << 20).map((_, index) => index * 7 + (index >> 8));

async function sample(): Promise<{ repository: Repository; entry: DirectoryEntry }> {
  const { repository } = await newRepository();
  await using session = await repository.openWriteSession();
  const file = async (
    name: string,
    data: Uint8Array | string,
    change: Partial<DirectoryEntry> = {},
  ): Promise<DirectoryEntry> => ({
    ...(await fileIn(session, name, typeof data === "string" ? utf8Encode(data) : data)),
    ...owner,
    ...change,
  });
  const sub = await directoryIn(session, "sub", [
    await file(longName, "long name"),
    await file("old", "x", { modifiedAtNs: -1_500_000_000n }),
    await file("far", "x", { modifiedAtNs: 4_102_444_800_000_000_007n }),
  ]);
  const entry = await directoryIn(session, "root", [
    { ...sub, ...owner, mode: 0o750, modifiedAtNs: 1_600_000_000_000_000_002n },
    { ...(await directoryIn(session, "empty", [])), ...owner },
    await file("empty file", ""),
    await file("no mode", "secret", { mode: 0 }),
    await file("setuid", "s", { mode: 0o4755 }),
    await file("link", "sub/old", { type: "s", mode: 0o777 }),
    await file("big", big),
  ]);
  await session.commit();
  return { repository, entry };
}

it("replaces the file that a link leads to, and writes to a pipe as it is", async () => {
  const { entry, repository } = await sample();
  writeFileSync(join(folder, "old.tar"), "older");
  symlinkSync("old.tar", join(folder, "link.tar"));
  await restoreArchive(repository, entry, join(folder, "link.tar"));
  expect(readlinkSync(join(folder, "link.tar"))).toBe("old.tar");
  const listOf = (path: string): string => execFileSync("tar", ["tf", path], { encoding: "utf8" });
  expect(listOf(join(folder, "old.tar"))).toContain("setuid");
  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  const reader = spawn("tar", ["tf", pipe], { stdio: ["ignore", "pipe", "inherit"] });
  const listed = text(reader.stdout);
  expect(await restoreArchive(repository, entry, pipe, { format: "tar" })).toMatchObject({
    ok: true,
  });
  expect(await listed).toBe(listOf(join(folder, "old.tar")));
  expect(lstatSync(pipe).isFIFO()).toBe(true);
  expect(readdirSync(folder).sort()).toEqual(["link.tar", "old.tar", "pipe"]);
});

it("knows the format by the name", () => {
  expect(["a.tar", "a.tar.gz", "a.tgz", "a.zip", "a", "a.gz"].map(archiveFormatOf)).toEqual([
    "tar",
    "tgz",
    "tgz",
    "zip",
    undefined,
    undefined,
  ]);
});

describe.each(["tar", "tgz"])("%s", (format) => {
  it("is extracted by tar with everything in it", async () => {
    const { entry, repository } = await sample();
    const path = join(folder, `a.${format}`);
    const report = await restoreArchive(repository, entry, path);
    expect(report).toMatchObject({ ok: true, filesDone: 7, directoriesDone: 3, symlinksDone: 1 });
    expect(readdirSync(folder)).toEqual([`a.${format}`]);
    const out = join(folder, "out");
    mkdirSync(out);
    execFileSync("tar", ["-xpf", path, "-C", out]);
    const of = (name: string): object => {
      const stat = lstatSync(join(out, name), { bigint: true });
      return { mode: Number(stat.mode) & 0o7777, time: stat.mtimeNs };
    };
    const time = 1_700_000_000_000_000_001n;
    expect(of("sub")).toEqual({ mode: 0o750, time: 1_600_000_000_000_000_002n });
    expect(of("setuid")).toEqual({ mode: 0o4755, time });
    expect(of("no mode")).toEqual({ mode: 0, time });
    expect(of("sub/old")).toEqual({ mode: 0o644, time: -1_500_000_000n });
    expect(of("sub/far")).toEqual({ mode: 0o644, time: 4_102_444_800_000_000_007n });
    expect(readFileSync(join(out, "sub", longName), "utf8")).toBe("long name");
    expect(readlinkSync(join(out, "link"))).toBe("sub/old");
    expect(Buffer.compare(readFileSync(join(out, "big")), big)).toBe(0);
    expect(lstatSync(join(out, "empty")).isDirectory()).toBe(true);
  });
});

const hasPython = spawnSync("python3", ["-c", "import zipfile"]).status === 0;

describe.each(["zip", "zip-nocompress"] as const)("%s", (format) => {
  it.skipIf(!hasPython)("is read by another program (skipped without python3)", async () => {
    const { entry, repository } = await sample();
    const path = join(folder, "a.zip");
    const report = await restoreArchive(repository, entry, path, { format });
    expect(report).toMatchObject({ ok: true, filesDone: 7, symlinksDone: 1 });
    const script = `
import zipfile, hashlib, json, sys
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
print(json.dumps({i.filename: [i.external_attr >> 16, i.compress_type, hashlib.sha256(z.read(i)).hexdigest()] for i in z.infolist()}))`;
    const found = JSON.parse(execFileSync("python3", ["-c", script, path]).toString());
    const sha = (data: Uint8Array | string): string =>
      execFileSync("sha256sum", { input: data }).toString().slice(0, 64);
    const method = format === "zip" ? 8 : 0;
    expect(found["big"]).toEqual([0o100644, method, sha(big)]);
    expect(found["no mode"]).toEqual([0o100000, method, sha("secret")]);
    expect(found[`sub/${longName}`]).toEqual([0o100644, method, sha("long name")]);
    expect(found["link"]).toEqual([0o120777, 0, sha("sub/old")]);
    expect(Object.keys(found)).toContain("empty/");
    expect(Object.keys(found)).toHaveLength(10);
  });
});

async function withRepository(
  make: (session: WriteSession) => Promise<DirectoryEntry>,
): Promise<{ repository: Repository; entry: DirectoryEntry; store: Repository["store"] }> {
  const { repository } = await newRepository();
  await using session = await repository.openWriteSession();
  const entry = await make(session);
  await session.commit();
  return { repository, entry, store: repository.store };
}

describe("what cannot be archived", () => {
  it("is listed, and the rest is there", async () => {
    const { entry, repository } = await withRepository(async (session) =>
      directoryIn(session, "root", [
        await fileIn(session, "..", utf8Encode("x")),
        await fileIn(session, "a\\b", utf8Encode("x")),
        await fileIn(session, "good", utf8Encode("x")),
        { ...(await fileIn(session, "lost", utf8Encode("y"))), objectId: "0".repeat(32) },
        { ...(await directoryIn(session, "gone", [])), objectId: `k${"0".repeat(32)}` },
      ]),
    );
    const report = await restoreArchive(repository, entry, join(folder, "a.zip"));
    expect(report.losses.map(({ code, path }) => `${path} ${code}`)).toEqual([
      ".. DM_RESTORE_NAME_REFUSED",
      "a\\b DM_RESTORE_NAME_REFUSED",
      "gone DM_CONTENT_NOT_FOUND",
      "lost DM_CONTENT_NOT_FOUND",
    ]);
    const tar = await restoreArchive(repository, entry, join(folder, "a.tar"));
    expect(tar.lossCount).toBe(3);
    const names = execFileSync("tar", ["-tf", join(folder, "a.tar")])
      .toString()
      .split("\n");
    expect(names.filter((name) => name !== "").sort()).toEqual(["a\\\\b", "gone/", "good"]);
  });

  it("is a directory with a name that zip takes for a drive's, too", async () => {
    const { entry, repository } = await withRepository(async (session) => {
      const good = await fileIn(session, "good", utf8Encode("x"));
      return directoryIn(session, "root", [await directoryIn(session, "C:", [good]), good]);
    });
    const report = await restoreArchive(repository, entry, join(folder, "a.zip"));
    expect(report).toMatchObject({ filesDone: 1, directoriesDone: 1 });
    expect(report.losses.map(({ code, path }) => `${path} ${code}`)).toEqual([
      "C: DM_RESTORE_NAME_REFUSED",
      "C:/good DM_RESTORE_NAME_REFUSED",
    ]);
  });

  it.each(["tar", "zip"])(
    "is a file of parts with another size than its entry's: %s",
    async (format) => {
      const { repository } = await newRepository();
      await using session = await repository.openWriteSession();
      const inParts = await fileIn(session, "file", big);
      const whole = await fileIn(session, "good", utf8Encode("x"));
      const rootWith = (sizeBytes: number): Promise<DirectoryEntry> =>
        directoryIn(session, "root", [{ ...inParts, sizeBytes }, whole]);
      const [short, long] = [await rootWith(5_000_000), await rootWith(10_000_000)];
      await session.commit();
      const path = join(folder, `a.${format}`);
      const report = await restoreArchive(repository, short, path);
      expect(report.losses).toMatchObject([{ path: "file", code: "DM_ENTRY_SIZE_MISMATCH" }]);
      expect(report.filesDone).toBe(1);
      rmSync(path);
      await expect(restoreArchive(repository, long, path)).rejects.toMatchObject({
        code: "DM_ENTRY_SIZE_MISMATCH",
      });
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  it("is thrown for a long file, and leaves nothing", async () => {
    for (const name of ["a.tar", "a.tgz", "a.zip"]) {
      const { entry, repository, store } = await withRepository(async (session) =>
        directoryIn(session, "root", [await fileIn(session, "big", big)]),
      );
      const [, second] = await repository.objectParts(
        (
          await repository
            .openObject(entry.objectId)
            .then(async () => entryOfBig(repository, entry))
        ).objectId,
      );
      const info = (await repository.contentInfo(second!.objectId as never))!;
      const bytes = (await store.get(info.packBlobId)).slice();
      bytes[info.packOffset + 50]! ^= 1;
      await store.put(info.packBlobId, bytes);
      await expect(restoreArchive(repository, entry, join(folder, name))).rejects.toThrow(
        "damaged",
      );
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  it.skipIf(process.platform !== "linux")("says what it cannot write", async () => {
    const { entry, repository } = await sample();
    await expect(restoreArchive(repository, entry, "/proc/a.tar")).rejects.toThrow(
      "cannot write /proc/a.tar",
    );
  });
});

it.each(["tar", "tgz", "zip", "zip-nocompress"] as const)(
  "ends when its output does, in the midst of a long file: %s",
  async (format) => {
    // Longer than all that the streams on the way hold.
    const long = new Uint8Array(40 << 20);
    for (let at = 0, state = 1; at < long.length; at++) {
      state = (state * 1_103_515_245 + 12_345) & 0x7fff_ffff;
      long[at] = state >> 16;
    }
    const { entry, repository } = await withRepository(async (session) =>
      directoryIn(session, "root", [await fileIn(session, "long", long)]),
    );
    let bytes = 0;
    const output = new Writable({
      write(chunk: Uint8Array, _encoding, done) {
        bytes += chunk.length;
        done(bytes > 100_000 ? new Error("the output is full") : null);
      },
    });
    await expect(streamArchive(repository, entry, output, { format })).rejects.toThrow(
      "the output is full",
    );
  },
);

async function entryOfBig(repository: Repository, root: DirectoryEntry): Promise<DirectoryEntry> {
  const { findEntry } = await import("../src/index.ts");
  return findEntry(repository, root, "big");
}
