/**
 * File modes: stored in Go's numbering, where setuid, setgid and sticky lie above bit 19; here in POSIX's, as `lstat` has
 * them. Other bits are never written and are dropped on reading.
 * Format: docs/format/directories.md. Proof: test/mode.test.ts, test/golden.test.ts.
 * @module
 */

const flags = [
  { posix: 0o4000, go: 1 << 23, letter: "u" },
  { posix: 0o2000, go: 1 << 22, letter: "g" },
  { posix: 0o1000, go: 1 << 20, letter: "t" },
] as const;

/** Go's number for the permission bits and the three flags of a POSIX mode; its file type is ignored. */
export function goModeFromPosix(mode: number): number {
  let go = mode & 0o777;
  for (const flag of flags) if (mode & flag.posix) go |= flag.go;
  return go;
}

/** Permission bits and the three flags, 0 to 0o7777. */
export function posixModeFromGo(go: number): number {
  let mode = go & 0o777;
  for (const flag of flags) if (go & flag.go) mode |= flag.posix;
  return mode;
}

/** The stored text: `0` and the octal digits. */
export function encodeMode(mode: number): string {
  return `0${goModeFromPosix(mode).toString(8)}`;
}

/** The mode of a stored text, a Go integer literal of at most 31 bits; undefined when it is none. */
export function decodeMode(text: string): number | undefined {
  let go: number;
  if (/^0[0-7]*$/.test(text)) go = Number.parseInt(text, 8);
  else if (/^(?:[1-9]\d*|0[xX][\da-fA-F]+|0[oO][0-7]+|0[bB][01]+)$/.test(text)) go = Number(text);
  else return undefined;
  return go < 2 ** 31 ? posixModeFromGo(go) : undefined;
}

/** As Go prints it: `drwxr-xr-x`, `-rw-r--r--`, `Lrwxrwxrwx`, `dtrwxrwxrwx`, `ugrwxr-xr-x`. */
export function formatMode(type: string, mode: number): string {
  let head = type === "d" ? "d" : type === "s" ? "L" : "";
  for (const { letter, posix } of flags) if (mode & posix) head += letter;
  let permissions = "";
  for (let bit = 8; bit >= 0; bit--) permissions += mode & (1 << bit) ? "xwr"[bit % 3] : "-";
  return `${head === "" ? "-" : head}${permissions}`;
}
