/** The documented configuration is read whole; what is wrong in it is left out and named, and nothing else with it. */
import { describe, expect, it } from "vitest";
import {
  concurrencyOn,
  emptyNodeAgentConfig,
  parseNodeAgentConfig,
  readNodeAgentConfig,
} from "../../src/node-agent/node-agent-config.ts";
import type { KubeClient } from "../../src/runtime/kube-client.ts";

const parse = (document: unknown) =>
  parseNodeAgentConfig({
    metadata: { name: "config" },
    data: { "anything.json": JSON.stringify(document) },
  });

describe("parseNodeAgentConfig", () => {
  it("reads everything that there is", () => {
    const nodeSelector = { matchLabels: { "kubernetes.io/hostname": "n1" } };
    const document = {
      loadConcurrency: {
        globalConfig: 2,
        perNodeConfig: [{ nodeSelector, number: 3 }],
        prepareQueueLength: 10,
      },
      loadAffinity: [{ nodeSelector, storageClass: "gold" }, { nodeSelector: {} }],
      backupPVC: {
        gold: {
          storageClass: "silver",
          readOnly: true,
          spcNoRelabeling: true,
          annotations: { a: "b" },
        },
      },
      restorePVC: { ignoreDelayBinding: true },
      podResources: { cpuRequest: "100m", memoryLimit: "1Gi" },
      podLabels: { a: "b" },
      podAnnotations: {},
      priorityClassName: "high",
      cachePVC: { storageClass: "fast", residentThresholdInMB: 1024 },
      privilegedFsBackup: true,
    };
    const { loadConcurrency, ...exposer } = document;
    expect(parse(document)).toEqual({
      globalConcurrency: 2,
      perNodeConcurrency: [{ nodeSelector, number: 3 }],
      prepareQueueLength: 10,
      exposer,
      warnings: [],
    });
  });

  it("takes an empty document for no wishes", () => {
    expect(parse({})).toEqual({
      ...emptyNodeAgentConfig,
      globalConcurrency: undefined,
      prepareQueueLength: undefined,
      exposer: { restorePVC: {} },
    });
  });

  it.each([
    [{ loadConcurrency: 3 }, "loadConcurrency: it is no object"],
    [{ loadConcurrency: { globalConfig: -1 } }, "loadConcurrency.globalConfig: -1"],
    [{ loadConcurrency: { globalConfig: "2" } }, 'loadConcurrency.globalConfig: "2"'],
    [
      { loadConcurrency: { perNodeConfig: [7] } },
      "loadConcurrency.perNodeConfig[0]: it is no object",
    ],
    [{ loadAffinity: {} }, "loadAffinity: it is no list"],
    [
      { loadAffinity: [{ nodeSelector: { matchExpressions: [{ key: "a", operator: "Near" }] } }] },
      'loadAffinity[0].nodeSelector: "Near" is no operator',
    ],
    [
      { loadAffinity: [{ nodeSelector: { matchExpressions: [{ key: "a", operator: "In" }] } }] },
      "In takes values",
    ],
    [{ loadAffinity: [{ nodeSelector: { matchLabels: { a: 1 } } }] }, "matchLabels"],
    [{ backupPVC: { gold: { readOnly: "yes" } } }, "backupPVC.gold.readOnly"],
    [{ restorePVC: { ignoreDelayBinding: 1 } }, "restorePVC.ignoreDelayBinding"],
    [{ podResources: { cpuLimit: "lots", memoryLimit: "1Gi" } }, "podResources.cpuLimit"],
    [{ podLabels: { a: 1 } }, "podLabels.a"],
    [{ cachePVC: { residentThresholdInMB: 3 } }, "cachePVC: it names no storageClass"],
  ])("leaves out what is invalid, and says so: %j", (document, problem) => {
    const { warnings } = parse({ ...document, priorityClassName: "kept" });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(problem);
    expect(parse({ ...document, priorityClassName: "kept" }).exposer.priorityClassName).toBe(
      "kept",
    );
  });

  it("keeps the valid rest of a part", () => {
    const { exposer } = parse({ podResources: { cpuLimit: "lots", memoryLimit: "1Gi" } });
    expect(exposer.podResources).toEqual({ memoryLimit: "1Gi" });
  });

  it.each([
    [{}, "0 keys"],
    [{ a: "{}", b: "{}" }, "2 keys"],
    [{ a: "{" }, "no JSON"],
    [{ a: "[]" }, "no JSON object"],
    [{ a: "null" }, "no JSON object"],
  ])("refuses a document that is none: %j", (data, problem) => {
    expect(() => parseNodeAgentConfig({ metadata: { name: "config" }, data })).toThrow(
      expect.objectContaining({
        code: "DM_NODE_AGENT_CONFIG_INVALID",
        message: expect.stringContaining(problem),
      }),
    );
  });
});

it("a ConfigMap that is named must be there", async () => {
  const client = { get: async () => undefined } as unknown as KubeClient;
  const reading = readNodeAgentConfig(client, { namespace: "velero", name: "config" });
  await expect(reading).rejects.toMatchObject({
    code: "DM_NODE_AGENT_CONFIG_NOT_FOUND",
    message: expect.stringContaining("error getting node agent configs from configMap config"),
  });
});

describe("concurrencyOn", () => {
  const rule = (number: number, matchLabels: Record<string, string>) => ({
    nodeSelector: { matchLabels },
    number,
  });

  it("row 20: the smallest of the rules that match", () => {
    const config = parse({
      loadConcurrency: {
        globalConfig: 1,
        perNodeConfig: [rule(3, { a: "b" }), rule(2, { c: "d" }), rule(1, { c: "x" }), rule(0, {})],
      },
    });
    expect(concurrencyOn(config, { a: "b", c: "d" })).toBe(2);
    expect(concurrencyOn(config, { a: "b" })).toBe(3);
    expect(concurrencyOn(config, {})).toBe(1);
  });

  it("is that of all nodes, or 1", () => {
    expect(concurrencyOn(parse({ loadConcurrency: { globalConfig: 5 } }), {})).toBe(5);
    expect(concurrencyOn(parse({ loadConcurrency: { globalConfig: 0 } }), {})).toBe(1);
    expect(concurrencyOn(emptyNodeAgentConfig, {})).toBe(1);
  });

  it.each([
    ["In", ["b"], { a: "b" }, true],
    ["In", ["b"], {}, false],
    ["NotIn", ["b"], { a: "c" }, true],
    ["NotIn", ["b"], {}, true],
    ["NotIn", ["b"], { a: "b" }, false],
    ["Exists", [], { a: "" }, true],
    ["Exists", [], {}, false],
    ["DoesNotExist", [], {}, true],
    ["DoesNotExist", [], { a: "b" }, false],
  ])("understands %s %j on %j", (operator, values, nodeLabels, matches) => {
    const nodeSelector = { matchExpressions: [{ key: "a", operator, values }] };
    const config = parse({ loadConcurrency: { perNodeConfig: [{ nodeSelector, number: 9 }] } });
    expect(concurrencyOn(config, nodeLabels as Record<string, string>)).toBe(matches ? 9 : 1);
  });
});
