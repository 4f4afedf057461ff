/**
 * `repository sync-to`, `snapshot migrate` and `snapshot fix` beside the real kopia: the same flags, by configuration and
 * password files that kopia has written, and results that kopia verifies. Runs where `kopia` is (or `KOPIA` names it).
 */
import { mkdirSync, writeFileSync } from "node:fs";
import type { Json } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import { Home } from "./run.ts";
import { kopia, kopiaOk, runKopia } from "./run-kopia.ts";

const patient = { timeout: 120_000 };

/** Long flags in a help text; kopia writes switches as `--[no-]delete`. */
const flagsIn = (text: string): Set<string> =>
  new Set([...text.matchAll(/^\s+(?:-\w, )?--(?:\[no-\])?([a-z-]+)/gm)].map((match) => match[1]!));

async function withKopia(): Promise<Home> {
  const home = Home.withRealKeys();
  mkdirSync(home.path("repository"));
  await kopiaOk(home, ["repository", "create", "filesystem", "--path", home.path("repository")]);
  return home;
}

describe.skipIf(!kopia.available)(kopia.title("copies and fixes beside kopia"), patient, () => {
  it.each([
    "repository sync-to filesystem",
    "snapshot migrate",
    "snapshot fix invalid-files",
    "snapshot fix remove-files",
  ])("%s has kopia's flags", async (command) => {
    using home = new Home();
    const args = command.split(" ");
    const help = async (...more: readonly string[]): Promise<Set<string>> => {
      const { err, out } = await runKopia(home, [...more, "--help"]);
      return flagsIn(out + err);
    };
    const [theirs, general] = [await help(...args), await help("snapshot", "list")];
    const parent =
      args[1] === "sync-to" ? await home.ok([...args.slice(0, -1), "--help"]) : undefined;
    const ours = flagsIn((await home.ok([...args, "--help"])).out + (parent?.out ?? ""));
    // What `snapshot list` has, too, is for every command.
    const own = [...theirs].filter((flag) => !general.has(flag) || flag === "all");
    expect(own.length).toBeGreaterThan(5);
    expect(own.filter((flag) => !ours.has(flag) && !ours.has(`no-${flag}`))).toEqual([]);
  });

  it("copies, migrates and fixes what kopia has made, and kopia verifies all of it", async () => {
    using first = await withKopia();
    using second = await withKopia();
    using third = Home.withRealKeys();
    const source = first.path("source");
    mkdirSync(source);
    for (const name of ["a", "b.tmp"]) writeFileSync(`${source}/${name}`, name.repeat(1000));
    await kopiaOk(first, ["snapshot", "create", source]);
    const all = ["snapshot", "verify", "--verify-files-percent=100"];
    const list = async (home: Home): Promise<Json[]> =>
      JSON.parse(await kopiaOk(home, "snapshot list --all --json"));

    mkdirSync(third.path("copy"));
    const path = ["--path", third.path("copy")];
    await first.ok(["repository", "sync-to", "filesystem", ...path]);
    await kopiaOk(third, ["repository", "connect", "filesystem", ...path]);
    await kopiaOk(third, all);
    expect(await list(third)).toEqual(await list(first));

    // By the password file that kopia wrote beside the configuration; the environment has none that fits.
    first.env["KOPIA_PASSWORD"] = undefined;
    await second.ok(["snapshot", "migrate", "--all", "--source-config", first.configPath]);
    await kopiaOk(second, all);
    expect((await list(second)).map(({ startTime }) => startTime)).toEqual(
      (await list(third)).map(({ startTime }) => startTime),
    );

    await third.ok("snapshot fix remove-files --filename=*.tmp --commit");
    await kopiaOk(third, all);
    const [fixed] = await list(third);
    expect(await kopiaOk(third, ["ls", fixed.rootEntry.obj])).toBe("a\n");
    const { err } = await runKopia(third, [
      "snapshot",
      "fix",
      "invalid-files",
      "--verify-files-percent=100",
    ]);
    expect(err).toContain("No changes.");
  });
});
