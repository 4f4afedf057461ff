/**
 * Exposing a volume snapshot for a backup: the snapshot is moved into the operator's namespace, a claim is made of it, and a pod
 * holds the claim. Everything is named like the DataUpload and found again by name and uid.
 *
 * The snapshot belongs to the DataUpload from the start: whatever its end, nothing of it stays, in the cluster or in the storage.
 * Proof: test/expose/csi-snapshot-exposer.test.ts, test/expose/crash.test.ts.
 * @module
 */
import { NotFoundError, UnsupportedError } from "@dm/core";
import {
  type CSISnapshotSpec,
  type DataUpload,
  dataUploads,
  type PersistentVolumeClaim,
  type Pod,
  persistentVolumeClaims,
  pods,
} from "@dm/crds";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { backupClaim, volumeModeOf } from "./claims.ts";
import { cleanUpBackup } from "./clean-up-backup.ts";
import { diagnoseExposure } from "./diagnosis.ts";
import type { Exposer, Step } from "./exposer.ts";
import { defaultResourceTimeout, type ExposerContext } from "./exposer-context.ts";
import {
  createOrTake,
  done,
  type Exposure,
  exposureOf,
  isDeleting,
  isOwned,
  marks,
  orRollBack,
  stepOf,
  textOf,
  waiting,
} from "./exposure.ts";
import {
  exposedVolume,
  removeHostingPod,
  takenClaim,
  takenPod,
  unrecoverableHosting,
  warningsOf,
} from "./hosted-volume.ts";
import { hostingPod } from "./hosting-pod.ts";
import { nodeOSOf, templateFor } from "./node-os.ts";
import { isRelabelFailure, isStarting, relabelFailureText, startMessages } from "./pod-trouble.ts";
import { moveSnapshot, type SnapshotCopy } from "./snapshot-copy.ts";
import { topologyOf } from "./topology.ts";

/** @example const step = await csiSnapshotExposer(context, upload).expose({ signal }); */
export function csiSnapshotExposer(context: ExposerContext, upload: DataUpload): Exposer {
  const exposure = exposureOf(context, dataUploads, upload);
  return {
    expose: (options = {}) =>
      stepOf(() =>
        orRollBack(
          exposure,
          () => expose(exposure, upload, options),
          () => cleanUpBackup(exposure, upload, options),
        ),
      ),
    unrecoverable: (options = {}) => unrecoverableHosting(exposure, options),
    exposed: (options = {}) => exposedVolume(exposure, options),
    removePod: (options = {}) => stepOf(() => removeHostingPod(exposure, options)),
    diagnose: (options = {}) =>
      diagnoseExposure(exposure, { source: snapshotKey(upload) }, options),
    cleanUp: (options = {}) => stepOf(() => cleanUpBackup(exposure, upload, options)),
  };
}

async function expose(
  exposure: Exposure,
  upload: DataUpload,
  options: KubeCallOptions,
): Promise<Step> {
  const pod = await takenPod(exposure, options);
  if (pod !== undefined) {
    if (isDeleting(pod)) return waiting(`pod ${textOf(exposure.key)} is being deleted`);
    await refuseFullVolume(exposure, upload, pod, options);
    return done;
  }
  const claim = await takenClaim(exposure, options);
  if (claim !== undefined && isDeleting(claim))
    return waiting(`PVC ${textOf(exposure.key)} is being deleted`);
  const spec = csiSnapshotOf(upload);
  const source = await sourceClaim(exposure, upload, options);
  if (claim !== undefined) return makePod(exposure, spec, claim, source, options);
  if (source === undefined) {
    const key = { namespace: upload.spec.sourceNamespace, name: upload.spec.sourcePVC };
    throw new NotFoundError("DM_EXPOSE_SOURCE_NOT_FOUND", `failed to get PVC ${textOf(key)}`, key);
  }
  const { step, copy } = await moveSnapshot(exposure, upload, spec, options);
  if (!step.done) return step;
  const made = await makeClaim(exposure, spec, copy, source, options);
  return makePod(exposure, spec, made, source, options);
}

/** @throws {NotFoundError} `DM_EXPOSE_SNAPSHOT_NOT_FOUND` */
function csiSnapshotOf(upload: DataUpload): CSISnapshotSpec {
  const spec = upload.spec.csiSnapshot;
  if (spec === undefined || spec === null)
    throw new NotFoundError(
      "DM_EXPOSE_SNAPSHOT_NOT_FOUND",
      `DataUpload ${upload.metadata.name ?? ""} names no CSI snapshot (spec.csiSnapshot)`,
    );
  return spec;
}

function snapshotKey({ spec }: DataUpload) {
  return { namespace: spec.sourceNamespace, name: spec.csiSnapshot?.volumeSnapshot ?? "" };
}

function sourceClaim(
  exposure: Exposure,
  upload: DataUpload,
  options: KubeCallOptions,
): Promise<PersistentVolumeClaim | undefined> {
  const key = { namespace: upload.spec.sourceNamespace, name: upload.spec.sourcePVC };
  return exposure.context.client.get(persistentVolumeClaims, key, options);
}

async function makeClaim(
  exposure: Exposure,
  spec: CSISnapshotSpec,
  copy: SnapshotCopy,
  source: PersistentVolumeClaim,
  options: KubeCallOptions,
): Promise<PersistentVolumeClaim> {
  const { context, owner, key, logger } = exposure;
  const restoreSize = copy.snapshot?.metadata.annotations?.[marks.restoreSize] ?? "0";
  const requested = source.spec.resources?.requests?.["storage"] ?? "";
  const known = /[1-9]/.test(restoreSize);
  if (!known)
    logger.warn("The volume snapshot tells no size, took that of the claim", {
      dataUpload: key.name,
      size: requested,
    });
  const claim = backupClaim({
    namespace: key.namespace,
    owner,
    sourceStorageClass: spec.storageClass,
    volumeMode: volumeModeOf(source),
    size: known ? restoreSize : requested,
    settings: context.settings?.backupPVC?.[spec.storageClass],
  });
  const isOurs = (found: PersistentVolumeClaim) => isOwned(found, owner);
  return createOrTake(exposure, persistentVolumeClaims, claim, isOurs, options);
}

async function makePod(
  exposure: Exposure,
  spec: CSISnapshotSpec,
  claim: PersistentVolumeClaim,
  source: PersistentVolumeClaim | undefined,
  options: KubeCallOptions,
): Promise<Step> {
  const { context, key, owner, logger } = exposure;
  const settings = context.settings?.backupPVC?.[spec.storageClass];
  if (settings?.spcNoRelabeling && !settings.readOnly)
    logger.warn("Ignored spcNoRelabeling, which needs readOnly", {
      storageClass: spec.storageClass,
    });
  const volumeMode = volumeModeOf(claim);
  const nodeOS = await nodeOSOf(exposure, { source, storageClass: spec.storageClass }, options);
  const pod = hostingPod({
    kind: exposure.kind,
    namespace: key.namespace,
    owner,
    template: templateFor(exposure, nodeOS),
    settings: context.settings ?? {},
    claim: {
      name: key.name,
      volumeMode,
      storageClass: claim.spec.storageClassName,
      readOnly: settings?.readOnly,
      noRelabeling: settings?.spcNoRelabeling,
    },
    // A bound claim tells the scheduler itself where its volume is.
    topology:
      (claim.spec.volumeName ?? "") === ""
        ? await topologyOf(exposure, spec.storageClass, source, options)
        : [],
    nodeOS,
    resourceTimeout: context.resourceTimeout ?? defaultResourceTimeout,
  });
  await createOrTake(exposure, pods, pod, (found) => isOwned(found, owner), options);
  return done;
}

/**
 * A volume that is too full to be mounted again stays so: waiting for the prepare timeout would only hide why.
 * @throws {UnsupportedError} `DM_EXPOSE_VOLUME_FULL`
 */
async function refuseFullVolume(
  exposure: Exposure,
  upload: DataUpload,
  pod: Pod,
  options: KubeCallOptions,
): Promise<void> {
  if (!isStarting(pod)) return;
  const warnings = await warningsOf(exposure, pod.metadata.uid ?? "", options);
  if (!isRelabelFailure(startMessages(pod, warnings))) return;
  const { sourceNamespace, sourcePVC, csiSnapshot } = upload.spec;
  const claim = textOf({ namespace: sourceNamespace, name: sourcePVC });
  const storageClass = csiSnapshot?.storageClass ?? "";
  throw new UnsupportedError("DM_EXPOSE_VOLUME_FULL", relabelFailureText(claim, storageClass), {
    claim,
    storageClass,
  });
}
