/**
 * Deletes snapshots in the storage that a backup without data movement keeps: through their VolumeSnapshotContent where the cluster
 * still has it, else through one that is made for it. The storage's controller must have seen that one before it is deleted,
 * or the snapshot would stay (Velero waits two seconds and hopes).
 * Proof: test/retention/delete-contents.test.ts.
 * @module
 */
import { isDmError, nsPerMs } from "@dm/core";
import {
  type Backup,
  labels,
  labelValue,
  type VolumeSnapshotContent,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@dm/crds";
import { listAll } from "../backup/list-all.ts";
import { madeName } from "../backup/made-name.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { RetentionDeps } from "./retention-deps.ts";
import { type BackupTraces, ownership } from "./snapshots-of-backup.ts";

/** A controller that has not looked at an object by then never will. */
const unseenMs = 60_000;

type Deps = Pick<RetentionDeps, "client" | "clock" | "logger">;

/** @returns whether the storage is waited for: call again a little later */
export async function deleteContents(
  deps: Deps,
  backup: Backup,
  contents: readonly VolumeSnapshotContent[],
  options: KubeCallOptions,
): Promise<boolean> {
  const { client, clock, logger } = deps;
  const ready: string[] = [];
  let isWaiting = false;
  for (const content of contents) {
    const original = content.metadata.name ?? "";
    const present = await client.get(volumeSnapshotContents, { name: original }, options);
    if (present !== undefined && isSame(present, content)) {
      ready.push(original);
      continue;
    }
    const snapshotHandle = content.status?.snapshotHandle;
    if (!snapshotHandle) continue;
    const name = madeName("vsc", backup.metadata.uid ?? "", content.spec.driver, snapshotHandle);
    const made =
      (await client.get(volumeSnapshotContents, { name }, options)) ??
      (await create(deps, name, content, options));
    const ageMs =
      Number(clock.nowNs() / nsPerMs) - Date.parse(made.metadata.creationTimestamp ?? "");
    const isSeen = made.status !== undefined;
    if (!isSeen && ageMs < unseenMs) isWaiting = true;
    else ready.push(name);
    if (!isSeen && ageMs >= unseenMs)
      logger.warn("Storage did not look at a content: its snapshot may stay", {
        driver: content.spec.driver,
        snapshotHandle,
      });
  }
  if (isWaiting) return true;
  for (const name of ready) await deleteWithSnapshot(deps, name, options);
  return false;
}

/** The one that the backup saw, not a later one of its name. */
const isSame = (present: VolumeSnapshotContent, content: VolumeSnapshotContent): boolean =>
  present.spec.driver === content.spec.driver &&
  present.status?.snapshotHandle === content.status?.snapshotHandle;

async function create(
  { client }: Deps,
  name: string,
  { metadata, spec, status }: VolumeSnapshotContent,
  options: KubeCallOptions,
): Promise<VolumeSnapshotContent> {
  const content = {
    apiVersion: "snapshot.storage.k8s.io/v1",
    kind: "VolumeSnapshotContent",
    metadata: {
      name,
      labels: metadata.labels ?? {},
      // Secrets for the storage's controller are named in annotations.
      annotations: metadata.annotations ?? {},
    },
    spec: {
      // Without a class: it may be gone by now.
      deletionPolicy: "Delete",
      driver: spec.driver,
      source: { snapshotHandle: status?.snapshotHandle },
      ...(spec.sourceVolumeMode !== undefined && { sourceVolumeMode: spec.sourceVolumeMode }),
      // Names of a snapshot that never is.
      volumeSnapshotRef: { kind: "VolumeSnapshot", namespace: `ns-${name}`, name: `name-${name}` },
    },
  } as VolumeSnapshotContent;
  return client.create(volumeSnapshotContents, content, options);
}

async function deleteWithSnapshot(
  { client }: Deps,
  name: string,
  options: KubeCallOptions,
): Promise<void> {
  const patch = { spec: { deletionPolicy: "Delete" } };
  let content: VolumeSnapshotContent;
  try {
    content = await client.patch(volumeSnapshotContents, { name }, patch, options);
  } catch (error) {
    if (!isDmError(error, "DM_KUBE_NOT_FOUND")) throw error;
    return;
  }
  // A content is held as long as its VolumeSnapshot is there.
  const { name: of = "", namespace, uid } = content.spec.volumeSnapshotRef;
  const snapshot = uid ? await client.get(volumeSnapshots, { namespace, name: of }, options) : null;
  if (snapshot?.metadata.uid === uid && uid)
    await client.delete(volumeSnapshots, { namespace, name: of }, { ...options, uid });
  await client.delete(volumeSnapshotContents, { name }, options);
}

/**
 * What a run has left: one that ended before its tarball, or whose Backup was deleted meanwhile. What a Restore has made is not
 * touched, nor what another backup of the same name has.
 */
export async function deleteVolumeSnapshots(
  deps: Deps,
  traces: Pick<BackupTraces, "backup" | "stored">,
  options: KubeCallOptions,
): Promise<void> {
  const { client } = deps;
  const isOurs = ownership(traces);
  const labelSelector = `${labels.backupName}=${labelValue(traces.backup.metadata.name ?? "")}`;
  let all: Awaited<ReturnType<typeof listAll<NonNullable<typeof volumeSnapshots.object>>>>;
  try {
    all = await listAll(client, volumeSnapshots, { ...options, labelSelector });
  } catch (error) {
    // A cluster without snapshots.
    if (!isDmError(error, "DM_KUBE_NOT_FOUND")) throw error;
    return;
  }
  for (const { metadata, status } of all) {
    const { name = "", namespace, uid } = metadata;
    if (!isOurs(metadata) || metadata.labels?.[labels.restoreName] !== undefined) continue;
    const content = status?.boundVolumeSnapshotContentName;
    if (content) {
      const patch = { spec: { deletionPolicy: "Delete" } };
      try {
        await client.patch(volumeSnapshotContents, { name: content }, patch, options);
      } catch (error) {
        if (!isDmError(error, "DM_KUBE_NOT_FOUND")) throw error;
      }
    }
    await client.delete(volumeSnapshots, { namespace, name }, { ...options, uid });
  }
}
