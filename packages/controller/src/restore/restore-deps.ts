/**
 * What the controller of Restores is made of: as that of Backups, and what waits in restored pods for their files.
 * Proof: test/restore/reconcile-restore.test.ts.
 * @module
 */
import type { BackupDeps } from "../backup/backup-deps.ts";
import type { RestoreWaitSettings } from "../pod-volume/index.ts";

export interface RestoreDeps extends BackupDeps {
  /** Without it, volumes that were backed up by their files are refused. */
  readonly restoreWait?: RestoreWaitSettings | undefined;
  /** Names of resources in the order in which they come, and after a `-` those that come last; Velero's by default. */
  readonly resourcePriorities?: string | undefined;
  /** How long objects and namespaces on their way out may be in the way; as long as other things by default. */
  readonly terminatingTimeoutMs?: number | undefined;
}
