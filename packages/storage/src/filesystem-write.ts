/**
 * Files that appear whole or not at all, also after a power failure: a temporary file beside the target, fsync, rename
 * (or link), and fsync of every directory that names something new. Kopia does the same except for the directories.
 * Format: docs/format/blobs.md. Proof: test/put-kill.test.ts, test/filesystem.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, link, mkdir, open, rename, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isMissing, systemCode } from "./filesystem-errors.ts";
import { optionUnsupported } from "./store-errors.ts";

/** Modes and owner of what is made. */
export interface FileAttributes {
  readonly fileMode: number;
  readonly dirMode: number;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

export interface WriteOptions {
  readonly ifAbsent?: boolean | undefined;
  readonly timestampNs?: bigint | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface AtomicWriter {
  /** Makes the root and what is missing above it. */
  makeRoot(): Promise<void>;
  /** Creates or replaces a file, given by directories below the root and its name; fails with EEXIST under `ifAbsent`. */
  write(parts: readonly string[], data: Uint8Array, options?: WriteOptions): Promise<void>;
}

/**
 * Bytes handed to one write call. The kernel takes one piece of memory for each, and pays dearly where long ones have not
 * been used before. CPU time of a whole backup of 1 GiB, least and median of 3 to 4 (Node 26, Linux 6.18, ext4, a virtual
 * machine under load): 64 KiB 3.7 s and 3.8 s, 128 KiB 3.4 and 3.5, 256 KiB 3.4 and 4.1, 512 KiB 4.2 and 4.3.
 */
const writePieceBytes = 128 << 10;

/** `root` is absolute and normalised. */
export function atomicWriter(root: string, attributes: FileAttributes): AtomicWriter {
  const { dirMode, fileMode, gid, uid } = attributes;

  /** Directories that cannot be lost any more, or are being made so; once each for the life of the store. */
  const anchored = new Map<string, Promise<void>>();

  /**
   * Resolves when the entry of `directory` in its parent is on disk, and so on up to the root. It does not matter who
   * made the directory: another put or another process may have made it and not synced it yet.
   */
  function anchor(directory: string): Promise<void> {
    if (directory === root) return Promise.resolve();
    const known = anchored.get(directory);
    if (known) return known;
    const parent = dirname(directory);
    const done = syncDirectory(parent).then(() => anchor(parent));
    anchored.set(directory, done);
    done.catch(() => anchored.delete(directory));
    return done;
  }

  /** Only below the root: when a volume is not mounted, its mount point must not fill up instead. */
  async function makeDirectories(parts: readonly string[]): Promise<void> {
    let path = root;
    for (const part of parts) {
      path = join(path, part);
      try {
        await mkdir(path, { mode: dirMode });
        anchored.delete(path);
      } catch (error) {
        if (systemCode(error) !== "EEXIST") throw error;
      }
    }
  }

  /** Not Node's `recursive`, which never returns where a directory is there and refuses entries, as in /proc. */
  async function makeWithParents(path: string): Promise<void> {
    const make = async (): Promise<void> => {
      await mkdir(path, { mode: dirMode });
      await syncDirectory(dirname(path));
    };
    try {
      await make();
    } catch (error) {
      if (systemCode(error) === "EEXIST") return;
      if (!isMissing(error) || dirname(path) === path) throw error;
      await makeWithParents(dirname(path));
      await make().catch((again: unknown) => {
        if (systemCode(again) !== "EEXIST") throw again;
      });
    }
  }

  async function createExclusively(path: string, parts: readonly string[]): Promise<FileHandle> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    try {
      return await open(path, flags, fileMode);
    } catch (error) {
      if (!isMissing(error)) throw error;
      await makeDirectories(parts);
      return open(path, flags, fileMode);
    }
  }

  async function fill(
    file: FileHandle,
    data: Uint8Array,
    { signal, timestampNs }: WriteOptions,
  ): Promise<void> {
    for (let at = 0; at < data.length; ) {
      signal?.throwIfAborted();
      const length = Math.min(writePieceBytes, data.length - at);
      at += (await file.write(data, at, length)).bytesWritten;
    }
    if (uid !== undefined && gid !== undefined && process.geteuid?.() === 0)
      await file.chown(uid, gid);
    if (timestampNs !== undefined) {
      const seconds = Number(timestampNs / 1000n) / 1e6;
      await file.utimes(seconds, seconds);
    }
    await file.sync();
  }

  return {
    makeRoot: () => makeWithParents(root),

    async write(parts, data, options = {}) {
      const directories = parts.slice(0, -1);
      const target = join(root, ...parts);
      const temporary = `${target}.tmp.${randomBytes(8).toString("hex")}`;
      const file = await createExclusively(temporary, directories);
      try {
        try {
          await fill(file, data, options);
        } finally {
          await file.close();
        }
        options.signal?.throwIfAborted();
        if (options.ifAbsent) await linkExclusively(temporary, target);
        else await rename(temporary, target);
      } catch (error) {
        await unlink(temporary).catch(() => undefined);
        throw error;
      }
      // A temporary name that stays is never read: not worth a failed put.
      if (options.ifAbsent) await unlink(temporary).catch(() => undefined);
      await syncDirectory(dirname(target));
      await anchor(dirname(target));
    },
  };
}

/** link(2) fails when the name exists: of several writers exactly one succeeds. */
async function linkExclusively(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    // FAT and some network file systems have no hard links.
    if (["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(systemCode(error))) {
      throw optionUnsupported("filesystem", "ifAbsent on a volume without hard links", error);
    }
    throw error;
  }
}

/** Makes durable what was created, renamed or removed in a directory. */
export async function syncDirectory(path: string): Promise<void> {
  let directory: FileHandle | undefined;
  try {
    directory = await open(path, constants.O_RDONLY);
    await directory.sync();
  } catch (error) {
    // Windows opens no directories, and some network file systems sync none; the rename itself has happened.
    if (!["EINVAL", "ENOTSUP", "EISDIR", "EPERM"].includes(systemCode(error))) throw error;
  } finally {
    await directory?.close();
  }
}
