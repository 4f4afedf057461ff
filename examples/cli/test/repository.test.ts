/** Making, connecting, changing, upgrading and maintaining repositories; the state is read back with other commands. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultPolicy } from "@dm/snapshot";
import { describe, expect, it } from "vitest";
import { Home, password } from "./run.ts";

interface Status {
  readonly contentFormat: {
    readonly hash: string;
    readonly encryption: string;
    readonly ecc?: string;
    readonly eccOverheadPercent?: number;
    readonly version: number;
    readonly maxPackSize: number;
    readonly indexVersion: number;
    readonly epochParameters: { readonly Enabled: boolean; readonly MinEpochDuration: number };
  };
  readonly objectFormat: { readonly splitter: string };
  readonly clientOptions: Record<string, unknown>;
  readonly storage: { readonly type: string; readonly config: Record<string, unknown> };
}

const create = (home: Home, ...flags: string[]): string[] => [
  "repository",
  "create",
  "filesystem",
  "--path",
  home.path("repository"),
  ...flags,
];

const status = (home: Home): Promise<Status> => home.json("repository status --json");

describe("create", () => {
  it("makes what the flags say and connects", async () => {
    using home = new Home();
    const flags =
      "--block-hash BLAKE3-256 --encryption CHACHA20-POLY1305-HMAC-SHA256 --object-splitter FIXED-1M " +
      "--ecc REED-SOLOMON-CRC32 --ecc-overhead-percent 5 --description ours --override-username me " +
      "--override-hostname here --format-block-key-derivation-algorithm pbkdf2-sha256-600000";
    const { err, out } = await home.ok(create(home, ...flags.split(" ")));
    expect(out).toBe("");
    expect(err).toContain("Connected to repository.");
    const seen = await status(home);
    expect(seen.contentFormat).toMatchObject({
      hash: "BLAKE3-256",
      encryption: "CHACHA20-POLY1305-HMAC-SHA256",
      ecc: "REED-SOLOMON-CRC32",
      eccOverheadPercent: 5,
      version: 3,
    });
    expect(seen.objectFormat.splitter).toBe("FIXED-1M");
    expect(seen.clientOptions).toMatchObject({
      hostname: "here",
      username: "me",
      description: "ours",
    });
    expect((await home.json<{ owner: string }>("maintenance info --json")).owner).toBe("me@here");
    const policies = await home.json<{ id: string }[]>(
      "manifest list --json --filter type:policy --filter policyType:global",
    );
    expect(policies.length).toBe(1);
    const shown = (await home.ok(["manifest", "show", policies[0]!.id])).out;
    expect(JSON.parse(shown.replace(/^\/\/.*\n/gm, ""))).toEqual(defaultPolicy);
  });

  it("takes options before the storage type, too, and both forms of values", async () => {
    using home = new Home();
    await home.ok(
      `repository create --block-hash=BLAKE2S-128 --format-version=1 filesystem --path=${home.path("r")} --flat`,
    );
    const { contentFormat, storage } = await status(home);
    expect(contentFormat).toMatchObject({ hash: "BLAKE2S-128", version: 1, indexVersion: 1 });
    expect(storage.config["dirShards"]).toEqual([]);
    expect(readdirSync(home.path("r")).some((name) => name.startsWith("q"))).toBe(true);
  });

  it("keeps files to the owner, and gives them the modes asked for", async () => {
    using home = new Home();
    await home.ok(create(home, "--file-mode", "0640", "--dir-mode", "0750"));
    const mode = (path: string): number => statSync(path).mode & 0o777;
    expect(mode(home.configPath)).toBe(0o600);
    expect(mode(`${home.configPath}.kopia-password`)).toBe(0o600);
    expect(mode(join(home.path("repository"), "kopia.repository.f"))).toBe(0o640);
  });

  it("does not connect with --create-only", async () => {
    using home = new Home();
    await home.ok(create(home, "--create-only"));
    expect(existsSync(home.configPath)).toBe(false);
    await home.ok(["repository", "connect", "filesystem", "--path", home.path("repository")]);
    expect((await home.ok("content list")).out).toBe("");
  });

  it("refuses a directory that holds blobs", async () => {
    using home = new Home();
    await home.ok(create(home));
    const again = await home.run(create(home));
    expect([again.code, again.err]).toEqual([1, expect.stringContaining("[DM_REPOSITORY_EXISTS]")]);
  });

  it("asks for a password twice when there is none", async () => {
    using home = new Home();
    home.env["KOPIA_PASSWORD"] = undefined;
    const prompts: string[] = [];
    const answers = (given: string[]) => async (prompt: string) => {
      prompts.push(prompt);
      return given.shift();
    };
    const differ = await home.run(create(home), { askSecret: answers(["one and", "another"]) });
    expect([differ.code, differ.err]).toEqual([2, "error: the passwords do not match\n"]);
    await home.ok(create(home), { askSecret: answers(["typed in", "typed in"]) });
    expect(prompts[0]).toContain("new repository");
    // From now on the stored one is used.
    await home.ok("repository status");
  });
});

describe("connect and disconnect", () => {
  it("writes a configuration like kopia's and removes it with its cache", async () => {
    using home = new Home();
    await home.ok(create(home, "--create-only"));
    await home.ok([
      ..."repository connect filesystem --readonly --content-cache-size-mb 10".split(" "),
      ..."--metadata-cache-size-limit-mb 20 --disable-repository-format-cache --path".split(" "),
      home.path("repository"),
    ]);
    const config = JSON.parse(readFileSync(home.configPath, "utf8"));
    expect(config).toMatchObject({
      storage: {
        type: "filesystem",
        config: { path: home.path("repository"), fileMode: 384, dirMode: 448, dirShards: null },
      },
      caching: { maxCacheSize: 10 << 20, metadataCacheSizeLimitBytes: 20 << 20 },
      readonly: true,
      description: `Repository in Filesystem: ${home.path("repository")}`,
      enableActions: false,
      formatBlobCacheDuration: -1,
    });
    expect((await home.ok("repository status")).out).toContain("Format blob cache:   disabled");
    const { err: trace } = await home.ok("content list --log-level debug");
    // Once to open, and once more where a kept one would do.
    expect(trace.split('"kopia.repository"').length - 1).toBe(2);
    const refused = await home.run("maintenance set --owner me");
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringContaining("[DM_REPOSITORY_READ_ONLY]"),
    ]);
    await home.ok("repository disconnect");
    expect(existsSync(home.configPath)).toBe(false);
    expect(existsSync(`${home.configPath}.kopia-password`)).toBe(false);
    const status = await home.run("repository status");
    expect([status.code, status.err]).toEqual([
      1,
      expect.stringContaining("[DM_CONFIG_NOT_FOUND]"),
    ]);
  });

  it("removes its cache, and leaves what else is in the directory", async () => {
    using home = new Home();
    mkdirSync(home.path("shared"));
    writeFileSync(home.path("shared/somebody's"), "file");
    await home.ok(create(home, "--cache-directory", home.path("shared")));
    await home.ok("content list");
    await home.ok("manifest list");
    // A directory needs no cache in another directory.
    expect(readdirSync(home.path("shared"))).toEqual(["somebody's"]);
    mkdirSync(home.path("shared/dm/metadata"), { recursive: true });
    await home.ok("repository disconnect");
    expect(readdirSync(home.path("shared"))).toEqual(["somebody's"]);
  });

  it("keeps no password when told so", async () => {
    using home = new Home();
    await home.ok(["--no-persist-credentials", ...create(home)]);
    expect(existsSync(`${home.configPath}.kopia-password`)).toBe(false);
    home.env["KOPIA_PASSWORD"] = undefined;
    const without = await home.run("repository status");
    expect([without.code, without.err]).toEqual([2, expect.stringContaining("KOPIA_PASSWORD")]);
    await home.ok("repository status", { askSecret: async () => password });
    await home.ok(["repository", "status", "-p", password]);
    await home.ok(["repository", "status", `--password=${password}`]);
  });

  it("connects from a token, which may hold the password, and from another configuration", async () => {
    using home = new Home();
    await home.ok(create(home));
    const token = /--token (\S+)/.exec((await home.ok("repository status -t")).out)?.[1] ?? "";
    const full = (await home.ok("repository status -t -s")).out;
    expect(full).toContain("NOTICE: Whoever sees this token can read the password");
    const tokenWithPassword = /--token (\S+)/.exec(full)?.[1] ?? "";
    const env = (config: string, secret?: string): void => {
      home.env = { ...home.env, KOPIA_CONFIG_PATH: home.path(config), KOPIA_PASSWORD: secret };
    };
    env("second.config", password);
    await home.ok(["repository", "connect", "from-config", "--token", token]);
    env("third.config");
    await home.ok("repository connect from-config --token-stdin", {
      readStdin: async () => tokenWithPassword,
    });
    env("fourth.config", password);
    await home.ok(["repository", "connect", "from-config", "--file", home.configPath]);
    expect((await status(home)).storage.config["path"]).toBe(home.path("repository"));
    const none = await home.run("repository connect from-config");
    expect(none.code).toBe(2);
  });

  it("finds a bare configuration name beside the default one", async () => {
    using home = new Home();
    home.env = { ...home.env, KOPIA_CONFIG_PATH: undefined, XDG_CONFIG_HOME: home.path("xdg") };
    await home.ok(["--config-file", "other.config", ...create(home)]);
    expect(existsSync(home.path("xdg/kopia/other.config"))).toBe(true);
    expect((await home.run("repository status")).code).toBe(1);
    await home.ok("repository status --config-file other.config");
  });
});

describe("changes", () => {
  it("changes the password, also the stored one", async () => {
    using home = new Home();
    await home.ok(create(home));
    home.env["KOPIA_NEW_PASSWORD"] = "another password";
    expect((await home.ok("repository change-password")).err).toContain("has been changed");
    const old = await home.run("repository status");
    expect([old.code, old.err]).toEqual([1, expect.stringContaining("[DM_PASSWORD_INVALID]")]);
    home.env["KOPIA_PASSWORD"] = undefined;
    await home.ok("repository status");
    await home.ok(["repository", "change-password", "--new-password", "a third one"]);
    await home.ok("content verify --full");
  });

  it("sets parameters, and says when nothing changes", async () => {
    using home = new Home();
    await home.ok(create(home));
    expect((await home.ok("repository set-parameters")).err).toBe("no changes\n");
    const { err } = await home.ok(
      "repository set-params --max-pack-size-mb 40 --epoch-min-duration 12h --epoch-advance-on-count 30",
    );
    expect(err).toContain(" - setting maximum pack size to 41.9 MB.\n");
    expect(err).toContain(" - setting minimum epoch duration to 12h0m0s.\n");
    const { contentFormat } = await status(home);
    expect(contentFormat.maxPackSize).toBe(40 << 20);
    expect(contentFormat.epochParameters.MinEpochDuration).toBe(12 * 3600e9);
    for (const flags of ["--max-pack-size-mb 5", "--epoch-min-duration 1m", "--index-version 1"]) {
      expect((await home.run(`repository set-parameters ${flags}`)).code).toBe(2);
    }
    const locked = await home.run(
      "repository set-parameters --retention-mode GOVERNANCE --retention-period 48h",
    );
    expect([locked.code, locked.err]).toEqual([
      1,
      expect.stringContaining("[DM_STORE_OPTION_UNSUPPORTED]"),
    ]);
  });

  it("takes version 1 to version 2 at once, and to version 3 with a lock", async () => {
    for (const [command, version] of [
      ["repository set-parameters --upgrade", 2],
      [
        "repository upgrade begin --allow-unsafe-upgrade --io-drain-timeout 10ms --max-permitted-clock-drift 1ms",
        3,
      ],
    ] as const) {
      using home = new Home();
      await home.golden("v1-index-v2");
      const before = (await home.ok("content list -l")).out;
      await home.ok(command);
      const { contentFormat } = await status(home);
      expect(contentFormat).toMatchObject({ version, epochParameters: { Enabled: true } });
      expect((await home.ok("content list -l")).out).toBe(before);
      await home.ok("content verify --full");
      expect((await home.ok(command)).code).toBe(0);
    }
  });

  it("keeps others out while an upgrade is under way, and takes it back", async () => {
    using home = new Home();
    await home.golden("v1-plain");
    const short = await home.run("repository upgrade begin --io-drain-timeout 1s");
    expect([short.code, short.err]).toEqual([2, expect.stringContaining("at least 15m")]);
    await home.ok("repository upgrade begin --lock-only --upgrade-owner-id somebody");
    const kept = await home.run("repository status");
    expect([kept.code, kept.err]).toEqual([1, expect.stringContaining("[DM_UPGRADE_IN_PROGRESS]")]);
    const own = await home.ok("repository status --upgrade-owner-id somebody");
    expect(own.out).toContain("Upgrade Owner:       somebody\nLock status:         Draining");
    expect((await home.run("repository upgrade rollback")).code).toBe(2);
    await home.ok("repository upgrade rollback --force");
    expect((await status(home)).contentFormat.version).toBe(1);
  });
});

describe("maintenance and manifests", () => {
  it("runs as the owner only, and records its runs", async () => {
    using home = new Home();
    await home.ok(create(home));
    const quick = await home.ok("maintenance run");
    expect(quick.err).toMatch(/Running quick maintenance[\s\S]*Finished quick maintenance\.\n$/);
    expect((await home.ok("maintenance run --full --safety none")).err).toContain(
      "full maintenance",
    );
    const info = (await home.ok("maintenance info")).out;
    expect(info).toMatch(/full-rewrite-contents:\n {4}\S+ \S+ \S+ \(\d+s\) SUCCESS\n/);
    await home.ok("maintenance set --owner other@there --quick-interval 2h --enable-full false");
    expect(await home.json("maintenance info --json")).toMatchObject({
      owner: "other@there",
      quick: { enabled: true, interval: 7200e9 },
      full: { enabled: false },
    });
    const refused = await home.run("maintenance run");
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringContaining("[DM_MAINTENANCE_NOT_OWNER]"),
    ]);
    await home.ok("maintenance run --force");
    const paused = await home.ok("maintenance set --owner me --pause-quick 48h");
    expect(paused.err).toMatch(
      /^Maintenance parameters changed\.\nQuick maintenance paused until \d/,
    );
    expect((await home.ok("maintenance set --owner me")).err).toBe("no changes\n");
    const { schedule } = await home.json<{ schedule: { nextQuickMaintenance: string } }>(
      "maintenance info --json",
    );
    const pausedMs = Date.parse(schedule.nextQuickMaintenance) - Date.now();
    expect(pausedMs).toBeGreaterThan(47 * 3_600_000);
    expect((await home.run("maintenance set")).code).toBe(2);
  });

  it("removes manifests", async () => {
    using home = new Home();
    await home.golden("v3-ecc");
    const ids = async (): Promise<string[]> =>
      (await home.json<{ id: string }[]>("manifest list --json")).map(({ id }) => id);
    const [first, second, ...rest] = await ids();
    await home.ok(["manifest", "rm", first!, second!]);
    expect((await ids()).sort()).toEqual(rest.sort());
    const gone = await home.run(["manifest", "show", first!]);
    expect([gone.code, gone.err]).toEqual([1, expect.stringContaining("[DM_MANIFEST_NOT_FOUND]")]);
  });

  it("rebuilds a lost index", async () => {
    using home = new Home();
    await home.golden("v3-ecc");
    const before = (await home.ok("content list")).out;
    await home.ok("index recover --commit --delete-indexes");
    expect((await home.ok("content list")).out).toBe(before);
    expect((await home.json<unknown[]>("index list --superseded --json")).length).toBe(1);
    await home.ok("content verify --full");
  });
});
