// Workloads are scaled, changed and deleted, pods fail and are deleted, nodes come and go, in a drawn order: whatever happened, in
// the end there are exactly the pods that are asked for, and after the last deletion nothing. DM_SEED repeats, DM_FULL=1 is long.
import { type SeededRandom, seededRandom } from "@dm/fixtures";
import { expect, it, onTestFinished } from "vitest";
import { controllerOf } from "../../src/controllers/owner.ts";
import type { Json, StoredObject } from "../../src/kube-object.ts";
import { createWorld, template, type World } from "./world.ts";

const firstSeed = Number(process.env["DM_SEED"] ?? 1);
const runs = process.env["DM_FULL"] ? 60 : 4;
const steps = 60;

const kinds = {
  Deployment: "deployments.apps",
  DaemonSet: "daemonsets.apps",
  StatefulSet: "statefulsets.apps",
} as const;
type Kind = keyof typeof kinds;

it.each(Array.from({ length: runs }, (_, index) => firstSeed + index))(
  "ends as it is asked for (DM_SEED=%d)",
  async (seed) => {
    const random = seededRandom(seed);
    const world = await createWorld({ nodes: ["node-0", "node-1"] });
    onTestFinished(() => world.close());
    const names: [Kind, string][] = [];
    for (const kind of Object.keys(kinds) as Kind[]) {
      for (const strategy of ["RollingUpdate", "Recreate"]) {
        if (strategy === "Recreate" && kind !== "Deployment") continue;
        const name = `${kind}-${strategy}`.toLowerCase();
        names.push([kind, name]);
        world.api.create(kinds[kind], {
          apiVersion: "apps/v1",
          kind,
          metadata: { name, namespace: "default" },
          spec: {
            selector: { matchLabels: { app: "x" } },
            template: template(),
            ...(kind === "Deployment" ? { strategy: { type: strategy } } : {}),
          },
        });
      }
    }
    let nodes = 2;
    for (let step = 0; step < steps; step++) {
      await disturb(world, random, names, () => `node-${nodes++}`);
      if (random.integer(3) > 0) await world.settle();
    }
    if (world.api.list("nodes").length === 0) await world.addNode(`node-${nodes++}`);

    // Kubelets do their work from now on, and nobody disturbs.
    for (let round = 0; round < 200 && !(await isAsAsked(world, names)); round++) {
      await playKubelets(world);
      await world.clock.advance(20_000);
      for (const { metadata } of world.api.list("nodes")) world.heartbeat(metadata.name);
    }
    for (const [kind, name] of names) expect(problem(world, kind, name), name).toBeUndefined();

    for (const [kind, name] of names) {
      world.api.delete(kinds[kind], "default", name, { propagationPolicy: "Background" });
    }
    for (let round = 0; round < 10; round++) await world.finishDeletions();
    expect(world.pods()).toEqual([]);
    expect(world.api.list("replicasets.apps")).toEqual([]);
  },
);

async function disturb(
  world: World,
  random: SeededRandom,
  names: readonly [Kind, string][],
  nextNode: () => string,
): Promise<void> {
  const { api } = world;
  const [kind, name] = random.pick(names);
  const pods = world.pods();
  const pod = pods.length === 0 ? undefined : random.pick(pods);
  switch (random.integer(9)) {
    case 0:
      if (kind === "DaemonSet") return;
      api.modify(kinds[kind], "default", name, ({ spec }) => {
        spec.replicas = random.integer(4);
      });
      return;
    case 1:
      api.modify(kinds[kind], "default", name, ({ spec }) => {
        spec.template.spec.containers[0].image = `busybox:${random.integer(3)}`;
      });
      return;
    case 2:
      if (pod !== undefined) api.delete("pods", "default", pod.metadata.name);
      return;
    case 3:
      if (pod !== undefined) {
        api.delete("pods", "default", pod.metadata.name, { gracePeriodSeconds: 0 });
      }
      return;
    case 4:
      if (pod?.spec.nodeName !== undefined) await world.setPod(pod.metadata.name, "failed");
      return;
    case 5:
      await playKubelets(world);
      return;
    case 6:
      await world.addNode(nextNode());
      return;
    case 7: {
      const nodes = api.list("nodes");
      if (nodes.length > 1) api.delete("nodes", "", random.pick(nodes).metadata.name);
      return;
    }
    default:
      await world.clock.advance(random.integer(30_000));
      for (const { metadata } of api.list("nodes")) world.heartbeat(metadata.name);
  }
}

/** Pods that are going are gone, all others get ready. */
async function playKubelets(world: World): Promise<void> {
  await world.finishDeletions();
  for (const { metadata, spec, status } of world.pods()) {
    if (spec.nodeName === undefined || status.phase === "Failed") continue;
    await world.setPod(metadata.name, "ready");
  }
}

async function isAsAsked(world: World, names: readonly [Kind, string][]): Promise<boolean> {
  await world.settle();
  return names.every(([kind, name]) => problem(world, kind, name) === undefined);
}

/** What is not as the workload says. */
function problem(world: World, kind: Kind, name: string): string | undefined {
  const { api } = world;
  const workload = api.get(kinds[kind], "default", name) as StoredObject;
  const image: string = workload.spec.template.spec.containers[0].image;
  const owners = new Set([workload.metadata.uid]);
  for (const set of api.list("replicasets.apps")) {
    if (controllerOf(set)?.uid === workload.metadata.uid) owners.add(set.metadata.uid);
  }
  // A Deployment's failed pods stay for their logs.
  const pods = world
    .pods()
    .filter((pod) => owners.has(controllerOf(pod)?.uid ?? ""))
    .filter(({ status }) => kind !== "Deployment" || status.phase !== "Failed");
  const nodes = api.list("nodes").map(({ metadata }) => metadata.name);
  const wanted = kind === "DaemonSet" ? nodes.length : workload.spec.replicas;
  if (pods.length !== wanted) return `${pods.length} pods instead of ${wanted}`;
  for (const pod of pods) {
    const isReady = (pod.status.conditions ?? []).some(
      ({ type, status }: Json) => type === "Ready" && status === "True",
    );
    if (!isReady || pod.metadata.deletionTimestamp !== undefined)
      return `${pod.metadata.name} is not ready`;
    if (pod.spec.containers[0].image !== image) return `${pod.metadata.name} is of an old template`;
    if (!nodes.includes(pod.spec.nodeName)) return `${pod.metadata.name} is on no node`;
  }
  const places = new Set(pods.map(({ spec }) => spec.nodeName));
  if (kind === "DaemonSet" && places.size !== nodes.length) return "nodes without a pod";
  if (kind === "StatefulSet") {
    const expected = Array.from({ length: wanted }, (_, ordinal) => `${name}-${ordinal}`);
    if (pods.map(({ metadata }) => metadata.name).join() !== expected.join()) return "wrong names";
  }
  const ready = workload.status.numberReady ?? workload.status.readyReplicas ?? 0;
  if (ready !== wanted) return `status says ${ready} ready`;
  if (workload.status.observedGeneration !== workload.metadata.generation) return "old generation";
  return undefined;
}
