// The real kopia and we back up the same tree into the same repository: both make the same objects, each takes everything
// over from the other, and kopia verifies and restores what we have made.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Json } from "@dm/fixtures";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type Snapshot,
  type SnapshotSource,
  type UploadSnapshotOptions,
  uploadSnapshot,
} from "../src/index.ts";
import { KopiaClient, kopiaPeer } from "./kopia-client.ts";
import { plainSource } from "./plain-source.ts";

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
  execFileSync("mkfifo", [join(root, "data", "pipe")]);
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
    return uploadSnapshot(repository, await plainSource(Buffer.from(path)), {
      source: sourceOf(path),
      ...options,
    });
  };

  const theirs = async (path: string, ...flags: string[]): Promise<Json> =>
    JSON.parse(await kopia.run("snapshot", "create", path, "--json", "--json-verbose", ...flags));

  it("makes kopia's objects, and each takes everything over from the other", async () => {
    const first = await ours(tree);
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
});
