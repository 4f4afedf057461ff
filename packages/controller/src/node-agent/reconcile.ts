/**
 * Observe, decide, perform, until there is nothing more to do at once.
 * Proof: test/node-agent/lifecycle.test.ts, test/node-agent/crash.test.ts.
 * @module
 */
import { isDmError, nsPerMs } from "@dm/core";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { Action } from "./action.ts";
import type { AgentDeps } from "./agent-deps.ts";
import { decideTransfer, isOurs, type World } from "./decide.ts";
import { decidePatrol, isUnplaced, waitsForPod } from "./decide-patrol.ts";
import { freshClientOf, freshPodOf, observe, toldBy } from "./observe.ts";
import { perform } from "./perform.ts";
import {
  ownerOf,
  resourceOf,
  type Transfer,
  type TransferKey,
  type TransferKind,
  type TransferObject,
  transferKinds,
  viewTransfer,
} from "./transfer.ts";

export interface ReconcileResult {
  /** Look again after so long, whatever is told until then. */
  readonly requeueAfterMs?: number;
}

/** More than any way through the state machine has; a longer one would be a circle. */
const maxSteps = 20;
/** More in a row, and the queue's back-off is the better place to wait. */
const maxConflicts = 5;

/**
 * What makes or removes other objects must not be decided from an old copy: made after the end, they would stay. A diagnosis asks the
 * exposer too. Cleaning up may be late: it is the end either way.
 */
function needsFresh(action: Action): boolean {
  return (
    action.do === "expose" ||
    action.do === "removePod" ||
    (action.do === "end" && action.diagnose === true)
  );
}

/**
 * Brings one object as far as it goes now. Idempotent; may be killed anywhere and called again by any process.
 * @throws what is worth a retry with back-off: see `isTransient`
 * @example const { requeueAfterMs } = await reconcileTransfer(deps, { kind: "DataUpload", namespace: "velero", name: "b-1" });
 */
export async function reconcileTransfer(
  deps: AgentDeps,
  key: TransferKey,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  const cached = deps.view.transfer(key);
  if (cached === undefined) return {};
  return advance(deps, key, { object: cached, isFresh: false }, options);
}

/** See `decidePatrol`: the objects of agents that are gone or late. Returns how many it acted upon. */
export async function patrolTransfers(
  deps: AgentDeps,
  options: KubeCallOptions = {},
): Promise<number> {
  let count = 0;
  for (const kind of transferKinds)
    for (const object of deps.view.transfers(kind))
      if (await patrolTransfer(deps, kind, object, options)) count++;
  return count;
}

async function patrolTransfer(
  deps: AgentDeps,
  kind: TransferKind,
  cached: TransferObject,
  options: KubeCallOptions,
): Promise<boolean> {
  const { namespace = "", name = "" } = cached.metadata;
  const key = { kind, namespace, name };
  const decide = (object: TransferObject, world: World): Action =>
    decidePatrol(viewTransfer(kind, object), world, nowMsOf(deps), deps.settings);
  try {
    const seen = viewTransfer(kind, cached);
    // Where a pod is that does not run here, only the API server can tell.
    const isOwnWaiting = waitsForPod(seen) && ownerOf(seen) === deps.node;
    const client = isToFind(deps, seen) ? await freshClientOf(deps, seen, options) : undefined;
    const atFirst = decide(cached, { ...patrolWorld(deps, seen), client });
    if (atFirst.do === "nothing" && !isOwnWaiting) return false;
    const object = await read(deps, key, options);
    if (object === undefined) return false;
    const transfer = viewTransfer(kind, object);
    const pod = await freshPodOf(deps, transfer, options);
    const world = { ...patrolWorld(deps, transfer), pod, client };
    const action = decide(object, world);
    const { object: next } = await perform({ deps, object, transfer, world, options }, action);
    if (next) await advance(deps, key, { object: next, isFresh: true }, options);
    return action.do !== "nothing";
  } catch (error) {
    // Another agent stepped in first, or the API server is away: there is a next round.
    deps.logger.debug("a patrol was refused", { ...key, error: String(error) });
    return false;
  }
}

/** A pod that a restore waits for may be on no node that has an agent. One agent is enough to look. */
function isToFind({ node, settings, view }: AgentDeps, transfer: Transfer): boolean {
  if (!isUnplaced(transfer) || !isOurs(transfer, settings)) return false;
  return [...view.agents()].sort()[0] === node;
}

function patrolWorld(deps: AgentDeps, transfer: Transfer): World {
  return {
    self: deps.node,
    exposing: 0,
    running: 0,
    nodeOSes: new Set(),
    told: toldBy(transfer.kind, deps.view.eventsOf(transfer.uid)),
    agents: deps.view.agents(),
  };
}

async function advance(
  deps: AgentDeps,
  key: TransferKey,
  start: { readonly object: TransferObject; readonly isFresh: boolean },
  options: KubeCallOptions,
): Promise<ReconcileResult> {
  let { object, isFresh } = start;
  let conflicts = 0;
  for (let step = 0; step < maxSteps; step++) {
    options.signal?.throwIfAborted();
    const transfer = viewTransfer(key.kind, object);
    if (!isOurs(transfer, deps.settings)) return {};
    const world = await observe(deps, object, transfer, options);
    const action = decideTransfer(transfer, world, nowMsOf(deps), deps.settings);
    let next: TransferObject | undefined;
    if (needsFresh(action) && !isFresh) {
      next = await read(deps, key, options);
      if (next === undefined) return {};
    }
    if (next === undefined || versionOf(next) === versionOf(object)) {
      try {
        const performed = await perform({ deps, object, transfer, world, options }, action);
        if (performed.object === undefined)
          return performed.waitMs === undefined ? {} : { requeueAfterMs: performed.waitMs };
        next = performed.object;
      } catch (error) {
        if (isDmError(error, "DM_KUBE_NOT_FOUND")) return {};
        if (!isDmError(error, "DM_KUBE_CONFLICT") || ++conflicts > maxConflicts) throw error;
        deps.metrics.count("dm_conflicts_total", { node: deps.node });
        next = await read(deps, key, options);
        if (next === undefined) return {};
      }
    }
    object = next;
    isFresh = true;
  }
  return { requeueAfterMs: deps.settings.exposePollMs };
}

const versionOf = ({ metadata }: TransferObject): string | undefined => metadata.resourceVersion;

function read(
  { client }: AgentDeps,
  { kind, namespace, name }: TransferKey,
  options: KubeCallOptions,
): Promise<TransferObject | undefined> {
  return client.get(resourceOf(kind), { namespace, name }, options);
}

const nowMsOf = ({ clock }: AgentDeps): number => Number(clock.nowNs() / nsPerMs);
