/**
 * How far the data of a Restore is: its DataDownloads, and its PodVolumeRestores.
 * Proof: test/restore/reconcile-restore.test.ts.
 * @module
 */
import { parseGoDuration } from "@dm/core";
import {
  annotations,
  type DataDownload,
  dataDownloads,
  labels,
  type PodVolumeRestore,
  podVolumeRestores,
  type Restore,
} from "@dm/crds";
import { nowOf, settingsOf } from "../backup/backup-deps.ts";
import { type Followed, follow, timedOutText } from "../backup/follow.ts";
import { cancelMovement } from "../backup/give-up.ts";
import { listAll } from "../backup/list-all.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { PlanMessage } from "./plan-restore.ts";
import type { RestoreDeps } from "./restore-deps.ts";

/** On the Restore: how many PodVolumeRestores it has; its status counts DataDownloads only. */
export const podVolumesMade = "dm.velero.io/pod-volume-restores";

export interface FollowedRestore {
  readonly downloads: readonly DataDownload[];
  readonly podVolumes: readonly PodVolumeRestore[];
  readonly ofDownloads: Followed<DataDownload>;
  readonly ofPodVolumes: Followed<PodVolumeRestore>;
}

export async function followRestore(
  deps: RestoreDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<FollowedRestore> {
  const { downloads, podVolumes } = await movementsOf(deps, restore, options);
  const timeoutMs = parseGoDuration(restore.spec?.itemOperationTimeout ?? "") ?? 0;
  const said = restore.metadata.annotations?.[annotations.podVolumeTimeout] ?? "";
  const ofPodsMs = parseGoDuration(said) || settingsOf(deps).podVolumeTimeoutMs;
  const now = nowOf(deps);
  const made = restore.status?.restoreItemOperationsAttempted ?? 0;
  const madeOfPods = Number(restore.metadata.annotations?.[podVolumesMade] ?? 0);
  return {
    downloads,
    podVolumes,
    ofDownloads: follow(downloads, { now, timeoutMs, kind: "DataDownload", made }),
    ofPodVolumes: follow(podVolumes, {
      now,
      timeoutMs: ofPodsMs,
      kind: "PodVolumeRestore",
      made: madeOfPods,
    }),
  };
}

export async function movementsOf(
  { client }: RestoreDeps,
  { metadata: { namespace, uid } }: Restore,
  { signal }: KubeCallOptions,
): Promise<Pick<FollowedRestore, "downloads" | "podVolumes">> {
  const list = { namespace, labelSelector: `${labels.restoreUid}=${uid}`, signal };
  return {
    downloads: await listAll(client, dataDownloads, list),
    podVolumes: await listAll(client, podVolumeRestores, list),
  };
}

export async function cancelOverdue(
  { client }: RestoreDeps,
  { ofDownloads, ofPodVolumes }: FollowedRestore,
  options: KubeCallOptions,
): Promise<void> {
  for (const one of ofDownloads.overdue)
    await cancelMovement(client, dataDownloads, one, timedOutText, options);
  for (const one of ofPodVolumes.overdue)
    await cancelMovement(client, podVolumeRestores, one, timedOutText, options);
}

export async function cancelAll(
  deps: RestoreDeps,
  restore: Restore,
  message: string,
  options: KubeCallOptions,
): Promise<void> {
  const { downloads, podVolumes } = await movementsOf(deps, restore, options);
  for (const one of downloads)
    await cancelMovement(deps.client, dataDownloads, one, message, options);
  for (const one of podVolumes)
    await cancelMovement(deps.client, podVolumeRestores, one, message, options);
}

export const isMoving = ({ ofDownloads, ofPodVolumes }: FollowedRestore): boolean =>
  ofDownloads.running.length + ofPodVolumes.running.length > 0;

/** What went wrong with data, by the namespace of its volume. */
export function movementErrors({ ofDownloads, ofPodVolumes }: FollowedRestore): PlanMessage[] {
  return [
    ...ofDownloads.failed.map(({ message, object }) => {
      const { namespace = "", pvc = "" } = object?.spec.targetVolume ?? {};
      return {
        namespace,
        message: pvc === "" ? message : `persistentvolumeclaims/${pvc}: ${message}`,
      };
    }),
    ...ofPodVolumes.failed.map(({ message, object }) => {
      const { name = "", namespace = "" } = object?.spec.pod ?? {};
      return { namespace, message: `pods/${name}: volume ${object?.spec.volume}: ${message}` };
    }),
  ];
}
