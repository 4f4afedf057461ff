/**
 * Exposing an empty volume for a restore: a claim like the target beside it, and a pod that holds the claim. Once the volume is
 * filled it is bound to the target.
 * Proof: test/expose/generic-restore-exposer.test.ts, test/expose/rebind.test.ts, test/expose/crash.test.ts.
 * @module
 */
import { ConflictError, NotFoundError } from "@dm/core";
import {
  annotations,
  type DataDownload,
  dataDownloads,
  labels,
  nodes,
  type PersistentVolumeClaim,
  persistentVolumeClaims,
  pods,
} from "@dm/crds";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { cacheClaim, restoreClaim, volumeModeOf } from "./claims.ts";
import { cleanUpRestore } from "./clean-up-restore.ts";
import { diagnoseExposure } from "./diagnosis.ts";
import type { RestoreExposer, Step } from "./exposer.ts";
import {
  defaultCacheLimitMB,
  defaultResourceTimeout,
  type ExposerContext,
} from "./exposer-context.ts";
import {
  createOrTake,
  done,
  type Exposure,
  exposureOf,
  isDeleting,
  isOwned,
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
} from "./hosted-volume.ts";
import { hostingPod } from "./hosting-pod.ts";
import { templateFor } from "./node-os.ts";
import { rebindVolume } from "./rebind.ts";
import { waitsForConsumer } from "./topology.ts";

/** @example const step = await genericRestoreExposer(context, download).expose({ signal }); */
export function genericRestoreExposer(
  context: ExposerContext,
  download: DataDownload,
): RestoreExposer {
  const exposure = exposureOf(context, dataDownloads, download);
  return {
    expose: (options = {}) =>
      stepOf(() =>
        orRollBack(
          exposure,
          () => expose(exposure, download, options),
          () => cleanUpRestore(exposure, download, options),
        ),
      ),
    unrecoverable: (options = {}) => unrecoverableHosting(exposure, options),
    exposed: (options = {}) => exposedVolume(exposure, options),
    removePod: (options = {}) => stepOf(() => removeHostingPod(exposure, options)),
    diagnose: (options = {}) =>
      diagnoseExposure(exposure, { target: targetKey(download) }, options),
    rebind: (options = {}) => stepOf(() => rebindVolume(exposure, download, options)),
    cleanUp: (options = {}) => stepOf(() => cleanUpRestore(exposure, download, options)),
  };
}

async function expose(
  exposure: Exposure,
  download: DataDownload,
  options: KubeCallOptions,
): Promise<Step> {
  const pod = await takenPod(exposure, options);
  if (pod !== undefined)
    return isDeleting(pod) ? waiting(`pod ${textOf(exposure.key)} is being deleted`) : done;
  const claim = await takenClaim(exposure, options);
  if (claim !== undefined && isDeleting(claim))
    return waiting(`PVC ${textOf(exposure.key)} is being deleted`);
  const target = await unboundTarget(exposure, download, options);
  const selectedNode =
    claim === undefined
      ? await consumerOf(exposure, target, options)
      : (claim.metadata.annotations?.[annotations.selectedNode] ?? "");
  if (selectedNode === undefined)
    return waiting(
      `wait target PVC consumed, ${textOf(targetKey(download))}: its storage class waits for the first pod that uses it, and there is none`,
    );
  return makeObjects(exposure, download, target, selectedNode, claim, options);
}

function targetKey(download: DataDownload) {
  const { namespace, pvc } = download.spec.targetVolume;
  return { namespace, name: pvc };
}

/**
 * @throws {NotFoundError} `DM_EXPOSE_TARGET_NOT_FOUND`
 * @throws {ConflictError} `DM_EXPOSE_TARGET_BOUND`: it has data of its own
 */
async function unboundTarget(
  exposure: Exposure,
  download: DataDownload,
  options: KubeCallOptions,
): Promise<PersistentVolumeClaim> {
  const key = targetKey(download);
  const target = await exposure.context.client.get(persistentVolumeClaims, key, options);
  if (target === undefined)
    throw new NotFoundError(
      "DM_EXPOSE_TARGET_NOT_FOUND",
      `error to wait target PVC consumed, ${textOf(key)}: it is not there`,
      key,
    );
  if ((target.spec.volumeName ?? "") !== "")
    throw new ConflictError(
      "DM_EXPOSE_TARGET_BOUND",
      `Target PVC ${textOf(key)} has already been bound, abort`,
      key,
    );
  return target;
}

/** The node that the target's first consumer was given; empty when it does not matter; undefined when it is to be waited for. */
async function consumerOf(
  exposure: Exposure,
  target: PersistentVolumeClaim,
  options: KubeCallOptions,
): Promise<string | undefined> {
  if (exposure.context.settings?.restorePVC?.ignoreDelayBinding) return "";
  if (!(await waitsForConsumer(exposure, target.spec.storageClassName, options))) return "";
  return target.metadata.annotations?.[annotations.selectedNode];
}

async function makeObjects(
  exposure: Exposure,
  download: DataDownload,
  target: PersistentVolumeClaim,
  selectedNode: string,
  found: PersistentVolumeClaim | undefined,
  options: KubeCallOptions,
): Promise<Step> {
  const { context, key, owner } = exposure;
  const { namespace } = key;
  const nodeOS = download.spec.nodeOS === "windows" ? "windows" : "linux";
  const template = templateFor(exposure, nodeOS);
  const isOurs = (taken: { metadata: PersistentVolumeClaim["metadata"] }) => isOwned(taken, owner);
  const place = { namespace, owner, selectedNode: selectedNode === "" ? undefined : selectedNode };
  const cache = await makeCacheClaim(exposure, download, place.selectedNode, options);
  const claim =
    found ??
    (await createOrTake(
      exposure,
      persistentVolumeClaims,
      restoreClaim({ ...place, target }),
      isOurs,
      options,
    ));
  const pod = hostingPod({
    kind: exposure.kind,
    namespace,
    owner,
    template,
    settings: context.settings ?? {},
    claim: {
      name: key.name,
      volumeMode: volumeModeOf(claim),
      storageClass: claim.spec.storageClassName,
    },
    topology: [],
    hostname:
      place.selectedNode === undefined
        ? undefined
        : await hostnameOf(exposure, place.selectedNode, options),
    nodeOS,
    resourceTimeout: context.resourceTimeout ?? defaultResourceTimeout,
    cacheClaim: cache,
  });
  await createOrTake(exposure, pods, pod, isOurs, options);
  return done;
}

async function makeCacheClaim(
  exposure: Exposure,
  download: DataDownload,
  selectedNode: string | undefined,
  options: KubeCallOptions,
): Promise<string | undefined> {
  const { context, owner } = exposure;
  const settings = context.settings?.cachePVC;
  if (settings === undefined) return undefined;
  const claim = cacheClaim({
    namespace: exposure.key.namespace,
    owner,
    settings,
    limitMB: context.cacheLimitMB ?? defaultCacheLimitMB,
    snapshotSize: download.spec.snapshotSize,
    selectedNode,
  });
  if (claim === undefined) return undefined;
  const isOurs = (found: PersistentVolumeClaim) => isOwned(found, owner);
  await createOrTake(exposure, persistentVolumeClaims, claim, isOurs, options);
  return claim.metadata.name;
}

/** Nodes are named one way and labelled another on some clouds. */
async function hostnameOf(
  exposure: Exposure,
  nodeName: string,
  options: KubeCallOptions,
): Promise<string> {
  const node = await exposure.context.client.get(nodes, { name: nodeName }, options);
  return node?.metadata.labels?.[labels.hostname] ?? nodeName;
}
