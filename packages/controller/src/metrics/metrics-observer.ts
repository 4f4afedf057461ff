/**
 * Counts what happens to the objects of an installation, from caches of its own, so that no controller has to. Objects that are there
 * at the start are where it begins: only what changes from then on counts, as with any counter of a process.
 *
 * Runs in the server, once: several replicas would count the same thing several times (`isActive` keeps those that do not lead from it).
 * Proof: test/metrics/metrics-observer.test.ts.
 * @module
 */
import {
  type Backup,
  backupRepositories,
  backupStorageLocations,
  backups,
  dataDownloads,
  dataUploads,
  type KubeObject,
  podVolumeBackups,
  podVolumeRestores,
  type Resource,
  restores,
  schedules,
} from "@dm/crds";
import type { Cache, Manager } from "../runtime/index.ts";
import {
  backupChanges,
  backupGoneChanges,
  lastBackupChanges,
  newScheduleChanges,
  restoreChanges,
  scheduleGoneChanges,
  scheduleOf,
} from "./backup-metrics.ts";
import { derivedMetricsIn, type MetricChange, timeOf } from "./derived-metrics.ts";
import { derivedMetrics } from "./metric-catalog.ts";
import {
  backingChanges,
  locationChanges,
  locationGoneChanges,
  maintenanceChanges,
  podVolumeChanges,
  podVolumeGoneChanges,
  repositoryGoneChanges,
  restoringChanges,
} from "./volume-metrics.ts";

export interface MetricsObserverOptions {
  /** The operator's. */
  readonly namespace: string;
  /** Counters grow only while this is true; always by default. */
  readonly isActive?: (() => boolean) | undefined;
}

/** What to do with an object; `before` is undefined for a new one. */
interface Observed<T> {
  changed?(before: T | undefined, after: T): readonly MetricChange[];
  /** Of every state, also those that were there at the start. */
  state?(object: T): readonly MetricChange[];
  gone?(object: T): readonly MetricChange[];
}

/**
 * Call before the manager runs; the series are in `manager.metrics`.
 * @example addMetricsObserver(manager, { namespace: "velero", isActive: () => manager.isLeader });
 */
export function addMetricsObserver(manager: Manager, options: MetricsObserverOptions): void {
  const { isActive = () => true, namespace } = options;
  const { metrics } = manager;
  const derived = derivedMetricsIn(metrics);

  const watch = <T extends KubeObject>(resource: Resource<T>, observed: Observed<T>): Cache<T> => {
    const cache = manager.cache(resource, { namespace });
    cache.onChange(({ object, previous, type }) => {
      if (type === "resynced") return;
      if (type === "deleted") {
        derived.apply(observed.gone?.(object) ?? []);
        return;
      }
      derived.apply(observed.state?.(object) ?? []);
      if (cache.hasSynced && isActive()) derived.apply(observed.changed?.(previous, object) ?? []);
    });
    return cache;
  };

  const newest = newestBackups();
  const allBackups = watch(backups, {
    state: (backup) => newest(backup),
    changed: backupChanges,
    gone: backupGoneChanges,
  });
  const allRestores = watch(restores, { changed: restoreChanges });
  const { velero_backup_total: backupTotal, velero_restore_total: restoreTotal } = derivedMetrics;
  metrics.gaugeFrom("velero_backup_total", backupTotal.help, () => allBackups.size);
  metrics.gaugeFrom("velero_restore_total", restoreTotal.help, () => allRestores.size);

  // What no Schedule has made, from zero as well.
  derived.apply(newScheduleChanges({ metadata: { name: "" } }));
  watch(schedules, {
    // From zero, also those that are there at the start.
    state: newScheduleChanges,
    gone: scheduleGoneChanges,
  });

  watch(dataUploads, { changed: (before, after) => backingChanges("DataUpload", before, after) });
  watch(dataDownloads, {
    changed: (before, after) => restoringChanges("DataDownload", before, after),
  });
  watch(podVolumeBackups, {
    changed: (before, after) => [
      ...podVolumeChanges(before, after),
      ...backingChanges("PodVolumeBackup", before, after),
    ],
    gone: podVolumeGoneChanges,
  });
  watch(podVolumeRestores, {
    changed: (before, after) => restoringChanges("PodVolumeRestore", before, after),
  });
  watch(backupRepositories, { changed: maintenanceChanges, gone: repositoryGoneChanges });
  watch(backupStorageLocations, { state: locationChanges, gone: locationGoneChanges });
}

/** Gauges of the newest Backup of a schedule: those that are there at the start have something to say as well. */
function newestBackups(): (backup: Backup) => MetricChange[] {
  const ended = new Map<string, number>();
  return (backup) => {
    const { completionTimestamp, startTimestamp } = backup.status ?? {};
    const at = timeOf(completionTimestamp) ?? timeOf(startTimestamp) ?? 0;
    const schedule = scheduleOf(backup);
    const changes = lastBackupChanges(backup);
    if (changes.length === 0) return [];
    const last = changes.filter(({ name }) => name === "velero_backup_last_status");
    const good = changes.filter(({ name }) => name !== "velero_backup_last_status");
    return [
      ...(isNewer(ended, `status/${schedule}`, at) ? last : []),
      ...(good.length > 0 && isNewer(ended, `success/${schedule}`, at) ? good : []),
    ];
  };
}

function isNewer(known: Map<string, number>, key: string, at: number): boolean {
  if (at < (known.get(key) ?? 0)) return false;
  known.set(key, at);
  return true;
}
