/**
 * Owner, mode and times of what was restored, and the proof that they are as the snapshot says.
 * Order: owner before mode, because a change of owner clears setuid and setgid; times last, because everything else is a
 * change. Proof: test/restore-tree.test.ts, test/restore-golden.test.ts.
 * @module
 */
import {
  type BigIntStats,
  fchmodSync,
  fchownSync,
  fstatSync,
  lchownSync,
  lstatSync,
} from "node:fs";
import { equalBytes } from "@dm/core";
import type { DirectoryEntry } from "../../directory-entry.ts";
import { decodeExtendedMetadata, type ExtendedMetadata } from "../../extended-metadata.ts";
import type { RawMember } from "../../members.ts";
import { goZeroTimeNs } from "../../volume/volume-entry.ts";
import { writeExtendedAttributes } from "../extended-metadata.ts";
import type { Posix } from "../posix/posix.ts";
import { failureOf, systemCode } from "./failures.ts";

export interface AttributeSettings {
  readonly skipOwners: boolean;
  readonly skipPermissions: boolean;
  readonly skipTimes: boolean;
  readonly ignorePermissionErrors: boolean;
}

export interface Attributes {
  readonly mode: number;
  readonly modifiedAtNs: bigint;
  readonly uid: number;
  readonly gid: number;
  /** Members of its entry that are unknown to Kopia: extended metadata is among them. */
  readonly members?: readonly RawMember[] | undefined;
}

export function attributesOf(entry: DirectoryEntry): Attributes {
  const { gid, mode, modifiedAtNs, uid, unknownMembers: members } = entry;
  return members ? { gid, mode, modifiedAtNs, uid, members } : { gid, mode, modifiedAtNs, uid };
}

export interface AttributeOutcome {
  /** What is not as it should be, in words; empty when all is. */
  readonly differences: readonly string[];
  /** This user may not set the owner. */
  readonly isOwnerLost: boolean;
  readonly stat: BigIntStats;
}

/** Bits that would make a program run as somebody else than the snapshot says, once its owner is lost. */
const setIdBits = 0o6000;

/** A time that Node sets itself is a number of seconds in a double: it is off by no more than this. */
const doubleToleranceNs = 2_000n;

/** Whether a time is the one that was to be set, as near as this system sets times. */
export function isSetTime(
  foundNs: bigint,
  wantedNs: bigint,
  { backend }: Pick<Posix, "backend">,
): boolean {
  const toleranceNs = backend === "none" ? doubleToleranceNs : 0n;
  const apartNs = foundNs - wantedNs;
  return apartNs <= toleranceNs && apartNs >= -toleranceNs;
}

/** Sets the attributes of an open file or directory; `path` leads to it, for its times. */
export function setAttributes(
  fd: number,
  path: string,
  wanted: Attributes,
  settings: AttributeSettings,
  posix: Posix,
): AttributeOutcome {
  const before = fstatSync(fd, { bigint: true });
  const { isOwnerLost, isChanged } = settings.skipOwners
    ? { isOwnerLost: false, isChanged: false }
    : changeOwner(before, wanted, settings, (uid, gid) => fchownSync(fd, uid, gid));
  const mode = isOwnerLost ? wanted.mode & ~setIdBits : wanted.mode;
  const lost = restoreExtended(path, wanted, posix);
  if (!settings.skipPermissions && (isChanged || (Number(before.mode) & 0o7777) !== mode))
    fchmodSync(fd, mode);
  if (hasTime(wanted, settings)) posix.setTimes(path, wanted.modifiedAtNs, wanted.modifiedAtNs);
  const stat = fstatSync(fd, { bigint: true });
  const differences = [
    ...lost,
    ...compare(stat, { ...wanted, mode }, settings, isOwnerLost, posix),
  ];
  return { differences, isOwnerLost, stat };
}

/** The same for a link, which has no mode of its own. */
export function setLinkAttributes(
  path: string,
  wanted: Attributes,
  settings: AttributeSettings,
  posix: Posix,
): AttributeOutcome {
  const before = lstatSync(path, { bigint: true });
  const { isOwnerLost } = settings.skipOwners
    ? { isOwnerLost: false }
    : changeOwner(before, wanted, settings, (uid, gid) => lchownSync(path, uid, gid));
  const lost = restoreExtended(path, wanted, posix);
  if (hasTime(wanted, settings)) posix.setTimes(path, wanted.modifiedAtNs, wanted.modifiedAtNs);
  const stat = lstatSync(path, { bigint: true });
  const withoutMode = { ...settings, skipPermissions: true };
  const differences = [...lost, ...compare(stat, wanted, withoutMode, isOwnerLost, posix)];
  return { differences, isOwnerLost, stat };
}

/** Attributes that the snapshot kept; what was lost, in words. Without a back-end that is said once, for all. */
function restoreExtended(path: string, { members }: Attributes, posix: Posix): string[] {
  if (members === undefined) return [];
  let extended: ExtendedMetadata;
  try {
    extended = decodeExtendedMetadata(members);
  } catch (error) {
    // Its data is worth having without.
    return [failureOf(error, path).reason];
  }
  if (extended.attributes.length === 0 || posix.backend === "none") return [];
  const lost = writeExtendedAttributes(path, extended, posix);
  const differences = lost.map(
    ({ error, name }) => `its attribute ${name} is not restored: ${failureOf(error, path).reason}`,
  );
  const found = new Map(posix.readAttributes(path).map(({ name, value }) => [name, value]));
  for (const { name, value } of extended.attributes) {
    const isThere = found.has(name) && equalBytes(found.get(name)!, value);
    if (isThere || name === "security.selinux" || lost.some((other) => other.name === name))
      continue;
    differences.push(`its attribute ${name} does not read back as it was written`);
  }
  return differences;
}

/** Streams and volumes carry a time that says that there is none. */
const hasTime = ({ modifiedAtNs }: Attributes, { skipTimes }: AttributeSettings): boolean =>
  !skipTimes && modifiedAtNs !== goZeroTimeNs;

function changeOwner(
  { gid, uid }: BigIntStats,
  wanted: Attributes,
  settings: AttributeSettings,
  change: (uid: number, gid: number) => void,
): { isOwnerLost: boolean; isChanged: boolean } {
  if (Number(uid) === wanted.uid && Number(gid) === wanted.gid)
    return { isOwnerLost: false, isChanged: false };
  try {
    change(wanted.uid, wanted.gid);
    return { isOwnerLost: false, isChanged: true };
  } catch (error) {
    const isDenied = ["EPERM", "EACCES", "EINVAL"].includes(systemCode(error));
    if (!isDenied || !settings.ignorePermissionErrors) throw error;
  }
  // Its group may be one of this user's.
  try {
    change(Number(uid), wanted.gid);
  } catch {
    // Then both are lost.
  }
  return { isOwnerLost: true, isChanged: true };
}

function compare(
  stat: BigIntStats,
  wanted: Attributes,
  settings: AttributeSettings,
  isOwnerLost: boolean,
  posix: Pick<Posix, "backend">,
): string[] {
  const differences: string[] = [];
  const mode = Number(stat.mode) & 0o7777;
  if (!settings.skipPermissions && mode !== wanted.mode)
    differences.push(`its mode is ${mode.toString(8)}, not ${wanted.mode.toString(8)}`);
  if (!settings.skipOwners && !isOwnerLost) {
    const owner = `${stat.uid}:${stat.gid}`;
    const wantedOwner = `${wanted.uid}:${wanted.gid}`;
    if (owner !== wantedOwner) differences.push(`its owner is ${owner}, not ${wantedOwner}`);
  }
  if (hasTime(wanted, settings) && !isSetTime(stat.mtimeNs, wanted.modifiedAtNs, posix))
    differences.push(`its time is ${stat.mtimeNs} ns since 1970, not ${wanted.modifiedAtNs}`);
  return differences;
}
