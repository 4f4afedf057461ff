// A release can be made from what is in git: a clean clone is installed and built by the bootstrap, `changeset version`
// moves all public packages together and writes their changelogs, and `pnpm -r publish --dry-run` packs every one of
// them, and nothing private, for a registry that knows none of them yet.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Registry, serveRegistry } from "../src/pack.ts";
import { environmentFor, mustRun, pnpm, programOf, storeFolder } from "../src/programs.ts";
import { publicPackages, readManifest, root, workspaces } from "../src/workspace.ts";

const base = mkdtempSync(join(tmpdir(), "dm-release-"));
const clone = join(base, "clone");
const env = environmentFor(process.execPath, {
  // The clone links from the store of this checkout and asks no network.
  npm_config_store_dir: storeFolder(),
  npm_config_offline: "true",
});
let registry: Registry;

beforeAll(async () => {
  await mustRun("git", ["clone", "--quiet", root, clone], { cwd: base });
  registry = await serveRegistry([]);
  // Builds that this checkout has made of the same sources are taken from its cache.
  const cache = `--cache-dir=${join(root, ".turbo/cache")}`;
  const args = ["tools/run.mjs", "build", cache];
  await mustRun(process.execPath, args, { cwd: clone, env, timeoutMs: 300_000 });
}, 300_000);

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  rmSync(base, { recursive: true, force: true });
});

it("versions all public packages together, and publishes exactly them", async () => {
  const before = workspaces(clone);
  const names = before.filter(({ isPublic }) => isPublic).map(({ manifest }) => manifest.name);
  expect(names).toEqual(publicPackages().map(({ manifest }) => manifest.name));
  writeFileSync(
    join(clone, ".changeset/from-the-release-test.md"),
    `---\n"${names[0]}": minor\n---\n\nA change made up for the test.\n`,
  );
  const changeset = programOf(join(clone, "node_modules/@changesets/cli"), "changeset");
  await mustRun(process.execPath, [changeset, "version"], { cwd: clone, env });

  const after = workspaces(clone).filter(({ isPublic }) => isPublic);
  const versions = new Set(after.map(({ folder }) => readManifest(folder).version));
  expect(versions.size).toBe(1);
  const [version] = versions;
  for (const { manifest } of before.filter(({ isPublic }) => isPublic)) {
    expect(version, manifest.name).not.toBe(manifest.version);
  }
  for (const { folder } of after) {
    const changelog = join(folder, "CHANGELOG.md");
    expect(existsSync(changelog), changelog).toBe(true);
    expect(readFileSync(changelog, "utf8")).toContain(`## ${version}`);
  }
  for (const { manifest } of before.filter(({ isPublic }) => !isPublic)) {
    const now = workspaces(clone).find((workspace) => workspace.manifest.name === manifest.name);
    expect(now?.manifest.version, manifest.name).toBe(manifest.version);
  }

  const flags = ["--dry-run", "--no-git-checks", `--registry=${registry.url}`];
  const publish = await mustRun(process.execPath, [pnpm, "-r", "publish", ...flags], {
    cwd: clone,
    env: { ...env, npm_config_offline: "false" },
  });
  const published = [...publish.stdout.matchAll(/^\+ (\S+)$/gm)].map((match) => match[1]);
  expect(published.sort()).toEqual(names.map((name) => `${name}@${version}`).sort());
  // Each holds what was built.
  expect(publish.stderr.match(/ dist\/index\.js$/gm)).toHaveLength(names.length);
}, 120_000);
