/**
 * Deletes a backup and all that belongs to it.
 *
 * Order, so that a crash anywhere leaves either the whole backup or something that a repeated deletion finishes:
 *
 * 1. `velero-backup.json` says that the backup is being deleted: no cluster takes it for a whole one from here on. (Velero's says
 *    "Completed" to the end.)
 * 2. Snapshots in the storage, then snapshots in repositories: their ids are in the files, so the files stay until all are gone.
 * 3. The other files, then `velero-backup.json`: as long as it is there, every cluster sees the backup and can delete it.
 * 4. Files and objects of its Restores; DataUploads and PodVolumeBackups; at last the Backup.
 *
 * A store that is full takes no writes, and to delete a snapshot one is needed. Then the ids are noted in the cluster (ConfigMaps as
 * Velero makes them), the files go first, and what that has freed is enough for the repositories.
 * Proof: test/retention/delete-backup.test.ts, test/retention/full-store.test.ts, test/retention/crash.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import {
  type Backup,
  backups,
  type ConfigMap,
  configMaps,
  dataUploads,
  finalizers,
  type KubeObject,
  labels,
  labelValue,
  podVolumeBackups,
  type Resource,
  type Restore,
  restores,
} from "@dm/crds";
import { listAll } from "../backup/list-all.ts";
import { madeName } from "../backup/made-name.ts";
import { backupFile, encodeBackup } from "../bucket/backup-files.ts";
import type { BackupFolder } from "../bucket/backup-store.ts";
import { scrubbed } from "../repository/scrub.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { removeFinalizer } from "../runtime/objects.ts";
import { deleteContents, deleteVolumeSnapshots } from "./delete-contents.ts";
import { type GatheredBackup, gatherBackup } from "./gather-backup.ts";
import type { RetentionDeps } from "./retention-deps.ts";
import {
  byNamespace,
  ownership,
  type RepositorySnapshot,
  snapshotsOf,
} from "./snapshots-of-backup.ts";

export type DeletionEnd =
  | { readonly isDone: true; readonly errors: readonly string[] }
  /** For the storage to see what shall go. */
  | { readonly isDone: false };

interface Run {
  readonly deps: RetentionDeps;
  readonly backup: Backup;
  readonly location: ObjectKey;
  readonly options: KubeCallOptions;
  readonly errors: string[];
}

/** Errors are told, not thrown, but for those of the API server: with these the whole is done again. */
export async function deleteBackup(
  deps: RetentionDeps,
  backup: Backup,
  options: KubeCallOptions,
): Promise<DeletionEnd> {
  const { namespace = "" } = backup.metadata;
  const location = { namespace, name: backup.spec?.storageLocation ?? "" };
  const run: Run = { deps, backup, location, options, errors: [] };
  let isWaiting = false;
  await attempt(run, "error deleting the backup", () =>
    withFolder(run, ["backups", nameOf(backup)], async (folder) => {
      isWaiting = await deleteParts(run, folder);
    }),
  );
  return isWaiting && run.errors.length === 0
    ? { isDone: false }
    : { isDone: true, errors: run.errors };
}

/** @returns whether the storage is waited for */
async function deleteParts(run: Run, folder: BackupFolder): Promise<boolean> {
  const { backup, deps, errors, options } = run;
  const gathered = await gatherBackup(deps, folder, backup, options);
  const { contents, inRepositories, problems } = snapshotsOf(gathered);
  errors.push(...problems);
  if (gathered.isForeign) return deleteWithoutFolder(run, gathered, inRepositories);
  const isMarked = await markDeleting(folder, gathered, options);
  const waiting = await attempt(run, "error deleting snapshots in the storage", async () => {
    await deleteVolumeSnapshots(deps, gathered, options);
    return deleteContents(deps, backup, contents, options);
  });
  if (waiting) return true;
  const refused = await deleteFromRepositories(run, inRepositories);
  const related = await restoresOf(run);
  if (refused.length > 0 && errors.length === 0) {
    await noteSnapshots(run, refused);
    if (!isMarked) await folder.delete(backupFile, options);
    await emptyFolder(folder, options, isMarked ? [backupFile] : []);
    for (const restore of related) await deleteRestoreFiles(run, restore);
    const stillRefused = await deleteFromRepositories(run, refused);
    if (stillRefused.length > 0) {
      const ids = stillRefused.map(({ id }) => id).join(", ");
      errors.push(
        `the store has no space to record that snapshots are deleted (${ids}): make some, and delete the backup again`,
      );
    }
  }
  if (errors.length > 0) return false;
  await emptyFolder(folder, options);
  await folder.remove?.(options);
  for (const restore of related) {
    if (await deleteRestoreFiles(run, restore)) await deleteRestore(run, restore);
  }
  await deleteMovements(run, gathered);
  await deleteAll(run, configMaps, await notesOf(run));
  if (errors.length === 0) await deleteAll(run, backups, [backup]);
  return false;
}

/** A Backup whose name another one had in the bucket already: nothing there is its own. (Velero deletes the other one.) */
async function deleteWithoutFolder(
  run: Run,
  gathered: GatheredBackup,
  snapshots: readonly RepositorySnapshot[],
): Promise<boolean> {
  const refused = await deleteFromRepositories(run, snapshots);
  if (refused.length > 0) run.errors.push("the store has no space to delete snapshots");
  if (run.errors.length > 0) return false;
  await deleteMovements(run, gathered);
  if (run.errors.length === 0) await deleteAll(run, backups, [run.backup]);
  return false;
}

async function deleteMovements(run: Run, gathered: GatheredBackup): Promise<void> {
  const isOurs = ownership(gathered);
  const own = <T extends KubeObject>(all: readonly T[]): T[] =>
    all.filter(({ metadata }) => isOurs(metadata));
  await deleteAll(run, dataUploads, own(gathered.dataUploads));
  await deleteAll(run, podVolumeBackups, own(await clusterPodVolumeBackups(run)));
}

/** False when the store has no space for it. */
async function markDeleting(
  folder: BackupFolder,
  { stored }: GatheredBackup,
  options: KubeCallOptions,
): Promise<boolean> {
  if (stored === undefined || stored.status?.phase === "Deleting") return true;
  const deleting: Backup = { ...stored, status: { ...stored.status, phase: "Deleting" } };
  try {
    await folder.write(backupFile, encodeBackup(deleting), options);
    return true;
  } catch (error) {
    if (!isDmError(error, "DM_STORE_NO_SPACE")) throw error;
    return false;
  }
}

/** @returns those that are still there for want of space; everything else that goes wrong is an error of the run */
async function deleteFromRepositories(
  run: Run,
  snapshots: readonly RepositorySnapshot[],
): Promise<RepositorySnapshot[]> {
  const { deps, location, options } = run;
  const refused: RepositorySnapshot[] = [];
  for (const [volumeNamespace, ids] of byNamespace(snapshots)) {
    const what = `error deleting snapshots of namespace ${volumeNamespace} (${ids.join(", ")})`;
    await attempt(run, what, async () => {
      try {
        const repository = await deps.openRepository(location, volumeNamespace, options);
        if (repository === undefined) {
          deps.logger.warn("Found no repository to delete snapshots from", {
            backup: nameOf(run.backup),
            volumeNamespace,
          });
          return;
        }
        try {
          await repository.deleteSnapshots(ids, options);
        } finally {
          await repository.close();
        }
      } catch (error) {
        if (!isDmError(error, "DM_STORE_NO_SPACE")) throw error;
        refused.push(...ids.map((id) => ({ volumeNamespace, id })));
      }
    });
  }
  return refused;
}

/** As Velero notes them: either program finds the other's. */
async function noteSnapshots(run: Run, snapshots: readonly RepositorySnapshot[]): Promise<void> {
  const { backup, deps, location, options } = run;
  const { namespace = "" } = backup.metadata;
  for (const { id, volumeNamespace } of snapshots) {
    const note: ConfigMap = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name: `${madeName(nameOf(backup), volumeNamespace, id)}-info`,
        namespace,
        labels: {
          [labels.backupName]: labelValue(nameOf(backup)),
          [labels.dataUploadSnapshotInfo]: "true",
        },
      },
      data: {
        volumeNamespace,
        backupStorageLocation: location.name,
        snapshotID: id,
        repositoryType: "kopia",
        uploaderType: "kopia",
        source: "",
        repoIdentifier: "",
      },
    };
    try {
      await deps.client.create(configMaps, note, options);
    } catch (error) {
      if (!isDmError(error, "DM_KUBE_ALREADY_EXISTS")) throw error;
    }
  }
}

/** The Backup's own file goes last. */
async function emptyFolder(
  folder: BackupFolder,
  options: KubeCallOptions,
  keep: readonly string[] = [],
): Promise<void> {
  const files = (await folder.list(options)).filter((file) => !keep.includes(file));
  const others = files.filter((file) => file !== backupFile);
  for (const file of others) await folder.delete(file, options);
  if (files.includes(backupFile)) await folder.delete(backupFile, options);
}

async function restoresOf({ backup, deps, options }: Run): Promise<Restore[]> {
  const { namespace } = backup.metadata;
  const all = await listAll(deps.client, restores, { ...options, namespace });
  return all.filter(({ spec }) => spec?.backupName === nameOf(backup));
}

/** Undefined when it failed. */
function deleteRestoreFiles(run: Run, { metadata }: Restore): Promise<boolean | undefined> {
  const { name = "" } = metadata;
  return attempt(run, `error deleting files of restore ${name}`, () =>
    withFolder(run, ["restores", name], async (folder) => {
      await emptyFolder(folder, run.options);
      await folder.remove?.(run.options);
      return true;
    }),
  );
}

async function deleteRestore(run: Run, restore: Restore): Promise<void> {
  const { client } = run.deps;
  await deleteAll(run, restores, [restore]);
  // What it stands for, the files in the bucket, is done.
  const key = { namespace: restore.metadata.namespace, name: restore.metadata.name ?? "" };
  await attempt(run, `error deleting restore ${key.name}`, () =>
    removeFinalizer(client, restores, key, finalizers.restoreExternalResources, run.options),
  );
}

async function clusterPodVolumeBackups({ backup, deps, options }: Run) {
  const { namespace } = backup.metadata;
  const labelSelector = `${labels.backupName}=${labelValue(nameOf(backup))}`;
  return listAll(deps.client, podVolumeBackups, { ...options, namespace, labelSelector });
}

async function notesOf({ backup, deps, options }: Run): Promise<ConfigMap[]> {
  const { namespace } = backup.metadata;
  const labelSelector = `${labels.backupName}=${labelValue(nameOf(backup))},${labels.dataUploadSnapshotInfo}=true`;
  return listAll(deps.client, configMaps, { ...options, namespace, labelSelector });
}

async function deleteAll<T extends KubeObject>(
  run: Run,
  resource: Resource<T>,
  objects: readonly T[],
): Promise<void> {
  for (const { metadata } of objects) {
    const { name = "", namespace, uid } = metadata;
    const what = `error deleting ${resource.kind} ${name}`;
    await attempt(run, what, () =>
      run.deps.client.delete(resource, { namespace, name }, { ...run.options, uid }),
    );
  }
}

async function withFolder<T>(
  { deps, location, options }: Run,
  path: readonly ["backups" | "restores", string],
  work: (folder: BackupFolder) => Promise<T>,
): Promise<T> {
  const folder = await deps.openFolder(location, path, options);
  try {
    return await work(folder);
  } finally {
    await folder.close();
  }
}

/** Undefined when it failed: the run has the error then. */
async function attempt<T>(run: Run, what: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    run.options.signal?.throwIfAborted();
    if (!isDmError(error) || isPassing(error)) throw error;
    run.errors.push(scrubbed(`${what}: ${error.message}`, []));
    return undefined;
  }
}

const passing: ReadonlySet<string> = new Set([
  "DM_KUBE_CONFLICT",
  "DM_KUBE_UNAUTHORIZED",
  "DM_KUBE_UNAVAILABLE",
]);

const isPassing = (error: { readonly code: string }): boolean => passing.has(error.code);

const nameOf = ({ metadata }: KubeObject): string => metadata.name ?? "";
