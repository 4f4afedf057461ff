/**
 * What the controllers of Backups and Restores are made of, and their settings.
 * Proof: test/backup/reconcile-backup.test.ts.
 * @module
 */
import { type Clock, type Logger, nsPerMs } from "@dm/core";
import type { OpenBackupFolder } from "../bucket/backup-store.ts";
import type { ApiDiscovery } from "../runtime/api-discovery.ts";
import type { EventRecorder } from "../runtime/event-recorder.ts";
import type { KubeClient } from "../runtime/kube-client.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { PodExec } from "../runtime/pod-exec.ts";

export interface BackupSettings {
  /** What a Backup gets that does not say. Go durations. */
  readonly ttl: string;
  readonly csiSnapshotTimeout: string;
  readonly itemOperationTimeout: string;
  readonly snapshotMoveData: boolean;
  /** The location when a Backup names none and none is the default. */
  readonly storageLocation: string;
  /** Who moves the data when the Backup does not say. */
  readonly dataMover: string;
  /** Between two looks at snapshots that are being taken. */
  readonly snapshotPollMs: number;
  /** Between two looks at DataUploads and DataDownloads. */
  readonly operationPollMs: number;
  /** All volumes of pods by their files but those opted out, when a Backup does not say. */
  readonly defaultVolumesToFsBackup: boolean;
  /** How long the file system backups of pods that are held still together may take. */
  readonly podVolumeTimeoutMs: number;
  /** `restic` is accepted, and Kopia used. */
  readonly uploaderType: string;
  /** Backups that run at the same time; more wait. */
  readonly concurrentBackups: number;
  /** Blocks of pods and claims whose volumes are taken at the same time. */
  readonly blockConcurrency: number;
  /** Between two writes of how far a Backup is. */
  readonly progressMs: number;
  /** How long single things, such as a namespace on its way out or a store, may be in the way. */
  readonly resourceTimeoutMs: number;
}

export const backupDefaults: BackupSettings = Object.freeze({
  ttl: "720h0m0s",
  csiSnapshotTimeout: "10m0s",
  itemOperationTimeout: "4h0m0s",
  snapshotMoveData: false,
  storageLocation: "default",
  dataMover: "dm",
  snapshotPollMs: 5_000,
  operationPollMs: 10_000,
  defaultVolumesToFsBackup: false,
  podVolumeTimeoutMs: 4 * 3_600_000,
  uploaderType: "kopia",
  concurrentBackups: 1,
  blockConcurrency: 4,
  progressMs: 2_000,
  resourceTimeoutMs: 10 * 60_000,
});

export interface BackupDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly openFolder: OpenBackupFolder;
  /** Which kinds there are. */
  readonly discovery: ApiDiscovery;
  /** Runs hooks. */
  readonly exec: PodExec;
  /** Where Backups say what they do not do. */
  readonly events?: EventRecorder | undefined;
  readonly metrics?: Pick<Metrics, "gauge"> | undefined;
  readonly settings?: Partial<BackupSettings> | undefined;
}

export const settingsOf = ({ settings }: BackupDeps): BackupSettings => ({
  ...backupDefaults,
  ...settings,
});

export const nowOf = ({ clock }: Pick<BackupDeps, "clock">): Date =>
  new Date(Number(clock.nowNs() / nsPerMs));
