/**
 * A block device or an image file of this machine as a volume. Holes of an image are known to its file system and are not
 * read; of a device the kernel knows none.
 * Proof: test/volume-local.test.ts, test/volume.root.test.ts.
 * @module
 */
import { type FileHandle, open, realpath } from "node:fs/promises";
import { StorageError, systemClock, UnsupportedError } from "@dm/core";
import type { Volume } from "../volume/volume.ts";
import { loadPosix } from "./posix/load-posix.ts";
import type { Posix } from "./posix/posix.ts";

/** An open volume; dispose it. */
export interface LocalVolume extends Volume, AsyncDisposable {
  /** Where it lies, links resolved. */
  readonly path: string;
  readonly isDevice: boolean;
  readonly openedAtNs: bigint;
}

/** By which system calls a volume is read. */
export interface OpenVolumeOptions {
  /** What this machine offers by default. */
  readonly posix?: Posix | undefined;
}

/**
 * Opens a block device or an image file for reading. Its size and its holes are those of this moment: nothing may write
 * to it while it is backed up.
 * @throws {UnsupportedError} `DM_VOLUME_UNSUPPORTED` for anything but these two
 * @throws the system's errors
 * @example
 * await using volume = await openVolume("/dev/vdb");
 * const { objectId } = await storeVolume(session, volume);
 */
export async function openVolume(
  path: string,
  options: OpenVolumeOptions = {},
): Promise<LocalVolume> {
  const { posix = await loadPosix() } = options;
  const resolved = await realpath(path);
  const handle = await open(resolved, "r");
  try {
    const stats = await handle.stat();
    const isDevice = stats.isBlockDevice();
    if (!isDevice && !stats.isFile()) throw notAVolume(resolved);
    const sizeBytes = posix.sizeOf(handle.fd);
    const all = [{ start: 0, length: sizeBytes }];
    return {
      path: resolved,
      isDevice,
      openedAtNs: systemClock.nowNs(),
      sizeBytes,
      dataRanges: isDevice || sizeBytes === 0 ? all : posix.dataRanges(handle.fd, sizeBytes),
      read: (target, offset) => readFully(handle, target, offset, resolved),
      [Symbol.asyncDispose]: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

export function notAVolume(path: string): UnsupportedError {
  return new UnsupportedError(
    "DM_VOLUME_UNSUPPORTED",
    `${path} is neither a block device nor a regular file`,
    { path },
  );
}

/** @throws {StorageError} `DM_VOLUME_TRUNCATED` */
export async function readFully(
  handle: FileHandle,
  target: Uint8Array,
  offset: number,
  path: string,
): Promise<void> {
  for (let at = 0; at < target.length; ) {
    const { bytesRead } = await handle.read(target, at, target.length - at, offset + at);
    if (bytesRead === 0) {
      throw new StorageError(
        "DM_VOLUME_TRUNCATED",
        `${path} ends at byte ${offset + at}, before the size it had when it was opened`,
        { path, offset: offset + at },
      );
    }
    at += bytesRead;
  }
}
