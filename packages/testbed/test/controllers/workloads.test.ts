// Deployments, ReplicaSets, DaemonSets and StatefulSets bring about the pods that they ask for, and change them in order.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Json, StoredObject } from "../../src/kube-object.ts";
import { createWorld, template, type World } from "./world.ts";

let world: World;

beforeEach(async () => {
  world = await createWorld({ nodes: ["node-1", "node-2", "node-3"] });
});

afterEach(() => world.close());

const workload = (kind: string, name: string, spec: object) => ({
  apiVersion: "apps/v1",
  kind,
  metadata: { name, namespace: "default" },
  spec: { selector: { matchLabels: { app: "x" } }, template: template(), ...spec },
});

const alive = (): StoredObject[] =>
  world.pods().filter(({ metadata }) => metadata.deletionTimestamp === undefined);

const imagesOf = (pods: readonly StoredObject[]): string[] =>
  pods.map(({ spec }) => spec.containers[0].image).sort();

const readyAll = async (): Promise<void> => {
  for (const { metadata } of alive()) await world.setPod(metadata.name, "ready");
};

const conditionOf = (object: StoredObject | undefined, wanted: string): Json =>
  object?.status?.conditions?.find(({ type }: Json) => type === wanted);

describe("Deployment", () => {
  const get = (): StoredObject | undefined => world.api.get("deployments.apps", "default", "web");
  const setImage = async (image: string): Promise<void> => {
    world.api.modify("deployments.apps", "default", "web", ({ spec }) => {
      spec.template.spec.containers[0].image = image;
    });
    await world.settle();
  };

  it("makes pods by way of a ReplicaSet and tells when they are available", async () => {
    world.api.create("deployments.apps", workload("Deployment", "web", { replicas: 2 }));
    await world.settle();
    expect(alive()).toHaveLength(2);
    const [set] = world.api.list("replicasets.apps", "default");
    expect(set?.metadata.ownerReferences).toMatchObject([{ kind: "Deployment", name: "web" }]);
    for (const { metadata } of alive()) {
      expect(metadata.name).toMatch(/^web-[a-z0-9]{10}-[a-z0-9]{5}$/);
      expect(metadata.labels).toEqual({
        app: "x",
        "pod-template-hash": set?.metadata.labels?.["pod-template-hash"],
      });
    }
    expect(conditionOf(get(), "Available").status).toBe("False");
    await readyAll();
    expect(get()?.status).toMatchObject({
      observedGeneration: 1,
      replicas: 2,
      updatedReplicas: 2,
      readyReplicas: 2,
      availableReplicas: 2,
    });
    expect(conditionOf(get(), "Available").status).toBe("True");
    expect(conditionOf(get(), "Progressing").reason).toBe("NewReplicaSetAvailable");
  });

  it("replaces a pod that is deleted or failed, and follows its size", async () => {
    world.api.create("deployments.apps", workload("Deployment", "web", { replicas: 2 }));
    await world.settle();
    await readyAll();
    const [first, second] = alive().map(({ metadata }) => metadata.name) as [string, string];
    world.api.delete("pods", "default", first);
    await world.setPod(second, "failed");
    expect(alive().filter(({ status }) => status.phase !== "Failed")).toHaveLength(2);
    world.api.modify("deployments.apps", "default", "web", ({ spec }) => {
      spec.replicas = 0;
    });
    await world.finishDeletions();
    expect(alive().filter(({ status }) => status.phase !== "Failed")).toEqual([]);
    expect(get()?.status.replicas).toBe(0);
  });

  it("rolls over to a new template without being unavailable", async () => {
    world.api.create("deployments.apps", workload("Deployment", "web", { replicas: 2 }));
    await world.settle();
    await readyAll();
    await setImage("busybox:2");
    expect(imagesOf(alive())).toEqual(["busybox:1", "busybox:1", "busybox:2", "busybox:2"]);
    const fresh = alive().filter(({ spec }) => spec.containers[0].image === "busybox:2");
    await world.setPod(fresh[0]?.metadata.name as string, "ready");
    expect(imagesOf(alive())).toEqual(["busybox:1", "busybox:2", "busybox:2"]);
    await readyAll();
    await world.finishDeletions();
    expect(imagesOf(alive())).toEqual(["busybox:2", "busybox:2"]);
    expect(get()?.metadata.annotations?.["deployment.kubernetes.io/revision"]).toBe("2");
    // Back to the first template: its ReplicaSet is there still.
    await setImage("busybox:1");
    await readyAll();
    await world.finishDeletions();
    expect(imagesOf(alive())).toEqual(["busybox:1", "busybox:1"]);
    expect(world.api.list("replicasets.apps", "default")).toHaveLength(2);
    expect(get()?.metadata.annotations?.["deployment.kubernetes.io/revision"]).toBe("3");
  });

  it("with Recreate begins the new pods when the old ones are gone", async () => {
    const strategy = { type: "Recreate" };
    world.api.create("deployments.apps", workload("Deployment", "web", { strategy }));
    await world.settle();
    await readyAll();
    await setImage("busybox:2");
    expect(imagesOf(world.pods())).toEqual(["busybox:1"]);
    expect(alive()).toEqual([]);
    await world.finishDeletions();
    expect(imagesOf(world.pods())).toEqual(["busybox:2"]);
  });

  it("goes with all that it made", async () => {
    world.api.create("deployments.apps", workload("Deployment", "web", { replicas: 2 }));
    await world.settle();
    world.api.delete("deployments.apps", "default", "web");
    await world.finishDeletions();
    await world.finishDeletions();
    expect(world.api.list("replicasets.apps")).toEqual([]);
    expect(world.pods()).toEqual([]);
  });
});

describe("DaemonSet", () => {
  const get = (): StoredObject | undefined => world.api.get("daemonsets.apps", "default", "agent");
  const nodesOf = (pods: readonly StoredObject[]): string[] =>
    pods.map(({ spec }) => spec.nodeName).sort();

  it("has a pod on every node, also on one that comes later", async () => {
    world.api.create("daemonsets.apps", workload("DaemonSet", "agent", {}));
    await world.settle();
    expect(nodesOf(world.pods())).toEqual(["node-1", "node-2", "node-3"]);
    await world.addNode("node-4");
    expect(nodesOf(world.pods())).toEqual(["node-1", "node-2", "node-3", "node-4"]);
    await readyAll();
    expect(get()?.status).toMatchObject({
      currentNumberScheduled: 4,
      desiredNumberScheduled: 4,
      numberReady: 4,
      numberAvailable: 4,
      updatedNumberScheduled: 4,
      observedGeneration: 1,
    });
    world.api.delete("nodes", "", "node-4");
    await world.settle();
    expect(nodesOf(world.pods())).toEqual(["node-1", "node-2", "node-3"]);
    expect(get()?.status.desiredNumberScheduled).toBe(3);
  });

  it("keeps to its node selector, also when labels change", async () => {
    const spec = { template: template("busybox:1", { nodeSelector: { disk: "fast" } }) };
    world.api.create("daemonsets.apps", workload("DaemonSet", "agent", spec));
    await world.addNode("node-4", { disk: "fast" });
    expect(nodesOf(world.pods())).toEqual(["node-4"]);
    world.api.modify("nodes", "", "node-1", ({ metadata }) => {
      metadata.labels = { ...metadata.labels, disk: "fast" };
    });
    world.api.modify("nodes", "", "node-4", ({ metadata }) => {
      delete metadata.labels?.["disk"];
    });
    await world.finishDeletions();
    expect(nodesOf(world.pods())).toEqual(["node-1"]);
  });

  it("replaces pods one by one after a change of the template", async () => {
    world.api.create("daemonsets.apps", workload("DaemonSet", "agent", {}));
    await world.settle();
    await readyAll();
    world.api.modify("daemonsets.apps", "default", "agent", ({ spec }) => {
      spec.template.spec.containers[0].image = "busybox:2";
    });
    for (let left = 2; left >= 0; left--) {
      await world.settle();
      expect(world.pods().length - alive().length).toBe(1);
      await world.finishDeletions();
      expect(imagesOf(alive()).filter((image) => image === "busybox:1")).toHaveLength(left);
      await readyAll();
    }
    expect(imagesOf(world.pods())).toEqual(["busybox:2", "busybox:2", "busybox:2"]);
    expect(get()?.status).toMatchObject({ updatedNumberScheduled: 3, numberAvailable: 3 });
  });

  it("makes a failed pod again, after growing pauses", async () => {
    const spec = {
      template: template("busybox:1", { nodeSelector: { "kubernetes.io/hostname": "node-1" } }),
    };
    world.api.create("daemonsets.apps", workload("DaemonSet", "agent", spec));
    await world.settle();
    for (const pauseMs of [1000, 2000, 4000]) {
      const [one] = world.pods();
      await world.setPod(one?.metadata.name as string, "failed");
      await world.clock.advance(pauseMs - 1);
      expect(world.pods()).toEqual([]);
      await world.clock.advance(1);
      expect(world.pods()).toHaveLength(1);
    }
  });
});

describe("StatefulSet", () => {
  const spec = {
    replicas: 2,
    serviceName: "db",
    template: template("busybox:1", { volumes: [{ name: "other", emptyDir: {} }] }),
    volumeClaimTemplates: [
      {
        metadata: { name: "data" },
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
      },
    ],
  };
  const names = (): string[] => world.pods().map(({ metadata }) => metadata.name);
  /** Bound, so that pods are scheduled. */
  const makeSet = async (): Promise<void> => {
    for (const ordinal of [0, 1, 2]) {
      const name = `data-db-${ordinal}`;
      world.api.create("persistentvolumes", {
        apiVersion: "v1",
        kind: "PersistentVolume",
        metadata: { name },
        spec: {},
      });
      world.api.create("persistentvolumeclaims", {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: { name, namespace: "default" },
        spec: {
          volumeName: name,
          accessModes: ["ReadWriteOnce"],
          resources: { requests: { storage: "1Gi" } },
        },
      });
      world.api.modify(
        "persistentvolumeclaims",
        "default",
        name,
        (claim) => {
          claim.status = { phase: "Bound" };
        },
        { subresource: "status" },
      );
    }
    world.api.create("statefulsets.apps", workload("StatefulSet", "db", spec));
    await world.settle();
  };

  it("makes pods in order, each with its claim, the next when the one before is ready", async () => {
    world.api.create("statefulsets.apps", workload("StatefulSet", "db", spec));
    await world.settle();
    expect(names()).toEqual(["db-0"]);
    expect(world.api.get("persistentvolumeclaims", "default", "data-db-0")).toBeDefined();
    expect(world.pods()[0]?.spec.volumes).toEqual([
      { name: "other", emptyDir: {} },
      { name: "data", persistentVolumeClaim: { claimName: "data-db-0" } },
    ]);
    await world.setPod("db-0", "ready");
    expect(names()).toEqual(["db-0", "db-1"]);
    await world.setPod("db-1", "ready");
    expect(world.api.get("statefulsets.apps", "default", "db")?.status).toMatchObject({
      replicas: 2,
      readyReplicas: 2,
      observedGeneration: 1,
    });
    expect(world.api.list("persistentvolumeclaims")).toHaveLength(2);
  });

  it("replaces from the last to the first, and keeps names and claims", async () => {
    await makeSet();
    await world.setPod("db-0", "ready");
    await world.setPod("db-1", "ready");
    world.api.modify("statefulsets.apps", "default", "db", (set) => {
      set.spec.template.spec.containers[0].image = "busybox:2";
    });
    for (const name of ["db-1", "db-0"]) {
      await world.settle();
      expect(alive().map(({ metadata }) => metadata.name)).not.toContain(name);
      await world.finishDeletions();
      expect(world.api.get("pods", "default", name)?.spec.containers[0].image).toBe("busybox:2");
      await world.setPod(name, "ready");
    }
    expect(imagesOf(world.pods())).toEqual(["busybox:2", "busybox:2"]);
  });

  it("shrinks from the end and keeps claims; makes a lost pod again under its name", async () => {
    await makeSet();
    await world.setPod("db-0", "ready");
    await world.setPod("db-1", "ready");
    const before = world.api.get("pods", "default", "db-0")?.metadata.uid;
    world.api.delete("pods", "default", "db-0");
    await world.finishDeletions();
    const after = world.api.get("pods", "default", "db-0")?.metadata.uid;
    expect(after).toBeDefined();
    expect(after).not.toBe(before);
    await world.setPod("db-0", "ready");
    world.api.modify("statefulsets.apps", "default", "db", (set) => {
      set.spec.replicas = 1;
    });
    await world.finishDeletions();
    expect(names()).toEqual(["db-0"]);
    expect(world.api.get("persistentvolumeclaims", "default", "data-db-1")).toBeDefined();
  });
});

describe("what nobody owns", () => {
  const withoutOwner = (object: StoredObject): StoredObject => {
    const { metadata, ...rest } = structuredClone(object);
    const { name, namespace = "default", labels = {}, annotations = {} } = metadata;
    return { ...rest, metadata: { name, namespace, labels, annotations } } as never;
  };

  it.each(["together", "owners last"])("is taken over by who selects it: %s", async (order) => {
    world.api.create("deployments.apps", workload("Deployment", "web", { replicas: 2 }));
    world.api.create("statefulsets.apps", {
      ...workload("StatefulSet", "db", { replicas: 2, podManagementPolicy: "Parallel" }),
      spec: {
        replicas: 2,
        podManagementPolicy: "Parallel",
        selector: { matchLabels: { app: "db" } },
        template: { ...template(), metadata: { labels: { app: "db" } } },
      },
    });
    await world.settle();
    await readyAll();
    const resources = ["pods", "replicasets.apps", "deployments.apps", "statefulsets.apps"];
    const kept = resources.map((resource) => world.api.list(resource, "default").map(withoutOwner));
    for (const resource of resources.toReversed())
      for (const { metadata } of world.api.list(resource, "default"))
        world.api.delete(resource, "default", metadata.name, { gracePeriodSeconds: 0 });
    await world.settle();
    await world.finishDeletions();
    expect(world.pods()).toEqual([]);

    for (const [index, resource] of resources.entries()) {
      for (const object of kept[index] ?? []) world.api.create(resource, object);
      if (order === "owners last") await world.settle();
    }
    await world.settle();
    const names = (resource: string): string[] =>
      world.api.list(resource, "default").map(({ metadata }) => metadata.name);
    expect(names("pods").sort()).toEqual(kept[0]?.map(({ metadata }) => metadata.name).sort());
    expect(names("replicasets.apps")).toEqual(kept[1]?.map(({ metadata }) => metadata.name));
    const owners = (resource: string): string[] =>
      world.api
        .list(resource, "default")
        .map(({ metadata }) => metadata.ownerReferences?.[0]?.name ?? "nobody");
    expect(new Set(owners("replicasets.apps"))).toEqual(new Set(["web"]));
    expect(owners("pods")).not.toContain("nobody");
  });
});
