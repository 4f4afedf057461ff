/**
 * Restores the snapshot of a volume to a block device or an image file.
 * Proof: test/volume-local.test.ts, test/volume.root.test.ts.
 * @module
 */
import type { Repository } from "@dm/repo";
import type { DirectoryEntry } from "../directory-entry.ts";
import {
  type RestoredObject,
  type RestoreObjectOptions,
  restoreObject,
} from "../volume/restore-object.ts";
import { volumeFile } from "../volume/volume-entry.ts";
import type { Posix } from "./posix/posix.ts";
import { openVolumeTarget } from "./volume-target.ts";

/** As of {@link restoreObject}, whose result the target proves. */
export interface RestoreVolumeOptions extends RestoreObjectOptions {
  readonly posix?: Posix | undefined;
  /** Writes an image that is there as a device is written: where it lies. Off by default. */
  readonly inPlace?: boolean | undefined;
}

/** What was written where, and what was lost. */
export interface RestoredVolume extends RestoredObject {
  /** Where it lies: an image that is not whole is left under `<target>.partial`. */
  readonly path: string;
  readonly isDevice: boolean;
}

/**
 * Writes a volume to a device or an image file, from its first byte on, and reads it again to prove it. `entry` is the root
 * of the volume's snapshot or the file in it. Zeros become holes of an image, and are discarded on a device where that
 * makes it read as zeros. An image that is cut off is left under `<target>.partial`, for `resume`.
 * @throws {StorageError} `DM_VOLUME_TARGET_TOO_SMALL` before the first byte, `DM_RESTORE_NO_SPACE`
 * @throws {ConflictError} `DM_VOLUME_IN_USE`
 * @throws {UnsupportedError} `DM_SNAPSHOT_NOT_OF_VOLUME`, `DM_VOLUME_UNSUPPORTED`
 * @example
 * const { ok, losses } = await restoreVolume(repository, snapshot.rootEntry, "/dev/vdc");
 */
export async function restoreVolume(
  repository: Repository,
  entry: DirectoryEntry,
  targetPath: string,
  options: RestoreVolumeOptions = {},
): Promise<RestoredVolume> {
  const { inPlace, posix, resume, signal } = options;
  const file = await volumeFile(repository, entry, { signal });
  const { objectId } = file;
  const last = (await repository.objectParts(objectId, { signal })).at(-1)!;
  const sizeBytes = last.start + last.length;
  await using target = await openVolumeTarget(targetPath, sizeBytes, { inPlace, posix, resume });
  const restored = await restoreObject(repository, objectId, target, options);
  if (restored.ok) await target.finish();
  const { isDevice, path } = target;
  return { ...restored, isDevice, path: restored.ok ? targetPath : path };
}
