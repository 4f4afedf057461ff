/**
 * What the operating system said while restoring, as a code and a sentence. Out of space names the file system and what is
 * missing on it. Proof: test/restore-tree.test.ts, test/restore-full.root.test.ts.
 * @module
 */
import { readFileSync, statfsSync, statSync } from "node:fs";
import { isDmError } from "@dm/core";

/** Why one entry is not there, or not as it should be; plain data, which may come from another thread. */
export interface Failure {
  readonly code: string;
  readonly reason: string;
}

/** The code of a failed system call, or the empty text for any other error. */
export function systemCode(error: unknown): string {
  const { code, syscall } = (error ?? {}) as {
    readonly code?: unknown;
    readonly syscall?: unknown;
  };
  return typeof code === "string" && syscall !== undefined ? code : "";
}

export const isNoSpace = (error: unknown): boolean =>
  ["ENOSPC", "EDQUOT"].includes(systemCode(error));

/**
 * The failure of an entry. What is neither a system call's nor ours is a defect of the program and is thrown on.
 * @param directory where it was to be written, for the free space there
 * @param missingBytes what was still to be written, once what had been written is gone again
 */
export function failureOf(error: unknown, directory: string, missingBytes = 0): Failure {
  const code = systemCode(error);
  if (isNoSpace(error)) return noSpace(code, directory, missingBytes);
  if (code !== "") return { code: "DM_RESTORE_FAILED", reason: systemText(error as Error) };
  if (isDmError(error)) return { code: error.code, reason: error.message };
  throw error;
}

/** Without the paths of system calls: they name a descriptor of this process, not a place that means something. */
function systemText(error: Error): string {
  return error.message.replace(/ '\/proc\/self\/fd\/.*$/s, "");
}

function noSpace(code: string, directory: string, neededBytes: number): Failure {
  if (code === "EDQUOT") {
    return {
      code: "DM_RESTORE_NO_SPACE",
      reason: `disk quota exceeded on ${fileSystemOf(directory)}; ${neededBytes} bytes were to be written`,
    };
  }
  const { bavail, bsize, ffree } = statfsSync(directory);
  const freeBytes = bavail * bsize;
  const where = `no space left on device: ${fileSystemOf(directory)}`;
  if (freeBytes >= neededBytes && ffree === 0)
    return { code: "DM_RESTORE_NO_SPACE", reason: `${where} has no free inodes` };
  const missing = Math.max(neededBytes - freeBytes, 0);
  return {
    code: "DM_RESTORE_NO_SPACE",
    reason: `${where} has ${freeBytes} bytes free of ${neededBytes} that are needed; ${missing} are missing`,
  };
}

/** `/data (ext4 on /dev/sdb1)`, as far as the system tells. */
export function fileSystemOf(directory: string): string {
  try {
    const { dev } = statSync(directory);
    const id = `${((dev >> 8) & 0xfff) | ((dev / 2 ** 32) & ~0xfff)}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
    for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n").reverse()) {
      const [before = "", after = ""] = line.split(" - ");
      const fields = before.split(" ");
      if (fields[2] !== id) continue;
      const [type = "", source = ""] = after.split(" ");
      const place = (fields[4] ?? "").replaceAll(/\\(\d{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      );
      return `${place} (${type} on ${source})`;
    }
  } catch {
    // No such listing here: the message goes without.
  }
  return "the target's file system";
}
