/**
 * Kopia's filesystem provider, for Node: one file for each blob, spread over directories.
 * Format: docs/format/blobs.md. Proof: test/contract.test.ts, test/filesystem.test.ts, test/put-kill.test.ts.
 * @module
 */
import { constants, type Dirent } from "node:fs";
import { type FileHandle, open, readdir, readFile, stat, statfs, unlink } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { isDmError, type Logger, NotFoundError } from "@dm/core";
import { checkBlobId, isBlobId } from "./blob-id.ts";
import type { BlobMetadata, BlobStore, BlobStoreFeatures } from "./blob-store.ts";
import { isDenied, isMissing, systemCode, translated } from "./filesystem-errors.ts";
import { atomicWriter, syncDirectory } from "./filesystem-write.ts";
import { type Repeat, repeating, retrying } from "./retrying.ts";
import {
  blobSuffix,
  decodeSharding,
  encodeSharding,
  type Sharding,
  shardingFile,
  shardingFor,
  shardPath,
} from "./sharding.ts";
import {
  blobExists,
  blobNotFound,
  checkPutOptions,
  optionUnsupported,
  rangeInvalid,
} from "./store-errors.ts";

/** Kopia's connection JSON of this storage type; modes are decimal numbers there, and 0 means the default. */
export interface FilesystemConfig {
  /** Absolute. */
  readonly path: string;
  /** 0o600 by default. */
  readonly fileMode?: number | undefined;
  /** 0o700 by default. */
  readonly dirMode?: number | undefined;
  /** Owner of new files, when this process is root and both are given. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Used when the root has no `.shards` yet; `[1, 3]` when creating and `[3, 3]` when connecting by default. */
  readonly dirShards?: readonly number[] | null | undefined;
}

export interface FilesystemStoreOptions extends FilesystemConfig {
  /** Makes the root directory, and decides the default of `dirShards`. */
  readonly create?: boolean | undefined;
  /** Hears at `debug` of what is tried again; silent by default. */
  readonly logger?: Logger | undefined;
}

const features: BlobStoreFeatures = { ifAbsent: true, retention: false, setTimestamp: true };

/**
 * Files of a listed directory that are asked for their length and time together. Whole directories and 16 at once: 10,000
 * blobs in 4096 directories take 0.2 to 0.6 s; entry by entry 0.9 to 4 s (Node 26, 2 busy cores).
 */
const statsAtOnce = 16;

/**
 * Opens a directory as a blob store. Nothing is touched before the first call. What passes by itself (an interrupted
 * call, too many open files, an I/O error) is tried again: ten times, a put twice.
 * @throws {TypeError} when `path` is not absolute
 * @throws {RangeError} when `dirShards` holds anything but positive integers
 * @example const store = filesystemStore({ path: "/backup", create: true });
 */
export function filesystemStore(options: FilesystemStoreOptions): BlobStore {
  const retries = { attempts: 10, putAttempts: 2, logger: options.logger };
  const store = directoryStore(options, repeating(retries));
  // The list repeats by itself, one directory at a time: what it gave out need not be remembered.
  return { ...retrying(store, retries), list: store.list };
}

function directoryStore(options: FilesystemStoreOptions, repeat: Repeat): BlobStore {
  const { create = false, gid, uid } = options;
  if (!isAbsolute(options.path)) {
    throw new TypeError(`path of a filesystem store must be absolute, not ${options.path}`);
  }
  const root = resolve(options.path);
  const chosen = shardingFor(options.dirShards ?? (create ? [1, 3] : [3, 3]));
  const fileMode = options.fileMode || 0o600;
  const dirMode = options.dirMode || 0o700;
  const writer = atomicWriter(root, { fileMode, dirMode, uid, gid });

  let sharding: Promise<Sharding> | undefined;
  const loadSharding = (): Promise<Sharding> => {
    sharding ??= readSharding().catch((error: unknown) => {
      sharding = undefined;
      throw translated(error, join(root, shardingFile));
    });
    return sharding;
  };

  async function readSharding(): Promise<Sharding> {
    if (create) await writer.makeRoot();
    const path = join(root, shardingFile);
    try {
      return decodeSharding(await readFile(path, "utf8"), path);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    await requireRoot();
    const text = new TextEncoder().encode(encodeSharding(chosen));
    try {
      // Two clients that start together must not spread blobs in two ways.
      await writer.write([shardingFile], text, { ifAbsent: true });
    } catch (error) {
      if (systemCode(error) === "EEXIST") return decodeSharding(await readFile(path, "utf8"), path);
      if (isDmError(error, "DM_STORE_OPTION_UNSUPPORTED")) await writer.write([shardingFile], text);
      // Kopia's defaults hold without the file; a medium that refuses it takes no blobs either.
      else if (!isDenied(error)) throw error;
    }
    return chosen;
  }

  /**
   * "Not there" is an answer only while the root is: an unmounted volume is no empty repository.
   * @throws {NotFoundError} `DM_STORE_NOT_FOUND`
   */
  async function requireRoot(): Promise<void> {
    let cause: unknown;
    try {
      if ((await stat(root)).isDirectory()) return;
    } catch (error) {
      if (!isMissing(error)) throw translated(error, root);
      cause = error;
    }
    const text = `cannot access storage path ${root}: there is no such directory`;
    throw new NotFoundError("DM_STORE_NOT_FOUND", text, { path: root }, { cause });
  }

  async function pathOf(id: string): Promise<string> {
    checkBlobId(id);
    return join(root, ...shardPath(id, await loadSharding()));
  }

  /** What a failed read of a blob means. */
  async function readError(error: unknown, id: string, path: string): Promise<unknown> {
    if (!isMissing(error)) return translated(error, path);
    await requireRoot();
    return blobNotFound(id, error);
  }

  async function* walk(
    directory: string,
    idPrefix: string,
    wanted: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<BlobMetadata> {
    const inside = (entry: Dirent): Promise<BlobMetadata | undefined> | undefined => {
      if (entry.isDirectory() || !entry.name.endsWith(blobSuffix)) return undefined;
      const id = idPrefix + entry.name.slice(0, -blobSuffix.length);
      return id.startsWith(wanted) ? describeFile(join(directory, entry.name), id) : undefined;
    };
    const read = async (): Promise<Dirent[]> => {
      try {
        return await readdir(directory, { withFileTypes: true });
      } catch (error) {
        if (!isMissing(error)) throw translated(error, directory);
        // A shard directory that vanished while its parent was read held nothing.
        if (directory === root) await requireRoot();
        return [];
      }
    };
    const entries = await repeat(signal, read);
    for (let at = 0; at < entries.length; at += statsAtOnce) {
      const group = entries.slice(at, at + statsAtOnce);
      const blobs = await repeat(signal, () => Promise.all(group.map(inside)));
      for (const [index, entry] of group.entries()) {
        signal?.throwIfAborted();
        const blob = blobs[index];
        if (blob) yield blob;
        const below = idPrefix + entry.name;
        // Not lost+found, .snapshot or @eaDir, which may not even be readable: nothing below them can be a blob.
        if (!entry.isDirectory() || !isBlobId(below)) continue;
        if (below.startsWith(wanted) || wanted.startsWith(below)) {
          yield* walk(join(directory, entry.name), below, wanted, signal);
        }
      }
    }
  }

  return {
    type: "filesystem",
    displayName: `Filesystem: ${root}`,
    features,
    readOnly: false,

    async get(id, { offset = 0, length, signal } = {}) {
      signal?.throwIfAborted();
      const path = await pathOf(id);
      let file: FileHandle;
      try {
        file = await open(path, constants.O_RDONLY);
      } catch (error) {
        throw await readError(error, id, path);
      }
      try {
        if (length === 0) return new Uint8Array(0);
        const blobLength = (await file.stat()).size;
        const wanted = length ?? blobLength - offset;
        if (offset < 0 || wanted < 0 || offset + wanted > blobLength) {
          throw rangeInvalid(id, offset, wanted, blobLength);
        }
        const bytes = new Uint8Array(wanted);
        for (let at = 0; at < wanted; ) {
          signal?.throwIfAborted();
          const { bytesRead } = await file.read(bytes, at, wanted - at, offset + at);
          if (bytesRead === 0) throw rangeInvalid(id, offset, wanted, offset + at);
          at += bytesRead;
        }
        return bytes;
      } catch (error) {
        throw translated(error, path);
      } finally {
        await file.close();
      }
    },

    async put(id, data, call = {}) {
      call.signal?.throwIfAborted();
      checkBlobId(id);
      checkPutOptions("filesystem", features, call);
      const parts = shardPath(id, await loadSharding());
      try {
        await writer.write(parts, data, call);
      } catch (error) {
        if (call.ifAbsent && systemCode(error) === "EEXIST") throw blobExists(id, error);
        if (isMissing(error)) await requireRoot();
        throw translated(error, join(root, ...parts));
      }
    },

    async delete(id, { signal } = {}) {
      signal?.throwIfAborted();
      const path = await pathOf(id);
      try {
        await unlink(path);
        await syncDirectory(dirname(path));
      } catch (error) {
        if (!isMissing(error)) throw translated(error, path);
        await requireRoot();
      }
    },

    async *list(prefix, { signal } = {}) {
      signal?.throwIfAborted();
      await repeat(signal, loadSharding);
      yield* walk(root, "", prefix, signal);
    },

    async stat(id, { signal } = {}) {
      signal?.throwIfAborted();
      const path = await pathOf(id);
      try {
        const { mtimeNs, size } = await stat(path, { bigint: true });
        return { id, length: Number(size), timestampNs: mtimeNs };
      } catch (error) {
        throw await readError(error, id, path);
      }
    },

    async extendRetention(_id, _retention, { signal } = {}) {
      signal?.throwIfAborted();
      throw optionUnsupported("filesystem", "retention");
    },

    async capacity({ signal } = {}) {
      signal?.throwIfAborted();
      try {
        const { bavail, blocks, bsize } = await statfs(root);
        return { capacityBytes: blocks * bsize, availableBytes: bavail * bsize };
      } catch (error) {
        if (isMissing(error)) await requireRoot();
        throw translated(error, root);
      }
    },

    async close() {},
  };
}

/** Metadata of a listed file; undefined for what is no blob or is gone by now. Symbolic links are followed. */
async function describeFile(path: string, id: string): Promise<BlobMetadata | undefined> {
  if (!isBlobId(id)) return undefined;
  try {
    const found = await stat(path, { bigint: true });
    if (!found.isFile()) return undefined;
    return { id, length: Number(found.size), timestampNs: found.mtimeNs };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw translated(error, path);
  }
}
