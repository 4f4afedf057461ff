/**
 * Makes and deletes volumes of one driver for claims, as the side-car `external-provisioner` does: from nothing, from a
 * VolumeSnapshot, or as a copy of another claim.
 * Proof: test/csi/provisioner.test.ts.
 * @module
 */
import { type Logger, UnsupportedError } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import { type RunningController, startController } from "../controllers/controller.ts";
import { createEventRecorder } from "../controllers/event-recorder.ts";
import type { Json, NewObject, StoredObject } from "../kube-object.ts";
import type { CsiDriver } from "./csi-driver.ts";
import { PendingError } from "./faults.ts";
import { formatBytes, parseBytes } from "./quantity.ts";
import type { SnapshotWatch } from "./snapshot-watch.ts";
import { annotations, finalizers, resources, snapshotApiGroup } from "./storage-names.ts";
import {
  addFinalizer,
  annotationOf,
  claimKey,
  hasFinalizer,
  isDelayed,
  isDeleting,
  referenceTo,
  removeFinalizer,
} from "./storage-object.ts";
import { topologyFor } from "./topology.ts";

export interface ProvisionerOptions {
  readonly api: ClusterApi;
  readonly driver: CsiDriver;
  readonly snapshots: SnapshotWatch;
  readonly logger?: Logger | undefined;
}

export function startProvisioner(options: ProvisionerOptions): RunningController {
  const { api, driver, snapshots, logger } = options;
  const events = createEventRecorder(api, { component: `${driver.name}_external-provisioner` });
  /** Claims that wait for a source, a class or the storage, by key: what they wait for wakes them. */
  const waiting = new Set<string>();
  const wakeAll = (): string[] => [...waiting].map((key) => `claim:${key}`);

  const provision = async (claim: StoredObject): Promise<number | undefined> => {
    const key = claimKey(claim);
    const storageClass = api.get(resources.storageClasses, "", claim.spec.storageClassName ?? "");
    if (!storageClass) return undefined;
    const nodeName = annotationOf(claim, annotations.selectedNode);
    if (isDelayed(storageClass) && nodeName === undefined) return undefined;
    // Others fill claims with a source of their own kind.
    if (isForPopulator(claim)) return undefined;
    events.record(
      claim,
      "Normal",
      "Provisioning",
      `External provisioner is provisioning volume for claim "${key}"`,
    );
    try {
      const volume = await makeVolume(claim, storageClass);
      // Also when the claim has gone meanwhile, or found another volume: released, it is deleted like any other.
      if (!api.get(resources.volumes, "", volume.metadata.name))
        api.create(resources.volumes, volume);
      events.record(
        claim,
        "Normal",
        "ProvisioningSucceeded",
        `Successfully provisioned volume ${volume.metadata.name}`,
      );
      waiting.delete(key);
      return undefined;
    } catch (error) {
      waiting.add(key);
      if (error instanceof PendingError) return error.remainingMs;
      events.record(
        claim,
        "Warning",
        "ProvisioningFailed",
        `failed to provision volume with StorageClass "${storageClass.metadata.name}": ${(error as Error).message}`,
      );
      // Nothing but another claim helps.
      if (claim.spec.selector) return undefined;
      throw error;
    }
  };

  const makeVolume = async (claim: StoredObject, storageClass: StoredObject): Promise<Volume> => {
    if (claim.spec.selector) throw refused("claim Selector is not supported");
    const parameters: Record<string, string> = storageClass["parameters"] ?? {};
    const volumeMode: string = claim.spec.volumeMode ?? "Filesystem";
    const kind = driver.kindFor(volumeMode, parameters);
    const wantedBytes = parseBytes(claim.spec.resources?.requests?.storage ?? "0");
    const source = sourceOf(claim, wantedBytes);
    const topology = topologyFor(api, claim, storageClass);
    const name = `pvc-${claim.metadata.uid}`;
    const made = await driver.createVolume(claimKey(claim), {
      name,
      kind,
      sizeBytes: wantedBytes,
      ...(source === undefined ? {} : { source }),
    });
    const fsType = parameters["csi.storage.k8s.io/fstype"];
    return {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: {
        name,
        annotations: {
          [annotations.provisionedBy]: driver.name,
          "volume.kubernetes.io/provisioner-deletion-secret-name": "",
          "volume.kubernetes.io/provisioner-deletion-secret-namespace": "",
        },
        finalizers:
          storageClass["reclaimPolicy"] === "Retain"
            ? [finalizers.volumeProtection]
            : [finalizers.provisioner, finalizers.volumeProtection],
      },
      spec: {
        accessModes: claim.spec.accessModes,
        capacity: { storage: formatBytes(made.sizeBytes) },
        claimRef: referenceTo(claim),
        csi: {
          driver: driver.name,
          volumeHandle: made.handle,
          ...(volumeMode === "Filesystem" && fsType !== undefined ? { fsType } : {}),
          volumeAttributes: { "storage.kubernetes.io/csiProvisionerIdentity": driver.name },
        },
        ...(storageClass["mountOptions"] ? { mountOptions: storageClass["mountOptions"] } : {}),
        ...(topology ? { nodeAffinity: topology } : {}),
        persistentVolumeReclaimPolicy: storageClass["reclaimPolicy"] ?? "Delete",
        storageClassName: storageClass.metadata.name,
        volumeMode,
      },
      status: { phase: "Pending" },
    };
  };

  /** Handle of what the volume begins as a copy of. */
  const sourceOf = (claim: StoredObject, wantedBytes: number): string | undefined => {
    const reference: Json = claim.spec.dataSource ?? claim.spec.dataSourceRef;
    if (!reference) return undefined;
    const { namespace = "" } = claim.metadata;
    if (reference.kind === "PersistentVolumeClaim") {
      const origin = api.get(resources.claims, namespace, reference.name);
      const volume = origin && api.get(resources.volumes, "", origin.spec.volumeName ?? "");
      if (!volume || volume.spec.csi?.driver !== driver.name)
        throw refused(
          `error getting handle for DataSource Type PersistentVolumeClaim by Name ${reference.name}: the claim is not bound`,
        );
      return volume.spec.csi.volumeHandle;
    }
    const prefix = `error getting handle for DataSource Type VolumeSnapshot by Name ${reference.name}: `;
    const snapshot = snapshots.exists
      ? api.get(resources.snapshots, namespace, reference.name)
      : undefined;
    if (!snapshot)
      throw refused(
        `${prefix}error getting snapshot ${reference.name} from api server: ${resources.snapshots} "${reference.name}" not found`,
      );
    if (isDeleting(snapshot))
      throw refused(`${prefix}snapshot ${reference.name} is currently being deleted`);
    const contentName = snapshot.status?.boundVolumeSnapshotContentName;
    if (!contentName) throw refused(`${prefix}snapshot ${reference.name} not bound`);
    if (snapshot.status.readyToUse !== true)
      throw refused(`${prefix}snapshot ${reference.name} is not Ready`);
    const content = api.get(resources.contents, "", contentName);
    const handle: string | undefined = content?.status?.snapshotHandle;
    if (content?.spec.volumeSnapshotRef.uid !== snapshot.metadata.uid || handle === undefined)
      throw refused(
        `${prefix}snapshotcontent ${contentName} for snapshot ${reference.name} is not bound`,
      );
    if (content.spec.driver !== driver.name)
      throw refused(`${prefix}snapshot ${reference.name} is of driver ${content.spec.driver}`);
    const leastBytes = parseBytes(snapshot.status.restoreSize ?? "0");
    if (leastBytes > wantedBytes)
      throw refused(
        `${prefix}requested volume size ${wantedBytes} is less than the size ${leastBytes} for the source snapshot ${reference.name}`,
      );
    return handle;
  };

  const release = async (volume: StoredObject): Promise<number | undefined> => {
    const ref = volume.spec.claimRef;
    try {
      await driver.deleteVolume(
        ref ? `${ref.namespace}/${ref.name}` : volume.metadata.name,
        volume.spec.csi.volumeHandle,
      );
    } catch (error) {
      events.record(volume, "Warning", "VolumeFailedDelete", (error as Error).message);
      if (error instanceof PendingError) return error.remainingMs;
      throw error;
    }
    const { name, uid } = volume.metadata;
    api.delete(resources.volumes, "", name, { uid });
    const left = api.get(resources.volumes, "", name);
    if (left?.metadata.uid === uid)
      removeFinalizer(api, resources.volumes, left, finalizers.provisioner);
    return undefined;
  };

  const reconcileVolume = async (name: string): Promise<number | undefined> => {
    const volume = api.get(resources.volumes, "", name);
    if (volume?.spec.csi?.driver !== driver.name) return undefined;
    if (annotationOf(volume, annotations.provisionedBy) !== driver.name) return undefined;
    const isToDelete = volume.spec.persistentVolumeReclaimPolicy === "Delete";
    if (isToDelete && volume.status?.phase === "Released") {
      if (isDeleting(volume) && !hasFinalizer(volume, finalizers.provisioner)) return undefined;
      return release(volume);
    }
    // Only a volume whose bytes go with it needs to wait for that.
    if (isToDelete) addFinalizer(api, resources.volumes, volume, finalizers.provisioner);
    else removeFinalizer(api, resources.volumes, volume, finalizers.provisioner);
    return undefined;
  };

  const reconcileClaim = async (key: string): Promise<number | undefined> => {
    const slash = key.indexOf("/");
    const claim = api.get(resources.claims, key.slice(0, slash), key.slice(slash + 1));
    const isOurs =
      claim !== undefined &&
      !isDeleting(claim) &&
      !claim.spec.volumeName &&
      annotationOf(claim, annotations.storageProvisioner) === driver.name &&
      !api.get(resources.volumes, "", `pvc-${claim.metadata.uid}`);
    if (isOurs) return provision(claim);
    waiting.delete(key);
    return undefined;
  };

  const controller = startController({
    name: "provisioner",
    api,
    logger,
    watches: {
      [resources.claims]: ({ object }) => [`claim:${claimKey(object)}`],
      [resources.volumes]: ({ object }) => [`volume:${object.metadata.name}`],
      [resources.storageClasses]: wakeAll,
    },
    reconcile: (key) =>
      key.startsWith("volume:")
        ? reconcileVolume(key.slice("volume:".length))
        : reconcileClaim(key.slice("claim:".length)),
  });
  const stop = snapshots.whenServed(() => {
    controller.watch(resources.snapshots, wakeAll);
    for (const key of wakeAll()) controller.enqueue(key);
  });
  const stopDriver = driver.onChange((what) => {
    if (what !== "faults") return;
    for (const key of wakeAll()) controller.enqueue(key);
    for (const volume of api.list(resources.volumes))
      if (volume.status?.phase === "Released") controller.enqueue(`volume:${volume.metadata.name}`);
  });
  return {
    ...controller,
    async close() {
      stop();
      stopDriver();
      await controller.close();
    },
  };
}

interface Volume extends NewObject {
  readonly metadata: NewObject["metadata"] & { readonly name: string };
}

function refused(text: string): UnsupportedError {
  return new UnsupportedError("DM_CSI_CLAIM_REFUSED", text);
}

function isForPopulator(claim: StoredObject): boolean {
  const reference: Json = claim.spec.dataSource ?? claim.spec.dataSourceRef;
  if (!reference) return false;
  if (reference.kind === "PersistentVolumeClaim") return Boolean(reference.apiGroup);
  return !(reference.kind === "VolumeSnapshot" && reference.apiGroup === snapshotApiGroup);
}
