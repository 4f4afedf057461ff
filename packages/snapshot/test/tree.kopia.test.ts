// The real kopia makes a snapshot of a tree with odd names, modes and times: we list what `lstat` says and what kopia says,
// and from the directories of the file system we write the directory objects that kopia wrote, to the byte.
import { execFile } from "node:child_process";
import {
  chmodSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { type Json, requirePeer } from "@dm/fixtures";
import { openRepository, parseTime, type Repository } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type DirectoryEntry,
  decodeDirectory,
  decodeSnapshotManifest,
  encodeDirectory,
  encodeSnapshotManifest,
  formatMode,
  listSnapshots,
  openFile,
  readDirectory,
  readLink,
  type Snapshot,
  summarizeDirectory,
  type TreeItem,
  verifySnapshot,
  walkTree,
} from "../src/index.ts";

const peer = requirePeer("kopia");
const run = promisify(execFile);

const names = [
  "plain",
  "with space",
  'quote" and \\backslash',
  "<html> & 'entities'",
  "line\nfeed and\ttab",
  "bell\u0007 and \u0001 and \u007f",
  "line separator \u2028 and \u2029",
  "é composed, e\u0301 decomposed",
  "above the plane \u{1f600}",
  "\uffee below it by bytes, above by UTF-16",
  "-dash",
  ".dot",
];
/** Bytes that are not UTF-8, and sort between, below and above names that are. */
const rawNames = ["raw \xff", "\x80first", "\xe9between", "\xf0\x9f\x98"];

describe.skipIf(!peer.available)(peer.title("a tree in a snapshot of kopia"), () => {
  const folder = mkdtempSync(join(tmpdir(), "dm-tree-"));
  const source = join(folder, "source");
  let repository: Repository;
  let snapshot: Snapshot;
  const items: TreeItem[] = [];

  const kopia = async (...parameters: string[]): Promise<string> => {
    const flags = ["--no-use-keyring", "--no-progress", "--disable-file-logging"];
    const { stdout } = await run(
      peer.path,
      [...flags, `--config-file=${join(folder, "kopia.config")}`, ...parameters],
      {
        maxBuffer: 64 << 20,
        env: {
          HOME: folder,
          KOPIA_PASSWORD: "p",
          KOPIA_CHECK_FOR_UPDATES: "false",
          KOPIA_CACHE_DIRECTORY: join(folder, "cache"),
          PATH: process.env["PATH"],
          TZ: "UTC",
        },
      },
    );
    return stdout;
  };

  beforeAll(async () => {
    makeTree(source);
    const path = join(folder, "repository");
    mkdirSync(path);
    await kopia("repository", "create", "filesystem", "--path", path);
    await kopia(
      "snapshot",
      "create",
      source,
      "--tags",
      "env:test",
      "--description",
      "<odd> & names",
    );
    repository = await openRepository(filesystemStore({ path }), { password: "p", readOnly: true });
    const snapshots = await listSnapshots(repository);
    expect(snapshots).toHaveLength(1);
    snapshot = snapshots[0]!;
    for await (const item of walkTree(repository, snapshot.rootEntry!)) items.push(item);
  });

  afterAll(async () => {
    await repository?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("shows what lstat says", async () => {
    const decodable = items.filter(({ path }) => !path.includes("\ufffd"));
    expect(decodable.length).toBeGreaterThan(names.length);
    expect(items.length - decodable.length).toBe(rawNames.length);
    for (const { entry, path } of decodable) {
      const stat = lstatSync(join(source, path), { bigint: true });
      expect({ ...entry, objectId: "", summary: undefined }, path).toEqual({
        name: path === "" ? basename(source) : basename(path),
        type: stat.isDirectory() ? "d" : stat.isSymbolicLink() ? "s" : "f",
        mode: Number(stat.mode) & 0o7777,
        sizeBytes: stat.isDirectory() ? 0 : Number(stat.size),
        modifiedAtNs: stat.mtimeNs,
        uid: Number(stat.uid),
        gid: Number(stat.gid),
        objectId: "",
      });
      if (entry.type === "s")
        expect(await readLink(repository, entry)).toBe(readlinkSync(join(source, path)));
    }
  });

  it("writes the directories that kopia wrote, from what lies on the disk", async () => {
    let count = 0;
    const rebuild = async (folderBytes: Buffer, entry: DirectoryEntry): Promise<void> => {
      const { entries } = await readDirectory(repository, entry);
      const stored = await (await repository.openObject(entry.objectId)).read();
      const listed = readdirSync(folderBytes, { encoding: "buffer" });
      // Hashing of data is not this test's: objects are taken over by name, summaries of directories too.
      const all = decodeDirectory(stored).entries;
      const rebuilt = listed.map((name): DirectoryEntry => {
        const path = Buffer.concat([folderBytes, Buffer.from("/"), name]);
        const stat = lstatSync(path, { bigint: true });
        const found = all.find(
          ({ name: shown, modifiedAtNs }) =>
            shown === withReplacements(name) && modifiedAtNs === stat.mtimeNs,
        );
        return {
          name: withSurrogates(name),
          type: stat.isDirectory() ? "d" : stat.isSymbolicLink() ? "s" : "f",
          mode: Number(stat.mode) & 0o7777,
          sizeBytes: stat.isDirectory() ? 0 : Number(stat.size),
          modifiedAtNs: stat.mtimeNs,
          uid: Number(stat.uid),
          gid: Number(stat.gid),
          objectId: found!.objectId,
          summary: found!.summary,
        };
      });
      const own = lstatSync(folderBytes, { bigint: true }).mtimeNs;
      const bytes = encodeDirectory({
        entries: rebuilt,
        summary: summarizeDirectory(rebuilt, own),
      });
      expect(Buffer.from(bytes).toString()).toBe(Buffer.from(stored).toString());
      count += 1;
      for (const child of entries)
        if (child.type === "d") await rebuild(Buffer.from(`${folderBytes}/${child.name}`), child);
    };
    await rebuild(Buffer.from(source), snapshot.rootEntry!);
    expect(count).toBe(snapshot.rootEntry!.summary!.directoryCount);
  });

  it("agrees with `kopia ls -l -r`", async () => {
    const printed = await kopia("ls", "-l", "-r", snapshot.rootEntry!.objectId);
    const shown = items.filter(({ depth }) => depth > 0);
    let rest = printed;
    for (const { entry } of shown) expect(rest).toContain(entry.objectId);
    for (const { entry, path } of shown) {
      const size = entry.summary?.totalBytes ?? entry.sizeBytes;
      const time = entry.summary?.maxModifiedAtNs ?? entry.modifiedAtNs;
      const date = new Date(Number(time / 1_000_000n)).toISOString();
      const line = [
        formatMode(entry.type, entry.mode),
        String(size).padStart(12),
        `${date.slice(0, 10)} ${date.slice(11, 19)} UTC`,
        entry.objectId.padEnd(34),
        `${path}${entry.type === "d" ? "/" : ""}`,
      ].join(" ");
      expect(rest).toContain(`${line}\n`);
      rest = rest.replace(`${line}\n`, "");
    }
    expect(rest).toBe("");
  });

  it("agrees with `kopia snapshot list --json`", async () => {
    const [listed]: Json[] = JSON.parse(await kopia("snapshot", "list", "--json"));
    const { data } = await repository.readManifest(snapshot.id);
    expect(encodeSnapshotManifest(decodeSnapshotManifest(data))).toBe(data);
    const { id, retentionReason, ...rest } = listed;
    expect(id).toBe(snapshot.id);
    expect(retentionReason).toContain("latest-1");
    expect(JSON.parse(encodeSnapshotManifest(snapshot))).toMatchObject(rest);
    expect(snapshot).toMatchObject({
      description: "<odd> & names",
      tags: { "tag:env": "test" },
      startedAtNs: parseTime(listed.startTime),
    });
  });

  it("verifies as kopia does, all data read", async () => {
    const report = await verifySnapshot(repository, snapshot);
    expect(report.findings).toEqual([]);
    await kopia("snapshot", "verify", "--verify-files-percent=100");
    const [file] = items.filter(({ path }) => path === "plain");
    const object = await openFile(repository, file!.entry);
    expect(new TextDecoder().decode(await object.read())).toBe("0");
  });
});

/** Names of files as kopia shows them: each byte that is not UTF-8 becomes U+FFFD. */
const withReplacements = (name: Buffer): string =>
  withSurrogates(name).replaceAll(/[\udc80-\udcff](?<![\ud800-\udbff].)/g, "\ufffd");

/** Names of files as `encodeDirectory` takes them: each byte that is not UTF-8 as a lone surrogate. */
function withSurrogates(name: Buffer): string {
  let text = "";
  for (let at = 0; at < name.length; ) {
    const length = [1, 2, 3, 4].find((count) => {
      const piece = name.subarray(at, at + count);
      return piece.length === count && Buffer.from(piece.toString()).equals(piece);
    });
    if (length === undefined) text += String.fromCharCode(0xdc00 | name[at]!);
    else text += name.subarray(at, at + length).toString();
    at += length ?? 1;
  }
  return text;
}

function makeTree(root: string): void {
  mkdirSync(join(root, "empty"), { recursive: true });
  for (const [index, name] of names.entries()) {
    writeFileSync(join(root, name), String(index));
    utimesSync(join(root, name), 1_600_000_000 + index, 1_600_000_000 + index + 0.25);
  }
  for (const [index, name] of rawNames.entries()) {
    const path = Buffer.from(`${root}/${name}`, "latin1");
    writeFileSync(path, String(index));
    utimesSync(path, 1, 1_500_000_000 + index);
  }
  const modes = join(root, "modes");
  mkdirSync(modes);
  // A file that nobody may read, only root reads.
  const unreadable = process.getuid?.() === 0 ? [0o000] : [];
  for (const mode of [...unreadable, 0o400, 0o644, 0o755, 0o1644, 0o2755, 0o4755, 0o7777]) {
    const path = join(modes, mode.toString(8));
    writeFileSync(path, "x".repeat(mode));
    chmodSync(path, mode);
  }
  mkdirSync(join(root, "deep/er/and/deeper"), { recursive: true });
  chmodSync(join(root, "deep"), 0o1777);
  chmodSync(join(root, "deep/er"), 0o2750);
  const times = join(root, "times");
  mkdirSync(times);
  for (const seconds of [0, -86_400 * 365 * 20, 1, 4_102_444_800.5]) {
    const path = join(times, `${seconds}`);
    writeFileSync(path, "");
    utimesSync(path, seconds, seconds);
  }
  writeFileSync(join(times, "now"), "nanoseconds");
  symlinkSync("../nowhere <&>", join(root, "dangling"));
  symlinkSync("plain", join(root, "link"));
  lutimesSync(join(root, "link"), 1_234_567_890, 1_234_567_890.5);
}
