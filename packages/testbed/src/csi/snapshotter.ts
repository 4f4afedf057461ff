/**
 * Cuts, follows and deletes the volume snapshots of one driver for VolumeSnapshotContents, as the side-car `csi-snapshotter` does.
 * The storage's snapshot goes only when a content with deletion policy Delete is deleted.
 * Proof: test/csi/snapshot-controller.test.ts.
 * @module
 */
import { isDmError, type Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import { type RunningController, startController } from "../controllers/controller.ts";
import { createEventRecorder } from "../controllers/event-recorder.ts";
import { timestamp } from "../controllers/timestamp.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import type { CsiDriver } from "./csi-driver.ts";
import { PendingError } from "./faults.ts";
import type { SnapshotWatch } from "./snapshot-watch.ts";
import { annotations, finalizers, resources } from "./storage-names.ts";
import { annotationOf, isDeleting, removeFinalizer } from "./storage-object.ts";
import type { VolumeSnapshotRecord } from "./volume-store.ts";

export interface SnapshotterOptions {
  readonly api: ClusterApi;
  readonly driver: CsiDriver;
  readonly snapshots: SnapshotWatch;
  readonly logger?: Logger | undefined;
}

export function startSnapshotter(options: SnapshotterOptions): RunningController {
  const { api, driver, snapshots: kinds, logger } = options;
  const events = createEventRecorder(api, { component: `snapshotter ${driver.name}` });
  const subjectOf = (content: StoredObject): string => {
    const ref = content.spec.volumeSnapshotRef;
    return `${ref.namespace}/${ref.name}`;
  };

  const reconcile = async (name: string): Promise<number | undefined> => {
    const content = api.get(resources.contents, "", name);
    if (content?.spec.driver !== driver.name) return undefined;
    if (isToRemove(content)) return remove(content);
    if (content.status?.readyToUse === true && !content.status.error) return undefined;
    const { volumeHandle, snapshotHandle } = content.spec.source;
    if (volumeHandle !== undefined) return cut(content, volumeHandle);
    return snapshotHandle === undefined ? undefined : find(content, snapshotHandle);
  };

  const cut = async (content: StoredObject, volumeHandle: string): Promise<number | undefined> => {
    const { name } = content.metadata;
    // Once cut, it is only waited for.
    const { snapshotHandle } = content.status ?? {};
    if (snapshotHandle !== undefined) return find(content, snapshotHandle);
    if (isDeleting(content)) return undefined;
    setBeingCreated(name, true);
    try {
      const made = await driver.createSnapshot(subjectOf(content), {
        name: nameOf(content),
        volumeHandle,
      });
      const againMs = tell(content, made);
      setBeingCreated(name, false);
      return againMs;
    } catch (error) {
      if (error instanceof PendingError) return error.remainingMs;
      const text = JSON.stringify((error as Error).message);
      refuse(
        content,
        "SnapshotCreationFailed",
        `Failed to create snapshot: failed to take snapshot of the volume ${volumeHandle}: ${text}`,
      );
      throw error;
    }
  };

  const find = async (content: StoredObject, handle: string): Promise<number | undefined> => {
    let made: VolumeSnapshotRecord;
    try {
      made = driver.snapshot(handle);
    } catch (error) {
      refuse(
        content,
        "SnapshotContentCheckandUpdateFailed",
        `Failed to check and update snapshot content: failed to list snapshot for content ${content.metadata.name}: ${JSON.stringify((error as Error).message)}`,
      );
      // The storage forgets nothing by itself: it will not be there later.
      if (isDmError(error, "DM_CSI_SNAPSHOT_NOT_FOUND")) return undefined;
      throw error;
    }
    return tell(content, made);
  };

  /** Writes what the storage has, and answers when to look again. */
  const tell = (content: StoredObject, made: VolumeSnapshotRecord): number | undefined => {
    const untilReadyMs = driver.faults.untilReadyMs(subjectOf(content));
    setStatus(content, {
      snapshotHandle: made.handle,
      creationTime: made.createdAtMs * 1e6,
      restoreSize: made.sizeBytes,
      readyToUse: untilReadyMs === 0,
    });
    return untilReadyMs === 0 ? undefined : untilReadyMs;
  };

  const refuse = (content: StoredObject, reason: string, message: string): void => {
    if (content.status?.error?.message === message) return;
    events.record(content, "Warning", reason, message);
    setStatus(content, {
      ...content.status,
      readyToUse: false,
      error: { message, time: timestamp(api.clock) },
    });
  };

  const setStatus = (content: StoredObject, status: Json): void => {
    const before = content.status ?? {};
    const names = new Set([...Object.keys(before), ...Object.keys(status)]);
    if ([...names].every((name) => before[name] === status[name])) return;
    api.modify(
      resources.contents,
      "",
      content.metadata.name,
      (stored) => {
        if (stored.metadata.uid === content.metadata.uid) stored.status = status;
      },
      { subresource: "status" },
    );
  };

  /** Says to everybody that the storage may have something which the content does not name yet. */
  const setBeingCreated = (name: string, isBeing: boolean): void => {
    const content = api.get(resources.contents, "", name);
    if (!content || (annotationOf(content, annotations.snapshotBeingCreated) === "yes") === isBeing)
      return;
    api.modify(resources.contents, "", name, (stored) => {
      const { [annotations.snapshotBeingCreated]: _, ...rest } = stored.metadata.annotations ?? {};
      stored.metadata.annotations = isBeing
        ? { ...rest, [annotations.snapshotBeingCreated]: "yes" }
        : rest;
    });
  };

  /** Not merely deleted: also no snapshot refers to it any more. */
  const isToRemove = (content: StoredObject): boolean => {
    if (!isDeleting(content)) return false;
    if (content.spec.source.snapshotHandle !== undefined && !content.spec.volumeSnapshotRef.uid)
      return true;
    return annotationOf(content, annotations.snapshotBeingDeleted) !== undefined;
  };

  const remove = async (content: StoredObject): Promise<number | undefined> => {
    // Without a status the storage may have it all the same: it was cut when the process died.
    const handle: string | undefined =
      content.status?.snapshotHandle ??
      content.spec.source.snapshotHandle ??
      driver.snapshots().find((each) => each.name === nameOf(content))?.handle;
    if (content.spec.deletionPolicy === "Delete" && handle !== undefined) {
      try {
        await driver.deleteSnapshot(subjectOf(content), handle);
      } catch (error) {
        events.record(content, "Warning", "SnapshotDeleteError", "Failed to delete snapshot");
        if (error instanceof PendingError) return error.remainingMs;
        throw error;
      }
    }
    const now = api.get(resources.contents, "", content.metadata.name);
    if (now?.metadata.uid === content.metadata.uid)
      removeFinalizer(api, resources.contents, now, finalizers.contentBound);
    return undefined;
  };

  const controller = startController({ name: "snapshotter", api, logger, watches: {}, reconcile });
  const stop = kinds.whenServed(() =>
    controller.watch(resources.contents, ({ object }) => [object.metadata.name]),
  );
  const stopDriver = driver.onChange((what) => {
    if (what !== "faults" || !kinds.exists) return;
    for (const content of api.list(resources.contents))
      if (isDeleting(content) || content.status?.readyToUse !== true)
        controller.enqueue(content.metadata.name);
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

/** As the driver is asked for it: the same for every attempt. */
function nameOf(content: StoredObject): string {
  return `snapshot-${content.spec.volumeSnapshotRef.uid}`;
}
