/**
 * What a failure says in a snapshot, in the words that Kopia uses: they are part of directory objects.
 * Format: docs/format/directories.md. Proof: test/failure-text.test.ts, test/upload.kopia.test.ts.
 * @module
 */
import type { SourceEntry } from "../source/source-entry.ts";

/** What a system call failed with, as Node reports it. */
interface SystemError extends Error {
  readonly code: string;
  readonly syscall: string;
}

/** Where the words of Go and libuv differ. */
const goWords: Readonly<Record<string, string>> = {
  EBUSY: "device or resource busy",
  EIO: "input/output error",
  ELOOP: "too many levels of symbolic links",
  EMFILE: "too many open files",
  ENFILE: "too many open files in system",
  ENAMETOOLONG: "file name too long",
  ENODEV: "no such device",
  ENOTCONN: "transport endpoint is not connected",
  ENXIO: "no such device or address",
  EREMOTEIO: "remote I/O error",
  ESTALE: "stale file handle",
  ETXTBSY: "text file busy",
};

/** What Kopia calls what it was about, and says before. */
const calls: Readonly<Record<string, Readonly<Record<string, readonly [string, string]>>>> = {
  f: {
    open: ["open", "unable to open file: unable to open local file: "],
    read: ["read", ""],
  },
  d: {
    scandir: ["open", "unable to read directory: "],
    opendir: ["open", "unable to read directory: "],
  },
  s: { readlink: ["readlink", "unable to read symlink: "] },
};

/** @param ignoreRules whether the upload looks for rules, which Kopia mentions where a directory cannot be listed */
export function failureText(source: SourceEntry, error: unknown, ignoreRules: boolean): string {
  if (!isSystemError(error)) return error instanceof Error ? error.message : String(error);
  const [call, before] = calls[source.type]?.[error.syscall] ?? [error.syscall, ""];
  const text = `${before}${call} ${pathOf(source, error)}: ${wordsOf(error)}`;
  return ignoreRules && source.type === "d" ? `cannot create iterator: ${text}` : text;
}

function isSystemError(error: unknown): error is SystemError {
  const { code, syscall } = (error ?? {}) as Partial<SystemError>;
  return error instanceof Error && typeof code === "string" && typeof syscall === "string";
}

function pathOf(source: SourceEntry, error: SystemError): string {
  const { path } = error as { path?: unknown };
  const own = source.type === "failure" ? path : (source.localPath ?? path);
  if (own instanceof Uint8Array) return new TextDecoder().decode(own);
  return typeof own === "string" ? own : source.name;
}

/** From `EACCES: permission denied, open '/x'`. */
function wordsOf({ code, message }: SystemError): string {
  const words = /^[A-Z0-9]+: (.*?), /.exec(message)?.[1];
  return goWords[code] ?? words ?? code;
}
