/**
 * The node agent: on every node, the controllers of DataUploads and DataDownloads.
 * @module
 */
import {
  type AgentDeps,
  type AgentView,
  agentDefaults,
  createReservations,
  csiSnapshotExposer,
  genericRestoreExposer,
  hostingTemplateOf,
  patientClient,
  patrolTransfers,
  reconcileTransfer,
  type TransferKind,
  type TransferObject,
} from "@dm/controller";
import {
  type Cache,
  createEventRecorder,
  createManager,
  type Manager,
  nodeKubeClient,
  source,
  stopSignal,
} from "@dm/controller/runtime";
import { systemClock } from "@dm/core";
import {
  type DataDownload,
  type DataUpload,
  daemonSets,
  dataDownloads,
  dataUploads,
  events,
  type KubeEvent,
  labels,
  nodes,
  type Pod,
  pods,
} from "@dm/crds";
import { endpointsOf, fromEnvironment, loggerOf, type RoleFlags } from "./process.ts";

export interface NodeAgentFlags extends RoleFlags {
  readonly node?: string | undefined;
  readonly daemonSet: string;
  readonly moverServiceAccount: string;
  readonly takeOverVelero: boolean;
}

const patrolMs = 60_000;

export async function runNodeAgent(flags: NodeAgentFlags): Promise<void> {
  const logger = loggerOf(flags);
  const namespace = flags.namespace ?? fromEnvironment("POD_NAMESPACE");
  const node = flags.node ?? fromEnvironment("NODE_NAME");
  const signal = stopSignal();
  const client = nodeKubeClient({ userAgent: "dm-node-agent" });
  const clock = systemClock;
  const own = await client.get(daemonSets, { namespace, name: flags.daemonSet }, { signal });
  if (!own) throw new Error(`there is no DaemonSet ${namespace}/${flags.daemonSet}`);
  const template = {
    ...hostingTemplateOf(own),
    // A mover reads a volume and a store; it has no business with claims and pods.
    serviceAccountName: flags.moverServiceAccount,
  };
  const manager = createManager({ client, logger, endpoints: endpointsOf(flags) });
  const caches = {
    DataUpload: manager.cache(dataUploads, { namespace }),
    DataDownload: manager.cache(dataDownloads, { namespace }),
    own: manager.cache(pods, { namespace, fieldSelector: `spec.nodeName=${node}` }),
    agents: manager.cache(pods, {
      namespace,
      labelSelector: `${labels.appName}=${flags.daemonSet}`,
    }),
    nodes: manager.cache(nodes),
    events: manager.cache(events, {
      namespace,
      indexes: { uid: ({ involvedObject }: KubeEvent) => [involvedObject.uid ?? ""] },
    }),
  };
  const context = { client, clock, namespace, template, logger };
  const recorder = createEventRecorder(client, { component: "dm-node-agent", host: node, logger });
  const deps: AgentDeps = {
    client: patientClient(client, { clock }),
    clock,
    node,
    settings: { ...agentDefaults, takeOverVelero: flags.takeOverVelero },
    reservations: createReservations(),
    logger,
    view: viewOf(caches),
    metrics: metricsOf(manager),
    podLog: (key, limits) => client.podLog(key, limits),
    recordEvent: (object, event) => {
      if (object.kind === "DataDownload") recorder.record(dataDownloads, object, event);
      else recorder.record(dataUploads, object, event);
    },
    exposerFor: (kind, object) =>
      kind === "DataUpload"
        ? csiSnapshotExposer(context, object as DataUpload)
        : genericRestoreExposer(context, object as DataDownload),
  };
  for (const kind of ["DataUpload", "DataDownload"] as const)
    addController(manager, deps, caches, kind);
  manager.addRunnable("patrol", async (stop) => {
    while (!stop.aborted) {
      await clock.sleep(patrolMs, { signal: stop }).catch(() => {});
      if (!stop.aborted) await patrolTransfers(deps, { signal: stop });
    }
  });
  try {
    await manager.run(signal);
  } finally {
    client.close();
  }
}

interface Caches {
  readonly DataUpload: Cache<DataUpload>;
  readonly DataDownload: Cache<DataDownload>;
  readonly own: Cache<Pod>;
  readonly agents: Cache<Pod>;
  readonly nodes: Cache<import("@dm/crds").Node>;
  readonly events: Cache<KubeEvent>;
}

function viewOf(caches: Caches): AgentView {
  const named = <T extends TransferObject>(kind: TransferKind, object: T): T => ({
    ...object,
    kind,
  });
  return {
    transfer: ({ kind, name, namespace }) => {
      const found = caches[kind].get({ namespace, name });
      return found && named(kind, found as TransferObject);
    },
    transfers: (kind) => (caches[kind].list() as TransferObject[]).map((one) => named(kind, one)),
    hostingPod: (key) => caches.own.get(key),
    eventsOf: (uid) => caches.events.byIndex("uid", uid),
    nodes: () => caches.nodes.list(),
    agents: () => {
      const present = new Set(caches.nodes.list().map(({ metadata }) => metadata.name));
      const running = caches.agents
        .list()
        .filter(
          ({ metadata, status }) => !metadata.deletionTimestamp && status?.phase === "Running",
        )
        .map(({ spec }) => spec.nodeName ?? "");
      return new Set(running.filter((name) => present.has(name)));
    },
  };
}

function addController(
  manager: Manager,
  deps: AgentDeps,
  caches: Caches,
  kind: TransferKind,
): void {
  const label = kind === "DataUpload" ? labels.dataUpload : labels.dataDownload;
  const namespaced = (namespace: string | undefined, name: string | undefined) =>
    name ? [{ namespace: namespace ?? "", name }] : [];
  manager.add({
    name: kind,
    concurrency: 4,
    sources: [
      kind === "DataUpload" ? source(caches.DataUpload) : source(caches.DataDownload),
      source(caches.own, ({ metadata }) =>
        namespaced(metadata.namespace, metadata.labels?.[label]),
      ),
      // Events of the object, and of its pod, which has its name.
      source(caches.events, ({ involvedObject }) =>
        involvedObject.kind === kind || involvedObject.kind === "Pod"
          ? namespaced(involvedObject.namespace, involvedObject.name)
          : [],
      ),
    ],
    reconcile: ({ name, namespace = "" }, signal) =>
      reconcileTransfer(deps, { kind, namespace, name }, { signal }),
  });
}

function metricsOf({ metrics }: Manager): AgentDeps["metrics"] {
  return {
    count: (name, counted) => {
      const full = name.startsWith("dm_") ? name : `podVolume_${name}`;
      metrics.counter(full, "Ends of DataUploads and DataDownloads on this node").increase(counted);
    },
    observe: (name, seconds, measured) =>
      metrics
        .histogram(name, "From acceptance until the volume is exposed")
        .observe(seconds, measured),
  };
}
