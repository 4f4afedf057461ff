/**
 * What to do about a Schedule. Pure: no I/O, no clock; each branch is a row of a table in the test.
 *
 * As Velero does it, with these differences: a Backup that waits in the queue keeps the next one back, too; a run whose Backup was made
 * by a process that died before it could say so is found by the Backup's name, and not made again.
 * Proof: test/schedule/decide-schedule.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import { type Backup, labels, labelValue, type Schedule } from "@dm/crds";
import { type CronSchedule, parseCron } from "./cron.ts";

export interface SeenSchedule {
  readonly schedule: Schedule;
  /** Those that it has made. */
  readonly backups: readonly Backup[];
  /** For Schedules that do not say. */
  readonly skipImmediately: boolean;
  readonly periodMs: number;
}

export type ScheduleDecision =
  | { readonly do: "wait"; readonly ms: number | undefined }
  | { readonly do: "refuse"; readonly errors: readonly string[] }
  | { readonly do: "enable" }
  /** Not now: the next time counts from now on. */
  | { readonly do: "skip" }
  /** A Backup of this run is there already. */
  | { readonly do: "note"; readonly lastBackupMs: number }
  | { readonly do: "run"; readonly name: string };

const unfinished: ReadonlySet<string> = new Set([
  "",
  "New",
  "Queued",
  "ReadyToStart",
  "InProgress",
]);

export function decideSchedule(seen: SeenSchedule, nowMs: number): ScheduleDecision {
  const { backups, periodMs, schedule } = seen;
  const { metadata, spec, status } = schedule;
  if (spec.paused) return { do: "wait", ms: undefined };
  if (spec.skipImmediately ?? (seen.skipImmediately && !status?.phase)) return { do: "skip" };
  const cron = parsed(spec.schedule);
  if ("errors" in cron) {
    const isTold =
      status?.phase === "FailedValidation" &&
      JSON.stringify(status.validationErrors) === JSON.stringify(cron.errors);
    return isTold ? { do: "wait", ms: undefined } : { do: "refuse", errors: cron.errors };
  }
  if (status?.phase !== "Enabled" || status.validationErrors?.length) return { do: "enable" };
  const times = [status.lastBackup ?? metadata.creationTimestamp, status.lastSkipped];
  const dueMs = cron.nextAfter(Math.max(...times.map((time) => Date.parse(time ?? "") || 0)));
  if (dueMs === undefined) return { do: "wait", ms: undefined };
  if (nowMs < dueMs) return { do: "wait", ms: Math.min(dueMs - nowMs, periodMs) };
  const made = backups
    .map((backup) => timeInName(metadata.name ?? "", backup))
    .filter((ms): ms is number => ms !== undefined && ms >= dueMs && ms <= nowMs);
  if (made.length > 0) return { do: "note", lastBackupMs: Math.max(...made) };
  if (backups.some((backup) => unfinished.has(backup.status?.phase ?? "")))
    return { do: "wait", ms: periodMs };
  return { do: "run", name: timestampedName(metadata.name ?? "", nowMs) };
}

function parsed(text: string): CronSchedule | { readonly errors: readonly string[] } {
  if (!text) return { errors: ["Schedule must be a non-empty valid Cron expression"] };
  try {
    return parseCron(text);
  } catch (error) {
    if (!isDmError(error, "DM_CRON_INVALID")) throw error;
    return { errors: [`invalid schedule: ${error.message}`] };
  }
}

/** Seconds between the next run and the one after it. */
export function expectedIntervalSeconds({ spec }: Schedule, nowMs: number): number | undefined {
  const cron = parsed(spec.schedule);
  if ("errors" in cron) return undefined;
  const nextMs = cron.nextAfter(nowMs);
  const laterMs = nextMs === undefined ? undefined : cron.nextAfter(nextMs);
  return nextMs === undefined || laterMs === undefined ? undefined : (laterMs - nextMs) / 1_000;
}

/** `<schedule>-YYYYMMDDhhmmss`, in UTC. */
export function timestampedName(schedule: string, atMs: number): string {
  return `${schedule}-${new Date(atMs).toISOString().slice(0, 19).replace(/\D/g, "")}`;
}

function timeInName(schedule: string, { metadata }: Backup): number | undefined {
  const { name = "" } = metadata;
  if (!name.startsWith(`${schedule}-`)) return undefined;
  const digits = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(name.slice(schedule.length + 1));
  if (!digits) return undefined;
  const [year = 0, month = 1, ...rest] = digits.slice(1).map(Number);
  return Date.UTC(year, month - 1, ...(rest as [number, number, number, number]));
}

const appliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration";

/** What `kubectl apply` remembers of the Schedule says nothing of its Backups. */
function withoutApplied(annotations: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(annotations).filter(([name]) => name !== appliedAnnotation);
  return Object.fromEntries(entries);
}

/** The Backup of one run. */
export function scheduledBackup(schedule: Schedule, name: string): Backup {
  const { metadata, spec } = schedule;
  const { metadata: template, ...rest } = spec.template;
  const own = template?.labels ?? metadata.labels;
  return {
    apiVersion: "velero.io/v1",
    kind: "Backup",
    metadata: {
      name,
      ...(metadata.namespace !== undefined && { namespace: metadata.namespace }),
      labels: { ...own, [labels.scheduleName]: labelValue(metadata.name ?? "") },
      ...(metadata.annotations && { annotations: withoutApplied(metadata.annotations) }),
      ...(spec.useOwnerReferencesInBackup && {
        ownerReferences: [
          {
            apiVersion: "velero.io/v1",
            kind: "Schedule",
            name: metadata.name ?? "",
            uid: metadata.uid ?? "",
            controller: true,
          },
        ],
      }),
    },
    spec: { ...rest, ...(template && { metadata: template }) },
  };
}
