// Requests over HTTP and their answers, as a real server gives them.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ApiServer, createApiServer, type Json } from "../../src/index.ts";
import { gadget, gadgetDefinition } from "./gadgets.ts";
import { type HttpClient, httpClient } from "./http-client.ts";

let server: ApiServer;
let http: HttpClient;
const gadgets = "/apis/example.com/v1/namespaces/default/gadgets";
const maps = "/api/v1/namespaces/default/configmaps";

beforeEach(async () => {
  server = await createApiServer({ tls: false });
  http = httpClient(server);
  server.cluster.create("customresourcedefinitions.apiextensions.k8s.io", gadgetDefinition);
});

afterEach(() => server.close());

describe("refusals", () => {
  it("of bodies under the wrong type", async () => {
    await http("POST", gadgets, gadget("a"));
    const json = { "Content-Type": "application/json-patch+json" };
    const patch = await http("PATCH", `${gadgets}/a`, { spec: {} }, json);
    expect(patch).toMatchObject({ status: 400, body: { reason: "BadRequest" } });
    expect(patch.body.message).toContain("error decoding patch");
    const strategic = { "Content-Type": "application/strategic-merge-patch+json" };
    const unsupported = await http("PATCH", `${gadgets}/a`, { spec: {} }, strategic);
    expect(unsupported.status).toBe(415);
    expect(unsupported.body.message).toContain("application/merge-patch+json");
    expect((await http("POST", gadgets, "no json")).status).toBe(400);
    expect((await http("POST", gadgets, "x".repeat(4 << 20))).status).toBe(413);
  });

  it("of paths and methods", async () => {
    for (const path of [
      "/apis/none/v1/x",
      "/api/v1/zorks",
      "/apis/example.com/v2/gadgets",
      "/zork",
    ]) {
      const { status, body } = await http("GET", path);
      expect(status).toBe(404);
      expect(body.message).toBe("the server could not find the requested resource");
    }
    expect((await http("PUT", maps, {})).status).toBe(405);
  });

  it("of a PUT without a version, for custom kinds", async () => {
    await http("POST", gadgets, gadget("a"));
    const { status, body } = await http("PUT", `${gadgets}/a`, gadget("a"));
    expect(status).toBe(422);
    expect(body.message).toContain("metadata.resourceVersion");
    await http("POST", maps, { metadata: { name: "m" } });
    expect((await http("PUT", `${maps}/m`, { metadata: { name: "m" } })).status).toBe(200);
  });

  it("of unknown fields, or a warning, or neither", async () => {
    const body = (name: string): Json => gadget(name, { mode: "fast", zork: 1 });
    const strict = await http("POST", `${gadgets}?fieldValidation=Strict`, body("a"));
    expect(strict).toMatchObject({ status: 400, body: { reason: "BadRequest" } });
    expect(strict.body.message).toMatch(/strict decoding error: unknown field "spec.zork"$/);
    const warned = await http("POST", `${gadgets}?fieldValidation=Warn`, body("b"));
    expect(warned.headers.get("warning")).toBe('299 - "unknown field \\"spec.zork\\""');
    const ignored = await http("POST", `${gadgets}?fieldValidation=Ignore`, body("c"));
    expect(ignored.headers.get("warning")).toBeNull();
    expect([warned, ignored].map((one) => one.body.spec.zork)).toEqual([undefined, undefined]);
  });
});

it("writes nothing in a dry run", async () => {
  expect((await http("POST", `${gadgets}?dryRun=All`, gadget("a"))).status).toBe(201);
  expect(server.cluster.list("gadgets.example.com")).toEqual([]);
  await http("POST", gadgets, gadget("a"));
  const merge = { "Content-Type": "application/merge-patch+json" };
  const patched = await http("PATCH", `${gadgets}/a?dryRun=All`, { spec: { mode: "slow" } }, merge);
  expect(patched.body.spec.mode).toBe("slow");
  expect((await http("DELETE", `${gadgets}/a?dryRun=All`)).status).toBe(200);
  expect(server.cluster.get("gadgets.example.com", "default", "a")?.spec.mode).toBe("fast");
});

it("answers deletions as a real server", async () => {
  const { body } = await http("POST", gadgets, gadget("a"));
  const gone = await http("DELETE", `${gadgets}/a`, { propagationPolicy: "Background" });
  expect(gone.body).toEqual({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: { name: "a", group: "example.com", kind: "gadgets", uid: body.metadata.uid },
  });
  await http("POST", gadgets, {
    ...gadget("b"),
    metadata: { name: "b", finalizers: ["example.com/a"] },
  });
  const held = await http("DELETE", `${gadgets}/b`);
  expect(held.body.metadata).toMatchObject({ deletionGracePeriodSeconds: 0, generation: 2 });
  const merge = { "Content-Type": "application/merge-patch+json" };
  const last = await http("PATCH", `${gadgets}/b`, { metadata: { finalizers: null } }, merge);
  expect(last.status).toBe(200);
  expect(server.cluster.get("gadgets.example.com", "default", "b")).toBeUndefined();
});

it("deletes what a selector selects", async () => {
  for (const [name, team] of [
    ["a", "red"],
    ["b", "blue"],
    ["c", "red"],
  ]) {
    await http("POST", gadgets, { ...gadget("x"), metadata: { name, labels: { team } } });
  }
  const { body } = await http("DELETE", `${gadgets}?labelSelector=team%3Dred`);
  expect(body.items.map((one: Json) => one.metadata.name)).toEqual(["a", "c"]);
  expect(server.cluster.list("gadgets.example.com")).toHaveLength(1);
});

it("scales", async () => {
  const labels = { app: "d" };
  server.cluster.create("deployments.apps", {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "d", namespace: "default" },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } },
    },
  });
  const path = "/apis/apps/v1/namespaces/default/deployments/d/scale";
  const { body } = await http("GET", path);
  expect(body).toMatchObject({
    kind: "Scale",
    spec: { replicas: 1 },
    status: { selector: "app=d" },
  });
  expect((await http("PUT", path, { ...body, spec: { replicas: 5 } })).body.spec.replicas).toBe(5);
  expect((await http("PUT", path, { ...body, spec: { replicas: 6 } })).status).toBe(409);
});
