// What belongs to something goes with its last owner, by uid; and the three policies of deletion, over built-in and custom kinds.
import { afterEach, beforeEach, expect, it } from "vitest";
import { configMap, createWorld, ownedBy, type World } from "./world.ts";

let world: World;

beforeEach(async () => {
  world = await createWorld();
});

afterEach(() => world.close());

const names = (): string[] =>
  world.api
    .list("configmaps", "default")
    .map(({ metadata }) => metadata.name)
    .filter((name) => name !== "kube-root-ca.crt");

it("takes children and their children after the owner", async () => {
  const owner = world.api.create("configmaps", configMap("owner"));
  const child = world.api.create("configmaps", configMap("child", ownedBy(owner)));
  world.api.create("configmaps", configMap("grandchild", ownedBy(child)));
  world.api.create("configmaps", configMap("stranger"));
  await world.settle();
  expect(names()).toHaveLength(4);
  world.api.delete("configmaps", "default", "owner");
  await world.settle();
  expect(names()).toEqual(["stranger"]);
});

it("goes by the uid, not the name", async () => {
  const first = world.api.create("configmaps", configMap("owner"));
  world.api.delete("configmaps", "default", "owner");
  world.api.create("configmaps", configMap("owner"));
  world.api.create("configmaps", configMap("child", ownedBy(first)));
  await world.settle();
  expect(names()).toEqual(["owner"]);
});

it("keeps what has another owner, without the reference to the lost one", async () => {
  const one = world.api.create("configmaps", configMap("one"));
  const two = world.api.create("configmaps", configMap("two"));
  const references = [one, two].flatMap(
    (owner) => (ownedBy(owner) as { ownerReferences: object[] }).ownerReferences,
  );
  world.api.create("configmaps", configMap("child", { ownerReferences: references }));
  world.api.delete("configmaps", "default", "one");
  await world.settle();
  const child = world.api.get("configmaps", "default", "child");
  expect(child?.metadata.ownerReferences).toMatchObject([{ name: "two" }]);
  world.api.delete("configmaps", "default", "two");
  await world.settle();
  expect(names()).toEqual([]);
});

it("takes a child whose owner is in another namespace, and leaves one of an unknown kind", async () => {
  const owner = world.api.create("configmaps", {
    ...configMap("owner"),
    metadata: { name: "owner", namespace: "kube-system" },
  });
  world.api.create("configmaps", configMap("child", ownedBy(owner)));
  const unknown = { ...owner, apiVersion: "nobody.io/v1", kind: "Nothing" };
  world.api.create("configmaps", configMap("other", ownedBy(unknown)));
  await world.settle();
  expect(names()).toEqual(["other"]);
});

it("waits in the foreground for what blocks", async () => {
  const owner = world.api.create("configmaps", configMap("owner"));
  const holder = { finalizers: ["test/hold"] };
  world.api.create(
    "configmaps",
    configMap("blocking", { ...ownedBy(owner, { blockOwnerDeletion: true }), ...holder }),
  );
  world.api.create("configmaps", configMap("free", { ...ownedBy(owner), ...holder }));
  await world.settle();
  world.api.delete("configmaps", "default", "owner", { propagationPolicy: "Foreground" });
  await world.settle();
  expect(names()).toEqual(["blocking", "free", "owner"]);
  for (const name of ["blocking", "free"]) {
    const child = world.api.get("configmaps", "default", name);
    expect(child?.metadata.deletionTimestamp, name).toBeDefined();
  }
  world.api.modify("configmaps", "default", "blocking", ({ metadata }) => {
    delete metadata.finalizers;
  });
  await world.settle();
  expect(names()).toEqual(["free"]);
});

it("leaves orphans their lives", async () => {
  const owner = world.api.create("configmaps", configMap("owner"));
  world.api.create("configmaps", configMap("child", ownedBy(owner)));
  await world.settle();
  world.api.delete("configmaps", "default", "owner", { propagationPolicy: "Orphan" });
  await world.settle();
  expect(names()).toEqual(["child"]);
  const child = world.api.get("configmaps", "default", "child");
  expect(child?.metadata.ownerReferences).toBeUndefined();
});

it("knows custom kinds as owners and as children", async () => {
  world.api.create("customresourcedefinitions.apiextensions.k8s.io", {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "things.test.io" },
    spec: {
      group: "test.io",
      scope: "Namespaced",
      names: { kind: "Thing", plural: "things" },
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
  await world.settle();
  const thing = (name: string, metadata: object = {}) => ({
    apiVersion: "test.io/v1",
    kind: "Thing",
    metadata: { name, namespace: "default", ...metadata },
  });
  const owner = world.api.create("things.test.io", thing("owner"));
  const child = world.api.create("configmaps", configMap("child", ownedBy(owner)));
  world.api.create("things.test.io", thing("grandchild", ownedBy(child)));
  await world.settle();
  expect(world.api.list("things.test.io")).toHaveLength(2);
  world.api.delete("things.test.io", "default", "owner");
  await world.settle();
  expect(world.api.list("things.test.io")).toEqual([]);
  expect(names()).toEqual([]);
});
