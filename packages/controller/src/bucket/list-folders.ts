/**
 * What lies in the bucket of a backup storage location, by the names of its folders: backups, restores, repositories, and what does
 * not belong there.
 * Proof: test/bucket/list-folders.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import { listVeleroFolders } from "@dm/snapshot/velero";
import { readStorageLocation } from "../repository/storage-location.ts";
import type { KubeCallOptions, KubeClient, ObjectKey } from "../runtime/kube-client.ts";
import type { BackupFoldersOptions } from "./backup-store.ts";

/** Nothing for the top level. */
export type BucketPath = readonly [] | readonly ["backups" | "restores" | "kopia"];

/** Names of the folders in a folder of a location's bucket; none when it is not there. */
export type ListFolders = (
  location: ObjectKey,
  path: BucketPath,
  options?: KubeCallOptions,
) => Promise<string[]>;

/**
 * Lists the buckets that the cluster's locations name, with the credentials of their Secrets, read anew each time.
 * @throws {NotFoundError} `DM_LOCATION_NOT_FOUND`, `DM_SECRET_NOT_FOUND`
 */
export function bucketLister(
  client: Pick<KubeClient, "get">,
  options: BackupFoldersOptions = {},
): ListFolders {
  return async (key, path, { signal } = {}) => {
    const { credentials, location } = await readStorageLocation(client, key, { signal });
    return listVeleroFolders(location, path, { ...options, credentials, attempts: 3, signal });
  };
}

/** What Velero puts at the top of a bucket, or has put there once. */
const topLevel: ReadonlySet<string> = new Set([
  "backups",
  "restores",
  "restic",
  "metadata",
  "plugins",
  "kopia",
]);

const maxShown = 3;

/**
 * Refuses a place that others use, too: a prefix that was forgotten, mostly.
 * @param names of the folders at the top level
 * @throws {FormatError} `DM_BUCKET_FOREIGN`, with Velero's words
 */
export function checkTopLevel(names: readonly string[]): void {
  const foreign = names.filter((name) => !topLevel.has(name)).sort();
  if (foreign.length === 0) return;
  const shown = foreign.slice(0, maxShown);
  const count = foreign.length > maxShown ? `${foreign.length} ` : "";
  const list = [...shown, ...(count ? ["..."] : [])].join(" ");
  throw new FormatError(
    "DM_BUCKET_FOREIGN",
    `Backup store contains ${count}invalid top-level directories: [${list}]`,
    { foreign: shown },
  );
}
