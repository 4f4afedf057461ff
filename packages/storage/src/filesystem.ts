/**
 * Kopia's filesystem provider, for Node. A put writes a temporary file, syncs it, renames it over the target and syncs
 * the directory, so that after a crash a blob is there whole or not at all.
 * Format: docs/format/blobs.md. Proof: test/filesystem.test.ts, test/put-kill.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import { constants, type Dirent } from "node:fs";
import { type FileHandle, link, mkdir, open, opendir, readFile, rename, stat, statfs, unlink, utimes } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { AccessError, StorageError } from "@dm/core";
import { checkBlobId } from "./blob-id.ts";
import type { BlobMetadata, BlobStore, BlobStoreFeatures, CallOptions } from "./blob-store.ts";
import { blobSuffix, decodeSharding, encodeSharding, type Sharding, shardingFile, shardingFor, shardPath } from "./sharding.ts";
import { blobExists, blobNotFound, checkPutOptions, optionUnsupported, rangeInvalid } from "./store-errors.ts";

/** Kopia's connection JSON of this storage type; modes are decimal numbers there. */
export interface FilesystemConfig {
  /** Absolute. */
  readonly path: string;
  /** 0o600 by default. */
  readonly fileMode?: number | undefined;
  /** 0o700 by default. */
  readonly dirMode?: number | undefined;
  /** Owner of new files, when this process is root. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Used when the root has no `.shards` yet; `[1, 3]` when creating and `[3, 3]` when connecting by default. */
  readonly dirShards?: readonly number[] | null | undefined;
}

export interface FilesystemStoreOptions extends FilesystemConfig {
  /** Makes the root directory, and decides the default of `dirShards`. */
  readonly create?: boolean | undefined;
}

/**
 * Bytes handed to one write call: with 20 MiB at once the kernel spent 5.9-7.9 s on 2 GiB, with 64 KiB 1.8-3.1 s
 * (Linux 6.18, ext4).
 */
const writePieceBytes = 64 << 10;

const features: BlobStoreFeatures = { ifAbsent: true, retention: false, setTimestamp: true };

type NodeError = Error & { readonly code?: string };

/** What the operating system said, as one of our errors. */
function translated(error: unknown, path: string): Error {
  const { code, message } = error as NodeError;
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new AccessError("DM_STORE_ACCESS_DENIED", `no permission for ${path}: ${message}`, { path }, { cause: error });
  }
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new StorageError("DM_STORE_NO_SPACE", `no space left on device for ${path}`, { path }, { cause: error });
  }
  if (code === undefined) return error as Error;
  const retryable = ["EIO", "EAGAIN", "EBUSY", "EMFILE", "ENFILE", "EINTR", "ETIMEDOUT"].includes(code);
  return new StorageError("DM_STORE_FAILED", `${path}: ${message}`, { path, code }, { cause: error, retryable });
}

const isMissing = (error: unknown): boolean => ["ENOENT", "ENOTDIR"].includes((error as NodeError).code ?? "");

/**
 * Opens a directory as a blob store. Nothing is touched before the first call.
 * @throws {TypeError} when `path` is not absolute
 * @example const store = filesystemStore({ path: "/backup", create: true });
 */
export function filesystemStore(options: FilesystemStoreOptions): BlobStore {
  const { create = false, dirMode = 0o700, fileMode = 0o600, gid, path: root, uid } = options;
  if (!isAbsolute(root)) throw new TypeError(`path of a filesystem store must be absolute, not ${root}`);

  let sharding: Promise<Sharding> | undefined;
  const loadSharding = (): Promise<Sharding> => {
    sharding ??= readSharding().catch((error: unknown) => {
      sharding = undefined;
      throw error;
    });
    return sharding;
  };

  async function readSharding(): Promise<Sharding> {
    const path = join(root, shardingFile);
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if (!isMissing(error)) throw translated(error, path);
      const chosen = shardingFor(options.dirShards ?? (create ? [1, 3] : [3, 3]));
      // Kopia writes the file when it is missing and goes on when it cannot (a read-only medium).
      await writeAtomically([shardingFile], new TextEncoder().encode(encodeSharding(chosen)), {}).catch(() => undefined);
      return chosen;
    }
    return decodeSharding(text, path);
  }

  async function pathOf(id: string): Promise<string[]> {
    checkBlobId(id);
    return shardPath(id, await loadSharding());
  }

  async function makeDirectory(parts: readonly string[]): Promise<void> {
    if (parts.length === 0 && !create) return;
    const path = join(root, ...parts);
    const first = await mkdir(path, { recursive: true, mode: dirMode });
    // A new directory is durable once its parent is synced, up to the first that existed before.
    if (first === undefined) return;
    for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
  }

  async function writeAtomically(
    parts: readonly string[],
    data: Uint8Array,
    how: { readonly ifAbsent?: boolean | undefined; readonly timestampNs?: bigint | undefined; readonly signal?: AbortSignal | undefined },
  ): Promise<void> {
    const target = join(root, ...parts);
    const temporary = `${target}.tmp.${randomBytes(8).toString("hex")}`;
    const file = await createExclusively(temporary, parts);
    try {
      try {
        for (let at = 0; at < data.length; at += writePieceBytes) {
          how.signal?.throwIfAborted();
          await writeFully(file, data.subarray(at, at + writePieceBytes));
        }
        await file.sync();
        if (uid !== undefined && gid !== undefined && process.getuid?.() === 0) await file.chown(uid, gid);
      } finally {
        await file.close();
      }
      if (how.timestampNs !== undefined) {
        const seconds = Number(how.timestampNs / 1000n) / 1e6;
        await utimes(temporary, seconds, seconds);
      }
      if (how.ifAbsent) {
        // link(2) fails when the name exists: of several writers exactly one succeeds.
        await link(temporary, target);
        await unlink(temporary);
      } else await rename(temporary, target);
      await syncDirectory(dirname(target));
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  }

  async function createExclusively(path: string, parts: readonly string[]): Promise<FileHandle> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    try {
      return await open(path, flags, fileMode);
    } catch (error) {
      if (!isMissing(error)) throw error;
      await makeDirectory(parts.slice(0, -1));
      return open(path, flags, fileMode);
    }
  }

  async function* walk(directory: string, idPrefix: string, wanted: string, call: CallOptions): AsyncGenerator<BlobMetadata> {
    let entries: AsyncIterable<Dirent>;
    try {
      entries = await opendir(directory);
    } catch (error) {
      if (isMissing(error)) return;
      throw translated(error, directory);
    }
    for await (const entry of entries) {
      call.signal?.throwIfAborted();
      if (entry.isDirectory()) {
        const below = idPrefix + entry.name;
        if (below.startsWith(wanted) || wanted.startsWith(below)) yield* walk(join(directory, entry.name), below, wanted, call);
        continue;
      }
      if (!entry.name.endsWith(blobSuffix)) continue;
      const id = idPrefix + entry.name.slice(0, -blobSuffix.length);
      if (!id.startsWith(wanted)) continue;
      try {
        const found = await stat(join(directory, entry.name), { bigint: true });
        yield { id, length: Number(found.size), timestampNs: found.mtimeNs };
      } catch (error) {
        // Deleted while the directory was being read.
        if (!isMissing(error)) throw translated(error, join(directory, entry.name));
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
      const path = join(root, ...(await pathOf(id)));
      let file: FileHandle;
      try {
        file = await open(path, constants.O_RDONLY);
      } catch (error) {
        if (isMissing(error)) throw blobNotFound(id, error);
        throw translated(error, path);
      }
      try {
        const blobLength = (await file.stat()).size;
        const wanted = length ?? blobLength - offset;
        if (wanted === 0 && length === 0) return new Uint8Array(0);
        if (offset < 0 || wanted < 0 || offset + wanted > blobLength) throw rangeInvalid(id, offset, wanted, blobLength);
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
      checkPutOptions("filesystem", features, call);
      const parts = await pathOf(id);
      try {
        await writeAtomically(parts, data, call);
      } catch (error) {
        if (call.ifAbsent && (error as NodeError).code === "EEXIST") throw blobExists(id, error);
        throw translated(error, join(root, ...parts));
      }
    },

    async delete(id, { signal } = {}) {
      signal?.throwIfAborted();
      const path = join(root, ...(await pathOf(id)));
      try {
        await unlink(path);
        await syncDirectory(dirname(path));
      } catch (error) {
        if (!isMissing(error)) throw translated(error, path);
      }
    },

    async *list(prefix, call = {}) {
      call.signal?.throwIfAborted();
      await loadSharding();
      yield* walk(root, "", prefix, call);
    },

    async stat(id, { signal } = {}) {
      signal?.throwIfAborted();
      const path = join(root, ...(await pathOf(id)));
      try {
        const found = await stat(path, { bigint: true });
        return { id, length: Number(found.size), timestampNs: found.mtimeNs };
      } catch (error) {
        if (isMissing(error)) throw blobNotFound(id, error);
        throw translated(error, path);
      }
    },

    async extendRetention() {
      throw optionUnsupported("filesystem", "retention");
    },

    async capacity() {
      try {
        const { bavail, blocks, bsize } = await statfs(root);
        return { capacityBytes: blocks * bsize, availableBytes: bavail * bsize };
      } catch (error) {
        throw translated(error, root);
      }
    },

    async close() {},
  };
}

async function writeFully(file: FileHandle, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length; ) {
    const { bytesWritten } = await file.write(data, at, data.length - at);
    at += bytesWritten;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY);
  try {
    await directory.sync();
  } catch (error) {
    // Some network file systems refuse to sync a directory; the rename itself has happened.
    if (!["EINVAL", "ENOTSUP", "EISDIR", "EPERM"].includes((error as NodeError).code ?? "")) throw error;
  } finally {
    await directory.close();
  }
}
