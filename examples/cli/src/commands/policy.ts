/** `dm policy`: its commands, one file each. */
import type { Command } from "commander";
import type { Session } from "../session.ts";
import { policyDeleteCommand } from "./policy-delete.ts";
import { policyEditCommand } from "./policy-edit.ts";
import { policyExportCommand } from "./policy-export.ts";
import { policyImportCommand } from "./policy-import.ts";
import { policyListCommand } from "./policy-list.ts";
import { policySetCommand } from "./policy-set.ts";
import { policyShowCommand } from "./policy-show.ts";

export function policyCommands(parent: Command, session: Session): void {
  const policy = parent
    .command("policy")
    .alias("policies")
    .description("Commands to set and show policies of snapshots");
  policyDeleteCommand(policy, session);
  policyEditCommand(policy, session);
  policyExportCommand(policy, session);
  policyImportCommand(policy, session);
  policyListCommand(policy, session);
  policySetCommand(policy, session);
  policyShowCommand(policy, session);
}
