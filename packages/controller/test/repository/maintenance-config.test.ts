/** Settings of maintenance Jobs: both layouts of the ConfigMap, what counts more, and what is left out. */
import type { ConfigMap } from "@dm/crds";
import { expect, it } from "vitest";
import { maintenanceSettingsFor } from "../../src/repository/maintenance-config.ts";

const repository = {
  backupStorageLocation: "default",
  volumeNamespace: "shop",
  maintenanceFrequency: "1h0m0s",
  repositoryType: "kopia" as const,
  resticIdentifier: "",
};
const read = (data: Record<string, string>) =>
  maintenanceSettingsFor({ metadata: { name: "maintenance" }, data } as ConfigMap, repository);

const entries = {
  global: {
    loadAffinity: [{ nodeSelector: { matchLabels: { disk: "ssd" } } }],
    podResources: { cpuRequest: "100m", memoryLimit: "1Gi" },
    priorityClassName: "low",
    podLabels: { team: "a" },
  },
  "shop-default-kopia": { podResources: { cpuRequest: "2" }, podAnnotations: { a: "b" } },
  "other-default-kopia": { podResources: { cpuRequest: "9" } },
};
const expected = {
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [
          { matchExpressions: [{ key: "disk", operator: "In", values: ["ssd"] }] },
        ],
      },
    },
  },
  resources: { requests: { cpu: "2" } },
  podLabels: { team: "a" },
  podAnnotations: { a: "b" },
  priorityClassName: "low",
};

it("reads a key for each entry, that of the repository before that for all", () => {
  const data = Object.fromEntries(
    Object.entries(entries).map(([key, value]) => [key, JSON.stringify(value)]),
  );
  expect(read(data)).toEqual({ settings: expected, warnings: [] });
});

it("row 8: reads the layout of OADP's operator, too", () => {
  const data = { "repository-maintenance-config": JSON.stringify(entries) };
  expect(read(data)).toEqual({ settings: expected, warnings: [] });
  expect(read({ ...data, "shop-default-kopia": "{}" }).settings).toMatchObject({
    resources: { requests: { cpu: "100m" }, limits: { memory: "1Gi" } },
  });
});

it("says nothing where there is nothing", () => {
  expect(read({})).toEqual({ settings: {}, warnings: [] });
});

it.each([
  [{ global: "{" }, /^configMap global: its data is no JSON/],
  [{ global: "[]" }, /no JSON object/],
  [{ "repository-maintenance-config": "text" }, /no JSON object/],
  [{ global: '{"podResources":{"cpuRequest":"much"}}' }, /^global: .*cpuRequest.*no quantity/],
])("leaves out what is invalid: %j", (data, warning) => {
  const { settings, warnings } = read(data as Record<string, string>);
  expect(settings).toEqual({});
  expect(warnings).toEqual([expect.stringMatching(warning)]);
});
