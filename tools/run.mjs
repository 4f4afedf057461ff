#!/usr/bin/env node
/**
 * The bootstrap behind `npm test`, `npm start` and the other root scripts. It needs only git and Node >= 18 with npm:
 * it installs what the lockfile names, chooses the pinned Node, and hands over to turbo. No dependencies of its own.
 */
import { spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { delimiter, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import {
  nodeVersion,
  oldestNode,
  otherNode,
  otherNodes,
  pinnedNode,
  platformPackage,
} from "./node-lines.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

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
  env.TURBO_NO_UPDATE_NOTIFIER = "1";
  env.DO_NOT_TRACK = "1";
  return env;
}

const env = childEnvironment();

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, env, stdio: "inherit", ...options });
  if (result.error) fail(`cannot start ${command}: ${result.error.message}`);
  if (result.signal) {
    console.error(`dm: ${command} ended by ${result.signal}`);
    return 1;
  }
  return result.status ?? 1;
}

function must(command, args, options) {
  const status = run(command, args, options);
  if (status !== 0) process.exit(status);
}

function workspaces() {
  return ["packages", "examples"]
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => readdirSync(join(root, folder)).map((name) => join(root, folder, name)))
    .filter((path) => existsSync(join(path, "package.json")));
}

/** pnpm copies the lockfile when an install is complete, so equal bytes mean that nothing is to be done. */
function installed() {
  const wanted = join(root, "pnpm-lock.yaml");
  const present = join(root, "node_modules/.pnpm/lock.yaml");
  if (!existsSync(present) || !readFileSync(wanted).equals(readFileSync(present))) return false;
  return workspaces().every((path) => existsSync(join(path, "node_modules")));
}

function install() {
  if (installed()) return;
  say("installing dependencies");
  const flags = [
    "install",
    "--frozen-lockfile",
    "--prefer-offline",
    "--config.confirmModulesPurge=false",
  ];
  const local = join(root, "node_modules/pnpm/bin/pnpm.cjs");
  if (existsSync(local)) {
    const status = run(process.execPath, [local, ...flags]);
    if (status === 0) return;
    // With another store (another home directory) pnpm makes node_modules anew, and so removes itself.
    if (existsSync(local)) process.exit(status);
    say("installing dependencies again, with pnpm from npm");
  }
  const pnpm = ["exec", "--yes", "--prefer-offline", `--package=${manifest.packageManager}`];
  must("npm", [...pnpm, "--", "pnpm", ...flags]);
}

const numbers = (version) => version.replace(/^v/, "").split(".").map(Number);

function atLeast(version, floor) {
  const [major, minor] = numbers(version);
  const [floorMajor, floorMinor] = numbers(floor);
  return major > floorMajor || (major === floorMajor && minor >= floorMinor);
}

/** The pinned Node when its binary starts here, else the host's when it is new enough. */
function chooseNode() {
  const binary = pinnedNode();
  const version = binary && nodeVersion(binary);
  if (version) return { binary, version };
  const name = platformPackage();
  if (!atLeast(process.version, oldestNode)) {
    fail(
      `the pinned Node (npm package ${name}) does not run here, and this machine's Node ${process.version} is older than ${oldestNode}: install Node >= ${oldestNode} and try again`,
    );
  }
  say(
    `the pinned Node (npm package ${name}) does not run here; using ${process.version} of this machine`,
  );
  // Launchers in node_modules/.bin prefer a `node` beside them to the one on PATH.
  rmSync(join(root, "node_modules/.bin/node"), { force: true });
  return { binary: process.execPath, version: process.version };
}

function onPath(...programs) {
  for (const program of programs) {
    for (const folder of (env.PATH ?? "").split(delimiter)) {
      try {
        accessSync(join(folder, program), constants.X_OK);
        return join(folder, program);
      } catch {}
    }
  }
  return undefined;
}

/** A program and its age, so that another build of it at the same place counts as another one. */
function describeProgram(path) {
  if (!path || !existsSync(path)) return path;
  const { size, mtimeMs } = statSync(path);
  return `${path}:${size}:${Math.floor(mtimeMs)}`;
}

/** What of the optional peers is here: part of turbo's hash, so that a cached skip is not taken for a run. */
function peers() {
  const found = {
    kopia: describeProgram(env.KOPIA || onPath("kopia")),
    kubectl: describeProgram(onPath("kubectl")),
    chromium: describeProgram(onPath("chromium", "chromium-browser", "google-chrome")),
    s3: describeProgram(onPath("weed")),
    sshd: describeProgram(onPath("sshd") ?? ["/usr/sbin/sshd"].find((path) => existsSync(path))),
    rclone: describeProgram(onPath("rclone")),
    azurite: describeProgram(onPath("azurite-blob")),
    gcs: describeProgram(onPath("fake-gcs-server")),
    root: process.getuid?.() === 0 ? "yes" : undefined,
  };
  return Object.entries(found)
    .filter(([, where]) => where)
    .map(([name, where]) => `${name}=${where}`)
    .join(" ");
}

function turbo(task, extra = []) {
  const program = join(root, "node_modules/turbo/bin/turbo");
  return run(node.binary, [program, "run", task, "--output-logs=new-only", ...extra]);
}

const resultFile = (path) => join(path, ".vitest/results.json");
const scriptsOf = (path) =>
  JSON.parse(readFileSync(join(path, "package.json"), "utf8")).scripts ?? {};

/** Why a test failed, short enough for a line or two. */
const firstLines = (messages) =>
  (messages?.[0] ?? "").split("\n").slice(0, 3).join(" | ").slice(0, 500);

/** Adds the result files that every vitest run leaves behind to `total`, and names what was skipped or failed, and where. */
function countTests(total = { passed: 0, failed: 0, skipped: 0 }) {
  const skipped = new Map();
  const failed = [];
  for (const path of workspaces()) {
    if (!existsSync(resultFile(path))) continue;
    for (const suite of JSON.parse(readFileSync(resultFile(path), "utf8")).testResults) {
      // A file that cannot be loaded has no tests to count: it is one failure.
      if (suite.status === "failed" && !suite.assertionResults.some((t) => t.status === "failed")) {
        total.failed += 1;
        failed.push(`${relative(root, suite.name)}: ${firstLines([suite.message])}`);
      }
      for (const test of suite.assertionResults) {
        if (test.status === "passed") total.passed += 1;
        else if (test.status === "failed") {
          total.failed += 1;
          const title = [...test.ancestorTitles, test.title].join(" > ");
          failed.push(
            `${relative(root, suite.name)}: ${title}: ${firstLines(test.failureMessages)}`,
          );
        } else {
          total.skipped += 1;
          const titles = [...test.ancestorTitles, test.title];
          // One line for all tests of a suite whose own title has the reason.
          const title = titles[0].includes("(skipped: ") ? titles[0] : titles.join(" > ");
          const where = `${relative(root, suite.name)}: ${title}`;
          skipped.set(where, (skipped.get(where) ?? 0) + 1);
        }
      }
    }
  }
  for (const [where, count] of skipped) {
    say(`SKIPPED ${count} ${count === 1 ? "test" : "tests"} in ${where}`);
  }
  // Last, so that the end of a log names the failures.
  for (const failure of failed) say(`FAILED ${failure}`);
  return total;
}

function forgetResults() {
  for (const path of workspaces()) rmSync(join(path, ".vitest"), { recursive: true, force: true });
}

/** Prints the line that counts the tests, last, and gives the exit code. */
function conclude(status, total) {
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return status === 0 && total.failed > 0 ? 1 : status;
}

function test(extra) {
  try {
    env.DM_NODE_OLDEST = otherNode(oldestNode, { env, say });
  } catch (error) {
    // The packaging tests then fail and say so.
    say(error.message);
  }
  // turbo brings back the results of packages whose tests need not run again.
  forgetResults();
  const flags = ["--continue=dependencies-successful", "--concurrency=2"];
  let status = turbo("test", [...flags, ...extra]);
  const total = countTests();
  if (extra.length === 0) {
    for (const path of workspaces()) {
      if (!scriptsOf(path).test || existsSync(resultFile(path))) continue;
      say(`NO RESULT from the tests of ${relative(root, path)}`);
      status ||= 1;
    }
  }
  return conclude(status, total);
}

/** The built packages on every other supported Node line. A launcher would run the pinned Node, so vitest is started directly. */
function testNodes(extra) {
  let status = turbo("build");
  if (status !== 0) return status;
  const total = { passed: 0, failed: 0, skipped: 0 };
  const path = env.PATH;
  for (const version of otherNodes) {
    const binary = otherNode(version, { env, say });
    env.PATH = [dirname(binary), path].join(delimiter);
    env.DM_NODE = `v${version}`;
    forgetResults();
    for (const cwd of workspaces()) {
      // The workspace checks run the packed packages on the oldest Node by themselves.
      if (!scriptsOf(cwd).test || cwd.endsWith("checks")) continue;
      say(`testing ${relative(root, cwd)} with Node ${version}`);
      status =
        run(binary, [join(cwd, "node_modules/vitest/vitest.mjs"), "run", ...extra], { cwd }) ||
        status;
    }
    countTests(total);
  }
  return conclude(status, total);
}

/** The main job, on an embedded cluster; the command line looks at what it made. */
function start(extra) {
  const status = turbo("build", ["--filter=@dm/reference", "--filter=@dm/cli"]);
  if (status !== 0) return status;
  // Ctrl-C reaches the child too, which cleans up: the prompt comes back when it has.
  process.on("SIGINT", () => {});
  return run(node.binary, [join(root, "examples/controller/dist/start.js"), ...extra]);
}

const tasks = {
  build: (extra) => turbo("build", extra),
  test,
  "test:full": (extra) => {
    env.DM_FULL = "1";
    return test(extra);
  },
  "test:nodes": testNodes,
  check: (extra) => run(node.binary, [join(root, "tools/check.mjs"), ...extra]),
  bench: (extra) => turbo("bench", ["--concurrency=1", "--output-logs=full", ...extra]),
  format: () =>
    run(node.binary, [
      join(root, "node_modules/@biomejs/biome/bin/biome"),
      "check",
      "--write",
      ".",
    ]),
  start,
};

const [task, ...extra] = process.argv.slice(2);
if (!Object.hasOwn(tasks, task ?? "")) fail(`usage: run.mjs ${Object.keys(tasks).join("|")}`);
install();
const node = chooseNode();
env.PATH = [dirname(node.binary), join(root, "node_modules/.bin"), env.PATH].join(delimiter);
env.DM_NODE = node.version;
env.DM_PEERS = peers();
say(`${task} with Node ${node.version}`);
try {
  process.exitCode = tasks[task](extra);
} catch (error) {
  fail(error.message);
}
