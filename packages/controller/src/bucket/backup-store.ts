/**
 * Where the files of backups and restores lie: a folder each in the bucket of a backup storage location.
 * Proof: test/bucket/backup-store.test.ts.
 * @module
 */
import { type Clock, isDmError, type Logger } from "@dm/core";
import { openVeleroFolder, removeVeleroFolder } from "@dm/snapshot/velero";
import { readStorageLocation } from "../repository/storage-location.ts";
import type { KubeCallOptions, KubeClient, ObjectKey } from "../runtime/kube-client.ts";

/** The files of one backup or restore. Small enough to be read and written whole. */
export interface BackupFolder {
  /** Undefined when there is none. */
  read(file: string, options?: KubeCallOptions): Promise<Uint8Array | undefined>;
  write(file: string, bytes: Uint8Array, options?: KubeCallOptions): Promise<void>;
  /** Names of the files. */
  list(options?: KubeCallOptions): Promise<string[]>;
  /** What is gone already is fine. */
  delete(file: string, options?: KubeCallOptions): Promise<void>;
  /** Removes the folder itself, when it has no files any more and is something by itself. */
  remove?(options?: KubeCallOptions): Promise<void>;
  close(): Promise<void>;
}

/** Opens the folder of a backup or restore in the bucket of a BackupStorageLocation. */
export type OpenBackupFolder = (
  location: ObjectKey,
  folder: readonly ["backups" | "restores", string],
  options?: KubeCallOptions,
) => Promise<BackupFolder>;

/** What a blob store does for a folder. */
export interface FolderBlobs {
  get(id: string, options?: KubeCallOptions): Promise<Uint8Array>;
  put(id: string, bytes: Uint8Array, options?: KubeCallOptions): Promise<void>;
  list(prefix: string, options?: KubeCallOptions): AsyncIterable<{ readonly id: string }>;
  delete(id: string, options?: KubeCallOptions): Promise<void>;
  close(): Promise<void>;
}

export function blobFolder(blobs: FolderBlobs): BackupFolder {
  return {
    async read(file, options) {
      try {
        return await blobs.get(file, options);
      } catch (error) {
        const isMissing =
          isDmError(error, "DM_BLOB_NOT_FOUND") || isDmError(error, "DM_STORE_NOT_FOUND");
        if (!isMissing) throw error;
        return undefined;
      }
    },
    write: (file, bytes, options) => blobs.put(file, bytes, options),
    async list(options) {
      const files: string[] = [];
      for await (const { id } of blobs.list("", options)) files.push(id);
      return files;
    },
    delete: (file, options) => blobs.delete(file, options),
    close: () => blobs.close(),
  };
}

export interface BackupFoldersOptions {
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

/**
 * Folders in the buckets that the cluster's locations name, with the credentials of their Secrets.
 * @throws {NotFoundError} `DM_LOCATION_NOT_FOUND`, `DM_SECRET_NOT_FOUND` when a folder is opened
 */
export function bucketFolders(
  client: Pick<KubeClient, "get">,
  options: BackupFoldersOptions = {},
): OpenBackupFolder {
  return async (key, folder, { signal } = {}) => {
    const { credentials, location, readOnly } = await readStorageLocation(client, key, { signal });
    const open = (create: boolean) =>
      // The reconciler comes back by itself.
      openVeleroFolder(location, folder, {
        ...options,
        credentials,
        readOnly,
        create,
        attempts: 3,
      });
    const blobs = await open(false);
    let writable: ReturnType<typeof open> | undefined;
    return {
      ...blobFolder(blobs),
      // Who looks at a place leaves no directory there.
      async write(file, bytes, call) {
        writable ??= open(!readOnly);
        await (await writable).put(file, bytes, call);
      },
      async list(call) {
        return (await unlessNoDirectory(blobFolder(blobs).list(call))) ?? [];
      },
      async delete(file, call) {
        await unlessNoDirectory(blobs.delete(file, call));
      },
      remove: (call) => removeVeleroFolder(location, folder, call),
      async close() {
        await blobs.close();
        await (await writable?.catch(() => undefined))?.close();
      },
    };
  };
}

/** A directory that is not there has no files; a bucket that is not there is an error. */
async function unlessNoDirectory<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (!isDmError(error, "DM_STORE_NOT_FOUND") || error.details["path"] === undefined) throw error;
    return undefined;
  }
}
