/**
 * What both exposers do with the hosting pod and its claim once these are there: see whether it runs, whether it ever can, and
 * take it away.
 * Proof: test/expose/csi-snapshot-exposer.test.ts, test/expose/pod-trouble.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import {
  events,
  type KubeEvent,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
} from "@dm/crds";
import { isPodVolume } from "../mover/data-path-kind.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { volumeModeOf } from "./claims.ts";
import type { ExposedVolume, Step } from "./exposer.ts";
import {
  assureGone,
  type Exposure,
  foreignObject,
  isDeleting,
  isOwned,
  ownClaim,
  ownPod,
  textOf,
  vanishOrGoOn,
} from "./exposure.ts";
import { hostingPath } from "./hosting-pod.ts";
import { unrecoverablePod } from "./pod-trouble.ts";

/**
 * The hosting pod or claim that `expose` may build upon.
 * @throws {ConflictError} `DM_EXPOSE_FOREIGN_OBJECT` when the name is taken.
 */
export async function takenPod(
  exposure: Exposure,
  options: KubeCallOptions,
): Promise<Pod | undefined> {
  const pod = await exposure.context.client.get(pods, exposure.key, options);
  if (pod !== undefined && !isOwned(pod, exposure.owner)) throw foreignObject(exposure, pods.kind);
  return pod;
}

export async function takenClaim(
  exposure: Exposure,
  options: KubeCallOptions,
): Promise<PersistentVolumeClaim | undefined> {
  const { client } = exposure.context;
  const claim = await client.get(persistentVolumeClaims, exposure.key, options);
  if (claim !== undefined && !isOwned(claim, exposure.owner))
    throw foreignObject(exposure, persistentVolumeClaims.kind);
  return claim;
}

/** @throws {FormatError} `DM_EXPOSE_POD_WITHOUT_VOLUME` when someone has changed the pod. */
export async function exposedVolume(
  exposure: Exposure,
  options: KubeCallOptions,
): Promise<ExposedVolume | undefined> {
  const pod = await ownPod(exposure, options);
  const { nodeName = "" } = pod?.spec ?? {};
  if (pod === undefined || isDeleting(pod) || pod.status?.phase !== "Running" || nodeName === "")
    return undefined;
  const { uid } = exposure.owner;
  if (!pod.spec.volumes?.some(({ name }) => name === uid))
    throw new FormatError(
      "DM_EXPOSE_POD_WITHOUT_VOLUME",
      `pod ${textOf(exposure.key)} has no volume ${uid}`,
      { pod: textOf(exposure.key), volume: uid },
    );
  const volume = {
    podName: exposure.key.name,
    nodeName,
    nodeOS: pod.spec.os?.name === "windows" ? "windows" : "linux",
    path: hostingPath(uid),
  } as const;
  if (isPodVolume(exposure.kind)) return { ...volume, volumeMode: "Filesystem" };
  const claim = await ownClaim(exposure, options);
  if ((claim?.spec.volumeName ?? "") === "" || claim === undefined) return undefined;
  return { ...volume, volumeMode: volumeModeOf(claim) };
}

export async function unrecoverableHosting(
  exposure: Exposure,
  options: KubeCallOptions,
): Promise<string | undefined> {
  const pod = await ownPod(exposure, options);
  return pod === undefined ? undefined : unrecoverablePod(pod);
}

/** Warnings that the cluster has reported about one object. */
export async function warningsOf(
  exposure: Exposure,
  uid: string,
  options: KubeCallOptions,
): Promise<KubeEvent[]> {
  const { client, namespace } = exposure.context;
  const fieldSelector = `involvedObject.uid=${uid}`;
  const { items } = await client.list(events, { ...options, namespace, fieldSelector });
  return items.filter(({ type }) => type === "Warning");
}

/**
 * Deletes the hosting pod and tells when it is gone. A grace period of 0 would take the object away at once, whatever still runs:
 * with a second, the kubelet says when the mover has ended and the volume is free for the next one.
 */
export async function removeHostingPod(
  exposure: Exposure,
  options: KubeCallOptions,
): Promise<Step> {
  const pod = await ownPod(exposure, options);
  const kinds = { kind: "pod", short: "pod" };
  return assureGone(exposure, pods, pod, kinds, { ...options, gracePeriodSeconds: 1 });
}

/** For clean-up: asks for the pod's end and does not wait; what needs it gone waits for itself. */
export async function dismissPod(exposure: Exposure, options: KubeCallOptions): Promise<void> {
  const pod = await ownPod(exposure, options);
  if (pod === undefined || isDeleting(pod)) return;
  const { client } = exposure.context;
  const { uid } = pod.metadata;
  await client.delete(pods, exposure.key, { ...options, uid, gracePeriodSeconds: 0 });
}

/** Lets the volume go with its claim, if it is still that claim's. */
export async function reclaimOnRelease(
  exposure: Exposure,
  volume: PersistentVolume,
  options: KubeCallOptions,
): Promise<void> {
  if (volume.spec.persistentVolumeReclaimPolicy === "Delete") return;
  const { name = "", resourceVersion } = volume.metadata;
  const patch = {
    metadata: { resourceVersion },
    spec: { persistentVolumeReclaimPolicy: "Delete" },
  };
  await exposure.context.client.patch(persistentVolumes, { name }, patch, options);
}

/** For clean-up: whether to wait on for the claim. */
export function claimVanished(
  exposure: Exposure,
  claim: PersistentVolumeClaim | undefined,
  options: KubeCallOptions,
): Promise<boolean> {
  return vanishOrGoOn(exposure, persistentVolumeClaims, claim, options);
}
