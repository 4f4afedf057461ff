// Claims get volumes of their class as with Kubernetes' own parts: what is written, in which words, and what goes again.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { resources } from "../../src/csi/storage-names.ts";
import { createWorld, isGone, namespace, until } from "./storage-world.ts";

describe("provisioning", () => {
  it("binds a claim to a new volume of its class", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard", { mountOptions: ["noatime"] });
    const claim = await world.boundClaim("data");
    const name = `pvc-${claim.metadata.uid}`;
    expect(claim.spec.volumeName).toBe(name);
    expect(claim.metadata.annotations).toEqual({
      "pv.kubernetes.io/bind-completed": "yes",
      "pv.kubernetes.io/bound-by-controller": "yes",
      "volume.beta.kubernetes.io/storage-provisioner": "csi.testbed.dm",
      "volume.kubernetes.io/storage-provisioner": "csi.testbed.dm",
    });
    expect(claim.metadata.finalizers).toEqual(["kubernetes.io/pvc-protection"]);
    expect(claim.status).toEqual({
      phase: "Bound",
      accessModes: ["ReadWriteOnce"],
      capacity: { storage: "1Mi" },
    });
    const volume = world.volume(name);
    expect(volume.spec).toEqual({
      accessModes: ["ReadWriteOnce"],
      capacity: { storage: "1Mi" },
      claimRef: {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        name: "data",
        namespace,
        uid: claim.metadata.uid,
        resourceVersion: expect.any(String),
      },
      csi: {
        driver: "csi.testbed.dm",
        volumeHandle: world.driver.volumes()[0]?.handle,
        volumeAttributes: { "storage.kubernetes.io/csiProvisionerIdentity": "csi.testbed.dm" },
      },
      mountOptions: ["noatime"],
      persistentVolumeReclaimPolicy: "Delete",
      storageClassName: "standard",
      volumeMode: "Filesystem",
    });
    expect(volume.metadata.annotations?.["pv.kubernetes.io/provisioned-by"]).toBe("csi.testbed.dm");
    expect([...(volume.metadata.finalizers ?? [])].sort()).toEqual([
      "external-provisioner.volume.kubernetes.io/finalizer",
      "kubernetes.io/pv-protection",
    ]);
    expect(volume.status.phase).toBe("Bound");
    expect(world.reasons("data")).toEqual([
      "ExternalProvisioning",
      "Provisioning",
      "ProvisioningSucceeded",
    ]);
  });

  it("deletes claim, volume and bytes with policy Delete", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    const claim = await world.boundClaim("data");
    world.api.delete(resources.claims, namespace, "data");
    await until(world, () => isGone(world, resources.volumes, claim.spec.volumeName));
    expect(world.driver.volumes()).toEqual([]);
    expect(isGone(world, resources.claims, "data")).toBe(true);
  });

  it("leaves nothing of a claim that is deleted while its volume is made", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    const { driver } = world;
    const make = driver.createVolume.bind(driver);
    driver.createVolume = async (...args) => {
      const made = await make(...args);
      world.api.delete(resources.claims, namespace, "data");
      return made;
    };
    driver.faults.add({ operation: "deleteVolume", times: 1, error: "busy" });
    world.createClaim("data");
    await until(world, () => world.driver.volumes().length === 1);
    await until(world, () => world.driver.volumes().length === 0);
    await until(world, () => world.api.list(resources.volumes).length === 0);
  });

  it("keeps volume and bytes with policy Retain, until the policy is patched to Delete", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard", { reclaimPolicy: "Retain" });
    const { volumeName } = (await world.boundClaim("data")).spec;
    expect(world.volume(volumeName).metadata.finalizers).toEqual(["kubernetes.io/pv-protection"]);
    world.api.delete(resources.claims, namespace, "data");
    await until(world, () => world.volume(volumeName).status.phase === "Released");
    expect(world.driver.volumes()).toHaveLength(1);
    world.api.modify(resources.volumes, "", volumeName, (volume) => {
      volume.spec.persistentVolumeReclaimPolicy = "Delete";
    });
    await until(world, () => isGone(world, resources.volumes, volumeName));
    expect(world.driver.volumes()).toEqual([]);
  });

  it("leaves the bytes when a released volume with policy Retain is deleted", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard", { reclaimPolicy: "Retain" });
    const { volumeName } = (await world.boundClaim("data")).spec;
    world.api.delete(resources.claims, namespace, "data");
    await until(world, () => world.volume(volumeName).status.phase === "Released");
    world.api.delete(resources.volumes, "", volumeName);
    await until(world, () => isGone(world, resources.volumes, volumeName));
    expect(world.driver.volumes()).toHaveLength(1);
  });

  it("waits for a pod's node when the class says so, and restricts the volume to its topology", async () => {
    await using world = await createWorld();
    for (const [name, zone] of [
      ["node-a", "a"],
      ["node-b", "b"],
    ])
      world.api.create("nodes", {
        apiVersion: "v1",
        kind: "Node",
        metadata: { name: name!, labels: { "topology.kubernetes.io/zone": zone! } },
      });
    world.createStorageClass("standard", {
      volumeBindingMode: "WaitForFirstConsumer",
      parameters: { topologyKey: "topology.kubernetes.io/zone" },
    });
    world.createClaim("data");
    await until(world, () => world.reasons("data").includes("WaitForFirstConsumer"));
    expect(world.claim("data").status.phase).toBe("Pending");
    expect(world.driver.volumes()).toEqual([]);
    world.api.modify(resources.claims, namespace, "data", (claim) => {
      claim.metadata.annotations = { "volume.kubernetes.io/selected-node": "node-b" };
    });
    await until(world, () => world.claim("data").status.phase === "Bound");
    expect(world.volume(world.claim("data").spec.volumeName).spec.nodeAffinity).toEqual({
      required: {
        nodeSelectorTerms: [
          {
            matchExpressions: [
              { key: "topology.kubernetes.io/zone", operator: "In", values: ["b"] },
            ],
          },
        ],
      },
    });
  });

  it("gives the default class to claims that name none, also when it comes later", async () => {
    await using world = await createWorld();
    world.createClaim("data", { storageClassName: undefined });
    await until(world, () => world.reasons("data").includes("FailedBinding"));
    world.createStorageClass("late", {
      metadata: {
        name: "late",
        annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
      },
    });
    await until(world, () => world.claim("data").status.phase === "Bound");
    expect(world.claim("data").spec.storageClassName).toBe("late");
  });

  it("never makes a volume for a claim with a selector", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    world.createClaim("data", {
      selector: { matchLabels: { "velero.io/dynamic-pv-restore": "x" } },
    });
    await until(world, () => world.reasons("data").includes("ProvisioningFailed"));
    await world.clock.advance(600_000);
    expect(world.claim("data").status.phase).toBe("Pending");
    expect(world.messages("data")).toContain(
      'failed to provision volume with StorageClass "standard": claim Selector is not supported',
    );
    expect(world.driver.volumes()).toEqual([]);
  });

  it("leaves claims of other provisioners, of populators and of classes that are not there", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    world.createStorageClass("foreign", { provisioner: "other.driver" });
    world.createClaim("foreign", { storageClassName: "foreign" });
    world.createClaim("nowhere", { storageClassName: "nowhere" });
    const dataSourceRef = { apiGroup: "example.com", kind: "Filler", name: "x" };
    world.createClaim("filled", { dataSourceRef });
    await world.boundClaim("data");
    expect(world.driver.volumes()).toHaveLength(1);
    expect(world.reasons("foreign")).toEqual(["ExternalProvisioning"]);
    expect(world.messages("nowhere")).toEqual(['storageclass.storage.k8s.io "nowhere" not found']);
    expect(world.claim("filled").status.phase).toBe("Pending");
  });

  it.each(["Filesystem", "Block"])("clones a %s claim", async (volumeMode) => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    await world.boundClaim("data", { volumeMode });
    const from = await world.mount("data");
    const file = (path: string): string => (volumeMode === "Block" ? path : join(path, "file"));
    await writeFile(file(from), "text", { flag: volumeMode === "Block" ? "r+" : "w" });
    const dataSource = { kind: "PersistentVolumeClaim", name: "data" };
    await world.boundClaim("clone", { volumeMode, dataSource });
    const to = await world.mount("clone");
    expect((await readFile(file(to))).toString("latin1", 0, 4)).toBe("text");
  });
});
