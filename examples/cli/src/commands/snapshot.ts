/** `dm snapshot`: its commands, one file each. */
import type { Command } from "commander";
import type { Session } from "../session.ts";

type Register = (parent: Command, session: Session) => void;

/** In the order of the help. */
const commands: Readonly<Record<string, () => Promise<Register>>> = {
  create: async () => (await import("./snapshot-create.ts")).snapshotCreateCommand,
  diff: async () => (await import("./diff.ts")).diffCommand,
  delete: async () => (await import("./snapshot-delete.ts")).snapshotDeleteCommand,
  estimate: async () => (await import("./snapshot-estimate.ts")).snapshotEstimateCommand,
  expire: async () => (await import("./snapshot-expire.ts")).snapshotExpireCommand,
  fix: async () => (await import("./snapshot-fix.ts")).snapshotFixCommands,
  list: async () => (await import("./snapshot-list.ts")).snapshotListCommand,
  migrate: async () => (await import("./snapshot-migrate.ts")).snapshotMigrateCommand,
  pin: async () => (await import("./snapshot-pin.ts")).snapshotPinCommand,
  restore: async () => (await import("./restore.ts")).restoreCommand,
  verify: async () => (await import("./snapshot-verify.ts")).snapshotVerifyCommand,
};

/** @param chosen the only one that is wanted; all when it is none of them, for the help or what is said of a mistake */
export async function snapshotCommands(
  parent: Command,
  session: Session,
  chosen?: string,
): Promise<void> {
  const snapshot = parent
    .command("snapshot")
    .alias("snap")
    .description("Commands to make, list, verify and change snapshots");
  const isKnown = chosen !== undefined && Object.hasOwn(commands, chosen);
  for (const name of isKnown ? [chosen] : Object.keys(commands))
    (await commands[name]!())(snapshot, session);
}
