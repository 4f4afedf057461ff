// The controller as it runs: over HTTP with its caches, in virtual time. What changes around an application is noticed.
import { crdManifests, dataProtectionApplications } from "@dm/crds";
import { expect, it, onTestFinished } from "vitest";
import { addApplicationController } from "../../src/oadp/application-controller.ts";
import { createManager } from "../../src/runtime/manager.ts";
import { type TestApi, testApi } from "../runtime/api.ts";
import { application, awsLocation, cloudCredentials, namespace } from "./samples.ts";
import { kinds } from "./world.ts";

/** The API server with the kinds, and the controller on it. */
async function start(): Promise<TestApi> {
  const api = await testApi();
  for (const crd of crdManifests())
    api.cluster.create("customresourcedefinitions.apiextensions.k8s.io", crd as never);
  create(api, "namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  const manager = createManager({ client: api.client, clock: api.clock });
  addApplicationController(manager, {
    client: api.client,
    namespace,
    clock: api.clock,
    findBucketRegion: async () => undefined,
  });
  api.background((signal) => manager.run(signal));
  return api;
}

function create({ cluster }: TestApi, resource: string, object: object): void {
  const { uid: _, ...metadata } = (object as { metadata: Record<string, unknown> }).metadata;
  cluster.create(resource, { ...object, metadata } as never);
}

const statusOf = ({ cluster }: TestApi, name = "dpa"): string | undefined =>
  cluster.get(kinds.applications, namespace, name)?.status?.conditions?.[0]?.status;

it("notices a Secret that has come, by looking again, and one that changed, by its label", async () => {
  const api = await start();
  create(api, kinds.applications, application());
  await api.until(() => statusOf(api) === "False");
  create(api, kinds.secrets, cloudCredentials);
  await api.until(() => statusOf(api) === "True", 1_000);
  const events = api.cluster.list("events", namespace);
  expect(events.map((event) => (event as unknown as { reason: string }).reason)).toContain(
    "VeleroDeploymentReconciled",
  );
  // Until nothing is left to be looked at again.
  await api.pass(60_000, 5_000);
  api.cluster.modify(kinds.secrets, namespace, "cloud-credentials", (secret) => {
    (secret as unknown as { data: object }).data = {};
  });
  await api.until(() => statusOf(api) === "False", 10);
});

it("notices that another application has gone", async () => {
  const api = await start();
  create(api, kinds.secrets, cloudCredentials);
  for (const name of ["dpa", "two"])
    create(api, kinds.applications, { ...application(), metadata: { name, namespace } });
  await api.until(() => statusOf(api) === "False" && statusOf(api, "two") === "False");
  api.cluster.delete(kinds.applications, namespace, "two");
  await api.until(() => statusOf(api) === "True", 10);
});

it("puts back at once what somebody has deleted, and takes its labels off when the application goes", async () => {
  const api = await start();
  create(api, kinds.secrets, cloudCredentials);
  create(api, kinds.applications, application());
  await api.until(() => statusOf(api) === "True");
  api.cluster.delete(kinds.locations, namespace, "dpa-1");
  await api.until(() => api.cluster.get(kinds.locations, namespace, "dpa-1") !== undefined, 10);
  api.cluster.delete(kinds.applications, namespace, "dpa");
  const labels = () =>
    api.cluster.get(kinds.secrets, namespace, "cloud-credentials")?.metadata.labels ?? {};
  await api.until(() => Object.keys(labels()).length === 0, 10);
});

it("asks AWS once where a bucket lies", async () => {
  const api = await testApi();
  for (const crd of crdManifests())
    api.cluster.create("customresourcedefinitions.apiextensions.k8s.io", crd as never);
  create(api, "namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  const asked: string[] = [];
  const manager = createManager({ client: api.client, clock: api.clock });
  addApplicationController(manager, {
    client: api.client,
    namespace,
    clock: api.clock,
    findBucketRegion: async (bucket) => {
      asked.push(bucket);
      return "eu-central-1";
    },
  });
  onTestFinished(() => expect(asked).toEqual(["backups"]));
  create(api, kinds.secrets, cloudCredentials);
  const velero = { ...awsLocation, config: { profile: "default" } };
  create(api, kinds.applications, application({ backupLocations: [{ velero }] }));
  api.background((signal) => manager.run(signal));
  await api.until(() => statusOf(api) === "True");
  await api.client.patch(
    dataProtectionApplications,
    { namespace, name: "dpa" },
    { spec: { logFormat: "json" } },
  );
  const args = () =>
    api.cluster.get(kinds.deployments, namespace, "velero")?.spec.template.spec.containers[0].args;
  await api.until(() => args().includes("--log-format=json"));
});
