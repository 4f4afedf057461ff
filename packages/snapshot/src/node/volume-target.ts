/**
 * A block device or an image file of this machine as the target of a volume. A device is opened so that nobody else uses
 * it; an image is written beside its final name, which it gets when it is whole.
 * Proof: test/volume-local.test.ts, test/volume.root.test.ts.
 * @module
 */
import { constants } from "node:fs";
import { type FileHandle, open, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { ConflictError, StorageError } from "@dm/core";
import type { VolumeTarget } from "../volume/restore-object.ts";
import { loadPosix } from "./posix/load-posix.ts";
import type { Posix } from "./posix/posix.ts";
import { failureOf, isNoSpace, systemCode } from "./restore/failures.ts";
import { notAVolume, readFully } from "./volume-source.ts";

/** An open target; `finish` or dispose it. */
export interface LocalVolumeTarget extends VolumeTarget, AsyncDisposable {
  readonly path: string;
  readonly isDevice: boolean;
  /** Of the device, or of the volume. */
  readonly sizeBytes: number;
  /** Gives an image its final name. */
  finish(): Promise<void>;
}

/** How the target of a volume is opened. */
export interface OpenVolumeTargetOptions {
  /** Goes on with the image of a restore that was cut off. */
  readonly resume?: boolean | undefined;
  /**
   * An image that is there is a device that happens to be a file: it is written where it lies and keeps its length. Off by
   * default.
   */
  readonly inPlace?: boolean | undefined;
  readonly posix?: Posix | undefined;
}

/** What an image is called until it is whole. */
export const partialSuffix = ".partial";

/**
 * Opens a target for a volume of `sizeBytes`. Of a larger device the rest is left as it is.
 * @throws {StorageError} `DM_VOLUME_TARGET_TOO_SMALL`; nothing is written then
 * @throws {ConflictError} `DM_VOLUME_IN_USE` for a device that is mounted or otherwise in use
 * @throws {UnsupportedError} `DM_VOLUME_UNSUPPORTED` for what is neither a device nor a file
 */
export async function openVolumeTarget(
  path: string,
  sizeBytes: number,
  options: OpenVolumeTargetOptions = {},
): Promise<LocalVolumeTarget> {
  const { inPlace = false, posix = await loadPosix(), resume = false } = options;
  const kind = await kindOf(path);
  if (kind === "device" || (inPlace && kind === "file"))
    return openDevice(await realpath(path), sizeBytes, posix, kind === "device");
  if (kind === "other") throw notAVolume(path);
  return openImage(kind === "file" ? await realpath(path) : path, sizeBytes, posix, resume);
}

async function kindOf(path: string): Promise<"device" | "file" | "none" | "other"> {
  try {
    const stats = await stat(path);
    return stats.isBlockDevice() ? "device" : stats.isFile() ? "file" : "other";
  } catch (error) {
    if (systemCode(error) === "ENOENT") return "none";
    throw error;
  }
}

async function openDevice(
  path: string,
  sizeBytes: number,
  posix: Posix,
  isDevice: boolean,
): Promise<LocalVolumeTarget> {
  // For a block device this is a claim: it fails while a file system on it is mounted.
  const handle = await open(path, constants.O_RDWR | constants.O_EXCL).catch((cause) => {
    if (systemCode(cause) !== "EBUSY") throw cause;
    throw new ConflictError(
      "DM_VOLUME_IN_USE",
      `${path} is in use: unmount it first`,
      { path },
      { cause },
    );
  });
  try {
    const deviceBytes = posix.sizeOf(handle.fd);
    if (deviceBytes < sizeBytes) {
      throw new StorageError(
        "DM_VOLUME_TARGET_TOO_SMALL",
        `${path} has ${deviceBytes} bytes, the volume ${sizeBytes}; ${sizeBytes - deviceBytes} are missing`,
        { path, deviceBytes, sizeBytes },
      );
    }
    return {
      ...targetOf(handle, path, posix),
      isDevice,
      sizeBytes: deviceBytes,
      readsAsZeros: false,
      finish: async () => undefined,
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function openImage(
  path: string,
  sizeBytes: number,
  posix: Posix,
  resume: boolean,
): Promise<LocalVolumeTarget> {
  const partial = `${path}${partialSuffix}`;
  const isOld = resume && (await kindOf(partial)) === "file";
  const handle = await open(partial, isOld ? "r+" : "w+");
  try {
    await handle.truncate(sizeBytes);
  } catch (error) {
    await handle.close();
    await rm(partial, { force: true });
    throw error;
  }
  return {
    ...targetOf(handle, partial, posix),
    isDevice: false,
    sizeBytes,
    readsAsZeros: !isOld,
    async finish() {
      await rename(partial, path);
      const directory = await open(dirname(path), "r");
      await directory.sync().finally(() => directory.close());
    },
  };
}

function targetOf(
  handle: FileHandle,
  path: string,
  posix: Posix,
): Pick<
  LocalVolumeTarget,
  "path" | "write" | "clear" | "read" | "flush" | typeof Symbol.asyncDispose
> {
  return {
    path,
    write: (bytes, offset) => writeFully(handle, bytes, offset, path),
    clear: async (range) => posix.punchHole(handle.fd, range),
    read: (target, offset) => readFully(handle, target, offset, path),
    flush: () => handle.sync(),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

/** @throws {StorageError} `DM_RESTORE_NO_SPACE` */
async function writeFully(
  handle: FileHandle,
  bytes: Uint8Array,
  offset: number,
  path: string,
): Promise<void> {
  let at = 0;
  try {
    while (at < bytes.length) {
      const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, offset + at);
      at += bytesWritten;
    }
  } catch (cause) {
    if (!isNoSpace(cause)) throw cause;
    const { code, reason } = failureOf(cause, dirname(path), bytes.length - at);
    throw new StorageError(code, `${path}: ${reason}`, { path }, { cause });
  }
}
