// Exposing a volume that a pod has mounted, on the embedded API server and a directory laid out as a kubelet does: which directory
// the hosting pod gets, whose pods and volumes are refused, and that nothing but the hosting pod is made and removed.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manualClock } from "@dm/core";
import {
  crdManifests,
  type PodVolumeBackup,
  type PodVolumeRestore,
  podVolumeBackups,
  podVolumeRestores,
} from "@dm/crds";
import { type ApiServer, createApiServer, type NewObject, type StoredObject } from "@dm/testbed";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Exposer } from "../../src/expose/exposer.ts";
import type { ExposerContext } from "../../src/expose/exposer-context.ts";
import { hostPods } from "../../src/expose/host-path.ts";
import { hostingTemplateOf } from "../../src/expose/hosting-template.ts";
import { podVolumeExposer } from "../../src/expose/pod-volume-exposer.ts";
import { withRestoreWait } from "../../src/pod-volume/index.ts";
import { clusterClient } from "./cluster-client.ts";
import { namespace, nodeAgent } from "./samples.ts";
import { stored } from "./world.ts";

let server: ApiServer;
let root: string;
let context: ExposerContext;
beforeEach(async () => {
  const clock = manualClock(0n);
  server = await createApiServer({ clock, tls: false });
  root = await mkdtemp(join(tmpdir(), "dm-pods-"));
  const kinds = ["PodVolumeBackup", "PodVolumeRestore"];
  for (const crd of crdManifests({ kinds }))
    make("customresourcedefinitions.apiextensions.k8s.io", crd);
  for (const name of [namespace, "shop"])
    make("namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  context = {
    client: clusterClient(server.cluster),
    clock,
    namespace,
    template: hostingTemplateOf(nodeAgent),
    findHostPath: hostPods(root, "/var/lib/kubelet/pods"),
  };
});
afterEach(async () => {
  await server.close();
  await rm(root, { recursive: true });
});

const make = (resource: string, object: object): StoredObject =>
  server.cluster.create(resource, object as NewObject);

interface ClientOptions {
  readonly volume?: object;
  readonly claim?: object;
  readonly bound?: object;
  readonly waits?: "running" | "done";
}

/** A pod `shop/db-0` on node-1 with one volume, and its uid. */
function client({ volume = { emptyDir: {} }, claim, bound, waits }: ClientOptions = {}): string {
  if (claim)
    make("persistentvolumeclaims", {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { namespace: "shop", name: "db" },
      spec: {
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "1Gi" } },
        ...claim,
      },
    });
  if (bound)
    make("persistentvolumes", {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: "pv-1" },
      spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], ...bound },
    });
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: "shop", name: "db-0" },
    spec: {
      nodeName: "node-1",
      containers: [
        { name: "db", image: "db:1", volumeMounts: [{ name: "data", mountPath: "/d" }] },
      ],
      volumes: [{ name: "data", ...volume }],
    },
  };
  const { uid } = make(
    "pods",
    waits ? withRestoreWait(pod as never, "r-1", ["data"], { image: "dm:1" }) : pod,
  ).metadata;
  setState(waits);
  return uid;
}

function setState(waits?: "running" | "done"): void {
  const state = waits === "done" ? { terminated: { exitCode: 0 } } : { running: {} };
  const container = { name: "restore-wait", image: "", imageID: "", ready: false, restartCount: 0 };
  server.cluster.modify(
    "pods",
    "shop",
    "db-0",
    (object) => {
      object["status"] = waits
        ? { phase: "Pending", initContainerStatuses: [{ ...container, state }] }
        : { phase: "Running" };
    },
    { subresource: "status" },
  );
}

const specOf = (uid: string, volume: string) => ({
  backupStorageLocation: "default",
  repoIdentifier: "",
  pod: { kind: "Pod", namespace: "shop", name: "db-0", uid },
  volume,
});

function backupOf(uid: string, volume = "data"): Exposer {
  const object: PodVolumeBackup = {
    apiVersion: "velero.io/v1",
    kind: "PodVolumeBackup",
    metadata: { name: "fsb-1", namespace },
    spec: { ...specOf(uid, volume), node: "node-1" },
  };
  const made = stored(server.cluster, podVolumeBackups, object);
  return podVolumeExposer(context, podVolumeBackups, made);
}

function restoreOf(uid: string): Exposer {
  const object: PodVolumeRestore = {
    apiVersion: "velero.io/v1",
    kind: "PodVolumeRestore",
    metadata: { name: "fsb-1", namespace },
    spec: { ...specOf(uid, "data"), snapshotID: "s", sourceNamespace: "shop" },
  };
  const made = stored(server.cluster, podVolumeRestores, object);
  return podVolumeExposer(context, podVolumeRestores, made);
}

const layOut = (uid: string, path: string) => mkdir(join(root, uid, path), { recursive: true });
const hosting = () => server.cluster.get("pods", namespace, "fsb-1");
const hostPathOfPod = () => hosting()?.spec.volumes.at(-1).hostPath.path;

describe("a backup", () => {
  it.each<[string, ClientOptions, string]>([
    ["an emptyDir", {}, "volumes/kubernetes.io~empty-dir/data"],
    [
      "a claim of a CSI driver",
      {
        volume: { persistentVolumeClaim: { claimName: "db" } },
        claim: { volumeName: "pv-1" },
        bound: { csi: { driver: "d", volumeHandle: "h" } },
      },
      "volumes/kubernetes.io~csi/pv-1/mount",
    ],
    [
      "a claim of a local volume",
      {
        volume: { persistentVolumeClaim: { claimName: "db" } },
        claim: { volumeName: "pv-1" },
        bound: { local: { path: "/x" } },
      },
      "volumes/kubernetes.io~local-volume/pv-1",
    ],
    [
      "an inline volume of a CSI driver",
      { volume: { csi: { driver: "d" } } },
      "volumes/kubernetes.io~csi/data/mount",
    ],
  ])("of %s has its directory on the pod's node", async (_what, options, path) => {
    const uid = client(options);
    await layOut(uid, path);
    const exposer = backupOf(uid);
    expect(await exposer.expose()).toEqual({ done: true });
    expect(hostPathOfPod()).toBe(`/var/lib/kubelet/pods/${uid}/${path}`);
    expect(hosting()?.spec.nodeName).toBe("node-1");
    const before = hosting()?.metadata.uid;
    expect(await exposer.expose()).toEqual({ done: true });
    expect(hosting()?.metadata.uid).toBe(before);
  });

  it("of a static pod is found under the uid that its kubelet knows", async () => {
    const staticUid = "0123456789abcdef0123456789abcdef";
    const uid = client();
    server.cluster.modify("pods", "shop", "db-0", ({ metadata }) => {
      metadata.annotations = { "kubernetes.io/config.mirror": staticUid };
    });
    await layOut(staticUid, "volumes/kubernetes.io~empty-dir/data");
    await backupOf(uid).expose();
    expect(hostPathOfPod()).toContain(`/${staticUid}/`);
  });

  it("is exposed while its pod runs, and leaves nothing", async () => {
    const uid = client();
    await layOut(uid, "volumes/kubernetes.io~empty-dir/data");
    const exposer = backupOf(uid);
    expect(await exposer.exposed()).toBeUndefined();
    await exposer.expose();
    const status = { phase: "Running" };
    server.cluster.modify(
      "pods",
      namespace,
      "fsb-1",
      (object) => Object.assign(object, { status }),
      {
        subresource: "status",
      },
    );
    const owner = server.cluster.get("podvolumebackups.velero.io", namespace, "fsb-1");
    expect(await exposer.exposed()).toEqual({
      podName: "fsb-1",
      nodeName: "node-1",
      nodeOS: "linux",
      path: `/${owner?.metadata.uid}`,
      volumeMode: "Filesystem",
    });
    expect(await exposer.diagnose()).toMatch(
      /^begin diagnose pod volume exposer\nPod velero\/fsb-1/,
    );
    expect(await exposer.diagnose()).not.toContain("PVC");
    await exposer.cleanUp();
    expect(server.cluster.list("pods").map(({ metadata }) => metadata.name)).toEqual(["db-0"]);
    expect(server.cluster.list("persistentvolumeclaims")).toEqual([]);
  });

  it("refuses a pod that is gone, over, or another one of its name", async () => {
    const uid = client();
    const gone = { code: "DM_EXPOSE_CLIENT_POD_NOT_FOUND" };
    await expect(backupOf("another").expose()).rejects.toMatchObject(gone);
    server.cluster.delete("podvolumebackups.velero.io", namespace, "fsb-1");
    const exposer = backupOf(uid);
    server.cluster.modify(
      "pods",
      "shop",
      "db-0",
      (object) => {
        object["status"] = { phase: "Succeeded" };
      },
      { subresource: "status" },
    );
    await expect(exposer.expose()).rejects.toMatchObject(gone);
    expect(hosting()).toBeUndefined();
  });

  it.each<[string, ClientOptions, string]>([
    ["a directory of the node", { volume: { hostPath: { path: "/x" } } }, "UNSUPPORTED"],
    [
      "a block volume",
      {
        volume: { persistentVolumeClaim: { claimName: "db" } },
        claim: { volumeName: "pv-1", volumeMode: "Block" },
        bound: { csi: { driver: "d", volumeHandle: "h" }, volumeMode: "Block" },
      },
      "UNSUPPORTED",
    ],
    [
      "a claim on a directory of the node",
      {
        volume: { persistentVolumeClaim: { claimName: "db" } },
        claim: { volumeName: "pv-1" },
        bound: { hostPath: { path: "/x" } },
      },
      "UNSUPPORTED",
    ],
    [
      "a claim that is not bound",
      { volume: { persistentVolumeClaim: { claimName: "db" } }, claim: {} },
      "NOT_FOUND",
    ],
  ])("refuses %s", async (_what, options, end) => {
    const exposer = backupOf(client(options));
    const code = `DM_EXPOSE_CLIENT_VOLUME_${end}`;
    await expect(exposer.expose()).rejects.toMatchObject({ code });
  });

  it("refuses a volume that the pod does not have, and one that is not mounted here", async () => {
    const uid = client();
    const code = "DM_EXPOSE_CLIENT_VOLUME_NOT_FOUND";
    await expect(backupOf(uid, "other").expose()).rejects.toMatchObject({ code });
    server.cluster.delete("podvolumebackups.velero.io", namespace, "fsb-1");
    await expect(backupOf(uid).expose()).rejects.toMatchObject({ code: "DM_HOST_PATH_NOT_FOUND" });
  });
});

describe("a restore", () => {
  it("has the directory of a pod that waits for its files", async () => {
    const uid = client({ waits: "running" });
    await layOut(uid, "volumes/kubernetes.io~empty-dir/data");
    expect(await restoreOf(uid).expose()).toEqual({ done: true });
    expect(hosting()?.spec.containers[0].args).toContain("--pod-volume-restore=fsb-1");
  });

  it("refuses a pod that runs: it uses what would be written", async () => {
    const uid = client({ waits: "done" });
    await layOut(uid, "volumes/kubernetes.io~empty-dir/data");
    const code = "DM_EXPOSE_CLIENT_POD_STARTED";
    await expect(restoreOf(uid).expose()).rejects.toMatchObject({ code });
    expect(hosting()).toBeUndefined();
  });
});
