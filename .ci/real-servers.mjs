/**
 * Prints one line: the real servers that the tests have run against, with version and number of tests that passed. A test that
 * needs one is in a file `x.<program>.test.ts`; every run of vitest leaves its results behind.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");

const servers = {
  weed: ["SeaweedFS", ["weed", "version"], /\d+\.\d+(?= )/],
  sshd: ["OpenSSH", ["ssh", "-V"], /OpenSSH_([^ ,]+)/],
  rclone: ["rclone", ["rclone", "version"], /v[\d.]+/],
};

function passedIn(suffix) {
  let count = 0;
  for (const group of ["packages", "examples"]) {
    for (const name of readdirSync(join(root, group))) {
      const file = join(root, group, name, ".vitest/results.json");
      if (!existsSync(file)) continue;
      for (const suite of JSON.parse(readFileSync(file, "utf8")).testResults) {
        if (!suite.name.endsWith(`.${suffix}.test.ts`)) continue;
        count += suite.assertionResults.filter(({ status }) => status === "passed").length;
      }
    }
  }
  return count;
}

function versionOf([program, ...args], pattern) {
  const { stderr, stdout } = spawnSync(program, args, { encoding: "utf8" });
  const found = pattern.exec(`${stdout ?? ""}${stderr ?? ""}`);
  return found ? ` ${found[1] ?? found[0]}` : "";
}

const used = [];
const unused = [];
for (const [suffix, [name, command, pattern]] of Object.entries(servers)) {
  const count = passedIn(suffix);
  if (count > 0) used.push(`${name}${versionOf(command, pattern)} (${count} tests)`);
  else unused.push(name);
}
const missing = unused.length > 0 ? `; not used: ${unused.join(", ")}` : "";
console.log(`real servers: ${used.join(", ") || "none"}${missing}`);
