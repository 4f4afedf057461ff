/**
 * Restores a tree into one archive: tar (with pax headers: long names, sizes beyond 8 GiB, nanoseconds) or zip. The archive
 * is written under a temporary name and gets its own when it is whole; pipes are written to. Memory: see tree-reader.ts; a zip also holds the names
 * of everything in it, for its directory at the end.
 * Proof: test/restore-archive.test.ts.
 * @module
 */
import { createWriteStream } from "node:fs";
import { realpath, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { PassThrough, Readable, type Writable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { FormatError, StorageError } from "@dm/core";
import type { Repository } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "../../directory-entry.ts";
import { RestoreLedger } from "../../restore/ledger.ts";
import type { RestoreProgress, RestoreReport } from "../../restore/restore-types.ts";
import { PieceFailure } from "./contents.ts";
import { failureOf, systemCode } from "./failures.ts";
import { temporaryName } from "./target-directory.ts";
import { type ReadItem, readTree } from "./tree-reader.ts";

export type ArchiveFormat = "tar" | "tgz" | "zip" | "zip-nocompress";

export interface RestoreArchiveOptions extends CallOptions {
  /** By the end of the name by default: `.tar`, `.tar.gz`, `.tgz`, `.zip`. */
  readonly format?: ArchiveFormat | undefined;
  /** Told now and then; keep it cheap. */
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined;
}

/** The format that a name stands for; undefined for none. */
export function archiveFormatOf(path: string): ArchiveFormat | undefined {
  if (path.endsWith(".zip")) return "zip";
  if (path.endsWith(".tar")) return "tar";
  return path.endsWith(".tar.gz") || path.endsWith(".tgz") ? "tgz" : undefined;
}

/**
 * Writes an entry and everything below it to an archive file. Damage of a small file, a link or a directory is a loss in the
 * report; of a file beyond 8 MiB it is thrown, because its header has been written by then.
 * @throws {StorageError} `DM_RESTORE_FAILED`, `DM_RESTORE_NO_SPACE`; nothing is left then
 * @throws {RangeError} when no format is given and the name stands for none
 * @example const { losses } = await restoreArchive(repository, snapshot.rootEntry, "app.tar.gz");
 */
export async function restoreArchive(
  repository: Repository,
  entry: DirectoryEntry,
  target: string,
  options: RestoreArchiveOptions = {},
): Promise<RestoreReport> {
  const format = options.format ?? archiveFormatOf(target);
  if (format === undefined) throw new RangeError(`the name stands for no archive: ${target}`);
  const path = await placeOf(resolve(target));
  // A pipe or a terminal has no other place, and no half file can stand there.
  const temporary = path.isStream ? undefined : join(dirname(path.name), temporaryName());
  const file = createWriteStream(temporary ?? path.name, { flags: temporary ? "wx" : "w" });
  const ledger = new RestoreLedger(entry.summary, options.onProgress);
  try {
    await writeArchive(repository, entry, file, format, ledger, options);
    if (temporary) await rename(temporary, path.name);
  } catch (error) {
    if (temporary) await unlink(temporary).catch(() => {});
    if (systemCode(error) === "") throw error;
    const { code, reason } = failureOf(error, dirname(path.name));
    const text = `cannot write ${path.name}: ${reason}`;
    throw new StorageError(code, text, { path: path.name }, { cause: error });
  }
  return ledger.report();
}

/** A link leads to the file that is replaced, and stays; what is no file (`/dev/stdout`, a named pipe) is written to. */
async function placeOf(path: string): Promise<{ name: string; isStream: boolean }> {
  const there = await stat(path).catch(() => undefined);
  if (there?.isFile()) return { name: await realpath(path).catch(() => path), isStream: false };
  return { name: path, isStream: there !== undefined && !there.isDirectory() };
}

/**
 * Writes an archive to any stream, and ends it.
 * @throws as {@link restoreArchive}; what was written by then is no whole archive
 */
export async function streamArchive(
  repository: Repository,
  entry: DirectoryEntry,
  output: Writable,
  options: RestoreArchiveOptions & { readonly format: ArchiveFormat },
): Promise<RestoreReport> {
  const ledger = new RestoreLedger(entry.summary, options.onProgress);
  await writeArchive(repository, entry, output, options.format, ledger, options);
  return ledger.report();
}

async function writeArchive(
  repository: Repository,
  root: DirectoryEntry,
  output: Writable,
  format: ArchiveFormat,
  ledger: RestoreLedger,
  { signal }: CallOptions,
): Promise<void> {
  const archive = await (format.startsWith("zip") ? zipArchive(format === "zip") : tarArchive());
  const through = format === "tgz" ? createGzip() : new PassThrough();
  const written = pipeline(archive.bytes, through, output);
  // Whoever waits for it gets the failure; until then it must not count as unhandled.
  written.catch((error) => archive.abort(error));
  try {
    for await (const item of readTree(repository, root, { signal })) {
      await addItem(archive, item, root, ledger);
      ledger.tell();
    }
  } catch (error) {
    archive.abort(error);
    // A full disk ends the pipeline, and with it the entry that was being written: the first is the reason.
    const reason = await written.catch((first: unknown) => first);
    throw systemCode(reason) === "" ? error : reason;
  }
  archive.end();
  await written;
}

async function addItem(
  archive: Archive,
  item: ReadItem,
  root: DirectoryEntry,
  ledger: RestoreLedger,
): Promise<void> {
  const { entry, failure } = item;
  const isRoot = item.path === "";
  if (failure) {
    ledger.lose(item.path, failure.code, failure.reason);
    return;
  }
  if (entry.type !== "d" && entry.type !== "f" && entry.type !== "s") {
    const reason = `entries of type ${JSON.stringify(entry.type)} are not known here`;
    ledger.lose(item.path, "DM_RESTORE_TYPE_UNKNOWN", reason);
    return;
  }
  if (entry.type === "d" && isRoot) {
    ledger.directories += 1;
    return;
  }
  const name = isRoot ? basename(root.name) || "file" : item.path;
  const refused = archive.refused(name);
  if (refused !== undefined) {
    ledger.lose(item.path, "DM_RESTORE_NAME_REFUSED", refused);
    return;
  }
  if (entry.type === "d") {
    await archive.addDirectory(name, entry);
    ledger.directories += 1;
    return;
  }
  if (entry.type === "s") {
    await archive.addLink(name, entry, Buffer.concat(item.data as readonly Uint8Array[]));
    ledger.symlinks += 1;
    return;
  }
  try {
    await archive.addFile(name, entry, item.data);
  } catch (error) {
    if (!(error instanceof PieceFailure)) throw error;
    const { code, reason } = error.failure;
    throw new FormatError(code, `${name}: ${reason}`, { path: name }, { cause: error });
  }
  ledger.files += 1;
  ledger.bytes += entry.sizeBytes;
}

/** Archives take what is added one after another: await each. */
interface Archive {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Why this format cannot hold a name; undefined when it can. */
  refused(path: string): string | undefined;
  addDirectory(path: string, entry: DirectoryEntry): Promise<void>;
  addFile(path: string, entry: DirectoryEntry, data: ReadItem["data"]): Promise<void>;
  addLink(path: string, entry: DirectoryEntry, target: Uint8Array): Promise<void>;
  end(): void;
  abort(error: unknown): void;
}

const fileTypeBits = { d: 0o040000, f: 0o100000, s: 0o120000 };

// Loaded when it is needed: most programs that restore or back up make no archive.
async function tarArchive(): Promise<Archive> {
  const { pack } = await import("tar-stream");
  const tar = pack();
  // Whoever reads the archive is told.
  tar.on("error", () => {});
  const add = async (
    path: string,
    entry: DirectoryEntry,
    type: "directory" | "file" | "symlink",
    linkname: string | undefined,
    data: ReadItem["data"],
  ): Promise<void> => {
    const { gid, mode, modifiedAtNs, sizeBytes, uid } = entry;
    const size = type === "file" ? sizeBytes : 0;
    const seconds = Number(modifiedAtNs / 1_000_000_000n);
    const { promise, resolve: done, reject } = Promise.withResolvers<void>();
    const header = {
      name: path,
      type,
      size,
      uid,
      gid,
      // A mode without type bits is taken for none when it is 0.
      mode: mode | fileTypeBits[entry.type as "d" | "f" | "s"],
      // What the old header cannot hold, the pax header says.
      mtime: new Date(Math.min(Math.max(seconds, 0), 2 ** 31 - 1) * 1000),
      ...(linkname !== undefined && { linkname }),
      pax: {
        mtime: decimalSeconds(modifiedAtNs),
        ...(uid > 0o777_7777 && { uid: String(uid) }),
        ...(gid > 0o777_7777 && { gid: String(gid) }),
        ...(size >= 8 * 2 ** 30 && { size: String(size) }),
      },
    };
    const sink: Writable = tar.entry(header, (error) => (error ? reject(error) : done())) as never;
    // Told above, too.
    sink.on("error", () => {});
    if (type === "file") {
      try {
        for await (const piece of data) {
          if (!sink.write(piece)) await Promise.race([drained(sink), promise]);
        }
        sink.end();
      } catch (error) {
        promise.catch(() => {});
        throw error;
      }
    }
    await promise;
  };
  return {
    bytes: tar as unknown as AsyncIterable<Uint8Array>,
    refused: () => undefined,
    addDirectory: (path, entry) => add(`${path}/`, entry, "directory", undefined, []),
    addFile: (path, entry, data) => add(path, entry, "file", undefined, data),
    addLink: (path, entry, target) =>
      add(path, entry, "symlink", new TextDecoder().decode(target), []),
    end: () => tar.finalize(),
    abort: (error) => tar.destroy(error as Error),
  };
}

const drained = (sink: Writable): Promise<void> =>
  new Promise((done) => {
    sink.once("drain", done);
  });

/** `1700000000.000000001`, as pax headers have it. */
function decimalSeconds(ns: bigint): string {
  const digits = (ns < 0n ? -ns : ns).toString().padStart(10, "0");
  const fraction = digits.slice(-9).replace(/0+$/, "");
  const whole = `${ns < 0n ? "-" : ""}${digits.slice(0, -9)}`;
  return fraction === "" ? whole : `${whole}.${fraction}`;
}

/** Zip knows times from 1980 on; the extended field that is written beside it ends in 2038. */
const zipTimes = [Date.UTC(1980, 0, 1), (2 ** 31 - 1) * 1000] as const;

async function zipArchive(compress: boolean): Promise<Archive> {
  const { ZipFile } = await import("yazl");
  const zip = new ZipFile();
  const bytes = new PassThrough();
  zip.outputStream.pipe(bytes);
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const fail = (error: unknown): void => {
    bytes.destroy(error as Error);
    // Nobody takes the bytes of the entry under way any longer: it would wait for ever.
    reject(error);
  };
  zip.on("error", fail);
  const optionsOf = (entry: DirectoryEntry): { mtime: Date; mode: number } => {
    const ms = Number(entry.modifiedAtNs / 1_000_000n);
    return {
      mtime: new Date(Math.min(Math.max(ms, zipTimes[0]), zipTimes[1])),
      mode: entry.mode | fileTypeBits[entry.type as "d" | "f" | "s"],
    };
  };
  const add = async (
    path: string,
    entry: DirectoryEntry,
    data: ReadItem["data"],
    size: number,
    isCompressed: boolean,
  ): Promise<void> => {
    const stream = Readable.from(data, { objectMode: false });
    const options = { ...optionsOf(entry), compress: isCompressed, size };
    zip.addReadStream(stream, path, options);
    try {
      await Promise.race([finished(stream), failed]);
    } finally {
      stream.destroy();
    }
  };
  return {
    bytes,
    refused: (path) => {
      if (path.includes("\\")) return "a zip archive cannot hold a name with a backslash";
      return /^[a-zA-Z]:/.test(path) ? "a zip archive takes the name for a drive's" : undefined;
    },
    addDirectory: async (path, entry) => zip.addEmptyDirectory(path, optionsOf(entry)),
    addFile: (path, entry, data) => add(path, entry, data, entry.sizeBytes, compress),
    addLink: (path, entry, target) => add(path, entry, [target], target.length, false),
    end: () => zip.end(),
    abort: fail,
  };
}
