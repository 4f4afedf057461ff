/**
 * When the coming full runs will drop what is garbage now and delete its packs: the rules of safety.ts, played through
 * over the schedule. Pure. Format: docs/format/maintenance.md. Proof: test/collection.test.ts.
 * @module
 */
import type { MaintenanceParameters } from "./parameters.ts";
import {
  mayDeleteOrphans,
  mayRewrite,
  msToNs,
  type SafetyParameters,
  safeDropTimeNs,
} from "./safety.ts";
import { type MaintenanceSchedule, type MaintenanceTask, recordRun } from "./schedule.ts";

/** One coming full run. */
export interface ForecastRun {
  readonly atNs: bigint;
  /** Contents marked before this leave the index; undefined when none may. */
  readonly dropsDeletedBeforeNs: bigint | undefined;
  readonly rewrites: boolean;
  readonly deletesPacks: boolean;
}

export interface Forecast {
  /** Up to the run by which everything has happened. */
  readonly runs: readonly ForecastRun[];
  /** When contents that are marked as deleted in the first of these runs leave the index. */
  readonly droppedAtNs: bigint | undefined;
  /** When packs that hold nothing else are deleted. */
  readonly packsDeletedAtNs: bigint | undefined;
  /** When the short packs are gone whose other contents were put together before. */
  readonly shortPacksDeletedAtNs: bigint | undefined;
}

const maxRuns = 40;

/** @param options.nowNs the first run is the one that is due next, and not before this */
export function forecastMaintenance(
  schedule: MaintenanceSchedule,
  parameters: MaintenanceParameters,
  options: {
    readonly nowNs: bigint;
    readonly safety: SafetyParameters;
    /** The first run is now, whatever is due. */
    readonly runNow?: boolean | undefined;
  },
): Forecast {
  const { nowNs, runNow = false, safety } = options;
  const intervalNs = BigInt(Math.round(parameters.full.interval));
  let atNs = runNow || schedule.nextFullNs < nowNs ? nowNs : schedule.nextFullNs;
  let seen = schedule;
  const done = (task: MaintenanceTask): void => {
    seen = recordRun(seen, task, { startNs: atNs, endNs: atNs, success: true });
  };
  const markedAtNs = atNs;
  const runs: ForecastRun[] = [];
  let droppedAtNs: bigint | undefined;
  let packsDeletedAtNs: bigint | undefined;
  let rewrittenAtNs: bigint | undefined;
  let shortPacksDeletedAtNs: bigint | undefined;
  while (runs.length < maxRuns && shortPacksDeletedAtNs === undefined) {
    done("snapshot-gc");
    const rewrites = mayRewrite(seen, "full", safety);
    if (rewrites) {
      // Rewriting comes before dropping: what is dropped in this run, it has still copied.
      if (droppedAtNs !== undefined) rewrittenAtNs ??= atNs;
      done("full-rewrite-contents");
    }
    const dropsDeletedBeforeNs = safeDropTimeNs(seen, atNs, safety);
    if (dropsDeletedBeforeNs !== undefined) {
      const isDropped = safety.requireTwoCollections
        ? dropsDeletedBeforeNs > markedAtNs
        : dropsDeletedBeforeNs >= markedAtNs;
      if (isDropped) droppedAtNs ??= atNs;
      done("full-drop-deleted-content");
    }
    const deletesPacks = mayDeleteOrphans(seen, atNs, safety);
    if (deletesPacks) {
      if (droppedAtNs !== undefined) packsDeletedAtNs ??= atNs;
      if (isOldEnough(rewrittenAtNs, atNs, safety)) shortPacksDeletedAtNs ??= atNs;
      done("full-delete-blobs");
    }
    runs.push({ atNs, dropsDeletedBeforeNs, rewrites, deletesPacks });
    atNs += intervalNs > 0n ? intervalNs : msToNs(3_600_000);
  }
  return { runs, droppedAtNs, packsDeletedAtNs, shortPacksDeletedAtNs };
}

/** Whether packs orphaned then may go now. */
function isOldEnough(
  rewrittenAtNs: bigint | undefined,
  atNs: bigint,
  safety: SafetyParameters,
): boolean {
  if (rewrittenAtNs === undefined) return false;
  return atNs >= rewrittenAtNs + msToNs(safety.rewriteToOrphanDeletionDelayMs);
}
