/**
 * The tarball of a backup, file by file: what is in memory is what gzip made of it.
 * Proof: test/bucket/write-tarball.test.ts.
 * @module
 */
import { once } from "node:events";
import { Readable } from "node:stream";
import { createGunzip, createGzip } from "node:zlib";
import { FormatError } from "@dm/core";
import { type BackupItem, itemFiles, maxUnpackedBytes, versionFile } from "./backup-files.ts";
import { decodeTarStream, type TarFile, tarEnd, tarParts } from "./tar-codec.ts";

export interface Tarball {
  /** @throws {FormatError} `DM_BACKUP_TOO_LARGE`, and adds none of them, when no restore would read the tarball */
  add(files: Iterable<TarFile>): Promise<void>;
  /** The whole, compressed. */
  end(): Promise<Uint8Array>;
}

/** Left free for what a Backup adds to its tarball in the end. */
const reserveBytes = 64 << 20;

/** Begins with the format's version. @example const tarball = newTarball(new Date()); */
export async function newTarball(
  modifiedAt: Date,
  maxBytes: number = maxUnpackedBytes - reserveBytes,
): Promise<Tarball> {
  const tarball = emptyTarball(modifiedAt, maxBytes);
  await tarball.add([versionFile]);
  return tarball;
}

/**
 * The tarball with more items at its end, in place of those of the same name; everything else passes through.
 * @throws {FormatError} `DM_BACKUP_FILE_INVALID`, `DM_TAR_INVALID`
 */
export async function withItems(
  tarball: Uint8Array,
  items: readonly BackupItem[],
  modifiedAt: Date,
): Promise<Uint8Array> {
  const added = items.flatMap(itemFiles);
  const paths = new Set(added.map(({ path }) => path));
  const result = emptyTarball(modifiedAt, maxUnpackedBytes);
  try {
    const pieces = Readable.from([tarball], { objectMode: true }).pipe(createGunzip());
    for await (const file of decodeTarStream(pieces)) {
      if (!paths.has(file.path)) await result.add([file]);
    }
  } catch (cause) {
    if (cause instanceof FormatError) throw cause;
    throw new FormatError(
      "DM_BACKUP_FILE_INVALID",
      "the tarball of the backup cannot be read: it is not gzip, or damaged",
      {},
      { cause },
    );
  }
  await result.add(added);
  return result.end();
}

/** Each write to gzip costs a turn of another thread. */
const writeBytes = 256 << 10;

function emptyTarball(modifiedAt: Date, maxBytes: number): Tarball {
  const gzip = createGzip();
  const compressed: Uint8Array[] = [];
  gzip.on("data", (part: Uint8Array) => compressed.push(part));
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  let freeBytes = maxBytes - tarEnd.length;
  return {
    async add(files) {
      const parts = [...files].flatMap((file) => [...tarParts(file, modifiedAt)]);
      const bytes = parts.reduce((sum, part) => sum + part.length, 0);
      if (bytes > freeBytes) throw tooLarge(maxBytes);
      freeBytes -= bytes;
      waiting.push(...parts);
      waitingBytes += bytes;
      if (waitingBytes < writeBytes) return;
      const isWaiting = !gzip.write(Buffer.concat(waiting));
      waiting = [];
      waitingBytes = 0;
      if (isWaiting) await once(gzip, "drain");
    },
    async end() {
      gzip.end(Buffer.concat([...waiting, tarEnd]));
      await once(gzip, "end");
      return Buffer.concat(compressed);
    },
  };
}

function tooLarge(maxBytes: number): FormatError {
  const text = `the objects of a backup may take ${maxBytes} bytes in its tarball, each twice: make several, by namespaces`;
  return new FormatError("DM_BACKUP_TOO_LARGE", text);
}
