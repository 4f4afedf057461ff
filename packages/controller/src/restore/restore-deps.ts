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
}
