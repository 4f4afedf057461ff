/** Runs the real kopia as a user of a {@link Home}, and compares what it prints with what dm prints. */
import { spawn } from "node:child_process";
import { requirePeer } from "@dm/fixtures";
import { expect } from "vitest";
import type { Home } from "./run.ts";

export const kopia = requirePeer("kopia");

export interface KopiaOutcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Kopia with the home and the environment of a user, the configuration file included. */
export function runKopia(home: Home, args: readonly string[]): Promise<KopiaOutcome> {
  const flags = ["--no-use-keyring", "--disable-file-logging", "--disable-content-log"];
  const env = { PATH: process.env["PATH"], TZ: process.env["TZ"], HOME: home.folder, ...home.env };
  const child = spawn(kopia.path, [...flags, ...args], {
    env: { ...env, KOPIA_CHECK_FOR_UPDATES: "false" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return new Promise((resolve, reject) => {
    let out = "";
    let err = "";
    child.stdout.on("data", (piece) => {
      out += piece;
    });
    child.stderr.on("data", (piece) => {
      err += piece;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, err }));
  });
}

export async function kopiaOk(home: Home, line: string | readonly string[]): Promise<string> {
  const args = typeof line === "string" ? line.split(" ") : line;
  const { code, err, out } = await runKopia(home, args);
  if (code !== 0) throw new Error(`kopia ${args.join(" ")} ended with ${code}\n${err}`);
  return out;
}

export const sorted = (text: string): string[] => text.split("\n").sort();

/** Rows of a JSON list; kopia lists blobs in another order than we do. */
export const jsonRows = (text: string): unknown[] =>
  (JSON.parse(text) as { id: string }[]).sort((a, b) => (a.id < b.id ? -1 : 1));

/** Runs the same command line with both and compares what they print. */
export async function expectEqual(
  home: Home,
  line: string | readonly string[],
  form: (text: string) => unknown = (text) => text,
): Promise<void> {
  const [theirs, ours] = await Promise.all([kopiaOk(home, line), home.ok(line)]);
  expect(form(ours.out), String(line)).toEqual(form(theirs));
}
