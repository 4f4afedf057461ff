/** Which volumes of a pod come back, and the PodVolumeRestore of each, as Velero's restorer makes it. */
import type { PodVolumeBackup } from "@dm/crds";
import { describe, expect, it } from "vitest";
import {
  backedUpVolumes,
  newPodVolumeBackup,
  podVolumeRestoresFor,
} from "../../src/pod-volume/index.ts";
import { backup, claim, podWith, restore } from "./samples.ts";

const data = { name: "data", persistentVolumeClaim: { claimName: "mysql" } };
const source = podWith([data, { name: "scratch", emptyDir: {} }]);
const pod = { ...source, metadata: { ...source.metadata, namespace: "copy", uid: "new-pod" } };
const sourceNamespace = "mysql-persistent";
const snapshotID = "217bdd57744d99136f34046e84d1f1fc";

function backedUp(volume = data, part: Partial<PodVolumeBackup["spec"]> = {}): PodVolumeBackup {
  const made = newPodVolumeBackup({ backup, pod: source, volume, claim });
  const progress = { totalBytes: 422_370, bytesDone: 422_370 };
  return {
    ...made,
    spec: { ...made.spec, ...part },
    status: { phase: "Completed", snapshotID, progress },
  };
}

describe("podVolumeRestoresFor", () => {
  it("makes what Velero makes, for the pod as it was created", () => {
    const claims = new Map([["mysql", { ...claim, metadata: { ...claim.metadata, uid: "c2" } }]]);
    const options = { sourceNamespace, location: "dpa-sample-1", claims };
    const [made, ...more] = podVolumeRestoresFor(restore, pod, [backedUp()], options);
    expect(more).toEqual([]);
    expect(made?.metadata.name).toMatch(/^back-[0-9a-f]{10}$/);
    const { name: _, ...metadata } = made?.metadata ?? {};
    expect(metadata).toEqual({
      generateName: "back-",
      namespace: "openshift-adp",
      labels: {
        "velero.io/restore-name": "back",
        "velero.io/restore-uid": restore.metadata.uid,
        "velero.io/pod-uid": "new-pod",
        "velero.io/pvc-uid": "c2",
      },
      ownerReferences: [
        {
          apiVersion: "velero.io/v1",
          kind: "Restore",
          name: "back",
          uid: restore.metadata.uid,
          controller: true,
        },
      ],
    });
    expect(made?.spec).toEqual({
      pod: { kind: "Pod", namespace: "copy", name: source.metadata.name, uid: "new-pod" },
      volume: "data",
      backupStorageLocation: "dpa-sample-1",
      repoIdentifier: "",
      uploaderType: "kopia",
      snapshotID,
      snapshotSize: 422_370,
      sourceNamespace,
    });
  });

  it("passes the uploader's settings on", () => {
    const options = { sourceNamespace, location: "l" };
    const settings = (uploaderConfig: object) =>
      podVolumeRestoresFor(
        { ...restore, spec: { ...restore.spec, uploaderConfig } },
        pod,
        [backedUp()],
        options,
      )[0]?.spec.uploaderSettings;
    expect(settings({})).toEqual({ WriteSparseFiles: "false" });
    expect(settings({ writeSparseFiles: true, parallelFilesDownload: 3 })).toEqual({
      WriteSparseFiles: "true",
      ParallelFilesDownload: "3",
    });
  });
});

describe("backedUpVolumes", () => {
  const volumes = (...all: PodVolumeBackup[]) => backedUpVolumes(pod, all, sourceNamespace);

  it("takes those of this pod that have a snapshot", () => {
    const other = backedUp(data, { pod: { ...backedUp().spec.pod, name: "another" } });
    const elsewhere = backedUp(data, { pod: { ...backedUp().spec.pod, namespace: "copy" } });
    const failed = { ...backedUp(), status: { phase: "Failed" as const } };
    expect(volumes(other, elsewhere, failed).restorable).toEqual([]);
    expect(volumes(failed, backedUp()).restorable).toEqual([backedUp()]);
  });

  it("leaves out what the kubelet fills", () => {
    const projected = { ...pod, spec: { ...pod.spec, volumes: [{ name: "data", projected: {} }] } };
    expect(backedUpVolumes(projected, [backedUp()], sourceNamespace).restorable).toEqual([]);
  });

  it("refuses what restic stored, and says what to do", () => {
    const { refused, restorable } = volumes(backedUp(data, { uploaderType: "restic" }));
    expect(restorable).toEqual([]);
    expect(refused).toHaveLength(1);
    expect(refused[0]?.volume).toBe("data");
    expect(refused[0]?.reason).toMatch(/restic.*only kopia can be restored.*back it up again/);
  });

  it("counts no uploader as kopia", () => {
    expect(volumes(backedUp(data, { uploaderType: "" })).restorable).toHaveLength(1);
  });
});
