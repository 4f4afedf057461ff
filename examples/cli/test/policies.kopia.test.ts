/**
 * Policies beside the real kopia, which connects with the same configuration: what either sets the other shows the same, both
 * in the same words, and expiry and pins agree.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home } from "./run.ts";
import { expectEqual, kopia, kopiaOk, runKopia } from "./run-kopia.ts";

describe.skipIf(!kopia.available)(kopia.title("policies of dm and kopia"), () => {
  const home = Home.withRealKeys();
  const path = home.path("data");
  const inner = home.path("data/inner");

  beforeAll(async () => {
    mkdirSync(inner, { recursive: true });
    mkdirSync(home.path("r"));
    await kopiaOk(home, ["repository", "create", "filesystem", "--path", home.path("r")]);
  });

  afterAll(() => home[Symbol.dispose]());

  const show = (target: string) => expectEqual(home, ["policy", "show", target]);

  it("defaults are shown alike", async () => {
    await expectEqual(home, "policy show --global");
    await expectEqual(home, "policy show --global --json --json-indent");
    await show(path);
  });

  /** Applied one after the other. */
  const flagSets: readonly (readonly string[])[] = [
    [
      ..."--keep-latest=0 --keep-weekly=9 --ignore-identical-snapshots=true".split(" "),
      ..."--add-ignore=*.log --add-ignore=!keep.log --add-dot-ignore=.x --max-file-size=1234567".split(
        " ",
      ),
      ..."--compression=zstd --compression-min-size=5000 --add-only-compress=.txt".split(" "),
      ..."--snapshot-interval=90m --snapshot-time=10:05,1:00 --run-missed=false".split(" "),
      ..."--log-dir-snapshotted=0 --log-entry-ignored=10 --enable-volume-shadow-copy=always".split(
        " ",
      ),
      ..."--max-parallel-file-reads=3 --parallel-upload-above-size-mib=100".split(" "),
      "--snapshot-time-crontab=0 3 * * *; @daily",
      '--before-folder-action=/bin/x "a b" c',
      "--action-command-timeout=90s",
    ],
    [
      ..."--remove-ignore=*.log --ignore-cache-dirs=false --one-file-system=true".split(" "),
      ..."--ignore-file-errors=true --ignore-dir-errors=true --ignore-unknown-types=false".split(
        " ",
      ),
      ..."--clear-only-compress --add-never-compress=.gz --add-never-compress=.a".split(" "),
      ..."--compression-max-size=900000 --metadata-compression=none --splitter=FIXED-4M".split(" "),
      ..."--after-snapshot-root-action=/bin/y --action-command-mode=async".split(" "),
    ],
    "--keep-latest=inherit --splitter=inherit --compression=inherit --log-entry-ignored=inherit".split(
      " ",
    ),
  ];

  it("what dm sets is what kopia sets, to the byte, and in the same words", async () => {
    for (const flags of flagSets) {
      const theirs = await runKopia(home, ["policy", "set", "them@host", ...flags]);
      expect(theirs.code, theirs.err).toBe(0);
      const ours = await home.ok(["policy", "set", "us@host", ...flags]);
      expect(ours.err).toBe(theirs.err.replaceAll("them@host", "us@host"));
      const [them, us] = await Promise.all(
        ["them@host", "us@host"].map(async (target) => {
          const { out } = await home.ok(["policy", "export", target]);
          return out.replaceAll(target, "");
        }),
      );
      expect(us).toBe(them);
    }
    await expectEqual(home, "policy show us@host us@host:/some/path");
    await expectEqual(home, "policy show us@host them@host --json");
  });

  it("paths, hosts and what is not inherited are shown alike", async () => {
    await home.ok(["policy", "set", path, "--keep-daily=3", "--compression=pgzip"]);
    await kopiaOk(home, ["policy", "set", inner, "--inherit=false", "--add-ignore=x"]);
    await home.ok(["policy", "set", "@host", "--max-parallel-snapshots=2", "--manual"]);
    await kopiaOk(home, ["policy", "set", "--global", "--add-never-compress=.zip"]);
    await expectEqual(home, ["policy", "show", path, inner, "@host", "user@host:/data/deep/er"]);
    await expectEqual(home, "policy list");
    await expectEqual(home, "policy list --json");
    await expectEqual(home, "policy export");
    await expectEqual(home, "policy export --json-indent");
    const file = home.path("exported");
    await kopiaOk(home, ["policy", "export", "--to-file", file]);
    await home.ok(["policy", "delete", path, inner, "@host"]);
    expect(await kopiaOk(home, "policy list")).not.toContain(path);
    await home.ok(["policy", "import", "--from-file", file]);
    await show(inner);
  });

  it("expiry and pins agree", async () => {
    await home.ok(["policy", "set", path, "--keep-latest=2", "--inherit=false"]);
    for (let hour = 1; hour <= 5; hour++) {
      writeFileSync(home.path("data/file"), `${hour}`);
      const time = `--start-time=2026-01-01 0${hour}:00:00 UTC`;
      await home.ok(["snapshot", "create", path, "--pin=all", time]);
    }
    const listed = async () =>
      home.json<{ id: string; pins?: string[] }[]>(["snapshot", "list", path, "--json"]);
    const all = await listed();
    expect(all).toHaveLength(5);
    const { err } = await home.ok([..."snapshot pin --add keep".split(" "), all[0]!.id]);
    expect(err).toMatch(/^Updating snapshot at 2026-01-01 01:00:00 UTC of /);
    for (const { id } of all.slice(1)) await home.ok(["snapshot", "pin", "--remove", "all", id]);
    const [pinned] = await listed();
    expect(pinned!.pins).toEqual(["all", "keep"]);
    const again = await home.ok(["snapshot", "pin", "--add=keep", pinned!.id]);
    expect(again.err).toContain("No change for snapshot at");
    expect((await home.run(["snapshot", "pin", pinned!.id])).code).toBe(2);

    const theirs = await runKopia(home, ["snapshot", "expire", path]);
    const ours = await home.ok(["snapshot", "expire", path]);
    expect(ours.err).toContain("2 snapshot(s) of ");
    expect(theirs.err).toContain(ours.err.trim());
    expect((await home.ok("snapshot expire --all")).err).toBe(ours.err);
    expect((await home.ok(["snapshot", "expire", path, "--delete"])).err).toContain(
      "Deleted 2 snapshots of ",
    );
    expect((await listed()).map(({ pins }) => pins ?? [])).toEqual([["all", "keep"], [], []]);
    expect((await runKopia(home, ["snapshot", "expire", path])).err).toContain("Nothing to delete");
    await expectEqual(home, ["snapshot", "list", path, "--json"]);
  });
});
