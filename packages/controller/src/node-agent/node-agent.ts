/**
 * The node agent on a manager: its caches, a controller for each kind, the patrol over other agents' work, and the sweeper.
 * Proof: test/node-agent/node-agent.test.ts.
 * @module
 */
import { type Clock, type Logger, silentLogger, systemClock } from "@dm/core";
import { events, type KubeEvent, labels, type Node, nodes, type Pod, pods } from "@dm/crds";
import { exposerFor } from "../expose/exposer-for.ts";
import { hostPods } from "../expose/host-path.ts";
import type { HostingTemplate } from "../expose/hosting-template.ts";
import { isPodVolume } from "../mover/data-path-kind.ts";
import { restoreWaitContainer } from "../pod-volume/restore-wait.ts";
import {
  type Cache,
  type EventRecorder,
  type KubeClient,
  type Manager,
  type Metrics,
  type ObjectKey,
  source,
} from "../runtime/index.ts";
import type { AgentDeps, AgentView } from "./agent-deps.ts";
import type { AgentMetrics } from "./agent-metrics.ts";
import { type AgentSettings, agentDefaults } from "./agent-settings.ts";
import { concurrencyOn, emptyNodeAgentConfig, type NodeAgentConfig } from "./node-agent-config.ts";
import { takesPlace } from "./observe.ts";
import { patientClient } from "./patient-client.ts";
import { patrolTransfers, reconcileTransfer } from "./reconcile.ts";
import { createReservations } from "./reservations.ts";
import { sweepOrphans } from "./sweep.ts";
import {
  type ClientPodKey,
  kindOf,
  nodeOf,
  podLabels,
  resourceOf,
  type TransferKind,
  type TransferObject,
  transferKinds,
} from "./transfer.ts";

export interface NodeAgentOptions {
  readonly client: KubeClient;
  readonly recorder: EventRecorder;
  /** The operator's. */
  readonly namespace: string;
  /** The agent's node, and its labels, by which the configuration may choose. */
  readonly node: string;
  readonly nodeLabels?: Readonly<Record<string, string>> | undefined;
  /** What hosting pods are made after: see `hostingTemplateOf`. */
  readonly template: HostingTemplate;
  readonly windowsTemplate?: HostingTemplate | undefined;
  /** Label selector of the pods of all node agents, in the operator's namespace. */
  readonly agentSelector: string;
  readonly config?: NodeAgentConfig | undefined;
  /** Wins over the configuration. */
  readonly settings?: Partial<AgentSettings> | undefined;
  /** How long a mover waits for its repository, as Go writes durations; `10m0s` by default. */
  readonly resourceTimeout?: string | undefined;
  readonly podLog?: AgentDeps["podLog"];
  /** Where this process sees the kubelet's directory of pods, and where that is on the node; see `hostPods`. */
  readonly hostPods?: { readonly root?: string; readonly path?: string } | undefined;
  readonly sweepMs?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

export const nodeAgentDefaults = { sweepMs: 10 * 60_000, concurrency: 4 } as const;

/**
 * Call before the manager runs.
 * @example
 * const manager = createManager({ client });
 * addNodeAgent(manager, { client, recorder, namespace, node, template: hostingTemplateOf(daemonSet), agentSelector: "role=node-agent" });
 * await manager.run(stopSignal());
 */
export function addNodeAgent(manager: Manager, options: NodeAgentOptions): AgentDeps {
  const { namespace, node, clock = systemClock, logger = silentLogger } = options;
  const settings = settingsOf(options);
  const caches = cachesOf(manager, options, settings);
  const deps = depsOf(manager, options, settings, viewOf(caches, node));
  for (const problem of options.config?.warnings ?? [])
    logger.warn("a part of the node agent's configuration is not used", { problem });
  for (const kind of caches.objects.keys()) manager.add(controllerOf(deps, kind, caches));
  manager.addRunnable(
    "patrol",
    every(settings.peekMs, clock, (signal) => patrolTransfers(deps, { signal })),
  );
  const sweepMs = options.sweepMs ?? nodeAgentDefaults.sweepMs;
  manager.addRunnable(
    "sweep",
    every(sweepMs, clock, async (signal) => {
      // One agent is enough.
      const [first] = [...deps.view.agents()].sort();
      if (first !== node) return;
      try {
        await sweepOrphans(deps, { namespace, signal });
      } catch (error) {
        logger.warn("cannot look for what was left behind", { error: String(error) });
      }
    }),
  );
  return deps;
}

interface Caches {
  /** Of the kinds that this agent works on. */
  readonly objects: ReadonlyMap<TransferKind, Cache<TransferObject>>;
  readonly hostingPods: Cache<Pod>;
  /** All pods of the node, where pods' volumes are worked on. */
  readonly nodePods?: Cache<Pod> | undefined;
  readonly agentPods: Cache<Pod>;
  readonly nodes: Cache<Node>;
  readonly events: Cache<KubeEvent>;
}

function settingsOf({
  config = emptyNodeAgentConfig,
  ...options
}: NodeAgentOptions): AgentSettings {
  return {
    ...agentDefaults,
    concurrency: concurrencyOn(config, options.nodeLabels ?? {}),
    prepareQueueLength: config.prepareQueueLength,
    ...options.settings,
  };
}

function cachesOf(
  manager: Manager,
  { namespace, node, agentSelector }: NodeAgentOptions,
  { peekMs, podVolumes }: AgentSettings,
): Caches {
  const kinds = transferKinds.filter((kind) => podVolumes || !isPodVolume(kind));
  const fieldSelector = `spec.nodeName=${node}`;
  const cacheOf = (kind: TransferKind): Cache<TransferObject> =>
    manager.cache(resourceOf(kind), {
      namespace,
      // Whatever was missed is looked at once a minute.
      resyncMs: peekMs,
      indexes: { client: ({ spec }) => ("pod" in spec ? [nameOf(spec.pod)] : []) },
    });
  return {
    objects: new Map(kinds.map((kind) => [kind, cacheOf(kind)])),
    hostingPods: manager.cache(pods, {
      namespace,
      labelSelector: labels.exposerPodGroup,
      fieldSelector,
    }),
    nodePods: podVolumes ? manager.cache(pods, { fieldSelector, keep: onlyItsState }) : undefined,
    agentPods: manager.cache(pods, { namespace, labelSelector: agentSelector }),
    nodes: manager.cache(nodes, { keep: onlyWhatIsRead }),
    events: manager.cache(events, {
      namespace,
      indexes: { uid: ({ involvedObject }) => [involvedObject.uid ?? ""] },
    }),
  };
}

/** Nodes list every image that they have. */
function onlyWhatIsRead({ metadata, status }: Node): Node {
  const { name, uid, resourceVersion, labels: nodeLabels = {} } = metadata;
  const { conditions = [] } = status ?? {};
  return {
    metadata: { name, uid, resourceVersion, labels: nodeLabels } as Node["metadata"],
    status: { conditions },
  };
}

const nameOf = ({ namespace = "", name = "" }: Partial<ClientPodKey>): string =>
  `${namespace}/${name}`;

/** What tells that a pod waits for its files; there may be hundreds of pods. */
function onlyItsState({ metadata, spec, status }: Pod): Pod {
  const { name, namespace, uid, resourceVersion } = metadata;
  const isWait = (container: { name: string }): boolean => container.name === restoreWaitContainer;
  return {
    metadata: { name, namespace, uid, resourceVersion } as Pod["metadata"],
    spec: { containers: [], nodeName: spec.nodeName ?? "" },
    status: {
      ...(status?.phase && { phase: status.phase }),
      initContainerStatuses: (status?.initContainerStatuses ?? []).filter(isWait),
    },
  };
}

function viewOf(caches: Caches, node: string): AgentView {
  return {
    transfer: ({ kind, ...key }) => caches.objects.get(kind)?.get(key),
    transfers: (kind) => caches.objects.get(kind)?.list() ?? [],
    hostingPod: (key) => caches.hostingPods.get(key),
    clientPod: ({ namespace, name }) => caches.nodePods?.get({ namespace, name }),
    eventsOf: (uid) => caches.events.byIndex("uid", uid),
    nodes: () => caches.nodes.list(),
    agents: () => {
      const ready = new Set(
        caches.nodes
          .list()
          .filter(isReady)
          .map(({ metadata }) => metadata.name),
      );
      const running = caches.agentPods
        .list()
        .filter(isAtWork)
        .map(({ spec }) => spec.nodeName ?? "")
        .filter((name) => ready.has(name));
      return new Set([...running, node]);
    },
  };
}

/** An agent that crashes whenever it is started does no work, although its pod counts as running. */
function isAtWork({ metadata, status }: Pod): boolean {
  const containers = status?.containerStatuses ?? [];
  const waits = containers.some(({ state }) => state?.waiting !== undefined);
  return status?.phase === "Running" && !waits && !metadata.deletionTimestamp;
}

function isReady({ status }: Node): boolean {
  const condition = status?.conditions?.find(({ type }) => type === "Ready");
  return condition === undefined || condition.status === "True";
}

function depsOf(
  manager: Manager,
  options: NodeAgentOptions,
  settings: AgentSettings,
  view: AgentView,
): AgentDeps {
  const { namespace, node, template, windowsTemplate, recorder, podLog } = options;
  const { clock = systemClock, logger = silentLogger } = options;
  const client = patientClient(options.client, { clock });
  const exposer = options.config?.exposer;
  const context = {
    client,
    clock,
    namespace,
    template,
    windowsTemplate,
    settings: exposer,
    resourceTimeout: options.resourceTimeout,
    findHostPath: hostPods(options.hostPods?.root, options.hostPods?.path ?? template.hostPodsPath),
    logger,
  };
  return {
    client,
    clock,
    node,
    settings,
    view,
    reservations: createReservations(),
    logger,
    metrics: metricsOf(manager.metrics),
    recordEvent: (object, event) => recorder.record(resourceOf(kindOf(object)), object, event),
    exposerFor: (kind, object) => exposerFor(context, kind, object),
    ...(podLog && { podLog }),
  };
}

function controllerOf(deps: AgentDeps, kind: TransferKind, caches: Caches) {
  const { hostingPods, nodePods, objects, events: told, nodes: allNodes, agentPods } = caches;
  const own = objects.get(kind) as Cache<TransferObject>;
  const label = podLabels[kind];
  // A place that gets free is for one that waits: it is told, not left to its next look.
  const waiting = (object: TransferObject): ObjectKey[] =>
    takesPlace(object, deps.node)
      ? deps.view
          .transfers(kind)
          .filter((each) => each.status?.phase === "Prepared" && nodeOf(each) === deps.node)
          .flatMap(({ metadata }) => keyOf(metadata.namespace, metadata.name))
      : [];
  const keyOf = (namespace: string | undefined, name: string | undefined): ObjectKey[] =>
    name === undefined ? [] : [{ namespace, name }];
  // A pod that has come to wait for its files.
  const ofClient = ({ metadata }: Pod): ObjectKey[] =>
    own
      .byIndex("client", nameOf(metadata))
      .flatMap((each) => keyOf(each.metadata.namespace, each.metadata.name));
  return {
    name: kind,
    concurrency: nodeAgentDefaults.concurrency,
    sources: [
      source(own),
      ...[...objects.values()].map((each) => source(each, waiting)),
      source(hostingPods, ({ metadata }) => keyOf(metadata.namespace, metadata.labels?.[label])),
      // A mover's Events are about its object; those about a pod tell why it does not start, and a pod has its object's name.
      source(told, ({ involvedObject: { kind: about, namespace, name } }) =>
        about === kind || about === "Pod" ? keyOf(namespace, name) : [],
      ),
      ...(kind === "PodVolumeRestore" && nodePods ? [source(nodePods, ofClient)] : []),
      // Nothing to look at when these change, but no decision before they are known.
      source(allNodes, () => []),
      source(agentPods, () => []),
    ],
    reconcile: ({ namespace = "", name }: ObjectKey, signal: AbortSignal) =>
      reconcileTransfer(deps, { kind, namespace, name }, { signal }),
  };
}

/** Velero gives what its node agent counts this prefix; ours have their own. */
function metricsOf(metrics: Metrics): AgentMetrics {
  return {
    count: (name, counted) => {
      const full = name.startsWith("dm_") ? name : `podVolume_${name}`;
      metrics.counter(full, "Data paths of this node").increase(counted);
    },
    observe: (name, seconds, observed) =>
      metrics
        .histogram(name, "From acceptance until the hosting pod runs", exposeBuckets)
        .observe(seconds, observed),
  };
}

const exposeBuckets = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800];

function every(
  ms: number,
  clock: Clock,
  work: (signal: AbortSignal) => Promise<unknown>,
): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    while (!signal.aborted) {
      await clock.sleep(ms, { signal }).catch(() => undefined);
      if (!signal.aborted) await work(signal);
    }
  };
}
