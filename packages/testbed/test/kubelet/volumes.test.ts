// Volumes are where a real kubelet has them, filled as the pod says, kept up to date, and taken away after the pod: also by a
// kubelet that was not there when they were made.
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Cluster } from "../../src/cluster.ts";
import type { Json, StoredObject } from "../../src/kube-object.ts";
import { writePayload } from "../../src/kubelet/payload-files.ts";
import { podDirectory } from "../../src/kubelet/pod-directory.ts";
import { PodVolumes } from "../../src/kubelet/pod-volumes.ts";
import type {
  PublishRequest,
  VolumeDriver,
  VolumeTarget,
} from "../../src/kubelet/volume-driver.ts";
import {
  containerOf,
  createPod,
  logOf,
  openCluster,
  phase,
  shell,
  sleeper,
  untilPod,
} from "./running-cluster.ts";

const object = (kind: string, name: string, rest: object): StoredObject => ({
  apiVersion: "v1",
  kind,
  metadata: {
    name,
    namespace: "default",
    uid: `uid-${name}`,
    resourceVersion: "1",
    creationTimestamp: "",
  },
  ...rest,
});

const create = (
  cluster: Cluster,
  resource: string,
  kind: string,
  name: string,
  rest: object,
): void => {
  cluster.api.create(resource, {
    apiVersion: "v1",
    kind,
    metadata: { name, namespace: "default" },
    ...rest,
  });
};

const mountAll = (volumes: readonly { name: string }[]): object => ({
  volumeMounts: volumes.map(({ name }) => ({ name, mountPath: `/mnt/${name}` })),
});

it("fills Secrets, ConfigMaps, downward API and projections", async () => {
  const cluster = await openCluster();
  create(cluster, "secrets", "Secret", "s", { stringData: { user: "u", password: "p" } });
  create(cluster, "configmaps", "ConfigMap", "c", {
    data: { "a.txt": "A" },
    binaryData: { b: Buffer.from([0, 255]).toString("base64") },
  });
  const volumes = [
    { name: "all", secret: { secretName: "s", defaultMode: 0o400 } },
    { name: "some", secret: { secretName: "s", items: [{ key: "user", path: "deep/name" }] } },
    { name: "map", configMap: { name: "c" } },
    { name: "optional", configMap: { name: "none", optional: true } },
    {
      name: "down",
      downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] },
    },
    {
      name: "projected",
      projected: {
        sources: [
          { secret: { name: "s", items: [{ key: "password", path: "pw" }] } },
          { configMap: { name: "c" } },
          { serviceAccountToken: { path: "token" } },
        ],
      },
    },
    { name: "host", hostPath: { path: "/etc/x", type: "DirectoryOrCreate" } },
  ];
  await mkdir(cluster.node("node-1").hostPath("/etc/x"), { recursive: true });
  await writeFile(cluster.node("node-1").hostPath("/etc/x/f"), "node-1");
  const script = `cd /mnt/all && cat user password && cat /mnt/some/deep/name /mnt/map/a.txt &&
    ls /mnt/optional && cat /mnt/down/labels /mnt/projected/pw /mnt/host/f`;
  createPod(cluster.api, "a", { volumes, containers: [shell(script, mountAll(volumes))] });
  const pod = await untilPod(cluster.api, "a", phase("Succeeded"));
  expect(await logOf(cluster, "a")).toBe('upuAapp="a"pnode-1');
  const place = podDirectory(cluster.node("node-1").root, pod);
  const file = place.volume("secret", "all");
  expect((await stat(join(file, "password"))).mode & 0o777).toBe(0o400);
  expect(await readFile(join(place.volume("configmap", "map"), "b"))).toEqual(
    Buffer.from([0, 255]),
  );
  expect((await stat(join(place.volume("projected", "projected"), "token"))).mode & 0o777).toBe(
    0o600,
  );
});

it("brings files up to date while the pod runs", async () => {
  const cluster = await openCluster();
  create(cluster, "configmaps", "ConfigMap", "c", { data: { a: "1", old: "x" } });
  const volumes = [{ name: "map", configMap: { name: "c" } }];
  const script = 'while [ "$(cat /mnt/map/a)" != 2 ]; do sleep 0.01; done; ls /mnt/map';
  createPod(cluster.api, "a", { volumes, containers: [shell(script, mountAll(volumes))] });
  await untilPod(cluster.api, "a", phase("Running"));
  cluster.api.modify("configmaps", "default", "c", (map) => {
    map["data"] = { a: "2" };
  });
  await untilPod(cluster.api, "a", phase("Succeeded"));
  const [last] = (await logOf(cluster, "a")).split("\n").filter((name) => name !== "old");
  expect(last).toBe("a");
});

it("says what is missing, and goes on as soon as it is there", async () => {
  const cluster = await openCluster({
    times: { mountRetryMs: 3_600_000, longestMountRetryMs: 3_600_000 },
  });
  const volumes = [{ name: "s", secret: { secretName: "none" } }];
  createPod(cluster.api, "a", { volumes, containers: [shell("cat /mnt/s/x", mountAll(volumes))] });
  const pod = await untilPod(cluster.api, "a", (one) => containerOf(one) !== undefined);
  expect(containerOf(pod).state.waiting.reason).toBe("ContainerCreating");
  await new Promise((resolve) => setImmediate(resolve));
  const events = cluster.api.list("events").filter((one) => one["reason"] === "FailedMount");
  expect(events).toMatchObject([
    {
      type: "Warning",
      message: 'MountVolume.SetUp failed for volume "s" : secret "none" not found',
    },
  ]);
  create(cluster, "secrets", "Secret", "none", { stringData: { x: "found" } });
  await untilPod(cluster.api, "a", phase("Succeeded"));
  expect(await logOf(cluster, "a")).toBe("found");
});

it("mounts a folder of a volume, and makes it", async () => {
  const cluster = await openCluster();
  const volumes = [{ name: "v", emptyDir: {} }];
  const mounts = {
    volumeMounts: [
      { name: "v", mountPath: "/one", subPath: "a/b" },
      { name: "v", mountPath: "/two", subPathExpr: "$(WHO)" },
      { name: "v", mountPath: "/all" },
    ],
    env: [{ name: "WHO", value: "me" }],
  };
  const script = "echo 1 > /one/x; echo 2 > /two/x; cd /all; cat a/b/x me/x";
  createPod(cluster.api, "a", { volumes, containers: [shell(script, mounts)] });
  createPod(cluster.api, "b", {
    volumes,
    containers: [
      shell("true", { volumeMounts: [{ name: "v", mountPath: "/x", subPath: "../../secret" }] }),
    ],
  });
  await untilPod(cluster.api, "a", phase("Succeeded"));
  expect(await logOf(cluster, "a")).toBe("1\n2\n");
  const refused = await untilPod(
    cluster.api,
    "b",
    (pod) => containerOf(pod)?.state.waiting?.reason === "CreateContainerConfigError",
  );
  expect(containerOf(refused).state.waiting.message).toContain('must not contain ".."');
});

it("replaces files as a whole, and removes what is not wanted any more", async () => {
  const cluster = await openCluster({ nodes: 0 });
  const directory = join(cluster.directory, "payload");
  await writePayload(
    directory,
    new Map([
      ["a", "1"],
      ["d/b", "2"],
      ["../out", "x"],
    ]),
    0o640,
  );
  expect(await readFile(join(directory, "d/b"), "utf8")).toBe("2");
  const before = await stat(join(directory, "a"));
  await writePayload(
    directory,
    new Map([
      ["a", "1"],
      ["c", "3"],
    ]),
    0o640,
  );
  expect((await stat(join(directory, "a"))).ino).toBe(before.ino);
  expect((await readdir(directory, { recursive: true })).sort()).toEqual(["a", "c", "d"]);
  expect(await readdir(cluster.directory)).not.toContain("out");
});

/** Volumes are folders and files of the test, and targets symbolic links to them. */
class FakeDriver implements VolumeDriver {
  readonly calls: string[] = [];
  readonly requests: PublishRequest[] = [];
  refuse: string | undefined;
  readonly #root: string;
  constructor(root: string) {
    this.#root = root;
  }
  async publish(request: PublishRequest): Promise<{ path: string }> {
    this.calls.push(`publish ${request.volumeName}`);
    this.requests.push(request);
    if (this.refuse !== undefined) throw new Error(this.refuse);
    const path = join(this.#root, request.volumeName);
    if (request.volumeMode === "Filesystem") await mkdir(path, { recursive: true });
    else await writeFile(path, "block");
    await rm(request.targetPath, { force: true });
    await symlink(path, request.targetPath);
    return { path };
  }
  async unpublish(target: VolumeTarget): Promise<void> {
    this.calls.push(`unpublish ${target.volumeName}`);
    await rm(target.targetPath, { force: true });
  }
}

const claims: Record<string, StoredObject> = Object.fromEntries(
  [
    object("PersistentVolumeClaim", "files", {
      spec: { volumeName: "pv-files", accessModes: ["ReadWriteOnce"] },
      status: { phase: "Bound" },
    }),
    object("PersistentVolumeClaim", "block", {
      spec: { volumeName: "pv-block", volumeMode: "Block", accessModes: ["ReadOnlyMany"] },
      status: { phase: "Bound" },
    }),
    object("PersistentVolumeClaim", "pending", { spec: {}, status: { phase: "Pending" } }),
    object("PersistentVolumeClaim", "local", {
      spec: { volumeName: "pv-local" },
      status: { phase: "Bound" },
    }),
  ].map((claim) => [claim.metadata.name, claim]),
);
const volumes: Record<string, StoredObject> = {
  "pv-files": object("PersistentVolume", "pv-files", { spec: { csi: { driver: "x" } } }),
  "pv-block": object("PersistentVolume", "pv-block", { spec: { csi: { driver: "x" } } }),
  "pv-local": object("PersistentVolume", "pv-local", { spec: { local: { path: "/disks/1" } } }),
};

async function claimWorld(names: readonly string[]) {
  const cluster = await openCluster({ nodes: 0 });
  const nodeRoot = join(cluster.directory, "node");
  const driver = new FakeDriver(join(cluster.directory, "disks"));
  await mkdir(join(cluster.directory, "disks"));
  const pod = object("Pod", "a", {
    spec: {
      volumes: names.map((name) => ({ name, persistentVolumeClaim: { claimName: name } })),
    },
  });
  const directory = podDirectory(nodeRoot, pod);
  const api = {
    ...cluster.api,
    get: (resource: string, _namespace: string, name: string): Json =>
      resource === "persistentvolumeclaims" ? claims[name] : volumes[name],
  };
  const open = (): PodVolumes =>
    new PodVolumes({ api, nodeName: "node-1", nodeRoot, driver, directory });
  return { driver, pod, directory, nodeRoot, open };
}

const never = new AbortController().signal;

it("asks the driver for files and devices at the places where hosts look for them", async () => {
  const { driver, pod, directory, open } = await claimWorld(["files", "block"]);
  const mounted = await open().mount(pod, never);
  expect(driver.requests).toMatchObject([
    {
      volumeName: "pv-files",
      volumeMode: "Filesystem",
      readOnly: false,
      nodeName: "node-1",
      podUid: "uid-a",
      targetPath: `${directory.root}/volumes/kubernetes.io~csi/pv-files/mount`,
    },
    {
      volumeName: "pv-block",
      volumeMode: "Block",
      readOnly: true,
      targetPath: `${directory.root}/volumeDevices/kubernetes.io~csi/pv-block`,
    },
  ]);
  expect(mounted.get("files")).toMatchObject({ volumeName: "pv-files", readOnly: false });
  expect(await readFile(directory.device("pv-block"), "utf8")).toBe("block");
});

it("takes away what was published, also after a crash", async () => {
  const { driver, pod, open, directory } = await claimWorld(["files", "block"]);
  await open().mount(pod, never);
  driver.calls.length = 0;
  // Another kubelet, which knows only what is on the disk.
  const volumesAfter = open();
  await volumesAfter.unmount();
  expect(driver.calls).toEqual(["unpublish pv-files", "unpublish pv-block"]);
  expect(await readdir(directory.root)).toEqual(["volumes"]);
  await volumesAfter.unmount();
  expect(driver.calls).toHaveLength(2);
});

it("takes away what may have been published by a call that failed", async () => {
  const { driver, pod, open } = await claimWorld(["block"]);
  driver.refuse = "no space";
  const one = open();
  await expect(one.mount(pod, never)).rejects.toMatchObject({
    code: "DM_VOLUME_MOUNT",
    reason: "FailedMapVolume",
    message: 'MapVolume.SetUpDevice failed for volume "pv-block" : no space',
  });
  await one.unmount();
  expect(driver.calls).toEqual(["publish pv-block", "unpublish pv-block"]);
});

it("refuses claims that are not bound, and uses local volumes of the node", async () => {
  const pending = await claimWorld(["pending"]);
  await expect(pending.open().mount(pending.pod, never)).rejects.toThrow(
    "PVC default/pending is not bound",
  );
  const none = await claimWorld(["none"]);
  await expect(none.open().mount(none.pod, never)).rejects.toThrow(
    'persistentvolumeclaim "none" not found',
  );
  const local = await claimWorld(["local"]);
  const mounted = await local.open().mount(local.pod, never);
  expect(mounted.get("local")?.hostPath).toBe(`${local.nodeRoot}/disks/1`);
  expect(local.driver.calls).toEqual([]);
});

it("clears away what a kubelet left that is no more", async () => {
  const cluster = await openCluster();
  const node = cluster.node("node-1");
  createPod(cluster.api, "a", { containers: [shell(sleeper)] });
  const { metadata } = await untilPod(cluster.api, "a", phase("Running"));
  await node.stopKubelet();
  cluster.api.delete("pods", "default", "a", { gracePeriodSeconds: 0 });
  expect(await readdir(node.podsDirectory)).toEqual([metadata.uid]);
  await node.start();
  expect(await readdir(node.podsDirectory)).toEqual([]);
  expect(node.runtime.podUids().size).toBe(0);
});
