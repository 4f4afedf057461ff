/**
 * The end of a Backup that cannot go on: what it has begun is cancelled, what it has made is taken away. What is in the way of that
 * for too long stays; the deletion of the Backup finds it.
 * Proof: test/backup/reconcile-backup.test.ts, test/backup/crash.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import { type Backup, type DataUpload, dataUploads, podVolumeBackups } from "@dm/crds";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { isDeleting, kubeTime } from "../runtime/objects.ts";
import { type BackupDeps, nowOf } from "./backup-deps.ts";
import { change, type Progress } from "./backup-status.ts";
import { cancelMovement } from "./give-up.ts";
import { podVolumeBackupsOf, snapshotsOf, uploadsOf } from "./made-objects.ts";
import { dropSnapshot } from "./move-claim.ts";

export async function failBackup(
  deps: BackupDeps,
  backup: Backup,
  failureReason: string,
  options: KubeCallOptions,
): Promise<Progress> {
  await takeAway(deps, backup, failureReason, options);
  return writeFailure(deps, backup, failureReason, options);
}

/** As {@link failBackup}, when even that has been tried for too long: nothing keeps the Backup from its end. */
export async function giveUpBackup(
  deps: BackupDeps,
  backup: Backup,
  failureReason: string,
  options: KubeCallOptions,
): Promise<Progress> {
  try {
    await takeAway(deps, backup, failureReason, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!isDmError(error)) throw error;
    const { name } = backup.metadata;
    deps.logger.warn("Could not take away what a Backup has made", { backup: name, error });
  }
  return writeFailure(deps, backup, failureReason, options);
}

async function takeAway(
  deps: BackupDeps,
  backup: Backup,
  failureReason: string,
  options: KubeCallOptions,
): Promise<void> {
  const { client } = deps;
  const message = `the Backup has failed: ${failureReason}`;
  for (const upload of await uploadsOf(client, backup, options))
    await cancelMovement(client, dataUploads, upload, message, options);
  for (const one of await podVolumeBackupsOf(client, backup, options))
    await cancelMovement(client, podVolumeBackups, one, message, options);
  await dropSnapshots(deps, backup, [], options);
}

function writeFailure(
  deps: BackupDeps,
  backup: Backup,
  failureReason: string,
  options: KubeCallOptions,
): Promise<Backup | undefined> {
  deps.logger.warn("Failed Backup", { backup: backup.metadata.name, failureReason });
  return change(deps, backup, options, (stored) => ({
    ...stored,
    status: {
      ...stored.status,
      phase: "Failed",
      failureReason,
      completionTimestamp: kubeTime(nowOf(deps)),
    },
  }));
}

/** Takes away the snapshots of which no data moves: they have failed, or their DataUploads have ended without them. */
export async function dropSnapshots(
  { client }: BackupDeps,
  backup: Backup,
  moving: readonly DataUpload[],
  options: KubeCallOptions,
): Promise<void> {
  const kept = new Set(
    moving.map(({ spec }) => `${spec.sourceNamespace}/${spec.csiSnapshot?.volumeSnapshot}`),
  );
  for (const snapshot of await snapshotsOf(client, backup, options)) {
    const { name, namespace } = snapshot.metadata;
    if (!kept.has(`${namespace}/${name}`) && !isDeleting(snapshot))
      await dropSnapshot(client, snapshot, options);
  }
}
