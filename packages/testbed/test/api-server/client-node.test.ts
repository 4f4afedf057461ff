// What @kubernetes/client-node does: objects, lists in pages, kinds by name, informers, races.
import {
  CoreV1Api,
  CustomObjectsApi,
  KubeConfig,
  KubernetesObjectApi,
  makeInformer,
} from "@kubernetes/client-node";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type ApiServer, createApiServer, type Json } from "../../src/index.ts";
import { gadget, gadgetDefinition } from "./gadgets.ts";

let server: ApiServer;
const maps = "/api/v1/namespaces/default/configmaps";

beforeEach(async () => {
  server = await createApiServer();
  server.cluster.create("customresourcedefinitions.apiextensions.k8s.io", gadgetDefinition);
});

afterEach(() => server.close());

function config(): KubeConfig {
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [
      {
        name: "c",
        server: server.url,
        caData: Buffer.from(server.cluster.certificateAuthority ?? "").toString("base64"),
      },
    ],
    users: [{ name: "u", token: server.adminToken }],
    contexts: [{ name: "x", cluster: "c", user: "u" }],
    currentContext: "x",
  });
  return config;
}

const custom = { group: "example.com", version: "v1", namespace: "default", plural: "gadgets" };

it("creates, reads, replaces and deletes", async () => {
  const api = config().makeApiClient(CustomObjectsApi);
  const created: Json = await api.createNamespacedCustomObject({ ...custom, body: gadget("a") });
  expect(created.spec).toEqual({ mode: "fast", size: 3 });
  const read: Json = await api.getNamespacedCustomObject({ ...custom, name: "a" });
  const body = { ...read, spec: { mode: "slow" } };
  await api.replaceNamespacedCustomObject({ ...custom, name: "a", body });
  await expect(
    api.replaceNamespacedCustomObject({ ...custom, name: "a", body }),
  ).rejects.toMatchObject({ code: 409 });
  await expect(
    api.createNamespacedCustomObject({ ...custom, body: gadget("a") }),
  ).rejects.toMatchObject({ code: 409 });
  await expect(
    api.createNamespacedCustomObject({ ...custom, body: gadget("b", { mode: "odd" }) }),
  ).rejects.toMatchObject({ code: 422 });
  await api.deleteNamespacedCustomObject({ ...custom, name: "a" });
  await expect(api.getNamespacedCustomObject({ ...custom, name: "a" })).rejects.toMatchObject({
    code: 404,
  });
});

it("reads in pages", async () => {
  const api = config().makeApiClient(CoreV1Api);
  for (const name of ["a", "b"]) {
    await api.createNamespacedConfigMap({ namespace: "default", body: { metadata: { name } } });
  }
  const first = await api.listNamespacedConfigMap({ namespace: "default", limit: 1 });
  expect(first.items.map(({ metadata }) => metadata?.name)).toEqual(["a"]);
  expect(first.metadata).toMatchObject({ remainingItemCount: 1, _continue: expect.any(String) });
  const _continue = first.metadata?._continue as string;
  const second = await api.listNamespacedConfigMap({ namespace: "default", limit: 1, _continue });
  expect(second.items.map(({ metadata }) => metadata?.name)).toEqual(["b"]);
  expect(second.metadata?._continue).toBeUndefined();
  server.compact();
  await expect(
    api.listNamespacedConfigMap({ namespace: "default", limit: 1, _continue }),
  ).resolves.toBeDefined();
  await api.createNamespacedConfigMap({
    namespace: "default",
    body: { metadata: { name: "c" } },
  });
  server.compact();
  await expect(
    api.listNamespacedConfigMap({ namespace: "default", limit: 1, _continue }),
  ).rejects.toMatchObject({ code: 410 });
});

it("finds kinds by their group and version", async () => {
  const api = KubernetesObjectApi.makeApiClient(config());
  const body = gadget("a") as Json;
  await api.create(body);
  expect((await api.read(body)) as Json).toMatchObject({ spec: { mode: "fast" } });
});

it("starts an informer on an empty list, and hears what comes", async () => {
  const api = config().makeApiClient(CoreV1Api);
  const informer = makeInformer(config(), maps, () =>
    api.listNamespacedConfigMap({ namespace: "default" }),
  );
  const heard = new Promise((resolve) => {
    informer.on("add", (object) => resolve(object.metadata?.name));
  });
  await informer.start();
  await api.createNamespacedConfigMap({
    namespace: "default",
    body: { metadata: { name: "a" } },
  });
  expect(await heard).toBe("a");
  await informer.stop();
});

it("lets exactly one of two writers win each round", async () => {
  const api = config().makeApiClient(CustomObjectsApi);
  let current: Json = await api.createNamespacedCustomObject({ ...custom, body: gadget("a") });
  for (let round = 0; round < 10; round++) {
    const attempts = [0, 1].map((writer) =>
      api.replaceNamespacedCustomObject({
        ...custom,
        name: "a",
        body: { ...current, spec: { mode: "fast", size: 10 * round + writer + 1 } },
      }),
    );
    const results = await Promise.allSettled(attempts);
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    current = await api.getNamespacedCustomObject({ ...custom, name: "a" });
  }
});
