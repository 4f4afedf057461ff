/** `dm snapshot`: its commands, one file each. */
import type { Command } from "commander";
import type { Session } from "../session.ts";
import { diffCommand } from "./diff.ts";
import { restoreCommand } from "./restore.ts";
import { snapshotCreateCommand } from "./snapshot-create.ts";
import { snapshotDeleteCommand } from "./snapshot-delete.ts";
import { snapshotEstimateCommand } from "./snapshot-estimate.ts";
import { snapshotExpireCommand } from "./snapshot-expire.ts";
import { snapshotFixCommands } from "./snapshot-fix.ts";
import { snapshotListCommand } from "./snapshot-list.ts";
import { snapshotMigrateCommand } from "./snapshot-migrate.ts";
import { snapshotPinCommand } from "./snapshot-pin.ts";
import { snapshotVerifyCommand } from "./snapshot-verify.ts";

export function snapshotCommands(parent: Command, session: Session): void {
  const snapshot = parent
    .command("snapshot")
    .alias("snap")
    .description("Commands to make, list, verify and change snapshots");
  snapshotCreateCommand(snapshot, session);
  diffCommand(snapshot, session);
  snapshotDeleteCommand(snapshot, session);
  snapshotEstimateCommand(snapshot, session);
  snapshotExpireCommand(snapshot, session);
  snapshotFixCommands(snapshot, session);
  snapshotListCommand(snapshot, session);
  snapshotMigrateCommand(snapshot, session);
  snapshotPinCommand(snapshot, session);
  restoreCommand(snapshot, session);
  snapshotVerifyCommand(snapshot, session);
}
