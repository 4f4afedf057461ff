/**
 * URLs under which files of backups and restores can be read by whoever has them.
 * Proof: test/requests/download-request.test.ts.
 * @module
 */
import { signVeleroUrl } from "@dm/snapshot/velero";
import { readStorageLocation } from "../repository/storage-location.ts";
import type { KubeCallOptions, KubeClient, ObjectKey } from "../runtime/kube-client.ts";
import type { BackupFoldersOptions } from "./backup-store.ts";

export type BackupPath = readonly ["backups" | "restores", name: string, file: string];

/** @throws {UnsupportedError} `DM_STORE_OPTION_UNSUPPORTED` where the location has no such URLs */
export type SignUrl = (
  location: ObjectKey,
  path: BackupPath,
  options: KubeCallOptions & { readonly lifetimeMs: number },
) => Promise<string>;

export function bucketUrls(
  client: Pick<KubeClient, "get">,
  options: BackupFoldersOptions = {},
): SignUrl {
  return async (key, path, { lifetimeMs, signal }) => {
    const { credentials, location } = await readStorageLocation(client, key, { signal });
    return signVeleroUrl(location, path, { ...options, credentials, lifetimeMs, signal });
  };
}
