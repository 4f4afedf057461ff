/**
 * `npm run check`: everything that can be said about the code without running it. All steps run, also after a failure;
 * the summary at the end names those that failed, and the exit code is 1 then. `npm run check knip` runs one step.
 * Runs on the pinned Node, started by run.mjs.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageFaults } from "../packages/checks/src/completeness.ts";
import { packPackage } from "../packages/checks/src/pack.ts";
import { programOf } from "../packages/checks/src/programs.ts";
import { publicPackages, root } from "../packages/checks/src/workspace.ts";

const tool = (name, command = name) => programOf(join(root, "node_modules", name), command);

/** Runs a tool with the pinned Node, its output shown; true when it ends with 0. */
function passes(program, args) {
  const { status } = spawnSync(process.execPath, [program, ...args], {
    cwd: root,
    stdio: "inherit",
  });
  return status === 0;
}

function none(faults) {
  for (const fault of faults) console.log(`  ${fault}`);
  return faults.length === 0;
}

const turbo = (task) =>
  passes(tool("turbo"), [
    "run",
    task,
    "--output-logs=errors-only",
    "--continue=dependencies-successful",
  ]);

/** The packed tarballs, as users get them. */
async function packed() {
  const { publint } = await import("publint");
  const { formatMessage } = await import("publint/utils");
  const folder = mkdtempSync(join(tmpdir(), "dm-check-"));
  let good = true;
  try {
    for (const workspace of publicPackages()) {
      if (!existsSync(join(workspace.folder, "dist"))) {
        good = none([`${workspace.manifest.name} is not built`]);
        continue;
      }
      const { tarball, manifest } = await packPackage(workspace, folder);
      const { buffer } = new Uint8Array(readFileSync(tarball));
      const { messages, pkg } = await publint({ pack: { tarball: buffer }, strict: true });
      good =
        none(messages.map((message) => `${manifest.name}: ${formatMessage(message, pkg)}`)) && good;
      const flags = [
        "--profile",
        "esm-only",
        "--no-definitely-typed",
        "--format",
        "ascii",
        "--no-color",
      ];
      const attw = spawnSync(
        process.execPath,
        [tool("@arethetypeswrong/cli", "attw"), tarball, ...flags],
        {
          cwd: root,
          encoding: "utf8",
        },
      );
      if (attw.status !== 0) {
        console.log(`  ${manifest.name}: attw\n${attw.stdout}${attw.stderr}`);
        good = false;
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return good;
}

/** Every changeset is readable, bumps public packages only, and tells users something. */
function changesets() {
  const names = new Set(publicPackages().map(({ manifest }) => manifest.name));
  const folder = join(root, ".changeset");
  const faults = readdirSync(folder)
    .filter((file) => file.endsWith(".md") && file !== "README.md")
    .flatMap((file) => {
      const match = /^---\n([\s\S]*?)---\n([\s\S]*)$/.exec(
        readFileSync(join(folder, file), "utf8"),
      );
      if (!match) return [`${file}: no front matter`];
      const [, head = "", text = ""] = match;
      const bumps = [...head.matchAll(/^"?([^"\n]+)"?: *(\w+)$/gm)];
      const wrong = bumps
        .filter(([, name, bump]) => !names.has(name) || !["major", "minor", "patch"].includes(bump))
        .map(([line]) => `${file}: ${line}`);
      if (bumps.length === 0) wrong.push(`${file}: names no package`);
      if (text.trim().length < 20) wrong.push(`${file}: says nothing to users`);
      return wrong;
    });
  // Against the commit itself nothing has changed: only the files and the configuration are looked at.
  return none(faults) && passes(tool("@changesets/cli", "changeset"), ["status", "--since=HEAD"]);
}

const steps = {
  "format and lint": () =>
    passes(tool("@biomejs/biome", "biome"), [
      "check",
      "--error-on-warnings",
      `--colors=${process.stdout.isTTY ? "force" : "off"}`,
      ".",
    ]),
  build: () => turbo("build"),
  types: () => turbo("types"),
  // The table of ARCHITECTURE.md as a test; it also runs with all others.
  "import directions": () =>
    passes(tool("vitest"), [
      "run",
      `--root=${join(root, "packages/checks")}`,
      "--reporter=dot",
      "--no-color",
      "test/imports.test.ts",
    ]),
  "unused code": () => passes(tool("knip"), ["--no-progress", "--no-config-hints"]),
  "package completeness": () => none(publicPackages().flatMap(packageFaults)),
  "packed tarballs": packed,
  changesets,
};

const wanted = process.argv.slice(2).join(" ");
const results = [];
for (const [name, step] of Object.entries(steps)) {
  if (wanted !== "" && name !== wanted) continue;
  console.log(`\ncheck: ${name}`);
  const start = performance.now();
  let passed = false;
  try {
    passed = await step();
  } catch (error) {
    console.log(`  ${error.message}`);
  }
  results.push({ name, passed, seconds: (performance.now() - start) / 1000 });
}
if (results.length === 0)
  console.log(`check: no step "${wanted}" among ${Object.keys(steps).join(", ")}`);
console.log("");
for (const { name, passed, seconds } of results) {
  console.log(`check: ${passed ? "ok    " : "FAILED"} ${name} (${seconds.toFixed(1)} s)`);
}
process.exitCode = results.length > 0 && results.every(({ passed }) => passed) ? 0 : 1;
