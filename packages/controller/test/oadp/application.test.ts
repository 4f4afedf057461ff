// What follows from an application's fields: features, affinity, and what is worth a warning.
import { describe, expect, it } from "vitest";
import { featuresOf, nodeAgentAffinity, serverLabels } from "../../src/oadp/application.ts";
import { applicationWarnings } from "../../src/oadp/application-warnings.ts";
import { type Agent, application, type Velero } from "./samples.ts";

const of = (velero: Velero, agent: Partial<Agent> = {}) => application({}, { velero, agent });

it.each<[string, Velero, string[]]>([
  ["none", { defaultPlugins: ["aws"] }, []],
  ["csi", { defaultPlugins: ["csi", "csi"] }, ["EnableCSI"]],
  [
    "csi and its flag, once",
    { defaultPlugins: ["csi"], featureFlags: ["EnableCSI"] },
    ["EnableCSI"],
  ],
  ["what is the operator's own", { defaultPlugins: [], featureFlags: ["no-secret", ""] }, []],
])("features: %s", (_, velero, features) => {
  expect(featuresOf(of(velero))).toEqual(features);
});

it("a node selector of the pods is the affinity of the load, unless there is one", () => {
  const podConfig = { nodeSelector: { a: "1" } };
  expect(nodeAgentAffinity(of({}, { podConfig }))).toEqual([
    { nodeSelector: { matchLabels: { a: "1" } } },
  ]);
  const loadAffinity = [{ nodeSelector: { matchLabels: { a: "1", b: "2" } } }];
  expect(nodeAgentAffinity(of({}, { podConfig, loadAffinity }))).toBe(loadAffinity);
  expect(nodeAgentAffinity(of({}))).toBeUndefined();
});

it("a long name fits into a label", () => {
  const given = { ...application(), metadata: { name: "n".repeat(100) } };
  expect(serverLabels(given)["app.kubernetes.io/instance"]).toHaveLength(63);
});

describe("warnings", () => {
  const reasons = (velero: Velero, agent: Partial<Agent> = {}): string[] =>
    applicationWarnings(of({ defaultPlugins: ["aws", "csi"], ...velero }, agent)).map(
      ({ reason }) => reason,
    );

  it.each<[string, Velero, Partial<Agent>, string[]]>([
    ["none", { defaultSnapshotMoveData: true }, {}, []],
    ["restic", {}, { uploaderType: "restic" }, ["DeprecationResticFileSystemBackup"]],
    ["programs of others", { defaultPlugins: ["csi", "openshift"] }, {}, ["PluginsIgnored"]],
    ["own programs", { customPlugins: [{ name: "mine", image: "x" }] }, {}, ["PluginsIgnored"]],
    [
      "moves without snapshots",
      { defaultPlugins: ["aws"], defaultSnapshotMoveData: true },
      {},
      ["SnapshotsNeedCSI"],
    ],
    [
      "moves without movers",
      { defaultSnapshotMoveData: true },
      { enable: false },
      ["NodeAgentDisabled"],
    ],
  ])("%s", (_, velero, agent, expected) => {
    expect(reasons(velero, agent)).toEqual(expected);
  });

  it("name what is ignored", () => {
    const [warning] = applicationWarnings(
      of({ defaultPlugins: ["kubevirt"], customPlugins: [{ name: "mine", image: "x" }] }),
    );
    expect(warning?.message).toContain("kubevirt, mine");
  });
});
