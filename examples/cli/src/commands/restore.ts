/** `dm restore`, also as `dm snapshot restore`: a snapshot, or a part of one, to a directory, a file or an archive. */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { isDmError } from "@dm/core";
import type { Repository } from "@dm/repo";
import {
  type DirectoryEntry,
  type RestoreOptions,
  type RestoreProgress,
  type RestoreReport,
  volumeFile,
} from "@dm/snapshot";
import {
  type ArchiveFormat,
  archiveFormatOf,
  expandPlaceholder,
  isPlaceholder,
  restoreArchive,
  restoreTree,
  restoreVolume,
} from "@dm/snapshot/node";
import { type Command, Option } from "commander";
import { LossError, UsageError } from "../io.ts";
import { Progress } from "../progress.ts";
import { entryToRestore, parseSnapshotTime, type SnapshotTime } from "../restore-source.ts";
import type { Session } from "../session.ts";
import { formatBytes, parseCount, parsePositive } from "../text.ts";

interface RestoreCommandOptions {
  readonly overwriteDirectories: boolean;
  readonly overwriteFiles: boolean;
  readonly overwriteSymlinks: boolean;
  readonly writeSparseFiles: boolean;
  readonly mode: string;
  readonly parallel: number;
  readonly skipOwners?: boolean;
  readonly skipPermissions?: boolean;
  readonly skipTimes?: boolean;
  readonly ignorePermissionErrors: boolean;
  readonly ignoreErrors?: boolean;
  readonly skipExisting?: boolean;
  readonly resume?: boolean;
  readonly deleteExtra?: boolean;
  readonly flushFiles?: boolean;
  readonly verifyContent?: boolean;
  readonly directoryTimes: "stored" | "newest";
  readonly snapshotTime: SnapshotTime;
  readonly shallow?: number;
  readonly shallowMinsize?: number;
}

const modes = ["auto", "local", "zip", "zip-nocompress", "tar", "tgz"];

export function restoreCommand(parent: Command, session: Session): void {
  parent
    .command("restore")
    .description("Restore a directory or a file")
    .argument("<source>", "<id> or <id>/<path>, of a snapshot or an object; or a path of a machine")
    .argument(
      "[target...]",
      "directory, file or archive to restore to; none for a source that is a placeholder, or several",
    )
    .addOption(new Option("--overwrite-directories").hideHelp().default(true))
    .option("--no-overwrite-directories", "refuse directories that are there and not empty")
    .addOption(new Option("--overwrite-files").hideHelp().default(true))
    .option("--no-overwrite-files", "refuse files that are there")
    .addOption(new Option("--overwrite-symlinks").hideHelp().default(true))
    .option("--no-overwrite-symlinks", "refuse symbolic links that are there")
    .addOption(new Option("--write-sparse-files").hideHelp().default(true))
    .option(
      "--no-write-sparse-files",
      "write runs of zeros, and reserve room before the first byte",
    )
    .addOption(
      new Option("--mode <mode>", "what to write; auto goes by the target's name")
        .choices(modes)
        .default("auto"),
    )
    .option("--parallel <count>", "groups of files under way at once", parsePositive, 8)
    .option("--skip-owners", "do not restore owners")
    .option("--skip-permissions", "do not restore permissions")
    .option("--skip-times", "do not restore times")
    .addOption(new Option("--ignore-permission-errors").hideHelp().default(true))
    .option("--no-ignore-permission-errors", "owners that may not be set are losses of each file")
    .addOption(new Option("--write-files-atomically").hideHelp())
    .option("--ignore-errors", "exit code 0 although something is missing")
    .option("--skip-existing", "leave files of the same size and time, and links, as they are")
    .option("--resume", "leave files as they are that an earlier restore has finished")
    .option("--delete-extra", "delete what is in the target and not in the snapshot")
    .option("--flush-files", "flush each file to the disk")
    .option("--verify-content", "read each file again, and compare")
    .addOption(
      new Option("--directory-times <which>", "stored: their own; newest: of what is inside")
        .choices(["stored", "newest"])
        .default("stored"),
    )
    .addOption(
      new Option("--snapshot-time <time>", "of a path: latest, oldest, or before this time")
        .argParser(parseSnapshotTime)
        .default("latest"),
    )
    .option(
      "--shallow <depth>",
      "deeper entries become placeholders, NAME.kopia-entry; 0: all in the directory",
      parseCount,
    )
    .option("--shallow-minsize <bytes>", "restore files that are shorter after all", parseCount)
    .action(async (source: string, targets: string[], options: RestoreCommandOptions) => {
      const repository = await session.repository();
      if ([source, ...targets].every(isPlaceholder)) {
        for (const place of [source, ...targets])
          await fromPlaceholder(session, repository, resolve(place), options);
        return;
      }
      const [target] = targets;
      if (target === undefined || targets.length > 1)
        throw new UsageError("restore needs a source and a target, or placeholders");
      const entry = await entryToRestore(session, repository, source, options.snapshotTime);
      const path = resolve(target);
      const { mode } = options;
      const archive = mode === "auto" ? archiveFormatOf(path) : formatOf(mode);
      if (archive && options.shallow !== undefined)
        throw new UsageError("--shallow is for directories, not for archives");
      if (archive) await toArchive(session, repository, entry, path, archive, options);
      else if (await isForVolume(repository, entry, path, session.signal))
        await toVolume(session, repository, entry, path, options);
      else await toFileSystem(session, repository, entry, path, options);
    });
}

const formatOf = (mode: string): ArchiveFormat | undefined =>
  mode === "local" ? undefined : (mode as ArchiveFormat);

/** Whether to write bytes of a volume, not files: to a device anything that is one file, else what only a volume's is. */
async function isForVolume(
  repository: Repository,
  entry: DirectoryEntry,
  path: string,
  signal: AbortSignal,
): Promise<boolean> {
  const there = await stat(path).catch(() => undefined);
  if (there?.isBlockDevice()) return true;
  if (there?.isDirectory()) return false;
  if (entry.type !== "d") return entry.type === "f" && entry.name.startsWith("/");
  try {
    return (await volumeFile(repository, entry, { signal })).name.startsWith("/");
  } catch (error) {
    if (isDmError(error)) return false;
    throw error;
  }
}

const archiveNames: Readonly<Record<ArchiveFormat, string>> = {
  tar: "an uncompressed tar file",
  tgz: "a tar+gzip file",
  zip: "a zip file",
  "zip-nocompress": "a zip file",
};

async function toArchive(
  session: Session,
  repository: Repository,
  entry: DirectoryEntry,
  path: string,
  format: ArchiveFormat,
  options: RestoreCommandOptions,
): Promise<void> {
  session.say(`Restoring to ${archiveNames[format]} (${path})...`);
  using progress = await Progress.open(session, "bytes");
  const report = await restoreArchive(repository, entry, path, {
    format,
    signal: session.signal,
    onProgress: (done) => show(progress, done),
  });
  progress.end();
  tell(session, report, options.ignoreErrors === true);
}

async function toVolume(
  session: Session,
  repository: Repository,
  entry: DirectoryEntry,
  path: string,
  options: RestoreCommandOptions,
): Promise<void> {
  session.say(`Restoring to a volume (${path}) with parallelism=${options.parallel}...`);
  using progress = await Progress.open(session, "bytes");
  const restored = await restoreVolume(repository, entry, path, {
    signal: session.signal,
    parallelParts: options.parallel,
    resume: options.resume,
    onProgress: ({ doneBytes, sizeBytes, verifiedBytes }) =>
      progress.update(doneBytes + verifiedBytes, 2 * sizeBytes),
  });
  progress.end();
  const size = (bytes: number): string => formatBytes(session.io, bytes);
  for (const { code, length, reason, start } of restored.losses) {
    const text = `error: ${restored.path}: ${length} bytes at ${start}: ${reason} [${code}]`;
    session.messages.say(text, "error");
  }
  session.say(
    `Restored a volume of ${size(restored.sizeBytes)} (${size(restored.writtenBytes)} written, ${size(restored.zeroBytes)} of zeros left out), verified ${size(restored.verifiedBytes)}.`,
  );
  if (restored.ok || options.ignoreErrors) return;
  throw new LossError(`${restored.losses.length} ranges of the volume were not restored`);
}

async function toFileSystem(
  session: Session,
  repository: Repository,
  entry: DirectoryEntry,
  path: string,
  options: RestoreCommandOptions,
): Promise<void> {
  session.say(`Restoring to local filesystem (${path}) with parallelism=${options.parallel}...`);
  using progress = await Progress.open(session, "bytes");
  const report = await restoreTree(
    repository,
    entry,
    path,
    restoreOptions(session, progress, options),
  );
  progress.end();
  tell(session, report, options.ignoreErrors === true);
}

async function fromPlaceholder(
  session: Session,
  repository: Repository,
  place: string,
  options: RestoreCommandOptions,
): Promise<void> {
  session.say(`Restoring what ${place} stands for with parallelism=${options.parallel}...`);
  using progress = await Progress.open(session, "bytes");
  const report = await expandPlaceholder(
    repository,
    place,
    restoreOptions(session, progress, options),
  );
  progress.end();
  tell(session, report, options.ignoreErrors === true);
}

function restoreOptions(
  session: Session,
  progress: Progress,
  options: RestoreCommandOptions,
): RestoreOptions {
  return {
    signal: session.signal,
    overwriteDirectories: options.overwriteDirectories,
    overwriteFiles: options.overwriteFiles,
    overwriteSymlinks: options.overwriteSymlinks,
    sparse: options.writeSparseFiles,
    parallel: options.parallel,
    skipOwners: options.skipOwners,
    skipPermissions: options.skipPermissions,
    skipTimes: options.skipTimes,
    ignorePermissionErrors: options.ignorePermissionErrors,
    skipExisting: options.skipExisting,
    resume: options.resume,
    deleteExtra: options.deleteExtra,
    flush: options.flushFiles,
    verifyContent: options.verifyContent,
    directoryTimes: options.directoryTimes,
    shallowDepth: options.shallow,
    shallowMinBytes: options.shallowMinsize,
    onProgress: (done) => show(progress, done),
  };
}

function show(progress: Progress, done: RestoreProgress): void {
  const { bytesDone, skippedBytes, totalBytes } = done;
  if (totalBytes !== undefined) progress.update(bytesDone + skippedBytes, totalBytes);
}

/** What was restored, as kopia puts it, and what was not. */
function tell(session: Session, report: RestoreReport, isLossIgnored: boolean): void {
  const { losses, lossCount, notices, skippedCount } = report;
  const size = (bytes: number): string => formatBytes(session.io, bytes);
  for (const { code, path, reason } of losses)
    session.messages.say(`error: ${path === "" ? "." : path}: ${reason} [${code}]`, "error");
  if (lossCount > losses.length)
    session.messages.say(`error: and ${lossCount - losses.length} more`, "error");
  for (const notice of notices) session.messages.say(`warning: ${notice}`, "warning");
  let text = `Restored ${report.filesDone} files, ${report.directoriesDone} directories and ${report.symlinksDone} symbolic links (${size(report.bytesDone)})`;
  if (report.placeholdersDone > 0) text += `, left ${report.placeholdersDone} placeholders`;
  if (skippedCount > 0) text += `, skipped ${skippedCount} (${size(report.skippedBytes)})`;
  if (report.deletedDirectories > 0) text += `, deleted directories ${report.deletedDirectories}`;
  if (report.deletedFiles > 0) text += `, deleted files ${report.deletedFiles}`;
  if (report.deletedSymlinks > 0) text += `, deleted symbolic links ${report.deletedSymlinks}`;
  if (lossCount > 0 && isLossIgnored) text += `, ignored ${lossCount} errors`;
  session.say(`${text}.`);
  if (lossCount === 0 || isLossIgnored) return;
  throw new LossError(`${lossCount} entries were not restored as the snapshot has them`);
}
