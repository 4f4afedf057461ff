/**
 * Reads what a decision needs: from the caches where they suffice, from the API server where a lagging answer would cost something.
 * Proof: test/node-agent/lifecycle.test.ts.
 * @module
 */
import {
  type DataDownload,
  isFinalPhase,
  type KubeEvent,
  labels,
  type Pod,
  persistentVolumeClaims,
  phaseOf,
  pods,
} from "@dm/crds";
import {
  type DataPathOutcome,
  type DataPathProgress,
  dataPathReasons,
  decodeOutcome,
  decodeProgress,
} from "../mover/index.ts";
import { type ClientPod, clientPodOf } from "../pod-volume/client-pod.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { AgentDeps } from "./agent-deps.ts";
import type { World } from "./decide.ts";
import { type HostingPodState, hostingPodState } from "./hosting-pod-state.ts";
import {
  endingOf,
  nodeOf,
  ownerOf,
  type Transfer,
  type TransferKind,
  type TransferObject,
  transferKinds,
} from "./transfer.ts";
import { isTransient } from "./transient.ts";

/** Facts for `decideTransfer`. */
export async function observe(
  deps: AgentDeps,
  object: TransferObject,
  transfer: Transfer,
  options: KubeCallOptions = {},
): Promise<World> {
  const pod = await hostingPodOf(deps, transfer, options);
  // The agent in charge looks when it exposes; the one on the pod's node when it hears of a pod that does not run.
  const isOwner = ownerOf(transfer) === deps.node;
  const told = toldBy(transfer.kind, deps.view.eventsOf(transfer.uid));
  const looksAtPod = transfer.phase === "Accepted" && !isOwner && pod?.running === false;
  return {
    ...countsOf(deps, transfer),
    self: deps.node,
    targetClaim:
      transfer.phase === "New" && transfer.kind === "DataDownload" && transfer.finalizer
        ? await hasTargetClaim(deps, object as DataDownload, options)
        : undefined,
    agents: deps.view.agents(),
    nodeOSes: new Set(
      deps.view.nodes().map(({ metadata }) => metadata.labels?.[labels.nodeOS] ?? "linux"),
    ),
    pod,
    abnormal: looksAtPod ? await abnormalityOf(deps, object, transfer, options) : undefined,
    client: needsClient(deps, transfer, pod, told)
      ? await freshClientOf(deps, transfer, options)
      : undefined,
    told,
  };
}

/** The pod that a PodVolumeBackup or PodVolumeRestore is about, as the API server has it. */
export async function freshClientOf(
  { client }: AgentDeps,
  { client: key }: Transfer,
  options: KubeCallOptions = {},
): Promise<ClientPod | undefined> {
  if (key === undefined) return undefined;
  const { namespace, name, uid } = key;
  return clientPodOf(await client.get(pods, { namespace, name }, options), uid);
}

/** See `World.client`: before a restore begins and when its mover is gone, and after a backup. */
function needsClient(
  { view, node }: AgentDeps,
  transfer: Transfer,
  pod: HostingPodState | undefined,
  told: World["told"],
): boolean {
  const { client, kind, phase, ending, resume } = transfer;
  if (client === undefined || ending) return false;
  if (phase === "New") return kind === "PodVolumeRestore" && view.clientPod(client) !== undefined;
  if (phase === "Accepted" || transfer.node !== node) return false;
  const outcome = pod === undefined ? told?.outcome : pod.outcome;
  if (kind === "PodVolumeBackup") return outcome?.outcome === "backedUp";
  const isGone = pod === undefined && outcome === undefined;
  return isGone || outcome?.outcome === "interrupted" || resume?.pending === true;
}

/** The hosting pod as the API server has it. */
export async function freshPodOf(
  { client }: AgentDeps,
  { kind, namespace, name, uid }: Transfer,
  options: KubeCallOptions = {},
): Promise<HostingPodState | undefined> {
  const pod = await client.get(pods, { namespace, name }, options);
  return pod === undefined || !isOwnedBy(pod, uid) ? undefined : hostingPodState(kind, pod);
}

/** What movers tell by Events: how far they are, and their result. */
export function toldBy(
  kind: TransferKind,
  events: readonly KubeEvent[],
): { progress?: DataPathProgress | undefined; outcome?: DataPathOutcome | undefined } {
  const latest = (reason: string): KubeEvent | undefined =>
    events
      .filter((event) => event.reason === reason)
      .reduce<KubeEvent | undefined>((a, b) => (a && timeOf(a) > timeOf(b) ? a : b), undefined);
  const progress = latest(dataPathReasons.progress);
  const completed = latest(dataPathReasons.completed);
  const outcome =
    completed && decodeOutcome(kind, { exitCode: 0, message: completed.message ?? "" });
  return {
    progress: progress && decodeProgress(progress.message ?? ""),
    outcome: outcome?.outcome === "failed" ? undefined : outcome,
  };
}

/**
 * In phases where a missing pod means something, the API server is asked: the cache holds pods of this node, and not yet those of
 * the last moment.
 */
async function hostingPodOf(
  deps: AgentDeps,
  transfer: Transfer,
  options: KubeCallOptions,
): Promise<HostingPodState | undefined> {
  const { kind, phase, namespace, name, resume } = transfer;
  const cached = deps.view.hostingPod({ namespace, name });
  const known =
    cached && isOwnedBy(cached, transfer.uid) ? hostingPodState(kind, cached) : undefined;
  const mustKnow = phase === "Prepared" || phase === "InProgress" || phase === "Canceling";
  if (transfer.ending || !mustKnow || ownerOf(transfer) !== deps.node) return known;
  const isOld = known === undefined || resume?.pending || known.uid === resume?.podUid;
  return isOld ? freshPodOf(deps, transfer, options) : known;
}

/** Not a pod of the same name that belongs to an earlier object. */
function isOwnedBy({ metadata }: Pod, uid: string): boolean {
  const owners = metadata.ownerReferences ?? [];
  return owners.some((owner) => owner.uid === uid);
}

/** How full the queues are, without this object. Read and reserve in one go: other objects are decided at the same time. */
export function countsOf(
  { view, node, reservations }: AgentDeps,
  transfer: Transfer,
): Pick<World, "exposing" | "running"> {
  const exposing = new Set<string>();
  const running = new Set<string>();
  const phases = new Map<string, string>();
  for (const object of transferKinds.flatMap((kind) => view.transfers(kind))) {
    const uid = object.metadata.uid ?? "";
    const phase = phaseOf(object);
    phases.set(uid, phase);
    if (object.metadata.labels?.[labels.exposeOnGoing] === "true" && !isFinalPhase(phase))
      exposing.add(uid);
    if (takesPlace(object, node)) running.add(uid);
  }
  const before = (later: readonly string[]) => (uid: string) =>
    !later.includes(phases.get(uid) ?? "");
  for (const uid of reservations.held("exposing", before(["New"]))) exposing.add(uid);
  for (const uid of reservations.held("starting", before(["New", "Accepted", "Prepared"])))
    running.add(uid);
  exposing.delete(transfer.uid);
  running.delete(transfer.uid);
  return { exposing: exposing.size, running: running.size };
}

/**
 * Whether a data path of this object runs on the node. Not while only clean-up is left: a mover that has told its result is over,
 * and storage may take long to let go.
 */
export function takesPlace(object: TransferObject, node: string): boolean {
  const phase = phaseOf(object);
  if ((phase !== "InProgress" && phase !== "Canceling") || nodeOf(object) !== node) return false;
  return endingOf(object)?.phase !== "Completed";
}

async function hasTargetClaim(
  { client }: AgentDeps,
  { spec }: DataDownload,
  options: KubeCallOptions,
): Promise<boolean> {
  const { namespace, pvc } = spec.targetVolume;
  return (
    (await client.get(persistentVolumeClaims, { namespace, name: pvc }, options)) !== undefined
  );
}

/** Why the hosting pod can never start, if so. */
export async function abnormalityOf(
  deps: AgentDeps,
  object: TransferObject,
  { kind, name }: Transfer,
  options: KubeCallOptions,
): Promise<string | undefined> {
  try {
    return await deps.exposerFor(kind, object).unrecoverable(options);
  } catch (error) {
    if (isTransient(error, options.signal)) throw error;
    // What cannot be looked at is not known to be broken; the prepare timeout stands behind this.
    deps.logger.warn("cannot look at a hosting pod", { kind, name, error: String(error) });
    return undefined;
  }
}

function timeOf({ eventTime, lastTimestamp, metadata }: KubeEvent): number {
  return Date.parse(eventTime ?? lastTimestamp ?? metadata.creationTimestamp ?? "") || 0;
}
