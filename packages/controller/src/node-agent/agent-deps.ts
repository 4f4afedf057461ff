/**
 * What the node agent's decisions are made of and carried out with. The caches behind `view` are filled by watches, or by whatever
 * a test likes; nothing here knows a queue.
 * Proof: test/node-agent/lifecycle.test.ts.
 * @module
 */
import type { Clock, Logger } from "@dm/core";
import type { KubeEvent, Node, Pod } from "@dm/crds";
import type { Exposer, RestoreExposer } from "../expose/exposer.ts";
import type { KubeCallOptions, KubeClient, ObjectKey } from "../runtime/kube-client.ts";
import type { AgentMetrics } from "./agent-metrics.ts";
import type { AgentSettings } from "./agent-settings.ts";
import type { Reservations } from "./reservations.ts";
import type { TransferKey, TransferKind, TransferObject } from "./transfer.ts";

/** What the agent's caches hold. May lag behind the API server. */
export interface AgentView {
  transfer(key: TransferKey): TransferObject | undefined;
  transfers(kind: TransferKind): readonly TransferObject[];
  /** Of this agent's node only. */
  hostingPod(key: ObjectKey): Pod | undefined;
  /** Any pod of this agent's node, perhaps only its names and state. */
  clientPod(key: ObjectKey): Pod | undefined;
  /** Events about the object with this uid. */
  eventsOf(uid: string): readonly KubeEvent[];
  nodes(): readonly Node[];
  /** Nodes on which a node agent runs, as far as pods and nodes tell. */
  agents(): ReadonlySet<string>;
}

export interface AgentEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: AgentEventReason;
  readonly message: string;
}

export type AgentEventReason =
  | "Accepted"
  | "Exposed"
  | "PrepareTimeout"
  | "CleanedUp"
  | "MoverRestarted"
  | "OwnerReplaced";

export interface PodLogLimits extends KubeCallOptions {
  readonly tailLines?: number | undefined;
  readonly limitBytes?: number | undefined;
}

export interface AgentDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  /** The agent's node. */
  readonly node: string;
  readonly settings: AgentSettings;
  readonly view: AgentView;
  /** Work that this process has begun and the caches do not show yet. */
  readonly reservations: Reservations;
  exposerFor(kind: TransferKind, object: TransferObject): Exposer | RestoreExposer;
  /** Best effort; never fails. */
  recordEvent(object: TransferObject, event: AgentEvent): void;
  readonly metrics: AgentMetrics;
  readonly logger: Logger;
  /** What the hosting pod printed; for the agent's own log. */
  readonly podLog?:
    | ((key: ObjectKey, limits: PodLogLimits) => Promise<string | undefined>)
    | undefined;
}
