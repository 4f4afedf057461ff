/**
 * The local file system as a source of uploads: entries as Kopia sees them, with times in nanoseconds, data read when it
 * is asked for. Proof: test/local-source.test.ts, test/posix.root.test.ts.
 * @module
 */
import { close, constants, lstatSync, open, read, readlinkSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { CallOptions } from "@dm/storage";
import type { ExtendedMetadata } from "../extended-metadata.ts";
import type { LocalPath, SourceEntry } from "../source/source-entry.ts";
import { linkIdOf, readExtendedAttributes } from "./extended-metadata.ts";
import {
  addEntries,
  addStatus,
  asPath,
  entryTypes,
  joinPath,
  type LocalListing,
  newListing,
  readNames,
} from "./local-directory.ts";
import { loadPosix } from "./posix/load-posix.ts";
import type { Posix } from "./posix/posix.ts";
import { ReadAhead } from "./read-ahead.ts";

/** How a local path is listed, and what is kept of its entries. */
export interface LocalSourceOptions extends CallOptions {
  /** Lists directories elsewhere, in a worker thread for instance. Default: here, in short turns. */
  readonly list?: ((path: LocalPath) => Promise<LocalListing>) | undefined;
  /**
   * Lists directories before they are asked for, until the first one is: for a source that is opened beside something that
   * takes a while. At most 65,536 entries, of this file system; what was found more than two seconds ago is looked at again.
   * Default: false.
   */
  readonly readAhead?: boolean | undefined;
  /** Extended attributes, ACLs and hard links, too. Default: false. */
  readonly keepExtendedMetadata?: boolean | undefined;
  /** Default: what {@link loadPosix} finds. */
  readonly posix?: Posix | undefined;
}

/** What all entries of a source share. */
interface SourceContext {
  readonly list: LocalSourceOptions["list"];
  readonly ahead: ReadAhead | undefined;
  /** Present when extended metadata is to be kept. */
  readonly posix: Posix | undefined;
  readonly rootDeviceId: bigint;
}

/**
 * What lies at a path. A link to something is followed at the root only, as Kopia does it; the name of `/` is `/`.
 * @throws as Node does, when there is nothing or it cannot be looked at
 * @example const root = await openLocalSource("/home/me");
 */
export async function openLocalSource(
  path: LocalPath,
  options: LocalSourceOptions = {},
): Promise<SourceEntry> {
  options.signal?.throwIfAborted();
  let clean = cleanPath(path);
  let status = lstatSync(asPath(clean), { bigint: true });
  if (status.isSymbolicLink()) {
    const target = realpathSync.native(asPath(clean), "buffer");
    clean = decodable(target);
    status = lstatSync(target, { bigint: true });
  }
  const listing = newListing(1);
  addStatus(listing, baseName(clean), status);
  const { keepExtendedMetadata = false, list } = options;
  const posix = keepExtendedMetadata ? (options.posix ?? (await loadPosix())) : undefined;
  const ahead =
    options.readAhead && !list && status.isDirectory() && typeof clean === "string"
      ? new ReadAhead(clean, status.dev)
      : undefined;
  return entryOf(listing, 0, clean, { list, ahead, posix, rootDeviceId: status.dev });
}

/** Entries looked at before others get their turn: about 10 ms. */
const entriesPerTurn = 2048;
const readBytes = 1 << 20;

/** One class for every type, so that a walk meets one shape of objects; callers see only what their type has. */
class LocalEntry {
  readonly type: "d" | "f" | "s" | "special";
  readonly name: string;
  readonly mode: number;
  readonly sizeBytes: number;
  readonly modifiedAtNs: bigint;
  readonly uid: number;
  readonly gid: number;
  readonly deviceId: bigint;
  readonly localPath: LocalPath;
  /** Which file it is, where it has several names. */
  readonly #linkId: string | undefined;
  readonly #context: SourceContext;

  constructor(listing: LocalListing, at: number, path: LocalPath, context: SourceContext) {
    const type = entryTypes[listing.types[at] as number] as LocalEntry["type"];
    this.type = type;
    this.name = listing.names[at] as string;
    this.mode = listing.modes[at] as number;
    this.sizeBytes = listing.sizes[at] as number;
    this.modifiedAtNs = listing.modifiedAtNs[at] as bigint;
    this.uid = listing.uids[at] as number;
    this.gid = listing.gids[at] as number;
    this.deviceId = listing.deviceIds[at] as bigint;
    this.localPath = path;
    this.#linkId =
      context.posix && type !== "d" && (listing.linkCounts[at] as number) > 1
        ? linkIdOf(listing.inodes[at] as bigint, this.deviceId, context.rootDeviceId)
        : undefined;
    this.#context = context;
  }

  readExtendedMetadata(): ExtendedMetadata | undefined {
    const { posix } = this.#context;
    if (posix === undefined) return undefined;
    const attributes = readExtendedAttributes(this.localPath, posix);
    return this.#linkId === undefined ? { attributes } : { attributes, linkId: this.#linkId };
  }

  async list({ signal }: CallOptions = {}): Promise<readonly SourceEntry[]> {
    signal?.throwIfAborted();
    const path = this.localPath;
    const { ahead, list } = this.#context;
    const listing = list
      ? await list(path)
      : (ahead?.take(path) ?? (await listInTurns(path, signal)));
    const entries: SourceEntry[] = [];
    for (let at = 0; at < listing.count; at++) {
      const name = listing.rawNames.get(at) ?? (listing.names[at] as string);
      entries.push(entryOf(listing, at, joinPath(path, name), this.#context));
    }
    return entries;
  }

  async *read(
    options: CallOptions & { readonly from?: number | undefined } = {},
  ): AsyncIterable<Uint8Array> {
    const { from = 0, signal } = options;
    signal?.throwIfAborted();
    const fd = await openToRead(this.localPath);
    try {
      // One byte more than there should be: the end is seen in two reads.
      let buffer = newBuffer(Math.max(1, Math.min(readBytes, this.sizeBytes - from + 1)));
      for (let position = from; ; ) {
        signal?.throwIfAborted();
        const count = await readInto(fd, buffer, position);
        if (count === 0) return;
        position += count;
        yield buffer.subarray(0, count);
        // It has grown, by any length.
        if (count === buffer.length && count < readBytes) buffer = newBuffer(readBytes);
      }
    } finally {
      close(fd, () => {});
    }
  }

  async readTarget(): Promise<Uint8Array> {
    return new Uint8Array(readlinkSync(asPath(this.localPath), "buffer"));
  }

  follow({ signal }: CallOptions = {}): Promise<SourceEntry> {
    return openLocalSource(this.localPath, { list: this.#context.list, signal });
  }
}

function entryOf(
  listing: LocalListing,
  at: number,
  path: LocalPath,
  context: SourceContext,
): SourceEntry {
  const failure = listing.failures.get(at);
  if (failure) return { type: "failure", name: listing.names[at] as string, ...failure };
  return new LocalEntry(listing, at, path, context) as SourceEntry;
}

/** A directory of 100,000 entries would stop everything else for half a second. */
async function listInTurns(
  path: LocalPath,
  signal: AbortSignal | undefined,
): Promise<LocalListing> {
  const names = readNames(path);
  const listing = newListing(names.length);
  for (let from = 0; from < names.length; from += entriesPerTurn) {
    if (from > 0) await nextTurn();
    signal?.throwIfAborted();
    addEntries(listing, path, names, from, Math.min(from + entriesPerTurn, names.length));
  }
  return listing;
}

/** What was a file a moment ago may be a link or a pipe now: neither is followed or waited for. */
const openFlags: number =
  constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

// By callbacks: file handles of `fs.promises` cost three times as much per small file.
function openToRead(path: LocalPath): Promise<number> {
  return new Promise((settle, fail) => {
    open(asPath(path), openFlags, (error, fd) => (error ? fail(error) : settle(fd)));
  });
}

/** Not cleared, and no `Buffer`, whose slices would be no copies. */
function newBuffer(length: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}

function readInto(fd: number, buffer: Uint8Array, position: number): Promise<number> {
  return new Promise((settle, fail) => {
    read(fd, buffer, 0, buffer.length, position, (error, count) =>
      error ? fail(error) : settle(count),
    );
  });
}

function cleanPath(path: LocalPath): LocalPath {
  if (typeof path === "string") return resolve(path);
  let end = path.length;
  while (end > 1 && path[end - 1] === 0x2f) end--;
  return decodable(path.subarray(0, end));
}

/** A text where that loses nothing. */
function decodable(path: Uint8Array): LocalPath {
  const text = Buffer.from(path).toString();
  return text.includes("\ufffd") ? new Uint8Array(path) : text;
}

function baseName(path: LocalPath): string | Uint8Array {
  if (path.length === 1) return typeof path === "string" ? path : "/";
  return typeof path === "string"
    ? path.slice(path.lastIndexOf("/") + 1)
    : path.subarray(path.lastIndexOf(0x2f) + 1);
}
