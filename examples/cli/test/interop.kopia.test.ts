/**
 * The real kopia beside dm: what one made the other uses, configuration files and tokens are exchanged, and both print
 * the same about the same repository. Runs where `kopia` is (or `KOPIA` names it).
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { defaultPolicy } from "@dm/snapshot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home, password } from "./run.ts";
import { expectEqual, jsonRows, kopia, kopiaOk, sorted } from "./run-kopia.ts";

/** The space that is left changes between two commands. */
const withoutVolume = (text: string): unknown => {
  const { volume, ...rest } = JSON.parse(text);
  return { ...rest, capacity: volume.capacity };
};

/** What a repository is, and what is in it. */
async function expectEqualContents(home: Home): Promise<void> {
  await expectEqual(home, "repository status --json", withoutVolume);
  await expectEqual(home, "content list -l --deleted");
  await expectEqual(home, "index inspect --active", sorted);
  await expectEqual(home, "manifest list --json");
  // The time that is left until the next run passes between the two.
  const atAnyTime = (text: string): string[] => sorted(text.replace(/ \(in \w+\)/g, ""));
  await expectEqual(home, "maintenance info", atAnyTime);
}

/** Lists of snapshots and of what is in them. */
async function expectEqualSnapshots(home: Home): Promise<void> {
  await expectEqual(home, "snapshot list");
  await expectEqual(home, "snapshot list --all");
  await expectEqual(home, "snapshot list --all --no-retention --storage-stats");
  await expectEqual(home, "snap ls -a -i -m -l --mtime --owner --reverse");
  await expectEqual(home, "snapshot list --json");
  const snapshots = await home.json<{ id: string; rootEntry: { obj: string; type: string } }[]>(
    "snapshot list --all --json",
  );
  for (const { id, rootEntry } of snapshots.slice(-2)) {
    if (rootEntry.type !== "d") continue;
    for (const place of [id, rootEntry.obj, `${id}/`]) {
      await expectEqual(home, ["list", place], sorted);
      await expectEqual(home, ["ls", "-l", "-r", place], sorted);
    }
    await expectEqual(home, ["ls", "-o", "-r", id], sorted);
    await expectEqual(home, ["snapshot", "verify", "--verify-files-percent=100", "--json", id]);
  }
}

/** Every command that both have, with most of its flags. */
async function expectEqualOutput(home: Home): Promise<void> {
  const noSpaceLeft = (text: string): string => text.replace(/Storage available: .*/, "");
  await expectEqualContents(home);
  await expectEqual(home, "repository status", noSpaceLeft);
  await expectEqual(home, "blob list", sorted);
  await expectEqual(home, "blob list --data-only --max-size 100000", sorted);
  await expectEqual(home, "blob list --json", jsonRows);
  await expectEqual(home, "blob stats");
  await expectEqual(home, "blob stats --raw --prefix q");
  await expectEqual(home, "content list");
  await expectEqual(home, "content list -c -s --human");
  await expectEqual(home, "content list --json --deleted");
  await expectEqual(home, "content list --deleted-only --prefixed -s");
  await expectEqual(home, "content stats", sorted);
  await expectEqual(home, "content stats --raw", sorted);
  await expectEqual(home, "index list --superseded --sort name");
  await expectEqual(home, "index list --json", jsonRows);
  await expectEqual(home, "manifest list");
  await expectEqualSnapshots(home);
  await expectEqual(home, "manifest list --filter type:policy --sort policyType");
  await expectEqual(home, "maintenance info --json");
  await expectEqual(home, "content verify --full");
  const manifests = await home.json<{ id: string }[]>("manifest list --json");
  for (const { id } of manifests.slice(0, 3)) {
    await expectEqual(home, ["manifest", "show", id], sorted);
  }
  for (const prefix of ["k", "m", "x"]) {
    const id = (await home.ok(`content list --prefix ${prefix}`)).out.split("\n")[0]!;
    if (!id) continue;
    await expectEqual(home, ["content", "show", id]);
    if (prefix === "m") await expectEqual(home, ["content", "show", "-j", "-z", id]);
    if (prefix === "k") await expectEqual(home, ["show", id]);
  }
  for (const prefix of ["_log", "n", "m"]) {
    const blobs = await home.json<{ id: string }[]>(`blob list --prefix ${prefix} --json`);
    const readable = blobs.find(({ id }) => !id.includes("unreadable"));
    if (readable) await expectEqual(home, ["blob", "show", "--decrypt", readable.id]);
  }
}

const isFull = process.env["DM_FULL"] === "1";
const goldens = ["v1-maintenance", "v3-ecc", "v3-maintenance", "v1-upgraded-to-v3"];
const creations = [
  "--format-version=1 --block-hash=HMAC-SHA256",
  "--format-version=2 --ecc=REED-SOLOMON-CRC32 --ecc-overhead-percent=10 --flat",
  "--block-hash=BLAKE3-256 --encryption=CHACHA20-POLY1305-HMAC-SHA256 --object-splitter=FIXED-1M",
  "--format-block-key-derivation-algorithm=pbkdf2-sha256-600000",
];
/** Each command of kopia derives a key: all of them with DM_FULL=1 only. */
const some = (list: readonly string[]): readonly string[] => (isFull ? list : list.slice(0, 2));

describe.skipIf(!kopia.available)(kopia.title("beside kopia"), () => {
  describe.each(some(goldens))("%s", (name) => {
    it("prints the same", { timeout: 300_000 }, async () => {
      using home = new Home();
      await home.golden(name);
      await expectEqualOutput(home);
    });
  });

  it("makes repositories that kopia uses", { timeout: 300_000 }, async () => {
    for (const flags of some(creations)) {
      using home = Home.withRealKeys();
      const path = `--path=${home.path("repository")}`;
      await home.ok(["repository", "create", "filesystem", path, ...flags.split(" ")]);
      mkdirSync(home.path("source"));
      writeFileSync(home.path("source/file"), "kopia reads what dm made\n".repeat(1000));
      await kopiaOk(home, ["snapshot", "create", home.path("source")]);
      await kopiaOk(home, "maintenance run --full");
      await kopiaOk(home, "content verify --full");
      await home.ok("content verify --full");
      await expectEqualContents(home);
      // Connected by kopia itself, with a configuration of its own.
      home.env["KOPIA_CONFIG_PATH"] = home.path("kopia.config");
      await kopiaOk(home, ["repository", "connect", "filesystem", path]);
      await expectEqual(home, "repository status --json", withoutVolume);
    }
  });

  describe("a repository made by kopia", () => {
    const home = Home.withRealKeys();
    const path = `--path=${home.path("repository")}`;
    beforeAll(async () => {
      mkdirSync(home.path("repository"));
      mkdirSync(home.path("source"));
      for (let index = 0; index < 20; index++) {
        writeFileSync(home.path(`source/file-${index}`), `file ${index}\n`.repeat(100 * index));
      }
      await kopiaOk(home, ["repository", "create", "filesystem", path]);
      await kopiaOk(home, ["policy", "set", home.path("source"), "--compression=zstd"]);
      await kopiaOk(home, ["snapshot", "create", home.path("source"), "--description=<a & b>"]);
    }, 120_000);
    afterAll(() => home[Symbol.dispose]());

    it("is opened through kopia's configuration and stored password", {
      timeout: 300_000,
    }, async () => {
      home.env["KOPIA_PASSWORD"] = undefined;
      await home.ok("content verify --full");
      await expectEqualContents(home);
      home.env["KOPIA_PASSWORD"] = password;
    });

    it("begins with the same manifests as ours", { timeout: 300_000 }, async () => {
      const [policy] = await home.json<{ id: string }[]>(
        "manifest list --filter policyType:global --json",
      );
      const json = (await home.ok(["manifest", "show", policy!.id])).out.replace(/^\/\/.*\n/gm, "");
      // Also the order of the members.
      expect(JSON.stringify(JSON.parse(json))).toBe(JSON.stringify(defaultPolicy));
      using other = new Home();
      await other.ok(["repository", "create", "filesystem", "--path", other.path("r")]);
      const parameters = async (of: Home): Promise<unknown> => {
        const { schedule, ...rest } = await of.json<{ schedule: unknown }>(
          "maintenance info --json",
        );
        return rest;
      };
      expect(await parameters(other)).toEqual(await parameters(home));
    });

    it("exchanges tokens with kopia", { timeout: 300_000 }, async () => {
      const first = home.env["KOPIA_CONFIG_PATH"];
      const tokenOf = (text: string): string => /--token (\S+)/.exec(text)?.[1] ?? "";
      const theirs = tokenOf(await kopiaOk(home, "repository status -t -s"));
      const ours = tokenOf((await home.ok("repository status -t -s")).out);
      home.env["KOPIA_PASSWORD"] = undefined;
      home.env["KOPIA_CONFIG_PATH"] = home.path("by-our-token.config");
      await kopiaOk(home, ["repository", "connect", "from-config", "--token", ours]);
      home.env["KOPIA_CONFIG_PATH"] = home.path("by-their-token.config");
      await home.ok(["repository", "connect", "from-config", "--token", theirs]);
      await home.ok("repository status");
      await kopiaOk(home, "repository status");
      await home.ok("repository disconnect");
      home.env = { ...home.env, KOPIA_PASSWORD: password, KOPIA_CONFIG_PATH: first };
    });

    it("accepts a changed password and parameters, whoever changed them", {
      timeout: 300_000,
    }, async () => {
      home.env["KOPIA_NEW_PASSWORD"] = "changed by dm";
      await home.ok("repository change-password");
      home.env["KOPIA_PASSWORD"] = "changed by dm";
      await kopiaOk(home, "repository status");
      home.env["KOPIA_NEW_PASSWORD"] = "changed by kopia";
      await kopiaOk(home, "repository change-password");
      const old = await home.run("repository status");
      expect([old.code, old.err]).toEqual([1, expect.stringContaining("[DM_PASSWORD_INVALID]")]);
      // Both have stored it beside the configuration file.
      home.env["KOPIA_PASSWORD"] = undefined;
      await home.ok("repository status");
      await kopiaOk(home, "repository status");
      const parameters =
        "--max-pack-size-mb=30 --epoch-advance-on-count=25 --epoch-min-duration=13h";
      await home.ok(`repository set-parameters ${parameters}`);
      await home.ok("maintenance set --full-interval 30h --max-retained-log-count 77");
      await expectEqual(home, "repository status --json", withoutVolume);
      await expectEqual(home, "maintenance info --json");
      await kopiaOk(home, "repository set-parameters --max-pack-size-mb=40");
      await expectEqual(home, "repository status --json", withoutVolume);
    });

    it("runs maintenance in turn", { timeout: 300_000 }, async () => {
      await home.ok("maintenance run --full --safety none");
      await kopiaOk(home, "maintenance run --full --safety=none");
      await home.ok("maintenance run");
      await kopiaOk(home, "content verify --full");
      await home.ok("content verify --full");
      await expectEqualContents(home);
    });
  });

  it("upgrades as kopia wants it", { timeout: 300_000 }, async () => {
    for (const command of [
      "repository set-parameters --upgrade",
      "repository upgrade begin --allow-unsafe-upgrade --io-drain-timeout 10ms --max-permitted-clock-drift 1ms",
    ]) {
      using home = new Home();
      await home.golden("v1-index-v2");
      await home.ok(command);
      await kopiaOk(home, "snapshot list --all");
      await kopiaOk(home, "content verify --full");
      await expectEqual(home, "content list -l");
      await expectEqual(home, "repository status --json", withoutVolume);
    }
  });

  it("prints benchmarks in the same form", { timeout: 300_000 }, async () => {
    using home = new Home();
    const file = home.path("data");
    writeFileSync(file, "the same for both of them\n".repeat(5000));
    for (const line of [
      "benchmark hashing --block-size=4KB --repeat=10 --print-options",
      "benchmark encryption --block-size=4KB --repeat=10",
      "benchmark crypto --block-size=4KB --repeat=10 --print-options",
      "benchmark splitter --data-size=1MB --block-count=3 --rand-seed=5 --print-options",
      "benchmark ecc --block-size=300KB --repeat=1 --print-options",
      `benchmark compression --data-file=${file} --repeat=1 --print-options --algorithms=zstd,gzip,s2`,
    ]) {
      const [theirs, ours] = [await kopiaOk(home, line), (await home.ok(line)).out];
      expect(form(ours), line).toEqual(form(theirs));
    }
  });
});

/** A table without its figures and its order: what is fastest differs. Counts of segments stay. */
function form(table: string): string[] {
  const lines = table.split("\n").map((line) =>
    line
      .replace(/^ *\d+\. /, "row ")
      .replace(/(Fastest option for this machine is: --[a-z-]+)=.*/, "$1")
      // Rates, sizes and what else is measured; the growth of error correction is not.
      .replace(/ *\d+(\.\d)? [KMGT]?B( *\/ ?s\w*)/g, " rate$2")
      .replace(/\/s {5}(\d+|-) +\d+(\.\d)? [KMGT]?B/, "/s memory")
      .replace(/(row \S+ +)\d+(\.\d)? [KMGT]?B +rate/, "$1size rate"),
  );
  return lines.map((line) => line.replace(/rate {0,11}\/s/, "rate/s")).sort();
}
