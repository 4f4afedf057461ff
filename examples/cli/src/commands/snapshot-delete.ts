/** `dm snapshot delete`. */
import type { Repository } from "@dm/repo";
import { deleteSnapshots, findSnapshots, listSnapshots, type Snapshot } from "@dm/snapshot";
import type { Command } from "commander";
import { runDueMaintenance } from "../due-maintenance.ts";
import { UsageError } from "../io.ts";
import { hidden } from "../options.ts";
import type { Session } from "../session.ts";
import { parseSource, parseSourceFilter, sourceText } from "../snapshot-text.ts";
import { formatTimestamp } from "../text.ts";

interface DeleteOptions {
  readonly allSnapshotsForSource?: boolean;
  readonly delete?: boolean;
  readonly unsafeIgnoreSource?: boolean;
}

export function snapshotDeleteCommand(parent: Command, session: Session): void {
  parent
    .command("delete")
    .description("Delete snapshots; without --delete only say which")
    .argument("<id...>", "ids of snapshots or of their root objects")
    .option("--all-snapshots-for-source", "the arguments are sources, all of whose snapshots go")
    .option("--delete", "do it")
    .addOption(hidden("--unsafe-ignore-source"))
    .action(async (names: readonly string[], options: DeleteOptions) => {
      const { signal } = session;
      const repository = await session.repository();
      const chosen = new Map<string, Snapshot>();
      for (const name of names) {
        const found = options.allSnapshotsForSource
          ? await snapshotsOfSource(repository, session, name)
          : await findSnapshots(repository, name, { signal });
        for (const snapshot of found) chosen.set(snapshot.id, snapshot);
      }
      const isMeant = options.delete === true || options.unsafeIgnoreSource === true;
      for (const snapshot of chosen.values()) {
        const time = formatTimestamp(snapshot.startedAtNs);
        const text = `snapshot ${snapshot.id} of ${sourceText(snapshot)} at ${time}`;
        session.say(
          isMeant ? `Deleting ${text}...` : `Would delete ${text} (pass --delete to confirm)`,
        );
      }
      if (!isMeant) return;
      await deleteAll(repository, chosen.values(), signal);
      await runDueMaintenance(session);
    });
}

async function deleteAll(
  repository: Repository,
  snapshots: Iterable<Snapshot>,
  signal: AbortSignal,
): Promise<void> {
  await using writer = await repository.openWriteSession({ signal });
  await deleteSnapshots(writer, snapshots, { signal });
  await writer.commit({ signal });
}

async function snapshotsOfSource(
  repository: Repository,
  session: Session,
  text: string,
): Promise<readonly Snapshot[]> {
  const source = await parseSourceFilter(session, text);
  const found = await listSnapshots(repository, { source, signal: session.signal });
  if (found.length === 0)
    throw new UsageError(
      `no snapshots of ${sourceText({ source: await parseSource(session, text) })}`,
    );
  return found;
}
