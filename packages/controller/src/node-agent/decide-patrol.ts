/**
 * What this agent should do about an object that another agent is in charge of: nothing while that one lives
 * and keeps its times. Pure. All times count from notes on the object, so that no restart begins them anew; the write that steps
 * in is refused to all agents but one.
 * Proof: test/node-agent/decide-patrol.test.ts, test/node-agent/bounded.test.ts.
 * @module
 */
import { isFinalPhase } from "@dm/crds";
import { isPodVolume } from "../mover/index.ts";
import { type Action, nothing, type Verdict } from "./action.ts";
import type { AgentSettings } from "./agent-settings.ts";
import { decideInterrupted, isOurs, verdictOf, type World } from "./decide.ts";
import { isStranded } from "./hosting-pod-state.ts";
import { ownerOf, type Transfer } from "./transfer.ts";
import { failureContexts, texts } from "./transfer-texts.ts";

/** How long the agent in charge is given, beyond the limit, before another one does its duty. */
const politenessMs = 60_000;

/** @example decidePatrol(viewTransfer("DataUpload", upload), world, nowMs, settings).do // "noteOwnerLost" */
export function decidePatrol(
  transfer: Transfer,
  world: World,
  nowMs: number,
  settings: AgentSettings,
): Action {
  if (!isOurs(transfer, settings)) return nothing;
  // A new object has nobody in charge, unless it is about a pod on some node.
  const { kind, phase, cancel, deleting } = transfer;
  if (phase === "New" && !transfer.ending && (!isPodVolume(kind) || cancel || deleting))
    return nothing;
  // Another agent looks for its pod.
  if (isUnplaced(transfer) && world.client === undefined) return nothing;
  if (isFinalPhase(transfer.phase)) return transfer.finalizer ? { do: "removeFinalizer" } : nothing;
  const owner = ownerOf(transfer);
  if (owner === world.self) return patrolOwn(transfer, world, nowMs, settings);
  const isLost = isAbandoned(transfer, world);
  const { ownerLostAtMs } = transfer;
  if (isLost && ownerLostAtMs === undefined) return { do: "noteOwnerLost" };
  if (!isLost && ownerLostAtMs !== undefined) return { do: "forgetOwnerLost" };
  if (isLost && ownerLostAtMs !== undefined && nowMs - ownerLostAtMs >= settings.ownerLostMs)
    return stepIn(transfer, world, nowMs, settings);
  return transfer.ending
    ? hurryEnding(transfer, nowMs, settings)
    : hurry(transfer, nowMs, settings);
}

/** Whether nobody is, or ever will be, in charge. */
function isAbandoned(transfer: Transfer, { agents, client }: World): boolean {
  const owner = ownerOf(transfer);
  if (client === undefined || !isUnplaced(transfer))
    return owner === undefined || !agents.has(owner);
  return client.state === "over" || (client.node !== undefined && !agents.has(client.node));
}

/** Its pod's node makes an agent responsible; the pod may still wait for one. */
export function isUnplaced({ kind, phase, ending }: Transfer): boolean {
  return kind === "PodVolumeRestore" && phase === "New" && !ending;
}

/** Whether the agent in charge waits for a hosting pod to run, wherever that is. */
export function waitsForPod({ phase, ending, resume }: Transfer): boolean {
  return !ending && (phase === "Accepted" || resume?.pending === true);
}

/** In charge here, but the hosting pod was sent to a node where nobody will say that it runs. */
function patrolOwn(
  transfer: Transfer,
  world: World,
  nowMs: number,
  settings: AgentSettings,
): Action {
  const { ownerLostAtMs } = transfer;
  if (!waitsForPod(transfer)) return nothing;
  const { node } = world.pod ?? {};
  const isLost = node !== undefined && !world.agents.has(node);
  if (!isLost) return ownerLostAtMs === undefined ? nothing : { do: "forgetOwnerLost" };
  if (ownerLostAtMs === undefined) return { do: "noteOwnerLost" };
  return nowMs - ownerLostAtMs >= settings.ownerLostMs && world.pod
    ? { do: "removePod", force: isStranded(world.pod, world.agents, nowMs) }
    : nothing;
}

/** The agent in charge is gone. */
function stepIn(transfer: Transfer, world: World, nowMs: number, settings: AgentSettings): Action {
  const { kind, phase, cancel, deleting, ending, resume } = transfer;
  if (ending) return { do: "adopt" };
  if (cancel || deleting || phase === "Canceling")
    return { do: phase === "New" ? "refuse" : "end", verdict: { phase: "Canceled" } };
  if (isPodVolume(kind)) return endOnLostNode(transfer, world);
  if (phase === "Accepted" || resume?.pending) return { do: "adopt" };
  const outcome = world.pod?.outcome ?? world.told?.outcome;
  // It ended before its node did; the new agent in charge takes the result.
  if (outcome && outcome.outcome !== "interrupted") return { do: "adopt" };
  return decideInterrupted({ transfer, world, nowMs, settings }, texts.nodeLost(ownerOf(transfer)));
}

/** No other node has the pod's volume: all that can be had is a result that the mover told before. */
function endOnLostNode(transfer: Transfer, { client, pod, told }: World): Action {
  const outcome = pod?.outcome ?? told?.outcome;
  if (outcome && outcome.outcome !== "interrupted")
    return { do: "end", verdict: verdictOf(transfer, outcome, undefined) };
  const verdict: Verdict = { phase: "Failed", message: lostText(transfer, client) };
  return { do: transfer.phase === "New" ? "refuse" : "end", verdict };
}

function lostText(transfer: Transfer, client: World["client"]): string {
  const pod = transfer.client;
  if (pod && client?.state === "over") return texts.clientOver(pod);
  if (pod && client?.node !== undefined) return texts.clientLost(pod, client.node);
  return texts.nodeLost(ownerOf(transfer));
}

/** Limits that the agent in charge should have kept itself. */
function hurry(transfer: Transfer, nowMs: number, settings: AgentSettings): Action {
  const { kind, phase, cancel, acceptedAtMs, cancelSeenAtMs } = transfer;
  const preparingMs = nowMs - acceptedAtMs;
  if (phase === "Accepted" && preparingMs >= settings.prepareTimeoutMs + politenessMs)
    return {
      do: "end",
      verdict: { phase: "Failed", message: failureContexts[kind].prepareTimeout },
      diagnose: true,
    };
  if (!cancel) return nothing;
  if (cancelSeenAtMs === undefined) return { do: "noteCancelSeen" };
  const limitMs =
    phase === "InProgress" ? settings.runningCancelTimeoutMs : settings.cancelTimeoutMs;
  return nowMs - cancelSeenAtMs >= limitMs + politenessMs
    ? { do: "end", verdict: { phase: "Canceled" } }
    : nothing;
}

/** A clean-up that its agent has had every chance to finish. */
function hurryEnding({ ending }: Transfer, nowMs: number, settings: AgentSettings): Action {
  if (ending === undefined) return nothing;
  const limitMs = settings.prepareTimeoutMs + settings.cleanUpTimeoutMs + politenessMs;
  return nowMs - ending.atMs >= limitMs ? { do: "adopt" } : nothing;
}
