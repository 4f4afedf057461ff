// Every golden repository of the real kopia restores to the files, modes, owners, times, links and hashes that kopia
// recorded; volumes of block devices, whose entry is no file name, are refused with the way to restore them.
import { createHash } from "node:crypto";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { goldenRepositories, type Json, requirePeer } from "@dm/fixtures";
import { parseTime, type Repository } from "@dm/repo";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goModeFromPosix, listSnapshots, type Snapshot, walkTree } from "../src/index.ts";
import { restoreTree } from "../src/node/index.ts";
import { goZeroTimeNs } from "../src/volume/volume-entry.ts";
import { openGolden } from "./open-golden.ts";
import { nearTime } from "./restored-times.ts";

const root = requirePeer("root");
const isExhaustive = process.env["DM_FULL"] === "1";

/** What is on the disk, as the listing of the golden data has it. */
function listed(folder: string, path = "."): Json[] {
  const full = join(folder, path);
  const stat = lstatSync(full, { bigint: true });
  const type = stat.isDirectory() ? "d" : stat.isSymbolicLink() ? "s" : "f";
  const entry: Json = {
    path,
    type,
    ...(type === "s" ? {} : { mode: `0${goModeFromPosix(Number(stat.mode)).toString(8)}` }),
    mtime: stat.mtimeNs,
    ...(root.available ? { uid: Number(stat.uid), gid: Number(stat.gid) } : {}),
  };
  if (type === "s") entry.target = readlinkSync(full);
  if (type === "f") {
    entry.size = Number(stat.size);
    entry.sha256 = createHash("sha256").update(readFileSync(full)).digest("hex");
  }
  const children = type === "d" ? readdirSync(full) : [];
  return [
    entry,
    ...children.flatMap((name) => listed(folder, path === "." ? name : `${path}/${name}`)),
  ];
}

const byPath = (a: Json, b: Json): number => (a.path < b.path ? -1 : 1);

describe.each(goldenRepositories())("%s", (name) => {
  const folder = mkdtempSync(join(tmpdir(), "dm-restore-"));
  let repository: Repository;
  let expected: Json;
  let snapshots: Snapshot[];

  beforeAll(async () => {
    const opened = await openGolden(name);
    repository = opened.repository;
    expected = opened.golden.expected;
    const all = await listSnapshots(repository);
    snapshots = isExhaustive ? all : all.slice(-1);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("restores to what kopia recorded", async () => {
    for (const snapshot of snapshots) {
      const target = join(folder, snapshot.id);
      const report = await restoreTree(repository, snapshot.rootEntry!, target);
      const tree: Json[] = expected.trees[snapshot.rootEntry!.objectId];
      const volumes = tree.filter(({ path }) => path.startsWith("dev/"));
      expect(report.losses.map(({ code }) => code)).toEqual(
        volumes.map(() => "DM_RESTORE_NAME_REFUSED"),
      );
      // The listing has the newest time inside as a directory's; what is restored is the stored one.
      const storedTimes = new Map<string, bigint>();
      for await (const { entry, path } of walkTree(repository, snapshot.rootEntry!))
        if (entry.type === "d") storedTimes.set(path === "" ? "." : path, entry.modifiedAtNs);
      const wanted: Json[] = tree
        .filter((json) => !volumes.includes(json))
        .map(({ gid, mode, mtime, path, sha256, size, target, type, uid }) => ({
          path,
          type,
          ...(type === "s" ? { target } : { mode }),
          mtime: type === "d" ? storedTimes.get(path) : parseTime(mtime),
          ...(root.available ? { uid, gid } : {}),
          ...(type === "f" ? { size: size ?? 0, sha256 } : {}),
        }));
      const times = new Map(wanted.map(({ mtime, path }) => [path, mtime as bigint]));
      const found = listed(target).map(
        (json): Json => ({ ...json, mtime: nearTime(json.mtime, times.get(json.path) ?? 0n) }),
      );
      // Go's zero time says that there is none: then nothing is set.
      for (const json of [...wanted, ...found])
        if (json.path === "." && storedTimes.get(".") === goZeroTimeNs) delete json.mtime;
      expect(found.sort(byPath)).toEqual(wanted.sort(byPath));
    }
  });
});
