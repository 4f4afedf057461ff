// Endpoints and EndpointSlices follow the pods that a Service selects, and go with it.
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Json } from "../../src/kube-object.ts";
import { createWorld, template, type World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await createWorld({ nodes: ["node-1"] });
});
afterEach(() => world.close());

const slices = "endpointslices.discovery.k8s.io";

async function startPods(count: number): Promise<void> {
  world.api.create("statefulsets.apps", {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "db", namespace: "default" },
    spec: {
      replicas: count,
      podManagementPolicy: "Parallel",
      selector: { matchLabels: { app: "x" } },
      template: template(),
    },
  });
  await world.settle();
}

const service = (spec: Json) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "db", namespace: "default", labels: { tier: "data" } },
  spec: { ports: [{ name: "sql", port: 80, targetPort: 5432 }], ...spec },
});

async function giveAddress(name: string, podIP: string): Promise<void> {
  world.api.modify(
    "pods",
    "default",
    name,
    (pod) => {
      pod.status.podIP = podIP;
    },
    { subresource: "status" },
  );
  await world.settle();
}

const subsets = (): Json => world.api.get("endpoints", "default", "db")?.["subsets"];
const addresses = (field: string): string[] =>
  (subsets()[0]?.[field] ?? []).map(({ ip }: Json) => ip);

it("names the pods that are ready, and apart from them those that are not", async () => {
  await startPods(2);
  world.api.create("services", service({ selector: { app: "x" } }));
  await world.settle();
  expect(subsets()).toEqual([]);
  await giveAddress("db-0", "127.1.0.1");
  await giveAddress("db-1", "127.1.0.2");
  expect(addresses("notReadyAddresses")).toEqual(["127.1.0.1", "127.1.0.2"]);
  await world.setPod("db-1", "ready");
  await giveAddress("db-1", "127.1.0.2");
  expect(addresses("addresses")).toEqual(["127.1.0.2"]);
  expect(addresses("notReadyAddresses")).toEqual(["127.1.0.1"]);
  expect(subsets()[0].ports).toEqual([{ name: "sql", port: 5432, protocol: "TCP" }]);
  const [slice] = world.api.list(slices, "default");
  expect(slice?.["endpoints"]).toMatchObject([
    { addresses: ["127.1.0.1"], conditions: { ready: false } },
    { addresses: ["127.1.0.2"], conditions: { ready: true }, targetRef: { name: "db-1" } },
  ]);
});

it("leaves Endpoints alone of a Service that selects nothing", async () => {
  world.api.create("services", service({}));
  await world.settle();
  expect(world.api.list("endpoints", "default")).toEqual([]);
});

it("takes both away with the Service", async () => {
  await startPods(1);
  await giveAddress("db-0", "127.1.0.1");
  world.api.create("services", service({ selector: { app: "x" } }));
  await world.settle();
  expect(addresses("notReadyAddresses")).toEqual(["127.1.0.1"]);
  world.api.delete("services", "default", "db");
  await world.settle();
  expect(world.api.list("endpoints", "default")).toEqual([]);
  expect(world.api.list(slices, "default")).toEqual([]);
});
