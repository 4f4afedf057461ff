// The rules of a real server for writes: names, versions, generation, finalizers, fixed fields, defaults, and the words of refusals.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ApiError, type ApiServer, createApiServer, type Json } from "../../src/index.ts";
import { virtualClock } from "../../src/virtual-clock.ts";
import { gadget, gadgetDefinition } from "./gadgets.ts";

let server: ApiServer;
const definitions = "customresourcedefinitions.apiextensions.k8s.io";
const gadgets = "gadgets.example.com";

beforeEach(async () => {
  server = await createApiServer({
    tls: false,
    clock: virtualClock(Date.parse("2026-01-02T03:04:05Z")),
  });
  server.cluster.create(definitions, gadgetDefinition);
});

afterEach(() => server.close());

function refusal(call: () => unknown): Json {
  try {
    call();
  } catch (error) {
    if (error instanceof ApiError) return error.toJSON();
    throw error;
  }
  throw new Error("nothing was refused");
}

const claim = (name: string, spec: Json = {}) => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name, namespace: "default" },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...spec },
});

describe("refusals", () => {
  it("of a name that is taken, also while it is on its way out", () => {
    server.cluster.create(gadgets, {
      ...gadget("x1"),
      metadata: { name: "x1", namespace: "default", finalizers: ["example.com/hold"] },
    });
    expect(refusal(() => server.cluster.create(gadgets, gadget("x1")))).toMatchObject({
      code: 409,
      reason: "AlreadyExists",
      message: 'gadgets.example.com "x1" already exists',
      details: { name: "x1", group: "example.com", kind: "gadgets" },
    });
    server.cluster.delete(gadgets, "default", "x1");
    expect(refusal(() => server.cluster.create(gadgets, gadget("x1"))).message).toBe(
      'object is being deleted: gadgets.example.com "x1" already exists',
    );
  });

  it("of a version on something new, unless it is 0, which is none", () => {
    const metadata = { name: "x1", namespace: "default", resourceVersion: "7" };
    expect(
      refusal(() => server.cluster.create(gadgets, { ...gadget("x1"), metadata })),
    ).toMatchObject({
      message: "resourceVersion should not be set on objects to be created",
    });
    const none = { ...gadget("x1"), metadata: { ...metadata, resourceVersion: "0" } };
    expect(Number(server.cluster.create(gadgets, none).metadata.resourceVersion)).toBeGreaterThan(
      0,
    );
  });

  it("of an old version", () => {
    const first = server.cluster.create(gadgets, gadget("x1"));
    server.cluster.update(gadgets, { ...first, spec: { mode: "slow" } });
    expect(refusal(() => server.cluster.update(gadgets, first))).toMatchObject({
      code: 409,
      reason: "Conflict",
      message:
        'Operation cannot be fulfilled on gadgets.example.com "x1": the object has been modified; please apply your changes to the latest version and try again',
    });
  });

  it("of names, kinds and namespaces", () => {
    expect(refusal(() => server.cluster.create(gadgets, gadget("Not_Good"))).code).toBe(422);
    expect(refusal(() => server.cluster.create(gadgets, gadget(""))).message).toContain(
      "name or generateName is required",
    );
    const wrong = { ...gadget("a"), kind: "Widget" };
    expect(refusal(() => server.cluster.create(gadgets, wrong)).code).toBe(400);
    expect(refusal(() => server.cluster.create("widgets.example.com", wrong)).code).toBe(404);
    const elsewhere = { ...gadget("a"), metadata: { name: "a", namespace: "none" } };
    expect(refusal(() => server.cluster.create(gadgets, elsewhere)).message).toBe(
      'namespaces "none" not found',
    );
  });

  it("of what is fixed", () => {
    const bound = server.cluster.create("persistentvolumeclaims", claim("c", { volumeName: "v" }));
    bound.spec.volumeName = "w";
    expect(refusal(() => server.cluster.update("persistentvolumeclaims", bound)).code).toBe(422);
    bound.spec.volumeName = "v";
    bound.spec.resources.requests.storage = "2Gi";
    server.cluster.update("persistentvolumeclaims", bound);
    const pod = server.cluster.create("pods", {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "default" },
      spec: { containers: [{ name: "c", image: "i" }] },
    });
    pod.spec.containers[0].command = ["other"];
    expect(refusal(() => server.cluster.update("pods", pod)).message).toContain(
      "pod updates may not change fields",
    );
  });

  it("of a pod that mounts a volume it does not have", () => {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "default" },
      spec: {
        containers: [{ name: "c", image: "i", volumeMounts: [{ name: "v", mountPath: "/v" }] }],
      },
    };
    expect(refusal(() => server.cluster.create("pods", pod)).message).toBe(
      'Pod "p" is invalid: spec.containers[0].volumeMounts[0].name: Not found: "v"',
    );
  });

  it("of new finalizers on an object that goes", () => {
    server.cluster.create(gadgets, {
      ...gadget("f"),
      metadata: { name: "f", namespace: "default", finalizers: ["example.com/a"] },
    });
    server.cluster.delete(gadgets, "default", "f");
    const add = () =>
      server.cluster.modify(gadgets, "default", "f", ({ metadata }) => {
        metadata.finalizers = ["example.com/a", "example.com/b"];
      });
    expect(refusal(add).message).toContain("no new finalizers can be added");
  });
});

it("generates names", () => {
  const names = new Set<string>();
  for (let round = 0; round < 50; round++) {
    const { metadata } = server.cluster.create(gadgets, {
      ...gadget(""),
      metadata: { generateName: "made-", namespace: "default" },
    });
    names.add(metadata.name);
  }
  expect(names.size).toBe(50);
  for (const name of names) expect(name).toMatch(/^made-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
});

describe("generation", () => {
  it("moves with spec and deletion, not with metadata and status", () => {
    const generation = (): number | undefined =>
      server.cluster.get(gadgets, "default", "g")?.metadata.generation;
    server.cluster.create(gadgets, {
      ...gadget("g"),
      metadata: { name: "g", namespace: "default", finalizers: ["example.com/a"] },
    });
    expect(generation()).toBe(1);
    const modify = (change: (object: Json) => void, subresource?: "status"): void => {
      server.cluster.modify(gadgets, "default", "g", change, { subresource });
    };
    modify(({ metadata }) => {
      metadata.labels = { a: "b" };
    });
    expect(generation()).toBe(1);
    modify((object) => {
      object.status = { phase: "Ready" };
    }, "status");
    expect(generation()).toBe(1);
    modify(({ spec }) => {
      spec.mode = "slow";
    });
    expect(generation()).toBe(2);
    server.cluster.delete(gadgets, "default", "g");
    expect(generation()).toBe(3);
  });

  it("moves with status where the definition has no status subresource", () => {
    const [version] = gadgetDefinition.spec.versions;
    const { subresources: _, ...plain } = version as Json;
    server.cluster.modify(definitions, "", gadgets, ({ spec }) => {
      spec.versions = [plain];
    });
    server.cluster.create(gadgets, { ...gadget("g"), status: { phase: "New" } });
    const after = server.cluster.modify(gadgets, "default", "g", (object) => {
      object.status.phase = "Ready";
    });
    expect(after?.status.phase).toBe("Ready");
    expect(after?.metadata.generation).toBe(2);
  });
});

describe("defaults", () => {
  it("of a claim: mode, protection, default class", () => {
    server.cluster.create("storageclasses.storage.k8s.io", {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: {
        name: "usual",
        annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
      },
      provisioner: "csi.example.com",
    });
    const created = server.cluster.create("persistentvolumeclaims", claim("c"));
    expect(created.spec).toMatchObject({ volumeMode: "Filesystem", storageClassName: "usual" });
    expect(created.metadata.finalizers).toEqual(["kubernetes.io/pvc-protection"]);
    expect(created.status).toEqual({ phase: "Pending" });
    const without = server.cluster.create(
      "persistentvolumeclaims",
      claim("d", { storageClassName: "" }),
    );
    expect(without.spec.storageClassName).toBe("");
  });

  it("of a secret: stringData goes into data", () => {
    const secret = server.cluster.create("secrets", {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "s", namespace: "default" },
      stringData: { a: "b" },
    });
    expect(secret["data"]).toEqual({ a: "Yg==" });
    expect(secret["stringData"]).toBeUndefined();
    expect(secret["type"]).toBe("Opaque");
  });

  it("are the same when they are applied again", () => {
    const pod = server.cluster.create("pods", {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "default" },
      spec: { containers: [{ name: "c", image: "i", env: [{ name: "a", value: "b" }] }] },
    });
    expect(server.cluster.update("pods", pod)).toEqual(pod);
  });
});

it("keeps what a deletion wants of dependents as finalizers", () => {
  server.cluster.create(gadgets, gadget("a"));
  server.cluster.delete(gadgets, "default", "a", { propagationPolicy: "Foreground" });
  expect(server.cluster.get(gadgets, "default", "a")?.metadata.finalizers).toEqual([
    "foregroundDeletion",
  ]);
  server.cluster.create(gadgets, gadget("b"));
  server.cluster.delete(gadgets, "default", "b", { propagationPolicy: "Orphan" });
  expect(server.cluster.get(gadgets, "default", "b")?.metadata.finalizers).toEqual(["orphan"]);
});

it("deletes only what it is asked to by uid", () => {
  server.cluster.create(gadgets, gadget("a"));
  const other = () => server.cluster.delete(gadgets, "default", "a", { uid: "another" });
  expect(refusal(other).code).toBe(409);
});

it("takes all objects of a definition with it", () => {
  server.cluster.create(gadgets, gadget("a"));
  server.cluster.create(gadgets, {
    ...gadget("b"),
    metadata: { name: "b", namespace: "default", finalizers: ["example.com/a"] },
  });
  server.cluster.delete(definitions, "", gadgets);
  expect(server.cluster.list(gadgets).map(({ metadata }) => metadata.name)).toEqual(["b"]);
  server.cluster.modify(gadgets, "default", "b", ({ metadata }) => {
    metadata.finalizers = [];
  });
  expect(server.cluster.get(definitions, "", gadgets)).toBeUndefined();
  expect(refusal(() => server.cluster.list(gadgets)).code).toBe(404);
});
