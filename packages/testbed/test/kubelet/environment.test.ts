// A container's environment: every source of a value, references between variables, what is missing, and the downward API.
import { describe, expect, it } from "vitest";
import type { StoredObject } from "../../src/kube-object.ts";
import { containerEnvironment, expandReferences } from "../../src/kubelet/container-environment.ts";
import { containerResource, podField } from "../../src/kubelet/downward-api.ts";

const pod: StoredObject = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name: "mover",
    namespace: "velero",
    uid: "u-1",
    resourceVersion: "1",
    creationTimestamp: "",
    labels: { b: 'two "2"', a: "1" },
    annotations: { "velero.io/x": "y" },
  },
  spec: { nodeName: "node-1", serviceAccountName: "velero" },
  status: { podIP: "127.10.0.1", hostIP: "127.0.0.1" },
};

const objects: Record<string, StoredObject> = {
  "secrets/velero/repo": {
    ...pod,
    kind: "Secret",
    data: { password: Buffer.from("s3cret\n").toString("base64") },
  },
  "configmaps/velero/settings": { ...pod, kind: "ConfigMap", data: { level: "debug", size: "3" } },
};

const sources = {
  pod,
  allocatable: { cpu: "2", memory: "8Gi" },
  api: {
    get: (resource: string, namespace: string, name: string) =>
      objects[`${resource}/${namespace}/${name}`],
  },
};

const environment = (container: object): Record<string, string> =>
  containerEnvironment(container, sources, { PATH: "/bin" });

it("takes values from everywhere", () => {
  const env = environment({
    envFrom: [
      { configMapRef: { name: "settings" }, prefix: "CFG_" },
      { secretRef: { name: "repo" } },
    ],
    resources: { limits: { memory: "512Mi" }, requests: { cpu: "250m" } },
    env: [
      { name: "PLAIN", value: "x" },
      { name: "EMPTY" },
      { name: "NODE_NAME", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
      { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
      { name: "PW", valueFrom: { secretKeyRef: { name: "repo", key: "password" } } },
      { name: "LEVEL", valueFrom: { configMapKeyRef: { name: "settings", key: "level" } } },
      {
        name: "MEMORY_MI",
        valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } },
      },
      { name: "NONE", valueFrom: { secretKeyRef: { name: "none", key: "x", optional: true } } },
      { name: "URL", value: "http://$(POD_IP):80/$(PLAIN)/$(LATER)/$$(PLAIN)" },
      { name: "LATER", value: "z" },
    ],
  });
  expect(env).toEqual({
    PATH: "/bin",
    CFG_level: "debug",
    CFG_size: "3",
    password: "s3cret\n",
    PLAIN: "x",
    EMPTY: "",
    NODE_NAME: "node-1",
    POD_IP: "127.10.0.1",
    PW: "s3cret\n",
    LEVEL: "debug",
    MEMORY_MI: "512",
    URL: "http://127.10.0.1:80/x/$(LATER)/$(PLAIN)",
    LATER: "z",
  });
});

it.each([
  [{ envFrom: [{ secretRef: { name: "none" } }] }, 'secret "none" not found'],
  [{ envFrom: [{ configMapRef: { name: "none" } }] }, 'configmap "none" not found'],
  [
    { env: [{ name: "A", valueFrom: { secretKeyRef: { name: "repo", key: "user" } } }] },
    "couldn't find key user in Secret velero/repo",
  ],
  [
    { env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "none", key: "x" } } }] },
    'configmap "none" not found',
  ],
  [
    { env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "spec.containers" } } }] },
    "unsupported fieldPath: spec.containers",
  ],
])("refuses %j", (container, message) => {
  expect(() => environment(container)).toThrow(
    expect.objectContaining({ code: "DM_CONTAINER_CONFIG", message }),
  );
});

it("expands in command lines, and keeps what it does not know", () => {
  expect(expandReferences("--node=$(NODE) $(X) $$(NODE) $NODE", { NODE: "n" })).toBe(
    "--node=n $(X) $(NODE) $NODE",
  );
});

describe("downward API", () => {
  it.each([
    ["metadata.labels", 'a="1"\nb="two \\"2\\""'],
    ["metadata.labels['a']", "1"],
    ["metadata.annotations['velero.io/x']", "y"],
    ["metadata.annotations['none']", ""],
    ["metadata.uid", "u-1"],
    ["spec.serviceAccountName", "velero"],
    ["status.hostIP", "127.0.0.1"],
    ["spec.nothing", undefined],
  ])("%s → %j", (path, expected) => {
    expect(podField(pod, path)).toBe(expected);
  });

  it.each([
    [{ resource: "limits.cpu" }, "2"],
    [{ resource: "limits.memory" }, String(8 * 2 ** 30)],
    [{ resource: "requests.cpu", divisor: "1m" }, "250"],
    [{ resource: "requests.cpu" }, "1"],
    [{ resource: "requests.memory" }, "0"],
    [{ resource: "other" }, undefined],
  ])("%j → %j", (reference, expected) => {
    const container = { resources: { requests: { cpu: "250m" } } };
    expect(containerResource(container, reference, sources.allocatable)).toBe(expected);
  });
});
