/**
 * Prints one line: the real servers that the tests have run against, with version and number of tests that passed. A test that
 * needs one is in a file `x.<program>.test.ts`; every run of vitest leaves its results behind.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");

/** Suffix of the files, name for people, and how its version is asked for. Others go by their suffix. */
const servers = {
  weed: ["SeaweedFS", ["weed", "version"], /\d+\.\d+(?= )/],
  sshd: ["OpenSSH", ["ssh", "-V"], /OpenSSH_([^ ,]+)/],
  azurite: ["Azurite", ["azurite-blob", "--version"], /\d+\.\d+\.\d+/],
  rclone: ["rclone", ["rclone", "version"], /v[\d.]+/],
};
const notServers = new Set(["kopia", "root"]);

/** Tests that passed, by suffix. */
function passedTests() {
  const passed = new Map(Object.keys(servers).map((suffix) => [suffix, 0]));
  for (const group of ["packages", "examples"]) {
    for (const name of readdirSync(join(root, group))) {
      const file = join(root, group, name, ".vitest/results.json");
      if (!existsSync(file)) continue;
      for (const suite of JSON.parse(readFileSync(file, "utf8")).testResults) {
        const suffix = /[/\\][^/\\.]+\.([a-z0-9-]+)\.test\.ts$/.exec(suite.name)?.[1];
        if (!suffix || notServers.has(suffix)) continue;
        const count = suite.assertionResults.filter(({ status }) => status === "passed").length;
        passed.set(suffix, (passed.get(suffix) ?? 0) + count);
      }
    }
  }
  return passed;
}

function versionOf([program, ...args], pattern) {
  const { stderr, stdout } = spawnSync(program, args, { encoding: "utf8" });
  const found = pattern.exec(`${stdout ?? ""}${stderr ?? ""}`);
  return found ? ` ${found[1] ?? found[0]}` : "";
}

const used = [];
const unused = [];
for (const [suffix, count] of passedTests()) {
  const [name, command, pattern] = servers[suffix] ?? [suffix];
  const version = command ? versionOf(command, pattern) : "";
  if (count > 0) used.push(`${name}${version} (${count} tests)`);
  else unused.push(name);
}
const missing = unused.length > 0 ? `; not used: ${unused.join(", ")}` : "";
console.log(`real servers: ${used.join(", ") || "none"}${missing}`);
