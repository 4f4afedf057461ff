/** The server's flags: those that users of Velero know, in Go's writing, and refusals of what is none. */
import { backupDefaults, retentionDefaults } from "@dm/controller";
import { Command } from "commander";
import { expect, it } from "vitest";
import { addCommonFlags, commonFlags, logLevelOf } from "../src/roles/common-flags.ts";
import { backupSettings, retentionSettings } from "../src/roles/server-controllers.ts";
import { addServerFlags, durationText, type ServerOptions } from "../src/roles/server-flags.ts";

function parsed(...args: string[]): Command {
  const command = addServerFlags(addCommonFlags(new Command("server")))
    .exitOverride()
    .configureOutput({
      writeErr() {},
    });
  return command.parse(args, { from: "user" });
}
const read = (...args: string[]): ServerOptions => parsed(...args).opts<ServerOptions>();

it("leaves to the controllers what was not said", () => {
  expect(backupSettings(read())).toEqual({ uploaderType: "kopia" });
  expect(read()).toEqual({
    logFormat: "json",
    logLevel: "info",
    deployment: "dm-server",
    disableControllers: [],
    features: [],
    randomPassword: false,
    uploaderType: "kopia",
  });
});

it("reads what an operator writes into a Deployment of Velero's", () => {
  const options = read(
    "--features=EnableCSI,EnableAPIGroupVersions",
    "--uploader-type=restic",
    "--fs-backup-timeout=4h",
    "--default-snapshot-move-data=true",
    "--default-volumes-to-fs-backup=false",
    "--default-backup-ttl=1h30m",
    "--default-item-operation-timeout=90s",
    "--item-operation-sync-frequency=1s",
    "--resource-timeout=10m0s",
    "--backup-sync-period=2m",
    "--garbage-collection-frequency=1h",
    "--store-validation-frequency=30s",
    "--terminating-resource-timeout=5m",
    "--concurrent-backups=3",
    "--restore-resource-priorities=securitycontextconstraints,namespaces,-,clusters",
  );
  expect(options).toMatchObject({
    features: ["EnableCSI", "EnableAPIGroupVersions"],
    uploaderType: "restic",
    fsBackupTimeout: 14_400_000,
    backupSyncPeriod: 120_000,
    concurrentBackups: 3,
    defaultVolumesToFsBackup: false,
  });
  const settings = backupSettings(options);
  expect(settings).toMatchObject({
    ttl: "1h30m0s",
    itemOperationTimeout: "1m30s",
    snapshotMoveData: true,
    operationPollMs: 1000,
    resourceTimeoutMs: 600_000,
    podVolumeTimeoutMs: 14_400_000,
    uploaderType: "restic",
    concurrentBackups: 3,
    defaultVolumesToFsBackup: false,
  });
  for (const key of Object.keys(settings)) expect(backupDefaults).toHaveProperty(key);
  const retention = retentionSettings(options);
  expect(retention).toEqual({ backupSyncPeriodMs: 120_000, gcPeriodMs: 3_600_000 });
  for (const key of Object.keys(retention)) expect(retentionDefaults).toHaveProperty(key);
});

it("starts with what an operator writes for any DataProtectionApplication", () => {
  const command = parsed(
    "--deployment=velero",
    "--disable-informer-cache=false",
    "--item-block-worker-count=2",
    "--client-burst=100",
    "--client-qps=20.5",
    "--log-format=text",
    "--log-level=warning",
    "--repo-maintenance-job-configmap=repository-maintenance-dpa",
    "--logtostderr",
    "--v=4",
    "--disable-controllers=backup-finalizer,gc",
    "--metrics-address=0.0.0.0:9085",
    "--keep-latest-maintenance-jobs=5",
  );
  expect(command.opts()).toMatchObject({
    disableControllers: ["backup-finalizer", "gc"],
    repoMaintenanceJobConfigmap: "repository-maintenance-dpa",
    keepLatestMaintenanceJobs: 5,
  });
  expect(commonFlags(command)).toEqual({
    namespace: undefined,
    logFormat: "text",
    logLevel: "warn",
    metricsHost: "0.0.0.0",
    metricsPort: 9085,
    // Each is told in the log.
    withoutEffect: [
      "--client-burst",
      "--client-qps",
      "--disable-informer-cache",
      "--item-block-worker-count",
      "--logtostderr",
      "--v",
    ],
  });
});

it.each([
  [[], { metricsHost: undefined, metricsPort: 8085 }],
  [["--metrics-address=:9000"], { metricsHost: undefined, metricsPort: 9000 }],
  [["--metrics-address=[::1]:9000"], { metricsHost: "::1", metricsPort: 9000 }],
  [["--metrics-address=:9000", "--metrics-port=0"], { metricsPort: 0 }],
])("listens where %j says", (args, expected) => {
  expect(commonFlags(parsed(...args))).toMatchObject({ ...expected, withoutEffect: [] });
});

it.each([
  ["trace", "debug"],
  ["warning", "warn"],
  ["panic", "error"],
  ["info", "info"],
])("takes the level %s for %s", (theirs, ours) => {
  expect(logLevelOf(theirs)).toBe(ours);
});

it("takes a switch without a value for true", () => {
  expect(read("--default-snapshot-move-data").defaultSnapshotMoveData).toBe(true);
});

it.each([
  ["--default-backup-ttl=soon", "It is no duration"],
  ["--default-backup-ttl=-1h", "It is no duration"],
  ["--concurrent-backups=0", "It is no number above 0"],
  ["--default-snapshot-move-data=maybe", "neither true nor false"],
  ["--uploader-type=tar", "kopia or restic"],
  ["--disable-controllers=backup,typo", "There is no controller typo"],
  ["--no-such-flag", "unknown option"],
  ["--metrics-address=9000", "no address such as :8085"],
  ["--metrics-address=:90000", "90000 is no port"],
  ["--log-format=xml", "json, text"],
  ["--log-level=loud", "It is none of"],
])("refuses %s", (flag, text) => {
  expect(() => read(flag)).toThrow(text);
});

it.each([
  ["720h", "720h0m0s"],
  ["90s", "1m30s"],
  ["0", "0s"],
  ["1500ms", "1500ms"],
])("writes %s as %s", (given, written) => {
  expect(durationText(given)).toBe(written);
});
