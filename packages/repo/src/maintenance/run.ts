/**
 * One maintenance run: which tasks, in which order, recorded in the schedule blob after each.
 * What garbage is, the layer above knows and tells by `collectGarbage`; without it no deleted content is dropped here.
 * Format: docs/format/maintenance.md. Proof: test/maintenance.test.ts, test/collection.test.ts, test/kill.test.ts.
 * @module
 */
import { AccessError, ConflictError, isDmError } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import { EpochManager } from "../index-manager/epoch-manager.ts";
import { v0CompactionCandidates } from "../index-manager/v0-log.ts";
import type { V0Manager } from "../index-manager/v0-manager.ts";
import { formatTime } from "../json/go-json.ts";
import type { Repository } from "../repository.ts";
import { cleanUpLogs } from "./clean-up-logs.ts";
import { deleteOrphanPacks } from "./delete-orphans.ts";
import { dropDeletedContents } from "./drop-deleted.ts";
import { extendRetention } from "./extend-retention.ts";
import { mergeIndexBlobs } from "./merge-indexes.ts";
import { type MaintenanceParameters, readMaintenanceParameters } from "./parameters.ts";
import { rewriteShortPacks } from "./rewrite-short-packs.ts";
import {
  mayDeleteOrphans,
  mayRewrite,
  safeDropTimeNs,
  safetyParameters,
  wasLastRewriteFull,
} from "./safety.ts";
import {
  type MaintenanceSchedule,
  type MaintenanceTask,
  readSchedule,
  recordRun,
  scheduleBlobId,
  writeSchedule,
} from "./schedule.ts";

/** Kopia's figures of one collection, and the order in which it stores them: contents, and their packed lengths. */
export interface CollectionFigures {
  /** Nothing refers to them, and they are old enough. */
  readonly unreferencedContentCount: number;
  readonly unreferencedContentSize: number;
  /** Those of them that this run marked as deleted. */
  readonly deletedContentCount: number;
  readonly deletedContentSize: number;
  /** Nothing refers to them yet. */
  readonly unreferencedRecentContentCount: number;
  readonly unreferencedRecentContentSize: number;
  readonly inUseContentCount: number;
  readonly inUseContentSize: number;
  /** Manifests. */
  readonly inUseSystemContentCount: number;
  readonly inUseSystemContentSize: number;
  /** They were marked as deleted, and something refers to them. */
  readonly recoveredContentCount: number;
  readonly recoveredContentSize: number;
}

/**
 * Marks contents as deleted that nothing refers to and that are old enough, takes the mark from those that something
 * refers to, and makes that durable. What it cannot read it must report as an error: nothing is dropped then.
 */
export type CollectGarbage = (
  repository: Repository,
  options: CallOptions & {
    /** The store's time at the start of this run: ages count from here. */
    readonly startedAtNs: bigint;
    /** Age below which contents are left alone. */
    readonly minAgeMs: number;
  },
) => Promise<CollectionFigures>;

export interface MaintenanceOptions extends CallOptions {
  /**
   * The first task of a full run, `collectGarbage` of `@dm/snapshot` where there are snapshots. Without it deleted
   * contents stay in the index.
   */
  readonly collectGarbage?: CollectGarbage | undefined;
  /** `auto` (the default) runs what is due: full, else quick, else nothing. */
  readonly mode?: "auto" | "quick" | "full" | undefined;
  /** `none` drops the margins of age that protect other clients: only while no other is at work. `full` by default. */
  readonly safety?: "full" | "none" | undefined;
  /** Runs although another client is the owner; off by default. */
  readonly force?: boolean | undefined;
  /** Called when something is due, before anything is written. */
  readonly onBegin?: ((mode: "quick" | "full") => void) | undefined;
  /** Called before each task; keep it cheap. */
  readonly onTask?: ((task: MaintenanceTask) => void) | undefined;
}

export interface MaintenanceTaskReport {
  readonly task: MaintenanceTask;
  /** What the task did, in figures; empty when it was skipped. */
  readonly figures: Readonly<Record<string, number>>;
  /** Why it did nothing. */
  readonly skipped?: string | undefined;
}

export interface MaintenanceReport {
  readonly mode: "none" | "quick" | "full";
  readonly tasks: readonly MaintenanceTaskReport[];
}

/** Tasks that only delete, or do so last. */
const deletingTasks: ReadonlySet<MaintenanceTask> = new Set([
  "quick-delete-blobs",
  "full-delete-blobs",
  "index-compaction",
  "cleanup-epoch-markers",
  "delete-superseded-epoch-indexes",
  "cleanup-logs",
]);

const maxClockSkewNs = 300_000_000_000n;

/**
 * Runs maintenance. Where the store refuses deletions, and only those, the tasks that delete are skipped and told once as a
 * warning.
 * @throws {AccessError} `DM_MAINTENANCE_NOT_OWNER` unless `force`; `DM_REPOSITORY_READ_ONLY`
 * @throws {ConflictError} `DM_CLOCK_SKEW` when this clock and the store's differ by more than five minutes
 */
export async function runMaintenance(
  repository: Repository,
  options: MaintenanceOptions = {},
): Promise<MaintenanceReport> {
  const { clock, clientName, openedFormat, randomBytes, store } = repository;
  const { force = false, mode: wanted = "auto", signal } = options;
  if (repository.readOnly)
    throw new AccessError("DM_REPOSITORY_READ_ONLY", "the repository is open for reading only");
  const parameters = await readMaintenanceParameters(repository, { signal });
  if (!force && parameters.owner !== clientName) {
    throw new AccessError(
      "DM_MAINTENANCE_NOT_OWNER",
      `maintenance belongs to ${parameters.owner}, and this client is ${clientName}`,
      { owner: parameters.owner, client: clientName },
    );
  }
  let schedule = await readSchedule(store, openedFormat, { signal });
  const now = clock.nowNs();
  const mode = wanted === "auto" ? dueMode(schedule, parameters, now) : wanted;
  if (mode === "none") return { mode, tasks: [] };
  options.onBegin?.(mode);

  // The next times are set before any work, so that a crash does not make the next client begin at once.
  schedule = {
    ...schedule,
    nextQuickNs: now + BigInt(Math.round(parameters.quick.interval)),
    nextFullNs:
      mode === "full" ? now + BigInt(Math.round(parameters.full.interval)) : schedule.nextFullNs,
  };
  const save = (): Promise<void> =>
    writeSchedule(store, openedFormat, schedule, { randomBytes, signal });
  await save();
  // From here the store's clock counts: the time that it gave the schedule just written.
  const { timestampNs: startedAtNs } = await store.stat(scheduleBlobId, { signal });
  const skew = startedAtNs - clock.nowNs();
  if (skew > maxClockSkewNs || skew < -maxClockSkewNs) {
    throw new ConflictError(
      "DM_CLOCK_SKEW",
      `the clock of the store and of this machine differ by ${skew / 1_000_000_000n} s; set them before maintenance`,
      { skewSeconds: Number(skew / 1_000_000_000n) },
    );
  }
  await repository.refresh({ signal });

  const reports: MaintenanceTaskReport[] = [];
  const skip = (task: MaintenanceTask, skipped: string): void => {
    reports.push({ task, figures: {}, skipped });
  };
  const run: RunTask = async (task, work, extraOf) => {
    signal?.throwIfAborted();
    options.onTask?.(task);
    const startNs = clock.nowNs();
    try {
      const figures = await work();
      const extra = extraOf && [extraOf(figures ?? {})];
      schedule = recordRun(schedule, task, { startNs, endNs: clock.nowNs(), success: true, extra });
      reports.push({ task, figures: { ...figures } as Record<string, number> });
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      schedule = recordRun(schedule, task, {
        startNs,
        endNs: clock.nowNs(),
        success: false,
        error: text,
      });
      if (!signal?.aborted) await save();
      if (!deletingTasks.has(task) || !isDmError(error, "DM_STORE_ACCESS_DENIED")) throw error;
      refuse(task, error.message);
      return;
    }
    await save();
  };
  let isRefusalTold = false;
  /** Whoever may not delete can do all the rest; what is not deleted stays in the way of nobody. */
  const refuse = (task: MaintenanceTask, reason: string): void => {
    skip(task, `these credentials may not delete: ${reason}`);
    if (isRefusalTold) return;
    isRefusalTold = true;
    repository.logger.warn("Left blobs that maintenance would delete: not permitted", { reason });
  };

  const safety = safetyParameters[options.safety ?? "full"];
  const manager = repository.indexManager;
  const leaveDeleted = options.collectGarbage !== undefined;
  const common = { safety, signal, startedAtNs };
  let hasDropped = false;
  const drop = async (): Promise<void> => {
    const deletedBeforeNs = safeDropTimeNs(schedule, clock.nowNs(), safety);
    if (deletedBeforeNs === undefined) {
      skip(
        "full-drop-deleted-content",
        "no two successful garbage collections lie far enough apart yet",
      );
      return;
    }
    await run(
      "full-drop-deleted-content",
      () => dropDeletedContents(repository, { deletedBeforeNs, signal }),
      () => ({
        kind: "compactIndexesStats",
        data: { droppedContentsDeletedBefore: formatTime(deletedBeforeNs) },
      }),
    );
    hasDropped = true;
  };
  const packs = async (kind: "quick" | "full"): Promise<void> => {
    if (mayRewrite(schedule, kind, safety)) {
      const prefixes = kind === "full" ? ["p", "q"] : ["q"];
      await run(`${kind}-rewrite-contents`, () =>
        rewriteShortPacks(repository, { ...common, prefixes, leaveDeleted }),
      );
    } else
      skip(
        `${kind}-rewrite-contents`,
        "packs orphaned by the last rewrite have not been deleted yet",
      );
    if (kind === "full" && options.collectGarbage) await drop();
    const deletion = kind === "full" || wasLastRewriteFull(schedule) ? "full" : "quick";
    if (mayDeleteOrphans(schedule, clock.nowNs(), safety)) {
      const prefixes = deletion === "full" ? ["p", "q", "s"] : ["q"];
      await run(`${deletion}-delete-blobs`, () =>
        deleteOrphanPacks(repository, { ...common, prefixes }),
      );
    } else skip(`${deletion}-delete-blobs`, "the last rewrite ended less than an hour ago");
  };

  if (mode === "full") {
    const { collectGarbage } = options;
    if (collectGarbage) {
      const minAgeMs = safety.garbageMinAgeMs;
      await run(
        "snapshot-gc",
        () => collectGarbage(repository, { startedAtNs, minAgeMs, signal }),
        (data) => ({ kind: "snapshotGCStats", data }),
      );
    }
    await packs("full");
    if (parameters.extendObjectLocks) {
      await run("extend-blob-retention-time", () =>
        extendRetention(repository, parameters, { signal }),
      );
    }
  } else if (!(manager instanceof EpochManager)) await packs("quick");
  if (manager instanceof EpochManager) await epochTasks(repository, manager, mode, run, options);
  else await run("index-compaction", () => compactV0(repository, manager, hasDropped, options));
  if (mode === "full" || !(manager instanceof EpochManager)) {
    await run("cleanup-logs", () => cleanUpLogs(repository, parameters, { signal }));
  }
  await repository.refresh({ signal });
  return { mode, tasks: reports };
}

/**
 * What `runMaintenance` would do now in mode `auto`; nothing where another client is the owner. Costs one read, and one
 * more of the index when its age demands it.
 */
export async function dueMaintenance(
  repository: Repository,
  options: CallOptions = {},
): Promise<"none" | "quick" | "full"> {
  if (repository.readOnly) return "none";
  const parameters = await readMaintenanceParameters(repository, options);
  if (parameters.owner !== repository.clientName) return "none";
  const schedule = await readSchedule(repository.store, repository.openedFormat, options);
  return dueMode(schedule, parameters, repository.clock.nowNs());
}

function dueMode(
  schedule: MaintenanceSchedule,
  parameters: MaintenanceParameters,
  now: bigint,
): "none" | "quick" | "full" {
  if (parameters.full.enabled && now >= schedule.nextFullNs) return "full";
  if (parameters.quick.enabled && now >= schedule.nextQuickNs) return "quick";
  return "none";
}

type RunTask = (
  task: MaintenanceTask,
  work: () => Promise<object | undefined>,
  extraOf?: (figures: object) => { readonly kind: string; readonly data: object },
) => Promise<void>;

async function epochTasks(
  repository: Repository,
  manager: EpochManager,
  mode: "quick" | "full",
  run: RunTask,
  options: CallOptions,
): Promise<void> {
  const merge = (blobIds: readonly string[], call: CallOptions): Promise<Uint8Array[]> =>
    mergeIndexBlobs(repository, blobIds, call);
  const call = { signal: options.signal };
  await run("compact-single-epoch", async () =>
    counted("epochsCompacted", await manager.compactOneEpoch(merge, call)),
  );
  await run("advance-epoch", async () =>
    counted("epochsAdvanced", await manager.advanceIfDue(call)),
  );
  if (mode === "quick") return;
  await run("generate-epoch-range-index", async () =>
    counted("rangesCompacted", await manager.compactRange(merge, call)),
  );
  await run("cleanup-epoch-markers", async () => ({
    blobsDeleted: (await manager.cleanUpMarkers(call)).length,
  }));
  await run("delete-superseded-epoch-indexes", async () => ({
    blobsDeleted: (await manager.deleteSuperseded(call)).length,
  }));
}

const counted = (name: string, result: unknown): Record<string, number> => ({
  [name]: result === undefined ? 0 : 1,
});

async function compactV0(
  repository: Repository,
  manager: V0Manager,
  isDone: boolean,
  options: CallOptions,
): Promise<Record<string, number>> {
  const { signal } = options;
  const { maxPackSizeBytes } = repository.format;
  // After a drop there is one index already.
  const active = isDone ? [] : await manager.activeBlobs({ signal });
  const candidates = v0CompactionCandidates(active, { maxPackSizeBytes });
  if (candidates.length > 0) {
    const blobIds = candidates.map((blob) => blob.id);
    await manager.replace(
      candidates,
      await mergeIndexBlobs(repository, blobIds, { signal, unique: true }),
      { signal },
    );
  }
  const removed = await manager.cleanUp({ signal });
  return {
    indexesCompacted: candidates.length,
    indexesDeleted: removed.indexes.length,
    logsDeleted: removed.logs.length,
  };
}
