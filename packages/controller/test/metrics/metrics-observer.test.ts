// The observer on a running manager: what was there at the start is no event, what happens then is, and after an outage as well.
import { crdManifests } from "@dm/crds";
import { expect, it } from "vitest";
import { addMetricsObserver } from "../../src/metrics/metrics-observer.ts";
import { createManager, type Manager } from "../../src/runtime/manager.ts";
import { type TestApi, testApi } from "../runtime/api.ts";

const namespace = "velero";

async function start(
  isActive?: () => boolean,
  before: (api: TestApi) => void = () => undefined,
): Promise<{ api: TestApi; manager: Manager; value: (series: string) => number | undefined }> {
  const api = await testApi();
  for (const crd of crdManifests())
    api.cluster.create("customresourcedefinitions.apiextensions.k8s.io", crd as never);
  api.cluster.create("namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: namespace },
  });
  before(api);
  const manager = createManager({ client: api.client, clock: api.clock });
  addMetricsObserver(manager, { namespace, isActive });
  let isRunning = false;
  manager.add({ name: "probe", sources: [], reconcile: async () => undefined });
  manager.addRunnable("probe", async () => {
    isRunning = true;
  });
  api.background((signal) => manager.run(signal));
  await api.until(() => isRunning);
  const value = (series: string): number | undefined => {
    const line = manager.metrics
      .text()
      .split("\n")
      .find((one) => one.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.split(" ").at(-1));
  };
  return { api, manager, value };
}

function backup({ cluster }: TestApi, name: string, status?: object, schedule?: string): void {
  cluster.create("backups.velero.io", {
    apiVersion: "velero.io/v1",
    kind: "Backup",
    metadata: {
      name,
      namespace,
      ...(schedule && { labels: { "velero.io/schedule-name": schedule } }),
    },
    spec: {},
    ...(status && { status }),
  } as never);
}

function phase({ cluster }: TestApi, name: string, status: object): void {
  cluster.modify("backups.velero.io", namespace, name, (object) => {
    object.status = { ...object.status, ...status };
  });
}

const at = (time: string) => `2026-11-25T${time}Z`;

it("begins with what is there, and counts from then on", async () => {
  const { api, value } = await start(undefined, (given) => {
    backup(given, "old", { phase: "Completed", completionTimestamp: at("09:00:00") }, "daily");
    backup(given, "older", { phase: "Failed", completionTimestamp: at("08:00:00") }, "daily");
    backup(given, "running", { phase: "InProgress" });
  });
  const success = 'velero_backup_success_total{schedule=""}';
  await api.until(() => value("velero_backup_total") === 3);
  expect(value('velero_backup_last_status{schedule="daily"}')).toBe(1);
  expect(value('velero_backup_last_successful_timestamp{schedule="daily"}')).toBe(
    Date.parse(at("09:00:00")) / 1_000,
  );
  expect(value('velero_backup_success_total{schedule="daily"}')).toBeUndefined();
  phase(api, "running", {
    phase: "Completed",
    startTimestamp: at("10:00:00"),
    completionTimestamp: at("10:02:00"),
  });
  await api.until(() => value(success) === 1);
  expect(value('velero_backup_attempt_total{schedule=""}')).toBe(0);
  expect(value('velero_backup_duration_seconds_sum{schedule=""}')).toBe(120);

  backup(api, "next");
  phase(api, "next", { phase: "InProgress" });
  phase(api, "next", { phase: "Failed", completionTimestamp: at("11:00:00") });
  await api.until(() => value('velero_backup_failure_total{schedule=""}') === 1);
  expect(value('velero_backup_attempt_total{schedule=""}')).toBe(1);
  expect(value('velero_backup_last_status{schedule=""}')).toBe(0);
  api.cluster.delete("backups.velero.io", namespace, "next");
  await api.until(() => value("velero_backup_total") === 3);
});

it("finds what an outage has hidden", async () => {
  const { api, value } = await start();
  backup(api, "b");
  await api.until(() => value("velero_backup_total") === 1);
  api.proxy.down = true;
  phase(api, "b", { phase: "InProgress" });
  phase(api, "b", { phase: "Completed", completionTimestamp: at("10:00:00") });
  await api.pass(5_000);
  api.proxy.down = false;
  await api.until(() => value('velero_backup_success_total{schedule=""}') === 1, 1_000);
  expect(value('velero_backup_attempt_total{schedule=""}')).toBe(1);
});

it("counts nothing while another replica leads, but knows what is", async () => {
  let leads = false;
  const { api, value } = await start(() => leads);
  backup(api, "b");
  phase(api, "b", { phase: "Completed", completionTimestamp: at("10:00:00") });
  await api.until(() => value('velero_backup_last_status{schedule=""}') === 1);
  expect(value('velero_backup_success_total{schedule=""}')).toBe(0);
  leads = true;
  backup(api, "c", { phase: "InProgress" });
  await api.until(() => value('velero_backup_attempt_total{schedule=""}') === 1);
});
