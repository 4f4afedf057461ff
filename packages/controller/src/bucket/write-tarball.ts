/**
 * The tarball of a backup, file by file: what is in memory is what gzip made of it.
 * Proof: test/bucket/write-tarball.test.ts.
 * @module
 */
import { once } from "node:events";
import { Readable } from "node:stream";
import { createGunzip, createGzip } from "node:zlib";
import { FormatError } from "@dm/core";
import { type BackupItem, itemFiles, versionFile } from "./backup-files.ts";
import { decodeTarStream, type TarFile, tarEnd, tarParts } from "./tar-codec.ts";

export interface Tarball {
  add(files: Iterable<TarFile>): Promise<void>;
  /** The whole, compressed. */
  end(): Promise<Uint8Array>;
}

/** Begins with the format's version. @example const tarball = newTarball(new Date()); */
export async function newTarball(modifiedAt: Date): Promise<Tarball> {
  const tarball = emptyTarball(modifiedAt);
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
  const result = emptyTarball(modifiedAt);
  try {
    const pieces = Readable.from([tarball], { objectMode: true }).pipe(createGunzip());
    let unpackedBytes = 0;
    for await (const file of decodeTarStream(pieces)) {
      unpackedBytes += file.bytes.length;
      if (unpackedBytes > maxUnpackedBytes) throw tooLarge();
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

/** Each object is in there twice; no cluster has more. */
const maxUnpackedBytes = 2 ** 35;

function tooLarge(): FormatError {
  const text = `the tarball of the backup has more than ${maxUnpackedBytes} bytes of objects`;
  return new FormatError("DM_BACKUP_FILE_INVALID", text);
}

/** Each write to gzip costs a turn of another thread. */
const writeBytes = 256 << 10;

function emptyTarball(modifiedAt: Date): Tarball {
  const gzip = createGzip();
  const compressed: Uint8Array[] = [];
  gzip.on("data", (part: Uint8Array) => compressed.push(part));
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  return {
    async add(files) {
      for (const file of files)
        for (const part of tarParts(file, modifiedAt)) {
          waiting.push(part);
          waitingBytes += part.length;
        }
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
