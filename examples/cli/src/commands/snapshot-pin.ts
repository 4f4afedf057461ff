/** `dm snapshot pin`. */
import { findSnapshots, pinSnapshot, type Snapshot } from "@dm/snapshot";
import type { Command } from "commander";
import { UsageError } from "../io.ts";
import { repeatable } from "../options.ts";
import type { Session } from "../session.ts";
import { sourceText } from "../snapshot-text.ts";
import { formatTimestamp } from "../text.ts";

interface PinOptions {
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
}

export function snapshotPinCommand(parent: Command, session: Session): void {
  parent
    .command("pin")
    .description("Add and remove pins, which keep snapshots from expiring")
    .argument("<id...>", "ids of snapshots or of their root objects")
    .addOption(repeatable("--add <pin>", "add this pin"))
    .addOption(repeatable("--remove <pin>", "remove this pin"))
    .action(async (ids: readonly string[], { add = [], remove = [] }: PinOptions) => {
      if (add.length + remove.length === 0)
        throw new UsageError("must specify --add and/or --remove");
      const { signal } = session;
      const repository = await session.repository();
      await using writer = await repository.openWriteSession({ signal });
      const chosen = new Map<string, Snapshot>();
      for (const id of ids)
        for (const snapshot of await findSnapshots(repository, id, { signal }))
          chosen.set(snapshot.id, snapshot);
      for (const snapshot of chosen.values()) {
        const text = `snapshot at ${formatTimestamp(snapshot.startedAtNs)} of ${sourceText(snapshot)}`;
        const pinned = await pinSnapshot(writer, snapshot, { add, remove, signal });
        // Kopia keeps the new id to itself; whoever pins by id needs it.
        if (pinned === snapshot) session.say(`No change for ${text}`);
        else session.say(`Updating ${text}\n  ${snapshot.id} is now ${pinned.id}`);
      }
      await writer.commit({ signal });
    });
}
