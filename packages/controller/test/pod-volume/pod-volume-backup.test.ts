/** A PodVolumeBackup is, member for member, the one that a real Velero server made for the same Backup and pod. */
import { describe, expect, it } from "vitest";
import { newPodVolumeBackup, podVolumeSource } from "../../src/pod-volume/index.ts";
import { backup, claim, podWith } from "./samples.ts";

const data = { name: "mysql-data", persistentVolumeClaim: { claimName: "mysql" } };
const scratch = { name: "scratch", emptyDir: {} };
const pod = podWith([data, scratch]);

describe("newPodVolumeBackup", () => {
  it("is what Velero writes", () => {
    const { name, ...metadata } = newPodVolumeBackup({ backup, pod, volume: data, claim }).metadata;
    expect(name).toMatch(/^fsb-[0-9a-f]{10}$/);
    expect(metadata).toEqual({
      generateName: "fsb-",
      namespace: "openshift-adp",
      labels: {
        "velero.io/backup-name": "fsb",
        "velero.io/backup-uid": "2a34a3f8-3208-4115-985c-ff4f23fc2ffa",
        "velero.io/pvc-uid": "59eed1ec-dab5-482e-bcd5-1f257320b0d6",
      },
      annotations: { "velero.io/pvc-name": "mysql" },
      ownerReferences: [
        {
          apiVersion: "velero.io/v1",
          kind: "Backup",
          name: "fsb",
          uid: "2a34a3f8-3208-4115-985c-ff4f23fc2ffa",
          controller: true,
        },
      ],
    });
    expect(newPodVolumeBackup({ backup, pod, volume: data, claim }).spec).toEqual({
      node: "node-1",
      pod: {
        kind: "Pod",
        namespace: "mysql-persistent",
        name: "mysql-7d9c5b8f6d-x2x4q",
        uid: "1224de40-841f-48b9-bf39-40b037dcb277",
      },
      volume: "mysql-data",
      backupStorageLocation: "dpa-sample-1",
      repoIdentifier: "",
      uploaderType: "kopia",
      tags: {
        backup: "fsb",
        "backup-uid": "2a34a3f8-3208-4115-985c-ff4f23fc2ffa",
        ns: "mysql-persistent",
        pod: "mysql-7d9c5b8f6d-x2x4q",
        "pod-uid": "1224de40-841f-48b9-bf39-40b037dcb277",
        "pvc-uid": "59eed1ec-dab5-482e-bcd5-1f257320b0d6",
        volume: "mysql-data",
      },
    });
  });

  it("says nothing of a claim where there is none", () => {
    const { metadata, spec } = newPodVolumeBackup({ backup, pod, volume: scratch });
    expect(metadata.annotations).toBeUndefined();
    expect(metadata.labels).not.toHaveProperty("velero.io/pvc-uid");
    expect(spec.tags).not.toHaveProperty("pvc-uid");
  });

  it("has one name for one volume of one pod and Backup", () => {
    const name = (options: Partial<Parameters<typeof newPodVolumeBackup>[0]> = {}) =>
      newPodVolumeBackup({ backup, pod, volume: data, ...options }).metadata.name;
    const other = { ...backup, metadata: { ...backup.metadata, uid: "another" } };
    expect(name()).toBe(name({ location: "elsewhere", claim }));
    expect(new Set([name(), name({ volume: scratch }), name({ backup: other })]).size).toBe(3);
  });

  it("passes the uploader's settings on", () => {
    const spec = { ...backup.spec, uploaderConfig: { parallelFilesUpload: 4 } };
    expect(
      newPodVolumeBackup({ backup: { ...backup, spec }, pod, volume: data }).spec.uploaderSettings,
    ).toEqual({ ParallelFilesUpload: "4" });
  });

  it("keeps snapshots under the claim's name, else the volume's", () => {
    const ofClaim = newPodVolumeBackup({ backup, pod, volume: data, claim });
    expect(podVolumeSource(ofClaim)).toEqual([
      "mysql-persistent",
      "mysql-7d9c5b8f6d-x2x4q",
      "mysql",
    ]);
    const ofVolume = newPodVolumeBackup({ backup, pod, volume: scratch });
    expect(podVolumeSource(ofVolume)[2]).toBe("scratch");
  });
});
