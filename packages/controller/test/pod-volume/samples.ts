/** A pod with volumes of every sort, and the Backup and Restore that take and bring them back. */
import type { Backup, PersistentVolumeClaim, Pod, Restore, Volume } from "@dm/crds";

export const backup: Backup = {
  metadata: {
    name: "fsb",
    namespace: "openshift-adp",
    uid: "2a34a3f8-3208-4115-985c-ff4f23fc2ffa",
  },
  spec: { storageLocation: "dpa-sample-1" },
};

export const restore: Restore = {
  metadata: {
    name: "back",
    namespace: "openshift-adp",
    uid: "5d0a7e44-0d8b-4f43-9c55-6f5a3c0f9a10",
  },
  spec: { backupName: "fsb" },
};

export const claim: PersistentVolumeClaim = {
  metadata: {
    name: "mysql",
    namespace: "mysql-persistent",
    uid: "59eed1ec-dab5-482e-bcd5-1f257320b0d6",
  },
  spec: { volumeName: "pv-mysql" },
};

/** A running pod on node-1 that mounts every volume. */
export function podWith(volumes: readonly Volume[], annotations: Record<string, string> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "mysql-7d9c5b8f6d-x2x4q",
      namespace: "mysql-persistent",
      uid: "1224de40-841f-48b9-bf39-40b037dcb277",
      annotations,
    },
    spec: {
      nodeName: "node-1",
      containers: [
        {
          name: "mysql",
          volumeMounts: volumes.map(({ name }) => ({ name, mountPath: `/${name}` })),
        },
      ],
      volumes: [...volumes],
    },
    status: { phase: "Running" },
  };
}
