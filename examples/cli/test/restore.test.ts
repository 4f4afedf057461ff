/** `dm restore` on golden repositories: what kopia recorded comes back, as files, archives and volumes; losses end with 3. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import type { Json } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { Home } from "./run.ts";

const sha256 = (path: string): string =>
  createHash("sha256").update(readFileSync(path)).digest("hex");

/** Every file and link of the recorded tree is there; directories too. */
function expectTree(folder: string, tree: readonly Json[]): void {
  for (const { path, sha256: recorded, size, target, type } of tree) {
    const stat = lstatSync(join(folder, path));
    expect([path, stat.isDirectory(), stat.isFile()]).toEqual([path, type === "d", type === "f"]);
    if (type === "s") expect(readlinkSync(join(folder, path))).toBe(target);
    if (type === "f") {
      expect(stat.size).toBe(size ?? 0);
      expect([path, sha256(join(folder, path))]).toEqual([path, recorded]);
    }
  }
}

describe.each(["v3-flat", "v1-object-compression", "v2-ecc", "velero-fs"])("on %s", (name) => {
  it("restores snapshots by any id, with the words of kopia", async () => {
    using home = new Home();
    const { expected } = await home.golden(name);
    const snapshot = expected.snapshots.at(-1);
    const tree: Json[] = expected.trees[snapshot.rootObjectID];
    const count = (type: string): number => tree.filter((entry) => entry.type === type).length;
    const target = home.path("by manifest");
    const { err, out } = await home.ok(["restore", snapshot.id, target]);
    expect(out).toBe("");
    expect(err).toContain(`Restoring to local filesystem (${target}) with parallelism=8...\n`);
    expect(err).toContain(
      `Restored ${count("f")} files, ${count("d")} directories and ${count("s")} symbolic links (`,
    );
    expectTree(target, tree);
    await home.ok(["snapshot", "restore", snapshot.rootObjectID, home.path("by root")]);
    expectTree(home.path("by root"), tree);
  });
});

describe("shallow", () => {
  it("leaves placeholders, which are restored in their turn", async () => {
    using home = new Home();
    const { expected } = await home.golden("v3-flat");
    const { id, rootObjectID } = expected.snapshots[0];
    const tree: Json[] = expected.trees[rootObjectID];
    const top = tree.filter(({ path }) => path !== "" && path !== "." && !path.includes("/"));
    const names = top.map(({ path, type }) => (type === "s" ? path : `${path}.kopia-entry`));
    const target = home.path("shallow");
    const { err } = await home.ok(["restore", "--shallow", "0", id, target]);
    const left = top.filter(({ type }) => type !== "s").length;
    expect(err).toContain(`, left ${left} placeholders.`);
    expect(readdirSync(target).sort()).toEqual(names.sort());
    const placeholders = names.filter((name) => name.endsWith(".kopia-entry"));
    const places = placeholders.map((name) => join(target, name));
    await home.ok(["restore", "--shallow", "100", ...places]);
    expectTree(target, tree);
    expect(readdirSync(target).sort()).toEqual(top.map(({ path }) => path).sort());
  });

  it("is for directories, and a placeholder needs no target", async () => {
    using home = new Home();
    const { expected } = await home.golden("v3-flat");
    const { id } = expected.snapshots[0];
    const archive = await home.run(["restore", "--shallow", "0", id, home.path("a.tar")]);
    expect([archive.code, archive.err]).toEqual([2, expect.stringContaining("archives")]);
    const without = await home.run(["restore", id]);
    expect([without.code, without.err]).toEqual([2, expect.stringContaining("placeholders")]);
    const missing = await home.run(["restore", home.path("none.kopia-entry")]);
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining("ENOENT")]);
  });
});

describe("parts of a snapshot", () => {
  it("are restored by their path: a directory, a file", async () => {
    using home = new Home();
    const { expected } = await home.golden("v3-flat");
    const { id, rootObjectID } = expected.snapshots[0];
    const tree: Json[] = expected.trees[rootObjectID];
    const file = tree.find(({ path, type }) => type === "f" && path.includes("/"))!;
    const folder = file.path.slice(0, file.path.lastIndexOf("/"));
    await home.ok(["restore", `${id}/${folder}`, home.path("d")]);
    expect(sha256(home.path(`d/${file.path.slice(folder.length + 1)}`))).toBe(file.sha256);
    await home.ok(["restore", `${rootObjectID}/${file.path}`, home.path("new/file")]);
    expect(sha256(home.path("new/file"))).toBe(file.sha256);
  });

  it("that are not there are named", async () => {
    using home = new Home();
    const { expected } = await home.golden("v3-flat");
    const { id } = expected.snapshots[0];
    const missing = await home.run(["restore", `${id}/no/such`, home.path("x")]);
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining("DM_ENTRY_NOT_FOUND")]);
    expect(existsSync(home.path("x"))).toBe(false);
    expect((await home.run(["restore", id])).code).toBe(2);
    const unknown = await home.run(["restore", "0123456789", home.path("x")]);
    expect(unknown.err).toContain("[DM_SNAPSHOT_NOT_FOUND]\nids are listed by: dm snapshot list");
    // No id: a path of this machine, although it begins with no dot.
    const path = await home.run(["restore", "photos/2025", home.path("x")]);
    expect(path.err).toContain(`no snapshot holds`);
    expect(path.err).toContain(`:${resolve("photos/2025")}\n`);
  });
});

describe("archives", () => {
  it.each(["tar", "tgz", "tar.gz", "zip"])("of the name .%s", async (suffix) => {
    using home = new Home();
    const { expected } = await home.golden("v3-flat");
    const { id, rootObjectID } = expected.snapshots.at(-1);
    const path = home.path(`a.${suffix}`);
    const { err } = await home.ok(["restore", id, path]);
    expect(err).toContain(suffix === "zip" ? "to a zip file" : "tar");
    expect(err).toMatch(/Restored \d+ files, \d+ directories and \d+ symbolic links/);
    if (suffix === "zip") return;
    mkdirSync(home.path("out"));
    execFileSync("tar", ["-xf", path, "-C", home.path("out")]);
    const tree: Json[] = expected.trees[rootObjectID];
    expectTree(home.path("out"), tree);
  });

  it("or files of such a name, when told so", async () => {
    using home = new Home();
    const { expected } = await home.golden("v3-flat");
    const { id, rootObjectID } = expected.snapshots.at(-1);
    await home.ok(["restore", "--mode=local", id, home.path("a.tar")]);
    expectTree(home.path("a.tar"), expected.trees[rootObjectID]);
    await home.ok(["restore", "--mode=tar", id, home.path("plain")]);
    expect(execFileSync("tar", ["-tf", home.path("plain")]).toString()).not.toBe("");
    expect((await home.run(["restore", "--mode=rar", id, home.path("b")])).code).toBe(2);
  });
});

describe("losses", () => {
  it("are listed, counted, and end with 3; or with 0 when they are to be ignored", async () => {
    using home = new Home();
    const { expected } = await home.golden("v3-flat");
    const { id, rootObjectID } = expected.snapshots.at(-1);
    const tree: Json[] = expected.trees[rootObjectID];
    const file = tree.find(({ path, type }) => type === "f" && !path.includes("/"))!;
    mkdirSync(join(home.path("t"), file.path), { recursive: true });
    const lost = await home.run(["restore", id, home.path("t")]);
    expect(lost.code).toBe(3);
    expect(lost.err).toContain(
      `error: ${file.path}: a directory is in its place [DM_RESTORE_TARGET_CONFLICT]\n`,
    );
    expect(lost.err).toContain("warning: 1 entries were not restored as the snapshot has them\n");
    const ignored = await home.ok(["restore", "--ignore-errors", id, home.path("t")]);
    expect(ignored.err).toContain("ignored 1 errors.\n");
    const repaired = await home.ok(["restore", "--delete-extra", id, home.path("t")]);
    expect(repaired.err).toContain(", deleted directories 1.\n");
    expectTree(home.path("t"), tree);
  });

  it("are none when everything is there: --skip-existing and --resume say what they left", async () => {
    using home = new Home();
    const { expected } = await home.golden("v3-flat");
    const { id } = expected.snapshots.at(-1);
    await home.ok(["restore", id, home.path("t")]);
    writeFileSync(home.path("t/mine"), "");
    for (const flag of ["--skip-existing", "--resume"]) {
      const { err } = await home.ok(["restore", flag, id, home.path("t")]);
      expect(err).toMatch(/Restored 0 files, .*, skipped \d+ \(/);
    }
    expect(existsSync(home.path("t/mine"))).toBe(true);
    const refused = await home.run(["restore", "--no-overwrite-files", id, home.path("t")]);
    expect(refused.code).toBe(3);
    const directory = await home.run(["restore", "--no-overwrite-directories", id, home.path("t")]);
    expect([directory.code, directory.err]).toEqual([1, expect.stringContaining("is not empty")]);
  });
});

describe("a volume", () => {
  it("becomes an image with the recorded hash; as files it is refused with the way to do it", async () => {
    using home = new Home();
    const { expected } = await home.golden("velero-block");
    const { id } = expected.snapshots.at(-1);
    const { err } = await home.ok(["restore", id, home.path("image")]);
    expect(err).toMatch(/Restored a volume of .*, verified /);
    const hashes = JSON.stringify(expected);
    expect(hashes).toContain(sha256(home.path("image")));
    await home.ok(["restore", `${id}/dev/loop1`, home.path("image 2")]);
    expect(sha256(home.path("image 2"))).toBe(sha256(home.path("image")));
    mkdirSync(home.path("folder"));
    const refused = await home.run(["restore", id, home.path("folder")]);
    expect(refused.code).toBe(3);
    expect(refused.err).toContain("is the volume of a block device: restore it by itself");
    expect(readdirSync(home.path("folder"))).toEqual([]);
  });
});

describe("paths of a machine", () => {
  it("are restored in their newest version, or in an older one", async () => {
    using home = new Home();
    const { expected } = await home.golden("v3-flat");
    const [first] = expected.snapshots;
    const { host, path, userName } = first.source;
    const name = `${userName}@${host}:${path}`;
    const of = expected.snapshots.filter((each: Json) => each.source.path === path);
    const newest = await home.ok(["restore", name, home.path("newest")]);
    expect(newest.err).toContain(`Restoring from\n   Snapshot source: ${name}\n`);
    expectTree(home.path("newest"), expected.trees[of.at(-1).rootObjectID]);
    await home.ok(["restore", "--snapshot-time=oldest", name, home.path("oldest")]);
    expectTree(home.path("oldest"), expected.trees[of[0].rootObjectID]);
    const before = `--snapshot-time=${of.at(-1).startTime}`;
    if (of.length > 1) {
      await home.ok(["restore", before, name, home.path("before")]);
      expectTree(home.path("before"), expected.trees[of.at(-2).rootObjectID]);
    }
    const tree: Json[] = expected.trees[of.at(-1).rootObjectID];
    const file = tree.find(({ type }) => type === "f")!;
    await home.ok(["restore", `${name}/${file.path}`, home.path("one")]);
    expect(sha256(home.path("one"))).toBe(file.sha256);
    const nothing = await home.run(["restore", `${name}/no/such`, home.path("x")]);
    expect([nothing.code, nothing.err]).toEqual([2, expect.stringContaining("no snapshot holds")]);
    const bad = await home.run(["restore", "--snapshot-time=soon", name, home.path("x")]);
    expect([bad.code, bad.err]).toEqual([2, expect.stringContaining("not a time: soon")]);
  });
});
