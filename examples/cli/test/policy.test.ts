/** Policies on the command line: each kind of flag of `policy set`, and the other commands, in a repository of their own. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { Home } from "./run.ts";

interface Shown {
  readonly [section: string]: { readonly [field: string]: unknown };
}

describe("policies", () => {
  const home = new Home();
  const path = home.path("data");

  beforeAll(async () => {
    await home.ok(["repository", "create", "filesystem", "--path", home.path("r")]);
    return () => home[Symbol.dispose]();
  });

  const defined = async (target = path): Promise<Shown> => {
    const policies = await home.json<Record<string, Shown>>(["policy", "export", target]);
    return Object.values(policies)[0]!;
  };

  it("sets fields of every kind, and says so", async () => {
    const { err } = await home.ok([
      ..."policy set --keep-latest 3 --keep-annual=0 --ignore-identical-snapshots true".split(" "),
      ..."--add-ignore *.log --add-ignore !a --max-file-size 1000 --one-file-system=false".split(
        " ",
      ),
      ..."--compression zstd-fastest --compression-min-size 10 --add-never-compress .gz".split(" "),
      ..."--metadata-compression none --splitter FIXED-4M --snapshot-interval 1h30m".split(" "),
      ..."--snapshot-time 10:05,1:00 --run-missed false --log-dir-ignored 10".split(" "),
      ..."--enable-volume-shadow-copy when-available --parallel-upload-above-size-mib -1".split(
        " ",
      ),
      ..."--max-parallel-file-reads 4 --inherit false --action-command-mode async".split(" "),
      '--before-folder-action=/bin/x "a b" c',
      "--snapshot-time-crontab=0 3 * * *; @daily",
      path,
    ]);
    expect(err).toContain('- setting "number of latest backups to keep" to 3.');
    expect(err).toContain('- adding "*.log" to "ignore rules"');
    expect(err).toContain("- setting snapshot times to [1:00 10:05]");
    expect(await defined()).toEqual({
      retention: { keepLatest: 3, keepAnnual: 0, ignoreIdenticalSnapshots: true },
      files: { ignore: ["!a", "*.log"], maxFileSize: 1000, oneFileSystem: false },
      errorHandling: {},
      scheduling: {
        intervalSeconds: 5400,
        timeOfDay: [
          { hour: 1, min: 0 },
          { hour: 10, min: 5 },
        ],
        cron: ["0 3 * * *", "@daily"],
        runMissed: false,
      },
      compression: { compressorName: "zstd-fastest", neverCompress: [".gz"], minSize: 10 },
      metadataCompression: { compressorName: "none" },
      splitter: { algorithm: "FIXED-4M" },
      actions: {
        beforeFolder: { path: "/bin/x", args: ["a b", "c"], timeout: 300, mode: "async" },
      },
      osSnapshots: { volumeShadowCopy: { enable: 2 } },
      logging: { directories: { ignored: 10 }, entries: {} },
      upload: { maxParallelFileReads: 4, parallelUploadAboveSize: -(2 ** 20) },
      noParent: true,
    });
  });

  it("takes fields back", async () => {
    await home.ok(["policy", "set", "--run-missed=inherit", path]);
    await home.ok([
      ..."policy set --keep-latest inherit --remove-ignore *.log --clear-never-compress".split(" "),
      ..."--compression inherit --inherit true --max-file-size default".split(" "),
      ..."--before-folder-action none --log-dir-ignored inherit --manual".split(" "),
      path,
    ]);
    expect(await defined()).toMatchObject({
      retention: { keepAnnual: 0, ignoreIdenticalSnapshots: true },
      files: { ignore: ["!a"], oneFileSystem: false },
      scheduling: { manual: true },
      compression: { minSize: 10 },
      actions: {},
      logging: { directories: {}, entries: {} },
    });
    expect(await defined()).not.toHaveProperty("noParent");
    // Other fields leave a manual schedule alone, a schedule ends it.
    await home.ok(["policy", "set", "--keep-latest", "1", path]);
    expect((await defined())["scheduling"]).toEqual({ manual: true });
    await home.ok(["policy", "set", "--snapshot-interval", "1m", path]);
    expect((await defined())["scheduling"]).toEqual({ intervalSeconds: 60 });
  });

  it.each([
    [["policy", "set", "/x"], "no changes specified"],
    [["policy", "set", "--keep-latest", "1"], "must pass either"],
    [["policy", "set", "--global", "--keep-latest", "1", "/x"], "must pass either"],
    [["policy", "set", "--keep-latest", "many", "/x"], "not a number"],
    [["policy", "set", "--log-dir-ignored", "11", "/x"], "0 to 10"],
    [["policy", "set", "--compression", "none-such", "/x"], "Allowed choices"],
    [["policy", "set", "--snapshot-time", "25:00", "/x"], "not a time of the day"],
    [["policy", "set", "--snapshot-time-crontab", "often", "/x"], "not a crontab"],
    [["policy", "set", "--manual", "--snapshot-interval", "1h", "/x"], "cannot set manual"],
    [["policy", "export", "--overwrite"], "no file path"],
  ])("refuses %j", async (line, message) => {
    const { code, err } = await home.run(line);
    expect(err).toContain(message);
    expect(code).toBe(2);
  });

  it("refuses what contradicts a target, and writes nothing", async () => {
    const { code, err } = await home.run(["policy", "set", "--max-parallel-snapshots", "2", "/x"]);
    expect([code, err]).toEqual([1, expect.stringContaining("cannot be specified for paths")]);
    expect((await home.run(["policy", "export", "/x"])).err).toContain("DM_POLICY_NOT_FOUND");
  });

  it("finds policies by id, lists and deletes them", async () => {
    await home.ok(["policy", "set", "--keep-daily", "1", "u@h:/by-id"]);
    const list = (await home.ok("policy list")).out.trim().split("\n");
    const id = list.find((line) => line.endsWith(" u@h:/by-id"))!.split(" ")[0]!;
    expect(list.some((line) => line.endsWith(" (global)"))).toBe(true);
    expect((await home.ok(["policy", "show", id])).out).toContain("Policy for u@h:/by-id:");
    expect((await home.ok(["policy", "rm", "-n", id])).err).toContain('policy on "u@h:/by-id"');
    expect((await home.ok("policy list")).out).toContain(id);
    await home.ok(["policy", "delete", "u@h:/by-id"]);
    expect((await home.ok("policy list")).out).not.toContain("by-id");
  });

  it("exports to a file and imports from it", async () => {
    const file = home.path("policies.json");
    await home.ok(["policy", "set", "--keep-daily", "7", "@only-here"]);
    const all = (await home.ok("policy export")).out;
    await home.ok(["policy", "export", "--to-file", file]);
    expect(readFileSync(file, "utf8")).toBe(all);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect((await home.run(["policy", "export", "--to-file", file])).code).toBe(2);
    await home.ok(["policy", "export", "--to-file", file, "--overwrite", "@only-here"]);
    await home.ok(["policy", "import", "--from-file", file, "--delete-other-policies"]);
    expect((await home.ok("policy list")).out).toMatch(/^\w+ @only-here\n$/);
    await home.ok(["policy", "import"], { readStdin: async () => all });
    expect((await home.ok("policy export")).out).toBe(all);

    const strange = '{"@only-here":{"files":{"ignoreMore":[1.50]}}}';
    writeFileSync(file, strange);
    const { code, err } = await home.run(["policy", "import", "--from-file", file]);
    expect([code, err]).toEqual([2, expect.stringContaining("unknown field files.ignoreMore")]);
    await home.ok(["policy", "import", "--from-file", file, "--allow-unknown-fields"]);
    expect((await home.ok(["policy", "export", "@only-here"])).out).toContain(
      '"files":{"ignoreMore":[1.50]}',
    );
    writeFileSync(file, "[]");
    expect((await home.run(["policy", "import", "--from-file", file])).code).toBe(2);
  });

  it("edits with the editor of the environment, and asks before it saves", async () => {
    const editor = home.path("editor.mjs");
    const tries = home.path("tries");
    writeFileSync(
      editor,
      `import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
      const file = process.argv.at(-1);
      const text = readFileSync(file, "utf8");
      const first = !existsSync(${JSON.stringify(tries)});
      appendFileSync(${JSON.stringify(tries)}, text);
      const field = first ? "keepLatet" : "keepLatest";
      writeFileSync(file, text.replace(/"retention": {[^}]*}/, '"retention": {"' + field + '": 42}'));`,
    );
    home.env["EDITOR"] = `"${process.execPath}" ${editor}`;
    const asked: string[] = [];
    const ask = async (prompt: string): Promise<string> => {
      asked.push(prompt);
      return "y";
    };
    const { err } = await home.ok(["policy", "edit", "/edited"], { ask });
    expect(err).toContain("unknown field retention.keepLatet");
    expect(asked).toEqual(["Reopen editor to fix? (Y/n) ", "Save updated policy? (y/N) "]);
    expect(readFileSync(tries, "utf8")).toContain("# Snapshots to keep: keepLatest");
    expect((await defined("/edited"))["retention"]).toEqual({ keepLatest: 42 });
    const again = await home.ok(["policy", "edit", "/edited"], { ask });
    expect(again.err).toContain("unchanged");
    const unsaved = await home.ok(["policy", "edit", "/unsaved"], { ask: async () => "n" });
    expect(unsaved.err).toContain('"keepLatest": 42');
    expect((await home.run(["policy", "export", "/unsaved"])).code).toBe(1);
    home.env["EDITOR"] = `"${process.execPath}" -e process.exit(3)`;
    expect((await home.run(["policy", "edit", "/edited"], { ask })).err).toContain("ended with 3");
  });
});
