// Pods are made and deleted while containers are killed, kubelets restart and nodes fail and return, in a drawn order: at the end
// every pod is what it must be, and after the last deletion nothing is left of any. DM_SEED repeats a run, DM_FULL=1 makes it long.
import { readdir } from "node:fs/promises";
import { seededRandom } from "@dm/fixtures";
import { expect, it } from "vitest";
import type { Cluster } from "../../src/cluster.ts";
import type { StoredObject } from "../../src/kube-object.ts";
import { openCluster, shell, sleeper, until } from "./running-cluster.ts";

const seed = Number(process.env["DM_SEED"] ?? 1);
const steps = process.env["DM_FULL"] ? 400 : 40;
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2));

it.each([
  ["with a folder of their own", false],
  ["with a volume of the storage", true],
])(`pods %s come through ${steps} steps (DM_SEED=${seed})`, async (_title, stored) => {
  const random = seededRandom(seed);
  const cluster = await openCluster({
    nodes: 3,
    times: { heartbeatMs: 50 },
    nodeGraceMs: 60_000,
    csi: { canMount: false },
  });
  cluster.api.create("storageclasses.storage.k8s.io", {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "standard" },
    provisioner: "csi.testbed.dm",
    volumeBindingMode: random.pick(["Immediate", "WaitForFirstConsumer"]),
  });
  const pick = <T>(items: readonly T[]): T | undefined =>
    items.length === 0 ? undefined : random.pick(items);
  let created = 0;
  for (let step = 0; step < steps; step++) {
    await doOne(cluster, random.integer(10), pick, () => `pod-${created++}`, stored);
    for (let rest = random.integer(8); rest > 0; rest--) await turn();
  }
  for (const node of cluster.nodes) await node.recover();

  // Whoever may go on runs; the others have ended; those that were deleted are gone. And what is written is so.
  const settled = (pod: StoredObject): boolean => {
    if (pod.metadata.deletionTimestamp !== undefined) return false;
    const { phase } = pod.status;
    const ended = phase === "Succeeded" || phase === "Failed";
    if (!(phase === "Running" || (ended && pod.spec.restartPolicy === "Never"))) return false;
    const { runtime } = cluster.node(pod.spec.nodeName);
    const running = runtime.containers(pod.metadata.uid).filter(({ exit }) => exit === undefined);
    return running.length === (ended ? 0 : 1);
  };
  while (!cluster.api.list("pods").every(settled)) await turn();

  for (const { metadata } of cluster.api.list("pods")) {
    cluster.api.delete("pods", "default", metadata.name);
  }
  if (cluster.api.list("pods").length > 0) {
    await until(cluster.api, "pods", () => cluster.api.list("pods").length === 0);
  }
  const claims = "persistentvolumeclaims";
  for (const { metadata } of cluster.api.list(claims)) {
    cluster.api.delete(claims, "default", metadata.name);
  }
  while (cluster.csi?.volumes().length !== 0) await turn();
  expect(cluster.csi?.publications()).toEqual([]);
  for (const node of cluster.nodes) {
    const logs = node.hostPath("/var/log/pods");
    const left = async (): Promise<string[]> => [
      ...(await readdir(node.podsDirectory)),
      ...(await readdir(logs).catch(() => [])),
    ];
    while ((await left()).length > 0) await turn();
    expect(node.runtime.podUids().size, node.name).toBe(0);
  }
  process.stdout.write(`chaos: ${created} pods, ${steps} steps, seed ${seed}\n`);
});

function createClaim({ api }: Cluster, name: string): void {
  api.create("persistentvolumeclaims", {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name, namespace: "default" },
    spec: {
      accessModes: ["ReadWriteOnce"],
      storageClassName: "standard",
      resources: { requests: { storage: "1Mi" } },
    },
  });
}

async function doOne(
  cluster: Cluster,
  action: number,
  pick: <T>(items: readonly T[]) => T | undefined,
  nextName: () => string,
  stored: boolean,
): Promise<void> {
  const { api } = cluster;
  const pods = api.list("pods", "default");
  const node = pick(cluster.nodes);
  switch (action) {
    case 0:
    case 1:
    case 2: {
      const always = pick([true, false]);
      const name = nextName();
      if (stored) createClaim(cluster, name);
      api.create("pods", {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, namespace: "default" },
        spec: {
          restartPolicy: always ? "Always" : "Never",
          terminationGracePeriodSeconds: pick([0, 30]),
          volumes: [
            stored
              ? { name: "v", persistentVolumeClaim: { claimName: name } }
              : { name: "v", emptyDir: {} },
          ],
          containers: [
            shell(!always && pick([true, false]) ? "exit 1" : sleeper, {
              volumeMounts: [{ name: "v", mountPath: "/v" }],
            }),
          ],
        },
      });
      return;
    }
    case 3: {
      const pod = pick(pods);
      if (pod !== undefined) api.delete("pods", "default", pod.metadata.name);
      return;
    }
    case 4: {
      const pod = pick(pods);
      if (pod !== undefined)
        api.delete("pods", "default", pod.metadata.name, { gracePeriodSeconds: 0 });
      return;
    }
    case 5:
    case 6: {
      const pod = pick(pods.filter(({ status }) => status?.phase === "Running"));
      if (pod === undefined) return;
      try {
        cluster.node(pod.spec.nodeName).killContainer(pod);
      } catch {
        // It had ended already, or its node is down.
      }
      return;
    }
    case 7:
      await node?.restartKubelet();
      return;
    case 8:
      await node?.fail();
      return;
    default:
      await node?.recover();
  }
}
