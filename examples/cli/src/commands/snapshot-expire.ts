/** `dm snapshot expire`. */
import { compareUtf8 } from "@dm/repo";
import {
  expiredSnapshots,
  expireSnapshots,
  listSnapshots,
  type SnapshotSource,
} from "@dm/snapshot";
import type { Command } from "commander";
import { runDueMaintenance } from "../due-maintenance.ts";
import type { Session } from "../session.ts";
import { parseSource, sourceText } from "../snapshot-text.ts";

interface ExpireOptions {
  readonly all?: boolean;
  readonly delete?: boolean;
}

export function snapshotExpireCommand(parent: Command, session: Session): void {
  parent
    .command("expire")
    .description("Delete snapshots that policies do not keep; without --delete only say how many")
    .argument("[source...]", "paths of this machine, or user@host:path")
    .option("--all", "of all sources")
    .option("--delete", "do it")
    .action(async (texts: readonly string[], options: ExpireOptions) => {
      if (texts.length === 0 && !options.all)
        session.say("Nothing to look at: name sources, or pass --all.");
      await expire(session, texts, options);
      if (options.delete) await runDueMaintenance(session);
    });
}

async function expire(
  session: Session,
  texts: readonly string[],
  options: ExpireOptions,
): Promise<void> {
  const { signal } = session;
  const repository = await session.repository();
  await using writer = await repository.openWriteSession({ signal });
  const find = options.delete ? expireSnapshots : expiredSnapshots;
  const sources = await sourcesOf(session, texts, options);
  const expired = new Map<string, number>();
  for (const source of options.all ? [{}] : sources.values())
    for (const snapshot of await find(writer, source, { signal })) {
      const text = sourceText(snapshot);
      expired.set(text, (expired.get(text) ?? 0) + 1);
    }
  for (const text of [...sources.keys()].sort(compareUtf8)) {
    const count = expired.get(text) ?? 0;
    if (count === 0) session.say(`Nothing to delete for ${text}.`);
    else if (options.delete) session.say(`Deleted ${count} snapshots of ${text}...`);
    else session.say(`${count} snapshot(s) of ${text} would be deleted. Pass --delete to do it.`);
  }
  await writer.commit({ signal });
}

/** By their texts. */
async function sourcesOf(
  session: Session,
  texts: readonly string[],
  { all }: ExpireOptions,
): Promise<ReadonlyMap<string, SnapshotSource>> {
  const { signal } = session;
  const sources = all
    ? (await listSnapshots(await session.repository(), { signal })).map(({ source }) => source)
    : await Promise.all(texts.map((text) => parseSource(session, text)));
  return new Map(sources.map((source) => [sourceText({ source }), source]));
}
