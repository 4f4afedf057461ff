/** `dm history`: all versions of one path over all snapshots. */
import { formatTime } from "@dm/repo";
import { encodeEntry, formatMode, type PathVersion, pathHistory } from "@dm/snapshot";
import type { Command } from "commander";
import { LossError } from "../io.ts";
import type { Session } from "../session.ts";
import { parseSource, sourceText } from "../snapshot-text.ts";
import { formatBytes, formatTimestamp, JsonList } from "../text.ts";

interface HistoryOptions {
  readonly incomplete?: boolean;
  readonly json?: boolean;
}

export function historyCommand(parent: Command, session: Session): void {
  parent
    .command("history")
    .description("Show all versions of a file or directory over all snapshots of it")
    .argument("<path>", "a path of this machine, or user@host:path")
    .option("-i, --incomplete", "also in incomplete snapshots")
    .option("--json", "output as JSON")
    .action(async (path: string, options: HistoryOptions) => {
      const repository = await session.repository();
      const source = await parseSource(session, path);
      let unreadable = 0;
      const versions = await pathHistory(repository, source, {
        includeIncomplete: options.incomplete,
        signal: session.signal,
        onDamaged: (snapshot, error) => {
          unreadable += 1;
          const place = `${sourceText(snapshot)}@${formatTimestamp(snapshot.startedAtNs)}`;
          session.messages.say(`cannot look into ${place}: ${error.message}`, "error");
        },
        onInvalid: (_id, { message }) => {
          unreadable += 1;
          session.messages.say(message, "error");
        },
      });
      if (options.json) {
        const json = new JsonList(session.io);
        for (const version of versions) await json.add(jsonOf(version));
        await json.end();
      } else if (versions.length === 0) session.say(`No snapshot holds ${sourceText({ source })}.`);
      else {
        await session.io.out(`${sourceText({ source })}\n`);
        for (const version of versions) await session.io.out(`  ${lineOf(session, version)}\n`);
      }
      if (unreadable > 0) throw new LossError(`${unreadable} snapshots could not be looked into`);
    });
}

function lineOf(session: Session, version: PathVersion): string {
  const { entry, firstSeenAtNs, lastSeenAtNs, snapshots } = version;
  const parts = [formatTimestamp(firstSeenAtNs)];
  if (!entry) parts.push("not there");
  else {
    const { mode, modifiedAtNs, objectId, sizeBytes, summary, type } = entry;
    parts.push(objectId, formatBytes(session.io, summary?.totalBytes ?? sizeBytes));
    parts.push(formatMode(type, mode), `modified:${formatTimestamp(modifiedAtNs)}`);
  }
  if (snapshots.length > 1)
    parts.push(`in ${snapshots.length} snapshots until ${formatTimestamp(lastSeenAtNs)}`);
  return parts.join(" ");
}

function jsonOf({ entry, firstSeenAtNs, lastSeenAtNs, snapshots }: PathVersion): unknown {
  return {
    entry: entry ? JSON.parse(encodeEntry(entry)) : null,
    firstSeen: formatTime(firstSeenAtNs),
    lastSeen: formatTime(lastSeenAtNs),
    snapshots: snapshots.map(({ path, snapshot: { id, source, startedAtNs } }) => ({
      id,
      source,
      startTime: formatTime(startedAtNs),
      path,
    })),
  };
}
