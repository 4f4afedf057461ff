/**
 * Files on an SFTP server. One connection, made at the first call and again after it was lost; requests of all calls go
 * over it at once.
 * Proof: test/sftp.sshd.test.ts, test/sftp-faults.test.ts.
 * @module
 */
import { randomBytes } from "node:crypto";
import { AccessError, NotFoundError, StorageError } from "@dm/core";
import { raced } from "../raced.ts";
import { reopening } from "../reopening.ts";
import type { FileFacts, FileTree, TreeEntry, TreePath } from "../sharded-store.ts";
import { optionUnsupported } from "../store-errors.ts";
import { type FileAttributes, statusCode } from "./sftp-messages.ts";
import { type SftpSession, SftpStatus, sftpExtension } from "./sftp-session.ts";

/** What every server takes in one request, and one packet of SSH. */
const pieceBytes = 32 << 10;

/** Requests of one file under way: 2 MiB, which a line of 100 ms and 160 Mbit/s needs. */
const piecesAtOnce = 64;

/** Up to here the length of a range is believed without asking for the file's. */
const believedBytes = 1 << 20;

/** Pages of a directory asked for at once. */
const maxPagesAtOnce = 16;

const fileTypeMask = 0o170000;
const directoryType = 0o040000;
const regularType = 0o100000;

export interface SftpTreeOptions {
  /** Without a slash at its end. */
  readonly root: string;
  open(onClosed: () => void): Promise<SftpSession>;
  readonly maxBlobBytes: number;
}

export function sftpTree({ maxBlobBytes, open, root }: SftpTreeOptions): FileTree {
  const sessions = reopening(open, (session) => session.close());
  const session = (): Promise<SftpSession> => sessions.current();
  /** Temporary files that a lost connection left; the next put removes them. */
  const lost = new Set<string>();

  const located = (path: TreePath): string =>
    path.length === 0 ? root : `${root === "/" ? "" : root}/${path.join("/")}`;

  /** @throws {NotFoundError} `DM_STORE_NOT_FOUND` */
  async function requireRoot(sftp: SftpSession): Promise<void> {
    let cause: unknown;
    try {
      const { mode } = await sftp.stat(root);
      if (mode === undefined || isType(mode, directoryType)) return;
    } catch (error) {
      if (!hasStatus(error, statusCode.noSuchFile)) throw translated(error, root);
      cause = error;
    }
    const text = `cannot access storage path ${root}: there is no such directory on the server`;
    throw new NotFoundError("DM_STORE_NOT_FOUND", text, { path: root }, { cause });
  }

  /** Undefined when the failure means that the file is not there. */
  async function unlessMissing(error: unknown, path: string, sftp: SftpSession) {
    if (!hasStatus(error, statusCode.noSuchFile)) throw translated(error, path);
    await requireRoot(sftp);
    return undefined;
  }

  /** Only below the root: what is missing above it was not meant to be there. */
  async function makeDirectories(sftp: SftpSession, path: TreePath): Promise<void> {
    for (let depth = 1; depth <= path.length; depth++) {
      const directory = located(path.slice(0, depth));
      // Version 3 has no word for "exists already": whether it helped shows when the file is made.
      await sftp.makeDirectory(directory).catch((error: unknown) => {
        if (!(error instanceof SftpStatus)) throw error;
      });
    }
  }

  async function createExclusively(sftp: SftpSession, path: string, directories: TreePath) {
    try {
      return await sftp.createExclusively(path);
    } catch (error) {
      if (!hasStatus(error, statusCode.noSuchFile)) throw error;
    }
    await makeDirectories(sftp, directories);
    try {
      return await sftp.createExclusively(path);
    } catch (error) {
      if (hasStatus(error, statusCode.noSuchFile)) await requireRoot(sftp);
      throw error;
    }
  }

  /** Servers call a full disk just a failure. */
  async function writeError(error: unknown, path: string, bytes: number, sftp: SftpSession) {
    if (hasStatus(error, statusCode.failure) && sftp.has(sftpExtension.fileSystemFacts)) {
      const free = await sftp.capacity(root).catch(() => undefined);
      if (free && free.availableBytes < bytes) {
        const text = `no space left for ${path}: ${free.availableBytes} bytes are free`;
        return new StorageError("DM_STORE_NO_SPACE", text, { path }, { cause: error });
      }
    }
    return translated(error, path);
  }

  /** A name that stays is never read: not worth a failed put, but worth another attempt when there is a connection. */
  async function removeTemporary(sftp: SftpSession, path: string): Promise<void> {
    lost.delete(path);
    await sftp.remove(path).catch((error: unknown) => {
      if (!(error instanceof SftpStatus)) lost.add(path);
    });
  }

  return {
    async makeRoot() {
      const sftp = await session();
      const names = root.split("/").filter((name) => name !== "");
      const start = root.startsWith("/") ? "/" : "";
      for (let depth = 1; depth <= names.length; depth++) {
        const path = start + names.slice(0, depth).join("/");
        // Directories on the way may forbid to look, and be fine to pass through.
        await sftp.makeDirectory(path).catch((error: unknown) => {
          if (!(error instanceof SftpStatus)) throw error;
        });
      }
      await requireRoot(sftp);
    },

    async read(path, { length, offset, rangeError, signal }) {
      const at = located(path);
      const sftp = await raced(session(), signal);
      const opening = sftp.openForReading(at);
      const work = async (): Promise<Uint8Array | undefined> => {
        let handle: Uint8Array;
        try {
          handle = await opening;
        } catch (error) {
          return unlessMissing(error, at, sftp);
        }
        try {
          let wanted = length;
          if (wanted === undefined || wanted > believedBytes) {
            const { size } = await sftp.statHandle(handle);
            if (size === undefined) throw lengthUntold(at);
            wanted ??= size - offset;
            if (wanted < 0 || offset + wanted > size) throw rangeError(offset, wanted, size);
            if (wanted > maxBlobBytes) throw tooLong(at, maxBlobBytes);
          }
          const bytes = new Uint8Array(wanted);
          const end = wanted;
          await inPieces(end, signal, async (from, to) => {
            for (let done = from; done < to; ) {
              const piece = await sftp.read(handle, offset + done, to - done);
              if (piece.length === 0) throw rangeError(offset, end, offset + done);
              bytes.set(piece, done);
              done += piece.length;
            }
          });
          return bytes;
        } catch (error) {
          throw translated(error, at);
        } finally {
          sftp.closeHandle(handle).catch(() => undefined);
        }
      };
      return raced(work(), signal);
    },

    async write(path, data, { ifAbsent, signal, timestampNs }) {
      const seconds = timestampNs === undefined ? undefined : wholeSeconds(timestampNs);
      const target = located(path);
      const temporary = `${target}.tmp.${randomBytes(8).toString("hex")}`;
      const sftp = await raced(session(), signal);
      const needed = ifAbsent ? sftpExtension.hardLink : sftpExtension.posixRename;
      if (!sftp.has(needed)) throw missingExtension(needed, ifAbsent ?? false);
      for (const left of [...lost]) await removeTemporary(sftp, left);
      const work = async (): Promise<boolean> => {
        let handle: Uint8Array;
        try {
          handle = await createExclusively(sftp, temporary, path.slice(0, -1));
        } catch (error) {
          // Without an answer nobody knows whether it was made.
          if (!(error instanceof SftpStatus)) lost.add(temporary);
          throw await writeError(error, target, data.length, sftp);
        }
        try {
          try {
            await inPieces(data.length, signal, (from, to) =>
              sftp.write(handle, from, data.subarray(from, to)),
            );
            if (seconds !== undefined) await sftp.setTime(handle, seconds);
            if (sftp.has(sftpExtension.fsync)) await sftp.sync(handle);
          } finally {
            // In any case before the name changes: some servers report only here that a write failed.
            await sftp.closeHandle(handle);
          }
          signal?.throwIfAborted();
          if (!ifAbsent) await sftp.renameOver(temporary, target);
          else if (!(await linkUnlessThere(sftp, temporary, target))) {
            await removeTemporary(sftp, temporary);
            return false;
          }
        } catch (error) {
          await removeTemporary(sftp, temporary);
          throw await writeError(error, target, data.length, sftp);
        }
        if (ifAbsent) await removeTemporary(sftp, temporary);
        return true;
      };
      return raced(work(), signal);
    },

    async remove(path, { signal }) {
      const at = located(path);
      const sftp = await raced(session(), signal);
      const work = sftp.remove(at).catch((error: unknown) => unlessMissing(error, at, sftp));
      await raced(work, signal);
    },

    async stat(path, { signal }) {
      const at = located(path);
      const sftp = await raced(session(), signal);
      const work = sftp.stat(at).then(factsOf, (error) => unlessMissing(error, at, sftp));
      return raced(work, signal);
    },

    async list(path, { signal }) {
      const at = located(path);
      const sftp = await raced(session(), signal);
      const work = async (): Promise<TreeEntry[] | undefined> => {
        let handle: Uint8Array;
        try {
          handle = await sftp.openDirectory(at);
        } catch (error) {
          if (!hasStatus(error, statusCode.noSuchFile)) throw translated(error, at);
          if (path.length === 0) await requireRoot(sftp);
          return undefined;
        }
        try {
          return await readDirectory(sftp, handle, signal);
        } catch (error) {
          throw translated(error, at);
        } finally {
          sftp.closeHandle(handle).catch(() => undefined);
        }
      };
      return raced(work(), signal);
    },

    async capacity({ signal }) {
      const sftp = await raced(session(), signal);
      if (!sftp.has(sftpExtension.fileSystemFacts)) return undefined;
      const work = sftp.capacity(root).catch(async (error: unknown) => {
        await unlessMissing(error, root, sftp);
        throw translated(error, root);
      });
      return raced(work, signal);
    },

    close: () => sessions.close(),
  };
}

async function readDirectory(
  sftp: SftpSession,
  handle: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<TreeEntry[]> {
  const entries: TreeEntry[] = [];
  for (let pagesAtOnce = 1; ; pagesAtOnce = Math.min(maxPagesAtOnce, pagesAtOnce * 2)) {
    signal?.throwIfAborted();
    const pages = await Promise.all(
      Array.from({ length: pagesAtOnce }, () => sftp.readDirectory(handle)),
    );
    for (const page of pages) {
      if (page === undefined) return entries;
      for (const { attributes, name } of page) {
        if (name === "." || name === "..") continue;
        const { mode = regularType } = attributes;
        const isDirectory = isType(mode, directoryType);
        // A symbolic link is described as itself: what it points at must be asked for.
        const facts = isType(mode, regularType) ? factsOf(attributes) : undefined;
        entries.push({ name, isDirectory, facts });
      }
    }
  }
}

const isType = (mode: number, type: number): boolean => (mode & fileTypeMask) === type;

/** Undefined for what is no file, and where the server keeps a member to itself. */
function factsOf({ mode, modifiedAtSeconds, size }: FileAttributes): FileFacts | undefined {
  if (mode !== undefined && !isType(mode, regularType)) return undefined;
  if (size === undefined || modifiedAtSeconds === undefined) return undefined;
  return { length: size, timestampNs: BigInt(modifiedAtSeconds) * 1_000_000_000n };
}

/** link(2): of several writers exactly one succeeds. False when the name is taken. */
async function linkUnlessThere(sftp: SftpSession, from: string, to: string): Promise<boolean> {
  try {
    await sftp.link(from, to);
    return true;
  } catch (error) {
    if (hasStatus(error, statusCode.unsupported))
      throw missingExtension(sftpExtension.hardLink, true);
    if (!hasStatus(error, statusCode.failure)) throw error;
    await sftp.stat(to).catch(() => {
      throw error;
    });
    return false;
  }
}

/** Pieces of a file, a window of them at once. On the first failure no more are begun, and those under way are awaited. */
async function inPieces(
  length: number,
  signal: AbortSignal | undefined,
  run: (from: number, to: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < length) {
      signal?.throwIfAborted();
      const from = next;
      next = Math.min(length, from + pieceBytes);
      try {
        await run(from, next);
      } catch (error) {
        next = length;
        throw error;
      }
    }
  };
  const count = Math.min(piecesAtOnce, Math.ceil(length / pieceBytes));
  const results = await Promise.allSettled(Array.from({ length: count }, worker));
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}

const hasStatus = (error: unknown, status: number): boolean =>
  error instanceof SftpStatus && error.status === status;

/** Errors that are not the server's (an abort, one of ours) come back as they are. */
function translated(error: unknown, path: string): unknown {
  if (!(error instanceof SftpStatus)) return error;
  const { message, status } = error;
  if (status === statusCode.permissionDenied) {
    const text = `no permission for ${path} on the server: give the user rights to it`;
    return new AccessError("DM_STORE_ACCESS_DENIED", text, { path }, { cause: error });
  }
  const text = `${path}: the SFTP server says: ${message}`;
  // Version 3 has one word for all that has no own: it may pass.
  const retryable = [
    statusCode.failure,
    statusCode.noConnection,
    statusCode.connectionLost,
    statusCode.noSuchFile,
  ].some((code) => code === status);
  return new StorageError("DM_STORE_FAILED", text, { path, status }, { cause: error, retryable });
}

function missingExtension(extension: string, ifAbsent: boolean): Error {
  const what = ifAbsent ? "ifAbsent" : "replacing a file in one step";
  return optionUnsupported("sftp", `${what} on a server without ${extension}`);
}

function lengthUntold(path: string): StorageError {
  const text = `the SFTP server does not tell the length of ${path}: it cannot hold a repository`;
  return new StorageError("DM_STORE_ANSWER_INVALID", text, { path });
}

function tooLong(path: string, maxBytes: number): StorageError {
  const text = `${path} has more than the ${maxBytes} bytes that are read at once`;
  return new StorageError("DM_STORE_ANSWER_INVALID", text, { path, maxBytes });
}

/** Times in version 3 are whole seconds, without sign, in 32 bits. */
function wholeSeconds(timestampNs: bigint): number {
  const seconds = timestampNs / 1_000_000_000n;
  if (seconds < 0n || seconds > 0xffff_ffffn) throw new RangeError("no time that SFTP can tell");
  return Number(seconds);
}
