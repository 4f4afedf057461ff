// What a snapshot with extended metadata kept comes back: attributes of files and directories, and names of one file as hard
// links, across directories and groups; what does not fit together is restored by itself.
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { utf8Encode } from "@dm/core";
import type { Repository, WriteSession } from "@dm/repo";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { encodeExtendedMetadata } from "../src/extended-metadata.ts";
import type { DirectoryEntry } from "../src/index.ts";
import { loadPosix, restoreTree } from "../src/node/index.ts";
import { directoryIn, fileIn, newRepository } from "./new-repository.ts";
import { nearTime } from "./restored-times.ts";

const posix = await loadPosix();
let folder: string;
let target: string;
beforeEach(() => {
  // Not the system's temporary directory: that may be a file system without attributes.
  folder = mkdtempSync(join(import.meta.dirname, "../node_modules/.dm-extended-"));
  target = join(folder, "target");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const mine = { uid: process.getuid!(), gid: process.getgid!() };
const user = (name: string, value: string): { name: string; value: Uint8Array } => ({
  name: `user.${name}`,
  value: utf8Encode(value),
});

async function made(
  make: (session: WriteSession) => Promise<DirectoryEntry>,
): Promise<{ repository: Repository; entry: DirectoryEntry }> {
  const { repository } = await newRepository();
  await using session = await repository.openWriteSession();
  const entry = { ...(await make(session)), ...mine };
  await session.commit();
  return { repository, entry };
}

const file = async (
  session: WriteSession,
  name: string,
  data: Uint8Array | string,
  extended: Parameters<typeof encodeExtendedMetadata>[0] = { attributes: [] },
): Promise<DirectoryEntry> => ({
  ...(await fileIn(session, name, typeof data === "string" ? utf8Encode(data) : data)),
  ...mine,
  unknownMembers: encodeExtendedMetadata(extended),
});

it.skipIf(posix.backend === "none")(
  "restores attributes, also of what nobody may write",
  async () => {
    const attributes = [user("one", "1"), user("two", "zwei"), user("empty", "")];
    const { entry, repository } = await made(async (session) => {
      const sub = { ...(await directoryIn(session, "sub", [])), ...mine, mode: 0o500 };
      const members = encodeExtendedMetadata({ attributes: [user("of", "directory")] });
      return directoryIn(session, "root", [
        { ...sub, unknownMembers: members },
        { ...(await file(session, "f", "data", { attributes })), mode: 0o444 },
      ]);
    });
    const report = await restoreTree(repository, entry, target);
    expect(report.losses).toEqual([]);
    const of = (name: string): object[] =>
      posix.readAttributes(join(target, name)).filter((each) => each.name.startsWith("user."));
    expect(of("f")).toHaveLength(3);
    expect(of("f")).toEqual(expect.arrayContaining(attributes));
    expect(of("sub")).toEqual([user("of", "directory")]);
    expect(statSync(join(target, "f"), { bigint: true }).mtimeNs).toBe(1_700_000_000_000_000_001n);
    expect(statSync(join(target, "f")).mode & 0o777).toBe(0o444);
  },
);

it.skipIf(posix.backend === "none")("lists an attribute that the system refuses", async () => {
  const { entry, repository } = await made(async (session) =>
    directoryIn(session, "root", [
      await file(session, "f", "data", {
        attributes: [{ name: "nonsense.name", value: utf8Encode("x") }, user("good", "y")],
      }),
      {
        ...(await file(session, "g", "kept")),
        unknownMembers: [["dm:xattrs", '{"user.x":"not base64!"}']],
      },
    ]),
  );
  const report = await restoreTree(repository, entry, target);
  expect(report.losses).toMatchObject([
    { path: "f", code: "DM_RESTORE_DIFFERS" },
    { path: "g", code: "DM_RESTORE_DIFFERS" },
  ]);
  expect(report.losses[0]!.reason).toContain("its attribute nonsense.name is not restored: E");
  expect(posix.readAttributes(join(target, "f"))).toContainEqual(user("good", "y"));
  expect(readFileSync(join(target, "g"), "utf8")).toBe("kept");
});

it.skipIf(process.platform !== "linux")(
  "does not keep a directory open for each of many names of one file",
  async () => {
    const linked = { attributes: [], linkId: "17" };
    const { entry, repository } = await made(async (session) => {
      const first = await file(session, "name", "data", linked);
      const directories: DirectoryEntry[] = [];
      for (let index = 0; index < 600; index++) {
        const entries = [{ ...first, name: `name ${index}` }];
        directories.push({ ...(await directoryIn(session, `${index}`, entries)), ...mine });
      }
      return directoryIn(session, "root", directories);
    });
    let openAtMost = 0;
    const { openObject } = repository;
    vi.spyOn(repository, "openObject").mockImplementation((...parameters) => {
      openAtMost = Math.max(openAtMost, readdirSync("/proc/self/fd").length);
      return openObject.apply(repository, parameters);
    });
    const report = await restoreTree(repository, entry, target);
    expect(report).toMatchObject({ losses: [], filesDone: 600 });
    expect(lstatSync(join(target, "0/name 0")).nlink).toBe(600);
    expect(openAtMost).toBeGreaterThan(0);
    expect(openAtMost).toBeLessThan(400);
  },
);

it("makes names of one file links, wherever they are", async () => {
  const linked = { attributes: [], linkId: "17" };
  const long = { attributes: [], linkId: "18" };
  const bytes = new Uint8Array(9 << 20).fill(7);
  const { entry, repository } = await made(async (session) => {
    const many: DirectoryEntry[] = [];
    for (let index = 0; index < 300; index++)
      many.push(await file(session, `x${index}`, `${index}`));
    return directoryIn(session, "root", [
      {
        ...(await directoryIn(session, "a", [
          {
            ...(await directoryIn(session, "deep", [await file(session, "1", "one", linked)])),
            ...mine,
          },
          await file(session, "long", bytes, long),
        ])),
        ...mine,
      },
      {
        ...(await directoryIn(session, "b", [await file(session, "2", "one", linked), ...many])),
        ...mine,
      },
      await file(session, "3", "one", linked),
      await file(session, "not the same", "two", linked),
      await file(session, "long too", bytes, long),
    ]);
  });
  const report = await restoreTree(repository, entry, target);
  expect(report).toMatchObject({ losses: [], filesDone: 306 });
  const of = (name: string): { ino: number; nlink: number } => lstatSync(join(target, name));
  expect(of("a/deep/1")).toMatchObject({ nlink: 3, ino: of("3").ino });
  expect(of("b/2").ino).toBe(of("3").ino);
  expect(of("not the same")).toMatchObject({ nlink: 1 });
  expect(of("long too")).toMatchObject({ nlink: 2, ino: of("a/long").ino });
  for (const name of ["a/deep", "b", "a", ""]) {
    const { mtimeNs } = statSync(join(target, name), { bigint: true });
    expect(nearTime(mtimeNs, 1_700_000_000_000_000_001n)).toBe(1_700_000_000_000_000_001n);
  }
  const again = await restoreTree(repository, entry, target, { resume: true });
  expect(again).toMatchObject({ losses: [], filesDone: 0, skippedCount: 306 });
  const over = await restoreTree(repository, entry, target);
  expect(over).toMatchObject({ losses: [], filesDone: 306 });
  expect(of("a/deep/1")).toMatchObject({ nlink: 3, ino: of("b/2").ino });
});

it("restores the others by themselves when the first is lost", async () => {
  const linked = { attributes: [], linkId: "17" };
  const { entry, repository } = await made(async (session) =>
    directoryIn(session, "root", [
      await file(session, "1", "one", linked),
      await file(session, "2", "one", linked),
      await file(session, "3", "one", linked),
    ]),
  );
  mkdirSync(join(target, "1"), { recursive: true });
  const report = await restoreTree(repository, entry, target);
  expect(report).toMatchObject({ lossCount: 1, filesDone: 2 });
  expect(readFileSync(join(target, "2"), "utf8")).toBe("one");
  expect(readFileSync(join(target, "3"), "utf8")).toBe("one");
});
