/**
 * A cache in a directory with a hard cap. Entries are `payload || HMAC-SHA-256(key, name || payload)`: what does not
 * check out, torn by a crash or put under another name, is not cached. What was not used for the longest goes first.
 * The layout is private: `<2 hex>/<64 hex>`, the SHA-256 of the entry's key.
 *
 * The cap holds for the process. Several processes in one directory each learn of the others' entries by scanning it
 * after every sixteenth of the cap that they wrote, so that together they exceed it by that much each at most.
 * Format: docs/format/client-files.md. Proof: test/client-disk-cache.test.ts.
 * @module
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import {
  closeSync,
  fstatSync,
  futimesSync,
  openSync,
  read,
  readdirSync,
  readSync,
  rmSync,
  statSync,
} from "node:fs";
import { mkdir, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Clock, type Logger, mapConcurrent, silentLogger, systemClock } from "@dm/core";
import type { ContentCache } from "../cache/content-cache.ts";

export interface DiskCacheOptions {
  /** Made when missing; belongs to this cache alone. */
  readonly directory: string;
  /** Of all files of the directory; what file systems add per file is not counted. */
  readonly maxBytes: number;
  /** Key of the entries' tags: the repository's key for `local-cache-integrity`. */
  readonly key: Uint8Array;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

interface CachedFile {
  readonly path: string;
  readonly size: number;
  readonly usedAtMs: number;
}

const tagLength = 32;
/** A sweep makes this much room beyond what is needed, so that the next one is not due at once. */
const sweepToShare = 0.9;
const rescanShare = 1 / 16;
/** Files that one put waits for while the directory is scanned; with more, the entry is not kept. */
const patienceFiles = 2000;
/** Age at which a use is noted in the file's time; saves a write for every read. */
const touchAfterMs = 60_000;
const abandonedAfterMs = 3_600_000;
const removeConcurrency = 8;
/** A file up to this is read at once: that takes 20 µs, where five promises take 150 and four threads. */
const syncReadBytes = 1 << 18;

/** Tells programs that make backups to leave the directory out. */
const cacheTag = `Signature: 8a477f597d28d172789f06886806bc55
# This file marks a directory of cached data that can be made again.
# See https://bford.info/cachedir/ for what it means.
`;

/**
 * A cache in a directory. Nothing is read or written before the first call.
 * @throws {RangeError} for a cap that is not a number of bytes
 * @example const cache = diskCache({ directory, maxBytes: 1 << 30, key: deriveRepositoryKey(opened, "local-cache-integrity", 16) });
 */
export function diskCache(options: DiskCacheOptions): ContentCache {
  if (!(options.maxBytes >= 0)) {
    throw new RangeError(`maxBytes must not be negative, it is ${options.maxBytes}`);
  }
  return new DiskCache(options);
}

class DiskCache implements ContentCache {
  readonly maxBytes: number;
  readonly #directory: string;
  readonly #key: Uint8Array;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #writes = new Map<string, Promise<void>>();
  #usedBytes = 0;
  #bytesSinceScan = Number.POSITIVE_INFINITY;
  #sweep: { readonly patience: Promise<void>; readonly done: Promise<void> } | undefined;
  #closed = false;
  #hasComplained = false;

  constructor(options: DiskCacheOptions) {
    this.maxBytes = options.maxBytes;
    this.#directory = options.directory;
    this.#key = options.key.slice();
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
  }

  /** 0 until the first put has looked into the directory. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  async get(
    key: string,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Uint8Array | undefined> {
    options.signal?.throwIfAborted();
    if (this.#closed) return undefined;
    const { name, path } = this.#locate(key);
    const stored = await this.#readFile(path);
    options.signal?.throwIfAborted();
    if (!stored) return undefined;
    const payload = stored.subarray(0, Math.max(0, stored.length - tagLength));
    if (
      stored.length >= tagLength &&
      timingSafeEqual(this.#tag(name, payload), stored.subarray(payload.length))
    ) {
      return payload;
    }
    this.#logger.debug("Removed damaged cache entry", { path });
    if (!this.#sweep) this.#usedBytes = Math.max(0, this.#usedBytes - stored.length);
    await rm(path, { force: true }).catch(() => undefined);
    return undefined;
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const size = bytes.length + tagLength;
    if (size > this.maxBytes) return;
    const { name, path } = this.#locate(key);
    for (let attempt = 0; attempt < 2; attempt++) {
      if (this.#closed || this.#writes.has(name)) return;
      const isDue = this.#bytesSinceScan > this.maxBytes * rescanShare;
      if (!this.#sweep && (isDue || this.#usedBytes + size > this.maxBytes)) this.#startSweep(size);
      await this.#sweep?.patience;
      if (this.#sweep || this.#closed || this.#writes.has(name)) return;
      if (this.#usedBytes + size > this.maxBytes) continue;
      // No await from the check to here: a sweep must find either no reservation, or a write that it can wait for.
      this.#usedBytes += size;
      this.#bytesSinceScan += size;
      const write = this.#write(name, path, bytes).finally(() => this.#writes.delete(name));
      this.#writes.set(name, write);
      return write;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#writes.values());
    await this.#sweep?.done;
  }

  #locate(key: string): { name: string; path: string } {
    const name = createHash("sha256").update(key).digest("hex");
    return { name, path: join(this.#directory, name.slice(0, 2), name) };
  }

  #tag(name: string, payload: Uint8Array): Uint8Array {
    return createHmac("sha256", this.#key).update(name).update(payload).digest();
  }

  async #readFile(path: string): Promise<Uint8Array | undefined> {
    let fd: number | undefined;
    try {
      fd = openSync(path, "r");
      const { mtimeMs, size } = fstatSync(fd);
      const bytes = size > syncReadBytes ? await readLong(fd, size) : readShort(fd, size);
      const nowMs = this.#nowMs();
      if (Math.abs(nowMs - mtimeMs) >= touchAfterMs) futimesSync(fd, nowMs / 1000, nowMs / 1000);
      return bytes;
    } catch (error) {
      if (errorCode(error) !== "ENOENT")
        this.#logger.debug("Failed to read cache entry", { path, error });
      return undefined;
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }

  /** Reserved bytes become the file's, or are given back. */
  async #write(name: string, path: string, bytes: Uint8Array): Promise<void> {
    const size = bytes.length + tagLength;
    const temporary = `${path}.tmp.${randomBytes(8).toString("hex")}`;
    try {
      await mkdir(join(this.#directory, name.slice(0, 2)), { recursive: true, mode: 0o700 });
      const file = await open(temporary, "wx", 0o600);
      try {
        await file.writev([bytes, this.#tag(name, bytes)]);
        const nowMs = this.#nowMs();
        await file.utimes(nowMs / 1000, nowMs / 1000);
      } finally {
        await file.close();
      }
      const replaced = await sizeOf(path);
      await rename(temporary, path);
      this.#usedBytes -= replaced;
    } catch (error) {
      this.#usedBytes -= size;
      await rm(temporary, { force: true }).catch(() => undefined);
      this.#complain("Failed to store cache entry", error);
    }
  }

  #startSweep(neededBytes: number): void {
    const { promise: patience, resolve } = Promise.withResolvers<void>();
    const done = this.#runSweep(neededBytes, resolve).finally(() => {
      this.#sweep = undefined;
      resolve();
    });
    this.#sweep = { patience, done };
  }

  /** Counts what is there and removes the oldest entries when there is too much. No write is under way meanwhile. */
  async #runSweep(neededBytes: number, losePatience: () => void): Promise<void> {
    await Promise.all(this.#writes.values());
    try {
      await this.#mark();
      const files = await this.#scan(losePatience);
      let usedBytes = files.reduce((sum, file) => sum + file.size, 0);
      const doomed: CachedFile[] = [];
      if (usedBytes + neededBytes > this.maxBytes) {
        files.sort((a, b) => a.usedAtMs - b.usedAtMs);
        for (const file of files) {
          if (usedBytes + neededBytes <= this.maxBytes * sweepToShare) break;
          doomed.push(file);
          usedBytes -= file.size;
        }
        await mapConcurrent(doomed, ({ path }) => rm(path, { force: true }), {
          concurrency: removeConcurrency,
        });
      }
      this.#usedBytes = usedBytes;
      this.#bytesSinceScan = 0;
    } catch (error) {
      // Not known, so nothing more is kept until a scan succeeds.
      this.#usedBytes = this.maxBytes;
      this.#complain("Failed to sweep cache directory", error);
    }
  }

  async #mark(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await writeFile(join(this.#directory, "CACHEDIR.TAG"), cacheTag, {
      flag: "wx",
      mode: 0o600,
    }).catch((error: unknown) => {
      if (errorCode(error) !== "EEXIST") throw error;
    });
  }

  async #scan(losePatience: () => void): Promise<CachedFile[]> {
    const files: CachedFile[] = [];
    const shards = readdirSync(this.#directory).filter((name) => /^[0-9a-f]{2}$/.test(name));
    for (const shard of shards) {
      await nextTurn();
      const names = readdirSync(join(this.#directory, shard));
      for (const name of names) this.#visit(join(this.#directory, shard, name), files);
      if (files.length > patienceFiles) losePatience();
    }
    return files;
  }

  /** At once: a shard has a 256th of the files, and a promise for each costs thirty times the call. */
  #visit(path: string, files: CachedFile[]): void {
    try {
      const { mtimeMs, size } = statSync(path);
      const isAbandoned = path.includes(".tmp.") && this.#nowMs() - mtimeMs > abandonedAfterMs;
      if (isAbandoned) rmSync(path, { force: true });
      else files.push({ path, size, usedAtMs: mtimeMs });
    } catch (error) {
      // Another process has removed it.
      if (errorCode(error) !== "ENOENT") throw error;
    }
  }

  /** The first failure is worth a warning; a full disk would otherwise fill the log as well. */
  #complain(message: string, error: unknown): void {
    const level = this.#hasComplained ? "debug" : "warn";
    this.#hasComplained = true;
    this.#logger[level](message, { code: errorCode(error) });
  }

  #nowMs(): number {
    return Number(this.#clock.nowNs() / 1_000_000n);
  }
}

/** What has been cut off meanwhile does not check out. */
function readShort(fd: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let length = 0;
  for (let count = -1; count !== 0 && length < size; length += count)
    count = readSync(fd, bytes, length, size - length, length);
  return length === size ? bytes : bytes.subarray(0, length);
}

async function readLong(fd: number, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  let length = 0;
  while (length < size) {
    const count = await new Promise<number>((settle, fail) => {
      read(fd, bytes, length, size - length, length, (error, found) =>
        error ? fail(error) : settle(found),
      );
    });
    if (count === 0) return bytes.subarray(0, length);
    length += count;
  }
  return bytes;
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return 0;
    throw error;
  }
}

function errorCode(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
