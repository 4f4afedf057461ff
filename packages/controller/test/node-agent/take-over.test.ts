/** Nothing of Velero's is taken over while a node agent of Velero's is there. */
import { type ApiServer, createApiServer } from "@dm/testbed";
import { afterEach, beforeEach, expect, it } from "vitest";
import { refuseBesideVelero } from "../../src/node-agent/take-over.ts";
import { clusterClient } from "../expose/cluster-client.ts";

let server: ApiServer;
beforeEach(async () => {
  server = await createApiServer({ tls: false });
  server.cluster.create("namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "velero" },
  });
});
afterEach(() => server.close());

function daemonSet(name: string, image: string, labels: Record<string, string> = {}): void {
  server.cluster.create("daemonsets.apps", {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name, namespace: "velero" },
    spec: {
      selector: { matchLabels: { name } },
      template: {
        metadata: { labels: { name, ...labels } },
        spec: { containers: [{ name: "main", image }] },
      },
    },
  });
}

const check = () =>
  refuseBesideVelero(clusterClient(server.cluster), {
    namespace: "velero",
    ownImages: new Set(["dm:1"]),
  });

it("starts alone, beside itself and beside what is no node agent", async () => {
  await expect(check()).resolves.toBeUndefined();
  daemonSet("node-agent", "dm:1");
  daemonSet("log-shipper", "fluent:1");
  await expect(check()).resolves.toBeUndefined();
});

it.each([
  ["node-agent", {}],
  ["node-agent-windows", {}],
  ["renamed", { role: "node-agent" }],
  ["renamed", { component: "velero" }],
])("refuses beside DaemonSet %s %j", async (name, labels) => {
  daemonSet(name, "velero/velero:v1.17.0", labels as Record<string, string>);
  await expect(check()).rejects.toMatchObject({
    code: "DM_VELERO_NODE_AGENT",
    message: expect.stringContaining("velero/velero:v1.17.0"),
  });
});
