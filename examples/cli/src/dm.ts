#!/usr/bin/env node
/** The program `dm`: process and terminal on one side, `main` on the other. */
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { commandName } from "./command-name.ts";
import { beginKey } from "./early-key.ts";

/** What a user of an older Node would see otherwise is a missing method, after half of the work. */
function assertNodeIsNew(): void {
  const [major = 0, minor = 0] = process.version.slice(1).split(".").map(Number);
  if (major > 22 || (major === 22 && minor >= 19)) return;
  process.stderr.write(`error: dm needs Node 22.19 or later, not ${process.version}\n`);
  process.exit(1);
}

/**
 * Node keeps what it has compiled for the next run. In the cache of this user, for what lies there is run as code, and the
 * default is a folder that all users of the machine may write to. Where nothing can be written, nothing is kept. Of a module,
 * what the first run has used is kept and nothing later, so each command has a folder of its own.
 */
function keepCompiledCode(argv: readonly string[]): void {
  const { HOME, LOCALAPPDATA, XDG_CACHE_HOME } = process.env;
  const cache = XDG_CACHE_HOME || LOCALAPPDATA || (HOME && join(HOME, ".cache"));
  if (cache) enableCompileCache(join(cache, "dm", "compiled", commandName(argv)));
}

assertNodeIsNew();
keepCompiledCode(process.argv.slice(2));
const earlyKey = beginKey(process.argv.slice(2), process.env);

/** Small writes to a pipe are collected: one system call for each of a million lines costs more than the lines. */
const collectBytes = 1 << 16;
let collected: (string | Uint8Array)[] = [];
let collectedBytes = 0;

async function out(data: string | Uint8Array): Promise<void> {
  collected.push(data);
  collectedBytes += data.length;
  if (process.stdout.isTTY || collectedBytes >= collectBytes) await flush();
}

async function flush(): Promise<void> {
  const parts = collected;
  collected = [];
  collectedBytes = 0;
  const bytes = Buffer.concat(
    parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)),
  );
  if (bytes.length === 0 || process.stdout.write(bytes)) return;
  await new Promise((resolve) => process.stdout.once("drain", resolve));
}

async function askSecret(prompt: string): Promise<string | undefined> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  process.stderr.write(prompt);
  const reader = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return await reader.question("", { signal: interruption.signal });
  } finally {
    reader.close();
    process.stderr.write("\n");
  }
}

async function ask(prompt: string): Promise<string | undefined> {
  process.stderr.write(prompt);
  const reader = createInterface({ input: process.stdin });
  try {
    for await (const line of reader) return line;
    return undefined;
  } finally {
    reader.close();
  }
}

const interruption = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  // The second one ends the process at once, as without a handler.
  process.once(name, () => interruption.abort(new Error(`received ${name}`)));
}

// Work goes on when nobody reads the messages about it; the exit code still tells how it went.
process.stderr.on("error", () => {});

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // Whoever reads has seen enough (`dm content list | head`).
  if (error.code === "EPIPE") process.exit(0);
  process.stderr.write(`error: cannot write to standard output: ${error.message}\n`);
  process.exit(1);
});

/** Whoever writes to it may go on for hours after an interruption, and would keep the process. */
let isStdinOpen = false;

async function run(): Promise<void> {
  const { main } = await import("./main.ts");
  process.exitCode = await main(process.argv.slice(2), {
    env: process.env,
    out,
    err: (message) => process.stderr.write(message),
    readStdin: () => text(process.stdin),
    openStdin: () => {
      isStdinOpen = true;
      return process.stdin;
    },
    askSecret,
    ask,
    isTerminal: process.stderr.isTTY === true,
    signal: interruption.signal,
    earlyKey,
  });
  await flush();
  if (isStdinOpen) process.stdin.destroy();
}

void run();
