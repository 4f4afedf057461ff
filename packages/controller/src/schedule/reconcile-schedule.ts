/**
 * The Schedule controller: looks, decides (`decide-schedule.ts`), and does one thing.
 * Proof: test/schedule/reconcile-schedule.test.ts.
 * @module
 */
import { type Clock, isDmError, type Logger, nsPerMs } from "@dm/core";
import { backups, labels, labelValue, schedules } from "@dm/crds";
import { listAll } from "../backup/list-all.ts";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, KubeClient, ObjectKey } from "../runtime/kube-client.ts";
import type { Metrics } from "../runtime/metrics.ts";
import { kubeTime } from "../runtime/objects.ts";
import { decideSchedule, expectedIntervalSeconds, scheduledBackup } from "./decide-schedule.ts";

export interface ScheduleDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  /** For new Schedules that do not say; false by default. */
  readonly skipImmediately?: boolean | undefined;
}

/** Longest time between two looks. */
const periodMs = 60_000;

export async function reconcileSchedule(
  deps: ScheduleDeps,
  key: ObjectKey,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  const { client, clock, logger, skipImmediately = false } = deps;
  const { name, namespace } = key;
  const interval = deps.metrics?.gauge(
    "velero_schedule_expected_interval_seconds",
    "Time between two runs of a schedule",
  );
  const schedule = await client.get(schedules, key, options);
  if (schedule === undefined || schedule.metadata.deletionTimestamp) {
    interval?.remove({ schedule: name });
    return {};
  }
  const labelSelector = `${labels.scheduleName}=${labelValue(name)}`;
  const made = await listAll(client, backups, { ...options, namespace, labelSelector });
  const nowMs = Number(clock.nowNs() / nsPerMs);
  const decision = decideSchedule({ schedule, backups: made, skipImmediately, periodMs }, nowMs);
  const patch = async (change: object): Promise<ReconcileResult> => {
    // A change that was not seen is decided on again.
    const { resourceVersion } = schedule.metadata;
    await client.patch(schedules, key, { metadata: { resourceVersion }, ...change }, options);
    return { requeueAfterMs: 0 };
  };
  const time = (ms: number): string => kubeTime(new Date(ms));
  switch (decision.do) {
    case "wait": {
      const seconds = expectedIntervalSeconds(schedule, nowMs);
      if (seconds !== undefined) interval?.set(seconds, { schedule: name });
      return decision.ms === undefined ? {} : { requeueAfterMs: decision.ms };
    }
    case "refuse": {
      logger.warn("Schedule is not valid", { schedule: name, errors: decision.errors });
      const status = { phase: "FailedValidation", validationErrors: decision.errors };
      return patch({ status });
    }
    case "enable":
      return patch({ status: { phase: "Enabled", validationErrors: null } });
    case "skip":
      return patch({ spec: { skipImmediately: false }, status: { lastSkipped: time(nowMs) } });
    case "note":
      return patch({ status: { lastBackup: time(decision.lastBackupMs) } });
    case "run": {
      logger.info("Schedule is due", { schedule: name, backup: decision.name });
      try {
        await client.create(backups, scheduledBackup(schedule, decision.name), options);
      } catch (error) {
        if (!isDmError(error, "DM_KUBE_ALREADY_EXISTS")) throw error;
      }
      return patch({ status: { lastBackup: time(nowMs) } });
    }
  }
}
