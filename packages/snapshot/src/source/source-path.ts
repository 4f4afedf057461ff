/**
 * Paths in the names of sources and policies, as text of whichever system they come from: `/a/b`, `C:\a\b`, `ns/pvc`.
 * Proof: test/source-path.test.ts.
 * @module
 */

/** Paths of every system are understood everywhere: `/a/b`, `C:\a\b`, `a/b`. A path without a parent is its own. */
export function parentPath(path: string): string {
  const volume = volumeOf(path);
  let rest = path.slice(volume.length);
  if (rest.length > 1 && isSeparator(rest.at(-1))) rest = rest.slice(0, -1);
  const last = lastSeparator(rest);
  if (last < 0) return path;
  return volume + rest.slice(0, Math.max(last, 1));
}

/**
 * The path below a directory, with slashes; empty for the directory itself, undefined when it does not lie there. Separators
 * at the ends do not count.
 */
export function pathBelow(directory: string, path: string): string | undefined {
  const base = withoutSeparator(directory);
  const clean = withoutSeparator(path);
  if (clean === base) return "";
  if (!clean.startsWith(base) || !isSeparator(clean[base.length])) return undefined;
  const below = clean.slice(base.length + 1);
  return volumeOf(directory) === "" ? below : below.replaceAll("\\", "/");
}

const withoutSeparator = (path: string): string =>
  isSeparator(path.at(-1)) ? path.slice(0, -1) : path;

/** Whether a policy can be set for this path: a separator at its end would make it one that is never found. */
export function endsInSeparator(path: string): boolean {
  return path.length > volumeOf(path).length + 1 && isSeparator(path.at(-1));
}

function volumeOf(path: string): string {
  return path.length >= 3 && path[1] === ":" && isSeparator(path[2]) ? path.slice(0, 2) : "";
}

function isSeparator(character: string | undefined): boolean {
  return character === "/" || character === "\\";
}

function lastSeparator(path: string): number {
  return Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
}
