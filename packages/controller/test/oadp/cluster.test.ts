// An application on a whole embedded cluster: the server and the node agents are processes, of a stand-in that answers probes. They
// come up, a new configuration replaces the node agents and leaves the server alone, and all of it ends with the application.
import { setTimeout as pause } from "node:timers/promises";
import { crdManifests } from "@dm/crds";
import { type Cluster, type NewObject, type StoredObject, startCluster } from "@dm/testbed";
import { afterEach, beforeEach, expect, it } from "vitest";
import { addApplicationController } from "../../src/oadp/application-controller.ts";
import { createManager } from "../../src/runtime/manager.ts";
import { type NodeKubeClient, nodeKubeClient } from "../../src/runtime/node-client.ts";
import { application, cloudCredentials, namespace } from "./samples.ts";
import { kinds } from "./world.ts";

const standIn = `require("node:http").createServer((_, r) => r.end("ok")).listen(8085, process.env.POD_IP);
console.log(process.argv.slice(1).join(" "), process.env.KOPIA_HASHING_ALGORITHM);
process.on("SIGTERM", () => process.exit(0));`;

let cluster: Cluster;
let client: NodeKubeClient;
const stop = new AbortController();
let running: Promise<void>;

beforeEach(async () => {
  cluster = await startCluster({
    nodes: 2,
    csi: false,
    images: { "dm:1": [process.execPath, "-e", standIn, "--"] },
  });
  for (const crd of crdManifests()) make("customresourcedefinitions.apiextensions.k8s.io", crd);
  make("namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  for (const name of ["dm-server", "dm-node-agent"])
    make("serviceaccounts", {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name, namespace },
    });
  client = nodeKubeClient({ kubeconfig: cluster.kubeconfig });
  const manager = createManager({ client });
  addApplicationController(manager, { client, namespace, settings: { image: "dm:1" } });
  running = manager.run(stop.signal);
});
afterEach(async () => {
  stop.abort(new Error("the test has ended"));
  await running;
  client.close();
  await cluster.close();
});

function make(resource: string, object: object): void {
  cluster.api.create(resource, object as NewObject);
}

const pods = (name: string): StoredObject[] =>
  cluster.api
    .list("pods", namespace)
    .filter(({ metadata }) => metadata.labels?.["app.kubernetes.io/name"] === name);
const isReady = ({ status }: StoredObject): boolean =>
  status?.conditions?.some(
    ({ type, status: is }: { type: string; status: string }) => type === "Ready" && is === "True",
  );
const uids = (name: string): string[] =>
  pods(name)
    .map(({ metadata }) => metadata.uid)
    .sort();

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 1_200) throw new Error(`${what} did not happen: ${JSON.stringify(pods("velero"))}`);
    await pause(50);
  }
}

it("rows 112 to 114 and the end: comes up, is replaced where it must be, and goes", {
  timeout: 90_000,
}, async () => {
  const { uid: _, ...metadata } = application().metadata;
  const given = application(
    {},
    {
      velero: {
        defaultPlugins: ["aws", "csi"],
        podConfig: { env: [{ name: "KOPIA_HASHING_ALGORITHM", value: "BLAKE3-256" }] },
      },
      agent: { loadConcurrency: { globalConfig: 1 } },
    },
  );
  make(kinds.secrets, cloudCredentials);
  make(kinds.applications, { ...given, metadata });
  await until("the server", () => pods("velero").length === 1 && pods("velero").every(isReady));
  await until(
    "the node agents",
    () => pods("node-agent").length === 2 && pods("node-agent").every(isReady),
  );
  const log = await client.podLog({ namespace, name: pods("velero")[0]?.metadata.name ?? "" });
  expect(log).toMatch(/^server --deployment=velero --features=EnableCSI .* BLAKE3-256\n$/);
  const agentLog = await client.podLog({
    namespace,
    name: pods("node-agent")[0]?.metadata.name ?? "",
  });
  expect(agentLog).toContain("--node-agent-configmap=node-agent-dpa");
  expect(agentLog).toMatch(/undefined\n$/);

  const server = uids("velero");
  const agents = uids("node-agent");
  cluster.api.modify(kinds.applications, namespace, "dpa", ({ spec }) => {
    spec.configuration.nodeAgent.loadConcurrency.globalConfig = 3;
  });
  await until("new node agents", () => {
    const now = uids("node-agent");
    return (
      now.length === 2 &&
      now.every((one) => !agents.includes(one)) &&
      pods("node-agent").every(isReady)
    );
  });
  expect(uids("velero")).toEqual(server);

  cluster.api.delete(kinds.applications, namespace, "dpa");
  const left = () =>
    [kinds.deployments, kinds.daemonSets, kinds.locations, kinds.services, "pods"].flatMap((kind) =>
      cluster.api.list(kind, namespace),
    );
  await until("the end", () => left().length === 0);
  expect(cluster.api.get(kinds.configMaps, namespace, "node-agent-dpa")).toBeUndefined();
  expect(cluster.api.get(kinds.secrets, namespace, "cloud-credentials")).toBeDefined();
});
