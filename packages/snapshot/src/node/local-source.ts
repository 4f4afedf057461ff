/**
 * The local file system as a source of uploads: entries as Kopia sees them, with times in nanoseconds, data read when it
 * is asked for. Proof: test/local-source.test.ts.
 * @module
 */
import { close, constants, lstatSync, open, read, readlinkSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { CallOptions } from "@dm/storage";
import type { LocalPath, SourceEntry } from "../source/source-entry.ts";
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

export interface LocalSourceOptions extends CallOptions {
  /** Lists directories elsewhere, in a worker thread for instance. Default: here, in short turns. */
  readonly list?: ((path: LocalPath) => Promise<LocalListing>) | undefined;
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
  return entryOf(listing, 0, clean, options);
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
  readonly #options: LocalSourceOptions;

  constructor(listing: LocalListing, at: number, path: LocalPath, options: LocalSourceOptions) {
    this.type = entryTypes[listing.types[at] as number] as "f";
    this.name = listing.names[at] as string;
    this.mode = listing.modes[at] as number;
    this.sizeBytes = listing.sizes[at] as number;
    this.modifiedAtNs = listing.modifiedAtNs[at] as bigint;
    this.uid = listing.uids[at] as number;
    this.gid = listing.gids[at] as number;
    this.deviceId = listing.deviceIds[at] as bigint;
    this.localPath = path;
    this.#options = options;
  }

  async list({ signal }: CallOptions = {}): Promise<readonly SourceEntry[]> {
    signal?.throwIfAborted();
    const path = this.localPath;
    const listing = this.#options.list
      ? await this.#options.list(path)
      : await listInTurns(path, signal);
    const entries: SourceEntry[] = [];
    for (let at = 0; at < listing.count; at++) {
      const name = listing.rawNames.get(at) ?? (listing.names[at] as string);
      entries.push(entryOf(listing, at, joinPath(path, name), this.#options));
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
}

function entryOf(
  listing: LocalListing,
  at: number,
  path: LocalPath,
  options: LocalSourceOptions,
): SourceEntry {
  const failure = listing.failures.get(at);
  if (failure) return { type: "failure", name: listing.names[at] as string, ...failure };
  return new LocalEntry(listing, at, path, options) as SourceEntry;
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
