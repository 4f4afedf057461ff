/** The whole agent on a manager, over HTTP, by the clock of the system: it hears of what it must, in all its ways. */

import { mkdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@dm/core";
import { finalizers, isFinalPhase } from "@dm/crds";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hostingTemplateOf } from "../../src/expose/hosting-template.ts";
import { addNodeAgent } from "../../src/node-agent/node-agent.ts";
import type { TransferKind } from "../../src/node-agent/transfer.ts";
import {
  createEventRecorder,
  createManager,
  type Manager,
  nodeKubeClient,
} from "../../src/runtime/index.ts";
import { app, FakeCluster, operator, resourceOf } from "./fake-cluster.ts";

let cluster: FakeCluster;
let stop: AbortController;
let podsRoot: string;
const ends: Promise<void>[] = [];

beforeEach(async () => {
  stop = new AbortController();
  cluster = await FakeCluster.open(["a", "b"], systemClock);
  podsRoot = await mkdtemp(join(tmpdir(), "dm-pods-"));
});

afterEach(async () => {
  stop.abort();
  await Promise.all(ends.splice(0));
  await cluster.close();
  await rm(podsRoot, { recursive: true, force: true });
});

function startAgent(node: string, ownerLostMs = 300_000): Manager {
  const { url, adminToken } = cluster.server;
  const client = nodeKubeClient({ server: { url, token: adminToken } });
  const manager = createManager({ client });
  const recorder = createEventRecorder(client, { component: "node-agent", host: node });
  addNodeAgent(manager, {
    client,
    recorder,
    namespace: operator,
    node,
    agentSelector: "role=node-agent",
    template: hostingTemplateOf({
      metadata: { name: "node-agent" },
      spec: {
        selector: {},
        template: { spec: { containers: [{ name: "node-agent", image: "dm:1" }] } },
      },
    } as never),
    hostPods: { root: podsRoot, path: "/var/lib/kubelet/pods" },
    settings: { podVolumes: true, exposePollMs: 20, queuePollMs: 20, peekMs: 200, ownerLostMs },
  });
  ends.push(manager.run(stop.signal).finally(() => client.close()));
  return manager;
}

/** The cluster works on until it holds. */
async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; !condition(); round++) {
    if (round > 2_000) throw new Error(`still not: ${condition}`);
    cluster.work();
    cluster.tick();
    await systemClock.sleep(10);
  }
}

const get = (kind: TransferKind, name: string) => cluster.api.get(resourceOf(kind), operator, name);
const isOver = (kind: TransferKind, name: string) => isFinalPhase(get(kind, name)?.status?.phase);

describe("addNodeAgent", () => {
  it("moves volumes both ways, with two agents, and counts and tells", async () => {
    cluster.schedule = ({ metadata }) => (metadata.name.endsWith("1") ? "a" : "b");
    const managers = ["a", "b"].map((node) => startAgent(node));
    for (const name of ["up-1", "up-2"]) {
      cluster.source(name);
      cluster.upload(name);
    }
    for (const name of ["down-1", "down-2"]) {
      cluster.target(name);
      cluster.download(name);
    }
    await until(
      () =>
        ["up-1", "up-2"].every((name) => isOver("DataUpload", name)) &&
        ["down-1", "down-2"].every((name) => isOver("DataDownload", name)),
    );
    for (const [kind, name, node] of [
      ["DataUpload", "up-1", "a"],
      ["DataUpload", "up-2", "b"],
      ["DataDownload", "down-1", "a"],
      ["DataDownload", "down-2", "b"],
    ] as const)
      expect(get(kind, name)?.status).toMatchObject({ phase: "Completed", node });
    cluster.work();
    expect(cluster.leftovers()).toEqual([]);
    for (const line of [
      'podVolume_data_upload_success_total{node="a"} 1',
      'podVolume_data_download_success_total{node="b"} 1',
      'dm_expose_seconds_count{node="a"} 2',
    ])
      await until(() => managers.some(({ metrics }) => metrics.text().includes(line)));
    await until(() =>
      cluster.api
        .list("events", operator)
        .some(
          ({ reason, involvedObject }) => reason === "CleanedUp" && involvedObject.name === "up-1",
        ),
    );
  });

  it("moves pods' volumes on the nodes of the pods, and hears when a pod waits", async () => {
    for (const node of ["a", "b"]) startAgent(node);
    cluster.schedule = ({ metadata }) => (metadata.name === "up" ? "a" : "b");
    cluster.podStatus = ({ metadata }) =>
      metadata.name === "down" && metadata.namespace === app ? { phase: "Pending" } : undefined;
    for (const [kind, name] of [
      ["PodVolumeBackup", "up"],
      ["PodVolumeRestore", "down"],
    ] as const) {
      cluster.make(kind, name);
      const uid = cluster.api.get("pods", app, name)?.metadata.uid ?? "";
      const path = join(podsRoot, uid, "volumes/kubernetes.io~empty-dir/data");
      mkdirSync(path, { recursive: true });
    }
    await until(() => isOver("PodVolumeBackup", "up"));
    expect(get("PodVolumeBackup", "up")?.status).toMatchObject({ phase: "Completed" });
    expect(get("PodVolumeRestore", "down")?.status?.phase).toBeUndefined();
    cluster.podStatus = () => undefined;
    await until(() => isOver("PodVolumeRestore", "down"));
    const status = { phase: "Completed", node: "b" };
    expect(get("PodVolumeRestore", "down")?.status).toMatchObject(status);
    cluster.work();
    expect(cluster.leftovers()).toEqual([]);
  });

  it("hears of a cancel, and of a pod that is gone", async () => {
    cluster.schedule = () => "a";
    cluster.mover.ticks = 1_000_000;
    startAgent("a");
    cluster.source("data");
    cluster.upload("data");
    const phase = () => get("DataUpload", "data")?.status?.phase;
    await until(() => phase() === "InProgress" && cluster.pod("data") !== undefined);
    const uid = cluster.pod("data")?.metadata.uid;
    cluster.api.delete("pods", operator, "data", { gracePeriodSeconds: 0 });
    await until(() => {
      const pod = cluster.pod("data");
      return pod?.status?.phase === "Running" && pod.metadata.uid !== uid;
    });
    cluster.api.modify(resourceOf("DataUpload"), operator, "data", (object) => {
      object.spec.cancel = true;
    });
    await until(() => phase() === "Canceled");
    cluster.work();
    expect(cluster.leftovers()).toEqual([]);
  });

  it("takes over from an agent whose pod or node is gone, and from no other", async () => {
    cluster.schedule = () => "a";
    const agentOn = (node: string): string => `agent-${node}`;
    for (const node of ["a", "b"]) {
      cluster.api.create("pods", {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: agentOn(node), namespace: operator, labels: { role: "node-agent" } },
        spec: { nodeName: node, containers: [{ name: "main", image: "dm:1" }] },
      });
      cluster.setStatus("pods", operator, agentOn(node), { phase: "Running" });
    }
    const acceptedByB = (name: string): void => {
      cluster.source(name);
      cluster.upload(name);
      cluster.api.modify(resourceOf("DataUpload"), operator, name, (object) => {
        object.metadata.finalizers = [finalizers.dataUploadDownload];
        object.status = {
          phase: "Accepted",
          acceptedByNode: "b",
          acceptedTimestamp: new Date(cluster.nowMs).toISOString(),
        };
      });
    };
    acceptedByB("one");
    const manager = startAgent("a", 300);
    // Another object goes all its way meanwhile, and a patrol or two pass.
    cluster.source("own");
    cluster.upload("own");
    await until(() => isOver("DataUpload", "own"));
    await systemClock.sleep(600);
    expect(get("DataUpload", "one")?.status?.phase).toBe("Accepted");
    expect(get("DataUpload", "one")?.metadata.annotations ?? {}).toEqual({});
    const condition = { type: "Ready", status: "Unknown" };
    cluster.setStatus("nodes", "", "b", { conditions: [condition] });
    await until(() => isOver("DataUpload", "one"));
    cluster.setStatus("nodes", "", "b", { conditions: [{ ...condition, status: "True" }] });
    acceptedByB("two");
    const container = { name: "main", image: "", imageID: "", ready: false, restartCount: 9 };
    const waiting = { reason: "CrashLoopBackOff" };
    cluster.setStatus("pods", operator, agentOn("b"), {
      containerStatuses: [{ ...container, state: { waiting } }],
    });
    await until(() => isOver("DataUpload", "two"));
    acceptedByB("three");
    cluster.api.delete("pods", operator, agentOn("b"), { gracePeriodSeconds: 0 });
    await until(() => isOver("DataUpload", "three"));
    for (const name of ["one", "two", "three"])
      expect(get("DataUpload", name)?.status).toMatchObject({
        phase: "Completed",
        acceptedByNode: "a",
      });
    const line = 'podVolume_data_upload_success_total{node="a"} 4';
    await until(() => manager.metrics.text().includes(line));
  });
});
