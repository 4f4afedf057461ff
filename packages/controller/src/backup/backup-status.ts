/**
 * How a Backup goes from one phase to the next: its folder in the bucket is written first, then the cluster is told. Done twice, it
 * comes to the same.
 * Proof: test/backup/crash.test.ts.
 * @module
 */
import { type Backup, type BackupStatus, backups, phaseOf } from "@dm/crds";
import type { BackupFolder } from "../bucket/backup-store.ts";
import { writeBackup } from "../bucket/write-backup.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { retryOnConflict } from "../runtime/retry-on-conflict.ts";
import type { BackupDeps } from "./backup-deps.ts";

/** The next state, or how long there is nothing to do. */
export type Progress = Backup | { readonly waitMs: number } | undefined;

/** @param write everything else of the folder; resolves with what becomes of the status */
export async function advance(
  deps: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
  write: (folder: BackupFolder) => Promise<BackupStatus>,
): Promise<Backup | undefined> {
  const status = await inFolder(deps, backup, options, async (folder) => {
    const next = await write(folder);
    await writeBackup(folder, { ...backup, status: { ...backup.status, ...next } }, options);
    return next;
  });
  return change(deps, backup, options, (stored) => ({
    ...stored,
    status: { ...stored.status, ...status },
  }));
}

/** Writes if the Backup is still the one that was looked at, in its phase. */
export function change(
  { client, clock }: BackupDeps,
  backup: Backup,
  options: KubeCallOptions,
  make: (stored: Backup) => Backup,
): Promise<Backup | undefined> {
  const { name = "", namespace, uid } = backup.metadata;
  const phase = phaseOf(backup);
  const ifSame = (stored: Backup): Backup | undefined =>
    stored.metadata.uid === uid && phaseOf(stored) === phase ? make(stored) : undefined;
  return retryOnConflict(client, backups, { namespace, name }, ifSame, { ...options, clock });
}

export async function inFolder<R>(
  deps: BackupDeps,
  { metadata, spec }: Backup,
  options: KubeCallOptions,
  work: (folder: BackupFolder) => Promise<R>,
): Promise<R> {
  const location = { namespace: metadata.namespace, name: spec?.storageLocation ?? "" };
  const folder = await deps.openFolder(location, ["backups", metadata.name ?? ""], options);
  try {
    return await work(folder);
  } finally {
    await folder.close();
  }
}
