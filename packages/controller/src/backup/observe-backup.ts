/**
 * What a Backup covers and how far each claim is, read from the cluster anew each time: nothing is remembered in the process.
 * Proof: test/backup/reconcile-backup.test.ts.
 * @module
 */
import { mapConcurrent } from "@dm/core";
import {
  type Backup,
  type DataUpload,
  dataUploadOperationId,
  dataUploads,
  labels,
  type Namespace,
  namespaces,
  type PersistentVolumeClaim,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  type VolumeSnapshot,
  type VolumeSnapshotClass,
  type VolumeSnapshotContent,
  volumeSnapshotClasses,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@dm/crds";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import { isDeleting } from "../runtime/objects.ts";
import { admits, coversClaims, isSelected, plainNames } from "../scope/scope.ts";
import type { SeenClaim } from "./decide-claim.ts";
import { listAll } from "./list-all.ts";
import { madeName } from "./made-name.ts";
import { sourceOf } from "./source-note.ts";

/** Calls about single claims under way at once. */
export const claimConcurrency = 8;

export interface SeenBackup {
  readonly namespaces: readonly Namespace[];
  /** Named by the Backup and not there. */
  readonly missingNamespaces: readonly string[];
  readonly claims: readonly SeenClaim[];
  readonly classes: readonly VolumeSnapshotClass[];
}

export async function observeBackup(
  client: KubeClient,
  backup: Backup,
  options: KubeCallOptions,
): Promise<SeenBackup> {
  const { found, missing } = await coveredNamespaces(client, backup, options);
  const claims = await coveredClaims(client, backup, found, options);
  // Snapshots before DataUploads: the snapshot of a claim goes only after its DataUpload has come.
  const snapshots = new Map(
    (await snapshotsOf(client, backup, options)).map((one) => [keyOf(one), one]),
  );
  const uploads = new Map(
    (await uploadsOf(client, backup, options)).map((one) => [
      one.metadata.labels?.[labels.asyncOperationId] ?? "",
      one,
    ]),
  );
  const classes = await listAll(client, volumeSnapshotClasses, options);
  const seen = await mapConcurrent(
    claims,
    async (claim): Promise<SeenClaim> => {
      const id = dataUploadOperationId(backup.metadata.uid ?? "", claim.metadata.uid ?? "");
      const upload = uploads.get(id);
      uploads.delete(id);
      if (upload) return { claim, upload };
      const snapshot = snapshots.get(`${claim.metadata.namespace}/${snapshotName(backup, claim)}`);
      const volume = claim.spec.volumeName
        ? await client.get(persistentVolumes, { name: claim.spec.volumeName }, options)
        : undefined;
      return { claim, volume, snapshot, content: await contentOf(client, snapshot, options) };
    },
    { concurrency: claimConcurrency, signal: options.signal },
  );
  // Claims that are gone by now, and were there when their data began to move.
  for (const upload of uploads.values()) {
    const claim = sourceOf(upload)?.claim;
    if (claim) seen.push({ claim, upload });
  }
  return { namespaces: found, missingNamespaces: missing, claims: seen, classes };
}

export const snapshotName = ({ metadata: backup }: Backup, { metadata }: PersistentVolumeClaim) =>
  madeName(`velero-${metadata.name}`, backup.uid ?? "", metadata.uid ?? "");

export const uploadName = ({ metadata: backup }: Backup, { metadata }: PersistentVolumeClaim) =>
  madeName(backup.name ?? "", backup.uid ?? "", metadata.uid ?? "");

export function uploadsOf(
  client: KubeClient,
  { metadata: { namespace, uid } }: Backup,
  { signal }: KubeCallOptions,
): Promise<DataUpload[]> {
  const labelSelector = `${labels.backupUid}=${uid}`;
  return listAll(client, dataUploads, { namespace, labelSelector, signal });
}

export function snapshotsOf(
  client: KubeClient,
  { metadata: { uid } }: Backup,
  { signal }: KubeCallOptions,
): Promise<VolumeSnapshot[]> {
  return listAll(client, volumeSnapshots, { labelSelector: `${labels.backupUid}=${uid}`, signal });
}

export async function contentOf(
  client: KubeClient,
  snapshot: VolumeSnapshot | undefined,
  options: KubeCallOptions,
): Promise<VolumeSnapshotContent | undefined> {
  const name = snapshot?.status?.boundVolumeSnapshotContentName;
  return name ? client.get(volumeSnapshotContents, { name }, options) : undefined;
}

async function coveredNamespaces(
  client: KubeClient,
  { spec }: Backup,
  options: KubeCallOptions,
): Promise<{ found: Namespace[]; missing: string[] }> {
  const { excludedNamespaces, includedNamespaces } = spec ?? {};
  const all = await listAll(client, namespaces, options);
  const found = all.filter(
    ({ metadata }) =>
      admits(includedNamespaces, excludedNamespaces, metadata.name ?? "") &&
      metadata.labels?.[labels.excludeFromBackup] !== "true",
  );
  const names = new Set(all.map(({ metadata }) => metadata.name));
  const missing = (plainNames(includedNamespaces) ?? []).filter((name) => !names.has(name));
  return { found, missing };
}

async function coveredClaims(
  client: KubeClient,
  { spec = {} }: Backup,
  covered: readonly Namespace[],
  { signal }: KubeCallOptions,
): Promise<PersistentVolumeClaim[]> {
  if (!coversClaims(spec)) return [];
  const hasSelector = spec.labelSelector || spec.orLabelSelectors?.length;
  const perNamespace = await mapConcurrent(
    covered,
    async ({ metadata: { name: namespace } }) => {
      const claims = await listAll(client, persistentVolumeClaims, { namespace, signal });
      if (!hasSelector || claims.length === 0) return claims;
      // The volumes of a selected pod belong to it, whatever labels they have.
      const selected = (await listAll(client, pods, { namespace, signal })).filter((pod) =>
        isSelected(spec, pod),
      );
      const mounted = new Set(
        selected.flatMap((pod) =>
          (pod.spec.volumes ?? []).map((volume) => volume.persistentVolumeClaim?.claimName),
        ),
      );
      return claims.filter(
        (claim) => isSelected(spec, claim) || mounted.has(claim.metadata.name ?? ""),
      );
    },
    { concurrency: claimConcurrency, signal },
  );
  return perNamespace
    .flat()
    .filter(
      (claim) => !isDeleting(claim) && claim.metadata.labels?.[labels.excludeFromBackup] !== "true",
    );
}

const keyOf = ({ metadata }: VolumeSnapshot): string => `${metadata.namespace}/${metadata.name}`;
