// What befalls nodes: kubelets that restart find their pods again, nodes that fail lose them, and nothing outlives the cluster.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import type { Json } from "../../src/kube-object.ts";
import { virtualClock } from "../../src/virtual-clock.ts";
import {
  containerOf,
  createPod,
  isAlive,
  logOf,
  openCluster,
  phase,
  shell,
  sleeper,
  until,
  untilGone,
  untilLog,
  untilPod,
} from "./running-cluster.ts";

const readyOf = (node: Json): string | undefined =>
  node?.status?.conditions?.find(({ type }: Json) => type === "Ready")?.status;

it("registers nodes and renews their leases", async () => {
  const nodes = [{ name: "a", labels: { zone: "z1" } }, { name: "b" }];
  const cluster = await openCluster({ nodes, times: { heartbeatMs: 20 } });
  expect(cluster.api.get("nodes", "", "a")).toMatchObject({
    metadata: {
      labels: { zone: "z1", "kubernetes.io/hostname": "a", "kubernetes.io/os": "linux" },
    },
    status: { addresses: [{ type: "InternalIP" }, { type: "Hostname", address: "a" }] },
  });
  expect(readyOf(cluster.api.get("nodes", "", "b"))).toBe("True");
  const lease = cluster.api.get("leases.coordination.k8s.io", "kube-node-lease", "a");
  await until(
    cluster.api,
    "leases.coordination.k8s.io",
    ({ metadata, spec }) => metadata.name === "a" && spec.renewTime > lease?.spec.renewTime,
  );
  const added = await cluster.addNode({ name: "c" });
  expect(cluster.node("c")).toBe(added);
  expect(() => cluster.node("d")).toThrow(expect.objectContaining({ code: "DM_NODE_NOT_FOUND" }));
});

it("goes on when its lease cannot be written for a while", async () => {
  const cluster = await openCluster({ times: { heartbeatMs: 10 } });
  const { api } = cluster;
  const leases = "leases.coordination.k8s.io";
  api.delete("namespaces", "", "kube-node-lease");
  await until(
    api,
    "namespaces",
    ({ metadata }, type) => type === "DELETED" && metadata.name === "kube-node-lease",
  );
  api.create("namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "kube-node-lease" },
  });
  await until(
    api,
    leases,
    ({ metadata }, type) => type !== "DELETED" && metadata.name === "node-1",
  );
});

describe("a kubelet that restarts", () => {
  it("finds running containers and those that ended meanwhile", async () => {
    const cluster = await openCluster();
    const node = cluster.node("node-1");
    createPod(cluster.api, "runs", { containers: [shell(`echo up; ${sleeper}`)] });
    const volumes = [{ name: "v", emptyDir: {} }];
    const volumeMounts = [{ name: "v", mountPath: "/v" }];
    createPod(cluster.api, "ends", {
      volumes,
      containers: [
        shell("while [ ! -e /v/go ]; do sleep 0.01; done; echo result > /dev/termination-log", {
          volumeMounts,
        }),
      ],
    });
    const runs = await untilPod(cluster.api, "runs", phase("Running"));
    const ends = await untilPod(cluster.api, "ends", phase("Running"));
    const [running] = node.runtime.containers(runs.metadata.uid);
    await node.stopKubelet();
    const [ending] = node.runtime.containers(ends.metadata.uid);
    const go = `${node.podsDirectory}/${ends.metadata.uid}/volumes/kubernetes.io~empty-dir/v/go`;
    await writeFile(go, "");
    await ending?.exited;
    expect(cluster.api.get("pods", "default", "ends")?.status.phase).toBe("Running");
    await node.start();
    const ended = await untilPod(cluster.api, "ends", phase("Succeeded"));
    expect(containerOf(ended).state.terminated.message).toBe("result\n");
    const still = cluster.api.get("pods", "default", "runs");
    expect(containerOf(still as Json)).toMatchObject({ restartCount: 0, state: { running: {} } });
    expect(isAlive(running?.pid as number)).toBe(true);
    cluster.api.delete("pods", "default", "runs");
    await untilGone(cluster.api, "runs");
    expect(isAlive(running?.pid as number)).toBe(false);
  });

  it("goes on probing", async () => {
    const cluster = await openCluster();
    const readinessProbe = {
      exec: { command: ["test", "-e", "/v/ready"] },
      periodSeconds: 0.02,
      timeoutSeconds: 10,
    };
    createPod(cluster.api, "a", {
      volumes: [{ name: "v", emptyDir: {} }],
      containers: [
        shell(sleeper, { readinessProbe, volumeMounts: [{ name: "v", mountPath: "/v" }] }),
      ],
    });
    const { metadata } = await untilPod(cluster.api, "a", phase("Running"));
    const node = cluster.node("node-1");
    await node.restartKubelet();
    await writeFile(
      `${node.podsDirectory}/${metadata.uid}/volumes/kubernetes.io~empty-dir/v/ready`,
      "",
    );
    await untilPod(cluster.api, "a", (pod) => containerOf(pod)?.ready === true);
  });

  it("goes on with deletions that came meanwhile", async () => {
    const cluster = await openCluster();
    const node = cluster.node("node-1");
    createPod(cluster.api, "a", { containers: [shell(sleeper)] });
    await untilPod(cluster.api, "a", phase("Running"));
    await node.stopKubelet();
    cluster.api.delete("pods", "default", "a");
    expect(cluster.api.get("pods", "default", "a")).toBeDefined();
    await node.start();
    await untilGone(cluster.api, "a");
  });
});

describe("a node that fails", () => {
  it("loses its processes; its pods are deleted after five minutes, for good when it is back", async () => {
    const clock = virtualClock(Date.parse("2026-01-02T03:04:05Z"));
    const cluster = await openCluster({ nodes: 2, clock });
    const readiness = (): string | undefined => readyOf(cluster.api.get("nodes", "", "node-1"));
    createPod(cluster.api, "a", {
      nodeSelector: { "kubernetes.io/hostname": "node-1" },
      containers: [shell(sleeper)],
    });
    const pod = await untilPod(cluster.api, "a", phase("Running"));
    const node = cluster.node("node-1");
    const [container] = node.runtime.containers(pod.metadata.uid);
    await node.fail();
    expect(isAlive(container?.pid as number)).toBe(false);
    await clock.advance(60_000);
    expect(readiness()).toBe("Unknown");
    expect(readyOf(cluster.api.get("nodes", "", "node-2"))).toBe("True");
    await clock.advance(300_000);
    const lost = cluster.api.get("pods", "default", "a");
    expect(lost?.metadata.deletionTimestamp).toBeDefined();
    expect(lost?.status).toMatchObject({ phase: "Running", reason: "NodeLost" });
    await node.recover();
    await untilGone(cluster.api, "a");
    await clock.advance(0);
    expect(readiness()).toBe("True");
    expect(cluster.api.get("nodes", "", "node-1")?.spec.taints).toBeUndefined();
  });

  it("starts its pods again when it is back soon, as their policy says", async () => {
    const cluster = await openCluster();
    createPod(cluster.api, "always", {
      restartPolicy: "Always",
      containers: [shell(`echo up; ${sleeper}`)],
    });
    createPod(cluster.api, "never", { containers: [shell(sleeper)] });
    await untilPod(cluster.api, "always", phase("Running"));
    await untilPod(cluster.api, "never", phase("Running"));
    await untilLog(cluster, "always", "up");
    const node = cluster.node("node-1");
    await node.fail();
    await node.recover();
    const failed = await untilPod(cluster.api, "never", phase("Failed"));
    expect(containerOf(failed).state.terminated).toMatchObject({
      exitCode: 137,
      reason: "ContainerStatusUnknown",
    });
    const again = await untilPod(
      cluster.api,
      "always",
      (pod) => containerOf(pod)?.restartCount === 1 && containerOf(pod).state.running !== undefined,
    );
    expect(containerOf(again).lastState.terminated.reason).toBe("ContainerStatusUnknown");
    expect(await logOf(cluster, "always", true)).toBe("up\n");
  });

  it("is replaced by others for the pods of a Deployment", async () => {
    const clock = virtualClock(Date.parse("2026-01-02T03:04:05Z"));
    const cluster = await openCluster({ nodes: 2, clock, longestTolerationMs: 10_000 });
    cluster.api.create("deployments.apps", {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: "default" },
      spec: {
        selector: { matchLabels: { app: "web" } },
        template: { metadata: { labels: { app: "web" } }, spec: { containers: [shell(sleeper)] } },
      },
    });
    const runsOn = (name: string) => (pod: Json) =>
      pod.metadata.labels?.app === "web" &&
      pod.spec.nodeName === name &&
      pod.status.phase === "Running";
    await until(cluster.api, "pods", runsOn("node-1"));
    await cluster.node("node-1").fail();
    await clock.advance(60_000);
    await until(cluster.api, "pods", runsOn("node-2"));
  });

  it("can be taken away for good", async () => {
    const cluster = await openCluster({ nodes: 2 });
    createPod(cluster.api, "a", {
      nodeSelector: { "kubernetes.io/hostname": "node-1" },
      containers: [shell(sleeper)],
    });
    await untilPod(cluster.api, "a", phase("Running"));
    await cluster.removeNode("node-1");
    await untilGone(cluster.api, "a");
    expect(cluster.nodes.map(({ name }) => name)).toEqual(["node-2"]);
    expect(cluster.api.list("nodes")).toHaveLength(1);
  });
});

it("leaves no process when the cluster is closed", async () => {
  const cluster = await openCluster({ nodes: 2 });
  const pids: number[] = [];
  for (const name of ["a", "b"]) {
    createPod(cluster.api, name, { containers: [shell(`trap "" TERM; ${sleeper}`)] });
    const pod = await untilPod(cluster.api, name, phase("Running"));
    const [container] = cluster.node(pod.spec.nodeName).runtime.containers(pod.metadata.uid);
    pids.push(container?.pid as number);
  }
  await cluster.close();
  for (const pid of pids) expect(isAlive(pid)).toBe(false);
});

it("leaves no process when the process of the cluster is killed", async () => {
  const source = new URL("../../src/cluster.ts", import.meta.url);
  const script = `
    const { startCluster } = await import(${JSON.stringify(source.href)});
    const cluster = await startCluster({ images: { sh: ["/bin/sh", "-c"] }, csi: false });
    cluster.api.create("pods", { apiVersion: "v1", kind: "Pod", metadata: { name: "a", namespace: "default" },
      spec: { containers: [{ name: "main", image: "sh", imagePullPolicy: "Never", args: ["sleep 600 & exec sleep 600"] }] } });
    cluster.api.watch("pods", ({ object }) => {
      if (object.status?.phase !== "Running") return;
      const [{ pid }] = cluster.nodes[0].runtime.containers(object.metadata.uid);
      process.stdout.write(JSON.stringify({ pid, directory: cluster.directory }) + "\\n");
    });`;
  const args = ["--conditions=@dm/source", "--input-type=module", "-e", script];
  const owner = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [text] = await once(owner.stdout, "data");
  const { pid, directory } = JSON.parse(String(text).split("\n")[0] as string);
  expect(isAlive(pid)).toBe(true);
  owner.kill("SIGKILL");
  await once(owner, "exit");
  while ((await processesOf(pid)).length > 0)
    await new Promise((resolve) => setTimeout(resolve, 5));
  await rm(directory, { recursive: true, force: true });
});

/** Of a process group, without those that are dead and only wait to be noticed. */
async function processesOf(group: number): Promise<string[]> {
  if (process.platform !== "linux") return isAlive(group) ? [String(group)] : [];
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const text = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    if (Number(fields[2]) === group && fields[0] !== "Z") found.push(pid);
  }
  return found;
}
