/**
 * What a hosting pod's status says about the mover in it: waiting, running, or how it ended. Pure.
 * Proof: test/node-agent/hosting-pod-state.test.ts.
 * @module
 */
import type { Pod } from "@dm/crds";
import { type DataPathOutcome, decodeOutcome } from "../mover/index.ts";
import type { TransferKind } from "./transfer.ts";

export interface HostingPodState {
  readonly uid: string;
  /** Undefined until the pod is scheduled. */
  readonly node?: string | undefined;
  readonly running: boolean;
  /** When it should have ended after somebody deleted it. */
  readonly deletedAtMs?: number | undefined;
  /** Set once nothing runs any more: the mover's own result, or that it was interrupted. */
  readonly outcome?: DataPathOutcome | undefined;
}

/** @example hostingPodState("DataUpload", pod).outcome // { outcome: "backedUp", result: … } */
export function hostingPodState(kind: TransferKind, pod: Pod): HostingPodState {
  const { metadata, spec, status } = pod;
  const phase = status?.phase;
  return {
    uid: metadata.uid ?? "",
    node: spec.nodeName,
    // A pod that is being deleted must not be started on; it will be gone, or have ended, soon.
    running: phase === "Running" && !metadata.deletionTimestamp,
    deletedAtMs: Date.parse(metadata.deletionTimestamp ?? "") || undefined,
    outcome: outcomeOf(kind, pod),
  };
}

/** A kubelet that still works has ended a deleted pod by then. */
const forceAfterMs = 30_000;

/**
 * Whether a deleted pod waits for a kubelet that is gone. Its object has to be removed by force, or nothing could ever take its
 * name; while its node may live, that would let two movers write to one volume.
 */
export function isStranded(
  pod: HostingPodState,
  agents: ReadonlySet<string>,
  nowMs: number,
): boolean {
  const { node, deletedAtMs } = pod;
  if (deletedAtMs === undefined || node === undefined || agents.has(node)) return false;
  return nowMs - deletedAtMs >= forceAfterMs;
}

function outcomeOf(kind: TransferKind, { status }: Pod): DataPathOutcome | undefined {
  const phase = status?.phase;
  if (phase === "Unknown")
    return { outcome: "interrupted", message: "the node no longer reports about the hosting pod" };
  if (phase !== "Succeeded" && phase !== "Failed") return undefined;
  const terminated = status?.containerStatuses?.[0]?.state?.terminated;
  const podReason = status?.reason;
  if (terminated === undefined) {
    const why = [podReason, status?.message].filter(Boolean).join(": ");
    return {
      outcome: "interrupted",
      message: `the hosting pod ended without its container${why && ` (${why})`}`,
    };
  }
  const { exitCode, message } = terminated;
  const reason = podReason ?? terminated.reason;
  const outcome = decodeOutcome(kind, { exitCode, reason, message });
  // Ended by any signal, such as the abort of an engine that ran out of memory: not by its own decision.
  const bySignal = exitCode > 128 && (message ?? "").trim() === "";
  return outcome.outcome === "failed" && bySignal
    ? { outcome: "interrupted", message: outcome.message }
    : outcome;
}
