/**
 * The controller of Schedules on a manager, with its caches.
 * Proof: test/schedule/reconcile-schedule.test.ts.
 * @module
 */
import { type Clock, type Logger, silentLogger, systemClock } from "@dm/core";
import { backups, labels, schedules } from "@dm/crds";
import { type KubeClient, type Manager, source } from "../runtime/index.ts";
import { reconcileSchedule } from "./reconcile-schedule.ts";

export interface ScheduleControllerOptions {
  readonly client: KubeClient;
  /** The operator's. */
  readonly namespace: string;
  /** For new Schedules that do not say; false by default. */
  readonly skipImmediately?: boolean | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

/**
 * Call before the manager runs.
 * @example addScheduleController(manager, { client, namespace: "velero", logger });
 */
export function addScheduleController(manager: Manager, options: ScheduleControllerOptions): void {
  const { client, clock = systemClock, logger = silentLogger, namespace } = options;
  const { skipImmediately } = options;
  const deps = { client, clock, logger, metrics: manager.metrics, skipImmediately };
  const all = manager.cache(schedules, { namespace });
  manager.add({
    name: "Schedule",
    sources: [
      source(all),
      // One that keeps the next back, and ends.
      source(
        manager.cache(backups, { namespace, labelSelector: labels.scheduleName }),
        (backup) => {
          const name = backup.metadata.labels?.[labels.scheduleName];
          return name === undefined ? [] : [{ namespace, name }];
        },
      ),
    ],
    reconcile: (key, signal) => reconcileSchedule(deps, key, { signal }),
  });
}
