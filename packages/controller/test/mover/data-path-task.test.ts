/** Each kind asks for the same things in fields of its own. */
import type { PodVolumeBackup } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { backupTask, restoreTask, taskOf } from "../../src/mover/data-path-task.ts";
import { snapshotID, transferObject } from "../node-agent/objects.ts";

describe("a backup", () => {
  it("of a claim", () => {
    expect(backupTask("DataUpload", transferObject("DataUpload"))).toEqual({
      backupStorageLocation: "default",
      sourceNamespace: "app",
      config: {},
      requester: "snapshot-data-upload-download",
      volume: ["app", "data"],
      tags: {},
      operation: { id: "uid-1", startedAtNs: 0n },
    });
  });

  it("of a pod's volume, under the claim's name if it has one", () => {
    const object = transferObject("PodVolumeBackup") as PodVolumeBackup;
    object.spec.tags = { pod: "db-0" };
    object.spec.uploaderSettings = { ParallelFilesUpload: "3" };
    const task = {
      backupStorageLocation: "default",
      sourceNamespace: "app",
      config: { ParallelFilesUpload: "3" },
      requester: "snapshot-pod-volume",
      volume: ["app", "db-0", "data"],
      tags: { pod: "db-0" },
      operation: { id: "uid-1", startedAtNs: 0n },
    };
    expect(backupTask("PodVolumeBackup", object)).toEqual(task);
    object.metadata.annotations = { "velero.io/pvc-name": "claim" };
    const volume = ["app", "db-0", "claim"];
    expect(backupTask("PodVolumeBackup", object)).toEqual({ ...task, volume });
  });

  it("goes by its operation's id, and not by an older one's", () => {
    const object = transferObject("DataUpload");
    object.metadata.labels = { "velero.io/async-operation-id": "du-1" };
    const { operation } = backupTask("DataUpload", object);
    const createdMs = Date.parse(object.metadata.creationTimestamp ?? "");
    expect(operation).toEqual({ id: "du-1", startedAtNs: BigInt(createdMs) * 1_000_000n });
  });
});

describe("a restore", () => {
  it("into a claim", () => {
    expect(restoreTask("DataDownload", transferObject("DataDownload"))).toEqual({
      backupStorageLocation: "default",
      sourceNamespace: "app",
      config: {},
      snapshotID,
      snapshotSize: 0,
    });
  });

  it("into a pod's volume marks it for the Restore that owns it", () => {
    const object = transferObject("PodVolumeRestore");
    expect(restoreTask("PodVolumeRestore", object).doneFor).toBeUndefined();
    object.metadata.labels = { "velero.io/restore-uid": "r-label" };
    expect(restoreTask("PodVolumeRestore", object).doneFor).toBe("r-label");
    object.metadata.ownerReferences = [
      { apiVersion: "velero.io/v1", kind: "Restore", name: "r", uid: "r-1" },
    ];
    expect(restoreTask("PodVolumeRestore", object)).toMatchObject({ doneFor: "r-1", snapshotID });
    // Nobody waits for the mark of a DataDownload.
    expect(restoreTask("DataDownload", transferObject("DataDownload"))).not.toHaveProperty(
      "doneFor",
    );
  });

  it("reads the repository of the namespace that was backed up", () => {
    expect(taskOf("PodVolumeRestore", transferObject("PodVolumeRestore"))).toEqual({
      backupStorageLocation: "default",
      sourceNamespace: "app",
      config: {},
    });
  });
});
