/**
 * What the operating system said, as errors of this project.
 * Proof: test/filesystem-calls.test.ts.
 * @module
 */
import { AccessError, StorageError } from "@dm/core";

type SystemError = Error & { readonly code?: unknown; readonly syscall?: unknown };

const denied = new Set(["EACCES", "EPERM", "EROFS"]);
const full = new Set(["ENOSPC", "EDQUOT"]);
// Not ESTALE and EBADF: what a handle pointed at is gone, and trying again on it cannot help.
const passing = new Set([
  "EAGAIN",
  "EBUSY",
  "EINTR",
  "EIO",
  "EMFILE",
  "ENFILE",
  "ENOMEM",
  "ETIMEDOUT",
]);

/** The code of a failed system call, or the empty text for any other error. */
export function systemCode(error: unknown): string {
  const { code, syscall } = (error ?? {}) as SystemError;
  return typeof code === "string" && syscall !== undefined ? code : "";
}

/** Neither the file nor, perhaps, the directories on the way to it are there. */
export const isMissing = (error: unknown): boolean =>
  ["ENOENT", "ENOTDIR"].includes(systemCode(error));

/** Errors that are not the system's (an abort, one of ours) come back as they are. */
export function translated(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (code === "") return error;
  const { message } = error as Error;
  if (denied.has(code)) {
    const text = `no permission for ${path}: ${message}`;
    return new AccessError("DM_STORE_ACCESS_DENIED", text, { path }, { cause: error });
  }
  if (full.has(code)) {
    const text = `no space left for ${path}: ${message}`;
    return new StorageError("DM_STORE_NO_SPACE", text, { path }, { cause: error });
  }
  return new StorageError(
    "DM_STORE_FAILED",
    `${path}: ${message}`,
    { path, code },
    { cause: error, retryable: passing.has(code) },
  );
}
