/**
 * A directory of this machine as compact arrays: what a walk needs of each entry, without an object each, so that it can
 * be posted between threads. Synchronous, because a promise per entry costs more than the calls (bench/posix.bench.ts).
 * Proof: test/local-source.test.ts.
 * @module
 */
import { type BigIntStats, lstatSync, readdirSync } from "node:fs";
import { decodeFileName, isUtf8Name } from "../source/file-names.ts";
import type { LocalPath } from "../source/source-entry.ts";

/** Numbers of {@link LocalListing.types}. */
export const entryTypes = ["d", "f", "s", "special", "failure"] as const;

/** Everything in a directory, in the order of the file system; the arrays may be longer than `count`. */
export interface LocalListing {
  count: number;
  /** As they are stored: each byte that is not UTF-8 has become U+FFFD. */
  readonly names: string[];
  /** The bytes of names that are not UTF-8, by index. */
  readonly rawNames: Map<number, Uint8Array>;
  readonly types: Uint8Array;
  /** 0 to 0o7777. */
  readonly modes: Uint16Array;
  readonly sizes: Float64Array;
  readonly modifiedAtNs: BigInt64Array;
  readonly uids: Uint32Array;
  readonly gids: Uint32Array;
  readonly deviceIds: BigUint64Array;
  readonly inodes: BigUint64Array;
  readonly linkCounts: Uint32Array;
  /** What could not be looked at, by index. */
  readonly failures: Map<number, { readonly error: unknown; readonly isDirectory: boolean }>;
}

/**
 * Lists a directory at once. Entries that vanish meanwhile are left out; those that may not be looked at are failures.
 * @throws as Node does, when the directory or, for another reason than permission, an entry cannot be read
 * @example const { count, names, sizes } = listLocalDirectory("/etc");
 */
export function listLocalDirectory(path: LocalPath): LocalListing {
  const names = readNames(path);
  const listing = newListing(names.length);
  addEntries(listing, path, names, 0, names.length);
  return listing;
}

/** Names, and bytes for those that are not UTF-8. */
export function readNames(path: LocalPath): Array<string | Uint8Array> {
  if (typeof path === "string") {
    const names = readdirSync(path);
    // Only such a name may have lost bytes; texts are four times cheaper than bytes.
    if (!names.some((name) => name.includes("\ufffd"))) return names;
  }
  return readdirSync(asPath(path), "buffer").map((bytes) =>
    isUtf8Name(bytes) ? bytes.toString() : new Uint8Array(bytes),
  );
}

export function newListing(length: number): LocalListing {
  return {
    count: 0,
    names: [],
    rawNames: new Map(),
    types: new Uint8Array(length),
    modes: new Uint16Array(length),
    sizes: new Float64Array(length),
    modifiedAtNs: new BigInt64Array(length),
    uids: new Uint32Array(length),
    gids: new Uint32Array(length),
    deviceIds: new BigUint64Array(length),
    inodes: new BigUint64Array(length),
    linkCounts: new Uint32Array(length),
    failures: new Map(),
  };
}

/** Looks at `names[from]` to `names[to − 1]`. */
export function addEntries(
  listing: LocalListing,
  path: LocalPath,
  names: ReadonlyArray<string | Uint8Array>,
  from: number,
  to: number,
): void {
  const prefix = typeof path === "string" ? (path.endsWith("/") ? path : `${path}/`) : undefined;
  for (let index = from; index < to; index++) {
    const name = names[index] as string | Uint8Array;
    const child =
      prefix !== undefined && typeof name === "string" ? prefix + name : joinPath(path, name);
    try {
      const status = lstatSync(asPath(child), statOptions);
      if (status !== undefined) addStatus(listing, name, status);
    } catch (error) {
      if (!isPermission(error)) throw error;
      addFailure(listing, path, name, error);
    }
  }
}

/** Of an entry below a directory. */
export function joinPath(directory: LocalPath, name: string | Uint8Array): LocalPath {
  if (typeof directory === "string" && typeof name === "string")
    return directory.endsWith("/") ? directory + name : `${directory}/${name}`;
  const head = typeof directory === "string" ? Buffer.from(directory) : directory;
  const tail = typeof name === "string" ? Buffer.from(name) : name;
  const slash = head.at(-1) === 0x2f ? 0 : 1;
  const path = new Uint8Array(head.length + slash + tail.length);
  path.set(head);
  if (slash === 1) path[head.length] = 0x2f;
  path.set(tail, head.length + slash);
  return path;
}

/** Node takes bytes as a `Buffer` only. */
export function asPath(path: LocalPath): string | Buffer {
  if (typeof path === "string") return path;
  return Buffer.from(path.buffer, path.byteOffset, path.byteLength);
}

export function typeOf(mode: bigint): number {
  switch (Number(mode) & 0o170000) {
    case 0o040000:
      return 0;
    case 0o100000:
      return 1;
    case 0o120000:
      return 2;
    default:
      return 3;
  }
}

const statOptions = { bigint: true, throwIfNoEntry: false } as const;

export function addStatus(
  listing: LocalListing,
  name: string | Uint8Array,
  status: BigIntStats,
): void {
  const at = addName(listing, name);
  const type = typeOf(status.mode);
  listing.types[at] = type;
  listing.modes[at] = Number(status.mode) & 0o7777;
  listing.sizes[at] = type === 0 ? 0 : Number(status.size);
  listing.modifiedAtNs[at] = status.mtimeNs;
  listing.uids[at] = Number(status.uid);
  listing.gids[at] = Number(status.gid);
  listing.deviceIds[at] = status.dev;
  listing.inodes[at] = status.ino;
  listing.linkCounts[at] = Number(status.nlink);
}

function addFailure(
  listing: LocalListing,
  path: LocalPath,
  name: string | Uint8Array,
  error: unknown,
): void {
  const at = addName(listing, name);
  listing.types[at] = 4;
  listing.failures.set(at, { error, isDirectory: isListedAsDirectory(path, name) });
}

function addName(listing: LocalListing, name: string | Uint8Array): number {
  const at = listing.count++;
  if (typeof name !== "string") listing.rawNames.set(at, name);
  listing.names.push(typeof name === "string" ? name : decodeFileName(name));
  return at;
}

function isPermission(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EACCES" || code === "EPERM";
}

/** Rare, so that the directory is read again: its own types cost every listing more than this. */
function isListedAsDirectory(path: LocalPath, name: string | Uint8Array): boolean {
  const bytes = typeof name === "string" ? Buffer.from(name) : name;
  try {
    return readdirSync(asPath(path), { encoding: "buffer", withFileTypes: true }).some(
      (entry) => entry.isDirectory() && entry.name.equals(bytes),
    );
  } catch {
    return false;
  }
}
