/** `dm diff`, also `dm snapshot diff`: what differs between two directories of snapshots. */
import { formatTime, type Repository } from "@dm/repo";
import {
  type ChangedAttribute,
  type Difference,
  DifferenceStatistics,
  type DirectoryEntry,
  diffTrees,
  formatMode,
  openPlace,
  shownEntry,
} from "@dm/snapshot";
import type { Command } from "commander";
import { compareFiles } from "../compare-files.ts";
import { UsageError } from "../io.ts";
import type { Session } from "../session.ts";

interface DiffOptions {
  readonly files?: boolean;
  readonly statsOnly?: boolean;
  readonly diffCommand?: string;
}

export function diffCommand(parent: Command, session: Session): void {
  parent
    .command("diff")
    .alias("compare")
    .description("Show what differs between two directories of snapshots")
    .argument("<object-path1>", "id of a snapshot or directory, and a path: <id>/<path>")
    .argument("<object-path2>", "the same, to compare with")
    .option("-f, --files", "run the diff command on each pair of files that differ")
    .option("--stats-only", "print the counts only")
    .option("--diff-command <command>", "command for --files; KOPIA_DIFF, or diff -u")
    .action(async (first: string, second: string, options: DiffOptions) => {
      const { io, signal } = session;
      const repository = await session.repository();
      const before = await directoryAt(repository, first, signal);
      const after = await directoryAt(repository, second, signal);
      const statistics = new DifferenceStatistics();
      const command = options.diffCommand || io.env["KOPIA_DIFF"] || "diff -u";
      for await (const difference of diffTrees(repository, before, after, { signal })) {
        statistics.add(difference);
        if (!options.statsOnly) for (const line of linesOf(difference)) await io.out(`${line}\n`);
        if (options.files && isOfFiles(difference))
          await io.out(await compareFiles(repository, difference, command, { signal }));
      }
      await io.out(JSON.stringify(statistics));
    });
}

async function directoryAt(
  repository: Repository,
  objectPath: string,
  signal: AbortSignal,
): Promise<DirectoryEntry> {
  const { entry, path } = await openPlace(repository, objectPath, { signal });
  if (entry.type !== "d") throw new UsageError(`${objectPath} is not a directory`);
  return path === "" ? entry : shownEntry(entry);
}

const isOfFiles = ({ after, before, isSameObject }: Difference): boolean =>
  !isSameObject && (before?.type ?? "f") === "f" && (after?.type ?? "f") === "f";

const kindOf = ({ type }: DirectoryEntry): string => (type === "d" ? "directory" : "file");

/** Lines in kopia's words; none for what has the same object, which is only counted. */
function* linesOf({ after, before, changed, isSameObject, path }: Difference): Generator<string> {
  if (isSameObject) return;
  const place = path === "" ? "." : `./${path}`;
  const only = before && after ? undefined : (before ?? after);
  if (only) {
    const size = only.type === "d" ? "" : ` (${only.sizeBytes} bytes)`;
    yield `${before ? "removed" : "added"} ${kindOf(only)} ${place}${size}`;
  }
  if (!before || !after) return;
  for (const attribute of changed) {
    const { name, of } = attributes[attribute];
    yield `${place} ${name} differ: ${of(before)} ${of(after)}`;
  }
  if (before.type === "d" && after.type !== "d")
    yield `changed ${place} from directory to non-directory`;
  if (before.type !== "d" && after.type === "d")
    yield `changed ${place} from non-directory to a directory`;
  if (before.type === "f" && after.type === "f")
    yield `changed ${place} at ${goTime(after.modifiedAtNs)} (size ${before.sizeBytes} -> ${after.sizeBytes})`;
}

const attributes: Readonly<
  Record<
    ChangedAttribute,
    { readonly name: string; readonly of: (entry: DirectoryEntry) => string }
  >
> = {
  mode: { name: "modes", of: ({ mode, type }) => formatMode(type, mode) },
  size: { name: "sizes", of: ({ sizeBytes }) => String(sizeBytes) },
  modified: { name: "modification times", of: ({ modifiedAtNs }) => goTime(modifiedAtNs) },
  uid: { name: "owner users", of: ({ uid }) => String(uid) },
  gid: { name: "owner groups", of: ({ gid }) => String(gid) },
};

/** A time as Go prints one: `2006-01-02 15:04:05.999999999 +0000 UTC`, in UTC. */
function goTime(ns: bigint): string {
  return `${formatTime(ns).replace("T", " ").replace("Z", "")} +0000 UTC`;
}
