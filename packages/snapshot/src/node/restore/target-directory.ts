/**
 * Directories that a restore writes into, held open so that no name on the way can lead elsewhere.
 *
 * On Linux names are resolved from the open directory itself (`/proc/self/fd/N/name`): whatever happens to the path above
 * it meanwhile, nothing is written outside. Elsewhere the path is compared with the open directory right before each use,
 * which leaves a moment between the two. A directory is entered only if it is none of those links.
 * Proof: test/restore-hostile.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import {
  type BigIntStats,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  unlinkSync,
} from "node:fs";
import { ConflictError } from "@dm/core";
import { systemCode } from "./failures.ts";

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;

/** Whether names can be resolved from an open directory. */
const hasDescriptorPaths = process.platform === "linux" && existsSync("/proc/self/fd");

/** Proof that a path still leads to the directory that was opened; needed where names cannot be resolved from it. */
export interface PathGuard {
  readonly path: string;
  readonly deviceId: bigint;
  readonly inode: bigint;
}

export interface OpenDirectory {
  readonly fd: number;
  /** Goes before a name: the two together are a path. */
  readonly prefix: string;
  readonly guard: PathGuard | undefined;
  /** Made by this restore: nothing was in it. */
  readonly isFresh: boolean;
}

/** Opens a directory that the caller names: links on the way are the caller's. */
export function openDirectory(path: string, isFresh: boolean): OpenDirectory {
  return opened(openSync(path, O_RDONLY | O_DIRECTORY), path, isFresh);
}

function opened(fd: number, path: string, isFresh: boolean): OpenDirectory {
  if (hasDescriptorPaths) return { fd, prefix: `/proc/self/fd/${fd}/`, guard: undefined, isFresh };
  const { dev: deviceId, ino: inode } = fstatSync(fd, { bigint: true });
  return { fd, prefix: `${path}/`, guard: { path, deviceId, inode }, isFresh };
}

/** @throws {ConflictError} `DM_RESTORE_TARGET_CONFLICT` when somebody has exchanged the directory */
export function checkGuard(guard: PathGuard | undefined): void {
  if (!guard) return;
  const { dev, ino } = lstatSync(guard.path, { bigint: true });
  if (dev === guard.deviceId && ino === guard.inode) return;
  throw conflict(`${JSON.stringify(guard.path)} was exchanged while it was restored`);
}

export const conflict = (reason: string): ConflictError =>
  new ConflictError("DM_RESTORE_TARGET_CONFLICT", reason);

/**
 * Makes a directory in another, or opens the one that is there. Links are not followed.
 * @throws {ConflictError} `DM_RESTORE_TARGET_CONFLICT`
 */
export function enterDirectory(
  parent: OpenDirectory,
  name: string,
  overwrite: boolean,
): OpenDirectory {
  checkGuard(parent.guard);
  const path = parent.prefix + name;
  const isFresh = makeDirectory(path);
  let fd: number;
  try {
    fd = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (!["ELOOP", "ENOTDIR"].includes(systemCode(error))) throw error;
    throw conflict(
      `${kindOf(lstatSync(path, { bigint: true }))} is in the place of this directory`,
    );
  }
  const directory = opened(fd, path, isFresh);
  if (!isFresh && !overwrite && readdirSync(directory.prefix).length > 0) {
    closeSync(fd);
    throw conflict("the directory is there and not empty, and is not to be overwritten");
  }
  return directory;
}

/** Opens a directory that is there, unless a link leads to it. */
export function enterExisting(parent: OpenDirectory, name: string): OpenDirectory {
  checkGuard(parent.guard);
  const path = parent.prefix + name;
  return opened(openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), path, false);
}

/** Only the owner may look until its own mode is set. */
function makeDirectory(path: string): boolean {
  try {
    mkdirSync(path, 0o700);
    return true;
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false;
    throw error;
  }
}

export function kindOf(stat: BigIntStats): string {
  if (stat.isDirectory()) return "a directory";
  if (stat.isSymbolicLink()) return "a symbolic link";
  if (stat.isFile()) return "a file";
  return "a device, pipe or socket";
}

/**
 * The name under which a file is written until it is whole. Its process is in it, so that another run tells what was left
 * behind from what is being written.
 */
let lastNumber = 0;
const run = randomBytes(5).toString("hex");
export const temporaryName = (): string => `.dm-restore-${process.pid}-${run}-${lastNumber++}.part`;

const temporaryPattern = /^\.dm-restore-(\d+)-[0-9a-f]{10}-\d+\.part$/;

/** Removes what restores that were killed have left in a directory; answers how many. */
export function removeLeftovers(directory: OpenDirectory): number {
  let count = 0;
  for (const name of readdirSync(directory.prefix)) {
    const pid = temporaryPattern.exec(name)?.[1];
    if (pid === undefined || isRunning(Number(pid))) continue;
    unlinkSync(directory.prefix + name);
    count += 1;
  }
  return count;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === "EPERM";
  }
}

export interface Removed {
  files: number;
  directories: number;
  symlinks: number;
}

/** Removes an entry and everything below it; links are removed, never followed. */
export function removeEntry(parent: OpenDirectory, name: string, removed: Removed): void {
  checkGuard(parent.guard);
  const path = parent.prefix + name;
  const stat = lstatSync(path, { bigint: true });
  if (!stat.isDirectory()) {
    unlinkSync(path);
    if (stat.isSymbolicLink()) removed.symlinks += 1;
    else removed.files += 1;
    return;
  }
  const directory = opened(openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), path, false);
  try {
    for (const child of readdirSync(directory.prefix)) removeEntry(directory, child, removed);
  } finally {
    closeSync(directory.fd);
  }
  rmdirSync(path);
  removed.directories += 1;
}
