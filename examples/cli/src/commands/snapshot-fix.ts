/** `dm snapshot fix`: snapshots written again without files that cannot be read, or that must not be there. */
import { availableParallelism } from "node:os";
import type { DmError } from "@dm/core";
import type { Repository } from "@dm/repo";
import {
  type InvalidEntryHandling,
  listSnapshots,
  openSnapshot,
  type RewriteEntry,
  type RewrittenSnapshot,
  rewriteSnapshots,
  type Snapshot,
  unreadableFiles,
  withoutFiles,
} from "@dm/snapshot";
import type { Command } from "commander";
import { runDueMaintenance } from "../due-maintenance.ts";
import { LossError, UsageError } from "../io.ts";
import { choice, repeatable } from "../options.ts";
import type { Session } from "../session.ts";
import { parseSource, sourceText } from "../snapshot-text.ts";
import { formatBytes, formatTimestamp, parsePositive, parseShare } from "../text.ts";

interface FixOptions {
  readonly manifestId?: readonly string[];
  readonly source?: readonly string[];
  readonly commit?: boolean;
  readonly parallel?: number;
  readonly invalidDirectoryHandling: Exclude<InvalidEntryHandling, "remove">;
}

interface InvalidFilesOptions extends FixOptions {
  readonly invalidFileHandling: InvalidEntryHandling;
  readonly verifyFilesPercent: number;
}

interface RemoveFilesOptions extends FixOptions {
  readonly objectId?: readonly string[];
  readonly filename?: readonly string[];
}

export function snapshotFixCommands(parent: Command, session: Session): void {
  const fix = parent
    .command("fix")
    .description("Commands to write snapshots again without some of their files");
  withFixFlags(fix.command("invalid-files"))
    .description(
      "Replace files and directories that cannot be read; without --commit only say which",
    )
    .addOption(
      choice("--invalid-file-handling <handling>", "what becomes of files that cannot be read", [
        "fail",
        "stub",
        "keep",
        "remove",
      ]).default("stub"),
    )
    .option("--verify-files-percent <percent>", "share of the files that is read", parseShare, 0)
    .action(async (options: InvalidFilesOptions) => {
      const repository = await session.repository();
      const readFiles = options.verifyFilesPercent / 100;
      const rewrite = await unreadableFiles(repository, { readFiles, signal: session.signal });
      await fixSnapshots(session, options, rewrite, options.invalidFileHandling);
    });
  withFixFlags(fix.command("remove-files"))
    .description("Leave files and directories out; without --commit only say which")
    .addOption(repeatable("--object-id <id>", "by their objects"))
    .addOption(repeatable("--filename <pattern>", "by their names: *, ? and [a-z] are wildcards"))
    .action(async (options: RemoveFilesOptions) => {
      const { filename = [], objectId = [] } = options;
      if (filename.length + objectId.length === 0)
        throw new UsageError("must specify files to remove: --filename or --object-id");
      await fixSnapshots(session, options, removal(filename, objectId), "stub");
    });
}

function withFixFlags(command: Command): Command {
  return command
    .addOption(repeatable("--manifest-id <id>", "these snapshots; all by default"))
    .addOption(repeatable("--source <source>", "all snapshots of a source"))
    .option("--commit", "put the new snapshots in the place of the old ones")
    .option("--parallel <count>", "entries under way at once", parsePositive)
    .addOption(
      choice(
        "--invalid-directory-handling <handling>",
        "what becomes of directories that cannot be read",
        ["fail", "stub", "keep"],
      ).default("stub"),
    );
}

function removal(names: readonly string[], objectIds: readonly string[]): RewriteEntry {
  try {
    return withoutFiles({ names, objectIds });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UsageError(error.message);
  }
}

async function fixSnapshots(
  session: Session,
  options: FixOptions,
  rewrite: RewriteEntry,
  invalidFiles: InvalidEntryHandling,
): Promise<void> {
  const { commit = false } = options;
  const repository = await session.repository();
  const unreadable = new Map<string, DmError>();
  const snapshots = await chosen(repository, session, options, unreadable);
  let processed = "";
  const rewritten = await rewriteSnapshots(repository, snapshots, {
    rewrite,
    commit,
    invalidFiles,
    invalidDirectories: options.invalidDirectoryHandling,
    parallel: options.parallel ?? availableParallelism(),
    signal: session.signal,
    onBegin: (snapshot) => {
      const text = sourceText(snapshot);
      if (text !== processed) session.say(`Processing snapshot ${text}`);
      processed = text;
    },
    onEntry: (path, error) => {
      const name = path || "the root";
      if (error)
        session.messages.say(`invalid: ${name}: ${error.message} [${error.code}]`, "warning");
      else session.say(`will remove ${name}`);
    },
    onEnd: (result) => {
      for (const line of linesOf(session, result, commit)) session.say(line);
    },
  });
  const count = rewritten.filter(({ isChanged }) => isChanged).length;
  if (count === 0) session.say("No changes.");
  else if (commit) session.say(`Fixed and committed ${count} snapshots.`);
  else session.say(`${count} snapshots would change. Pass --commit to update them.`);
  if (commit) await runDueMaintenance(session);
  if (unreadable.size > 0)
    throw new LossError(`${unreadable.size} snapshots have manifests that cannot be read`);
}

function linesOf(
  session: Session,
  { after, before, isChanged }: RewrittenSnapshot,
  commit: boolean,
): string[] {
  const time = formatTimestamp(before.startedAtNs);
  if (!isChanged) return [`  ${time} unchanged (${before.id})`];
  const { rootEntry: old } = before;
  const { rootEntry: root } = after;
  const lines = [
    commit
      ? `  ${time} replaced manifest from ${before.id} to ${after.id}`
      : `  ${time} would be replaced (${before.id})`,
    `    diff ${old?.objectId} ${root?.objectId}`,
  ];
  if (old?.summary && root?.summary) {
    const delta = root.summary.totalBytes - old.summary.totalBytes;
    const size = formatBytes(session.io, Math.abs(delta));
    if (delta !== 0) lines.push(`    delta:${delta < 0 ? "-" : "+"}${size}`);
  }
  return lines;
}

async function chosen(
  repository: Repository,
  session: Session,
  { manifestId = [], source = [] }: FixOptions,
  unreadable: Map<string, DmError>,
): Promise<Snapshot[]> {
  const { signal } = session;
  const onInvalid = (id: string, error: DmError): void => {
    unreadable.set(id, error);
    session.messages.say(`${error.message} [${error.code}]`, "warning");
  };
  const found = new Map<string, Snapshot>();
  for (const id of manifestId) found.set(id, await openSnapshot(repository, id, { signal }));
  for (const text of source) {
    session.say(`Listing snapshots of ${text}...`);
    const { path, ...rest } = await parseSource(session, text);
    const part = path === "" ? rest : { ...rest, path };
    const some = await listSnapshots(repository, { source: part, signal, onInvalid });
    if (some.length === 0) throw new UsageError(`no snapshots of ${text}`);
    for (const snapshot of some) found.set(snapshot.id, snapshot);
  }
  if (manifestId.length + source.length > 0) return [...found.values()];
  session.say("Listing all snapshots...");
  return listSnapshots(repository, { signal, onInvalid });
}
