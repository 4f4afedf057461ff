// Definitions and what their schemas do: conditions, several versions, approval, pruning, defaults, and every check with its words.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fillDefaults, pruneUnknown, validateSchema } from "../../src/api-server/custom-schema.ts";
import { type ApiServer, createApiServer, type Json } from "../../src/index.ts";
import { gadget, gadgetDefinition } from "./gadgets.ts";

const schema: Json = gadgetDefinition.spec.versions[0]?.schema.openAPIV3Schema;
const definitions = "customresourcedefinitions.apiextensions.k8s.io";

describe("schemas", () => {
  const wrong = (spec: Json): string[] =>
    validateSchema(schema, { ...gadget("a", spec) }).map(
      ({ field, message }) => `${field}: ${message}`,
    );

  it.each<[string, Json, string]>([
    [
      "type",
      { mode: 3 },
      'spec.mode: Invalid value: "integer": spec.mode in body must be of type string: "integer"',
    ],
    ["required", {}, "spec.mode: Required value"],
    [
      "enum",
      { mode: "odd" },
      'spec.mode: Unsupported value: "odd": supported values: "slow", "fast"',
    ],
    [
      "minimum",
      { mode: "fast", size: 0 },
      "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
    ],
    [
      "pattern",
      { mode: "fast", name: "A" },
      "spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]*$'",
    ],
    [
      "maxLength",
      { mode: "fast", name: "abcdef" },
      'spec.name: Invalid value: "abcdef": spec.name in body should be at most 5 chars long',
    ],
    [
      "null",
      { mode: null },
      'spec.mode: Invalid value: "null": spec.mode in body must be of type string: "null"',
    ],
    [
      "int or string",
      { mode: "fast", amount: true },
      'spec.amount: Invalid value: "boolean": spec.amount in body must be of type integer,string: "boolean"',
    ],
    ["items", { mode: "fast", items: [{}] }, "spec.items[0].name: Required value"],
    [
      "maxItems",
      { mode: "fast", items: [{ name: "a" }, { name: "b" }, { name: "c" }] },
      "spec.items: Too many: 3: must have at most 2 items",
    ],
    [
      "keys",
      { mode: "fast", items: [{ name: "a" }, { name: "a" }] },
      'spec.items[1]: Duplicate value: {"name":"a"}',
    ],
    [
      "values of maps",
      { mode: "fast", labels: { a: 1 } },
      'spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer"',
    ],
  ])("%s", (_name, spec, text) => {
    expect(wrong(spec)).toEqual([text]);
  });

  it("take what is right", () => {
    const spec = {
      mode: "fast",
      size: 1,
      amount: "5Gi",
      note: null,
      free: { any: [1] },
      labels: { a: "b" },
    };
    expect(wrong(spec)).toEqual([]);
  });

  it("prune what they do not know, but for what is free", () => {
    const object: Json = gadget("a", {
      mode: "fast",
      zork: 1,
      free: { kept: { deep: 1 } },
      items: [{ name: "a", zork: 1 }],
    });
    object.other = 1;
    expect(pruneUnknown(schema, object).sort()).toEqual([
      "other",
      "spec.items[0].zork",
      "spec.zork",
    ]);
    expect(object.spec).toEqual({
      mode: "fast",
      free: { kept: { deep: 1 } },
      items: [{ name: "a" }],
    });
    expect(object.metadata.name).toBe("a");
  });

  it("fill in defaults, also for null where null is not allowed", () => {
    const object: Json = gadget("a", { mode: "fast", size: null });
    fillDefaults(schema, object);
    expect(object.spec.size).toBe(3);
  });

  it.each<[string, Json, Json, number]>([
    ["one of them", { oneOf: [{ required: ["a"] }, { required: ["b"] }] }, { a: "1" }, 0],
    ["one of two", { oneOf: [{ required: ["a"] }, { required: ["b"] }] }, { a: "1", b: "1" }, 1],
    ["any", { anyOf: [{ required: ["a"] }, { required: ["b"] }] }, {}, 1],
    ["not", { not: { required: ["a"] } }, { a: "1" }, 1],
    ["all", { allOf: [{ required: ["a"] }, { required: ["b"] }] }, { a: "1" }, 1],
  ])("combine: %s", (_name, rule, value, count) => {
    const text = { type: "string" };
    const whole = {
      type: "object",
      properties: { spec: { type: "object", properties: { a: text, b: text }, ...rule } },
    };
    expect(validateSchema(whole, { spec: value })).toHaveLength(count);
  });
});

describe("definitions", () => {
  let server: ApiServer;
  beforeEach(async () => {
    server = await createApiServer({ tls: false });
  });
  afterEach(() => server.close());

  it("are established at once, and change with their next version", () => {
    const { status } = server.cluster.create(definitions, gadgetDefinition);
    const conditions = status.conditions.map((one: Json) => `${one.type}=${one.status}`);
    expect(conditions).toEqual(["NamesAccepted=True", "Established=True"]);
    server.cluster.create("gadgets.example.com", gadget("a"));
    server.cluster.modify(definitions, "", "gadgets.example.com", ({ spec }) => {
      spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.mode.enum.push("odd");
    });
    server.cluster.create("gadgets.example.com", gadget("b", { mode: "odd" }));
  });

  it("of groups of Kubernetes need approval", () => {
    const own = structuredClone(gadgetDefinition) as Json;
    own.metadata.name = "gadgets.test.k8s.io";
    own.spec.group = "test.k8s.io";
    server.cluster.create(definitions, own);
    expect(() => server.cluster.list("gadgets.test.k8s.io")).toThrow("could not find");
    server.cluster.modify(definitions, "", own.metadata.name, ({ metadata }) => {
      metadata.annotations = { "api-approved.kubernetes.io": "https://example.com/1" };
    });
    expect(server.cluster.list("gadgets.test.k8s.io")).toEqual([]);
  });

  it("serve several versions of the same objects", async () => {
    const two = structuredClone(gadgetDefinition) as Json;
    const [version] = two.spec.versions;
    two.spec.versions.push({ ...version, name: "v1beta1", storage: false });
    server.cluster.create(definitions, two);
    server.cluster.create("gadgets.example.com", gadget("a"));
    const headers = { Authorization: `Bearer ${server.adminToken}` };
    const url = `${server.url}/apis/example.com/v1beta1/namespaces/default/gadgets`;
    const one: Json = await (await fetch(`${url}/a`, { headers })).json();
    expect(one.apiVersion).toBe("example.com/v1beta1");
    const list: Json = await (await fetch(url, { headers })).json();
    expect(list.items[0].apiVersion).toBe("example.com/v1beta1");
  });

  it.each<[string, (definition: Json) => void, string]>([
    [
      "another name",
      (one) => {
        one.metadata.name = "other.example.com";
      },
      "must be spec.names.plural",
    ],
    [
      "no schema",
      (one) => {
        delete one.spec.versions[0].schema;
      },
      "schemas are required",
    ],
    [
      "nothing to store",
      (one) => {
        one.spec.versions[0].storage = false;
      },
      "exactly one version marked as storage version",
    ],
  ])("refused: %s", (_name, change, text) => {
    const one = structuredClone(gadgetDefinition) as Json;
    change(one);
    expect(() => server.cluster.create(definitions, one)).toThrow(text);
  });
});
