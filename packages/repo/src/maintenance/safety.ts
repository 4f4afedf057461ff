/**
 * The margins that keep maintenance from harming other clients, and the pure rules over past runs that use them.
 * Format: docs/format/maintenance.md. Proof: test/maintenance.test.ts.
 * @module
 */
import type { MaintenanceSchedule, MaintenanceTask } from "./schedule.ts";

export interface SafetyParameters {
  /** Age below which an unreferenced pack stays. */
  readonly packDeleteMinAgeMs: number;
  /** Age below which a content is not rewritten. */
  readonly rewriteMinAgeMs: number;
  /** Age of a session marker's checkpoint up to which its packs stay. */
  readonly sessionExpirationMs: number;
  /** Time between the end of a rewrite and the deletion of what it orphaned. */
  readonly rewriteToOrphanDeletionDelayMs: number;
  /** Age below which a content that nothing refers to is left alone: its snapshot may be still to come. */
  readonly garbageMinAgeMs: number;
  /** Whether deleted contents leave the index only after two garbage collections, which the next two times describe. */
  readonly requireTwoCollections: boolean;
  /** Time between the end of the earlier collection and the start of the later one. */
  readonly marginBetweenCollectionsMs: number;
  /** Time by which a content must have been marked as deleted before the earlier collection began. */
  readonly dropMarginMs: number;
}

const hourMs = 3_600_000;

/** `full` is Kopia's default; `none` is for repositories that nobody else uses at that moment. */
export const safetyParameters: Readonly<Record<"full" | "none", SafetyParameters>> = Object.freeze({
  full: {
    packDeleteMinAgeMs: 24 * hourMs,
    rewriteMinAgeMs: 2 * hourMs,
    sessionExpirationMs: 96 * hourMs,
    rewriteToOrphanDeletionDelayMs: hourMs,
    garbageMinAgeMs: 24 * hourMs,
    requireTwoCollections: true,
    marginBetweenCollectionsMs: 4 * hourMs,
    dropMarginMs: hourMs,
  },
  none: {
    packDeleteMinAgeMs: 0,
    rewriteMinAgeMs: 0,
    sessionExpirationMs: 0,
    rewriteToOrphanDeletionDelayMs: 0,
    garbageMinAgeMs: 0,
    requireTwoCollections: false,
    marginBetweenCollectionsMs: 0,
    dropMarginMs: 0,
  },
});

export const msToNs = (ms: number): bigint => BigInt(Math.round(ms)) * 1_000_000n;

const rewriteTasks: readonly MaintenanceTask[] = [
  "quick-rewrite-contents",
  "full-rewrite-contents",
];
const deleteTasks: readonly MaintenanceTask[] = ["quick-delete-blobs", "full-delete-blobs"];

/** End of the newest successful run of any of the tasks; undefined when there was none. */
export function lastSuccessNs(
  schedule: MaintenanceSchedule,
  tasks: readonly MaintenanceTask[],
): bigint | undefined {
  let newest: bigint | undefined;
  for (const task of tasks) {
    for (const run of schedule.runs.get(task) ?? []) {
      if (run.success && (newest === undefined || run.endNs > newest)) newest = run.endNs;
    }
  }
  return newest;
}

/** Rewriting may begin when it never ran, or when what the last rewrite orphaned has been deleted since. */
export function mayRewrite(
  schedule: MaintenanceSchedule,
  mode: "quick" | "full",
  safety: SafetyParameters,
): boolean {
  const rewritten = lastSuccessNs(
    schedule,
    mode === "quick" ? rewriteTasks : ["full-rewrite-contents"],
  );
  if (rewritten === undefined || safety.rewriteToOrphanDeletionDelayMs === 0) return true;
  const deleted = lastSuccessNs(schedule, deleteTasks);
  return deleted !== undefined && deleted >= rewritten;
}

/**
 * Whether quick maintenance must delete orphans of both kinds: the last rewrite was a full one, and its deletion has to
 * be as thorough, since the next rewrite waits for no other.
 */
export function wasLastRewriteFull(schedule: MaintenanceSchedule): boolean {
  const full = lastSuccessNs(schedule, ["full-rewrite-contents"]);
  const quick = lastSuccessNs(schedule, ["quick-rewrite-contents"]);
  return full !== undefined && (quick === undefined || full >= quick);
}

/** Orphans may be deleted when the last rewrite ended long enough ago for every reader to have seen its index. */
export function mayDeleteOrphans(
  schedule: MaintenanceSchedule,
  nowNs: bigint,
  safety: SafetyParameters,
): boolean {
  const rewritten = lastSuccessNs(schedule, rewriteTasks);
  return (
    rewritten === undefined || nowNs >= rewritten + msToNs(safety.rewriteToOrphanDeletionDelayMs)
  );
}

/**
 * Contents that were marked as deleted before this may leave the index; undefined when none may yet. Two collections must
 * have agreed: the newest successful one, and the newest that ended long enough before it began. A writer that found a
 * content alive before the mark has by then stored its snapshot, and the later collection would have revived the content.
 */
export function safeDropTimeNs(
  schedule: MaintenanceSchedule,
  nowNs: bigint,
  safety: SafetyParameters,
): bigint | undefined {
  if (!safety.requireTwoCollections) return nowNs;
  const [newest, ...earlier] = (schedule.runs.get("snapshot-gc") ?? [])
    .filter((run) => run.success)
    .sort((a, b) => (a.startNs > b.startNs ? -1 : 1));
  if (!newest) return undefined;
  const margin = msToNs(safety.marginBetweenCollectionsMs);
  const agreed = earlier.find((run) => newest.startNs - run.endNs > margin);
  return agreed && agreed.startNs - msToNs(safety.dropMarginMs);
}
