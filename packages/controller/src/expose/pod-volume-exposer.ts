/**
 * Exposing a volume that a pod has mounted: a hosting pod on the same node, with the volume's directory there. Nothing but that pod
 * is made. Only the agent of the pod's node can call `expose`: it looks at its own disk.
 * Proof: test/expose/pod-volume-exposer.test.ts.
 * @module
 */
import { ConflictError, NotFoundError, UnsupportedError } from "@dm/core";
import {
  type Pod,
  type PodVolumeBackup,
  type PodVolumeRestore,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  type Resource,
  type Volume,
} from "@dm/crds";
import { clientPodOf } from "../pod-volume/client-pod.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
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
  orRollBack,
  stepOf,
  textOf,
  waiting,
} from "./exposure.ts";
import { hostPathPattern, hostPods, kubeletPodUid, type PodVolumeSource } from "./host-path.ts";
import {
  dismissPod,
  exposedVolume,
  removeHostingPod,
  takenPod,
  unrecoverableHosting,
} from "./hosted-volume.ts";
import { hostingPod } from "./hosting-pod.ts";

type PodVolumeObject = PodVolumeBackup | PodVolumeRestore;

/** @example const step = await podVolumeExposer(context, podVolumeBackups, backup).expose({ signal }); */
export function podVolumeExposer<T extends PodVolumeObject>(
  context: ExposerContext,
  resource: Resource<T>,
  object: T,
): Exposer {
  const exposure = exposureOf(context, resource as Resource<PodVolumeObject & Timed>, object);
  const cleanUp = async (options: KubeCallOptions): Promise<Step> => {
    await dismissPod(exposure, options);
    return done;
  };
  return {
    expose: (options = {}) =>
      stepOf(() =>
        orRollBack(
          exposure,
          () => expose(exposure, object, options),
          () => cleanUp(options),
        ),
      ),
    unrecoverable: (options = {}) => unrecoverableHosting(exposure, options),
    exposed: (options = {}) => exposedVolume(exposure, options),
    removePod: (options = {}) => stepOf(() => removeHostingPod(exposure, options)),
    diagnose: (options = {}) => diagnoseExposure(exposure, {}, options),
    cleanUp: (options = {}) => stepOf(() => cleanUp(options)),
  };
}

/** Neither kind has a timeout of its own. */
interface Timed {
  spec: { operationTimeout?: string };
}

async function expose(
  exposure: Exposure,
  object: PodVolumeObject,
  options: KubeCallOptions,
): Promise<Step> {
  const client = await clientPod(exposure, object, options);
  const taken = await takenPod(exposure, options);
  if (taken !== undefined)
    return isDeleting(taken) ? waiting(`pod ${textOf(exposure.key)} is being deleted`) : done;
  const { context, key, kind, owner } = exposure;
  const source = await sourceOf(exposure, client, object.spec.volume, options);
  const find = context.findHostPath ?? hostPods(undefined, context.template.hostPodsPath);
  const path = await find(kubeletPodUid(client), hostPathPattern(source));
  const pod = hostingPod({
    kind,
    namespace: key.namespace,
    owner,
    template: context.template,
    settings: context.settings ?? {},
    hosted: { path, node: client.spec.nodeName ?? "" },
    topology: [],
    nodeOS: "linux",
    resourceTimeout: context.resourceTimeout ?? defaultResourceTimeout,
  });
  await createOrTake(exposure, pods, pod, (found) => isOwned(found, owner), options);
  return done;
}

/**
 * The pod that has the volume mounted.
 * @throws {NotFoundError} `DM_EXPOSE_CLIENT_POD_NOT_FOUND`
 * @throws {ConflictError} `DM_EXPOSE_CLIENT_POD_STARTED`: a restore would write what the pod uses
 */
async function clientPod(
  exposure: Exposure,
  { spec }: PodVolumeObject,
  options: KubeCallOptions,
): Promise<Pod> {
  const { name = "", namespace = "", uid = "" } = spec.pod;
  const pod = await exposure.context.client.get(pods, { namespace, name }, options);
  const { state, node } = clientPodOf(pod, uid);
  const key = { namespace, name };
  if (pod === undefined || state === "over" || node === undefined)
    throw new NotFoundError(
      "DM_EXPOSE_CLIENT_POD_NOT_FOUND",
      `error getting client pod ${textOf(key)}: it is over or gone`,
      key,
    );
  if (exposure.kind === "PodVolumeRestore" && state === "running")
    throw new ConflictError(
      "DM_EXPOSE_CLIENT_POD_STARTED",
      `client pod ${textOf(key)} does not wait for its files any more`,
      key,
    );
  return pod;
}

/**
 * @throws {NotFoundError} `DM_EXPOSE_CLIENT_VOLUME_NOT_FOUND`
 * @throws {UnsupportedError} `DM_EXPOSE_CLIENT_VOLUME_UNSUPPORTED`
 */
async function sourceOf(
  exposure: Exposure,
  pod: Pod,
  volumeName: string,
  options: KubeCallOptions,
): Promise<PodVolumeSource> {
  const volume = pod.spec.volumes?.find(({ name }) => name === volumeName);
  const which = `volume ${volumeName} of pod ${textOf(podKey(pod))}`;
  const missing = (what: string): NotFoundError =>
    new NotFoundError("DM_EXPOSE_CLIENT_VOLUME_NOT_FOUND", `${which}: ${what}`, podKey(pod));
  const unsupported = (what: string): UnsupportedError =>
    new UnsupportedError("DM_EXPOSE_CLIENT_VOLUME_UNSUPPORTED", `${which} ${what}`, podKey(pod));
  if (volume === undefined) throw missing("the pod declares none of that name");
  if (volume.hostPath !== undefined) throw unsupported("is a directory of the node");
  const claimName = claimOf(pod, volume);
  if (claimName === undefined)
    return { volumeName, volumeMode: "Filesystem", inlineCsi: volume.csi !== undefined };
  const { client } = exposure.context;
  const { namespace } = pod.metadata;
  const claim = await client.get(persistentVolumeClaims, { namespace, name: claimName }, options);
  const name = claim?.spec.volumeName ?? "";
  if (name === "") throw missing(`PVC ${claimName} is not there, or is not bound`);
  if (claim?.spec.volumeMode === "Block") throw unsupported("is a block volume");
  const bound = await client.get(persistentVolumes, { name }, options);
  if (bound === undefined) throw missing(`PV ${name} is not there`);
  if (bound.spec.hostPath !== undefined) throw unsupported("is a directory of the node");
  const persistentVolume = {
    name,
    csi: bound.spec.csi !== undefined,
    annotations: bound.metadata.annotations,
  };
  return { volumeName, volumeMode: "Filesystem", persistentVolume };
}

/** A generic ephemeral volume has a claim that is named after pod and volume. */
function claimOf({ metadata }: Pod, volume: Volume): string | undefined {
  return volume.ephemeral === undefined
    ? volume.persistentVolumeClaim?.claimName
    : `${metadata.name}-${volume.name}`;
}

const podKey = ({ metadata }: Pod) => ({
  namespace: metadata.namespace,
  name: metadata.name ?? "",
});
