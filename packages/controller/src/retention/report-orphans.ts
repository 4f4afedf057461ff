/**
 * Looks once a day for snapshots that no backup knows, and reports them at their BackupRepository: annotation, Event, metric. When
 * some backup cannot be read well enough to tell what it knows, nothing is reported.
 * Proof: test/retention/report-orphans.test.ts.
 * @module
 */
import { isDmError, nsPerMs } from "@dm/core";
import {
  type BackupRepository,
  backupRepositories,
  backupStorageLocations,
  backups,
  configMaps,
  dataUploads,
  labels,
  podVolumeBackups,
} from "@dm/crds";
import { listAll } from "../backup/list-all.ts";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import {
  findOrphans,
  type KnownSnapshots,
  orphanMessage,
  orphanReport,
  orphansAnnotation,
  readOrphanReport,
} from "./find-orphans.ts";
import { knownOfBackup, uidOfBackup } from "./known-snapshots.ts";
import { type RetentionDeps, retentionSettings } from "./retention-deps.ts";

export async function reportOrphans(
  deps: RetentionDeps,
  key: ObjectKey,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  const { client, clock, events, logger } = deps;
  const { orphanMinAgeMs: minAgeMs, orphanPeriodMs } = retentionSettings(deps);
  const gauge = deps.metrics?.gauge(
    "dm_orphaned_snapshots",
    "Snapshots in a repository that no backup of the bucket knows",
  );
  const repository = await client.get(backupRepositories, key, options);
  if (repository === undefined || repository.metadata.deletionTimestamp) {
    gauge?.remove({ repository: key.name });
    return {};
  }
  const { repositoryType } = repository.spec;
  if (repository.status?.phase !== "Ready" || (repositoryType || "kopia") !== "kopia") return {};
  const nowMs = Number(clock.nowNs() / nsPerMs);
  const last = readOrphanReport(repository.metadata.annotations?.[orphansAnnotation]);
  if (last) gauge?.set(last.count, { repository: key.name });
  const waitMs = last ? last.checkedAtMs + orphanPeriodMs - nowMs : 0;
  if (waitMs > 0) return { requeueAfterMs: Math.min(waitMs, orphanPeriodMs) };
  const orphans = await lookForOrphans(deps, repository, { nowMs, minAgeMs }, options);
  if (orphans === undefined) return { requeueAfterMs: orphanPeriodMs };
  const report = orphanReport(orphans, nowMs);
  const annotations = { [orphansAnnotation]: JSON.stringify(report) };
  await client.patch(backupRepositories, key, { metadata: { annotations } }, options);
  gauge?.set(report.count, { repository: key.name });
  if (report.count > 0) {
    const message = orphanMessage(report);
    logger.warn("Found snapshots without a backup", { repository: key.name, ...report });
    const event = { type: "Warning", reason: "OrphanedSnapshots", message } as const;
    events?.record(backupRepositories, repository, event);
  }
  return { requeueAfterMs: orphanPeriodMs };
}

/** Undefined when it cannot be told. */
async function lookForOrphans(
  deps: RetentionDeps,
  { metadata: { name, namespace }, spec }: BackupRepository,
  limits: { readonly nowMs: number; readonly minAgeMs: number },
  options: KubeCallOptions,
) {
  const location = { namespace, name: spec.backupStorageLocation };
  const object = await deps.client.get(backupStorageLocations, location, options);
  if (object?.status?.phase !== "Available") return undefined;
  // Before the backups are read: what comes meanwhile is young.
  const open = { ...options, readOnly: true };
  const repository = await deps.openRepository(location, spec.volumeNamespace, open);
  if (repository === undefined) return undefined;
  let snapshots: Awaited<ReturnType<typeof repository.listSnapshots>>;
  try {
    snapshots = await repository.listSnapshots(options);
  } finally {
    await repository.close();
  }
  const inCluster = await knownInCluster(deps, namespace, options);
  const candidates = findOrphans(snapshots, inCluster, limits);
  if (candidates.length === 0) return [];
  const known = {
    backupUids: new Set(inCluster.backupUids),
    ids: new Set(inCluster.ids),
  };
  const names = await deps.listFolders(location, ["backups"], options);
  try {
    // Most are known by the uid, which costs one small file.
    for (const backup of names) {
      const uid = await uidOfBackup(deps, location, backup, options);
      if (uid !== undefined) known.backupUids.add(uid);
    }
    if (findOrphans(candidates, known, limits).length === 0) return [];
    for (const backup of names)
      for (const id of await knownOfBackup(deps, location, backup, options)) known.ids.add(id);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!isDmError(error) || error.code.startsWith("DM_KUBE_")) throw error;
    const reason = error.message;
    deps.logger.warn("Could not look for snapshots without a backup", { repository: name, reason });
    return undefined;
  }
  return findOrphans(candidates, known, limits);
}

async function knownInCluster(
  { client }: RetentionDeps,
  namespace: string | undefined,
  options: KubeCallOptions,
): Promise<KnownSnapshots> {
  const here = { ...options, namespace };
  const moved = [
    ...(await listAll(client, dataUploads, here)),
    ...(await listAll(client, podVolumeBackups, here)),
  ];
  const notes = await listAll(client, configMaps, {
    ...here,
    labelSelector: `${labels.dataUploadSnapshotInfo}=true`,
  });
  const ids = [
    ...moved.map(({ status }) => status?.snapshotID),
    ...notes.map(({ data }) => data?.["snapshotID"]),
  ];
  const uids = [
    ...(await listAll(client, backups, here)).map(({ metadata }) => metadata.uid),
    ...moved.map(({ metadata }) => metadata.labels?.[labels.backupUid]),
  ];
  const isText = (text: string | undefined): text is string => Boolean(text);
  return { ids: new Set(ids.filter(isText)), backupUids: new Set(uids.filter(isText)) };
}
