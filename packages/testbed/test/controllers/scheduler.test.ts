// Pods get the node that their selectors, affinities, taints and volumes allow, or the condition and event that say why none.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Json } from "../../src/kube-object.ts";
import { createWorld, pod, type World } from "./world.ts";

let world: World;

beforeEach(async () => {
  world = await createWorld({ nodes: ["node-1", "node-2", "node-3"] });
});

afterEach(() => world.close());

const nodeOf = (name: string): string | undefined =>
  world.api.get("pods", "default", name)?.spec.nodeName;

const condition = (name: string): Json =>
  world.api
    .get("pods", "default", name)
    ?.status?.conditions?.find(({ type }: Json) => type === "PodScheduled");

const schedule = async (
  name: string,
  spec: object = {},
  metadata: object = {},
): Promise<string | undefined> => {
  world.api.create("pods", pod(name, spec, metadata));
  await world.settle();
  return nodeOf(name);
};

const required = (terms: object[]): object => ({
  affinity: {
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } },
  },
});
const hostname = (operator: string, ...values: string[]): object => ({
  matchExpressions: [{ key: "kubernetes.io/hostname", operator, values }],
});

it("spreads pods over nodes, and says so", async () => {
  const nodes = await Promise.all(["a", "b", "c"].map((name) => schedule(name)));
  expect(nodes.sort()).toEqual(["node-1", "node-2", "node-3"]);
  expect(condition("a").status).toBe("True");
  expect(world.events("Scheduled")).toContain("Successfully assigned default/a to node-1");
});

it("keeps pods of one owner apart before it looks for the emptiest node", async () => {
  const owner = { apiVersion: "v1", kind: "X", name: "x", uid: "u", controller: true };
  const on = (name: string): object => ({ nodeSelector: { "kubernetes.io/hostname": name } });
  for (const name of ["a", "b"]) await schedule(name, on("node-2"));
  await schedule("c", on("node-3"));
  await schedule("one", on("node-1"), { ownerReferences: [owner] });
  await schedule("two", on("node-3"), { ownerReferences: [owner] });
  expect(await schedule("three", {}, { ownerReferences: [owner] })).toBe("node-2");
});

it("does not count pods that are over", async () => {
  await schedule("a");
  await world.setPod("a", "succeeded");
  expect(await schedule("b")).toBe("node-1");
});

it("keeps to selectors and required affinity", async () => {
  expect(await schedule("a", { nodeSelector: { "kubernetes.io/hostname": "node-3" } })).toBe(
    "node-3",
  );
  expect(await schedule("b", required([hostname("In", "node-2")]))).toBe("node-2");
  expect(await schedule("c", required([hostname("NotIn", "node-1", "node-2")]))).toBe("node-3");
  const fields = { matchFields: [{ key: "metadata.name", operator: "In", values: ["node-2"] }] };
  expect(await schedule("d", required([fields]))).toBe("node-2");
});

it("prefers what is preferred, then an even spread by its labels", async () => {
  const preferred = {
    affinity: {
      nodeAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          { weight: 10, preference: hostname("In", "node-3") },
        ],
      },
    },
  };
  expect(await schedule("a", preferred)).toBe("node-3");
  expect(await schedule("b", preferred)).toBe("node-3");
  const labels = { labels: { group: "movers" } };
  const spread = {
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: "kubernetes.io/hostname",
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: { matchLabels: { group: "movers" } },
      },
    ],
  };
  const nodes = [];
  for (const name of ["x", "y", "z"]) nodes.push(await schedule(name, spread, labels));
  expect(nodes.sort()).toEqual(["node-1", "node-2", "node-3"]);
});

it("says in condition and event why there is no node, once, and goes on when there is one", async () => {
  const spec = { nodeSelector: { disk: "fast" } };
  expect(await schedule("a", spec)).toBeUndefined();
  const none = "0/3 nodes are available";
  const message = `${none}: 3 node(s) didn't match Pod's node affinity/selector. preemption: ${none}: 3 Preemption is not helpful for scheduling.`;
  expect(condition("a")).toMatchObject({ status: "False", reason: "Unschedulable", message });
  for (const name of ["node-1", "node-2"]) world.heartbeat(name);
  await world.settle();
  expect(world.events("FailedScheduling")).toEqual([message]);
  await world.addNode("node-4", { disk: "fast" });
  expect(nodeOf("a")).toBe("node-4");
  expect(condition("a").status).toBe("True");
});

it("waits for the first node", async () => {
  for (const name of ["node-1", "node-2", "node-3"]) world.api.delete("nodes", "", name);
  expect(await schedule("a")).toBeUndefined();
  expect(condition("a").message).toBe("no nodes available to schedule pods");
});

it("keeps away from taints that are not tolerated and from cordoned nodes", async () => {
  world.api.modify("nodes", "", "node-1", ({ spec }) => {
    spec.taints = [{ key: "gpu", value: "yes", effect: "NoSchedule" }];
  });
  world.api.modify("nodes", "", "node-2", ({ spec }) => {
    spec.unschedulable = true;
  });
  const on = (name: string): object => ({ nodeSelector: { "kubernetes.io/hostname": name } });
  expect(await schedule("a")).toBe("node-3");
  expect(await schedule("b", on("node-1"))).toBeUndefined();
  expect(condition("b").message).toContain("1 node(s) had untolerated taint {gpu: yes}");
  expect(await schedule("c", on("node-2"))).toBeUndefined();
  expect(condition("c").message).toContain("1 node(s) were unschedulable");
  const tolerations = [{ key: "gpu", operator: "Equal", value: "yes", effect: "NoSchedule" }];
  expect(await schedule("d", { ...on("node-1"), tolerations })).toBe("node-1");
  expect(await schedule("e", { ...on("node-1"), tolerations: [{ operator: "Exists" }] })).toBe(
    "node-1",
  );
});

it("keeps to what nodes have", async () => {
  for (const name of ["node-1", "node-2", "node-3"]) {
    world.api.modify(
      "nodes",
      "",
      name,
      ({ status }) => {
        status.allocatable = { cpu: "1", memory: name === "node-3" ? "4Gi" : "1Gi", pods: "3" };
      },
      { subresource: "status" },
    );
  }
  const asking = (requests: object): object => ({
    containers: [{ name: "main", image: "x", resources: { requests } }],
  });
  expect(await schedule("a", asking({ memory: "2Gi" }))).toBe("node-3");
  expect(await schedule("b", asking({ cpu: "600m" }))).toBe("node-1");
  expect(await schedule("c", asking({ cpu: "600m" }))).toBe("node-2");
  expect(await schedule("d", asking({ cpu: "600m", memory: "3Gi" }))).toBeUndefined();
  expect(condition("d").message).toContain(
    "0/3 nodes are available: 2 Insufficient cpu, 3 Insufficient memory. preemption:",
  );
  await world.setPod("a", "succeeded");
  expect(nodeOf("d")).toBe("node-3");
});

it("leaves pods of other schedulers and pods that are going alone", async () => {
  expect(await schedule("a", { schedulerName: "mine" })).toBeUndefined();
  expect(condition("a")).toBeUndefined();
});

describe("volumes", () => {
  const claim = (name: string, spec: object = {}) =>
    world.api.create("persistentvolumeclaims", {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name, namespace: "default" },
      spec: {
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "1Gi" } },
        ...spec,
      },
    });
  const bindTo = async (name: string, nodeName?: string): Promise<void> => {
    world.api.create("persistentvolumes", {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: `pv-${name}` },
      spec: {
        claimRef: { namespace: "default", name },
        ...(nodeName === undefined
          ? {}
          : { nodeAffinity: { required: { nodeSelectorTerms: [hostname("In", nodeName)] } } }),
      },
    });
    world.api.modify("persistentvolumeclaims", "default", name, ({ spec }) => {
      spec.volumeName = `pv-${name}`;
    });
    world.api.modify(
      "persistentvolumeclaims",
      "default",
      name,
      (one) => {
        one.status = { phase: "Bound" };
      },
      { subresource: "status" },
    );
    await world.settle();
  };
  const storageClass = (name: string, extra: object = {}) =>
    world.api.create("storageclasses.storage.k8s.io", {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: { name },
      provisioner: "x",
      ...extra,
    });
  const using = (name: string): object => ({
    volumes: [{ name: "v", persistentVolumeClaim: { claimName: name } }],
  });
  const selectedNode = (name: string): string | undefined =>
    world.api.get("persistentvolumeclaims", "default", name)?.metadata.annotations?.[
      "volume.kubernetes.io/selected-node"
    ];

  it("wants immediate claims bound first, and goes where the volume is", async () => {
    expect(await schedule("a", using("c"))).toBeUndefined();
    expect(condition("a").message).toContain('persistentvolumeclaim "c" not found');
    claim("c");
    await world.settle();
    expect(condition("a").message).toContain("pod has unbound immediate PersistentVolumeClaims");
    await bindTo("c", "node-2");
    expect(nodeOf("a")).toBe("node-2");
  });

  it("tells a claim that waits for its consumer the node, and waits for it", async () => {
    storageClass("wait", { volumeBindingMode: "WaitForFirstConsumer" });
    claim("c", { storageClassName: "wait" });
    await schedule("other");
    expect(await schedule("a", using("c"))).toBeUndefined();
    expect(selectedNode("c")).toBe("node-2");
    expect(world.events("FailedScheduling")).toEqual([]);
    await bindTo("c", "node-2");
    expect(nodeOf("a")).toBe("node-2");
  });

  it("keeps to the topologies of the class and to a node that was selected before", async () => {
    storageClass("zone", {
      volumeBindingMode: "WaitForFirstConsumer",
      allowedTopologies: [
        { matchLabelExpressions: [{ key: "kubernetes.io/hostname", values: ["node-3"] }] },
      ],
    });
    claim("c", { storageClassName: "zone" });
    await schedule("a", using("c"));
    expect(selectedNode("c")).toBe("node-3");
    storageClass("wait", { volumeBindingMode: "WaitForFirstConsumer" });
    claim("d", { storageClassName: "wait" });
    world.api.modify("persistentvolumeclaims", "default", "d", ({ metadata }) => {
      metadata.annotations = { "volume.kubernetes.io/selected-node": "node-2" };
    });
    await schedule("b", using("d"));
    expect(selectedNode("d")).toBe("node-2");
  });

  it("says when volumes are elsewhere than the pod may be", async () => {
    claim("c");
    await bindTo("c", "node-2");
    const spec = { ...using("c"), nodeSelector: { "kubernetes.io/hostname": "node-1" } };
    expect(await schedule("a", spec)).toBeUndefined();
    expect(condition("a").message).toContain(
      "1 node(s) had volume node affinity conflict, 2 node(s) didn't match Pod's node affinity/selector",
    );
  });
});
