/**
 * After a restore: the filled volume passes from our claim to the target claim. Between the two it is nobody's for a while, so it
 * is set to Retain first and to its own reclaim policy last; what it was, and whose it is to become, stands on the volume itself.
 * Each step looks whether it was done, so that the whole can be repeated from any point.
 * Proof: test/expose/rebind.test.ts, test/expose/crash.test.ts.
 * @module
 */
import { ConflictError, isDmError, NotFoundError, StorageError } from "@dm/core";
import {
  annotations,
  type DataDownload,
  type PersistentVolume,
  type PersistentVolumeClaim,
  persistentVolumeClaims,
  persistentVolumes,
} from "@dm/crds";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { Step } from "./exposer.ts";
import {
  assureGone,
  done,
  type Exposure,
  marks,
  nowMs,
  ownClaim,
  textOf,
  waiting,
} from "./exposure.ts";
import { removeHostingPod } from "./hosted-volume.ts";

/** What a rebind has to do with, as it is now. */
export interface SeenRebind {
  /** Ours; gone once the volume is detached from it. */
  readonly claim: PersistentVolumeClaim | undefined;
  readonly target: PersistentVolumeClaim | undefined;
  readonly volume: PersistentVolume | undefined;
}

/** Who has the volume. */
export type VolumeHolder = "ours" | "target" | "other";

export async function seeRebind(
  exposure: Exposure,
  download: DataDownload,
  options: KubeCallOptions,
): Promise<SeenRebind> {
  const { client } = exposure.context;
  const { namespace, pvc: name } = download.spec.targetVolume;
  const [claim, target] = await Promise.all([
    ownClaim(exposure, options),
    client.get(persistentVolumeClaims, { namespace, name }, options),
  ]);
  if (claim !== undefined)
    return { claim, target, volume: await volumeNamed(exposure, claim.spec.volumeName, options) };
  const targeted = await volumeNamed(exposure, target?.spec.volumeName, options);
  if (targeted !== undefined && isRebinding(exposure, targeted))
    return { claim, target, volume: targeted };
  const labelSelector = `${marks.owner}=${exposure.owner.uid}`;
  const { items } = await client.list(persistentVolumes, { ...options, labelSelector });
  return { claim, target, volume: items[0] };
}

/** Whether the volume was set aside for this rebind, which may be over. */
export function isRebinding({ owner }: Exposure, volume: PersistentVolume): boolean {
  return volume.metadata.labels?.[marks.owner] === owner.uid;
}

export function holderOf(exposure: Exposure, seen: SeenRebind): VolumeHolder {
  const ref = seen.volume?.spec.claimRef;
  const is = (claim: { namespace?: string; name?: string }) =>
    ref?.namespace === claim.namespace && ref?.name === claim.name;
  if (is(exposure.key)) {
    const { uid } = seen.claim?.metadata ?? {};
    return uid === undefined || ref?.uid === uid ? "ours" : "other";
  }
  if (seen.target === undefined || !is(seen.target.metadata)) return "other";
  const uid = ref?.uid ?? "";
  return uid === "" || uid === seen.target.metadata.uid ? "target" : "other";
}

/**
 * @throws {NotFoundError} `DM_REBIND_TARGET_NOT_FOUND`, `DM_REBIND_VOLUME_NOT_FOUND`
 * @throws {ConflictError} `DM_REBIND_TARGET_BOUND`, `DM_REBIND_VOLUME_TAKEN`
 * @throws {StorageError} `DM_EXPOSE_DELETION_STUCK`, `DM_REBIND_NOT_BOUND`
 */
export async function rebindVolume(
  exposure: Exposure,
  download: DataDownload,
  options: KubeCallOptions,
): Promise<Step> {
  const seen = await seeRebind(exposure, download, options);
  const { target, volume: found } = checked(exposure, download, seen);
  if (isRebound(exposure, seen)) return done;
  let volume = await retained(exposure, found, options);
  const pod = await removeHostingPod(exposure, options);
  if (!pod.done) return pod;
  if (seen.claim !== undefined) {
    const kinds = { kind: "PersistentVolumeClaim", short: "PVC" };
    const released = await assureGone(exposure, persistentVolumeClaims, seen.claim, kinds, options);
    if (!released.done) return released;
    // The cluster notes the release on the volume.
    volume = (await volumeNamed(exposure, volume.metadata.name, options)) ?? volume;
  }
  await claimVolume(exposure, target, volume, options);
  volume = await refer(exposure, target, volume, options);
  const bound =
    volume.status?.phase === "Bound" && volume.spec.claimRef?.uid === target.metadata.uid;
  if (!bound) return waitForBinding(exposure, target, volume);
  await restorePolicy(exposure, volume, options);
  return done;
}

/** The same pieces, once nothing speaks against going on. */
function checked(
  exposure: Exposure,
  download: DataDownload,
  seen: SeenRebind,
): { readonly target: PersistentVolumeClaim; readonly volume: PersistentVolume } {
  const { target, volume } = seen;
  const { namespace, pvc } = download.spec.targetVolume;
  const targetKey = textOf({ namespace, name: pvc });
  if (target === undefined)
    throw new NotFoundError(
      "DM_REBIND_TARGET_NOT_FOUND",
      `error to get target PVC, ${targetKey}: it is not there`,
      { target: targetKey },
    );
  if (volume === undefined)
    throw new NotFoundError(
      "DM_REBIND_VOLUME_NOT_FOUND",
      `error to get PV from restore PVC, ${textOf(exposure.key)}: ${
        seen.claim === undefined ? "neither of them is there" : "it is not bound"
      }`,
      { claim: textOf(exposure.key) },
    );
  if (holderOf(exposure, seen) === "other") {
    const { namespace: otherNamespace, name: other = "" } = volume.spec.claimRef ?? {};
    const holder = textOf({ namespace: otherNamespace, name: other });
    throw new ConflictError(
      "DM_REBIND_VOLUME_TAKEN",
      `error to wait restore PV bound, pv has been bound by unexpected pvc ${holder}`,
      { volume: volume.metadata.name, claim: holder },
    );
  }
  const targetVolume = target.spec.volumeName ?? "";
  if (targetVolume !== "" && targetVolume !== volume.metadata.name)
    throw new ConflictError(
      "DM_REBIND_TARGET_BOUND",
      `error to rebind target PVC: Target PVC ${targetKey} has already been bound, abort`,
      { target: targetKey, volume: targetVolume },
    );
  return { target, volume };
}

/** Bound to the target, and its own policy back on it. */
export function isRebound(exposure: Exposure, seen: SeenRebind): boolean {
  const { volume, target } = seen;
  return (
    volume !== undefined &&
    isRebinding(exposure, volume) &&
    volume.metadata.annotations?.[marks.reclaimPolicy] === undefined &&
    holderOf(exposure, seen) === "target" &&
    volume.spec.claimRef?.uid === target?.metadata.uid
  );
}

/** Step 2: from here on the volume outlives its claim. */
function retained(
  exposure: Exposure,
  volume: PersistentVolume,
  options: KubeCallOptions,
): Promise<PersistentVolume> | PersistentVolume {
  if (isRebinding(exposure, volume)) return volume;
  const policy = volume.spec.persistentVolumeReclaimPolicy ?? "Retain";
  return patchVolume(
    exposure,
    volume,
    {
      metadata: {
        labels: { [marks.owner]: exposure.owner.uid },
        annotations: { [marks.reclaimPolicy]: policy },
      },
      spec: { persistentVolumeReclaimPolicy: "Retain" },
    },
    options,
  );
}

/** Step 5: the target asks for this volume. */
async function claimVolume(
  exposure: Exposure,
  target: PersistentVolumeClaim,
  volume: PersistentVolume,
  options: KubeCallOptions,
): Promise<void> {
  if (target.spec.volumeName === volume.metadata.name) return;
  const { namespace, name = "", resourceVersion } = target.metadata;
  await exposure.context.client.patch(
    persistentVolumeClaims,
    { namespace, name },
    {
      metadata: {
        resourceVersion,
        annotations: { [annotations.bindCompleted]: null, [annotations.boundByController]: null },
      },
      spec: { volumeName: volume.metadata.name },
    },
    options,
  );
}

/** Step 6: the volume waits for the target, and matches its selector. */
function refer(
  exposure: Exposure,
  target: PersistentVolumeClaim,
  volume: PersistentVolume,
  options: KubeCallOptions,
): Promise<PersistentVolume> | PersistentVolume {
  const { namespace, name } = target.metadata;
  const ref = volume.spec.claimRef;
  if (ref?.namespace === namespace && ref?.name === name) return volume;
  const has = volume.metadata.labels ?? {};
  const wanted = Object.entries(target.spec.selector?.matchLabels ?? {});
  return patchVolume(
    exposure,
    volume,
    {
      metadata: {
        labels: Object.fromEntries(wanted.filter(([key]) => has[key] === undefined)),
        annotations: {
          [annotations.boundByController]: null,
          [marks.rebindingSince]: new Date(nowMs(exposure)).toISOString(),
        },
      },
      spec: {
        claimRef: {
          kind: "PersistentVolumeClaim",
          namespace,
          name,
          uid: null,
          resourceVersion: null,
        },
      },
    },
    options,
  );
}

/** Step 7 */
function waitForBinding(
  exposure: Exposure,
  target: PersistentVolumeClaim,
  volume: PersistentVolume,
): Step {
  const { name = "" } = volume.metadata;
  const targetKey = textOf({ ...target.metadata, name: target.metadata.name ?? "" });
  const phase = volume.status?.phase ?? "";
  const since = Date.parse(volume.metadata.annotations?.[marks.rebindingSince] ?? "");
  if (nowMs(exposure) - since >= exposure.operationTimeoutMs)
    throw new StorageError(
      "DM_REBIND_NOT_BOUND",
      `error to wait restore PV bound, ${name}: it is ${phase} and waits for PVC ${targetKey}; the restored data is in it, and it is kept`,
      { volume: name, target: targetKey, phase },
    );
  return waiting(`wait restore PV bound, ${name}: it is ${phase}, not yet bound to ${targetKey}`);
}

/** Step 8. The data is where it belongs: a policy that stays Retain is worth a warning, and no more. */
async function restorePolicy(
  exposure: Exposure,
  volume: PersistentVolume,
  options: KubeCallOptions,
): Promise<void> {
  const policy = volume.metadata.annotations?.[marks.reclaimPolicy];
  const patch = {
    metadata: { annotations: { [marks.reclaimPolicy]: null, [marks.rebindingSince]: null } },
    spec: { persistentVolumeReclaimPolicy: policy ?? "Retain" },
  };
  try {
    await patchVolume(exposure, volume, patch, options);
  } catch (error) {
    const later = ["DM_KUBE_UNAVAILABLE", "DM_KUBE_CONFLICT", "DM_KUBE_UNAUTHORIZED"];
    if (!isDmError(error) || later.includes(error.code)) throw error;
    exposure.logger.warn("Kept the restored volume's reclaim policy Retain", {
      volume: volume.metadata.name,
      policy,
      error,
    });
  }
}

function patchVolume(
  exposure: Exposure,
  volume: PersistentVolume,
  patch: { readonly metadata: object; readonly spec: object },
  options: KubeCallOptions,
): Promise<PersistentVolume> {
  const { name = "", resourceVersion } = volume.metadata;
  const guarded = { ...patch, metadata: { ...patch.metadata, resourceVersion } };
  return exposure.context.client.patch(persistentVolumes, { name }, guarded, options);
}

async function volumeNamed(
  exposure: Exposure,
  name: string | undefined,
  options: KubeCallOptions,
): Promise<PersistentVolume | undefined> {
  if (name === undefined || name === "") return undefined;
  return exposure.context.client.get(persistentVolumes, { name }, options);
}
