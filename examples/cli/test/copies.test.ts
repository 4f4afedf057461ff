/**
 * `repository sync-to`, `snapshot migrate` and `snapshot fix` as commands: what they say, where their flags lead, and their
 * exit codes. What they do is proven in the libraries; beside kopia in copies.kopia.test.ts.
 */
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Json } from "@dm/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Home } from "./run.ts";

let home: Home;
let source: string;

beforeEach(async () => {
  home = new Home();
  await home.ok(["repository", "create", "filesystem", "--path", home.path("repository")]);
  source = home.path("source");
  mkdirSync(join(source, "deep"), { recursive: true });
  for (const name of ["a", "b.tmp", "deep/c", "deep/d.tmp"])
    writeFileSync(join(source, name), name.repeat(100));
  await home.ok(["snapshot", "create", source]);
});

afterEach(() => home[Symbol.dispose]());

const snapshots = (): Promise<Json[]> => home.json<Json[]>("snapshot list --all --json");

/** Another home, connected to a repository at this path. */
async function elsewhere(path: string, verb: "connect" | "create"): Promise<Home> {
  const other = new Home();
  await other.ok(["repository", verb, "filesystem", "--path", path]);
  return other;
}

/** Removes all packs with data of files. */
function loseData(path: string): void {
  for (const name of readdirSync(path, { recursive: true, encoding: "utf8" }))
    if (name.startsWith("p") && statSync(join(path, name)).isFile()) rmSync(join(path, name));
}

describe("repository sync-to filesystem", () => {
  const sync = (...flags: string[]) =>
    home.run(["repository", "sync-to", "filesystem", "--path", home.path("copy"), ...flags]);

  it("copies without a password, then only what is new; deletes when told to", async () => {
    expect((await sync()).code).toBe(2);
    mkdirSync(home.path("copy"));
    expect(await sync("--must-exist")).toMatchObject({
      code: 1,
      err: expect.stringContaining("DM_SYNC_TARGET_MISSING"),
    });
    const planned = await sync("--dry-run");
    const amount = /Found (\d+ BLOBs \(.*?\)) to copy, 0 BLOBs \(0 B\) to delete/.exec(
      planned.err,
    )?.[1];
    expect(readdirSync(home.path("copy"))).toEqual([]);
    const { KOPIA_PASSWORD, ...env } = home.env;
    home.env = env;
    const { err } = await sync("--times");
    expect(err).toContain(`Copied ${amount}, deleted 0 BLOBs (0 B), 0 BLOBs (0 B) were in sync`);
    home.env["KOPIA_PASSWORD"] = KOPIA_PASSWORD;
    using other = await elsewhere(home.path("copy"), "connect");
    expect(await other.json("snapshot list --all --json")).toEqual(await snapshots());
    await other.ok("snapshot verify --verify-files-percent=100");
    writeFileSync(home.path("copy/p00.f"), "x");
    expect((await sync()).err).toContain("Copied 0 BLOBs (0 B), deleted 0 BLOBs (0 B)");
    expect((await sync("--delete", "--parallel=1")).err).toContain("deleted 1 BLOBs (1 B)");
  });

  it("refuses another repository", async () => {
    using other = await elsewhere(home.path("copy"), "create");
    void other;
    expect(await sync("--delete")).toMatchObject({
      code: 1,
      err: expect.stringContaining("DM_SYNC_OTHER_REPOSITORY"),
    });
  });
});

describe("snapshot migrate", () => {
  it("copies sources and policies of another repository, once", async () => {
    await home.ok(["policy", "set", source, "--add-ignore", "*.nothing"]);
    using to = await elsewhere(home.path("other"), "create");
    const config = ["--source-config", home.configPath];
    expect((await to.run(["snapshot", "migrate", ...config])).code).toBe(2);
    expect((await to.run("snapshot migrate --all --source-config /no/such/file")).code).toBe(1);
    const some = await to.ok([
      "snapshot",
      "migrate",
      ...config,
      "--sources",
      source,
      "--no-policies",
    ]);
    expect(some.err).toMatch(/migrating snapshot of \S+ at .*\n(?:.*\n)*Migration finished\.\n/);
    expect(some.err).not.toContain("policy");
    const all = await to.ok(["snapshot", "migrate", ...config, "--all"]);
    expect(all.err).toMatch(/migrating policy for \S+:.*source\n/);
    // Both repositories have one for everybody.
    expect(all.err).toContain("policy already set for (global)");
    expect(all.err).toMatch(/already migrated \S+ at/);
    const [copy] = await to.json<Json[]>("snapshot list --all --json");
    const [original] = await snapshots();
    expect(copy.startTime).toBe(original.startTime);
    const listing = (one: Home, { id }: Json) => one.ok(["ls", "-r", "-l", id]);
    const shown = (text: string): string => text.replace(/ k?[\da-f]{32} /g, " ");
    expect(shown((await listing(to, copy)).out)).toBe(shown((await listing(home, original)).out));
    await to.ok("snapshot verify --verify-files-percent=100");
  });

  it("ends with exit code 3 when something could not be read", async () => {
    loseData(home.path("repository"));
    using to = await elsewhere(home.path("other"), "create");
    const outcome = await to.run([
      "snapshot",
      "migrate",
      "--all",
      "--source-config",
      home.configPath,
    ]);
    expect(outcome.code).toBe(3);
    expect(outcome.err).toMatch(/left out of .*: deep\/c: .*DM_/);
    expect(outcome.err).toContain(
      "could not be read: 0 snapshots, 4 entries of others, 0 policies",
    );
  });
});

describe("snapshot fix", () => {
  it("remove-files says what it would do, and does it with --commit", async () => {
    const [before] = await snapshots();
    const usage = await home.run("snapshot fix remove-files");
    expect([usage.code, (await home.run("snapshot fix remove-files --filename [")).code]).toEqual([
      2, 2,
    ]);
    const line = ["snapshot", "fix", "remove-files", "--filename=*.tmp", "--source", source];
    const planned = await home.ok(line);
    expect(planned.err).toContain("will remove deep/d.tmp\n");
    expect(planned.err).toContain("1 snapshots would change. Pass --commit to update them.");
    expect(await snapshots()).toEqual([before]);
    const done = await home.ok([...line, "--commit"]);
    const root = /diff (\S+) (\S+)/.exec(done.err)!;
    expect(planned.err).toContain(root[0]);
    expect(done.err).toMatch(/delta:-1\.5 KB\n(?:.*\n)*Fixed and committed 1 snapshots\.\n/);
    const [after] = await snapshots();
    expect([root[1], root[2]]).toEqual([before.rootEntry.obj, after.rootEntry.obj]);
    const files = (await home.ok(["ls", "-r", after.id])).out;
    expect(files.replaceAll(`${after.id}/`, "")).toBe("deep/\ndeep/c\na\n");
    expect((await home.ok([...line, "--commit"])).err).toContain("No changes.");
    expect(
      (await home.run(["snapshot", "fix", "remove-files", "--filename=x", "--source=/no"])).code,
    ).toBe(2);
    const id = ["--manifest-id", after.id, "--object-id", after.rootEntry.obj];
    const refused = ["--invalid-directory-handling", "fail"];
    expect(await home.run(["snapshot", "fix", "remove-files", ...id, ...refused])).toMatchObject({
      code: 1,
      err: expect.stringContaining("DM_SNAPSHOT_ROOT_REMOVED"),
    });
  });

  it("invalid-files puts stubs in the place of what is lost", async () => {
    expect((await home.ok("snapshot fix invalid-files")).err).toContain("No changes.");
    loseData(home.path("repository"));
    const fix = "snapshot fix invalid-files --verify-files-percent=100";
    expect((await home.run(`${fix} --commit --invalid-file-handling=fail`)).code).toBe(1);
    expect((await home.ok(`${fix} --commit --invalid-file-handling=keep`)).err).toContain(
      "No changes.",
    );
    const { err } = await home.ok(`${fix} --commit --parallel=2`);
    expect(err).toMatch(/invalid: deep\/c: .*\[DM_PACK_NOT_FOUND\]/);
    const [after] = await snapshots();
    expect((await home.ok(["ls", "-r", after.id])).out).toContain("deep/.INVALID.c\n");
    expect((await home.ok(["show", `${after.id}/.INVALID.a`])).out).toContain("DM_PACK_NOT_FOUND");
    await home.ok("snapshot verify --verify-files-percent=100");
  });
});
