/**
 * `kopia.maintenance`: when maintenance is due and what past runs did.
 * `nonce(12) || AES-256-GCM(JSON) || tag`, associated data `maintenance`. Format: docs/format/maintenance.md.
 * Proof: test/maintenance.test.ts.
 * @module
 */
import {
  concatBytes,
  FormatError,
  IntegrityError,
  isDmError,
  type RandomBytes,
  utf8DecodeStrict,
  utf8Encode,
} from "@dm/core";
import { aes256GcmOpen, aes256GcmSeal } from "@dm/encryption";
import { type BlobStore, type CallOptions, getIfPresent } from "@dm/storage";
import * as z from "zod";
import type { OpenedFormat } from "../format/format-store.ts";
import { deriveRepositoryKey } from "../format/keys.ts";
import { parseChecked } from "../json/checked-json.ts";
import { formatTime, parseTime } from "../json/go-json.ts";

export const scheduleBlobId = "kopia.maintenance";

/** Kopia's names of the tasks that this program runs. */
export type MaintenanceTask =
  | "snapshot-gc"
  | "full-drop-deleted-content"
  | "quick-delete-blobs"
  | "full-delete-blobs"
  | "quick-rewrite-contents"
  | "full-rewrite-contents"
  | "index-compaction"
  | "extend-blob-retention-time"
  | "cleanup-logs"
  | "advance-epoch"
  | "delete-superseded-epoch-indexes"
  | "cleanup-epoch-markers"
  | "generate-epoch-range-index"
  | "compact-single-epoch";

export interface MaintenanceRun {
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly success: boolean;
  readonly error?: string | undefined;
  /** Kopia's list of `{ kind, data }`: figures of what was done. Those of other programs are kept as they are. */
  readonly extra?: unknown;
}

export interface MaintenanceSchedule {
  /** 0 when maintenance has never run. */
  readonly nextFullNs: bigint;
  readonly nextQuickNs: bigint;
  /** Newest first, also of tasks that this program does not know. */
  readonly runs: ReadonlyMap<string, readonly MaintenanceRun[]>;
}

const maxRunsPerTask = 50;
const associatedData = utf8Encode("maintenance");
const nonceBytes = 12;

/** Go's zero time, which stands for "never". */
const zeroTime = "0001-01-01T00:00:00Z";

export const emptySchedule: MaintenanceSchedule = {
  nextFullNs: 0n,
  nextQuickNs: 0n,
  runs: new Map(),
};

const runSchema = z.looseObject({
  start: z.string(),
  end: z.string(),
  success: z.boolean().nullish(),
  error: z.string().nullish(),
  extra: z.unknown().optional(),
});

const scheduleSchema = z.looseObject({
  nextFullMaintenance: z.string().nullish(),
  nextQuickMaintenance: z.string().nullish(),
  runs: z.record(z.string(), z.array(runSchema).nullable()).nullish(),
});

const timeOf = (text: string | null | undefined): bigint =>
  !text || text === zeroTime ? 0n : parseTime(text);
const textOf = (ns: bigint): string => (ns === 0n ? zeroTime : formatTime(ns));

/** @throws {FormatError} `DM_MAINTENANCE_SCHEDULE_INVALID` */
export function decodeSchedule(json: Uint8Array): MaintenanceSchedule {
  try {
    return scheduleOf(parseChecked(scheduleSchema, utf8DecodeStrict(json)));
  } catch (cause) {
    if (!isDmError(cause)) throw cause;
    throw new FormatError(
      "DM_MAINTENANCE_SCHEDULE_INVALID",
      `blob ${scheduleBlobId} is not a schedule: ${cause.message}`,
      { blobId: scheduleBlobId },
      { cause },
    );
  }
}

function scheduleOf(stored: z.infer<typeof scheduleSchema>): MaintenanceSchedule {
  const { nextFullMaintenance, nextQuickMaintenance, runs } = stored;
  return {
    nextFullNs: timeOf(nextFullMaintenance),
    nextQuickNs: timeOf(nextQuickMaintenance),
    runs: new Map(
      Object.entries(runs ?? {}).map(([task, list]) => [
        task,
        (list ?? []).map(({ start, end, success, error, extra }) => ({
          startNs: timeOf(start),
          endNs: timeOf(end),
          success: success === true,
          error: error ?? undefined,
          extra,
        })),
      ]),
    ),
  };
}

export function encodeSchedule(schedule: MaintenanceSchedule): Uint8Array {
  const runs: Record<string, unknown> = {};
  for (const task of [...schedule.runs.keys()].sort()) {
    runs[task] = schedule.runs.get(task)!.map(({ startNs, endNs, success, error, extra }) => ({
      start: textOf(startNs),
      end: textOf(endNs),
      ...(success ? { success } : {}),
      ...(error ? { error } : {}),
      ...(extra === undefined ? {} : { extra }),
    }));
  }
  return utf8Encode(
    JSON.stringify({
      nextFullMaintenance: textOf(schedule.nextFullNs),
      nextQuickMaintenance: textOf(schedule.nextQuickNs),
      runs,
    }),
  );
}

/** Adds a run in front of its task's list, which keeps the newest 50. */
export function recordRun(
  schedule: MaintenanceSchedule,
  task: MaintenanceTask,
  run: MaintenanceRun,
): MaintenanceSchedule {
  const runs = new Map(schedule.runs);
  runs.set(task, [run, ...(runs.get(task) ?? [])].slice(0, maxRunsPerTask));
  return { ...schedule, runs };
}

function scheduleKey(opened: OpenedFormat): Uint8Array {
  return deriveRepositoryKey(opened, "maintenance schedule", 32);
}

/**
 * The schedule; empty when there is none.
 * @throws {IntegrityError} `DM_MAINTENANCE_SCHEDULE_ALTERED`
 */
export async function readSchedule(
  store: BlobStore,
  opened: OpenedFormat,
  options: CallOptions = {},
): Promise<MaintenanceSchedule> {
  const sealed = await getIfPresent(store, scheduleBlobId, options);
  if (!sealed) return emptySchedule;
  let json: Uint8Array;
  try {
    json = aes256GcmOpen(
      scheduleKey(opened),
      sealed.subarray(0, nonceBytes),
      sealed.subarray(nonceBytes),
      associatedData,
    );
  } catch (cause) {
    throw new IntegrityError(
      "DM_MAINTENANCE_SCHEDULE_ALTERED",
      `blob ${scheduleBlobId} is damaged; deleting it makes maintenance start anew`,
      { blobId: scheduleBlobId },
      { cause },
    );
  }
  return decodeSchedule(json);
}

export async function writeSchedule(
  store: BlobStore,
  opened: OpenedFormat,
  schedule: MaintenanceSchedule,
  options: CallOptions & { readonly randomBytes: RandomBytes },
): Promise<void> {
  const nonce = options.randomBytes(nonceBytes);
  const sealed = aes256GcmSeal(
    scheduleKey(opened),
    nonce,
    encodeSchedule(schedule),
    associatedData,
  );
  await store.put(scheduleBlobId, concatBytes(nonce, sealed), { signal: options.signal });
}

/** Puts the next runs off: none before now + the given time. */
export async function pauseMaintenance(
  store: BlobStore,
  opened: OpenedFormat,
  options: CallOptions & {
    readonly nowNs: bigint;
    readonly quickMs?: number | undefined;
    readonly fullMs?: number | undefined;
    readonly randomBytes: RandomBytes;
  },
): Promise<void> {
  const { fullMs, nowNs, quickMs } = options;
  const schedule = await readSchedule(store, opened, options);
  const after = (ms: number | undefined, before: bigint): bigint =>
    ms === undefined ? before : nowNs + BigInt(Math.round(ms * 1e6));
  const paused = {
    ...schedule,
    nextQuickNs: after(quickMs, schedule.nextQuickNs),
    nextFullNs: after(fullMs, schedule.nextFullNs),
  };
  await writeSchedule(store, opened, paused, options);
}
