/**
 * Chooses the back-end of the seam: the first one that answers a few harmless calls as a system does.
 * Why this order: docs/decisions/0008. Proof: test/posix.test.ts.
 * @module
 */
import { closeSync, openSync } from "node:fs";
import { UnsupportedError } from "@dm/core";
import { bindWithKoffi } from "./koffi.ts";
import { darwinSignatures, type LibC, signatures } from "./libc.ts";
import { bindWithNodeFfi } from "./node-ffi.ts";
import { createPlainPosix } from "./plain-posix.ts";
import type { Posix } from "./posix.ts";
import { createSystemPosix } from "./system-posix.ts";

export type PosixBackend = Posix["backend"];

/** Which back-end is wanted. */
export interface LoadPosixOptions {
  /** Takes this one or fails. Default: the environment variable `DM_POSIX`, else the best one that works. */
  readonly backend?: PosixBackend | undefined;
}

const backends: readonly PosixBackend[] = ["node:ffi", "koffi", "none"];
const loaded = new Map<PosixBackend | "", Promise<Posix>>();

/**
 * The system calls that Node does not offer. Costs 2 to 30 ms once a thread; afterwards the same instance is returned.
 * @throws {UnsupportedError} `DM_POSIX_UNAVAILABLE` when the back-end that was asked for does not work here
 * @example (await loadPosix()).setTimes(path, 0n, 1_770_091_506_123_456_789n);
 */
export function loadPosix(options: LoadPosixOptions = {}): Promise<Posix> {
  const wanted = (options.backend ?? process.env["DM_POSIX"] ?? "") as PosixBackend | "";
  let posix = loaded.get(wanted);
  if (posix === undefined) {
    posix = wanted === "" ? loadBest() : loadOne(wanted);
    loaded.set(wanted, posix);
  }
  return posix;
}

/** Which back-end serves, and what is lost with it: for a line in a program's log or its list of versions. */
export async function describePosix(
  options: LoadPosixOptions = {},
): Promise<Pick<Posix, "backend" | "losses">> {
  const { backend, losses } = await loadPosix(options);
  return { backend, losses };
}

async function loadBest(): Promise<Posix> {
  for (const backend of backends) {
    try {
      return await open(backend);
    } catch {
      // The next one; the last always opens.
    }
  }
  return createPlainPosix();
}

async function loadOne(backend: PosixBackend): Promise<Posix> {
  if (!backends.includes(backend))
    throw unavailable(backend, `known are ${backends.join(", ")}`, undefined);
  try {
    return await open(backend);
  } catch (cause) {
    throw unavailable(backend, (cause as Error).message, cause);
  }
}

function unavailable(backend: string, why: string, cause: unknown): UnsupportedError {
  return new UnsupportedError(
    "DM_POSIX_UNAVAILABLE",
    `the system-call back-end ${backend} does not work here: ${why}`,
    { backend },
    { cause },
  );
}

async function open(backend: PosixBackend): Promise<Posix> {
  if (backend === "none") return createPlainPosix();
  const { platform } = process;
  if (platform !== "linux" && platform !== "darwin") throw new Error(`not made for ${platform}`);
  const table = platform === "linux" ? signatures : darwinSignatures;
  const libc =
    backend === "koffi"
      ? await bindWithKoffi(table)
      : bindWithNodeFfi(table, platform === "linux" ? "__errno_location" : "__error");
  probe(libc);
  return createSystemPosix(libc);
}

const [enoent, ebadf] = [2, 9];

/** Harmless calls with known answers: the arguments arrive whole, 64 bits wide, and `errno` is the thread's. */
function probe(libc: LibC): void {
  const encoder = new TextEncoder();
  const nowhere = encoder.encode("/nonexistent/posix-probe\0");
  expectRefusal(libc.utimensat(-1, nowhere, new Uint8Array(32), 0), enoent, libc);
  expectRefusal(libc.lseek(-1, 0n, 0), ebadf, libc);
  if (process.platform === "linux") {
    const bytes = new Uint8Array(8);
    const name = encoder.encode("user.probe\0");
    expectRefusal(libc.llistxattr(nowhere, bytes, 8n), enoent, libc);
    expectRefusal(libc.lgetxattr(nowhere, name, bytes, 8n), enoent, libc);
    expectRefusal(libc.lsetxattr(nowhere, name, bytes, 8n, 0), enoent, libc);
    expectRefusal(libc.lremovexattr(nowhere, name), enoent, libc);
    expectRefusal(libc.fallocate(-1, 0, 0n, 1n), ebadf, libc);
    expectRefusal(libc.syncfs(-1), ebadf, libc);
  }
  const fd = openSync(process.execPath, "r");
  try {
    const far = 2 ** 40 + 3;
    if (Number(libc.lseek(fd, BigInt(far), 0)) !== far) throw new Error("64 bits do not arrive");
  } finally {
    closeSync(fd);
  }
}

function expectRefusal(result: number | bigint, errno: number, libc: LibC): void {
  const seen = libc.errno();
  if (Number(result) !== -1 || seen !== errno)
    throw new Error(`a call that must fail with ${errno} gave ${result} and ${seen}`);
}
