/**
 * The entries of a volume's snapshot: a directory named by the device's path with a single file of that name, as Velero and
 * a `kopia snapshot create --stdin-file` make it. Format: docs/format/velero.md. Proof: test/volume-restore.test.ts.
 * @module
 */
import { UnsupportedError } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "../directory-entry.ts";
import type { SourceDirectory, SourceFile } from "../source/source-entry.ts";
import { type ObjectSource, readDirectory } from "../tree.ts";
import type { Volume } from "./volume.ts";

/** Go's zero time, 0001-01-01, in signed 64 bits of nanoseconds since 1970. */
export const goZeroTimeNs: bigint = -6795364578871345152n;

const mode = 0o777;

/** A volume among the files of a source; a plane for volumes knows it by its `volume`. */
export interface SourceVolume extends SourceFile {
  readonly volume: Volume;
}

/** How the only file of a volume's snapshot is called and dated. */
export interface VolumeSourceOptions {
  /** Of root and file: the whole path of the device. */
  readonly name: string;
  /** When the device was opened. */
  readonly openedAtNs: bigint;
}

/** What an uploader is given to back a volume up. */
export function volumeSource(volume: Volume, options: VolumeSourceOptions): SourceDirectory {
  const { name, openedAtNs } = options;
  const common = { name, mode, uid: 0, gid: 0 };
  const file: SourceVolume = {
    ...common,
    type: "f",
    isStream: true,
    sizeBytes: volume.sizeBytes,
    modifiedAtNs: openedAtNs,
    volume,
    read: ({ from = 0, signal } = {}) => bytesOf(volume, from, signal),
  };
  return {
    ...common,
    type: "d",
    sizeBytes: 0,
    modifiedAtNs: goZeroTimeNs,
    list: async () => [file],
  };
}

export function isSourceVolume(file: SourceFile): file is SourceVolume {
  return "volume" in file;
}

/** For planes that know files only: everything, holes included. */
async function* bytesOf(
  volume: Volume,
  from: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(1 << 20);
  for (let at = from; at < volume.sizeBytes; at += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, volume.sizeBytes - at));
    await volume.read(piece, at, { signal });
    yield piece;
  }
}

/**
 * The file with the bytes of a volume: the only one in the root of its snapshot, or the given entry when it is a file.
 * @throws {UnsupportedError} `DM_SNAPSHOT_NOT_OF_VOLUME`
 */
export async function volumeFile(
  repository: ObjectSource,
  entry: DirectoryEntry,
  options: CallOptions = {},
): Promise<DirectoryEntry> {
  if (entry.type === "f") return entry;
  const entries =
    entry.type === "d" ? (await readDirectory(repository, entry, options)).entries : [];
  if (entries.length === 1 && entries[0]!.type === "f") return entries[0]!;
  throw new UnsupportedError(
    "DM_SNAPSHOT_NOT_OF_VOLUME",
    `${JSON.stringify(entry.name)} is not the snapshot of a volume: that has one file in it, this ${entries.length} entries`,
    { name: entry.name, entryCount: entries.length },
  );
}
