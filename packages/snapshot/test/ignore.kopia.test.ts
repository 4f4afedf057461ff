// What is left out of a snapshot, beside the real kopia: trees of directories with rules of all kinds, written by hand and made
// up, in policies and in files. Both programs back up the same tree; the entries must be the same, and the root objects.
import {
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import type { Json } from "@dm/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  emptyPolicy,
  type FilesPolicy,
  openSnapshot,
  type Snapshot,
  setPolicy,
  uploadSnapshot,
  walkTree,
} from "../src/index.ts";
import { openLocalSource } from "../src/node/index.ts";
import { KopiaClient, kopiaPeer } from "./kopia-client.ts";
import { fc } from "./property.ts";

const signature = "Signature: 8a477f597d28d172789f06886806bc55";

/** Files by path; a text that begins with `->` is a link. */
type Tree = Readonly<Record<string, string>>;

const handmade: Tree = {
  ".kopiaignore": [
    "# comment",
    "",
    "   ",
    "*.log",
    "!keep.log",
    "build/",
    "/top.txt",
    "a/b/*.txt",
    "logs/**",
    "**/deep/*.o",
    "/src*.o",
    "/q?x",
    "  padded  ",
    "trail\\ ",
    "\\#hash",
    "\\!bang",
    "[a-c]1",
    "[!a-c]2",
    "/far[[:digit:]]",
    "[[:upper:]]3",
    "é*\r",
    "!**/back",
    "back",
  ].join("\n"),
  "a.log": "",
  "keep.log": "",
  "d/a.log": "",
  "d/keep.log": "",
  "build/x": "",
  "d/build/x": "",
  "e/build": "",
  "top.txt": "",
  "d/top.txt": "",
  "a/b/1.txt": "",
  "a/b/c/1.txt": "",
  "d/a/b/1.txt": "",
  "logs/1": "",
  "logs/2/3": "",
  "d/logs/1": "",
  "x/deep/1.o": "",
  "deep/1.o": "",
  "deep/y/1.o": "",
  "src1.o": "",
  "src1/.o": "",
  "src1/a.o": "",
  qax: "",
  "q/x": "",
  padded: "",
  "trail ": "",
  trail: "",
  "#hash": "",
  "!bang": "",
  a1: "",
  d1: "",
  "d/b1": "",
  a2: "",
  d2: "",
  "2": "",
  "d/2": "",
  far1: "",
  "far:]": "",
  A3: "",
  a3: "",
  é1: "",
  back: "",
  "d/back": "",
  "d/e/back": "",
  // A child's own rules, which take back and add.
  "nested/.kopiaignore": "!2.log\n*.tmp\n/only-here",
  "nested/1.log": "",
  "nested/2.log": "",
  "nested/a.tmp": "",
  "nested/deeper/2.log": "",
  "nested/deeper/only-here": "",
  "nested/only-here": "",
  "e/a.tmp": "",
  // Rules behind a link, and a directory of that name.
  "linked/.kopiaignore": "->../rules",
  rules: "*.linked\n",
  "linked/a.linked": "",
  "other/.kopiaignore/x": "",
  "other/y": "",
  "empty-rules/.kopiaignore": "",
  "empty-rules/x": "",
  "bom/.kopiaignore": "\ufeff*.bom\n*.mob",
  "bom/a.bom": "",
  "bom/a.mob": "",
  // Caches, and what only looks like one.
  "cache/CACHEDIR.TAG": `${signature}\nmore`,
  "cache/x": "",
  "cache/y/z": "",
  "cache/.kopiaignore": "[wrong",
  "no-cache/CACHEDIR.TAG": signature.slice(1),
  "no-cache/x": "",
  "short-cache/CACHEDIR.TAG": signature.slice(0, -1),
  "short-cache/x": "",
  "link-cache/CACHEDIR.TAG": "->../cache/CACHEDIR.TAG",
  "link-cache/x": "",
  "dir-cache/CACHEDIR.TAG/x": "",
};

const characters = ["a", "b", "ab", "x", "é"];
const pieces = [...characters, "/", "/", "*", "**", "?", "[!a]", "[ab]", "**/", "/**", "!", "😀"];
const rule = fc
  .array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 6 })
  .map((all) => all.join(""));
const madeUp = fc.record({
  rules: fc.array(rule, { minLength: 1, maxLength: 4 }),
  paths: fc.array(
    fc
      .array(fc.constantFrom(...characters, "😀", "ax", "xb"), { minLength: 1, maxLength: 4 })
      .map((names) => names.join("/")),
    { minLength: 4, maxLength: 14 },
  ),
});

function write(root: string, tree: Tree): void {
  for (const [path, text] of Object.entries(tree)) {
    const full = join(root, path);
    mkdirSync(dirname(full), { recursive: true });
    if (text.startsWith("->")) symlinkSync(text.slice(2), full);
    else writeFileSync(full, text);
  }
}

function writeMadeUp(root: string, { paths, rules }: { paths: string[]; rules: string[] }): void {
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, ".kopiaignore"), rules.join("\n"));
  for (const path of paths) {
    try {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), "");
    } catch {
      // A file stands where this path has a directory, or the reverse.
    }
  }
}

describe.skipIf(!kopiaPeer.available)(kopiaPeer.title("what kopia leaves out"), () => {
  const kopia = new KopiaClient();
  const folder = mkdtempSync(join(tmpdir(), "dm-ignore-"));
  const sourceOf = (path: string) => ({
    host: hostname().split(".")[0]!.toLowerCase(),
    userName: userInfo().username,
    path,
  });

  beforeAll(() => kopia.create());

  afterAll(() => {
    kopia[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const pathsOf = async (
    repository: Awaited<ReturnType<KopiaClient["open"]>>,
    { rootEntry }: Pick<Snapshot, "rootEntry">,
  ): Promise<string[]> => {
    const paths: string[] = [];
    for await (const { path } of walkTree(repository, rootEntry!)) paths.push(path);
    return paths;
  };

  /** Both back it up; answers what is in the snapshot, the same in both. */
  const kept = async (path: string, policies: Record<string, FilesPolicy> = {}) => {
    {
      await using repository = await kopia.open();
      const session = await repository.openWriteSession();
      for (const [below, files] of Object.entries(policies))
        await setPolicy(session, sourceOf(join(path, below)), { ...emptyPolicy, files });
      await session.commit();
    }
    const made: Json = JSON.parse(await kopia.run("snapshot", "create", path, "--json"));
    expect(made.source).toEqual(sourceOf(path));
    await using repository = await kopia.open();
    const theirs = await pathsOf(repository, await openSnapshot(repository, made.id));
    const ours = await uploadSnapshot(repository, await openLocalSource(path), {
      source: sourceOf(path),
    });
    expect(await pathsOf(repository, ours)).toEqual(theirs);
    expect(ours.rootEntry!.objectId).toBe(made.rootEntry.obj);
    return theirs;
  };

  it("is what we leave out: rules of every kind", async () => {
    const path = join(folder, "handmade");
    write(path, handmade);
    // Rules and names that are not UTF-8.
    const raw = Buffer.from([0xf0, 0x9f, 0x98, 0x2e, 0xff]);
    mkdirSync(join(path, "raw"));
    writeFileSync(join(path, "raw/.kopiaignore"), Buffer.concat([Buffer.from("/"), raw]));
    writeFileSync(Buffer.concat([Buffer.from(join(path, "raw/")), raw]), "");
    writeFileSync(Buffer.concat([Buffer.from(join(path, "raw/kept ")), raw]), "");
    const paths = await kept(path);
    expect(paths).toContain("nested/2.log");
    expect(paths).toContain("cache");
    expect(paths).not.toContain("cache/x");
    expect(paths).not.toContain("src1/.o");
    expect(paths).toContain("far1");
    expect(paths.filter((at) => at.startsWith("raw/"))).toHaveLength(2);
    expect(paths).not.toContain("linked/a.linked");
  });

  it("is what we leave out: policies of directories", async () => {
    const path = join(folder, "policies");
    write(path, {
      "a.tmp": "",
      "a.log": "",
      ".ignore-more": "*.more",
      "a.more": "",
      "sub/a.tmp": "",
      "sub/a.log": "",
      "sub/.ignore-more": "*.x",
      "sub/.kopiaignore": "*.y",
      "sub/a.more": "",
      "sub/a.x": "",
      "sub/a.y": "",
      "sub/inner/a.y": "",
      "raw/.kopiaignore": "*.y",
      "raw/a.y": "",
      "raw/a.tmp": "",
      "raw/deep/.kopiaignore": "*.z",
      "raw/deep/a.z": "",
      "own/a.tmp": "",
      "own/a.log": "",
      "large/1": "x".repeat(100),
      "large/2": "x".repeat(101),
      "large/any/3": "x".repeat(1000),
      "large/link": `->${"t".repeat(150)}`,
      "cache/CACHEDIR.TAG": signature,
      "cache/x": "",
    });
    truncateSync(join(path, "a.log"), 5000);
    const paths = await kept(path, {
      "": { ignore: ["*.tmp", "#odd"], ignoreDotFiles: [".ignore-more", ".kopiaignore"] },
      sub: { ignore: ["!a.tmp"], ignoreDotFiles: [".kopiaignore"] },
      raw: { ignore: ["nothing"] },
      own: { noParentIgnore: true, noParentDotFiles: true },
      large: { maxFileSize: 100, oneFileSystem: true },
      "large/any": { ignore: ["x"] },
      cache: { ignoreCacheDirs: false },
    });
    expect(paths).toContain("sub/a.tmp");
    expect(paths).toContain("raw/a.y");
    expect(paths).not.toContain("large/2");
    expect(paths).toContain("cache/x");
  });

  it("is what we leave out: made-up rules in made-up trees", async () => {
    const sampleSize = process.env["DM_FULL"] ? 1000 : 100;
    const path = join(folder, "made-up");
    for (const [index, sample] of fc.sample(madeUp, sampleSize).entries())
      writeMadeUp(join(path, `${index}`), sample);
    await kept(path);
    // The root of a snapshot has ways of its own.
    for (const [index, sample] of fc.sample(madeUp, process.env["DM_FULL"] ? 30 : 4).entries()) {
      const root = join(folder, `root-${index}`);
      writeMadeUp(root, sample);
      utimesSync(root, 1, 1);
      await kept(root);
    }
  });
});
