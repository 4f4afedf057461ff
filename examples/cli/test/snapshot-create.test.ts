// `dm snapshot create`: what it stores and prints, its exit codes, and what an interruption leaves behind.
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Home } from "./run.ts";

interface Manifest {
  readonly id: string;
  readonly source: { readonly host: string; readonly userName: string; readonly path: string };
  readonly description: string;
  readonly startTime: string;
  readonly endTime: string;
  readonly incomplete?: string;
  readonly stats?: Record<string, number>;
  readonly rootEntry: {
    readonly name: string;
    readonly obj: string;
    readonly summ: { readonly files: number; readonly size: number; readonly numFailed: number };
  };
  readonly tags?: Record<string, string>;
  readonly pins?: readonly string[];
}

let home: Home;
let tree: string;

beforeEach(async () => {
  home = new Home();
  tree = home.path("tree");
  mkdirSync(`${tree}/sub`, { recursive: true });
  writeFileSync(`${tree}/a`, "hello");
  writeFileSync(`${tree}/sub/b`, "world");
  symlinkSync("a", `${tree}/link`);
  const path = home.path("repository");
  await home.ok(`repository create filesystem --path ${path} --override-username me`);
});
afterEach(() => home[Symbol.dispose]());

const listed = (): Promise<Manifest[]> => home.json("snapshot list --all --incomplete --json");

it("makes a snapshot, and says so on standard error", async () => {
  const { err, out } = await home.ok(["snapshot", "create", tree, "--description", "first one"]);
  const [snapshot, ...rest] = await listed();
  expect(rest).toEqual([]);
  expect(out).toBe("");
  const { host } = snapshot!.source;
  expect(err).toContain(`Snapshotting me@${host}:${tree} ...\n`);
  expect(err).toMatch(
    new RegExp(
      `\nCreated snapshot with root ${snapshot!.rootEntry.obj} and ID ${snapshot!.id} in \\d+s\n`,
    ),
  );
  expect(snapshot).toMatchObject({
    description: "first one",
    source: { userName: "me", path: tree },
    rootEntry: { name: "tree", summ: { files: 2, size: 10, numFailed: 0 } },
  });
});

it("prints the manifest as JSON, with its statistics on request", async () => {
  const flags = ["--tags", "env:prod", "--tags", "a:b:c", "--pin", "z", "--pin", "legal"];
  const first = await home.json<Manifest>(["snapshot", "create", tree, "--json", ...flags]);
  expect(first).toMatchObject({
    tags: { "tag:env": "prod", "tag:a": "b:c" },
    pins: ["legal", "z"],
  });
  expect(Object.keys(first).slice(0, 2)).toEqual(["id", "source"]);
  expect(first.stats).toBeUndefined();
  const second = await home.json<Manifest>(`snapshot create ${tree} --json --json-verbose`);
  expect(second.stats).toMatchObject({ cachedFiles: 3, nonCachedFiles: 0 });
  expect(second.rootEntry).toEqual(first.rootEntry);
  expect((await listed()).map(({ id }) => id)).toEqual([first.id, second.id]);
  const third = await home.json<Manifest>(
    `snapshot create ${tree} --json-verbose --force-hash 100 --parallel 0`,
  );
  expect(third.stats).toMatchObject({ cachedFiles: 0, nonCachedFiles: 2 });
  expect(third.rootEntry).toEqual(first.rootEntry);
});

it("takes times in the place of the real ones", async () => {
  const start = ["--start-time", "2020-02-03 04:05:06 UTC"];
  const end = ["--end-time", "2020-02-03 05:00:00 UTC"];
  const one = await home.json<Manifest>(["snapshot", "create", tree, "--json", ...start, ...end]);
  expect(one).toMatchObject({
    startTime: "2020-02-03T04:05:06Z",
    endTime: "2020-02-03T05:00:00Z",
  });
  for (const flags of [
    ["--start-time", "yesterday"],
    ["--start-time", "2021-01-01 00:00:00 UTC", "--end-time", "2020-01-01 00:00:00 UTC"],
  ])
    expect((await home.run(["snapshot", "create", tree, ...flags])).code).toBe(2);
});

it("a file, and a link to a directory", async () => {
  const file = await home.json<Manifest>(`snapshot create ${tree}/a --json`);
  expect(file.rootEntry).toMatchObject({ name: "a", type: "f", summ: { files: 1, size: 5 } });
  symlinkSync(tree, home.path("way"));
  const { err } = await home.ok(`snapshot create ${home.path("way")}`);
  expect(err).toContain(`${home.path("way")} resolved to ${tree}\n`);
  const way = (await listed()).find(({ source }) => source.path === home.path("way"));
  expect(way!.rootEntry.name).toBe("tree");
});

it("standard input, once, under a path that is not backed up with --all", async () => {
  async function* openStdin(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(100_000).fill(1);
    yield new Uint8Array(23);
  }
  await home.ok(`snapshot create ${tree}`);
  await home.ok("snapshot create /dumps --stdin-file all.sql", { openStdin });
  const override = "him@there:/elsewhere";
  await home.ok(`snapshot create ${tree}/sub --override-source ${override}`);
  const before = await listed();
  const dump = before.find(({ source }) => source.path === "/dumps");
  expect(dump!.rootEntry).toMatchObject({ name: "/dumps", summ: { files: 1, size: 100_023 } });
  const { bytes } = await home.ok(`show ${dump!.rootEntry.obj}/all.sql`);
  expect(bytes).toHaveLength(100_023);
  expect(before.map(({ source }) => `${source.userName}@${source.host}:${source.path}`)).toContain(
    override,
  );
  await home.ok("snapshot create --all");
  const made = (await listed()).filter(({ id }) => !before.some((old) => old.id === id));
  expect(made.map(({ source }) => source.path)).toEqual([tree]);
});

it("a schedule is not lost to a source that is overridden", async () => {
  const source = "him@there:/elsewhere";
  await home.ok(["policy", "set", source, "--snapshot-interval", "6h"]);
  const { err } = await home.ok(`snapshot create ${tree} --override-source ${source}`);
  expect(err).toContain("has a schedule, so that it is not set to manual");
  const policy = await home.json<{ scheduling: object }>(`policy show ${source} --json`);
  expect(policy.scheduling).toMatchObject({ intervalSeconds: 21_600 });
});

it("several sources: what fails does not keep the others", async () => {
  const gone = home.path("gone");
  const { code, err } = await home.run(["snapshot", "create", gone, tree]);
  expect(code).toBe(1);
  expect(err).toContain("ENOENT");
  expect((await listed()).map(({ source }) => source.path)).toEqual([tree]);
});

it("entries that cannot be read: 3, and which", async () => {
  writeFileSync(`${tree}/x.kopia-entry`, "no placeholder");
  const { code, err } = await home.run(`snapshot create ${tree}`);
  expect(code).toBe(3);
  expect(err).toContain('Error when processing "x.kopia-entry": can\'t read placeholder');
  expect(err).toContain("Found 1 fatal error(s) while snapshotting");
  const [snapshot] = await listed();
  expect(snapshot!.rootEntry.summ).toMatchObject({ files: 2, numFailed: 1 });
  const fast = await home.run(`snapshot create ${tree} --fail-fast`);
  expect(fast.code).toBe(3);
  expect((await listed())[1]!.incomplete).toBe("canceled");
});

it("wrong calls: 2, and nothing is made", async () => {
  for (const line of [
    "snapshot create",
    `snapshot create --all ${tree}`,
    "snapshot create --all",
    `snapshot create ${tree} --tags nothing`,
    `snapshot create ${tree} --force-hash 101`,
    `snapshot create ${tree} --description ${"x".repeat(1025)}`,
    `snapshot create ${tree} ${tree}/sub --stdin-file x`,
  ])
    expect((await home.run(line)).code, line).toBe(2);
  expect(await listed()).toEqual([]);
});

it("a limit makes an incomplete snapshot, from which the next goes on", async () => {
  writeFileSync(`${tree}/large`, "");
  truncateSync(`${tree}/large`, 40 << 20);
  const { err } = await home.ok(`snapshot create ${tree} --upload-limit-mb 10`);
  expect(err).toContain("Created partial snapshot with root");
  expect((await listed())[0]!.incomplete).toBe("limit reached");
  const next = await home.json<Manifest>(`snapshot create ${tree} --json`);
  expect(next.incomplete).toBeUndefined();
  expect(next.rootEntry.summ.files).toBe(3);
});

it("an interruption saves what is there, and ends with 1", async () => {
  const interruption = new AbortController();
  async function* openStdin(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(1000);
    interruption.abort(new Error("received SIGINT"));
    yield new Uint8Array(1000);
  }
  const line = `snapshot create ${tree} --stdin-file x`;
  const { code, err } = await home.run(line, { openStdin, signal: interruption.signal });
  expect(code).toBe(1);
  expect(err).toContain("Created partial snapshot");
  expect((await listed())[0]!.incomplete).toBe("canceled");
});

it("runs the maintenance that is due, unless told not to", async () => {
  const hasRun = async (): Promise<boolean> =>
    (await home.json<{ schedule: { runs: unknown } }>("maintenance info --json")).schedule.runs !==
    null;
  await home.ok(`--no-auto-maintenance snapshot create ${tree}`);
  expect(await hasRun()).toBe(false);
  const { err } = await home.ok(`snapshot create ${tree}`);
  expect(err).toContain("Finished full maintenance.");
  expect(await hasRun()).toBe(true);
});

it("expiry is followed by the maintenance that is due, a look at what would expire is not", async () => {
  await home.ok(`--no-auto-maintenance snapshot create ${tree}`);
  expect((await home.ok(`snapshot expire ${tree}`)).err).not.toContain("maintenance");
  const { err } = await home.ok(`snapshot expire ${tree} --delete`);
  expect(err).toContain("Finished full maintenance.");
});

it("expires all sources at once, each by its policy", async () => {
  const create = "--no-auto-maintenance snapshot create";
  for (const path of [`${tree}/a`, `${tree}/sub`, `${tree}/sub`, `${tree}/sub`])
    await home.ok(`${create} ${path}`);
  const keep = "--keep-latest 1 --keep-hourly 0 --keep-daily 0 --keep-weekly 0";
  await home.ok(`policy set ${tree}/sub ${keep} --keep-monthly 0 --keep-annual 0`);
  const { err } = await home.ok("snapshot expire --all");
  const [{ source }] = (await listed()) as [Manifest];
  const lines = err.trimEnd().split("\n");
  expect(lines).toEqual([
    `Nothing to delete for me@${source.host}:${tree}/a.`,
    `2 snapshot(s) of me@${source.host}:${tree}/sub would be deleted. Pass --delete to do it.`,
  ]);
  expect(await listed()).toHaveLength(4);
  await home.ok("--no-auto-maintenance snapshot expire --all --delete");
  expect(await listed()).toHaveLength(2);
});

it("a source without a user is refused, not taken for a path", async () => {
  for (const command of ["list", "expire", "delete --all-snapshots-for-source", "verify --sources"])
    expect(await home.run(`snapshot ${command} @host:/data`)).toMatchObject({
      code: 2,
      err: expect.stringContaining("no user in @host:/data (a path that begins with @ is written"),
    });
});

it("a verification of a source without snapshots is no proof", async () => {
  const { code, err } = await home.run("snapshot verify --sources /nowhere");
  expect([code, err]).toEqual([2, "error: no snapshots of /nowhere\n"]);
});

it("a dry run of maintenance tells what is garbage, and changes nothing", async () => {
  const quiet = "--no-auto-maintenance";
  await home.ok(`${quiet} snapshot create ${tree}`);
  const dryRun = async (): Promise<string> =>
    (await home.ok("maintenance run --dry-run --safety none")).out;
  expect(await dryRun()).toMatch(/garbage: +0 contents[\s\S]*No space to come back/);
  await home.ok(`${quiet} snapshot delete ${(await listed())[0]!.id} --delete`);
  const told = await dryRun();
  expect(told).toMatch(
    /in use: +0 contents[\s\S]*garbage: +[1-9]\d* contents[\s\S]*Coming full runs:/,
  );
  expect(await dryRun()).toMatch(/of which 0 are marked as deleted already/);
});

it("a snapshot that is pinned later gets a new id, which is said", async () => {
  await home.ok(`snapshot create ${tree}`);
  const [before] = await listed();
  const { err } = await home.ok(`snapshot pin --add legal ${before!.id}`);
  const [after] = await listed();
  expect(after!.id).not.toBe(before!.id);
  expect(err).toContain(`${before!.id} is now ${after!.id}\n`);
});

it("on a terminal a line tells how far it is", async () => {
  const { err } = await home.ok(`snapshot create ${tree}`, { isTerminal: true });
  expect(err).toContain("0 hashing, 3 hashed (11 B), 0 cached (0 B)");
  const silent = await home.ok(`snapshot create ${tree} --no-progress`, { isTerminal: true });
  expect(silent.err).not.toContain("hashing");
});
