/**
 * Node agents on the embedded API server, with exposers as they are and a cluster around them that does as the test says. Time is
 * a number; agents look at an object when one of their watches tells of it, or when they asked to be called again.
 */
import { silentLogger } from "@dm/core";
import type { KubeEvent, Node } from "@dm/crds";
import type { StoredObject } from "@dm/testbed";
import { exposerFor } from "../../src/expose/exposer-for.ts";
import { hostingTemplateOf } from "../../src/expose/hosting-template.ts";
import type { AgentDeps, AgentEvent } from "../../src/node-agent/agent-deps.ts";
import type { AgentMetrics } from "../../src/node-agent/agent-metrics.ts";
import { type AgentSettings, agentDefaults } from "../../src/node-agent/agent-settings.ts";
import { patientClient } from "../../src/node-agent/patient-client.ts";
import { patrolTransfers, reconcileTransfer } from "../../src/node-agent/reconcile.ts";
import { createReservations } from "../../src/node-agent/reservations.ts";
import {
  podLabels,
  type TransferKey,
  type TransferKind,
  transferKinds,
} from "../../src/node-agent/transfer.ts";
import { type CountedClient, clusterClient } from "./cluster-client.ts";
import { FakeCluster, operator, resourceOf } from "./fake-cluster.ts";
import { LaggingCache } from "./lagging-cache.ts";

export interface AgentOptions {
  readonly settings?: Partial<AgentSettings>;
  readonly before?: (what: string) => void | Promise<void>;
  readonly after?: (what: string) => void;
  /** Whether a cache hears nothing this time. */
  readonly isLate?: () => boolean;
}

/** What it counted, and what it told. */
export interface Told {
  readonly events: string[];
  readonly counts: string[];
  readonly logs: string[];
}

export class TestAgent {
  readonly node: string;
  readonly deps: AgentDeps;
  readonly client: CountedClient;
  readonly settings: { -readonly [K in keyof AgentSettings]: AgentSettings[K] };
  readonly told: Told = { events: [], counts: [], logs: [] };
  readonly #cluster: FakeCluster;
  readonly #due = new Map<string, number>();
  readonly #errors = new Map<string, number>();
  readonly #caches: LaggingCache[];
  readonly #isLate: () => boolean;
  #nextPatrolMs: number;

  constructor(
    cluster: FakeCluster,
    node: string,
    agents: () => ReadonlySet<string>,
    { settings, before, after, isLate = () => false }: AgentOptions,
  ) {
    this.#cluster = cluster;
    this.node = node;
    this.client = clusterClient(cluster.api, before, after);
    this.#nextPatrolMs = cluster.nowMs + 60_000;
    const { api, clock } = cluster;
    this.#isLate = isLate;
    this.settings = { ...agentDefaults, podVolumes: true, ...settings };
    const { told } = this;
    const client = patientClient(this.client, { clock });
    const template = hostingTemplateOf({
      metadata: { name: "node-agent" },
      spec: {
        selector: {},
        template: {
          spec: {
            containers: [
              { name: "node-agent", image: "dm:1", command: ["/dm", "node-agent", "server"] },
            ],
          },
        },
      },
    } as never);
    const findHostPath = async (uid: string): Promise<string> => `/pods/${uid}/volumes/x/data`;
    const context = { client, clock, namespace: operator, template, findHostPath };
    const metrics: AgentMetrics = {
      count: (name, { node: at }) => told.counts.push(`${name} ${at}`),
      observe: (name) => told.counts.push(name),
    };
    const cache = (
      resource: string,
      onChange: (object: StoredObject) => void,
      keeps: (object: StoredObject) => boolean = () => true,
    ) => new LaggingCache(api, resource, keeps, onChange);
    const ofKind = (kind: TransferKind) =>
      cache(resourceOf(kind), ({ metadata }) => this.enqueue(kind, metadata.name));
    const caches = {
      DataUpload: ofKind("DataUpload"),
      DataDownload: ofKind("DataDownload"),
      PodVolumeBackup: ofKind("PodVolumeBackup"),
      PodVolumeRestore: ofKind("PodVolumeRestore"),
      pods: cache(
        "pods",
        (pod) => this.#enqueueOwner(pod),
        ({ spec }) => spec.nodeName === node,
      ),
      events: cache("events", (event) => {
        const { kind, name } = event["involvedObject"];
        for (const each of transferKinds)
          if (kind === each || kind === "Pod") this.enqueue(each, name);
      }),
    };
    this.#caches = Object.values(caches);
    this.deps = {
      client,
      clock,
      node,
      settings: this.settings,
      reservations: createReservations(),
      metrics,
      logger: {
        ...silentLogger,
        info: (message, fields) => told.logs.push(`${message} ${JSON.stringify(fields)}`),
      },
      podLog: async ({ name }) => `line of ${name}\n`,
      recordEvent: (object, { type, reason, message }: AgentEvent) =>
        told.events.push(`${object.metadata.name} ${type} ${reason}: ${message}`),
      exposerFor: (kind, object) => exposerFor(context, kind, object),
      view: {
        transfer: ({ kind, namespace, name }) => caches[kind].get(namespace, name) as never,
        transfers: (kind) => caches[kind].list() as never,
        hostingPod: ({ namespace = "", name }) => caches.pods.get(namespace, name) as never,
        clientPod: ({ namespace = "", name }) => caches.pods.get(namespace, name) as never,
        eventsOf: (uid) =>
          (caches.events.list() as never as KubeEvent[]).filter(
            ({ involvedObject }) => involvedObject.uid === uid,
          ),
        nodes: () => api.list("nodes") as never as Node[],
        agents,
      },
    };
  }

  enqueue(kind: TransferKind, name: string, atMs = 0): void {
    const text = `${kind}/${name}`;
    this.#due.set(text, Math.min(this.#due.get(text) ?? Number.POSITIVE_INFINITY, atMs));
  }

  #enqueueOwner({ metadata }: StoredObject): void {
    for (const kind of transferKinds) {
      const name = metadata.labels?.[podLabels[kind]];
      if (name) this.enqueue(kind, name);
    }
    // Pods that wait for their files have the name of their PodVolumeRestore here.
    if (metadata.namespace !== operator) this.enqueue("PodVolumeRestore", metadata.name);
  }

  /** Everything that is due, once. Errors come back with back-off, as from the queue. */
  async work(): Promise<void> {
    const { nowMs } = this.#cluster;
    for (const cache of this.#caches) if (!this.#isLate()) cache.catchUp();
    if (nowMs >= this.#nextPatrolMs) {
      this.#nextPatrolMs = nowMs + 60_000;
      for (const kind of transferKinds)
        for (const { metadata } of this.#cluster.api.list(resourceOf(kind), operator))
          this.enqueue(kind, metadata.name);
      await patrolTransfers(this.deps);
    }
    for (const [text, atMs] of [...this.#due]) {
      if (atMs > nowMs) continue;
      this.#due.delete(text);
      const [kind, name = ""] = text.split("/") as [TransferKind, string];
      const key: TransferKey = { kind, namespace: operator, name };
      try {
        const { requeueAfterMs } = await reconcileTransfer(this.deps, key);
        this.#errors.delete(text);
        if (requeueAfterMs !== undefined) this.enqueue(kind, name, nowMs + requeueAfterMs);
      } catch (error) {
        if (error instanceof Crash) throw error;
        const count = (this.#errors.get(text) ?? 0) + 1;
        this.#errors.set(text, count);
        this.enqueue(kind, name, nowMs + Math.min(1_000_000, 5 * 2 ** count));
      }
    }
  }

  /** Hears of everything there is. */
  async learn(): Promise<void> {
    await turn();
    for (const cache of this.#caches) cache.catchUp();
    for (const cache of this.#caches) cache.catchUp();
  }

  /** News that it does not know yet. */
  get behind(): number {
    return this.#caches.reduce((sum, cache) => sum + cache.behind, 0);
  }

  stop(): void {
    for (const cache of this.#caches) cache.end();
  }
}

/** The process is gone in the middle of a call. */
export class Crash extends Error {}

export class Harness {
  readonly cluster: FakeCluster;
  readonly agents = new Map<string, TestAgent>();
  /** Nodes whose agent counts as running; those of `agents` unless a test says otherwise. */
  alive: () => ReadonlySet<string> = () => new Set(this.agents.keys());
  readonly #options: AgentOptions;

  private constructor(cluster: FakeCluster, options: AgentOptions) {
    this.cluster = cluster;
    this.#options = options;
  }

  /** Agents on the first nodes: all by default. */
  static async open(
    nodes: readonly string[] = ["a"],
    options: AgentOptions & { readonly agents?: readonly string[] } = {},
  ): Promise<Harness> {
    const harness = new Harness(await FakeCluster.open(nodes), options);
    for (const node of options.agents ?? nodes) harness.startAgent(node);
    return harness;
  }

  startAgent(node: string, options: AgentOptions = this.#options): TestAgent {
    this.agents.get(node)?.stop();
    const agent = new TestAgent(this.cluster, node, () => this.alive(), options);
    this.agents.set(node, agent);
    return agent;
  }

  stopAgent(node: string): void {
    this.agents.get(node)?.stop();
    this.agents.delete(node);
  }

  agent(node: string): TestAgent {
    const agent = this.agents.get(node);
    if (agent === undefined) throw new RangeError(`no agent on ${node}`);
    return agent;
  }

  /** Lets everything happen that needs no time. */
  async settle(rounds = 20): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      const before = this.#writes();
      this.cluster.work();
      this.cluster.work();
      await turn();
      for (const agent of [...this.agents.values()]) {
        try {
          await agent.work();
        } catch (error) {
          // The process is gone; what it would have told is too.
          if (!(error instanceof Crash)) throw error;
        }
      }
      await turn();
      const isBehind = [...this.agents.values()].some(({ behind }) => behind > 0);
      if (round > 1 && this.#writes() === before && !isBehind) return;
    }
  }

  /** Lets time pass; movers move once a step. */
  async advance(ms: number, stepMs = 5_000): Promise<void> {
    for (let leftMs = ms; leftMs > 0; leftMs -= stepMs) {
      this.cluster.clock.advance(Math.min(stepMs, leftMs));
      this.cluster.tick();
      await this.settle();
    }
  }

  /** Lets time pass until the condition holds; fails after `limitMs`. */
  async until(condition: () => boolean, limitMs = 60 * 60_000, stepMs = 5_000): Promise<void> {
    await this.settle();
    for (let passedMs = 0; !condition(); passedMs += stepMs) {
      if (passedMs >= limitMs) throw new Error(`not within ${limitMs} ms: ${condition}`);
      await this.advance(stepMs, stepMs);
    }
  }

  get(kind: TransferKind, name: string): StoredObject | undefined {
    return this.cluster.api.get(resourceOf(kind), operator, name);
  }

  phase(kind: TransferKind, name: string): string {
    return this.get(kind, name)?.status?.phase ?? "";
  }

  message(kind: TransferKind, name: string): string {
    return this.get(kind, name)?.status?.message ?? "";
  }

  change(kind: TransferKind, name: string, change: (object: StoredObject) => void): void {
    this.cluster.api.modify(resourceOf(kind), operator, name, change);
  }

  cancel(kind: TransferKind, name: string): void {
    this.change(kind, name, (object) => {
      object.spec.cancel = true;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.agents.values()) agent.stop();
    await this.cluster.close();
  }

  #writes(): number {
    return [...this.agents.values()].reduce((sum, { client }) => sum + client.writes, 0);
  }
}

/** Watches tell in microtasks. */
async function turn(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}
