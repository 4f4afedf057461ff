// ConfigMaps of an application: what is in them is read back by those for whom they are.
import { expect, it } from "vitest";
import { parseNodeAgentConfig } from "../../src/node-agent/node-agent-config.ts";
import {
  planMaintenanceConfig,
  planNodeAgentConfig,
  planRepositoryConfig,
  planVersionPriority,
} from "../../src/oadp/plan-config-maps.ts";
import { application } from "./samples.ts";

it("node agents read what the application says, without a warning", () => {
  const map = planNodeAgentConfig(
    application(
      {},
      {
        agent: {
          loadConcurrency: {
            globalConfig: 2,
            perNodeConfig: [{ nodeSelector: { matchLabels: { big: "yes" } }, number: 5 }],
          },
          podConfig: { nodeSelector: { storage: "fast" } },
          backupPVC: { csi: { storageClass: "csi-shallow", readOnly: true } },
          restorePVC: { ignoreDelayBinding: true },
          podResources: { cpuRequest: "100m", memoryLimit: "1Gi" },
        },
      },
    ),
  );
  expect(map?.metadata).toMatchObject({
    name: "node-agent-dpa",
    labels: {
      "app.kubernetes.io/instance": "dpa",
      "app.kubernetes.io/component": "node-agent-config",
    },
  });
  expect(Object.keys(map?.data ?? {})).toEqual(["node-agent-config"]);
  const read = parseNodeAgentConfig(map ?? { metadata: {} });
  expect(read).toMatchObject({
    globalConcurrency: 2,
    perNodeConcurrency: [{ number: 5 }],
    exposer: {
      loadAffinity: [{ nodeSelector: { matchLabels: { storage: "fast" } } }],
      backupPVC: { csi: { storageClass: "csi-shallow", readOnly: true } },
      restorePVC: { ignoreDelayBinding: true },
      podResources: { cpuRequest: "100m", memoryLimit: "1Gi" },
    },
    warnings: [],
  });
});

it("there is none without anything to say, and none without a node agent", () => {
  expect(planNodeAgentConfig(application())).toBeUndefined();
  const off = application({}, { agent: { enable: false, loadConcurrency: { globalConfig: 1 } } });
  expect(planNodeAgentConfig(off)).toBeUndefined();
  expect(planRepositoryConfig(application())).toBeUndefined();
  expect(planMaintenanceConfig(application())).toBeUndefined();
  expect(planVersionPriority(application())).toBeUndefined();
});

it("new repositories get their cache and their interval", () => {
  const agent = { cacheLimitMB: 2048, fullMaintenanceInterval: "eagerGC" as const };
  const map = planRepositoryConfig(application({}, { agent }));
  expect(map).toMatchObject({
    metadata: { name: "backup-repository-dpa" },
    data: { kopia: '{"cacheLimitMB":2048,"fullMaintenanceInterval":"eagerGC"}' },
  });
});

it("maintenance has one key for each entry", () => {
  const global = { podResources: { cpuRequest: "100m" } };
  const map = planMaintenanceConfig(
    application({}, { repositoryMaintenance: { global, "shop-dpa-1-kopia": {} } }),
  );
  expect(map).toMatchObject({
    metadata: { name: "repository-maintenance-dpa" },
    data: { global: JSON.stringify(global), "shop-dpa-1-kopia": "{}" },
  });
});

it("versions of kinds are text for the restore", () => {
  const given = application({}, { velero: { restoreResourcesVersionPriority: "cronjobs=v1" } });
  expect(planVersionPriority(given)).toMatchObject({
    metadata: { name: "enableapigroupversions" },
    data: { restoreResourcesVersionPriority: "cronjobs=v1" },
  });
});
