/**
 * Enlarges the volumes of one driver when their claims ask for more, as the side-car `external-resizer` does.
 * Proof: test/csi/resizer.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import { type RunningController, startController } from "../controllers/controller.ts";
import { createEventRecorder } from "../controllers/event-recorder.ts";
import { timestamp } from "../controllers/timestamp.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import type { CsiDriver } from "./csi-driver.ts";
import { PendingError } from "./faults.ts";
import { formatBytes, parseBytes } from "./quantity.ts";
import { resources } from "./storage-names.ts";
import { claimKey, isDeleting } from "./storage-object.ts";

export interface ResizerOptions {
  readonly api: ClusterApi;
  readonly driver: CsiDriver;
  readonly logger?: Logger | undefined;
}

export function startResizer({ api, driver, logger }: ResizerOptions): RunningController {
  const events = createEventRecorder(api, { component: `external-resizer ${driver.name}` });
  /** Claims that are too small: also those whose file system grows when a pod mounts it next. */
  const pending = new Set<string>();

  const reconcile = async (key: string): Promise<number | undefined> => {
    const slash = key.indexOf("/");
    const claim = api.get(resources.claims, key.slice(0, slash), key.slice(slash + 1));
    const wanted = wantedBytes(claim);
    const volume = claim && api.get(resources.volumes, "", claim.spec.volumeName ?? "");
    if (!claim || wanted === undefined || volume?.spec.csi?.driver !== driver.name) {
      pending.delete(key);
      return undefined;
    }
    const { volumeHandle } = volume.spec.csi;
    const storageClass = api.get(resources.storageClasses, "", volume.spec.storageClassName ?? "");
    if (storageClass?.["allowVolumeExpansion"] !== true) return undefined;
    pending.add(key);
    try {
      if (!hasCondition(claim)) {
        setCondition(claim, "Resizing", "");
        events.record(
          claim,
          "Normal",
          "Resizing",
          `External resizer is resizing volume ${volume.metadata.name}`,
        );
      }
      const grown = await driver.expandVolume(key, volumeHandle, wanted);
      const capacity = formatBytes(grown.sizeBytes);
      if (volume.spec.capacity.storage !== capacity)
        api.modify(resources.volumes, "", volume.metadata.name, (stored) => {
          stored.spec.capacity = { ...stored.spec.capacity, storage: capacity };
        });
      if (grown.growsWhenStaged) {
        const waits =
          "Waiting for user to (re-)start a pod to finish file system resize of volume on node.";
        if (setCondition(claim, "FileSystemResizePending", waits))
          events.record(
            claim,
            "Normal",
            "FileSystemResizeRequired",
            "Require file system resize of volume on node",
          );
        return undefined;
      }
      pending.delete(key);
      complete(claim, capacity);
      events.record(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded");
      return undefined;
    } catch (error) {
      if (error instanceof PendingError) return error.remainingMs;
      events.record(
        claim,
        "Warning",
        "VolumeResizeFailed",
        `resize volume "${volume.metadata.name}" by resizer "${driver.name}" failed: ${(error as Error).message}`,
      );
      throw error;
    }
  };

  const setCondition = (claim: StoredObject, type: string, message: string): boolean => {
    if (claim.status.conditions?.some((each: Json) => each.type === type)) return false;
    setStatus(claim, (status) => {
      status.conditions = [
        {
          type,
          status: "True",
          lastProbeTime: null,
          lastTransitionTime: timestamp(api.clock),
          ...(message === "" ? {} : { message }),
        },
      ];
    });
    return true;
  };

  const complete = (claim: StoredObject, capacity: string): void =>
    setStatus(claim, (status) => {
      status.capacity = { ...status.capacity, storage: capacity };
      delete status.conditions;
    });

  const setStatus = (claim: StoredObject, change: (status: Json) => void): void => {
    const { namespace = "", name, uid } = claim.metadata;
    api.modify(
      resources.claims,
      namespace,
      name,
      (stored) => {
        if (stored.metadata.uid === uid) change(stored.status);
      },
      { subresource: "status" },
    );
  };

  const controller = startController({
    name: "resizer",
    api,
    logger,
    watches: { [resources.claims]: ({ object }) => [claimKey(object)] },
    reconcile,
  });
  const stop = driver.onChange(() => {
    for (const key of pending) controller.enqueue(key);
  });
  return {
    ...controller,
    async close() {
      stop();
      await controller.close();
    },
  };
}

/** More than it has; undefined when it has enough. */
function wantedBytes(claim: StoredObject | undefined): number | undefined {
  if (!claim || isDeleting(claim) || claim.status?.phase !== "Bound") return undefined;
  const wanted = parseBytes(claim.spec.resources?.requests?.storage ?? "0");
  const given = parseBytes(claim.status.capacity?.storage ?? "0");
  return wanted > given ? wanted : undefined;
}

function hasCondition(claim: StoredObject): boolean {
  return (claim.status.conditions ?? []).length > 0;
}
