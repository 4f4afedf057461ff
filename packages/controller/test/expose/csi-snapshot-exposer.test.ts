// Exposing a volume snapshot, on the embedded API server with a storage that is steered: which objects there are after each call,
// what the storage still has, and which text ends it.
import type { DataUpload } from "@dm/crds";
import type { StoredObject } from "@dm/testbed";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { csiSnapshotExposer } from "../../src/expose/csi-snapshot-exposer.ts";
import type { Exposer } from "../../src/expose/exposer.ts";
import type { ExposerContext } from "../../src/expose/exposer-context.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";
import { resourceName } from "./cluster-client.ts";
import { namespace } from "./samples.ts";
import { createWorld, drive, fresh, snapshotGroup, uploadOf, type World } from "./world.ts";

const snapshots = "volumesnapshots.snapshot.storage.k8s.io";
const contents = "volumesnapshotcontents.snapshot.storage.k8s.io";
const claims = "persistentvolumeclaims";

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world[Symbol.asyncDispose]());

function exposerOf(upload: DataUpload, context: Partial<ExposerContext> = {}): Exposer {
  return fresh(() => csiSnapshotExposer({ ...world.context, ...context }, upload));
}

function found(resource: string, name: string, inNamespace = namespace): StoredObject {
  const object = world.api.get(resource, inNamespace, name);
  if (object === undefined) throw new Error(`no ${resource} ${name}`);
  return object;
}

function termsOf(pod: StoredObject) {
  return pod.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
    .nodeSelectorTerms;
}

describe("exposing", () => {
  it("row 11: makes snapshot, content, claim and pod, all named like the DataUpload, the latter two owned", async () => {
    const upload = uploadOf(world);
    await drive(world, exposerOf(upload).expose);
    const name = "backup-1";
    const { uid } = upload.metadata;
    const snapshot = found(snapshots, name);
    const content = found(contents, name, "");
    expect(snapshot.metadata.ownerReferences).toBeUndefined();
    expect(content.metadata.ownerReferences).toBeUndefined();
    expect(snapshot.metadata.annotations?.["note"]).toBe("copied");
    expect(content.spec).toMatchObject({
      deletionPolicy: "Delete",
      driver: "fake",
      source: { snapshotHandle: "snap-2" },
      volumeSnapshotClassName: "snap",
      volumeSnapshotRef: { namespace, name, uid: snapshot.metadata.uid },
    });
    const reference = {
      apiVersion: "velero.io/v2alpha1",
      kind: "DataUpload",
      name,
      uid,
      controller: true,
    };
    const claim = found(claims, name);
    expect(claim.metadata.ownerReferences).toEqual([reference]);
    expect(found("pods", name).metadata.ownerReferences).toEqual([reference]);
    expect(world.csi.storedVolumes.get(world.csi.handleOf(claim))).toBe("data of db");
    expect(world.api.list(snapshots)).toHaveLength(1);
    expect(world.api.list(contents)).toHaveLength(1);
  });

  it("tells where the volume is once the pod runs", async () => {
    const upload = uploadOf(world);
    const exposer = exposerOf(upload);
    expect(await exposer.exposed()).toBeUndefined();
    world.csi.steering.podsStart = false;
    await drive(world, exposer.expose);
    expect(await exposer.exposed()).toBeUndefined();
    world.csi.steering.podsStart = true;
    world.csi.settle();
    expect(await exposer.exposed()).toEqual({
      podName: "backup-1",
      nodeName: "node-1",
      nodeOS: "linux",
      path: `/${upload.metadata.uid}`,
      volumeMode: "Filesystem",
    });
  });

  it.each([
    ["row 12", "Delete", "snap"],
    ["row 13", "Retain", "snap-kept"],
  ])(
    "%s: deletionPolicy %s: the storage keeps the snapshot, and never do two contents have Delete",
    async (_row, policy, snapshotClass) => {
      const upload = uploadOf(world, { snapshotClass });
      const [original] = world.api.list(contents);
      expect(original?.spec.deletionPolicy).toBe(policy);
      const seen: string[] = [];
      const stop = world.api.watch(contents, ({ type, object }) => {
        if (object.metadata.name !== original?.metadata.name) return;
        seen.push(`${type} ${object.spec.deletionPolicy}`);
      });
      const check = () => {
        const policies = world.api.list(contents).map(({ spec }) => spec.deletionPolicy);
        expect(policies.filter((one) => one === "Delete").length).toBeLessThan(2);
        expect(world.csi.storedSnapshots.size).toBe(1);
      };
      await drive(world, exposerOf(upload).expose, { between: check });
      stop();
      if (policy === "Delete") expect(seen).toContain("MODIFIED Retain");
      expect(seen.at(-1)).toBe("DELETED Retain");
      expect([...world.csi.storedSnapshots.values()]).toEqual(["data of db"]);
    },
  );

  it.each([undefined, "0"])(
    "row 14: restoreSize %s: the claim is as large as the source",
    async (restoreSize) => {
      world.csi.steering.restoreSize = restoreSize;
      const upload = uploadOf(world);
      await drive(world, exposerOf(upload).expose);
      expect(found(claims, "backup-1").spec.resources.requests.storage).toBe("2Gi");
    },
  );

  it("takes the size that the snapshot needs, also when its first object is gone", async () => {
    const upload = uploadOf(world);
    await drive(world, exposerOf(upload).expose);
    expect(found(claims, "backup-1").spec.resources.requests.storage).toBe("1Gi");
  });

  it("row 15: has a block volume as a block volume", async () => {
    const upload = uploadOf(world, { claim: { volumeMode: "Block" } });
    await drive(world, exposerOf(upload).expose);
    expect(found(claims, "backup-1").spec.volumeMode).toBe("Block");
    const [container] = found("pods", "backup-1").spec.containers;
    expect(container.volumeDevices).toEqual([
      { name: upload.metadata.uid, devicePath: `/${upload.metadata.uid}` },
    ]);
  });

  it("row 16: follows the configuration of the source's class, and warns where it makes no sense", async () => {
    const warnings: string[] = [];
    const logger = {
      debug() {},
      info() {},
      error() {},
      warn: (text: string) => warnings.push(text),
    };
    const upload = uploadOf(world);
    const backupPVC = { fast: { storageClass: "kept", readOnly: true, spcNoRelabeling: true } };
    await drive(world, exposerOf(upload, { settings: { backupPVC }, logger }).expose);
    const { spec } = found(claims, "backup-1");
    expect(spec).toMatchObject({ storageClassName: "kept", accessModes: ["ReadOnlyMany"] });
    const pod = found("pods", "backup-1").spec;
    expect(pod.securityContext).toEqual({ runAsUser: 0, seLinuxOptions: { type: "spc_t" } });
    expect(pod.containers[0].volumeMounts.at(-1).readOnly).toBe(true);
    expect(warnings).toEqual([]);
    world.api.delete("pods", namespace, "backup-1", { gracePeriodSeconds: 0 });
    const pointless = { backupPVC: { fast: { spcNoRelabeling: true } } };
    await drive(world, exposerOf(upload, { settings: pointless, logger }).expose);
    expect(found("pods", "backup-1").spec.securityContext).toEqual({ runAsUser: 0 });
    expect(warnings).toEqual(["Ignored spcNoRelabeling, which needs readOnly"]);
  });

  it("row 17: keeps the pod where the source's volume can be reached", async () => {
    const upload = uploadOf(world, { claim: { storageClassName: "lazy" } });
    const [volume] = world.api.list("persistentvolumes");
    const zone = { key: "zone", operator: "In", values: ["a"] };
    world.api.modify("persistentvolumes", "", volume?.metadata.name ?? "", (stored) => {
      stored.spec.nodeAffinity = {
        required: { nodeSelectorTerms: [{ matchExpressions: [zone] }] },
      };
    });
    await drive(world, exposerOf(upload).expose);
    expect(termsOf(found("pods", "backup-1"))).toEqual([
      {
        matchExpressions: [
          zone,
          { key: "kubernetes.io/os", operator: "NotIn", values: ["windows"] },
        ],
      },
    ]);
  });

  it.each([
    ["snapshot", snapshots],
    ["content", contents],
  ])(
    "goes on when another process took the %s away after it had looked",
    async (_name, resource) => {
      const upload = uploadOf(world);
      const other = exposerOf(upload);
      let isOvertaken = false;
      const { client } = world.context;
      const slow: KubeClient = {
        ...client,
        async get(kind, key, options) {
          const isIt = resourceName(kind) === resource && key.name !== "backup-1";
          if (isIt && !isOvertaken) {
            isOvertaken = true;
            await drive(world, other.expose);
          }
          return client.get(kind, key, options);
        },
      };
      const exposer = exposerOf(upload, { client: slow });
      expect(await exposer.expose()).toEqual({
        done: false,
        reason: "the snapshot copy backup-1 was made by another",
      });
      await drive(world, exposer.expose);
      expect([...world.csi.storedSnapshots.values()]).toEqual(["data of db"]);
      expect(await exposer.exposed()).toBeDefined();
    },
  );

  it("makes the pod again over the same claim when it was removed", async () => {
    const upload = uploadOf(world);
    const exposer = exposerOf(upload);
    await drive(world, exposer.expose);
    const before = found("pods", "backup-1").metadata.uid;
    const claim = found(claims, "backup-1").metadata.uid;
    // The volume goes on without the source.
    world.api.delete(claims, "shop", "db");
    await drive(world, exposer.removePod);
    expect(world.api.get("pods", namespace, "backup-1")).toBeUndefined();
    await drive(world, exposer.expose);
    expect(found("pods", "backup-1").metadata.uid).not.toBe(before);
    expect(found(claims, "backup-1").metadata.uid).toBe(claim);
  });
});

describe("waiting", () => {
  it("rows 38 and 39: an error of the snapshot is told, and does not end it", async () => {
    Object.assign(world.csi.steering, { snapshotsReady: false, snapshotError: "pool is busy" });
    const upload = uploadOf(world);
    const exposer = exposerOf(upload);
    expect(await exposer.expose()).toEqual({
      done: false,
      reason:
        "wait volume snapshot ready: volume snapshot shop/velero-db-x is not ready, errors: [pool is busy]",
    });
    expect(world.leftovers()).toHaveLength(2);
    world.csi.steering.snapshotsReady = true;
    world.csi.settle();
    await drive(world, exposer.expose);
    expect(await exposer.exposed()).toBeDefined();
  });

  it("row 38: clean-up takes a snapshot that never got ready", async () => {
    world.csi.steering.snapshotsReady = false;
    const upload = uploadOf(world);
    const exposer = exposerOf(upload);
    await exposer.expose();
    await drive(world, exposer.cleanUp);
    expect(world.leftovers()).toEqual([]);
    expect(world.csi.storedSnapshots.size).toBe(0);
  });

  it("row 40: a claim that is never bound can be cleaned up", async () => {
    world.csi.steering.provisions = false;
    const upload = uploadOf(world);
    const exposer = exposerOf(upload);
    await drive(world, exposer.expose);
    expect(await exposer.exposed()).toBeUndefined();
    expect(await exposer.diagnose()).toContain("PVC velero/backup-1, phase Pending, binding to ");
    await drive(world, exposer.cleanUp);
    expect(world.leftovers()).toEqual([]);
    expect(world.csi.storedSnapshots.size).toBe(0);
  });

  it("row 41: an unschedulable pod is waited for", async () => {
    world.csi.steering.node = undefined;
    const upload = uploadOf(world);
    const exposer = exposerOf(upload);
    await drive(world, exposer.expose);
    world.clock.advance(600_000);
    expect(await exposer.unrecoverable()).toBeUndefined();
    expect(await exposer.expose()).toEqual({ done: true });
    world.csi.steering.node = "node-1";
    world.csi.settle();
    expect(await exposer.exposed()).toBeDefined();
  });

  it("row 44: a snapshot that will not go ends it after the operation timeout, finalizers named", async () => {
    const upload = uploadOf(world);
    const exposer = exposerOf(upload);
    world.csi.steering.stuck = new Set(["velero-db-x"]);
    const since = world.clock.nowNs();
    await expect(drive(world, exposer.expose)).rejects.toMatchObject({
      code: "DM_EXPOSE_DELETION_STUCK",
      message:
        "timeout to assure VolumeSnapshot velero-db-x is deleted, finalizers in VS [snapshot.storage.kubernetes.io/volumesnapshot-bound-protection]",
    });
    expect(world.clock.nowNs() - since).toBe(600_000_000_000n);
    await drive(world, exposer.cleanUp);
    expect(world.leftovers()).toEqual([`${snapshots}/velero-db-x`]);
    expect(world.csi.storedSnapshots.size).toBe(0);
  });
});

describe("refusing", () => {
  it("row 25: a source claim that is not there", async () => {
    const upload = uploadOf(world, { spec: { sourcePVC: "gone" } });
    const exposer = exposerOf(upload);
    await expect(exposer.expose()).rejects.toMatchObject({
      code: "DM_EXPOSE_SOURCE_NOT_FOUND",
      message: "failed to get PVC shop/gone",
    });
    world.csi.settle();
    await drive(world, exposer.cleanUp);
    expect(world.leftovers()).toEqual([]);
  });

  it("a volume snapshot that is not there, at once", async () => {
    const upload = uploadOf(world);
    world.api.delete(snapshots, "shop", "velero-db-x");
    world.csi.settle();
    await expect(exposerOf(upload).expose()).rejects.toMatchObject({
      code: "DM_EXPOSE_SNAPSHOT_NOT_FOUND",
      message: "error wait volume snapshot ready: volume snapshot shop/velero-db-x is not there",
    });
  });

  it("a volume snapshot whose content is not there", async () => {
    const upload = uploadOf(world);
    const [content] = world.api.list(contents);
    world.csi.steering.stuck = new Set(["velero-db-x"]);
    world.api.delete(contents, "", content?.metadata.name ?? "");
    world.api.modify(contents, "", content?.metadata.name ?? "", (stored) => {
      stored.metadata.finalizers = [];
    });
    await expect(exposerOf(upload).expose()).rejects.toMatchObject({
      code: "DM_EXPOSE_CONTENT_NOT_FOUND",
      message: expect.stringMatching(/^error to get volume snapshot content: /),
    });
  });

  it.each([
    ["pods", { containers: [{ name: "a", image: "a" }] }],
    [
      claims,
      {
        accessModes: ["ReadWriteOnce"],
        storageClassName: "none",
        resources: { requests: { storage: "1Gi" } },
      },
    ],
    [snapshots, { source: { volumeSnapshotContentName: "x" } }],
  ])("names that are taken by others' %s, which stay", async (resource, spec) => {
    const upload = uploadOf(world);
    const [apiVersion, kind] =
      resource === snapshots
        ? [snapshotGroup, "VolumeSnapshot"]
        : ["v1", resource === "pods" ? "Pod" : "PersistentVolumeClaim"];
    world.api.create(resource, {
      apiVersion,
      kind,
      metadata: { name: "backup-1", namespace },
      spec,
    });
    const exposer = exposerOf(upload);
    await expect(drive(world, exposer.expose)).rejects.toMatchObject({
      code: "DM_EXPOSE_FOREIGN_OBJECT",
      message: `${kind} velero/backup-1 exists already and does not belong to DataUpload velero/backup-1`,
    });
    await drive(world, exposer.cleanUp);
    expect(world.leftovers()).toEqual([`${resource}/backup-1`]);
    expect(world.csi.storedSnapshots.size).toBe(0);
  });

  it("row 29: a full volume that cannot be relabelled, with the cause and the remedies", async () => {
    world.csi.steering.podsStart = false;
    const upload = uploadOf(world);
    const exposer = exposerOf(upload);
    await drive(world, exposer.expose);
    const { uid } = found("pods", "backup-1").metadata;
    const path = "/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/pvc-1/mount";
    world.api.create("events", {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: "backup-1.1", namespace },
      involvedObject: { kind: "Pod", name: "backup-1", namespace, uid },
      type: "Warning",
      reason: "Failed",
      message: `Error: relabel failed ${path}: lsetxattr ${path}/a: no space left on device`,
    });
    expect(await exposer.unrecoverable()).toBeUndefined();
    await expect(exposer.expose()).rejects.toMatchObject({
      code: "DM_EXPOSE_VOLUME_FULL",
      message:
        "cannot attach snapshot of shop/db: the volume is full and its file system (XFS) has no room for SELinux labels (no space left on device). Enlarge the volume, use ext4, or set backupPVC readOnly with spcNoRelabeling for storage class fast.",
    });
    world.csi.settle();
    await drive(world, exposer.cleanUp);
    expect(world.leftovers()).toEqual([]);
  });

  it.each([
    [
      "row 42",
      {
        phase: "Pending",
        containerStatuses: [{ name: "a", state: { waiting: { reason: "ErrImageNeverPull" } } }],
      },
      "Container a in Pod velero/backup-1 is in pull image failed with reason ErrImageNeverPull",
    ],
    [
      "row 43",
      { phase: "Failed", message: "evicted" },
      "Pod is in abnormal state [Failed], message [evicted/]",
    ],
  ])("%s: a pod that can never start", async (_row, status, text) => {
    world.csi.steering.podsStart = false;
    const upload = uploadOf(world);
    const exposer = exposerOf(upload);
    await drive(world, exposer.expose);
    world.api.modify(
      "pods",
      namespace,
      "backup-1",
      (pod) => {
        pod.status = status;
      },
      { subresource: "status" },
    );
    expect(await exposer.unrecoverable()).toBe(text);
  });
});

describe("clean-up", () => {
  it.each([["snap"], ["snap-kept"]])(
    "leaves nothing, in the cluster or the storage, after class %s",
    async (snapshotClass) => {
      const upload = uploadOf(world, { snapshotClass });
      const exposer = exposerOf(upload);
      await drive(world, exposer.expose);
      await drive(world, exposer.cleanUp);
      expect(world.leftovers()).toEqual([]);
      expect(world.csi.storedSnapshots.size).toBe(0);
      expect([...world.csi.storedVolumes.values()]).toEqual(["data of db"]);
      expect(await exposer.cleanUp()).toEqual({ done: true });
    },
  );

  it.each([["snap"], ["snap-kept"]])(
    "takes a snapshot of class %s that was never exposed",
    async (snapshotClass) => {
      const upload = uploadOf(world, { snapshotClass });
      await drive(world, exposerOf(upload).cleanUp);
      expect(world.leftovers()).toEqual([]);
      expect(world.csi.storedSnapshots.size).toBe(0);
    },
  );

  it("takes a copy that no controller has seen yet", async () => {
    const upload = uploadOf(world);
    const exposer = exposerOf(upload);
    await exposer.expose();
    expect(found(snapshots, "backup-1").metadata.finalizers).toBeUndefined();
    expect(await exposer.cleanUp()).toEqual({
      done: false,
      reason: "the snapshot controller has not seen VolumeSnapshot velero/backup-1",
    });
    expect(world.csi.storedSnapshots.size).toBe(1);
    world.csi.settle();
    await drive(world, exposer.cleanUp);
    expect(world.leftovers()).toEqual([]);
    expect(world.csi.storedSnapshots.size).toBe(0);
  });

  it("does without a snapshot controller after a minute", async () => {
    const upload = uploadOf(world);
    const exposer = exposerOf(upload);
    await exposer.expose();
    world.clock.advance(60_000);
    expect(await exposer.cleanUp()).toEqual({ done: true });
    expect(world.api.get(snapshots, namespace, "backup-1")).toBeUndefined();
    expect(world.api.get(contents, "", "backup-1")).toBeUndefined();
  });

  it("removes a volume whose class retains it", async () => {
    const upload = uploadOf(world, { claim: { storageClassName: "kept" } });
    const exposer = exposerOf(upload);
    await drive(world, exposer.expose);
    await drive(world, exposer.cleanUp);
    expect(world.leftovers()).toEqual([]);
  });

  it("keeps the storage's snapshot until the volume made of it is gone, for a minute at most", async () => {
    const upload = uploadOf(world);
    const exposer = exposerOf(upload);
    await drive(world, exposer.expose);
    const volume: string = found(claims, "backup-1").spec.volumeName;
    world.csi.steering.stuck = new Set([volume]);
    const since = world.clock.nowNs();
    await drive(world, exposer.cleanUp, {
      between: () => {
        const passed = Number(world.clock.nowNs() - since) / 1e6;
        if (passed < 60_000) expect(world.csi.storedSnapshots.size).toBe(1);
      },
    });
    expect(world.leftovers()).toEqual([`persistentvolumes/${volume}`]);
    expect(world.csi.storedSnapshots.size).toBe(0);
  });

  it("leaves a younger snapshot under the first one's name alone", async () => {
    const upload = uploadOf(world);
    const exposer = exposerOf(upload);
    await drive(world, exposer.expose);
    world.clock.advance(5000);
    const renew = () =>
      world.api.create(snapshots, {
        apiVersion: snapshotGroup,
        kind: "VolumeSnapshot",
        metadata: { namespace: "shop", name: "velero-db-x" },
        spec: { source: { persistentVolumeClaimName: "db" }, volumeSnapshotClassName: "snap" },
      });
    const { uid } = renew().metadata;
    world.csi.settle();
    await drive(world, exposer.cleanUp);
    await drive(world, exposer.cleanUp);
    expect(found(snapshots, "velero-db-x", "shop").metadata.uid).toBe(uid);
    expect(world.csi.storedSnapshots.size).toBe(1);
  });
});
