// Shallow restores beside the real kopia: placeholders of either are the same, and each brings back what the other has left.
import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requirePeer } from "@dm/fixtures";
import { openRepository, type Repository } from "@dm/repo";
import { filesystemStore } from "@dm/storage/filesystem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listSnapshots, type Snapshot } from "../src/index.ts";
import { expandPlaceholder, restoreTree } from "../src/node/index.ts";

const peer = requirePeer("kopia");

/** Kopia's placeholders of directories tell their size, and the newest time inside; ours are the entry as it is stored. */
const withoutSummed = (text: string): string =>
  text.includes('"type":"d"') ? text.replace(/"size":\d+,"mtime"|"mtime"/, '"mtime"') : text;

/** Everything below a folder with its mode, and what is in it. */
function listed(folder: string): Record<string, string> {
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  return Object.fromEntries(
    paths.map((path) => {
      const stat = lstatSync(join(folder, path));
      const text = stat.isFile() ? readFileSync(join(folder, path), "latin1") : "";
      return [path, `${stat.mode.toString(8)} ${withoutSummed(text)}`];
    }),
  );
}

describe.skipIf(!peer.available)(peer.title("shallow restores"), () => {
  const folder = mkdtempSync(join(tmpdir(), "dm-shallow-kopia-"));
  const source = join(folder, "source");
  const into = (name: string): string => join(folder, name);
  let repository: Repository;
  let snapshot: Snapshot;

  const kopia = (...parameters: string[]): string =>
    execFileSync(
      peer.path,
      [
        ...["--no-use-keyring", "--no-progress", "--disable-file-logging"],
        `--config-file=${into("kopia.config")}`,
        ...parameters,
      ],
      {
        env: { HOME: folder, KOPIA_PASSWORD: "p", KOPIA_CHECK_FOR_UPDATES: "false" },
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      },
    );

  beforeAll(async () => {
    mkdirSync(join(source, "d1/d2/d3"), { recursive: true });
    writeFileSync(join(source, "a"), "short");
    writeFileSync(join(source, "b"), new Uint8Array(5000));
    writeFileSync(join(source, "d1/c"), "c", { mode: 0o600 });
    writeFileSync(join(source, "d1/d2/d3/e"), "deep");
    symlinkSync("a", join(source, "link"));
    mkdirSync(into("repository"));
    kopia("repository", "create", "filesystem", "--path", into("repository"));
    kopia("snapshot", "create", source);
    repository = await openRepository(filesystemStore({ path: into("repository") }), {
      password: "p",
      readOnly: true,
    });
    [snapshot] = (await listSnapshots(repository)) as [Snapshot];
  });
  afterAll(async () => {
    await repository?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("leave the same at every depth, also with a least size", async () => {
    for (const shallowDepth of [0, 1, 2, 3]) {
      for (const shallowMinBytes of [0, 100]) {
        const [ours, theirs] = [`ours-${shallowDepth}-${shallowMinBytes}`, "theirs"].map(into) as [
          string,
          string,
        ];
        rmSync(theirs, { recursive: true, force: true });
        const options = { shallowDepth, shallowMinBytes };
        await restoreTree(repository, snapshot.rootEntry!, ours, options);
        const flags = [`--shallow=${shallowDepth}`, `--shallow-minsize=${shallowMinBytes}`];
        kopia("restore", ...flags, snapshot.id, theirs);
        expect(listed(ours)).toEqual(listed(theirs));
      }
    }
  });

  it("of ours are brought back by kopia", async () => {
    const target = into("by-kopia");
    await restoreTree(repository, snapshot.rootEntry!, target, { shallowDepth: 0 });
    kopia("restore", ...["a", "b"].map((name) => join(target, `${name}.kopia-entry`)));
    kopia("restore", "--shallow=5", join(target, "d1.kopia-entry"));
    expect(listed(target)).toEqual(listed(source));
  });

  it("of kopia's are brought back by us", async () => {
    const target = into("by-us");
    kopia("restore", "--shallow=0", snapshot.id, target);
    for (const name of ["a", "b", "d1"])
      await expandPlaceholder(repository, join(target, `${name}.kopia-entry`), { shallowDepth: 5 });
    expect(listed(target)).toEqual(listed(source));
  });

  it("of ours make kopia's next snapshot the one that they came from", async () => {
    const target = into("again");
    await restoreTree(repository, snapshot.rootEntry!, target, { shallowDepth: 1 });
    kopia("snapshot", "create", target);
    const filesOf = (id: string): string[] =>
      kopia("ls", "-r", "-o", id)
        .trim()
        .split("\n")
        .map((line) => line.replace(/ +[^/]+/, " "))
        .filter((line) => !line.endsWith("/"))
        .sort();
    await repository.refresh();
    const all = await listSnapshots(repository);
    const again = all.find(({ source: { path } }) => path === target)!;
    expect(again.rootEntry!.summary).toMatchObject({ failedCount: 0 });
    expect(filesOf(again.id)).toEqual(filesOf(snapshot.id));
    expect(filesOf(again.id)).toHaveLength(5);
  });
});
