// Namespaces come with an account and the cluster's certificate, and go when everything in them has gone.
import { afterEach, beforeEach, expect, it } from "vitest";
import { createWorld, type World } from "./world.ts";

let world: World;

beforeEach(async () => {
  world = await createWorld();
  world.api.create("namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "velero" },
  });
  await world.settle();
});

afterEach(() => world.close());

const configMap = (name: string, metadata: object = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "velero", ...metadata },
});

it("has a default account and the root certificate, again when somebody deletes them", async () => {
  for (let round = 0; round < 2; round++) {
    expect(world.api.get("serviceaccounts", "velero", "default")).toBeDefined();
    expect(world.api.get("configmaps", "velero", "kube-root-ca.crt")).toBeDefined();
    world.api.delete("serviceaccounts", "velero", "default");
    world.api.delete("configmaps", "velero", "kube-root-ca.crt");
    await world.settle();
  }
});

it("goes with what is in it", async () => {
  world.api.create("configmaps", configMap("a"));
  world.api.delete("namespaces", "", "velero");
  await world.settle();
  expect(world.api.get("namespaces", "", "velero")).toBeUndefined();
  expect(world.api.list("configmaps", "velero")).toEqual([]);
  expect(world.api.list("serviceaccounts", "velero")).toEqual([]);
  expect(world.api.get("namespaces", "", "default")).toBeDefined();
});

it("waits for finalizers, and takes nothing new meanwhile", async () => {
  world.api.create("configmaps", configMap("held", { finalizers: ["test/hold"] }));
  world.api.delete("namespaces", "", "velero");
  await world.settle();
  expect(world.api.get("namespaces", "", "velero")?.status.phase).toBe("Terminating");
  expect(world.api.list("configmaps", "velero").map(({ metadata }) => metadata.name)).toEqual([
    "held",
  ]);
  expect(() => world.api.create("configmaps", configMap("b"))).toThrow(
    expect.objectContaining({ status: 403 }),
  );
  world.api.modify("configmaps", "velero", "held", ({ metadata }) => {
    delete metadata.finalizers;
  });
  await world.settle();
  expect(world.api.get("namespaces", "", "velero")).toBeUndefined();
});
