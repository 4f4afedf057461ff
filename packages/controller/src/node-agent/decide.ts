/**
 * What should happen next to an object of any of the four kinds, as the agent of one node sees it. Pure and total over phases: no I/O, no
 * clock. The rows of the state machine are the branches.
 *
 * Each phase has one agent in charge (see `ownerOf`); others do nothing here, and step in by `decidePatrol` when it is gone.
 * Proof: test/node-agent/decide.test.ts, test/node-agent/bounded.test.ts.
 * @module
 */
import { isFinalPhase } from "@dm/crds";
import {
  type BackupResult,
  type DataPathOutcome,
  type DataPathProgress,
  isPodVolume,
} from "../mover/index.ts";
import type { ClientPod } from "../pod-volume/client-pod.ts";
import { type Action, nothing, type Verdict, wait } from "./action.ts";
import type { AgentSettings } from "./agent-settings.ts";
import { type HostingPodState, isStranded } from "./hosting-pod-state.ts";
import { ownerOf, type Transfer } from "./transfer.ts";
import { emptyVolumeTexts, failureContexts, texts } from "./transfer-texts.ts";

/** What was found around the object. A fact that the object's phase makes irrelevant may be left out. */
export interface World {
  /** This agent's node. */
  readonly self: string;
  /** Objects that are accepted and do not run yet, in the cluster. */
  readonly exposing: number;
  /** Data paths that run on this node, this object's own not counted. */
  readonly running: number;
  /** Whether the claim to restore into exists. */
  readonly targetClaim?: boolean | undefined;
  /** The pod whose volume it is, where that matters: undefined while it is not on this node, or not looked for. */
  readonly client?: ClientPod | undefined;
  /** Empty while no node is known. */
  readonly nodeOSes: ReadonlySet<string>;
  /** Nodes whose agent runs. */
  readonly agents: ReadonlySet<string>;
  readonly pod?: HostingPodState | undefined;
  /** Why the hosting pod can never start. */
  readonly abnormal?: string | undefined;
  /** What the mover last told by Events. */
  readonly told?: {
    readonly progress?: DataPathProgress | undefined;
    /** A result whose pod may be gone. */
    readonly outcome?: DataPathOutcome | undefined;
  };
}

/**
 * `dm` is ours; an empty name and `velero` only where no Velero runs beside us. PodVolumeBackups and PodVolumeRestores name no data
 * mover: there it is all or none.
 */
export function isOurs({ dataMover }: Transfer, settings: AgentSettings): boolean {
  if (dataMover === undefined) return settings.podVolumes;
  if (dataMover === "dm") return true;
  return settings.takeOverVelero && (dataMover === "" || dataMover === "velero");
}

/** @example decideTransfer(viewTransfer("DataUpload", upload), world, nowMs, settings).do // "accept" */
export function decideTransfer(
  transfer: Transfer,
  world: World,
  nowMs: number,
  settings: AgentSettings,
): Action {
  if (!isOurs(transfer, settings)) return nothing;
  const { phase, ending, finalizer, deleting } = transfer;
  if (isFinalPhase(phase)) return finalizer ? { do: "removeFinalizer" } : nothing;
  if (ending) {
    if (ending.by !== world.self) return nothing;
    const overdue = nowMs - ending.atMs >= cleanUpLimitMs(transfer, settings);
    return { do: "finish", ending, overdue };
  }
  const state: State = { transfer, world, nowMs, settings };
  if (phase === "New" && !isReachable(state)) return nothing;
  // The API takes no new finalizer on an object that is being deleted.
  if (!finalizer && !deleting) return { do: "addFinalizer" };
  switch (phase) {
    case "New":
      return decideNew(state);
    case "Accepted":
      return decideAccepted(state);
    case "Prepared":
      return decidePrepared(state);
    case "InProgress":
      return decideInProgress(state);
    case "Canceling":
      return decideCanceling(state);
  }
  return nothing;
}

/** A restore's end includes the rebinding of its volume, which may take as long as preparing it. */
function cleanUpLimitMs(
  { ending, kind }: Transfer,
  { prepareTimeoutMs, cleanUpTimeoutMs }: AgentSettings,
): number {
  const rebinds = kind === "DataDownload" && ending?.phase === "Completed";
  return rebinds ? prepareTimeoutMs : cleanUpTimeoutMs;
}

interface State {
  readonly transfer: Transfer;
  readonly world: World;
  readonly nowMs: number;
  readonly settings: AgentSettings;
}

const canceled: Verdict = { phase: "Canceled" };
const failed = (message: string): Verdict => ({ phase: "Failed", message });
const end = (verdict: Verdict): Action => ({ do: "end", verdict });

/** A pod's volume is for the agent of that pod's node. What ends before it begins is for whoever comes first. */
function isReachable({ transfer, world }: State): boolean {
  const { kind, cancel, deleting, node, problem } = transfer;
  if (!isPodVolume(kind) || cancel || deleting || problem !== undefined) return true;
  return kind === "PodVolumeBackup" ? node === world.self : world.client !== undefined;
}

function decideNew({ transfer, world, settings }: State): Action {
  const { kind, cancel, client, deleting, problem, snapshotType = "", nodeOS } = transfer;
  if (cancel) return { do: "refuse", verdict: canceled };
  if (deleting) return { do: "requestCancel", message: texts.deleting(kind) };
  if (problem !== undefined) return { do: "refuse", verdict: failed(problem) };
  if (kind === "DataUpload" && snapshotType !== "CSI")
    return { do: "refuse", verdict: failed(texts.snapshotType(snapshotType)) };
  if (nodeOS !== undefined && world.nodeOSes.size === 0) return wait(settings.queuePollMs);
  if (nodeOS !== undefined && !world.nodeOSes.has(nodeOS))
    return { do: "refuse", verdict: failed(texts.noNode(transfer)) };
  if (kind === "DataDownload" && !world.targetClaim) return wait(settings.queuePollMs);
  if (kind === "PodVolumeRestore" && client !== undefined) {
    const state = world.client?.state;
    if (state === "over") return { do: "refuse", verdict: failed(texts.clientOver(client)) };
    if (state === "running") return { do: "refuse", verdict: failed(texts.notWaiting(client)) };
    if (state === "starting") return wait(settings.peekMs);
  }
  const { prepareQueueLength } = settings;
  if (prepareQueueLength !== undefined && world.exposing >= prepareQueueLength)
    return wait(settings.queuePollMs);
  return { do: "accept" };
}

function decideAccepted({ transfer, world, nowMs, settings }: State): Action {
  const { kind, cancel, deleting, acceptedAtMs } = transfer;
  const { pod, abnormal } = world;
  const isHere = pod?.node === world.self;
  if (ownerOf(transfer) !== world.self) {
    if (!isHere || cancel || deleting) return nothing;
    if (abnormal !== undefined)
      return { do: "requestCancel", message: texts.abnormalPod(transfer, abnormal) };
    return pod.running ? { do: "prepare" } : nothing;
  }
  if (cancel) return end(canceled);
  if (deleting) return { do: "requestCancel", message: texts.deleting(kind) };
  if (nowMs - acceptedAtMs >= settings.prepareTimeoutMs)
    return {
      do: "end",
      verdict: failed(failureContexts[kind].prepareTimeout),
      diagnose: true,
    };
  if (abnormal !== undefined)
    return end({ phase: "Canceled", message: texts.exposeError(transfer, abnormal) });
  return isHere && pod.running ? { do: "prepare" } : { do: "expose" };
}

function decidePrepared(state: State): Action {
  const { transfer, world, settings } = state;
  if (transfer.resume?.pending) return decideResumed(state);
  if (transfer.node !== world.self) return nothing;
  if (transfer.cancel) return end(canceled);
  if (transfer.deleting) return { do: "requestCancel", message: texts.deleting(transfer.kind) };
  const ended = decideEnded(state);
  if (ended) return ended;
  if (!world.pod?.running) return wait(settings.peekMs);
  return world.running >= settings.concurrency ? wait(settings.queuePollMs) : { do: "start" };
}

function decideInProgress(state: State): Action {
  const { transfer, world, settings } = state;
  if (transfer.resume?.pending) return decideResumed(state);
  if (transfer.node !== world.self) return nothing;
  if (transfer.deleting && !transfer.cancel)
    return { do: "requestCancel", message: texts.deleting(transfer.kind) };
  const ended = decideEnded(state);
  if (ended) return ended;
  if (transfer.cancel) return { do: "cancelMover" };
  return newProgress(state) ?? wait(settings.peekMs);
}

function decideCanceling(state: State): Action {
  const { transfer, world, nowMs, settings } = state;
  if (transfer.node !== world.self) return nothing;
  const ended = decideEnded(state);
  if (ended) return ended;
  // Without a note about when it began (another program's write), it begins now.
  if (transfer.cancelSeenAtMs === undefined) return { do: "noteCancelSeen" };
  const leftMs = transfer.cancelSeenAtMs + settings.cancelTimeoutMs - nowMs;
  if (leftMs <= 0) return end(canceled);
  return newProgress(state) ?? wait(Math.min(leftMs, settings.peekMs));
}

/** While a hosting pod is made again. */
function decideResumed(state: State): Action {
  const { transfer, world, nowMs, settings } = state;
  const { kind, cancel, deleting, resume } = transfer;
  const { pod, abnormal } = world;
  if (resume === undefined) return nothing;
  const isOwner = transfer.node === world.self;
  const isNew = pod !== undefined && pod.uid !== resume.podUid;
  if (isOwner && cancel) return end(canceled);
  if (isOwner && deleting) return { do: "requestCancel", message: texts.deleting(kind) };
  if (isNew && pod.node === world.self && (pod.running || pod.outcome) && !cancel && !deleting)
    return { do: "takeResumed" };
  if (!isOwner) return nothing;
  if (kind === "PodVolumeRestore") {
    const ended = decideRestoredPod(state);
    if (ended) return ended;
    // The pod may have begun to run, and its status not say so yet: it looks every second.
    const leftMs = resume.atMs + 5 * settings.exposePollMs - nowMs;
    if (!isNew && leftMs > 0) return wait(leftMs);
  }
  if (nowMs - resume.atMs >= settings.prepareTimeoutMs)
    return {
      do: "end",
      verdict: failed(texts.notResumed(kind, resume.cause)),
      diagnose: true,
    };
  if (pod !== undefined && !isNew)
    return { do: "removePod", force: isStranded(pod, world.agents, nowMs) };
  if (abnormal !== undefined) return end(failed(texts.gaveUp(kind, abnormal, resume.count)));
  return { do: "expose" };
}

/** What follows when the mover has ended, by itself or not; undefined while it goes on. */
function decideEnded(state: State): Action | undefined {
  const { transfer, world } = state;
  const { pod, told, self } = world;
  if (pod === undefined) {
    // The pod is gone, and its termination message with it; the mover may still have told its result before.
    if (told?.outcome) return end(verdictOf(transfer, told.outcome, world.client));
    return decideInterrupted(state, "the hosting pod is gone");
  }
  if (pod.outcome?.outcome === "interrupted") return decideInterrupted(state, pod.outcome.message);
  if (pod.outcome) return end(verdictOf(transfer, pod.outcome, world.client));
  if (pod.node !== self)
    return decideInterrupted(state, `the hosting pod is on node ${pod.node ?? "none"}`);
  return undefined;
}

/** Killed, evicted or lost: the next mover goes on from the last checkpoint, as often as that may be tried. */
export function decideInterrupted(state: State, cause: string): Action {
  const { transfer, world, settings } = state;
  const { kind, phase, cancel, deleting, resume } = transfer;
  if (cancel || deleting || phase === "Canceling") return end(canceled);
  const ended = kind === "PodVolumeRestore" ? decideRestoredPod(state) : undefined;
  if (ended) return ended;
  const count = resume?.count ?? 0;
  if (count >= settings.moverRestartLimit) return end(failed(texts.gaveUp(kind, cause, count)));
  return { do: "resume", count: count + 1, cause, podUid: world.pod?.uid };
}

/**
 * A restore into a pod's volume whose mover left no result. A pod that runs has seen the mover's mark in every volume, also in this
 * one: then all is restored, and another attempt would write what the pod uses by now.
 */
function decideRestoredPod({ transfer, world }: State): Action | undefined {
  const state = world.client?.state;
  if (state === "running") return end({ phase: "Completed" });
  return state === "over" && transfer.client
    ? end(failed(texts.clientOver(transfer.client)))
    : undefined;
}

export function verdictOf(
  transfer: Transfer,
  outcome: DataPathOutcome,
  client: ClientPod | undefined,
): Verdict {
  switch (outcome.outcome) {
    case "backedUp": {
      const completed = completedBackup(transfer.kind, outcome.result);
      return client?.state === "over" && transfer.client
        ? { ...completed, ...failed(texts.clientEnded(transfer.client)) }
        : completed;
    }
    case "restored":
      return { phase: "Completed", totalBytes: outcome.result.totalBytes };
    case "canceled":
    case "interrupted":
      return canceled;
    case "failed": {
      const { message, snapshotID } = outcome;
      const text = `${failureContexts[transfer.kind].dataPath}: ${message}`;
      // Asked to stop, a mover that stumbles while it does has been canceled, not failed.
      return transfer.phase === "Canceling"
        ? { phase: "Canceled", message: text }
        : { phase: "Failed", message: text, snapshotID };
    }
  }
}

function completedBackup(kind: Transfer["kind"], result: BackupResult): Verdict {
  const { snapshotID, emptySnapshot, source, totalBytes, incrementalBytes } = result;
  return {
    phase: "Completed",
    message: emptySnapshot ? emptyVolumeTexts[kind] : undefined,
    snapshotID,
    path: source.byPath,
    totalBytes,
    incrementalBytes,
  };
}

function newProgress({ transfer, world }: State): Action | undefined {
  const progress = world.told?.progress;
  if (progress === undefined) return undefined;
  const { totalBytes, doneBytes } = transfer.progress;
  if (progress.totalBytes === totalBytes && progress.doneBytes === doneBytes) return undefined;
  return { do: "mirrorProgress", progress };
}
