/** An API server's store with the storage of the cluster around it, in virtual time, for tests of one part or of all. */
import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as realTime } from "node:timers/promises";
import { createClusterView } from "../../src/api-server/cluster-view.ts";
import { ObjectStore } from "../../src/api-server/object-store.ts";
import { Registry } from "../../src/api-server/registry.ts";
import type { ClusterApi } from "../../src/cluster-api.ts";
import { CsiDriver, type CsiDriverOptions } from "../../src/csi/csi-driver.ts";
import { startStorage } from "../../src/csi/storage.ts";
import { resources } from "../../src/csi/storage-names.ts";
import type { Json, StoredObject } from "../../src/kube-object.ts";
import type { VolumeTarget } from "../../src/kubelet/volume-driver.ts";
import { type VirtualClock, virtualClock } from "../../src/virtual-clock.ts";
import { createSnapshotKinds } from "./snapshot-kinds.ts";

export interface StorageWorld extends AsyncDisposable {
  readonly api: ClusterApi;
  readonly clock: VirtualClock;
  readonly driver: CsiDriver;
  claim(name: string): StoredObject;
  volume(name: string): StoredObject;
  snapshot(name: string): StoredObject;
  content(name: string): StoredObject;
  /** Reasons of the events about an object of this name, in order of their first time. */
  reasons(name: string): string[];
  messages(name: string): string[];
  createStorageClass(name: string, change?: Json): StoredObject;
  createClaim(name: string, spec?: Json): StoredObject;
  createVolume(name: string, spec?: Json, labels?: Record<string, string>): StoredObject;
  createSnapshot(name: string, source: Json, className?: string): StoredObject;
  /** A claim that is bound to a volume of its own. */
  boundClaim(name: string, spec?: Json): Promise<StoredObject>;
  readySnapshot(name: string, claim: string, className?: string): Promise<StoredObject>;
  /** Has a pod mount a bound claim, and returns the path of the directory, file or device. */
  mount(claim: string, change?: MountChange): Promise<string>;
  unmount(claim: string, change?: MountChange): Promise<void>;
}

export interface MountChange {
  readonly pod?: string;
  readonly node?: string;
  readonly readOnly?: boolean;
  readonly seLinuxType?: string;
}

export const namespace = "app";

export async function createWorld(
  options: Partial<CsiDriverOptions> & { readonly withoutSnapshots?: boolean } = {},
): Promise<StorageWorld> {
  const targets = await mkdtemp(join(tmpdir(), "dm-targets-"));
  const clock = virtualClock(Date.parse("2026-01-01T00:00:00Z"));
  const registry = new Registry(new ObjectStore(), clock);
  const api = createClusterView({ registry, url: "", tokenFor: () => "" });
  const driver = await CsiDriver.open({ canMount: false, ...options, clock });
  // Events of objects without a namespace are in `default`.
  for (const name of ["default", namespace])
    api.create("namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  const storage = startStorage({ api, driver });
  if (!options.withoutSnapshots) {
    createSnapshotKinds(api);
    for (const deletionPolicy of ["Delete", "Retain"])
      api.create(resources.snapshotClasses, {
        apiVersion: "snapshot.storage.k8s.io/v1",
        kind: "VolumeSnapshotClass",
        metadata: { name: deletionPolicy.toLowerCase() },
        driver: driver.name,
        deletionPolicy,
      });
  }
  const mustGet = (resource: string, space: string, name: string): StoredObject => {
    const found = api.get(resource, space, name);
    if (!found) throw new Error(`no ${name} among ${resource}`);
    return found;
  };
  const eventsOf = (name: string): StoredObject[] =>
    api.list("events").filter((each) => each["involvedObject"].name === name);

  const targetOf = (name: string, { pod = "pod", node = "node" }: MountChange): VolumeTarget => {
    const volume = world.volume(world.claim(name).spec.volumeName);
    return {
      volumeName: volume.metadata.name,
      podUid: pod,
      nodeName: node,
      volumeMode: volume.spec.volumeMode,
      targetPath: join(targets, `${node}-${pod}-${volume.metadata.name}`),
    };
  };

  const world: StorageWorld = {
    api,
    clock,
    driver,
    claim: (name) => mustGet(resources.claims, namespace, name),
    volume: (name) => mustGet(resources.volumes, "", name),
    snapshot: (name) => mustGet(resources.snapshots, namespace, name),
    content: (name) => mustGet(resources.contents, "", name),
    reasons: (name) => eventsOf(name).map((each) => each["reason"]),
    messages: (name) => eventsOf(name).map((each) => each["message"]),
    createStorageClass: (name, change = {}) =>
      api.create(resources.storageClasses, {
        apiVersion: "storage.k8s.io/v1",
        kind: "StorageClass",
        metadata: { name },
        provisioner: driver.name,
        ...change,
      }),
    createClaim: (name, spec = {}) =>
      api.create(resources.claims, {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: { name, namespace },
        spec: {
          accessModes: ["ReadWriteOnce"],
          storageClassName: "standard",
          resources: { requests: { storage: "1Mi" } },
          ...spec,
        },
      }),
    createVolume: (name, spec = {}, labels = {}) =>
      api.create(resources.volumes, {
        apiVersion: "v1",
        kind: "PersistentVolume",
        metadata: { name, labels },
        spec: {
          accessModes: ["ReadWriteOnce"],
          capacity: { storage: "1Mi" },
          storageClassName: "standard",
          persistentVolumeReclaimPolicy: "Retain",
          csi: { driver: "other.driver", volumeHandle: name },
          ...spec,
        },
      }),
    createSnapshot: (name, source, className = "delete") =>
      api.create(resources.snapshots, {
        apiVersion: "snapshot.storage.k8s.io/v1",
        kind: "VolumeSnapshot",
        metadata: { name, namespace },
        spec: { source, ...(className === "" ? {} : { volumeSnapshotClassName: className }) },
      }),
    async boundClaim(name, spec) {
      world.createClaim(name, spec);
      await until(world, () => world.claim(name).status.phase === "Bound");
      return world.claim(name);
    },
    async readySnapshot(name, claim, className) {
      world.createSnapshot(name, { persistentVolumeClaimName: claim }, className);
      await until(world, () => world.snapshot(name).status?.readyToUse === true);
      return world.snapshot(name);
    },
    async mount(name, change = {}) {
      const target = targetOf(name, change);
      const { readOnly = false, seLinuxType } = change;
      const security = seLinuxType === undefined ? {} : { seLinuxOptions: { type: seLinuxType } };
      const published = await driver.publish({
        ...target,
        claim: world.claim(name),
        volume: world.volume(target.volumeName),
        pod: {
          apiVersion: "v1",
          kind: "Pod",
          metadata: {
            name: target.podUid,
            namespace,
            uid: target.podUid,
            resourceVersion: "1",
            creationTimestamp: "2026-01-01T00:00:00Z",
          },
          spec: { securityContext: security },
        },
        readOnly,
      });
      return published.path;
    },
    unmount: (name, change = {}) => driver.unpublish(targetOf(name, change)),
    async [Symbol.asyncDispose]() {
      await storage.close();
      await driver.close();
      // Fails when a volume was left under a pod.
      await rmdir(targets);
    },
  };
  return world;
}

/** Lets time pass until it is so; the test's own limit ends a wait in vain. */
export async function until(
  { clock }: { readonly clock: VirtualClock },
  check: () => boolean,
): Promise<void> {
  while (!check()) {
    await clock.advance(50);
    await realTime(1);
  }
}

export function isGone(world: StorageWorld, resource: string, name: string): boolean {
  const space = resource === resources.claims || resource === resources.snapshots ? namespace : "";
  return world.api.get(resource, space, name) === undefined;
}
