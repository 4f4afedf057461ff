/** `dm list` (`dm ls`): what is in a directory of a snapshot. */
import { type DirectoryEntry, formatMode, readDirectory, walkTree } from "@dm/snapshot";
import type { Command } from "commander";
import { UsageError } from "../io.ts";
import { entryAt } from "../object-path.ts";
import type { Session } from "../session.ts";
import { formatBytes, formatTimestamp } from "../text.ts";

interface ListOptions {
  readonly long?: boolean;
  readonly humanReadable?: boolean;
  readonly recursive?: boolean;
  readonly showObjectId?: boolean;
  readonly errorSummary: boolean;
}

export function listCommand(parent: Command, session: Session): void {
  parent
    .command("list")
    .alias("ls")
    .description("List a directory of a snapshot")
    .argument("<object-path>", "id of a snapshot or directory, and a path: <id>/<path>")
    .option("-l, --long", "also modes, sizes, times and object ids")
    // As kopia has it; other commands show their help for it.
    .helpOption("--help", "display help for command")
    .option("-h, --human-readable", "sizes with units")
    .option("-r, --recursive", "also what is in the directories")
    .option("-o, --show-object-id", "also object ids")
    .option("--no-error-summary", "say nothing about entries that the snapshot misses")
    .action(async (objectPath: string, options: ListOptions) => {
      const repository = await session.repository();
      const { signal } = session;
      const directory = await entryAt(repository, objectPath, signal);
      if (directory.type !== "d") throw new UsageError(`${objectPath} is not a directory`);
      const prefix = options.long ? "" : `${objectPath.replace(/\/$/, "")}/`;
      const descend = ({ depth }: { depth: number }): boolean =>
        depth === 0 || options.recursive === true;
      for await (const { depth, entry, path } of walkTree(repository, directory, {
        signal,
        descend,
      })) {
        if (depth > 0) await session.io.out(`${lineOf(session, entry, prefix + path, options)}\n`);
      }
      if (options.errorSummary) {
        const { summary } = await readDirectory(repository, directory, { signal });
        if (summary.failedCount === 0) return;
        session.say(
          `NOTE: Encountered ${summary.failedCount} errors while snapshotting this directory:`,
        );
        for (const { error, path } of summary.failures)
          session.say(`- Error in "${path}": ${error}`);
      }
    });
}

function lineOf(
  session: Session,
  entry: DirectoryEntry,
  path: string,
  options: ListOptions,
): string {
  const { summary } = entry;
  const isWhole = options.long || options.recursive;
  let name = isWhole ? `${path}${entry.type === "d" ? "/" : ""}` : entry.name;
  if (options.errorSummary && summary && summary.failedCount > 0)
    name += ` (${summary.failedCount} errors)`;
  const id = entry.objectId.padEnd(34);
  if (!options.long) return options.showObjectId ? `${id} ${name}` : name;
  // As kopia shows directories: with what is in them.
  const bytes = summary?.totalBytes ?? entry.sizeBytes;
  const size = options.humanReadable ? formatBytes(session.io, bytes) : String(bytes);
  const time = formatTimestamp(summary?.maxModifiedAtNs ?? entry.modifiedAtNs);
  return `${formatMode(entry.type, entry.mode)} ${size.padStart(12)} ${time} ${id} ${name}`;
}
