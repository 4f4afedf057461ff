/** What goes wrong ends with the right exit code and a message that helps; no secret is ever in it. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home, type Outcome, password } from "./run.ts";

const wrong = "hunter2hunter2";

async function connected(home: Home): Promise<void> {
  await home.ok(["repository", "create", "filesystem", "--path", home.path("repository")]);
}

/** Flips a byte in the middle of a file below `folder` whose path matches. */
function damage(folder: string, pattern: RegExp): string {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const name = files.filter((file) => pattern.test(file.replaceAll("/", ""))).sort()[0]!;
  const bytes = readFileSync(join(folder, name));
  bytes[bytes.length >> 1]! ^= 0x10;
  writeFileSync(join(folder, name), bytes);
  return name.replaceAll("/", "").replace(/\.f$/, "");
}

describe("exit code 2: called wrongly", () => {
  const home = new Home();
  beforeAll(() => connected(home));
  afterAll(() => home[Symbol.dispose]());

  it.each([
    "",
    "nonsense",
    "blob",
    "repository create",
    "repository create filesystem",
    "repository create filesystem --path x --block-hash MD5",
    "repository connect filesystem --path x --content-cache-size-mb many",
    "repository set-parameters --epoch-min-duration soon",
    "repository upgrade rollback",
    "blob list --min-size huge",
    "blob show",
    "blob list unexpected",
    "content verify --parallel 0",
    "content list --unknown-option",
    "index list --sort colour",
    "manifest list --filter nocolon",
    "maintenance run --safety some",
    "benchmark compression",
    "benchmark compression --data-file /does/not/exist",
    "benchmark hashing --repeat 0",
    "--log-level loud blob list",
  ])("dm %s", async (line) => {
    const { code, err, out } = await home.run(line === "" ? [] : line);
    expect(out).toBe("");
    expect(err).not.toBe("");
    expect(code).toBe(2);
  });

  it("shows help with 0, on standard output", async () => {
    for (const line of ["--help", "help", "help blob", "blob --help", "content list --help"]) {
      const { code, err, out } = await home.run(line);
      expect([code, err]).toEqual([0, ""]);
      expect(out).toContain("Usage: dm");
      expect(out).not.toMatch(/--password|--token <|--new-password/);
    }
    for (const line of ["help content verify", "help repository create filesystem"]) {
      const words = line.split(" ").slice(1).join(" ");
      expect((await home.ok(line)).out).toBe((await home.ok(`${words} --help`)).out);
    }
    expect((await home.run("--version")).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("exit code 1: failed", () => {
  it("names a wrong password as such", async () => {
    using home = new Home();
    await connected(home);
    home.env["KOPIA_PASSWORD"] = wrong;
    for (const line of ["repository status", "content list --json", "maintenance run"]) {
      const { code, err, out } = await home.run(line);
      expect([code, out]).toEqual([1, ""]);
      expect(err).toMatch(/password.*\[DM_PASSWORD_INVALID\]/s);
    }
  });

  it("leaves the connection alone when connecting fails", async () => {
    using home = new Home();
    await connected(home);
    const before = readFileSync(home.configPath, "utf8");
    const { code, err } = await home.run([
      "repository",
      "connect",
      "filesystem",
      "--path",
      home.path("no"),
    ]);
    expect([code, err]).toEqual([1, expect.stringContaining("[DM_STORE_NOT_FOUND]")]);
    expect(err).toContain("dm repository create filesystem");
    expect(readFileSync(home.configPath, "utf8")).toBe(before);
  });

  it.each([
    ['{"storage":{"type":"b2","config":{"key":"tops3cret"}}}', "DM_CLI_STORAGE_UNSUPPORTED"],
    ['{"storage":{"type":"toString","config":{}}}', "DM_CLI_STORAGE_UNSUPPORTED"],
    [
      '{"storage":{"type":"s3","config":{"secretAccessKey":"tops3cret"}}}',
      "DM_STORE_CONFIG_INVALID",
    ],
    ['{"storage":{"type":"filesystem","config":{}}}', "DM_CLI_STORAGE_INVALID"],
    [
      '{"storage":{"type":"filesystem","config":{"path":"/x","dirShards":"tops3cret"}}}',
      "DM_CLI_STORAGE_INVALID",
    ],
    ['{"storage": tops3cret', "DM_CONFIG_INVALID"],
  ])("refuses the configuration %s", async (config, code) => {
    using home = new Home();
    await connected(home);
    writeFileSync(home.configPath, config);
    const outcome = await home.run("blob list");
    expect([outcome.code, outcome.err]).toEqual([1, expect.stringContaining(`[${code}]`)]);
    expect(outcome.err).not.toContain("tops3cret");
  });

  it("names what is missing", async () => {
    using home = new Home();
    await connected(home);
    for (const [line, code] of [
      ["blob show nothing-there", "DM_BLOB_NOT_FOUND"],
      [`content show ${"ab".repeat(16)}`, "DM_CONTENT_NOT_FOUND"],
      ["content show not-an-id", "DM_CONTENT_ID_INVALID"],
      ["show not-an-object", "DM_OBJECT_ID_INVALID"],
      ["index inspect xn0_nothing", "DM_BLOB_NOT_FOUND"],
    ] as const) {
      const outcome = await home.run(line);
      expect([outcome.code, outcome.err]).toEqual([1, expect.stringContaining(`[${code}]`)]);
    }
  });

  it("finds damaged and missing packs", async () => {
    using home = new Home();
    await home.golden("v3-flat");
    const damaged = damage(home.path("v3-flat"), /^p/);
    expect((await home.run("content verify")).code).toBe(0);
    const full = await home.run("content verify --full --json");
    expect(full.code).toBe(1);
    const report = JSON.parse(full.out);
    expect(report).toMatchObject({ totalErrorCount: 1, unreadableContents: 1, corruptedPacks: 1 });
    expect(report.findings[0]).toMatchObject({ blobId: damaged, severity: "error" });
    expect(report.findings[0].offset).toBeGreaterThan(0);
    expect(full.err).toContain(damaged);
    rmSync(join(home.path("v3-flat"), `${damaged}.f`));
    const missing = await home.run("content verify");
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining(`${damaged} with `)]);
    expect(missing.err).toMatch(/"missingPacks":1/);
  });

  it("stops at an interrupt", async () => {
    using home = new Home();
    await connected(home);
    const signal = AbortSignal.abort(new Error("received SIGINT"));
    const { code, err } = await home.run("content verify", { signal });
    expect([code, err]).toEqual([1, expect.stringContaining("interrupted\n")]);
  });
});

describe("exit code 3: done with losses", () => {
  it("goes on without damaged index blobs, when told so", async () => {
    using home = new Home();
    await home.golden("v3-flat");
    const all = (await home.ok("content list")).out.split("\n").length;
    await home.ok("repository disconnect");
    await home.ok(["repository", "connect", "filesystem", "--path", home.path("v3-flat")]);
    const damaged = damage(home.path("v3-flat"), /^xn/);
    const stopped = await home.run("content list");
    expect([stopped.code, stopped.out]).toEqual([1, ""]);
    expect(stopped.err).toContain(damaged);
    expect(stopped.err).toContain("--ignore-damaged-indexes");
    expect(stopped.err).toContain("dm index recover");
    const left = await home.run("content list --ignore-damaged-indexes");
    expect([left.code, left.err]).toEqual([3, expect.stringContaining(damaged)]);
    const count = left.out.split("\n").length;
    expect(count).toBeGreaterThan(1);
    expect(count).toBeLessThan(all);
    expect((await home.run("index inspect --all --ignore-damaged-indexes")).code).toBe(3);
    const verified = await home.run("content verify --json --ignore-damaged-indexes");
    expect([verified.code, JSON.parse(verified.out)]).toEqual([
      1,
      expect.objectContaining({ totalErrorCount: 1 }),
    ]);
    expect((await home.run("maintenance run --ignore-damaged-indexes")).code).toBe(1);
    // The way back: the packs know what was in the index.
    await home.ok("index recover --commit --delete-indexes");
    expect((await home.ok("content list")).out.split("\n").length).toBe(all);
  });
});

it("has no secret in anything that a failing command prints", async () => {
  using home = new Home();
  await connected(home);
  const newPassword = "brand new secret";
  const outcomes: Outcome[] = [];
  const run = async (...args: string[]): Promise<void> => {
    outcomes.push(await home.run(args), await home.run([...args, "--log-level=debug"]));
  };
  const secretFlags = ["--password", wrong];
  await run("repository", "status", ...secretFlags);
  await run("repository", "status", `--pasword=${wrong}`);
  await run("repository", "status", `--password=${wrong}`, "--nonsense");
  await run("repository", "status", wrong);
  await run("repository", "change-password", "--password", wrong, "--new-password", newPassword);
  await run("repository", "change-password", "--new-password", newPassword, "surplus");
  await run("repository", "connect", "filesystem", "--path", home.path("no"), ...secretFlags);
  await run(
    "repository",
    "connect",
    "filesystem",
    "--path",
    home.path("repository"),
    ...secretFlags,
  );
  await run("repository", "connect", "from-config", "--token", wrong);
  await run("repository", "create", "filesystem", "--path", home.path("repository"));
  await run("content", "show", "nothing", ...secretFlags);
  await run("blob", "show", "nothing");
  await run("maintenance", "set");
  for (const { code, err, out } of outcomes) {
    expect(code).not.toBe(0);
    for (const secret of [wrong, newPassword, password]) expect(out + err).not.toContain(secret);
  }
  expect(outcomes.length).toBe(26);
});
