/** An API server with the built-in controllers and scheduler on a virtual clock; the test itself plays the kubelets. */
import { type ApiServer, createApiServer } from "../../src/api-server/api-server.ts";
import type { ClusterApi } from "../../src/cluster-api.ts";
import { startControllers } from "../../src/controllers/index.ts";
import { nowMs, timestampOf } from "../../src/controllers/timestamp.ts";
import type { Json, NewObject, StoredObject } from "../../src/kube-object.ts";
import { mergeConditions } from "../../src/kubelet/pod-status.ts";
import { startScheduler } from "../../src/scheduler.ts";
import { type VirtualClock, virtualClock } from "../../src/virtual-clock.ts";

export interface World {
  readonly api: ClusterApi;
  readonly clock: VirtualClock;
  readonly server: ApiServer;
  /** Lets controllers do all that they can do now. */
  settle(): Promise<void>;
  addNode(name: string, labels?: Record<string, string>): Promise<void>;
  heartbeat(name: string): void;
  /** Plays the kubelet. */
  setPod(name: string, status: "ready" | "succeeded" | "failed"): Promise<void>;
  /** Plays the kubelet: pods that are going are gone. */
  finishDeletions(): Promise<void>;
  pods(): StoredObject[];
  events(reason: string): string[];
  close(): Promise<void>;
}

export async function createWorld(
  options: { readonly nodes?: readonly string[]; readonly longestTolerationMs?: number } = {},
): Promise<World> {
  const clock = virtualClock(Date.parse("2026-01-02T03:04:05Z"));
  const server = await createApiServer({ clock });
  const { cluster: api } = server;
  const controllers = startControllers({ api, longestTolerationMs: options.longestTolerationMs });
  const scheduler = startScheduler({ api });
  const leases = "leases.coordination.k8s.io";
  const world: World = {
    api,
    clock,
    server,
    settle: () => clock.advance(0),
    async addNode(name, labels = {}) {
      api.create("nodes", {
        apiVersion: "v1",
        kind: "Node",
        metadata: { name, labels: { "kubernetes.io/hostname": name, ...labels } },
      });
      world.heartbeat(name);
      await world.settle();
    },
    heartbeat(name) {
      const renewTime = new Date(nowMs(clock)).toISOString();
      if (api.get(leases, "kube-node-lease", name) === undefined) {
        api.create(leases, {
          apiVersion: "coordination.k8s.io/v1",
          kind: "Lease",
          metadata: { name, namespace: "kube-node-lease" },
          spec: { holderIdentity: name, renewTime },
        });
      } else {
        api.modify(leases, "kube-node-lease", name, ({ spec }) => {
          spec.renewTime = renewTime;
        });
      }
      setStatus(api, "nodes", "", name, (status) => {
        status.conditions = mergeConditions(status.conditions ?? [], nowMs(clock), [
          { type: "Ready", status: "True" },
        ]);
      });
    },
    async setPod(name, to) {
      setStatus(api, "pods", "default", name, (status) => {
        status.phase = { ready: "Running", succeeded: "Succeeded", failed: "Failed" }[to];
        const ready = to === "ready" ? "True" : "False";
        status.conditions = mergeConditions(status.conditions ?? [], nowMs(clock), [
          { type: "Ready", status: ready },
        ]);
        if (to === "ready") return;
        const terminated = {
          exitCode: to === "failed" ? 1 : 0,
          finishedAt: timestampOf(nowMs(clock)),
        };
        status.containerStatuses = [{ name: "main", restartCount: 0, state: { terminated } }];
      });
      await world.settle();
    },
    async finishDeletions() {
      await world.settle();
      for (const { metadata } of api.list("pods")) {
        if (metadata.deletionTimestamp === undefined) continue;
        api.delete("pods", metadata.namespace ?? "", metadata.name, { gracePeriodSeconds: 0 });
      }
      await world.settle();
    },
    pods: () => api.list("pods", "default"),
    events: (reason) =>
      api
        .list("events")
        .filter((event) => event["reason"] === reason)
        .map((event) => event["message"]),
    async close() {
      await scheduler.close();
      await controllers.close();
      await server.close();
    },
  };
  for (const name of options.nodes ?? []) await world.addNode(name);
  await world.settle();
  return world;
}

function setStatus(
  api: ClusterApi,
  resource: string,
  namespace: string,
  name: string,
  change: (status: Json) => void,
): void {
  api.modify(
    resource,
    namespace,
    name,
    (object) => {
      object.status ??= {};
      change(object.status);
    },
    { subresource: "status" },
  );
}

export function configMap(name: string, metadata: object = {}): NewObject {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default", ...metadata },
  };
}

export function pod(name: string, spec: object = {}, metadata: object = {}): NewObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", ...metadata },
    spec: { containers: [{ name: "main", image: "busybox:1" }], ...spec },
  };
}

export function template(image = "busybox:1", spec: object = {}): object {
  return {
    metadata: { labels: { app: "x" } },
    spec: { containers: [{ name: "main", image }], ...spec },
  };
}

export function ownedBy(owner: StoredObject, extra: object = {}): object {
  return {
    ownerReferences: [
      {
        apiVersion: owner.apiVersion,
        kind: owner.kind,
        name: owner.metadata.name,
        uid: owner.metadata.uid,
        ...extra,
      },
    ],
  };
}
