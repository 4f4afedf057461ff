// The API server as the parts of the cluster in its process see it: every rule of the contract of ClusterApi.
import { afterEach, beforeEach, expect, it } from "vitest";
import { type ApiServer, type ClusterEvent, createApiServer } from "../src/index.ts";
import { virtualClock } from "../src/virtual-clock.ts";

let server: ApiServer;

beforeEach(async () => {
  server = await createApiServer({ clock: virtualClock(Date.parse("2026-01-02T03:04:05Z")) });
});

afterEach(() => server.close());

const configMap = (name: string, extra: Record<string, unknown> = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default" },
  ...extra,
});

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("fills in what the server decides", () => {
  const { metadata } = server.cluster.create("configmaps", configMap("a"));
  expect(metadata).toMatchObject({
    name: "a",
    namespace: "default",
    creationTimestamp: "2026-01-02T03:04:05Z",
    uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
    resourceVersion: expect.stringMatching(/^\d+$/),
  });
});

it("gives copies", () => {
  const created = server.cluster.create("configmaps", configMap("a", { data: { x: "1" } }));
  created["data"].x = "2";
  expect(server.cluster.get("configmaps", "default", "a")?.["data"]).toEqual({ x: "1" });
});

it("refuses an update of an old version, and takes one of the present version", () => {
  const first = server.cluster.create("configmaps", configMap("a"));
  const second = server.cluster.update("configmaps", { ...first, data: { x: "1" } });
  expect(Number(second.metadata.resourceVersion)).toBeGreaterThan(
    Number(first.metadata.resourceVersion),
  );
  expect(() => server.cluster.update("configmaps", { ...first, data: { x: "2" } })).toThrow(
    expect.objectContaining({ status: 409, reason: "Conflict" }),
  );
});

it("changes nothing when nothing changes", () => {
  const first = server.cluster.create("configmaps", configMap("a"));
  const second = server.cluster.modify("configmaps", "default", "a", () => {});
  expect(second).toEqual(first);
});

it("tells a watcher of what is there, then of each change, in order and never inside the call", async () => {
  server.cluster.create("configmaps", configMap("a"));
  const seen: string[] = [];
  const stop = server.cluster.watch("configmaps", ({ type, object }: ClusterEvent) => {
    seen.push(`${type} ${object.metadata.name}`);
  });
  server.cluster.create("configmaps", configMap("b"));
  server.cluster.modify("configmaps", "default", "a", (object) => {
    object["data"] = { x: "1" };
  });
  server.cluster.delete("configmaps", "default", "b");
  expect(seen).toEqual([]);
  await tick();
  expect(seen).toEqual(["ADDED a", "ADDED b", "MODIFIED a", "DELETED b"]);
  stop();
  server.cluster.delete("configmaps", "default", "a");
  await tick();
  expect(seen).toHaveLength(4);
});

it("watches a kind before its definition is there", async () => {
  const seen: string[] = [];
  server.cluster.watch("gadgets.example.com", ({ object }) => {
    seen.push(object.metadata.name);
  });
  server.cluster.create("customresourcedefinitions.apiextensions.k8s.io", {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "gadgets.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "gadgets", kind: "Gadget" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
          },
        },
      ],
    },
  });
  server.cluster.create("gadgets.example.com", {
    apiVersion: "example.com/v1",
    kind: "Gadget",
    metadata: { name: "one", namespace: "default" },
  });
  await tick();
  expect(seen).toEqual(["one"]);
});

it("keeps an object until its last finalizer is gone", () => {
  server.cluster.create("configmaps", {
    ...configMap("a"),
    metadata: { name: "a", namespace: "default", finalizers: ["example.com/hold"] },
  });
  expect(server.cluster.delete("configmaps", "default", "a")).toBe(true);
  expect(server.cluster.get("configmaps", "default", "a")?.metadata.deletionTimestamp).toBe(
    "2026-01-02T03:04:05Z",
  );
  server.cluster.modify("configmaps", "default", "a", ({ metadata }) => {
    metadata.finalizers = [];
  });
  expect(server.cluster.get("configmaps", "default", "a")).toBeUndefined();
  expect(server.cluster.delete("configmaps", "default", "a")).toBe(false);
});

it("gives a pod on a node time to stop, and removes it at a deletion without any", () => {
  server.cluster.create("pods", {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default" },
    spec: { nodeName: "n", containers: [{ name: "c", image: "i" }] },
  });
  server.cluster.delete("pods", "default", "p");
  expect(server.cluster.get("pods", "default", "p")?.metadata).toMatchObject({
    deletionTimestamp: "2026-01-02T03:04:35Z",
    deletionGracePeriodSeconds: 30,
  });
  server.cluster.delete("pods", "default", "p", { gracePeriodSeconds: 0 });
  expect(server.cluster.get("pods", "default", "p")).toBeUndefined();
});

it("writes status and spec apart", () => {
  const pod = server.cluster.create("pods", {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default" },
    spec: { containers: [{ name: "c", image: "i" }] },
    status: { phase: "Running" },
  });
  expect(pod.status.phase).toBe("Pending");
  const running = server.cluster.modify(
    "pods",
    "default",
    "p",
    (object) => {
      object.status.phase = "Running";
      object.spec.nodeName = "elsewhere";
    },
    { subresource: "status" },
  );
  expect(running?.status.phase).toBe("Running");
  expect(running?.spec.nodeName).toBeUndefined();
});

it("creates nothing in a namespace that is missing or going", () => {
  const inside = (namespace: string) => ({
    ...configMap("a"),
    metadata: { name: "a", namespace },
  });
  expect(() => server.cluster.create("configmaps", inside("none"))).toThrow(
    'namespaces "none" not found',
  );
  server.cluster.create("namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "going" },
  });
  server.cluster.delete("namespaces", "", "going");
  expect(server.cluster.get("namespaces", "", "going")?.status.phase).toBe("Terminating");
  expect(() => server.cluster.create("configmaps", inside("going"))).toThrow(
    expect.objectContaining({ status: 403 }),
  );
  server.cluster.modify("namespaces", "", "going", (object) => {
    object.spec.finalizers = [];
  });
  expect(server.cluster.get("namespaces", "", "going")).toBeUndefined();
});
