// What a node agent with the kubelet's directory mounted finds of other pods: the places and the globs of a real node.
import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import {
  createPod,
  logOf,
  openCluster,
  phase,
  shell,
  sleeper,
  until,
  untilPod,
} from "./running-cluster.ts";

it("has volumes under the pods' directories, for files and for devices", async () => {
  const cluster = await openCluster({ csi: { canMount: false } });
  const { api } = cluster;
  api.create("storageclasses.storage.k8s.io", {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "standard" },
    provisioner: "csi.testbed.dm",
  });
  for (const [name, volumeMode] of [
    ["files", "Filesystem"],
    ["disk", "Block"],
  ]) {
    api.create("persistentvolumeclaims", {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: name as string, namespace: "default" },
      spec: {
        storageClassName: "standard",
        volumeMode,
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "1Mi" } },
      },
    });
  }
  createPod(api, "app", {
    volumes: ["files", "disk"].map((name) => ({
      name,
      persistentVolumeClaim: { claimName: name },
    })),
    containers: [
      shell(
        `echo text > /data/file; printf disk | dd of=/dev/xvda conv=notrunc 2>/dev/null; touch /data/done; ${sleeper}`,
        {
          volumeMounts: [{ name: "files", mountPath: "/data" }],
          volumeDevices: [{ name: "disk", devicePath: "/dev/xvda" }],
        },
      ),
    ],
  });
  const app = await untilPod(api, "app", phase("Running"));
  const volumeOf = (name: string): string =>
    api.get("persistentvolumeclaims", "default", name)?.spec.volumeName;
  const root = join(cluster.node("node-1").podsDirectory, app.metadata.uid);
  const device = join(root, "volumeDevices/kubernetes.io~csi", volumeOf("disk"));
  const mount = join(root, "volumes/kubernetes.io~csi", volumeOf("files"), "mount");
  while (!(await readdir(mount)).includes("done"))
    await new Promise((resolve) => setTimeout(resolve, 2));
  expect((await readFile(await readlink(device))).subarray(0, 4).toString()).toBe("disk");

  // The node agent's own view, by a host path; its globs are those of exactly one match.
  createPod(api, "agent", {
    volumes: [{ name: "host-pods", hostPath: { path: "/var/lib/kubelet/pods" } }],
    containers: [
      shell(
        `cd /host_pods/${app.metadata.uid}; cat volumes/*/${volumeOf("files")}/mount/file; ls -d volumeDevices/*/*`,
        {
          volumeMounts: [
            { name: "host-pods", mountPath: "/host_pods", mountPropagation: "HostToContainer" },
          ],
        },
      ),
    ],
  });
  await untilPod(api, "agent", phase("Succeeded"));
  expect(await logOf(cluster, "agent")).toBe(
    `text\nvolumeDevices/kubernetes.io~csi/${volumeOf("disk")}\n`,
  );
  api.delete("pods", "default", "app");
  await until(api, "pods", ({ metadata }, type) => type === "DELETED" && metadata.name === "app");
});

it("has a directory for every running pod, from the beginning", async () => {
  const cluster = await openCluster();
  createPod(cluster.api, "a", { containers: [shell(sleeper)] });
  const { metadata } = await untilPod(cluster.api, "a", phase("Running"));
  expect(await readdir(cluster.node("node-1").podsDirectory)).toEqual([metadata.uid]);
});
