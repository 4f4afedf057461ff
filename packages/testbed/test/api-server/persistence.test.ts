// A server with a directory goes on where the last one stopped, also after a kill in the middle of a write.
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type ApiServer, createApiServer } from "../../src/index.ts";
import { httpClient } from "./http-client.ts";

let directory: string;
let server: ApiServer;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "dm-api-server-"));
  server = await createApiServer({ directory, tls: false });
});

afterEach(async () => {
  await server.close();
  await rm(directory, { recursive: true });
});

const configMap = (name: string, x = "1") => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default" },
  data: { x },
});

const definition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "gadgets.example.com" },
  spec: {
    group: "example.com",
    scope: "Namespaced",
    names: { plural: "gadgets", kind: "Gadget" },
    versions: [
      { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } },
    ],
  },
};

async function restart(): Promise<void> {
  await server.close();
  server = await createApiServer({ directory, tls: false });
}

it("keeps objects, kinds, tokens, address and versions", async () => {
  const { cluster, url } = server;
  cluster.create("customresourcedefinitions.apiextensions.k8s.io", definition);
  const gadget = { apiVersion: "example.com/v1", kind: "Gadget" };
  cluster.create("gadgets.example.com", {
    ...gadget,
    metadata: { name: "g", namespace: "default" },
  });
  cluster.create("configmaps", configMap("a"));
  cluster.create("configmaps", configMap("b"));
  cluster.delete("configmaps", "default", "b");
  const before = cluster.list("configmaps");
  const token = cluster.tokenFor("default", "x");
  await restart();
  expect(server.url).toBe(url);
  expect(server.cluster.list("configmaps")).toEqual(before);
  expect(server.cluster.list("gadgets.example.com")).toHaveLength(1);
  expect((await httpClient(server, token)("GET", "/api/v1/configmaps")).status).toBe(403);
  const next = server.cluster.create("configmaps", configMap("c"));
  const last = Math.max(...before.map(({ metadata }) => Number(metadata.resourceVersion)));
  expect(Number(next.metadata.resourceVersion)).toBeGreaterThan(last + 1);
});

it("tells a watch from before that its version is too old", async () => {
  const { metadata } = server.cluster.create("configmaps", configMap("a"));
  server.cluster.create("configmaps", configMap("b"));
  await restart();
  const path = `/api/v1/configmaps?watch=true&resourceVersion=${metadata.resourceVersion}`;
  const lines = [];
  for await (const line of httpClient(server).watch(path)) lines.push(line);
  expect(lines).toMatchObject([{ type: "ERROR", object: { code: 410, reason: "Expired" } }]);
});

it("leaves out a last line that was cut off", async () => {
  server.cluster.create("configmaps", configMap("a"));
  await server.close();
  const file = join(directory, "objects.jsonl");
  await appendFile(file, '{"resource":"configmaps","key":"default/b","ver');
  server = await createApiServer({ directory, tls: false });
  expect(server.cluster.list("configmaps").map(({ metadata }) => metadata.name)).toEqual(["a"]);
  server.cluster.create("configmaps", configMap("c"));
  await restart();
  expect(server.cluster.list("configmaps")).toHaveLength(2);
});

it("refuses a file that is damaged elsewhere", async () => {
  await server.close();
  const file = join(directory, "objects.jsonl");
  const text = await readFile(file, "utf8");
  await writeFile(file, `broken\n${text}`);
  await expect(createApiServer({ directory, tls: false })).rejects.toThrow(
    expect.objectContaining({ code: "DM_TESTBED_STATE" }),
  );
  await writeFile(file, text);
  server = await createApiServer({ directory, tls: false });
});

it("does not grow with every change", async () => {
  server.cluster.create("configmaps", configMap("a"));
  for (let round = 0; round < 3000; round++) {
    server.cluster.modify("configmaps", "default", "a", (object) => {
      object["data"].x = String(round);
    });
  }
  const lines = (await readFile(join(directory, "objects.jsonl"), "utf8")).split("\n").length;
  expect(lines).toBeLessThan(1200);
  await restart();
  expect(server.cluster.get("configmaps", "default", "a")?.["data"].x).toBe("2999");
});
