// A node whose heartbeat stops is taken for lost, its pods are deleted when they are tolerated no longer, and all of it ends when
// the node comes back or goes for good.
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Json, StoredObject } from "../../src/kube-object.ts";
import { createWorld, pod, template, type World } from "./world.ts";

let world: World;

beforeEach(async () => {
  world = await createWorld({ nodes: ["node-1"] });
  world.api.create("pods", pod("a"));
  await world.settle();
  await world.setPod("a", "ready");
});

afterEach(() => world.close());

const node = (): StoredObject | undefined => world.api.get("nodes", "", "node-1");
const ready = (): string | undefined =>
  node()?.status.conditions.find(({ type }: Json) => type === "Ready")?.status;
const taints = (): string[] =>
  (node()?.spec.taints ?? []).map(({ key, effect }: Json) => `${key}:${effect}`);
const get = (name = "a"): StoredObject | undefined => world.api.get("pods", "default", name);
const podReady = (): Json => get()?.status.conditions.find(({ type }: Json) => type === "Ready");

it("takes a node for lost 40 s after its last heartbeat, not before", async () => {
  for (let beat = 0; beat < 10; beat++) {
    await world.clock.advance(30_000);
    world.heartbeat("node-1");
  }
  await world.clock.advance(39_999);
  expect(ready()).toBe("True");
  await world.clock.advance(1);
  expect(ready()).toBe("Unknown");
  expect(taints()).toEqual([
    "node.kubernetes.io/unreachable:NoSchedule",
    "node.kubernetes.io/unreachable:NoExecute",
  ]);
  expect(podReady()).toMatchObject({ status: "False", reason: "NodeNotReady" });
  expect(get()?.status.phase).toBe("Running");
  expect(world.events("NodeNotReady")).toEqual(["Node node-1 status is now: NodeNotReady"]);
  world.api.create("pods", pod("b"));
  await world.settle();
  expect(get("b")?.spec.nodeName).toBeUndefined();
});

it("deletes pods 5 minutes later, which its kubelet would have to confirm", async () => {
  await world.clock.advance(40_000 + 299_999);
  expect(get()?.metadata.deletionTimestamp).toBeUndefined();
  await world.clock.advance(1);
  expect(get()?.metadata.deletionTimestamp).toBeDefined();
  expect(get()?.status.reason).toBe("NodeLost");
  await world.clock.advance(3_600_000);
  expect(get()).toBeDefined();
});

it("leaves pods that tolerate it for good, such as daemons", async () => {
  world.api.create("daemonsets.apps", {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "agent", namespace: "default" },
    spec: { selector: { matchLabels: { app: "x" } }, template: template() },
  });
  await world.settle();
  await world.clock.advance(3_600_000);
  const [daemon] = world.pods().filter(({ metadata }) => metadata.name.startsWith("agent-"));
  expect(daemon).toBeDefined();
  expect(daemon?.metadata.deletionTimestamp).toBeUndefined();
});

it("forgives a node that comes back in time", async () => {
  await world.clock.advance(60_000);
  world.heartbeat("node-1");
  await world.settle();
  expect(ready()).toBe("True");
  expect(taints()).toEqual([]);
  for (let beat = 0; beat < 20; beat++) {
    await world.clock.advance(30_000);
    world.heartbeat("node-1");
  }
  expect(get()?.metadata.deletionTimestamp).toBeUndefined();
});

it("ends the pods of a node that is deleted", async () => {
  const phases: string[] = [];
  world.api.watch("pods", ({ type, object }) => phases.push(`${type} ${object.status.phase}`));
  world.api.delete("nodes", "", "node-1");
  await world.settle();
  expect(get()).toBeUndefined();
  expect(phases.at(-1)).toBe("DELETED Failed");
});

it("ends the pods of a lost node that is declared out of service", async () => {
  await world.clock.advance(60_000);
  world.api.modify("nodes", "", "node-1", ({ spec }) => {
    spec.taints.push({ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" });
  });
  await world.settle();
  expect(get()).toBeUndefined();
});

it("deletes sooner when the cluster is told to", async () => {
  await world.close();
  world = await createWorld({ nodes: ["node-1"], longestTolerationMs: 5_000 });
  world.api.create("pods", pod("a"));
  await world.settle();
  await world.clock.advance(45_000);
  expect(get()?.metadata.deletionTimestamp).toBeDefined();
});
