/**
 * Kopia's filesystem provider, for Node: one file for each blob, spread over directories.
 * Format: docs/format/blobs.md. Proof: test/contract.test.ts, test/filesystem.test.ts, test/put-kill.test.ts.
 * @module
 */
import { constants } from "node:fs";
import { type FileHandle, open, readdir, stat, statfs, unlink } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { type Logger, NotFoundError } from "@dm/core";
import type { BlobStore, BlobStoreFeatures } from "./blob-store.ts";
import { isMissing, systemCode, translated } from "./filesystem-errors.ts";
import { atomicWriter, syncDirectory } from "./filesystem-write.ts";
import { type FileTree, type ShardedConfig, shardedStore, type TreePath } from "./sharded-store.ts";

/** Kopia's connection JSON of this storage type; modes are decimal numbers there, and 0 means the default. */
export interface FilesystemConfig extends ShardedConfig {
  /** Absolute. */
  readonly path: string;
  /** 0o600 by default. */
  readonly fileMode?: number | undefined;
  /** 0o700 by default. */
  readonly dirMode?: number | undefined;
  /** Owner of new files, when this process is root and both are given. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

export interface FilesystemStoreOptions extends FilesystemConfig {
  /** Makes the root directory, and decides the default of `dirShards`. */
  readonly create?: boolean | undefined;
  /** Hears at `debug` of what is tried again; silent by default. */
  readonly logger?: Logger | undefined;
}

const features: BlobStoreFeatures = { ifAbsent: true, retention: false, setTimestamp: true };

/**
 * Opens a directory as a blob store. Nothing is touched before the first call. What passes by itself (an interrupted
 * call, too many open files, an I/O error) is tried again: ten times, a put twice.
 * @throws {TypeError} when `path` is not absolute
 * @throws {RangeError} when `dirShards` holds anything but positive integers
 * @example const store = filesystemStore({ path: "/backup", create: true });
 */
export function filesystemStore(options: FilesystemStoreOptions): BlobStore {
  if (!isAbsolute(options.path)) {
    throw new TypeError(`path of a filesystem store must be absolute, not ${options.path}`);
  }
  const root = resolve(options.path);
  const { create, dirShards, listParallelism, logger } = options;
  return shardedStore(fileTree(root, options), {
    type: "filesystem",
    displayName: `Filesystem: ${root}`,
    features,
    root,
    create,
    dirShards,
    listParallelism,
    retries: { attempts: 10, putAttempts: 2, logger },
  });
}

function fileTree(root: string, { dirMode, fileMode, gid, uid }: FilesystemStoreOptions): FileTree {
  const attributes = { fileMode: fileMode || 0o600, dirMode: dirMode || 0o700, uid, gid };
  const writer = atomicWriter(root, attributes);
  const located = (path: TreePath): string => join(root, ...path);

  /** @throws {NotFoundError} `DM_STORE_NOT_FOUND` */
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

  /** Undefined when the failure means that the file is not there. */
  async function unlessMissing(error: unknown, path: string): Promise<undefined> {
    if (!isMissing(error)) throw translated(error, path);
    await requireRoot();
    return undefined;
  }

  return {
    async makeRoot() {
      try {
        await writer.makeRoot();
      } catch (error) {
        throw translated(error, root);
      }
    },

    async read(path, { length, offset, rangeError, signal }) {
      const at = located(path);
      let file: FileHandle;
      try {
        file = await open(at, constants.O_RDONLY);
      } catch (error) {
        return unlessMissing(error, at);
      }
      try {
        const fileLength = (await file.stat()).size;
        const wanted = length ?? fileLength - offset;
        if (wanted < 0 || offset + wanted > fileLength) {
          throw rangeError(offset, wanted, fileLength);
        }
        const bytes = new Uint8Array(wanted);
        for (let done = 0; done < wanted; ) {
          signal?.throwIfAborted();
          const { bytesRead } = await file.read(bytes, done, wanted - done, offset + done);
          if (bytesRead === 0) throw rangeError(offset, wanted, offset + done);
          done += bytesRead;
        }
        return bytes;
      } catch (error) {
        throw translated(error, at);
      } finally {
        await file.close();
      }
    },

    async write(path, data, options) {
      try {
        await writer.write(path, data, options);
        return true;
      } catch (error) {
        if (options.ifAbsent && systemCode(error) === "EEXIST") return false;
        if (isMissing(error)) await requireRoot();
        throw translated(error, located(path));
      }
    },

    async remove(path) {
      const at = located(path);
      try {
        await unlink(at);
        await syncDirectory(dirname(at));
      } catch (error) {
        await unlessMissing(error, at);
      }
    },

    // Symbolic links are followed.
    async stat(path) {
      const at = located(path);
      try {
        const found = await stat(at, { bigint: true });
        if (!found.isFile()) return undefined;
        return { length: Number(found.size), timestampNs: found.mtimeNs };
      } catch (error) {
        return unlessMissing(error, at);
      }
    },

    async list(path) {
      const at = located(path);
      try {
        const entries = await readdir(at, { withFileTypes: true });
        return entries.map((entry) => ({ name: entry.name, isDirectory: entry.isDirectory() }));
      } catch (error) {
        if (!isMissing(error)) throw translated(error, at);
        if (path.length === 0) await requireRoot();
        return undefined;
      }
    },

    async capacity() {
      try {
        const { bavail, blocks, bsize } = await statfs(root);
        return { capacityBytes: blocks * bsize, availableBytes: bavail * bsize };
      } catch (error) {
        await unlessMissing(error, root);
        throw translated(error, root);
      }
    },

    async close() {},
  };
}
