/**
 * Extended metadata of local files: read for a snapshot, and written back.
 * Format: docs/format/directories.md. Proof: test/posix.root.test.ts, test/local-extended-metadata.test.ts.
 * @module
 */
import type { ExtendedAttribute, ExtendedMetadata } from "../extended-metadata.ts";
import type { LocalPath } from "../source/source-entry.ts";
import type { Posix } from "./posix/posix.ts";

/** Labels belong to the machine, which labels a volume anew; the others are xfs's own form of ACLs that it lists as such. */
const neverKept: ReadonlySet<string> = new Set([
  "security.selinux",
  "trusted.SGI_ACL_FILE",
  "trusted.SGI_ACL_DEFAULT",
]);

/** What a restore may take away when the snapshot does not have it; everything else is the system's own affair. */
const removable: RegExp = /^(user\.|system\.posix_acl_)/;

/** An attribute that could not be restored. */
export interface LostAttribute {
  readonly name: string;
  readonly error: unknown;
}

/** @throws as Node does, when the attributes cannot be read */
export function readExtendedAttributes(
  path: LocalPath,
  posix: Pick<Posix, "readAttributes">,
): readonly ExtendedAttribute[] {
  const attributes = posix.readAttributes(path);
  return attributes.some(({ name }) => neverKept.has(name))
    ? attributes.filter(({ name }) => !neverKept.has(name))
    : attributes;
}

/**
 * Makes the attributes of a file, a directory or a link those of the snapshot, and returns those that it could not. To be
 * called after the owner was set, which clears capabilities, and before the mode and the times: a file without write
 * permission takes no attributes from its owner, and an ACL that was inherited changes the mode.
 */
export function writeExtendedAttributes(
  path: LocalPath,
  { attributes }: Pick<ExtendedMetadata, "attributes">,
  posix: Pick<Posix, "readAttributes" | "writeAttribute" | "removeAttribute">,
): LostAttribute[] {
  const lost: LostAttribute[] = [];
  const attempt = (name: string, action: () => void): void => {
    try {
      action();
    } catch (error) {
      lost.push({ name, error });
    }
  };
  const present = new Map(
    readExtendedAttributes(path, posix).map((each) => [each.name, each.value]),
  );
  for (const attribute of attributes) {
    const { name, value } = attribute;
    const existing = present.get(name);
    present.delete(name);
    if (neverKept.has(name) || (existing && isEqual(existing, value))) continue;
    attempt(name, () => posix.writeAttribute(path, attribute));
  }
  for (const name of present.keys()) {
    // An ACL may be inherited from the directory above.
    if (removable.test(name)) attempt(name, () => posix.removeAttribute(path, name));
  }
  return lost;
}

/**
 * Which file a name leads to, where it has several. The device is named only where it is not the root's: its number may be
 * another one after every start of the machine.
 */
export function linkIdOf(inode: bigint, deviceId: bigint, rootDeviceId: bigint): string {
  return deviceId === rootDeviceId ? `${inode}` : `${deviceId}:${inode}`;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
