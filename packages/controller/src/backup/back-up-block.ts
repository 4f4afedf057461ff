/**
 * Pods that are held still together while their volumes are taken: hooks before, snapshots and file system backups, hooks after. What
 * was begun before is ended after, whatever happens in between.
 * Proof: test/backup/hooks.test.ts, test/backup/pod-volumes.test.ts.
 * @module
 */
import { isDmError, mapConcurrent } from "@dm/core";
import {
  type PersistentVolumeClaim,
  type Pod,
  type PodVolumeBackup,
  persistentVolumeClaims,
  pods,
  type VolumeSnapshotClass,
} from "@dm/crds";
import { backupHooks, type HookPhase } from "../hooks/backup-hooks.ts";
import { runHooks } from "../hooks/run-hooks.ts";
import type { BoundClaim } from "../pod-volume/index.ts";
import type { SettledClaim } from "./backup-record.ts";
import { addError, addWarning, type BackupRun } from "./backup-run.ts";
import { backUpClaim, type ClaimOutcome } from "./move-claim.ts";
import type { Block } from "./plan-blocks.ts";
import { backUpPodVolumes } from "./pod-volume-backups.ts";
import type { VolumePlan } from "./volume-plan.ts";

export interface BlockPlan {
  readonly volumes: VolumePlan;
  readonly bound: ReadonlyMap<PersistentVolumeClaim, BoundClaim>;
  readonly classes: readonly VolumeSnapshotClass[];
}

export interface BlockEnd {
  readonly claims: readonly SettledClaim[];
  readonly podVolumeBackups: readonly PodVolumeBackup[];
  /** Their hooks failed so that they are not in the backup. */
  readonly failedPods: ReadonlySet<Pod>;
}

/** Calls about single claims under way at once. */
const claimConcurrency = 8;

export async function backUpBlock(
  run: BackupRun,
  block: Block,
  plan: BlockPlan,
): Promise<BlockEnd> {
  const begun: Pod[] = [];
  const failedPods = new Set<Pod>();
  try {
    for (const pod of block.pods) {
      begun.push(pod);
      if (!(await hooksOf(run, pod, "pre"))) failedPods.add(pod);
    }
    const claims = await mapConcurrent(block.claims, (claim) => settleClaim(run, claim, plan), {
      concurrency: claimConcurrency,
      signal: run.options.signal,
    });
    const due = block.pods
      .filter((pod) => !failedPods.has(pod))
      .flatMap((pod) => (plan.volumes.due.get(pod) ?? []).map((one) => ({ ...one, pod })));
    return { claims, podVolumeBackups: await backUpPodVolumes(run, due), failedPods };
  } finally {
    // Also when the server is about to stop: nothing stays frozen.
    for (const pod of begun) await hooksOf(run, pod, "post");
  }
}

/** False when a hook failed that lets nothing follow. */
async function hooksOf(run: BackupRun, pod: Pod, phase: HookPhase): Promise<boolean> {
  const hooks = backupHooks(run.backup.spec ?? {}, pod, phase, run.resources);
  const { exec } = run.deps;
  const { signal } = phase === "pre" ? run.options : {};
  return runHooks(pod, hooks, {
    exec,
    signal,
    count: run.hooks,
    onError: ({ container, name, onError }, reason) => {
      const message = `${phase} hook ${name} in container ${container}: ${reason}`;
      if (onError === "Fail") addError(run, [pods, pod], message);
      else addWarning(run, [pods, pod], message);
    },
  });
}

/** What one claim is to blame for does not stop the others. */
async function orFailure(work: () => Promise<ClaimOutcome>): Promise<ClaimOutcome> {
  try {
    return await work();
  } catch (error) {
    if (!isDmError(error)) throw error;
    return { do: "fail", message: error.message, hadSnapshot: true };
  }
}

async function settleClaim(
  run: BackupRun,
  claim: PersistentVolumeClaim,
  { bound, classes, volumes }: BlockPlan,
): Promise<SettledClaim> {
  const { backup, deps, options } = run;
  const volume = bound.get(claim)?.volume;
  const way = volumes.claims.get(claim);
  if (way?.do === "files") return { claim, volume, outcome: { do: "files" } };
  if (way?.do === "skip") return { claim, volume, outcome: { do: "skip", why: way.reason } };
  const outcome = await orFailure(() =>
    backUpClaim(deps, backup, { claim, volume }, classes, options),
  );
  if (outcome.do === "fail") addError(run, [persistentVolumeClaims, claim], outcome.message);
  if (outcome.do === "skip")
    addWarning(
      run,
      [persistentVolumeClaims, claim],
      "its volume is of no CSI driver, its data is not in the backup",
    );
  return { claim, volume, outcome };
}
