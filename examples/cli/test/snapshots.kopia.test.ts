/**
 * The real kopia and dm on one repository: what they print about differences, lists, verification and deletion of the
 * same snapshots. Runs where `kopia` is (or `KOPIA` names it).
 */
import {
  chmodSync,
  lutimesSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { seededRandom } from "@dm/fixtures";
import type { SnapshotEstimate } from "@dm/snapshot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home } from "./run.ts";
import { expectEqual, kopia, kopiaOk, runKopia, sorted } from "./run-kopia.ts";

const seed = Number(process.env["DM_SEED"] ?? Date.now() % 1_000_000);

/** Each command of kopia takes 0.2 s or more: all of a list with DM_FULL=1, else some of it by chance. */
function some<Item>(items: readonly Item[], count: number): readonly Item[] {
  if (process.env["DM_FULL"] === "1") return items;
  const { pick } = seededRandom(seed + items.length);
  return [...new Set(Array.from({ length: count }, () => pick(items)))];
}

/** The files that the diff command reads are as old as the run. */
const withoutTimes = (text: string): string[] =>
  sorted(text.replace(/^((?:---|\+\+\+) \S+)\t.*$/gm, "$1"));

interface Listed {
  readonly id: string;
  readonly rootEntry: { readonly obj: string };
}

describe.skipIf(!kopia.available)(kopia.title(`snapshots beside kopia (DM_SEED=${seed})`), () => {
  const home = Home.withRealKeys();
  let listed: readonly Listed[];
  const source = (name: string): string => home.path(`source/${name}`);
  const write = (name: string, text: string, seconds = 1_700_000_000): void => {
    writeFileSync(source(name), text);
    utimesSync(source(name), seconds, seconds);
  };
  const snapshot = async (...flags: string[]): Promise<void> => {
    await kopiaOk(home, ["snapshot", "create", home.path("source"), ...flags]);
  };

  beforeAll(async () => {
    mkdirSync(home.path("repository"));
    mkdirSync(source("inner/deep"), { recursive: true });
    mkdirSync(source("turns"));
    const path = `--path=${home.path("repository")}`;
    await kopiaOk(home, ["repository", "create", "filesystem", path]);
    write("a.txt", "first line\nsecond line\n");
    write("empty", "");
    write("mode", "the same data\n");
    write("inner/deep/large", "0123456789".repeat(100_000));
    write("inner/gone", "gone\n");
    write("turns/file", "in a directory\n");
    symlinkSync("a.txt", source("link"));
    await snapshot("--description=first", "--tags=env:prod", "--tags=who:me");
    await snapshot("--description=the same again", "--pin=legal");
    write("a.txt", "first line\nline\n", 1_700_000_001.5);
    chmodSync(source("mode"), 0o600);
    renameSync(source("inner/gone"), source("inner/come"));
    rmSync(source("turns"), { recursive: true });
    write("turns", "a file\n");
    rmSync(source("link"));
    symlinkSync("elsewhere", source("link"));
    lutimesSync(source("link"), 1_700_000_002, 1_700_000_002);
    await snapshot("--tags=env:test");
    await kopiaOk(home, ["snapshot", "create", source("inner")]);
    listed = await home.json("snapshot list --all --json");
  }, 120_000);
  afterAll(() => home[Symbol.dispose]());

  /** The third snapshot of the source, whose list begins with the two equal ones. */
  const ids = (): [first: string, third: string] => [listed[0]!.id, listed[2]!.id];

  it("differences", { timeout: 60_000 }, async () => {
    const [first, third] = ids();
    const trees = [
      [first, third],
      [third, first],
      [first, listed[1]!.id],
      [listed[0]!.rootEntry.obj, third],
      [`${first}/inner`, `${third}/inner`],
      [`${first}/inner/deep`, `${first}/inner`],
    ];
    for (const [before, after] of some(trees, 3)) {
      for (const flags of [[], ["--stats-only"], ["-f"]])
        await expectEqual(home, ["diff", before!, after!, ...flags], withoutTimes);
    }
    for (const wrong of [`${first}/a.txt`, `${first}/no`]) {
      const theirs = await runKopia(home, ["diff", first, wrong]);
      expect([(await home.run(["diff", first, wrong])).code > 0, theirs.code]).toEqual([true, 1]);
    }
  });

  it("lists", { timeout: 60_000 }, async () => {
    const places = ["a.txt", "inner", "inner/deep/large", "turns/file", "link", "no"].map(source);
    const own = home.path("source");
    const lines = [
      ["--json"],
      ["--all", "--mtime", "--owner", "-m", "-l"],
      ["--storage-stats"],
      ["--storage-stats", "--json", "--all"],
      ["--storage-stats", "--json", "--reverse", own],
      ["--max-results=2"],
      ["--max-results=2", "--reverse", "--json", own],
      ["--tags=env:prod"],
      ["--tags=env:prod", "--tags=who:me", "--json"],
      ["--tags=env:none"],
      ["--no-human-readable", own],
      ...places.map((place) => [place, "--mtime"]),
      [source("inner"), "--json"],
    ];
    // What is missing is said in other words.
    const form = (text: string): string => text.replace(/<ERROR> .*/g, "<ERROR>");
    for (const line of some(lines, 6))
      await expectEqual(home, ["snapshot", "list", "--no-retention", ...line], form);
    // Kopia says why each is kept among those that it lists, dm among all: the same when all are listed.
    for (const line of [[], ["-l", "--reverse"], ["--json"], ["--all", source("inner")]])
      await expectEqual(home, ["snapshot", "list", ...line], form);
    const [first] = await home.json<{ retentionReason: string[] }[]>("snapshot list --json");
    expect(first!.retentionReason).toEqual(["latest-3"]);
    const prod = await home.ok("snapshot list --tags=env:prod");
    expect(prod.out).toMatch(/\(latest-3\)\n$/);
    await expectEqual(home, ["ls", "-l", "-h", "-r", listed[2]!.id], sorted);
    for (const wrong of ["--tags=env", "--max-results=x"]) {
      const line = ["snapshot", "list", wrong];
      expect([(await home.run(line)).code, (await runKopia(home, line)).code]).toEqual([2, 1]);
    }
  });

  it("verification", { timeout: 60_000 }, async () => {
    const [first, third] = ids();
    const { obj } = listed[0]!.rootEntry;
    const inner = source("inner");
    const choices = [
      [],
      [first],
      [first, third],
      ["--sources", inner],
      ["--sources", inner, "--sources", home.path("source")],
      ["--directory-id", obj],
      ["--directory-id", `${obj}/inner`, first],
      ["--file-id", `${obj}/a.txt`, "--file-id", `${obj}/inner/deep/large`],
    ];
    for (const choice of some(choices, 3)) {
      const line = ["snapshot", "verify", ...choice, "--verify-files-percent=100"];
      await expectEqual(home, [...line, "--json"]);
      const theirs = await runKopia(home, line);
      const ours = await home.ok(line);
      const last = (text: string): string => text.trimEnd().split("\n").at(-1)!;
      expect([ours.out, last(ours.err)], String(line)).toEqual([theirs.out, last(theirs.err)]);
    }
    const fewer = ["snapshot", "verify", "--json", "--file-parallelism=2", "--parallel=3"];
    await expectEqual(home, fewer);
    const wrong = [["0".repeat(32)], ["--directory-id", "what"], ["--file-id", `${obj}/no`]];
    for (const choice of wrong) {
      const line = ["snapshot", "verify", ...choice];
      const theirs = await runKopia(home, line);
      const ours = await home.run(line);
      expect([line.at(-1), ours.code > 0]).toEqual([line.at(-1), theirs.code !== 0]);
    }
  });

  it("deletion, which each sees of the other", { timeout: 60_000 }, async () => {
    const [first, third] = ids();
    const { obj } = listed[0]!.rootEntry;
    const inner = `--all-snapshots-for-source ${source("inner")}`;
    // Nothing is deleted without --delete. Kopia says so to stderr.
    for (const line of [`snapshot delete ${first}`, `snapshot delete ${obj}`]) {
      const theirs = await runKopia(home, line.split(" "));
      const ours = await home.ok(line);
      expect([ours.out, sorted(ours.err)]).toEqual([theirs.out, sorted(theirs.err)]);
    }
    const wrong = ["0".repeat(32), "what", home.path("no-source")];
    for (const id of wrong) {
      const flags = id.includes("/") ? ["--all-snapshots-for-source"] : [];
      const line = ["snapshot", "delete", "--delete", id, ...flags];
      const theirs = await runKopia(home, line);
      expect([id, theirs.code, (await home.run(line)).code > 0]).toEqual([id, 1, true]);
    }
    await expectEqual(home, "snapshot list --json --no-retention");
    await home.ok(`snapshot delete ${first} --delete`);
    await expectEqual(home, "snapshot list --json --no-retention");
    // The other one with the same root.
    await home.ok(`snapshot delete ${obj} --delete`);
    await kopiaOk(home, `snapshot delete --delete ${inner}`.split(" "));
    await expectEqual(home, "snapshot list --all --no-retention -m");
    const left = await home.json<Listed[]>("snapshot list --all --json");
    expect(left.map(({ id }) => id)).toEqual([third]);
    await home.ok(["snapshot", "delete", "--all-snapshots-for-source", "--delete", source(".")]);
    expect(JSON.parse(await kopiaOk(home, "snapshot list --all --json"))).toEqual([]);
  });

  it("estimates", { timeout: 60_000 }, async () => {
    const folder = home.path("estimated");
    mkdirSync(`${folder}/logs/old`, { recursive: true });
    mkdirSync(`${folder}/cache`);
    for (let index = 0; index < 15; index++) {
      writeFileSync(`${folder}/f${index}`, "x".repeat(7 ** (index % 8)));
      writeFileSync(`${folder}/logs/${index}.log`, "y".repeat(index * 300));
    }
    writeFileSync(`${folder}/logs/old/kept`, "kept");
    writeFileSync(`${folder}/cache/data`, "cached");
    writeFileSync(`${folder}/cache/CACHEDIR.TAG`, "Signature: 8a477f597d28d172789f06886806bc55");
    writeFileSync(`${folder}/.kopiaignore`, "*.log\n/f1\n");
    symlinkSync("f2", `${folder}/link`);
    await kopiaOk(home, ["policy", "set", folder, "--add-ignore", "f2"]);
    // Which of many files are the examples, the order of the directory decides.
    const form = (text: string): string[] => sorted(text.replace(/\n\nTo be read: [\s\S]*/, "\n"));
    for (const flags of [[], ["--upload-speed=0.5"], ["--show-files"]]) {
      const line = ["snapshot", "estimate", folder, "--max-examples-per-bucket=99", ...flags];
      const theirs = await runKopia(home, line);
      const ours = await home.ok(line);
      expect(form(ours.out)).toEqual(form(theirs.out));
      expect(sorted(ours.err)).toEqual(sorted(theirs.err));
    }
    const wrong = ["snapshot", "estimate", `${folder}/f1`];
    expect([(await runKopia(home, wrong)).code, (await home.run(wrong)).code]).toEqual([1, 2]);
    // And what is new is what kopia then stores.
    const { newData, toRead } = await home.json<SnapshotEstimate>([
      ...["snapshot", "estimate", folder, "--new-data=exact", "--json", "-q"],
    ]);
    const stored = await storedIds();
    await kopiaOk(home, ["snapshot", "create", folder]);
    let [bytes, storedBytes] = [0, 0];
    for (const { contentID, length, originalLength } of await contents()) {
      if (stored.has(contentID) || /^[kmx]/.test(contentID)) continue;
      bytes += originalLength;
      storedBytes += length;
    }
    expect(newData).toMatchObject({ isExact: true, bytes, storedBytes, readFiles: toRead.files });
    const after = await home.json<SnapshotEstimate>([
      "snapshot",
      "estimate",
      folder,
      "--json",
      "-q",
    ]);
    expect(after).toMatchObject({ toRead: { files: 0 }, newData: { bytes: 0 } });
  });

  interface Content {
    readonly contentID: string;
    readonly length: number;
    readonly originalLength: number;
  }
  const contents = (): Promise<Content[]> => home.json("content list --json");
  const storedIds = async (): Promise<Set<string>> =>
    new Set((await contents()).map(({ contentID }) => contentID));
});
