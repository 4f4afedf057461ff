// Command lines from applications: every field that has a flag, what `velero.args` replaces, and what annotations replace.
import { describe, expect, it } from "vitest";
import { applicationDefaults, type SeenApplication } from "../../src/oadp/application.ts";
import { nodeAgentArguments, serverArguments } from "../../src/oadp/server-arguments.ts";
import { type Agent, application, type Spec, seen, type Velero } from "./samples.ts";

const server = (velero: Velero, agent: Partial<Agent> = {}, spec: Partial<Spec> = {}): string[] =>
  serverArguments(seen(application(spec, { velero, agent }))).filter(
    (one) => !one.startsWith("--restore-resource-priorities="),
  );
const plain = ["server", "--deployment=velero", "--features=EnableCSI", "--uploader-type=kopia"];

describe("the server", () => {
  it("of the documentation's example", () => {
    expect(server({})).toEqual([
      ...plain,
      "--fs-backup-timeout=4h",
      "--disable-informer-cache=false",
    ]);
  });

  it("restores what others need first, and volumes after their DataUploads", () => {
    const all = serverArguments(seen()).find((one) => one.startsWith("--restore-resource-prior"));
    const order = all?.split("=")[1]?.split(",") ?? [];
    expect(order[0]).toBe("securitycontextconstraints");
    expect(order.indexOf("datauploads.velero.io")).toBeLessThan(order.indexOf("persistentvolumes"));
    expect(order.at(order.indexOf("-") + 1)).toBe("clusterbootstraps.run.tanzu.vmware.com");
  });

  it.each<[string, Velero, Partial<Agent>, Partial<Spec>, string]>([
    ["features", { featureFlags: ["EnableCSI", "X"] }, {}, {}, "--features=EnableCSI,X"],
    [
      "no feature of the operator",
      { defaultPlugins: [], featureFlags: ["no-secret", "X"] },
      {},
      {},
      "--features=X",
    ],
    [
      "versions of kinds",
      { restoreResourcesVersionPriority: "a" },
      {},
      {},
      "--features=EnableCSI,EnableAPIGroupVersions",
    ],
    ["restic", {}, { uploaderType: "restic" }, {}, "--uploader-type=restic"],
    ["timeout", {}, { timeout: "2h" }, {}, "--fs-backup-timeout=2h"],
    ["burst", { "client-burst": 100 }, {}, {}, "--client-burst=100"],
    ["qps", { "client-qps": 50 }, {}, {}, "--client-qps=50"],
    ["log level", { logLevel: "warning" }, {}, {}, "--log-level=warning"],
    ["log format", {}, {}, { logFormat: "json" }, "--log-format=json"],
    ["moves", { defaultSnapshotMoveData: true }, {}, {}, "--default-snapshot-move-data=true"],
    ["moves not", { defaultSnapshotMoveData: false }, {}, {}, "--default-snapshot-move-data=false"],
    ["files", { defaultVolumesToFSBackup: true }, {}, {}, "--default-volumes-to-fs-backup=true"],
    [
      "no files",
      { defaultVolumesToFSBackup: false },
      {},
      {},
      "--default-volumes-to-fs-backup=false",
    ],
    ["sync", { itemOperationSyncFrequency: "1m" }, {}, {}, "--item-operation-sync-frequency=1m"],
    [
      "operations",
      { defaultItemOperationTimeout: "6h" },
      {},
      {},
      "--default-item-operation-timeout=6h",
    ],
    ["resources", { resourceTimeout: "15m" }, {}, {}, "--resource-timeout=15m"],
    ["blocks", { itemBlockWorkerCount: 4 }, {}, {}, "--item-block-worker-count=4"],
    ["no informers", { disableInformerCache: true }, {}, {}, "--disable-informer-cache=true"],
    ["cache", {}, { cacheLimitMB: 0 }, {}, "--backup-repository-configmap=backup-repository-dpa"],
    [
      "maintenance",
      {},
      { fullMaintenanceInterval: "fastGC" },
      {},
      "--backup-repository-configmap=backup-repository-dpa",
    ],
  ])("%s", (_, velero, agent, spec, flag) => {
    expect(server(velero, agent, spec)).toContain(flag);
  });

  it("knows where the settings of maintenance are", () => {
    const given = application({}, { repositoryMaintenance: { global: {} } });
    expect(serverArguments(seen(given))).toContain(
      "--repo-maintenance-job-configmap=repository-maintenance-dpa",
    );
  });

  it("says nothing about what the application leaves open", () => {
    const text = server({}).join(" ");
    for (const flag of ["default-snapshot-move-data", "default-volumes-to-fs-backup", "log-level"])
      expect(text).not.toContain(flag);
  });

  it("takes args instead, with durations of nanoseconds", () => {
    const args = {
      "default-backup-ttl": 3_600_000_000_000,
      "client-qps": "20.5",
      "disabled-controllers": ["schedule", "gc"],
      "fs-backup-timeout": 90_000_000_000,
      colorized: false,
      v: 3,
      log_dir: "",
    };
    const line = server({ args, "client-burst": 9, "client-qps": 1 });
    expect(line).toEqual(
      expect.arrayContaining([
        "--default-backup-ttl=1h0m0s",
        "--client-qps=20.5",
        "--disable-controllers=schedule,gc",
        "--fs-backup-timeout=1m30s",
        "--colorized=false",
        "--v=3",
        "--features=EnableCSI",
      ]),
    );
    expect(line.join(" ")).not.toMatch(/client-burst|uploader-type|log_dir/);
    expect(server({ args: {} }, { timeout: "3h" })).toContain("--fs-backup-timeout=3h");
  });

  it("takes the ConfigMap of the annotation instead of everything, sorted", () => {
    const map = { metadata: {}, data: { "--b": "TRUE", a: "x", "-c": "1" } };
    const more: Partial<SeenApplication> = { serverArguments: map };
    const { secrets: _, application: __, ...rest } = { ...seen(), ...more };
    expect(serverArguments(seen(application(), rest))).toEqual([
      "server",
      "--deployment=velero",
      "--a=x",
      "--b=true",
      "--c=1",
    ]);
  });
});

describe("the node agent", () => {
  const line = (agent: Partial<Agent>, hasConfig = false, spec: Partial<Spec> = {}): string[] =>
    nodeAgentArguments(seen(application(spec, { agent })), applicationDefaults, hasConfig);
  const own = [
    "node-agent",
    "--daemonset=node-agent",
    "--mover-service-account=dm-mover",
    "--take-over-velero",
    "--host-pods-root=/host_pods",
  ];

  it("knows its DaemonSet, its movers' account and its configuration", () => {
    expect(line({})).toEqual(own);
    expect(
      line({ dataMoverPrepareTimeout: "45m", resourceTimeout: "5m" }, true, { logFormat: "text" }),
    ).toEqual([
      ...own,
      "--node-agent-configmap=node-agent-dpa",
      "--data-mover-prepare-timeout=45m",
      "--resource-timeout=5m",
      "--log-format=text",
    ]);
  });

  it("does not look into pods' volumes when files are not backed up", () => {
    const given = application({}, { velero: { disableFsBackup: true } });
    expect(nodeAgentArguments(seen(given), applicationDefaults, false).join(" ")).not.toContain(
      "host",
    );
  });

  it("leaves Velero's objects to others when told so", () => {
    const settings = { ...applicationDefaults, takeOverVelero: false };
    expect(nodeAgentArguments(seen(), settings, false)).not.toContain("--take-over-velero");
  });

  it("takes the ConfigMap of the annotation instead", () => {
    const nodeAgentArgumentsMap = { metadata: {}, data: { "take-over-velero": "false", x: "y" } };
    const state = seen(application(), { nodeAgentArguments: nodeAgentArgumentsMap });
    expect(nodeAgentArguments(state, applicationDefaults, true)).toEqual([
      "node-agent",
      "--daemonset=node-agent",
      "--mover-service-account=dm-mover",
      "--host-pods-root=/host_pods",
      "--x=y",
    ]);
  });
});
