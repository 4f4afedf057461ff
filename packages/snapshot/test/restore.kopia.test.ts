// Beside the real kopia: what kopia backed up and we restored, kopia backs up again without reading a file, and gets the same
// directories; what kopia restores from the same snapshot is equal to ours. As root, so that owners hold.
import { execFile, execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  lchownSync,
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
import { promisify } from "node:util";
import { type Json, requirePeer, splitmix64 } from "@dm/fixtures";
import { openRepository, type Repository } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listSnapshots, type Snapshot } from "../src/index.ts";
import { loadPosix, restoreTree } from "../src/node/index.ts";

const peer = requirePeer("kopia");
const root = requirePeer("root");
const posix = await loadPosix();
const run = promisify(execFile);

const isPossible = peer.available && root.available && posix.backend !== "none";

function makeTree(source: string): void {
  mkdirSync(join(source, "deep/er/and/deeper"), { recursive: true });
  mkdirSync(join(source, "empty"));
  writeFileSync(join(source, "long.bin"), splitmix64(3, 20_000_001));
  writeFileSync(join(source, "zeros"), new Uint8Array(5_000_000));
  writeFileSync(join(source, "nothing"), "");
  for (let index = 0; index < 500; index++)
    writeFileSync(join(source, "deep/er", `f${index}`), splitmix64(index, index * 37));
  for (const name of ["a\nb", "ü\u{1f600}", " ", "-rf", "x".repeat(250)])
    writeFileSync(join(source, "deep", name), name);
  for (const mode of [0o000, 0o400, 0o644, 0o1644, 0o2755, 0o4755, 0o7777]) {
    const path = join(source, `mode ${mode.toString(8)}`);
    writeFileSync(path, "x");
    chownSync(path, 1000 + (mode & 7), 2000);
    chmodSync(path, mode);
  }
  symlinkSync("long.bin", join(source, "link"));
  symlinkSync("nowhere", join(source, "deep/dangling"));
  lchownSync(join(source, "link"), 4711, 4712);
  chownSync(join(source, "deep/er"), 77, 88);
  chmodSync(join(source, "deep/er"), 0o2770);
  chmodSync(join(source, "empty"), 0o1777);
  const times = ["link", "nothing", "deep/er/f7", "empty", "deep/dangling", "zeros", "deep/er", ""];
  for (const [index, name] of times.entries())
    posix.setTimes(join(source, name), 0n, 1_234_567_890_123_456_789n + BigInt(index));
  posix.setTimes(join(source, "deep/er/f8"), 0n, -1n);
}

function listed(folder: string, directoryTimes: boolean, path = ""): Json[] {
  const full = join(folder, path);
  const stat = lstatSync(full, { bigint: true });
  const isDirectory = stat.isDirectory();
  const own = {
    path,
    mode: stat.mode.toString(8),
    owner: `${stat.uid}:${stat.gid}`,
    // Kopia gives directories the newest time inside, and links times of whole microseconds.
    ...(isDirectory && !directoryTimes ? {} : { time: stat.mtimeNs / 1000n }),
    data: stat.isFile()
      ? readFileSync(full).toString("latin1")
      : stat.isSymbolicLink()
        ? readlinkSync(full)
        : "",
  };
  const children = isDirectory ? readdirSync(full).sort() : [];
  return [own, ...children.flatMap((name) => listed(folder, directoryTimes, join(path, name)))];
}

describe.skipIf(!isPossible)(root.title(peer.title("restored by us, known to kopia")), () => {
  const folder = mkdtempSync(join(tmpdir(), "dm-restore-kopia-"));
  const source = join(folder, "source");
  let repository: Repository;
  let snapshot: Snapshot;

  const kopia = async (...parameters: string[]): Promise<{ stdout: string; stderr: string }> =>
    run(
      peer.path,
      [
        "--no-use-keyring",
        "--no-progress",
        "--disable-file-logging",
        `--config-file=${join(folder, "kopia.config")}`,
        ...parameters,
      ],
      {
        maxBuffer: 64 << 20,
        env: {
          HOME: folder,
          KOPIA_PASSWORD: "p",
          KOPIA_CHECK_FOR_UPDATES: "false",
          PATH: process.env["PATH"],
          TZ: "UTC",
        },
      },
    );

  beforeAll(async () => {
    makeTree(source);
    const path = join(folder, "repository");
    mkdirSync(path);
    await kopia("repository", "create", "filesystem", "--path", path);
    await kopia("snapshot", "create", source);
    repository = await openRepository(filesystemStore({ path }), { password: "p", readOnly: true });
    [snapshot] = (await listSnapshots(repository)) as [Snapshot];
  });
  afterAll(async () => {
    await repository?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("kopia's next snapshot is fully cached, and has the same root", async () => {
    rmSync(source, { recursive: true });
    const report = await restoreTree(repository, snapshot.rootEntry!, source);
    expect(report).toMatchObject({ ok: true, losses: [], notices: [] });
    const { stdout } = await kopia("snapshot", "create", source, "--json", "--json-verbose");
    const made: Json = JSON.parse(stdout);
    const { fileCount, symlinkCount } = snapshot.rootEntry!.summary!;
    expect(made.rootEntry.obj).toBe(snapshot.rootEntry!.objectId);
    expect(made.stats).toMatchObject({
      cachedFiles: fileCount + symlinkCount,
      nonCachedFiles: 0,
      errorCount: 0,
    });
  });

  it("is equal to what kopia restores", async () => {
    const theirs = join(folder, "theirs");
    await kopia("restore", snapshot.id, theirs);
    const ours = join(folder, "ours");
    await restoreTree(repository, snapshot.rootEntry!, ours, { directoryTimes: "newest" });
    const [a, b] = [listed(ours, true), listed(theirs, true)];
    // Kopia rounds the times of links up to whole microseconds.
    const withoutLinkTimes = (all: Json[]): Json[] =>
      all.map((each) => (each.mode.startsWith("12") ? { ...each, time: undefined } : each));
    expect(withoutLinkTimes(a)).toEqual(withoutLinkTimes(b));
    expect(a.length).toBeGreaterThan(520);
  });

  it("is equal to what tar extracts from our archive", async () => {
    const { restoreArchive } = await import("../src/node/index.ts");
    const path = join(folder, "a.tar");
    expect(await restoreArchive(repository, snapshot.rootEntry!, path)).toMatchObject({ ok: true });
    const out = join(folder, "extracted");
    mkdirSync(out);
    execFileSync("tar", ["-xpf", path, "-C", out], { stdio: "pipe" });
    const [, ...found] = listed(out, true);
    const [, ...expected] = listed(source, true);
    expect(found).toEqual(expected);
  });
});
