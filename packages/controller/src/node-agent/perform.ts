/**
 * Carries out one action. Writes are PUTs of the whole object with the version that the decision was made from: of two agents that
 * decide at once, one gets through, and the other reads again.
 * Proof: test/node-agent/lifecycle.test.ts, test/node-agent/crash.test.ts.
 * @module
 */
import { nsPerMs } from "@dm/core";
import { pods } from "@dm/crds";
import type { Exposer, RestoreExposer, Step } from "../expose/exposer.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { Action, Verdict } from "./action.ts";
import type { AgentDeps, AgentEvent } from "./agent-deps.ts";
import { decideTransfer, type World } from "./decide.ts";
import { isStranded } from "./hosting-pod-state.ts";
import { abnormalityOf, countsOf, freshPodOf } from "./observe.ts";
import { copyPodLog } from "./pod-log.ts";
import {
  notes,
  ownerOf,
  resourceOf,
  type Transfer,
  type TransferObject,
  timestamp,
} from "./transfer.ts";
import { failureContexts, rebindContext } from "./transfer-texts.ts";
import { isTransient } from "./transient.ts";
import * as transitions from "./transitions.ts";

/** One object, what was found around it, and the means to act. */
export interface Work {
  readonly deps: AgentDeps;
  readonly object: TransferObject;
  readonly transfer: Transfer;
  readonly world: World;
  readonly options: KubeCallOptions;
}

/** `object`: go on deciding with it. `waitMs`: look again then. Neither: something else will tell. */
export interface Performed {
  readonly object?: TransferObject;
  readonly waitMs?: number;
}

const longestMessage = 4_000;
/** Of the API server. */
const longestEventMessage = 1_024;

/** @throws what the API refuses for a moment (see `isTransient`); anything else ends the object with phase Failed. */
export async function perform(work: Work, action: Action): Promise<Performed> {
  const { deps, object, transfer } = work;
  const { node, settings } = deps;
  switch (action.do) {
    case "nothing":
      return {};
    case "wait":
      return { waitMs: action.ms };
    case "addFinalizer":
      await put(work, transitions.withFinalizer(object));
      return {};
    case "removeFinalizer":
      await put(work, transitions.withoutFinalizer(object));
      return {};
    case "accept":
      return accept(work);
    case "expose":
      return expose(work);
    case "prepare":
      return prepare(work);
    case "start":
      return start(work);
    case "mirrorProgress":
      await deps.client.patch(
        resourceOf(transfer.kind),
        keyOf(transfer),
        {
          metadata: { resourceVersion: object.metadata.resourceVersion },
          status: transitions.withProgress(object, action.progress).status,
        },
        work.options,
      );
      return { waitMs: settings.peekMs };
    case "requestCancel":
      return { object: await put(work, transitions.cancelRequested(object, action.message)) };
    case "cancelMover":
      return { object: await put(work, transitions.canceling(object, nowMsOf(deps))) };
    case "refuse":
      await finalize(work, action.verdict);
      return {};
    case "end":
      return end(work, action.verdict, action.diagnose);
    case "finish":
      return finish(work, action.ending, action.overdue);
    case "resume":
      return resume(work, action);
    case "removePod":
      return removePod(work, action.force);
    case "takeResumed":
      return transfer.resume === undefined
        ? {}
        : { object: await put(work, transitions.resumed(object, transfer.resume, node)) };
    case "adopt": {
      const adopted = await put(
        work,
        transitions.adopted(object, transfer.ending, node, nowMsOf(deps)),
      );
      record(work, { type: "Warning", reason: "OwnerReplaced", message: `${node} takes over` });
      return { object: adopted };
    }
    case "noteCancelSeen":
      return noted(work, transitions.withNote(object, notes.cancelSeen, now(deps)));
    case "noteOwnerLost":
      return noted(work, transitions.withNote(object, notes.ownerLost, now(deps)));
    case "forgetOwnerLost":
      return noted(work, transitions.withoutNote(object, notes.ownerLost));
  }
}

async function accept(work: Work): Promise<Performed> {
  const { deps, object, transfer } = work;
  const { prepareQueueLength = Number.POSITIVE_INFINITY, queuePollMs } = deps.settings;
  if (countsOf(deps, transfer).exposing >= prepareQueueLength) return { waitMs: queuePollMs };
  deps.reservations.add("exposing", transfer.uid);
  try {
    const next = await put(work, transitions.accepted(object, deps.node, nowMsOf(deps)));
    record(work, { type: "Normal", reason: "Accepted", message: `accepted by ${deps.node}` });
    return { object: next };
  } catch (error) {
    deps.reservations.remove("exposing", transfer.uid);
    throw error;
  }
}

async function expose(work: Work): Promise<Performed> {
  const { deps, object, transfer, options } = work;
  const context = failureContexts[transfer.kind].expose;
  const exposer = deps.exposerFor(transfer.kind, object);
  const step = await orVerdict(work, context, () => exposer.expose(options));
  if ("object" in step) return step;
  if (!step.done) {
    const { reason } = step;
    deps.logger.debug("waiting for an exposed volume", { ...nameOf(transfer), reason });
    return { waitMs: pollMs(work, transfer.resume?.atMs ?? transfer.acceptedAtMs) };
  }
  const abnormal = await abnormalityOf(deps, object, transfer, options);
  // Once all is made, pods tell by themselves; only what goes wrong in silence has to be looked for.
  if (abnormal === undefined) return { waitMs: deps.settings.peekMs };
  const world = { ...work.world, abnormal };
  return perform({ ...work, world }, decideTransfer(transfer, world, nowMsOf(deps), deps.settings));
}

/** What has taken long is looked at less often: a fifth of the time that it has taken so far. */
function pollMs({ deps }: Work, sinceMs: number): number {
  const { exposePollMs, peekMs } = deps.settings;
  return Math.min(peekMs / 2, Math.max(exposePollMs, (nowMsOf(deps) - sinceMs) / 5));
}

async function prepare(work: Work): Promise<Performed> {
  const { deps, object, transfer } = work;
  const next = await put(work, transitions.prepared(object, deps.node));
  const exposedMs = Math.max(0, nowMsOf(deps) - transfer.acceptedAtMs);
  deps.metrics.observe("dm_expose_seconds", exposedMs / 1_000, { node: deps.node });
  record(work, {
    type: "Normal",
    reason: "Exposed",
    message: `the hosting pod runs on ${deps.node}`,
  });
  return { object: next };
}

async function start(work: Work): Promise<Performed> {
  const { deps, object, transfer, options } = work;
  const { notReady } = failureContexts[transfer.kind];
  const exposer = deps.exposerFor(transfer.kind, object);
  const volume = await orVerdict(work, notReady, async () => ({
    exposed: await exposer.exposed(options),
  }));
  if ("object" in volume) return volume;
  const { exposed } = volume;
  if (exposed === undefined) {
    // A pod that runs has its volume; when the two answers differ for so long, something else is wrong.
    if (nowMsOf(deps) - transfer.acceptedAtMs >= deps.settings.prepareTimeoutMs)
      return end(work, {
        phase: "Failed",
        message: `${notReady}: no expose result is available for the current node`,
      });
    return { waitMs: deps.settings.exposePollMs };
  }
  const { concurrency, queuePollMs } = deps.settings;
  if (countsOf(deps, transfer).running >= concurrency) return { waitMs: queuePollMs };
  deps.reservations.add("starting", transfer.uid);
  try {
    const next = transitions.started(transfer.kind, object, exposed.nodeOS, nowMsOf(deps));
    return { object: await put(work, next) };
  } catch (error) {
    deps.reservations.remove("starting", transfer.uid);
    throw error;
  }
}

async function end(work: Work, verdict: Verdict, diagnose = false): Promise<Performed> {
  const { deps, object, world } = work;
  const diagnosis = diagnose ? await diagnosisOf(work) : "";
  const message =
    verdict.message === undefined
      ? undefined
      : cut(diagnosis === "" ? verdict.message : `${verdict.message}: ${diagnosis}`);
  const ending = { ...verdict, message, by: deps.node, atMs: nowMsOf(deps) };
  const next = await put(work, transitions.withEnding(object, ending));
  if (diagnose) record(work, { type: "Warning", reason: "PrepareTimeout", message: message ?? "" });
  if (verdict.phase === "Failed" && world.pod !== undefined) await copyPodLog(work);
  return { object: next };
}

async function finish(
  work: Work,
  ending: NonNullable<Transfer["ending"]>,
  overdue: boolean,
): Promise<Performed> {
  const { deps, object, transfer, options } = work;
  const exposer = deps.exposerFor(transfer.kind, object);
  if (transfer.kind === "DataDownload" && ending.phase === "Completed") {
    const { rebind } = exposer as RestoreExposer;
    const step = await orVerdict(work, rebindContext, () => rebind.call(exposer, options));
    if ("object" in step) return step;
    if (!step.done && overdue)
      return end(work, {
        phase: "Failed",
        message: `${rebindContext}: not done in time: ${step.reason}`,
      });
    if (!step.done) return { waitMs: pollMs(work, ending.atMs) };
  }
  await removeStrandedPod(work);
  const cleaned = await cleanUp(work, exposer);
  if (!cleaned.done && !overdue) return { waitMs: pollMs(work, ending.atMs) };
  if (!cleaned.done)
    deps.logger.warn("objects are left behind; the sweeper will try again", {
      ...nameOf(transfer),
      reason: cleaned.reason,
    });
  const { by, atMs, ...verdict } = ending;
  await finalize(work, verdict);
  record(work, {
    type: "Normal",
    reason: "CleanedUp",
    message: cleaned.done ? "intermediate objects are removed" : `left: ${cleaned.reason}`,
  });
  return {};
}

async function cleanUp({ transfer, deps, options }: Work, exposer: Exposer): Promise<Step> {
  try {
    return await exposer.cleanUp(options);
  } catch (error) {
    if (isTransient(error, options.signal)) throw error;
    deps.logger.warn("cannot clean up", { ...nameOf(transfer), error: messageOf(error) });
    return { done: false, reason: messageOf(error) };
  }
}

async function removePod(work: Work, force: boolean): Promise<Performed> {
  const { deps, object, transfer, options } = work;
  if (force) await forcePod(work, work.world.pod?.uid);
  const { dataPath } = failureContexts[transfer.kind];
  const exposer = deps.exposerFor(transfer.kind, object);
  const step = await orVerdict(work, dataPath, () => exposer.removePod(options));
  if ("object" in step) return step;
  return step.done ? { object } : { waitMs: deps.settings.exposePollMs };
}

/** See `isStranded`. Looked for only where some node has no agent. */
async function removeStrandedPod(work: Work): Promise<void> {
  const { deps, transfer, options } = work;
  const agents = deps.view.agents();
  if (deps.view.nodes().every(({ metadata }) => agents.has(metadata.name ?? ""))) return;
  const pod = await freshPodOf(deps, transfer, options);
  if (pod && isStranded(pod, agents, nowMsOf(deps))) await forcePod(work, pod.uid);
}

async function forcePod({ deps, transfer, options }: Work, uid?: string): Promise<void> {
  const force = { ...options, uid, gracePeriodSeconds: 0 };
  await deps.client.delete(pods, keyOf(transfer), force);
  deps.logger.warn("removed a pod of a lost node by force", nameOf(transfer));
}

async function resume(
  work: Work,
  { count, cause, podUid }: Extract<Action, { readonly do: "resume" }>,
): Promise<Performed> {
  const { deps, object, transfer } = work;
  const atMs = nowMsOf(deps);
  const next = transitions.withResume(
    object,
    { count, cause, podUid, atMs, pending: true },
    deps.node,
  );
  const written = await put(work, next);
  deps.metrics.count("dm_mover_restarts_total", { node: deps.node });
  record(work, {
    type: "Warning",
    reason: "MoverRestarted",
    message: `the hosting pod is made again (${count} of ${deps.settings.moverRestartLimit}): ${cause}`,
  });
  deps.logger.warn("a mover was interrupted", { ...nameOf(transfer), cause, count });
  return { object: written };
}

const outcomes = { Completed: "success", Failed: "failure", Canceled: "cancel" } as const;
const counted = {
  DataUpload: "data_upload",
  DataDownload: "data_download",
  PodVolumeBackup: "pod_volume_backup",
  PodVolumeRestore: "pod_volume_restore",
} as const;

async function finalize(work: Work, verdict: Verdict): Promise<void> {
  const { deps, object, transfer } = work;
  await put(work, transitions.ended(transfer.kind, object, verdict, nowMsOf(deps)));
  const name = `${counted[transfer.kind]}_${outcomes[verdict.phase]}_total` as const;
  deps.metrics.count(name, { node: deps.node });
  deps.logger.info("a transfer is over", {
    ...nameOf(transfer),
    phase: verdict.phase,
    reason: verdict.message,
  });
}

async function noted(work: Work, next: TransferObject): Promise<Performed> {
  await put(work, next);
  return {};
}

/** What the exposer refuses for good ends the object. */
async function orVerdict<T extends object>(
  work: Work,
  context: string,
  call: () => Promise<T>,
): Promise<T | { readonly object: TransferObject }> {
  try {
    return await call();
  } catch (error) {
    if (isTransient(error, work.options.signal)) throw error;
    const message = `${context}: ${messageOf(error)}`;
    const { object } = await end(work, { phase: "Failed", message });
    return { object: object ?? work.object };
  }
}

/** One line; the exposer's frame of it left out. */
async function diagnosisOf({ deps, object, transfer, options }: Work): Promise<string> {
  const exposer = deps.exposerFor(transfer.kind, object);
  try {
    // The agent in charge asks once more what it waits for; another one must make nothing, and only looks.
    const isOwner = ownerOf(transfer) === deps.node;
    const step: Step = isOwner ? await exposer.expose(options) : { done: true };
    const text = await exposer.diagnose(options);
    deps.logger.warn("a volume could not be exposed in time", {
      ...nameOf(transfer),
      diagnosis: text,
    });
    const found = text.split("\n").map((line) => line.trim());
    const lines = found.filter((line) => line !== "" && !/^(begin|end) diagnose/.test(line));
    return [...(step.done ? [] : [step.reason]), ...lines].join("; ");
  } catch (error) {
    if (isTransient(error, options.signal)) throw error;
    return messageOf(error);
  }
}

function put({ deps, transfer, options }: Work, next: TransferObject): Promise<TransferObject> {
  return deps.client.replace(resourceOf(transfer.kind), next, options);
}

function record({ deps, object }: Work, event: AgentEvent): void {
  deps.recordEvent(object, { ...event, message: event.message.slice(0, longestEventMessage) });
}

function cut(message: string): string {
  return message.length <= longestMessage ? message : `${message.slice(0, longestMessage)}…`;
}

const keyOf = ({ namespace, name }: Transfer) => ({ namespace, name });
const nameOf = ({ kind, namespace, name }: Transfer) => ({ kind, namespace, name });
const nowMsOf = ({ clock }: AgentDeps): number => Number(clock.nowNs() / nsPerMs);
const now = (deps: AgentDeps): string => timestamp(nowMsOf(deps));
const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
