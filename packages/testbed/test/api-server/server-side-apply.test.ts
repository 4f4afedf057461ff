// Server-side apply and field ownership, as `kubectl apply --server-side` and controllers with several managers meet them.
import { afterEach, beforeEach, expect, it } from "vitest";
import { type ApiServer, createApiServer, type Json } from "../../src/index.ts";
import { type HttpClient, httpClient } from "./http-client.ts";

let server: ApiServer;
let http: HttpClient;
const maps = "/api/v1/namespaces/default/configmaps";
const pods = "/api/v1/namespaces/default/pods";

beforeEach(async () => {
  server = await createApiServer({ tls: false });
  http = httpClient(server);
});

afterEach(() => server.close());

const apply = (
  path: string,
  manager: string,
  object: Json,
  force = false,
): Promise<{ status: number; body: Json }> =>
  http("PATCH", `${path}?fieldManager=${manager}&force=${force}`, object, {
    "Content-Type": "application/apply-patch+yaml",
  });

const configMap = (data: Record<string, string>, extra: Json = {}): Json => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "a", ...extra },
  data,
});

it("makes what is not there, and notes who did", async () => {
  const { status, body } = await apply(`${maps}/a`, "one", configMap({ x: "1" }));
  expect(status).toBe(201);
  expect(body.metadata.managedFields).toMatchObject([
    {
      manager: "one",
      operation: "Apply",
      apiVersion: "v1",
      fieldsType: "FieldsV1",
      fieldsV1: { "f:data": { "f:x": {} } },
    },
  ]);
});

it("refuses a field of another manager with another value, shares it with the same, takes it by force", async () => {
  await apply(`${maps}/a`, "one", configMap({ x: "1", y: "1" }));
  const refused = await apply(`${maps}/a`, "two", configMap({ x: "2", z: "2" }));
  expect(refused).toMatchObject({
    status: 409,
    body: {
      reason: "Conflict",
      message: 'Apply failed with 1 conflict: conflict with "one": .data.x',
      details: {
        causes: [
          { reason: "FieldManagerConflict", message: 'conflict with "one"', field: ".data.x" },
        ],
      },
    },
  });
  expect((await apply(`${maps}/a`, "two", configMap({ x: "1" }))).status).toBe(200);
  const forced = await apply(`${maps}/a`, "two", configMap({ x: "2" }), true);
  expect(forced.body.data).toEqual({ x: "2", y: "1" });
  // No longer of the first, who therefore leaves it when he stops naming it.
  const left = await apply(`${maps}/a`, "one", configMap({ y: "1" }));
  expect(left.body.data).toEqual({ x: "2", y: "1" });
});

it("names a manager that updated with the version it used", async () => {
  await http("POST", `${maps}?fieldManager=kubectl-create`, configMap({ x: "1", y: "1" }));
  const refused = await apply(`${maps}/a`, "two", configMap({ x: "2", y: "2" }));
  expect(refused.body.message).toBe(
    'Apply failed with 2 conflicts: conflicts with "kubectl-create" using v1:\n- .data.x\n- .data.y',
  );
});

it("removes what its only owner no longer names", async () => {
  await apply(`${maps}/a`, "one", configMap({ x: "1", y: "1" }, { labels: { a: "b" } }));
  await apply(`${maps}/a`, "two", configMap({ y: "1" }));
  const { body } = await apply(`${maps}/a`, "one", configMap({ z: "1" }));
  expect(body.data).toEqual({ y: "1", z: "1" });
  expect(body.metadata.labels).toBeUndefined();
});

it("changes nothing when the same is applied again", async () => {
  const first = await apply(`${maps}/a`, "one", configMap({ x: "1" }));
  const second = await apply(`${maps}/a`, "one", configMap({ x: "1" }));
  expect(second.body).toEqual(first.body);
});

it("merges lists by their keys", async () => {
  const pod = (containers: Json[]): Json => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", finalizers: ["example.com/a"] },
    spec: { containers },
  });
  await apply(`${pods}/p`, "one", pod([{ name: "a", image: "i" }]));
  const { status, body } = await apply(`${pods}/p`, "two", {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", finalizers: ["example.com/b"] },
    spec: { containers: [{ name: "a", image: "i" }] },
  });
  expect(status).toBe(200);
  expect(body.spec.containers).toHaveLength(1);
  expect(body.metadata.finalizers).toEqual(["example.com/a", "example.com/b"]);
});

it("gives an updated field to who updated it", async () => {
  await apply(`${maps}/a`, "one", configMap({ x: "1" }));
  await http(
    "PATCH",
    `${maps}/a?fieldManager=two`,
    { data: { x: "2" } },
    {
      "Content-Type": "application/merge-patch+json",
    },
  );
  const { metadata } = server.cluster.get("configmaps", "default", "a") ?? {};
  expect(metadata?.["managedFields"]).toMatchObject([{ manager: "two", operation: "Update" }]);
});
