// The program as it is built: it knows its roles, and refuses what it does not know before it looks for a cluster.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const program = fileURLToPath(new URL("../dist/dm-controller.js", import.meta.url));
const run = (...args: string[]) =>
  spawnSync(process.execPath, [program, ...args], { encoding: "utf8", env: {} });

it("has a role for every process", () => {
  const { status, stdout } = run("--help");
  expect(status).toBe(0);
  for (const role of ["server", "node-agent", "operator", "mover", "maintenance", "restore-wait"])
    expect(stdout).toMatch(new RegExp(`^ +${role} `, "m"));
});

it.each([
  [["server", "--metrics-port=web"], "web is no port"],
  [["server", "--metrics-port=70000"], "70000 is no port"],
  [["operator", "--log-format=xml"], "Allowed choices are json, text"],
  [["node-agent", "--resource-timeout=soon"], "It is no duration"],
  [["node-agent", "--data-mover-prepare-timeout=soon"], "It is no duration such as 30m"],
  [["server", "--default-backup-ttl=soon"], "It is no duration such as 30m"],
  [["server", "--no-such-flag"], "unknown option"],
])("refuses %j with exit code 2", (args, text) => {
  const { status, stderr } = run(...args);
  expect(stderr).toContain(text);
  expect(status).toBe(2);
});

it("names what its pod has to give it", () => {
  const { status, stderr } = run("node-agent");
  expect(stderr).toContain("the environment has no POD_NAMESPACE");
  expect(status).toBe(1);
});
