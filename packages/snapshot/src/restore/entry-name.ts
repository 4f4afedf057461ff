/**
 * Names of entries, which come from whoever wrote the snapshot: only one that is a single step into its directory may
 * become a file. Proof: test/restore-hostile.test.ts.
 * @module
 */

/** Why a stored name is not used on a file system; undefined when it may be. */
export function refusedName(name: string): string | undefined {
  if (name === "") return "the entry has no name";
  if (name === "." || name === "..") return `${JSON.stringify(name)} leads out of its directory`;
  if (name.includes("\0")) return "the name has a zero byte in it";
  if (name.startsWith("/dev/")) {
    return `${JSON.stringify(name)} is the volume of a block device: restore it by itself, to a device or an image file (dm restore <snapshot>${name} <target>)`;
  }
  if (name.includes("/")) return "the name has slashes in it, and would lead out of its directory";
  return undefined;
}
