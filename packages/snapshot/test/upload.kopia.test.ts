// The real kopia and we back up the same tree into the same repository: both make the same objects, each takes everything
// over from the other, and kopia verifies and restores what we have made.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { concatBytes, equalBytes } from "@dm/core";
import { type Json, requirePeer } from "@dm/fixtures";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type Snapshot,
  type SnapshotSource,
  streamSource,
  type UploadSnapshotOptions,
  uploadSnapshot,
} from "../src/index.ts";
import { createDataPlane, openLocalSource } from "../src/node/index.ts";
import { KopiaClient, kopiaPeer } from "./kopia-client.ts";
import { plainSource } from "./plain-source.ts";

/** Becomes another user for a while. */
const root = requirePeer("root");

const names = [
  "plain",
  'quote" and \\backslash',
  "<html> & 'entities'",
  "line\nfeed and\ttab",
  "bell\u0007 and \u0001 and \u007f",
  "line separator \u2028 and \u2029",
  "é composed, e\u0301 decomposed",
  "above the plane \u{1f600}",
  "\uffee below it by bytes, above by UTF-16",
];
/** Bytes that are not UTF-8, and sort between, below and above names that are. */
const rawNames = ["raw \xff", "\x80first", "\xe9between", "\xf0\x9f\x98"];

function makeTree(root: string): void {
  mkdirSync(join(root, "names"), { recursive: true });
  names.forEach((name, index) => {
    writeFileSync(join(root, "names", name), `${index}`);
    mkdirSync(join(root, "names", `dir ${name}`));
  });
  for (const name of rawNames) {
    const path = Buffer.concat([Buffer.from(`${root}/names/`), Buffer.from(name, "latin1")]);
    writeFileSync(path, name);
  }
  mkdirSync(join(root, "modes"));
  for (const mode of [0o4755, 0o2755, 0o1777, 0o7777, 0o000, 0o600]) {
    writeFileSync(join(root, "modes", `f${mode}`), "x");
    chmodSync(join(root, "modes", `f${mode}`), mode);
    mkdirSync(join(root, "modes", `d${mode}`));
    chmodSync(join(root, "modes", `d${mode}`), mode | 0o700);
  }
  mkdirSync(join(root, "data"));
  writeFileSync(join(root, "data", "empty"), "");
  writeFileSync(join(root, "data", "zeros"), new Uint8Array(9 << 20));
  writeFileSync(join(root, "data", "random"), pseudoRandom(11_000_000));
  linkSync(join(root, "data", "random"), join(root, "data", "hard link"));
  symlinkSync("random", join(root, "data", "link"));
  symlinkSync("no/such/\u{1f600}", join(root, "data", "dangling"));
  execFileSync("sh", ["-c", 'mkfifo "$1"', "sh", join(root, "data", "pipe")]);
  utimesSync(join(root, "data", "empty"), 1e9, 1e9 + 0.123456);
  lutimesSync(join(root, "data", "link"), -1e8, -1e8);
  let deep = join(root, "deep");
  for (let depth = 0; depth < 40; depth++) deep = join(deep, `${depth}`);
  mkdirSync(deep, { recursive: true });
  writeFileSync(join(deep, "bottom"), "here");
}

function pseudoRandom(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
}

describe.skipIf(!kopiaPeer.available)(kopiaPeer.title("upload beside kopia"), () => {
  const folder = mkdtempSync(join(tmpdir(), "dm-upload-"));
  const tree = join(folder, "tree");
  let kopia: KopiaClient;

  beforeAll(() => makeTree(tree));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  beforeEach(async () => {
    kopia = new KopiaClient();
    await kopia.create("--override-hostname=host", "--override-username=user");
    return () => kopia[Symbol.dispose]();
  });

  const sourceOf = (path: string): SnapshotSource => ({ host: "host", userName: "user", path });

  const ours = async (
    path: string,
    options: Partial<UploadSnapshotOptions> = {},
  ): Promise<Snapshot> => {
    await using repository = await kopia.open();
    return await uploadSnapshot(repository, await openLocalSource(path), {
      source: sourceOf(path),
      ...options,
    });
  };

  const theirs = async (path: string, ...flags: string[]): Promise<Json> =>
    JSON.parse(await kopia.run("snapshot", "create", path, "--json", "--json-verbose", ...flags));

  it("makes kopia's objects, and each takes everything over from the other", async () => {
    const first = await ours(tree);
    await using repository = await kopia.open();
    const plain = await uploadSnapshot(repository, await plainSource(Buffer.from(tree)), {
      source: { ...sourceOf(tree), host: "elsewhere" },
    });
    expect(plain.rootEntry).toEqual(first.rootEntry);
    const second = await theirs(tree);
    expect(second.rootEntry.obj).toBe(first.rootEntry!.objectId);
    // Names that are not UTF-8 are never found again, by Kopia's rule.
    expect(second.stats).toMatchObject({ nonCachedFiles: rawNames.length, errorCount: 0 });
    const third = await ours(tree);
    expect(third.rootEntry).toEqual(first.rootEntry);
    expect(third.stats.nonCachedFiles).toBe(rawNames.length);
    expect(third.stats.cachedFiles).toBe(second.stats.cachedFiles);
    expect(third.stats.totalSize).toBe(second.stats.totalSize);
    expect(third.stats.dirCount).toBe(second.stats.dirCount);
  });

  it("kopia lists, verifies and restores what we made", async () => {
    const snapshot = await ours(tree, {
      description: "<nightly>",
      tags: { "tag:env": "prod" },
      pins: ["legal"],
    });
    const [listed]: Json[] = JSON.parse(await kopia.run("snapshot", "list", "--json"));
    expect(listed).toMatchObject({
      id: snapshot.id,
      description: "<nightly>",
      tags: { "tag:env": "prod" },
      pins: ["legal"],
      rootEntry: { name: basename(tree), obj: snapshot.rootEntry!.objectId },
    });
    await kopia.run("snapshot", "verify", "--verify-files-percent=100");
    const target = join(folder, "restored");
    await kopia.run("restore", snapshot.id, target);
    const differences = execFileSync("sh", [
      "-c",
      `diff -r --no-dereference "$1" "$2" | grep -v "^Only in.*names: " || true`,
      "sh",
      tree,
      target,
    ]).toString();
    expect(differences).toBe(`Only in ${tree}/data: pipe\n`);
    rmSync(target, { recursive: true, force: true });
  });

  it("makes the same objects in worker threads", async () => {
    const second = await theirs(tree);
    await using repository = await kopia.open();
    await using session = await repository.openWriteSession();
    await using dataPlane = createDataPlane(session, { workers: 2 });
    const local = await openLocalSource(tree);
    const options = { source: sourceOf(tree), dataPlane };
    const first = await uploadSnapshot(session, local, { ...options, previous: [] });
    expect(first.rootEntry!.objectId).toBe(second.rootEntry.obj);
    expect(first.stats).toMatchObject({ cachedFiles: 0, errorCount: 0 });
    const again = await uploadSnapshot(session, local, options);
    expect(again.rootEntry).toEqual(first.rootEntry);
  });

  it("follows the policies that kopia has set: parts, compressors, splitters, what is left out", async () => {
    const path = (name: string): string => join(tree, name);
    await kopia.run(
      "policy",
      "set",
      tree,
      "--parallel-upload-above-size-mib=2",
      "--compression=gzip",
    );
    await kopia.run("policy", "set", path("data/zeros"), "--splitter=FIXED-1M");
    await kopia.run(
      "policy",
      "set",
      path("names"),
      "--add-ignore=/dir*",
      "--compression=s2-default",
    );
    const first = await ours(tree);
    const second = await theirs(tree, "--force-hash=100");
    expect(first.rootEntry!.objectId).toBe(second.rootEntry.obj);
    // Other chunks, and fewer entries, than without policies.
    await kopia.run("policy", "delete", tree, path("data/zeros"), path("names"));
    const without = await ours(tree, { previous: [] });
    expect(without.rootEntry!.objectId).not.toBe(first.rootEntry!.objectId);
    await kopia.run("snapshot", "verify", "--verify-files-percent=100");
  });

  it("kopia's compressors, by content", async () => {
    const small = join(folder, "compressed");
    mkdirSync(join(small, "sub"), { recursive: true });
    for (const name of ["a.txt", "a.jpg", "sub/b.txt"])
      writeFileSync(join(small, name), `${name} `.repeat(1000));
    await kopia.run(
      ...["policy", "set", small, "--compression=zstd", "--metadata-compression=none"],
      "--add-never-compress=.jpg",
    );
    const contents = async (): Promise<Json[]> => {
      const list: Json[] = JSON.parse(await kopia.run("content", "list", "--json"));
      return list
        .filter(({ contentID }) => /^k|^[0-9a-f]/.test(contentID))
        .map(({ compression, contentID, length }) => ({ compression, contentID, length }));
    };
    const before = await contents();
    await ours(small);
    const made = (await contents()).slice(before.length);
    expect(made.length).toBeGreaterThan(4);
    using other = new KopiaClient();
    await other.create("--override-hostname=host", "--override-username=user");
    // A repository of its own has other hashes: lengths and compressors remain.
    await other.run(
      ...["policy", "set", small, "--compression=zstd", "--metadata-compression=none"],
      "--add-never-compress=.jpg",
    );
    await other.run("snapshot", "create", small);
    const form = ({ compression, contentID, length }: Json): string =>
      `${contentID.startsWith("k")} ${compression} ${length}`;
    const theirList: Json[] = JSON.parse(await other.run("content", "list", "--json"));
    const theirForms = theirList
      .filter(({ contentID }) => /^k|^[0-9a-f]/.test(contentID))
      .map((content) => form(content).replace(/ \d+$/, ""));
    expect(made.map((content) => form(content).replace(/ \d+$/, "")).sort()).toEqual(
      theirForms.sort(),
    );
  });

  it.skipIf(!root.available)(
    root.title("what cannot be read is recorded in kopia's words"),
    async () => {
      const nobody = { uid: 65_534, gid: 65_534 };
      const closed = join(folder, "closed");
      mkdirSync(join(closed, "sub", "no listing"), { recursive: true });
      for (let index = 0; index < 14; index++) {
        writeFileSync(join(closed, "sub", `f${index}`), "x");
        chmodSync(join(closed, "sub", `f${index}`), 0);
      }
      writeFileSync(join(closed, "good"), "x");
      chmodSync(join(closed, "sub", "no listing"), 0);
      mkdirSync(join(closed, "no search"));
      writeFileSync(join(closed, "no search", "inside"), "x");
      symlinkSync("inside", join(closed, "no search", "link"));
      chmodSync(join(closed, "no search"), 0o744);
      chmodSync(folder, 0o755);
      execFileSync("chown", ["-R", "65534:65534", kopia.folder]);
      kopia.runAs = nobody;
      const { setegid, seteuid } = process as unknown as Record<string, (id: number) => void>;
      let first: Snapshot;
      setegid!(nobody.gid);
      seteuid!(nobody.uid);
      try {
        first = await ours(closed);
      } finally {
        seteuid!(0);
        setegid!(0);
      }
      await expect(kopia.run("snapshot", "create", closed)).rejects.toThrow(/fatal error/);
      const [, second]: Json[] = JSON.parse(await kopia.run("snapshot", "list", "--json"));
      expect(first.rootEntry!.summary!.failures).toEqual(second.rootEntry.summ.errors);
      expect(first.rootEntry!.summary).toMatchObject({ failedCount: 17, fileCount: 1 });
      expect(first.rootEntry!.objectId).toBe(second.rootEntry.obj);
    },
  );

  it("an incomplete snapshot of ours is one for kopia, which takes over from it", async () => {
    const partial = await ours(tree, { uploadLimitBytes: 15_000_000, parallel: 1 });
    expect(partial.incompleteReason).toBe("limit reached");
    const [listed]: Json[] = JSON.parse(
      await kopia.run("snapshot", "list", "--incomplete", "--json"),
    );
    expect(listed).toMatchObject({ id: partial.id, incomplete: "limit reached" });
    await kopia.run("snapshot", "verify", "--verify-files-percent=100");
    const { rootEntry, stats } = await theirs(tree);
    expect(stats.cachedFiles).toBeGreaterThan(0);
    expect(rootEntry.obj).toBe((await ours(tree, { previous: [] })).rootEntry!.objectId);
  });

  it("a shallow restore of kopia's is backed up again as kopia does", async () => {
    const snapshot = await ours(tree);
    const shallow = join(folder, "shallow");
    await kopia.run("restore", snapshot.id, shallow, "--shallow=0");
    const first = await ours(shallow);
    const second = await theirs(shallow, "--force-hash=100");
    expect(first.rootEntry!.objectId).toBe(second.rootEntry.obj);
    rmSync(shallow, { recursive: true, force: true });
  });

  it("standard input becomes kopia's snapshot of it", async () => {
    const pieces = [pseudoRandom(5_000_000), new Uint8Array(7)];
    async function* bytes(): AsyncGenerator<Uint8Array> {
      yield* pieces;
    }
    await using repository = await kopia.open();
    const dumps = streamSource("/dumps", "all.sql", bytes(), 1_700_000_000_000_000_000n);
    const snapshot = await uploadSnapshot(repository, dumps, { source: sourceOf("/dumps") });
    const target = join(folder, "all.sql");
    await kopia.run("restore", `${snapshot.rootEntry!.objectId}/all.sql`, target);
    expect(equalBytes(readFileSync(target), concatBytes(...pieces))).toBe(true);
    await kopia.run("snapshot", "verify", "--verify-files-percent=100");
  });
});
