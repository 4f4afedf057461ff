/**
 * What the controllers that keep backups in order are made of, and their settings.
 * Proof: test/retention/sync-location.test.ts, test/retention/delete-backup.test.ts.
 * @module
 */
import type { Clock, Logger } from "@dm/core";
import type { OpenBackupFolder } from "../bucket/backup-store.ts";
import type { ListFolders } from "../bucket/list-folders.ts";
import type { OpenSnapshotRepository } from "../repository/open-repository.ts";
import type { EventRecorder } from "../runtime/event-recorder.ts";
import type { KubeClient } from "../runtime/kube-client.ts";
import type { Metrics } from "../runtime/metrics.ts";

export interface RetentionSettings {
  /** Between two looks at a bucket whose location does not say. */
  readonly backupSyncPeriodMs: number;
  /** Between two looks at a backup that has expired. */
  readonly gcPeriodMs: number;
  /** How long a request that failed can be read. */
  readonly requestMaxAgeMs: number;
  /** How long a deletion waits for DataUploads that it has cancelled. */
  readonly cancelTimeoutMs: number;
  /** Between two looks at something that a deletion waits for. */
  readonly pollMs: number;
  /** Between two looks for snapshots that no backup knows. */
  readonly orphanPeriodMs: number;
  /** A snapshot that is younger may belong to a backup that is being made, here or in another cluster. */
  readonly orphanMinAgeMs: number;
}

export const retentionDefaults: RetentionSettings = Object.freeze({
  backupSyncPeriodMs: 60_000,
  gcPeriodMs: 3_600_000,
  requestMaxAgeMs: 24 * 3_600_000,
  cancelTimeoutMs: 10 * 60_000,
  pollMs: 5_000,
  orphanPeriodMs: 24 * 3_600_000,
  orphanMinAgeMs: 24 * 3_600_000,
});

export interface RetentionDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly openFolder: OpenBackupFolder;
  readonly listFolders: ListFolders;
  readonly openRepository: OpenSnapshotRepository;
  /** None are recorded without it. */
  readonly events?: Pick<EventRecorder, "record"> | undefined;
  readonly metrics?: Metrics | undefined;
  readonly settings?: Partial<RetentionSettings> | undefined;
}

export const retentionSettings = ({
  settings,
}: Pick<RetentionDeps, "settings">): RetentionSettings => ({ ...retentionDefaults, ...settings });
