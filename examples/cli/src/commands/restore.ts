/** `dm restore`, also as `dm snapshot restore`: a snapshot, or a part of one, to a directory, a file or an archive. */
import { resolve } from "node:path";
import { openPlace, type RestoreReport } from "@dm/snapshot";
import { restoreTree } from "@dm/snapshot/node";
import { type Command, Option } from "commander";
import { LossError } from "../io.ts";
import { Progress } from "../progress.ts";
import type { Session } from "../session.ts";
import { formatBytes, parsePositive } from "../text.ts";

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
}

const modes = ["auto", "local", "zip", "zip-nocompress", "tar", "tgz"];

export function restoreCommand(parent: Command, session: Session): void {
  parent
    .command("restore")
    .description("Restore a directory or a file")
    .argument("<source>", "id of a snapshot or an object, and a path: <id>/<path>")
    .argument("<target>", "directory, file or archive to restore to")
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
    .action(async (source: string, target: string, options: RestoreCommandOptions) => {
      const repository = await session.repository();
      const { signal } = session;
      const { entry } = await openPlace(repository, source, { signal });
      const path = resolve(target);
      session.say(
        `Restoring to local filesystem (${path}) with parallelism=${options.parallel}...`,
      );
      using progress = await Progress.open(session, "bytes");
      const report = await restoreTree(repository, entry, path, {
        signal,
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
        onProgress: ({ bytesDone, skippedBytes, totalBytes }) => {
          if (totalBytes !== undefined) progress.update(bytesDone + skippedBytes, totalBytes);
        },
      });
      progress.end();
      tell(session, report, options.ignoreErrors === true);
    });
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
  if (skippedCount > 0) text += `, skipped ${skippedCount} (${size(report.skippedBytes)})`;
  if (report.deletedDirectories > 0) text += `, deleted directories ${report.deletedDirectories}`;
  if (report.deletedFiles > 0) text += `, deleted files ${report.deletedFiles}`;
  if (report.deletedSymlinks > 0) text += `, deleted symbolic links ${report.deletedSymlinks}`;
  if (lossCount > 0 && isLossIgnored) text += `, ignored ${lossCount} errors`;
  session.say(`${text}.`);
  if (lossCount === 0 || isLossIgnored) return;
  throw new LossError(`${lossCount} entries were not restored as the snapshot has them`);
}
