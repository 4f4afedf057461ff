/**
 * Keeps two maintenance runs with one configuration file apart, on one machine.
 *
 * Two locks are taken, both released by the kernel when the process ends, however it ends:
 * - an exclusive SQLite lock on `<config>.mlock.dm` (fcntl on POSIX, LockFileEx on Windows): excludes other users of
 *   this library;
 * - where there is a program `flock` (util-linux, busybox), flock(2) on `<config>.mlock`, held by a child process that
 *   ends with this one: excludes Kopia, which Node alone cannot, because it has no flock(2).
 *
 * Not protected from: clients with another configuration file or on another machine (maintenance ownership is for
 * that), file systems that do not lock (some network mounts), and Kopia where `excludesKopia` is false.
 * Format: docs/format/client-files.md. Proof: test/client-maintenance-lock.test.ts.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { ConflictError, nodeBuiltin, UnsupportedError } from "@dm/core";

export interface MaintenanceLock extends AsyncDisposable {
  /** Whether Kopia is kept out as well. */
  readonly excludesKopia: boolean;
  /** Gives the lock back; further calls do nothing. */
  release(): Promise<void>;
}

export interface MaintenanceLockOptions {
  /** The program to hold flock(2) with; `flock` by default, false for none. */
  readonly flockProgram?: string | false | undefined;
}

const sqliteBusy = 5;
// Both kinds of flock exit with 1 when the lock is taken; the shell's other codes mean that it could not try.
const flockConflict = 1;

/**
 * Takes the lock without waiting.
 * @throws {ConflictError} `DM_MAINTENANCE_RUNNING` when another process holds it
 * @example await using lock = await maintenanceLock(configPath);
 */
export async function maintenanceLock(
  configPath: string,
  options: MaintenanceLockOptions = {},
): Promise<MaintenanceLock> {
  const { flockProgram = "flock" } = options;
  await mkdir(dirname(configPath), { recursive: true, mode: 0o700 });
  const database = lockDatabase(`${configPath}.mlock.dm`, configPath);
  let holder: ChildProcess | undefined;
  try {
    if (flockProgram) holder = await holdFlock(flockProgram, `${configPath}.mlock`, configPath);
  } catch (error) {
    database.close();
    throw error;
  }
  let released: Promise<void> | undefined;
  const release = (): Promise<void> => {
    released ??= letGo(holder).finally(() => database.close());
    return released;
  };
  return { excludesKopia: holder !== undefined, release, [Symbol.asyncDispose]: release };
}

function lockDatabase(path: string, configPath: string): DatabaseSync {
  const sqlite = nodeBuiltin<typeof import("node:sqlite")>("node:sqlite");
  if (!sqlite)
    throw new UnsupportedError(
      "DM_LOCK_UNSUPPORTED",
      "this runtime has no node:sqlite to lock with",
    );
  let database: DatabaseSync | undefined;
  try {
    database = new sqlite.DatabaseSync(path);
    // Nothing is ever written: the transaction is the lock.
    database.exec("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE");
    return database;
  } catch (cause) {
    database?.close();
    if ((cause as { errcode?: number }).errcode !== sqliteBusy) throw cause;
    throw running(configPath, cause);
  }
}

/** A child that holds the lock until its standard input ends; undefined where flock(2) cannot be had. */
async function holdFlock(
  program: string,
  path: string,
  configPath: string,
): Promise<ChildProcess | undefined> {
  const child = spawn(program, ["-x", "-n", path, "cat"], {
    stdio: ["pipe", "pipe", "ignore"],
    // A process group of its own: an interrupt from the terminal must not end it before the run has wound up.
    detached: true,
  });
  child.on("error", () => undefined);
  // A child that ends early closes the pipe that is written to below.
  child.stdin.on("error", () => undefined);
  const ended = once(child, "close").then(
    ([code]) => ({ code: code as number | null }),
    // No such program.
    () => ({ code: null }),
  );
  child.stdin.write("held\n");
  // `cat` answers only once flock has taken the lock and started it.
  const answer = await Promise.race([
    once(child.stdout, "data").then(() => "held" as const),
    ended,
  ]);
  if (answer === "held") return child;
  if (answer.code === flockConflict) throw running(configPath);
  return undefined;
}

async function letGo(holder: ChildProcess | undefined): Promise<void> {
  if (!holder || holder.exitCode !== null || holder.signalCode !== null) return;
  const closed = once(holder, "close");
  holder.stdin?.end();
  await closed;
}

function running(configPath: string, cause?: unknown): ConflictError {
  return new ConflictError(
    "DM_MAINTENANCE_RUNNING",
    `maintenance is running already with configuration file ${configPath}`,
    { path: configPath },
    { cause },
  );
}
