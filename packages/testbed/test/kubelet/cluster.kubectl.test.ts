// A whole cluster under real kubectl: workloads are applied, waited for, looked at, scaled and deleted.
import { requirePeer } from "@dm/fixtures";
import { describe, expect, it } from "vitest";
import type { Cluster } from "../../src/cluster.ts";
import {
  createPod,
  kubectl,
  openCluster,
  phase,
  shell,
  sleeper,
  untilPod,
} from "./running-cluster.ts";

const peer = requirePeer("kubectl");

const run = async (cluster: Cluster, args: string, input?: string): Promise<string> => {
  const { code, stdout, stderr } = await kubectl(peer.path, cluster, args.split(" "), input);
  if (code !== 0) throw new Error(`kubectl ${args}: ${code}\n${stdout}${stderr}`);
  return stdout;
};

const workload = (kind: string, name: string, rest: object = {}): object => ({
  apiVersion: "apps/v1",
  kind,
  metadata: { name, namespace: "demo" },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [shell(sleeper)] } },
    ...rest,
  },
});

describe.skipIf(!peer.available)(peer.title("kubectl"), () => {
  it("applies, waits for, scales and deletes workloads", async () => {
    const cluster = await openCluster({ nodes: 2 });
    const items = [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: "demo" } },
      workload("Deployment", "web", { replicas: 2 }),
      workload("DaemonSet", "agent"),
      {
        apiVersion: "batch/v1",
        kind: "Job",
        metadata: { name: "once", namespace: "demo" },
        spec: { template: { spec: { restartPolicy: "Never", containers: [shell("echo done")] } } },
      },
    ];
    await run(cluster, "apply -f -", JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    await run(cluster, "rollout status deployment/web -n demo --timeout=60s");
    await run(cluster, "rollout status daemonset/agent -n demo --timeout=60s");
    await run(cluster, "wait --for=condition=complete job/once -n demo --timeout=60s");
    expect(await run(cluster, "logs job/once -n demo")).toBe("done\n");
    await run(cluster, "scale deployment/web --replicas=1 -n demo");
    await run(
      cluster,
      "wait --for=jsonpath={.status.replicas}=1 deployment/web -n demo --timeout=60s",
    );
    const nodes = await run(
      cluster,
      "get pods -n demo -l app=agent -o jsonpath={.items[*].spec.nodeName}",
    );
    expect(nodes.split(" ").sort()).toEqual(["node-1", "node-2"]);
    await run(cluster, "delete namespace demo --timeout=60s");
    expect(cluster.api.list("pods", "demo")).toEqual([]);
    expect(cluster.nodes.map(({ runtime }) => runtime.podUids().size)).toEqual([0, 0]);
  });

  it("describes a pod with its events, and deletes it with time to stop", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "a", { containers: [shell(`trap "exit 0" TERM; ${sleeper}`)] });
    await untilPod(cluster.api, "a", phase("Running"));
    const text = await run(cluster, "describe pod a");
    expect(text).toContain("Successfully assigned default/a to node-1");
    expect(text).toMatch(/Status:\s+Running/);
    expect(text).toMatch(/Started container main/);
    await run(cluster, "delete pod a --timeout=60s");
    expect(cluster.api.get("pods", "default", "a")).toBeUndefined();
  });

  it("sees pods that cannot be scheduled, and nodes", async () => {
    const cluster = await openCluster({ nodes: 2 });
    createPod(cluster.api, "a", { nodeSelector: { none: "x" }, containers: [shell(sleeper)] });
    await run(
      cluster,
      "wait --for=jsonpath={.status.conditions[0].reason}=Unschedulable pod/a --timeout=60s",
    );
    const nodes = await run(cluster, "get nodes -o name");
    expect(nodes).toBe("node/node-1\nnode/node-2\n");
    await run(cluster, "wait --for=condition=Ready node/node-1 node/node-2 --timeout=60s");
  });

  it("deletes an owner in the foreground and an orphaning one", async () => {
    const cluster = await openCluster();
    const deployment = { ...workload("Deployment", "web"), metadata: { name: "web" } };
    await run(cluster, "create -f -", JSON.stringify(deployment));
    await run(cluster, "rollout status deployment/web --timeout=60s");
    await run(cluster, "delete deployment web --cascade=foreground --timeout=60s");
    expect(cluster.api.list("replicasets.apps")).toEqual([]);
    expect(cluster.api.list("pods", "default")).toEqual([]);
    await run(cluster, "create -f -", JSON.stringify(deployment));
    await run(cluster, "rollout status deployment/web --timeout=60s");
    await run(cluster, "delete deployment web --cascade=orphan --timeout=60s");
    expect(cluster.api.list("replicasets.apps")).toHaveLength(1);
    expect(cluster.api.list("pods", "default")).toHaveLength(1);
  });
});
