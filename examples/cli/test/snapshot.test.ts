/**
 * Lists of snapshots, of their directories, files by path, and verification, on golden repositories and damaged ones,
 * against what kopia recorded. Kopia's own output is compared byte for byte in interop.kopia.test.ts.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { corruptCases, type Json, sha256Hex } from "@dm/fixtures";
import { formatTime, openRepository, parseTime } from "@dm/repo";
import { snapshotLabels } from "@dm/snapshot";
import { filesystemStore } from "@dm/storage/filesystem";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home } from "./run.ts";

describe.each(["v3-flat", "v3-manifests", "v1-maintenance", "velero-fs"])("on %s", (name) => {
  const home = new Home();
  let expected: Json;
  beforeAll(async () => {
    expected = (await home.golden(name)).expected;
  });
  afterAll(() => home[Symbol.dispose]());

  it("lists the snapshots", async () => {
    const listed = await home.json<Json[]>("snapshot list --all --json");
    const short = (id: string, startTime: string, root: string): string =>
      `${id} ${formatTime(parseTime(startTime))} ${root}`;
    expect(listed.map((item) => short(item.id, item.startTime, item.rootEntry.obj)).sort()).toEqual(
      expected.snapshots
        .map((item: Json) => short(item.id, item.startTime, item.rootObjectID))
        .sort(),
    );
    const { out } = await home.ok("snapshot list -a -i -l -m");
    for (const { id, rootObjectID, source } of expected.snapshots) {
      expect(out).toContain(`${source.userName}@${source.host}:${source.path}\n`);
      expect(out).toMatch(new RegExp(`^  \\S+ \\S+ \\S+ ${rootObjectID} .* manifest:${id}`, "m"));
    }
    // They belong to other users.
    const own = await home.ok("snapshot list");
    expect([own.out, own.err]).toEqual(["", expect.stringContaining("Pass --all")]);
  });

  it("lists directories, and shows files by their paths", async () => {
    const [{ id, tree }] = expected.snapshots;
    const entries: Json[] = expected.trees[tree].filter((entry: Json) => entry.path !== ".");
    const { out } = await home.ok(["ls", "-l", "-r", id]);
    for (const { objectID, path, type } of entries)
      expect(out).toContain(`${objectID.padEnd(34)} ${path}${type === "d" ? "/" : ""}\n`);
    const top = (await home.ok(["list", id])).out.split("\n").filter((line) => line !== "");
    expect(top.sort()).toEqual(
      entries
        .map(({ path }) => path)
        .filter((path) => !path.includes("/"))
        .sort(),
    );
    const files = entries.filter(({ type }) => type === "f");
    for (const { path, sha256 } of files.slice(0, 20)) {
      const shown = await home.ok(["show", `${id}/${path}`]);
      expect(sha256Hex(shown.bytes), path).toBe(sha256);
    }
    const { path } = files.find((file: Json) => file.path.includes("/"));
    const folder = path.slice(0, path.lastIndexOf("/"));
    expect((await home.ok(["ls", `${id}/${folder}`])).out).toContain(path.slice(folder.length + 1));
    const missing = await home.run(["show", `${id}/no/such/file`]);
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining("DM_ENTRY_NOT_FOUND")]);
    const file = await home.run(["ls", `${id}/${path}`]);
    expect([file.code, file.err]).toEqual([2, expect.stringContaining("is not a directory")]);
  });

  it("verifies them", async () => {
    const all = await home.json<Json>("snapshot verify --verify-files-percent=100 --json");
    expect(all.errorCount).toBe(0);
    expect(all.stats.readFileCount).toBeGreaterThan(0);
    const [{ id }] = expected.snapshots;
    const { err, out } = await home.ok(["snapshot", "verify", id]);
    expect(out).toBe("");
    expect(err).toMatch(/^Finished processing \d+ objects \(.*\)\. Read 0 files \(0 B\)\.$/m);
  });
});

it("shows the versions of a path, and where it was not there", async () => {
  using home = new Home();
  const { expected } = await home.golden("v3-manifests");
  const sources = new Map<string, Json[]>();
  for (const snapshot of expected.snapshots) {
    const { host, path, userName } = snapshot.source;
    const source = `${userName}@${host}:${path}`;
    sources.set(source, [...(sources.get(source) ?? []), snapshot]);
  }
  const [source, snapshots] = [...sources].sort((a, b) => b[1].length - a[1].length)[0]!;
  const complete = snapshots.filter(({ incomplete }: Json) => !incomplete);
  const roots = await home.json<Json[]>(["history", source, "--json"]);
  expect(roots.flatMap((version) => version.snapshots).map(({ id }) => id)).toEqual(
    complete
      .sort((a: Json, b: Json) => (a.startTime < b.startTime ? -1 : 1))
      .map(({ id }: Json) => id),
  );
  const files: Json[] = expected.trees[complete[0].tree].filter(({ type }: Json) => type === "f");
  const file = files[0]!;
  const { out } = await home.ok(["history", `${source}/${file.path}`]);
  expect(out.split("\n")[0]).toBe(`${source}/${file.path}`);
  expect(out).toContain(` ${file.objectID} `);
  const [version] = await home.json<Json[]>(["history", `${source}/${file.path}`, "--json"]);
  expect([version.entry.obj, version.snapshots[0].path]).toEqual([file.objectID, file.path]);
  const none = await home.ok(["history", `${source}/never/was`]);
  expect([none.out, none.err]).toEqual(["", `No snapshot holds ${source}/never/was.\n`]);
});

it("goes on where a manifest cannot be read, and says so", async () => {
  using home = new Home();
  const { expected } = await home.golden("v3-flat");
  const repository = await openRepository(filesystemStore({ path: home.path("v3-flat") }), {
    password: expected.password,
  });
  const { source } = expected.snapshots[0];
  const session = await repository.openWriteSession();
  const damagedId = session.putManifest(snapshotLabels(source), { source, pins: 1 });
  await session.commit();
  await repository.close();
  for (const line of ["snapshot list --all --json", "snapshot list --all --json --no-retention"]) {
    const { code, err, out } = await home.run(line);
    expect(code).toBe(3);
    expect(err).toContain(`snapshot manifest ${damagedId}: pins: `);
    expect(err).toContain("1 snapshots cannot be read");
    expect(JSON.parse(out)).toHaveLength(expected.snapshots.length);
  }
  const text = `${source.userName}@${source.host}:${source.path}`;
  const history = await home.run(["history", text]);
  expect([history.code, history.out.split("\n")[0]]).toEqual([3, text]);
  const report = home.path("report");
  const { code, out } = await home.run(["snapshot", "verify", "--json", "--report", report]);
  const { errorCount, errorStrings } = JSON.parse(out);
  expect([code, errorCount]).toEqual([1, 1]);
  expect(errorStrings[0]).toContain(damagedId);
  const written = JSON.parse(readFileSync(report, "utf8"));
  expect(written).toMatchObject({ ok: false, errors: [{ snapshot: damagedId }] });
  expect(written.snapshots.every((snapshot: Json) => snapshot.ok)).toBe(true);
});

it("shows what differs between two snapshots", async () => {
  using home = new Home();
  const { expected } = await home.golden("v3-flat");
  const [first, second] = expected.snapshots as [Json, Json];
  const pathsOf = (snapshot: Json): Map<string, Json> =>
    new Map(expected.trees[snapshot.tree].map((entry: Json) => [entry.path, entry]));
  const [before, after] = [pathsOf(first), pathsOf(second)];
  const only = (some: Map<string, Json>, others: Map<string, Json>): string[] =>
    [...some.keys()].filter((path) => !others.has(path)).sort();
  const { out } = await home.ok(["diff", first.id, second.rootObjectID]);
  const named = (what: string): string[] =>
    [
      ...out.matchAll(
        new RegExp(`^${what} (?:file|directory) \\./(.*?)(?: \\(\\d+ bytes\\))?$`, "gm"),
      ),
    ]
      .map(([, path]) => path!)
      .sort();
  expect(named("added")).toEqual(only(after, before));
  expect(named("removed")).toEqual(only(before, after));
  const changed = [...before].filter(([path, entry]) => {
    const now = after.get(path);
    return entry.type === "f" && now?.type === "f" && now.objectID !== entry.objectID;
  });
  expect(changed.length).toBeGreaterThan(0);
  for (const [path] of changed) expect(out).toContain(`changed ./${path} at `);
  const counts = await home.json<Json>(["snapshot", "diff", first.id, second.id, "--stats-only"]);
  expect(counts.fileEntries.added + counts.directoryEntries.added).toBe(named("added").length);
  const none = await home.json<Json>(["diff", first.id, first.rootObjectID]);
  expect(Object.values(none.fileEntries)).toEqual(Array(8).fill(0));
  const files = await home.ok(["diff", "-f", "--diff-command=cmp -s", first.id, second.id]);
  expect(files.out).toBe(out);
});

it("deletes snapshots, once it is told twice", async () => {
  using home = new Home();
  const { expected } = await home.golden("v3-flat");
  const { id, rootObjectID, source } = expected.snapshots[0];
  const left = async (): Promise<string[]> =>
    (await home.json<Json[]>("snapshot list --all --json")).map((snapshot) => snapshot.id);
  const all = await left();
  const asked = await home.ok(["snapshot", "delete", rootObjectID]);
  expect(asked.err).toMatch(new RegExp(`^Would delete snapshot ${id} of .* \\(pass --delete`));
  expect(await left()).toEqual(all);
  await home.ok(["snapshot", "delete", id, "--delete"]);
  expect(await left()).toEqual(all.filter((other) => other !== id));
  const again = await home.run(["snapshot", "delete", id, "--delete"]);
  expect([again.code, again.err]).toEqual([1, expect.stringContaining("DM_SNAPSHOT_NOT_FOUND")]);
  const text = `${source.userName}@${source.host}:${source.path}`;
  await home.ok(["snapshot", "delete", "--all-snapshots-for-source", "--delete", text]);
  const others = expected.snapshots.filter((other: Json) => other.source.path !== source.path);
  expect(await left()).toEqual(others.map((other: Json) => other.id));
  const none = await home.run(["snapshot", "delete", "--all-snapshots-for-source", text]);
  expect([none.code, none.err]).toEqual([2, expect.stringContaining(`no snapshots of ${text}`)]);
});

it("estimates what a snapshot would read and store", async () => {
  using home = new Home();
  await home.golden("v3-empty");
  const folder = home.path("data");
  mkdirSync(`${folder}/inner`, { recursive: true });
  writeFileSync(`${folder}/one`, "1".repeat(5000));
  writeFileSync(`${folder}/inner/two`, "1".repeat(5000));
  writeFileSync(`${folder}/log`, "log");
  writeFileSync(`${folder}/.kopiaignore`, "log\n");
  const { err, out } = await home.ok(["snapshot", "estimate", folder, "--new-data=exact"]);
  expect(err).toBe("Analyzing ....\nAnalyzing inner...\n");
  expect(out).toBe(
    [
      "Snapshot includes 3 file(s), total size 10 KB",
      "   1 KB  ... 10 KB:       2 files, total size 10 KB",
      "   0 B   ...  1 KB:       1 files, total size 4 B",
      "",
      "Snapshot excludes 1 file(s), total size 3 B",
      "   0 B   ...  1 KB:       1 files, total size 3 B",
      " - log - 3 B",
      "Snapshot excludes no directories.",
      "",
      "Estimated upload time: 0s at 10 Mbit/s",
      "",
      "To be read: 3 file(s), total size 10 KB; unchanged since the last snapshot: 0 file(s), total size 0 B",
      "New after deduplication: 5 KB, in the repository 5.1 KB (read: 3 file(s), total size 10 KB)",
      "",
    ].join("\n"),
  );
  const none = await home.json<Json>([
    "snapshot",
    "estimate",
    folder,
    "-q",
    "--json",
    "--new-data=none",
  ]);
  expect([none.included.files, none.newData]).toEqual([3, undefined]);
  const wrong = await home.run(["snapshot", "estimate", `${folder}/one`]);
  expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("is not a directory")]);
});

describe("verification over several runs", () => {
  const home = new Home();
  const proofs = home.path("proofs");
  const written = (): Json => JSON.parse(readFileSync(home.path("report"), "utf8"));
  const verify = async (flags: string): Promise<Json> => {
    const line = `snapshot verify --resume ${proofs} --report ${home.path("report")} ${flags}`;
    await home.ok(line);
    return written();
  };
  beforeAll(async () => {
    await home.golden("v3-manifests");
  });
  afterAll(() => home[Symbol.dispose]());

  it("reads one share after the other, and all in the end", async () => {
    const { counts } = await verify("--verify-files-percent=0");
    let read = 0;
    for (const from of [0, 0.25, 0.5, 0.75]) {
      const report = await verify("--verify-files-percent=25");
      expect(report.choice).toMatchObject({ share: 0.25, from });
      expect(report.counts.filesProvenEarlier).toBe(read);
      read += report.counts.filesRead;
      expect(report.proof.share).toBe(read / counts.files);
    }
    expect(read).toBe(counts.files);
    const { proof, repository, snapshots } = written();
    expect([proof.share, proof.oldest <= proof.newest]).toEqual([1, true]);
    expect(snapshots.length).toBeGreaterThan(1);
    expect(repository).toMatch(/^[0-9a-f]{64}$/);
    // Nothing is left to read, until the proofs are too old.
    expect((await verify("--verify-files-percent=100")).counts.filesRead).toBe(0);
    const old = await verify("--verify-files-percent=100 --max-proof-age=0s");
    expect(old.counts.filesRead).toBe(counts.files);
  });

  it("goes on behind a line that was cut off", async () => {
    const whole = readFileSync(proofs, "utf8");
    writeFileSync(proofs, whole.slice(0, -20));
    const { proof } = await verify("--verify-files-percent=100");
    expect(proof.share).toBe(1);
    expect((await verify("--verify-files-percent=100")).counts.filesRead).toBe(0);
  });

  it("refuses what belongs to something else", async () => {
    writeFileSync(home.path("other"), "what");
    const other = await home.run(`snapshot verify --resume ${home.path("other")}`);
    expect([other.code, other.err]).toEqual([1, expect.stringContaining("DM_PROOFS_INVALID")]);
    using elsewhere = new Home();
    await elsewhere.golden("v3-flat");
    const { code, err } = await elsewhere.run(`snapshot verify --resume ${proofs}`);
    expect([code, err]).toEqual([2, expect.stringContaining("another repository")]);
  });
});

it("names the files that are damaged, and fails", async () => {
  const damaged = corruptCases().find(({ name }) => name === "v1-index-v2/index-missing")!;
  using home = new Home();
  await home.golden(damaged.repo);
  for (const { op, path } of damaged.patches) {
    expect(op).toBe("delete");
    rmSync(home.path(`${damaged.repo}/${path}`));
  }
  const { code, err, out } = await home.run("snapshot verify --json");
  expect(code).toBe(1);
  const { errorCount, errorStrings } = JSON.parse(out);
  expect(errorCount).toBe(errorStrings.length);
  expect(err).toContain(`encountered ${errorCount} errors`);
  const few = await home.run("snapshot verify --json --max-errors=1 --parallel=1");
  expect([few.code, JSON.parse(few.out).errorCount]).toEqual([1, 1]);
  const report = ["snapshot", "verify", "--report", home.path("report")];
  expect((await home.run(report)).code).toBe(1);
  expect(JSON.parse(readFileSync(home.path("report"), "utf8"))).toMatchObject({
    ok: false,
    errorCount,
  });
  expect(errorStrings[0]).toMatch(/^alice@node-a:\/data\/vol1@.* \[DM_CONTENT_NOT_FOUND\]$/);
});

it.each([
  ["snapshot verify --verify-files-percent=101", 2, "not a percentage"],
  ["snapshot verify 00112233445566778899aabbccddeeff", 1, "DM_SNAPSHOT_NOT_FOUND"],
  ["ls what", 1, "DM_OBJECT_ID_INVALID"],
  ["ls what/ever", 1, "DM_OBJECT_ID_INVALID"],
  [`ls ${"0".repeat(32)}`, 1, "DM_SNAPSHOT_NOT_FOUND"],
  [`show ${"0".repeat(32)}/a`, 1, "neither a snapshot nor an object"],
  [`diff what ${"0".repeat(32)}`, 1, "DM_OBJECT_ID_INVALID"],
])("refuses %s", async (line, expectedCode, text) => {
  using home = new Home();
  await home.golden("v3-empty");
  const { code, err } = await home.run(line);
  expect([code, err]).toEqual([expectedCode, expect.stringContaining(text)]);
});
