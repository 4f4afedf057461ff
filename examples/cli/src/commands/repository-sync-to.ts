/** `dm repository sync-to`: a copy of the repository in another storage. */
import { isDmError } from "@dm/core";
import { type BlobAmount, type SyncReport, syncRepository } from "@dm/repo";
import type { BlobStore } from "@dm/storage";
import type { Command } from "commander";
import { connectionOf } from "../connection.ts";
import { UsageError } from "../io.ts";
import { hidden } from "../options.ts";
import { Progress } from "../progress.ts";
import type { Session } from "../session.ts";
import type { StorageProvider } from "../storage/provider.ts";
import { formatBytes, parsePositive } from "../text.ts";

interface SyncCommandOptions {
  readonly update: boolean;
  readonly delete?: boolean;
  readonly dryRun?: boolean;
  readonly mustExist?: boolean;
  readonly times?: boolean;
  readonly parallel: number;
}

export function syncToCommand(
  repository: Command,
  session: Session,
  providers: readonly StorageProvider[],
): void {
  const syncTo = repository
    .command("sync-to")
    .description("Copy what is new in this repository to another place")
    .addOption(hidden("--update").default(true))
    .option("--no-update", "leave blobs alone that are there, also when they are older here")
    .option("--delete", "delete blobs there that this repository does not have")
    .option("-n, --dry-run", "only say what would be done")
    .option("--must-exist", "fail when there is no copy yet")
    .option("--times", "give the copies the times of the originals")
    .option("--parallel <count>", "blobs under way at once", parsePositive, 4);
  for (const provider of providers) {
    const to = syncTo
      .command(provider.command ?? provider.type)
      .description(`To ${provider.place}, which must exist`)
      .action(async (_options: unknown, command: Command) => {
        await syncWith(session, provider, command.optsWithGlobals<SyncCommandOptions>());
      });
    provider.withFlags(to, session);
  }
}

async function syncWith(
  session: Session,
  provider: StorageProvider,
  options: SyncCommandOptions,
): Promise<void> {
  const context = { ...session.openContext, isCreation: false };
  const connection = await connectionOf(provider, options, context);
  const source = await session.openStore(await session.config());
  const target = await session.openStorage(connection);
  try {
    await sync(session, source, target, options);
  } catch (error) {
    // What to do about it is not what main.ts says about a repository that is not there.
    if (isDmError(error, "DM_STORE_NOT_FOUND"))
      throw new UsageError(`${target.displayName} is not there; make ${provider.place} first`);
    throw error;
  } finally {
    await Promise.all([source.close(), target.close()]);
  }
}

async function sync(
  session: Session,
  source: BlobStore,
  target: BlobStore,
  options: SyncCommandOptions,
): Promise<void> {
  session.say("Synchronizing repositories:");
  session.say(`  Source:      ${source.displayName}`);
  session.say(`  Destination: ${target.displayName}`);
  if (!options.delete)
    session.say("NOTE: By default no BLOBs are deleted, pass --delete to allow it.");
  if (options.times && !target.features.setTimestamp)
    session.messages.say("the destination cannot keep modification times", "warning");
  using progress = await Progress.open(session, "blobs");
  const report = await syncRepository(source, target, {
    ...options,
    signal: session.signal,
    onProgress: ({ blobsCopied, totalBlobs }) => progress.update(blobsCopied, totalBlobs),
  });
  progress.end();
  session.say(summaryOf(session, report, options.dryRun === true));
}

function summaryOf(session: Session, report: SyncReport, isDryRun: boolean): string {
  const text = ({ blobs, bytes }: BlobAmount): string =>
    `${blobs} BLOBs (${formatBytes(session.io, bytes)})`;
  const { copied, deleted, inSync } = report;
  return isDryRun
    ? `  Found ${text(copied)} to copy, ${text(deleted)} to delete, ${text(inSync)} in sync`
    : `  Copied ${text(copied)}, deleted ${text(deleted)}, ${text(inSync)} were in sync`;
}
