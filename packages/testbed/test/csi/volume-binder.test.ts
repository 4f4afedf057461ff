// Claims and volumes find each other, lose each other and are bound anew, as the controller of Kubernetes does it.
import { describe, expect, it } from "vitest";
import { resources } from "../../src/csi/storage-names.ts";
import { createWorld, namespace, until } from "./storage-world.ts";

describe("binding to volumes that exist", () => {
  it("takes the smallest volume that suits", async () => {
    await using world = await createWorld();
    world.createVolume("small", { capacity: { storage: "1Ki" } });
    world.createVolume("large", { capacity: { storage: "8Mi" } });
    world.createVolume("right", { capacity: { storage: "2Mi" } });
    world.createVolume("block", { capacity: { storage: "1Mi" }, volumeMode: "Block" });
    world.createVolume("other", { capacity: { storage: "1Mi" }, storageClassName: "other" });
    world.createVolume("readers", { capacity: { storage: "1Mi" }, accessModes: ["ReadOnlyMany"] });
    await until(world, () => world.volume("readers").status.phase === "Available");
    const claim = await world.boundClaim("data");
    expect(claim.spec.volumeName).toBe("right");
    expect(claim.status.capacity).toEqual({ storage: "2Mi" });
    expect(world.volume("right")).toMatchObject({
      metadata: { annotations: { "pv.kubernetes.io/bound-by-controller": "yes" } },
      spec: { claimRef: { name: "data", namespace, uid: claim.metadata.uid } },
      status: { phase: "Bound" },
    });
  });

  it("gives one volume to one of two claims", async () => {
    await using world = await createWorld();
    world.createVolume("only");
    world.createClaim("one");
    world.createClaim("two");
    await until(world, () => world.volume("only").status.phase === "Bound");
    await until(world, () =>
      ["one", "two"].every(
        (name) => world.claim(name).status.phase === "Bound" || world.reasons(name).length > 0,
      ),
    );
    const phases = ["one", "two"].map((name) => world.claim(name).status.phase);
    expect(phases.sort()).toEqual(["Bound", "Pending"]);
  });

  it("takes one that the chosen node can reach, once there is a node", async () => {
    await using world = await createWorld();
    for (const name of ["a", "b"])
      world.api.create("nodes", {
        apiVersion: "v1",
        kind: "Node",
        metadata: { name, labels: { "kubernetes.io/hostname": name } },
      });
    world.createStorageClass("standard", {
      provisioner: "kubernetes.io/no-provisioner",
      volumeBindingMode: "WaitForFirstConsumer",
    });
    for (const node of ["a", "b"]) {
      const matchExpressions = [{ key: "kubernetes.io/hostname", operator: "In", values: [node] }];
      world.createVolume(`on-${node}`, {
        nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions }] } },
      });
    }
    world.createClaim("data");
    await until(world, () => world.reasons("data").includes("WaitForFirstConsumer"));
    expect(world.claim("data").status.phase).toBe("Pending");
    world.api.modify(resources.claims, namespace, "data", (claim) => {
      claim.metadata.annotations = { "volume.kubernetes.io/selected-node": "b" };
    });
    await until(world, () => world.claim("data").status.phase === "Bound");
    expect(world.claim("data").spec.volumeName).toBe("on-b");
  });

  it("keeps a claim with a selector for the volume with those labels", async () => {
    await using world = await createWorld();
    const selector = { matchLabels: { "velero.io/dynamic-pv-restore": "x" } };
    world.createVolume("plain");
    world.createClaim("data", { selector });
    await until(world, () => world.reasons("data").length > 0);
    expect(world.claim("data").status.phase).toBe("Pending");
    world.createVolume("labelled", {}, { "velero.io/dynamic-pv-restore": "x" });
    await until(world, () => world.claim("data").status.phase === "Bound");
    expect(world.claim("data").spec.volumeName).toBe("labelled");
    expect(world.volume("plain").status.phase).toBe("Available");
  });

  it("binds a claim that names a volume, and marks only what it wrote itself", async () => {
    await using world = await createWorld();
    world.createClaim("data", { volumeName: "mine" });
    await until(world, () => world.claim("data").status.phase === "Pending");
    world.createVolume("mine");
    await until(world, () => world.claim("data").status.phase === "Bound");
    expect(world.claim("data").metadata.annotations).toEqual({
      "pv.kubernetes.io/bind-completed": "yes",
    });
    expect(world.volume("mine").metadata.annotations).toEqual({
      "pv.kubernetes.io/bound-by-controller": "yes",
    });
  });

  it("refuses a named volume that does not suit, or is another's", async () => {
    await using world = await createWorld();
    world.createVolume("tiny", { capacity: { storage: "1Ki" } });
    world.createVolume("taken", { claimRef: { namespace, name: "somebody" } });
    world.createClaim("one", { volumeName: "tiny" });
    world.createClaim("two", { volumeName: "taken" });
    await until(world, () => world.reasons("one").length > 0 && world.reasons("two").length > 0);
    expect(world.messages("one")).toEqual([
      'Cannot bind to requested volume "tiny": requested PV is too small',
    ]);
    expect(world.messages("two")).toEqual(['volume "taken" already bound to a different claim.']);
    expect(world.volume("taken").status.phase).toBe("Available");
  });

  it("keeps a volume that names a claim for it, whatever suits better", async () => {
    await using world = await createWorld();
    world.createVolume("mine", {
      capacity: { storage: "8Mi" },
      claimRef: { namespace, name: "data" },
    });
    world.createVolume("better");
    await until(world, () => world.volume("mine").status.phase === "Available");
    const claim = await world.boundClaim("data");
    expect(claim.spec.volumeName).toBe("mine");
    expect(world.volume("mine").spec.claimRef.uid).toBe(claim.metadata.uid);
    expect(world.volume("mine").metadata.annotations).toBeUndefined();
  });

  it("does not give a volume to a new claim of the old name", async () => {
    await using world = await createWorld();
    world.createVolume("mine", { claimRef: { namespace, name: "data", uid: "of-the-old-one" } });
    world.createClaim("data", { volumeName: "mine" });
    await until(world, () => world.reasons("data").includes("FailedBinding"));
    expect(world.claim("data").status.phase).toBe("Pending");
    expect(world.volume("mine").status.phase).toBe("Released");
  });

  it("tells a claim that its volume is lost", async () => {
    await using world = await createWorld();
    world.createVolume("mine");
    await world.boundClaim("data");
    world.api.modify(resources.volumes, "", "mine", (volume) => {
      volume.metadata.finalizers = [];
    });
    world.api.delete(resources.volumes, "", "mine");
    await until(world, () => world.claim("data").status.phase === "Lost");
    expect(world.messages("data")).toEqual([
      "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
    ]);
  });
});

describe("a volume that changes hands", () => {
  it("goes from a restore's claim to the target claim, in the steps of the exposer", async () => {
    await using world = await createWorld();
    world.createStorageClass("standard");
    const selector = { matchLabels: { "velero.io/dynamic-pv-restore": "app.data.x" } };
    world.createClaim("target", { selector });
    const restore = await world.boundClaim("restore");
    const { volumeName } = restore.spec;
    world.api.modify(resources.volumes, "", volumeName, (volume) => {
      volume.spec.persistentVolumeReclaimPolicy = "Retain";
    });
    world.api.delete(resources.claims, namespace, "restore");
    await until(world, () => world.volume(volumeName).status.phase === "Released");
    world.api.modify(resources.claims, namespace, "target", (claim) => {
      claim.spec.volumeName = volumeName;
    });
    await until(world, () => world.reasons("target").includes("FailedBinding"));
    expect(world.claim("target").status.phase).toBe("Pending");
    world.api.modify(resources.volumes, "", volumeName, (volume) => {
      volume.spec.claimRef = { kind: "PersistentVolumeClaim", namespace, name: "target" };
      delete volume.metadata.annotations?.["pv.kubernetes.io/bound-by-controller"];
      volume.metadata.labels = { ...selector.matchLabels };
    });
    await until(world, () => world.claim("target").status.phase === "Bound");
    await until(world, () => world.volume(volumeName).status.phase === "Bound");
    world.api.modify(resources.volumes, "", volumeName, (volume) => {
      volume.spec.persistentVolumeReclaimPolicy = "Delete";
    });
    await world.clock.advance(60_000);
    expect(world.claim("target")).toMatchObject({
      spec: { volumeName },
      status: { phase: "Bound", capacity: { storage: "1Mi" } },
    });
    expect(world.volume(volumeName)).toMatchObject({
      spec: { claimRef: { name: "target", uid: world.claim("target").metadata.uid } },
      status: { phase: "Bound" },
    });
    expect(world.driver.volumes()).toHaveLength(1);
  });

  it("is free again when the claim that it was bound to chose another", async () => {
    await using world = await createWorld();
    world.createVolume("second");
    world.createClaim("data", { volumeName: "first" });
    await until(world, () => world.claim("data").status.phase === "Pending");
    world.api.modify(resources.volumes, "", "second", (volume) => {
      volume.spec.claimRef = { namespace, name: "data", uid: world.claim("data").metadata.uid };
    });
    await until(world, () => world.volume("second").spec.claimRef.uid === undefined);
    expect(world.volume("second").status.phase).toBe("Available");
  });
});
