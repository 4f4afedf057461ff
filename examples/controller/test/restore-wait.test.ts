/** A restored pod's first container ends when the files of all of its volumes are there, and not before. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { waitForRestore } from "../src/roles/restore-wait.ts";

let folder = "";
let paths: string[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dm-restore-wait-"));
  paths = ["data", "logs"].map((name) => join(folder, name));
  for (const path of paths) mkdirSync(path);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function mark(path: string, uid: string): void {
  mkdirSync(join(path, ".velero"), { recursive: true });
  writeFileSync(join(path, ".velero", uid), "");
}

it("waits for its own restore in every volume", async () => {
  const told: string[] = [];
  const stop = new AbortController();
  const options = { restoreUid: "this", pollMs: 1, signal: stop.signal };
  const done = waitForRestore({ ...options, paths, tell: (line) => told.push(line) });
  mark(paths[0] ?? "", "this");
  mark(paths[1] ?? "", "earlier");
  while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  expect(told).toEqual([`restored: ${paths[0]}`]);
  mark(paths[1] ?? "", "this");
  await done;
  expect(told).toHaveLength(2);
});

it("is not led by a directory of that name, and ends when it is stopped", async () => {
  const stop = new AbortController();
  mkdirSync(join(paths[0] ?? "", ".velero/this"), { recursive: true });
  const options = { restoreUid: "this", pollMs: 1, signal: stop.signal, tell() {} };
  const done = waitForRestore({ ...options, paths });
  stop.abort(new Error("stopped"));
  await expect(done).rejects.toThrow();
});

it("is a role of the program", async () => {
  for (const path of paths) mark(path, "this");
  const program = fileURLToPath(new URL("../src/dm-controller.ts", import.meta.url));
  const child = spawn(
    process.execPath,
    ["--conditions=@dm/source", program, "restore-wait", "this"],
    { env: { ...process.env, RESTORE_PATHS: paths.join(":") }, stdio: "ignore" },
  );
  expect(await once(child, "exit")).toEqual([0, null]);
});
