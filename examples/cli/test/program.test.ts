/** The built program as a child process: exit codes, pipes, signals, and how soon it begins. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home } from "./run.ts";

const program = join(import.meta.dirname, "../dist/dm.js");

const home = new Home();
let password = "";

function start(args: readonly string[]): ChildProcessWithoutNullStreams {
  const env = { ...process.env, ...home.env, KOPIA_PASSWORD: password };
  return spawn(process.execPath, [program, ...args], { env });
}

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = start(args);
  let out = "";
  let err = "";
  child.stdout.on("data", (piece) => {
    out += piece;
  });
  child.stderr.on("data", (piece) => {
    err += piece;
  });
  const [code] = await once(child, "close");
  return { code, out, err };
}

beforeAll(async () => {
  const golden = await home.golden("v3-many-files");
  password = golden.expected.password;
});
afterAll(() => home[Symbol.dispose]());

describe("dm", () => {
  it("is a program", () => {
    expect(readFileSync(program, "utf8").startsWith("#!/usr/bin/env node\n")).toBe(true);
    expect(statSync(program).size).toBeLessThan(100_000);
  });

  it("runs no library before it knows the command", () => {
    const probe =
      "data:text/javascript,process.on('exit',()=>console.error(process.moduleLoadList.join()))";
    const builtins = (...args: string[]): string => {
      const child = spawnSync(process.execPath, ["--import", probe, program, ...args], {
        env: { ...process.env, ...home.env },
        encoding: "utf8",
      });
      expect(child.status).toBe(0);
      return child.stderr;
    };
    // What compression, storage and worker threads are made of.
    const ofLibraries = /NativeModule (zlib|fs\/promises|https?)\b/;
    expect(builtins("snapshot", "--help")).toMatch(ofLibraries);
    expect(builtins("--help")).toContain("NativeModule path");
    expect(builtins("--help")).not.toMatch(ofLibraries);
  });

  it("works on a repository, without progress in a pipe", async () => {
    const listed = await run("content", "list");
    expect([listed.code, listed.err]).toEqual([0, ""]);
    expect(listed.out).toBe((await home.ok("content list")).out);
    const verified = await run("content", "verify", "--full");
    expect(verified.code).toBe(0);
    expect(verified.err).toMatch(
      /^Verifying contents\.\.\.\nFinished verifying contents\nverifyCounters:\t\{.*\}\n$/,
    );
  });

  it("passes bytes on as they are", async () => {
    const id = (await home.ok("blob list --prefix p")).out.split(" ")[0]!;
    const child = start(["blob", "show", id]);
    const pieces: Buffer[] = [];
    child.stdout.on("data", (piece: Buffer) => pieces.push(piece));
    await once(child, "close");
    expect(Buffer.concat(pieces)).toEqual((await home.ok(["blob", "show", id])).bytes);
  });

  it("has exit codes", async () => {
    expect(await run("--version")).toMatchObject({ code: 0, err: "" });
    expect(await run("blob", "show", "nothing")).toMatchObject({ code: 1, out: "" });
    expect(await run("nonsense")).toMatchObject({ code: 2, out: "" });
  });

  it("ends quietly when nobody reads on", async () => {
    const child = start(["index", "inspect", "--all"]);
    let err = "";
    child.stderr.on("data", (piece) => {
      err += piece;
    });
    child.stdout.destroy();
    const [code, signal] = await once(child, "close");
    expect([code, signal, err]).toEqual([0, null, ""]);
  });

  it("ends as it would have when nobody reads its messages", async () => {
    const child = start(["--log-level", "debug", "content", "list"]);
    child.stderr.destroy();
    let out = "";
    child.stdout.on("data", (piece) => {
      out += piece;
    });
    const [code] = await once(child, "close");
    expect(code).toBe(0);
    expect(out).toBe((await home.ok("content list")).out);
  });

  const withoutFull = existsSync("/dev/full") ? "" : " (skipped: there is no /dev/full here)";
  it.skipIf(withoutFull)(`says so when its output cannot be written${withoutFull}`, () => {
    const full = openSync("/dev/full", "w");
    const env = { ...process.env, ...home.env, KOPIA_PASSWORD: password };
    const child = spawnSync(process.execPath, [program, "content", "list"], {
      env,
      stdio: ["ignore", full, "pipe"],
      encoding: "utf8",
    });
    closeSync(full);
    expect(child.stderr).toMatch(/^error: cannot write to standard output: ENOSPC[^\n]*\n$/);
    expect(child.status).toBe(1);
  });

  it("names the Node that it needs to one that is too old", () => {
    const { engines } = JSON.parse(
      readFileSync(join(import.meta.dirname, "../package.json"), "utf8"),
    ) as { engines: { node: string } };
    const answer = (version: string): { status: number | null; stderr: string } => {
      const old = `data:text/javascript,Object.defineProperty(process,"version",{value:"${version}"})`;
      const args = ["--import", old, program, "--version"];
      return spawnSync(process.execPath, args, { encoding: "utf8" });
    };
    for (const version of ["v18.20.0", "v20.20.2", "v22.18.9"]) {
      const { status, stderr } = answer(version);
      expect(stderr).toContain(`needs Node ${engines.node.slice(2)} or later, not ${version}`);
      expect(status).toBe(1);
    }
    expect(answer("v22.19.0").status).toBe(0);
    expect(answer("v24.0.0").status).toBe(0);
  });

  it("ends at an interrupt", async () => {
    const child = start(["benchmark", "encryption", "--repeat", "10000000"]);
    let err = "";
    child.stderr.on("data", (piece) => {
      if (err === "") child.kill("SIGINT");
      err += piece;
    });
    const [code, signal] = await once(child, "close");
    expect([code, signal]).toEqual([1, null]);
    expect(err).toMatch(/^Benchmarking .*\ninterrupted\n$/);
  });
});
