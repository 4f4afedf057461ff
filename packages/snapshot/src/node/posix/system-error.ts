/**
 * Errors of system calls with the shape and the words of Node's own, so that callers handle both alike.
 * Proof: test/posix.test.ts.
 * @module
 */
import { getSystemErrorMap } from "node:util";
import type { LocalPath } from "../../source/source-entry.ts";

/** @param errno as the system has it, positive; 0 when a back-end lost it */
export function systemError(
  errno: number,
  syscall: string,
  path?: LocalPath,
): NodeJS.ErrnoException {
  const [code, text] = getSystemErrorMap().get(-errno) ??
    moreErrors[errno] ?? [`ERRNO_${errno}`, `unknown error ${errno}`];
  const shown = typeof path === "string" ? path : path && Buffer.from(path).toString();
  const error: NodeJS.ErrnoException = new Error(
    `${code}: ${text}, ${syscall}${shown === undefined ? "" : ` '${shown}'`}`,
  );
  error.errno = -errno;
  error.code = code;
  error.syscall = syscall;
  if (shown !== undefined) error.path = shown;
  return error;
}

/** What libuv does not name; numbers of Linux, in the words of its manual. */
const moreErrors: Readonly<Record<number, readonly [string, string]>> = {
  122: ["EDQUOT", "disk quota exceeded"],
};
