/** `dm repository upgrade begin|rollback`: to the newest format, with a lock that keeps other clients out meanwhile. */
import { type DmError, isDmError } from "@dm/core";
import {
  beginUpgradeLock,
  finishRepositoryUpgrade,
  type OpenedFormat,
  rollbackUpgrade,
  setParameters,
} from "@dm/repo";
import type { BlobStore } from "@dm/storage";
import type { Command } from "commander";
import { UsageError } from "../io.ts";
import { hidden } from "../options.ts";
import type { ConnectedConfig, Session } from "../session.ts";
import { parseDuration } from "../text.ts";

const minuteMs = 60_000;
const shortestDrainMs = 15 * minuteMs;

interface BeginOptions {
  readonly ioDrainTimeout: number;
  readonly statusPollInterval: number;
  readonly maxPermittedClockDrift: number;
  readonly allowUnsafeUpgrade?: boolean;
  readonly lockOnly?: boolean;
}

export function upgradeCommand(parent: Command, session: Session): void {
  const upgrade = parent.command("upgrade").description("Upgrade the format of the repository");
  upgrade
    .command("begin")
    .description("Lock the repository, wait until all clients have left it, upgrade, unlock")
    .option(
      "--io-drain-timeout <duration>",
      "longest time for which clients may go on",
      parseDuration,
      shortestDrainMs,
    )
    .option("--status-poll-interval <duration>", "time between looks", parseDuration, minuteMs)
    .option(
      "--max-permitted-clock-drift <duration>",
      "between clients and store",
      parseDuration,
      5 * minuteMs,
    )
    .addOption(hidden("--allow-unsafe-upgrade"))
    .addOption(hidden("--lock-only"))
    .action((options: BeginOptions) =>
      withFormat(session, { anybodys: false }, (place) => begin(session, place, options)),
    );
  upgrade
    .command("rollback")
    .description("Take an upgrade that is under way back")
    .option("--force", "whoever has begun it")
    .action((options: { readonly force?: boolean }) => {
      if (!options.force) {
        throw new UsageError(
          "an upgrade can only be taken back while nobody works on it; say so with --force",
        );
      }
      return withFormat(session, { anybodys: true }, (place) => rollback(session, place));
    });
}

interface Opened {
  readonly store: BlobStore;
  readonly config: ConnectedConfig;
  readonly opened: OpenedFormat;
}

async function withFormat(
  session: Session,
  { anybodys }: { readonly anybodys: boolean },
  run: (place: Opened) => Promise<void>,
): Promise<void> {
  const config = await session.config();
  const store = await session.openStore(config);
  try {
    await run({ store, config, opened: await openAsOwner(session, store, config, anybodys) });
    await session.forgetCachedFormat();
  } finally {
    await store.close();
  }
}

/** Opens past our own lock; with `anybodys`, past the one that is there. */
async function openAsOwner(
  session: Session,
  store: BlobStore,
  config: ConnectedConfig,
  anybodys: boolean,
): Promise<OpenedFormat> {
  try {
    return await session.openFormat(store, { upgradeOwnerId: ownerOf(session, config) });
  } catch (error) {
    if (!anybodys || !isDmError(error, "DM_UPGRADE_IN_PROGRESS")) throw error;
    const owner = (error as DmError).details["ownerId"];
    return session.openFormat(store, { upgradeOwnerId: String(owner) });
  }
}

function ownerOf(session: Session, { hostname, username }: ConnectedConfig): string {
  const byDefault = `${username}-${hostname}`.toLowerCase().replace(/[^a-z0-9._-]/g, "_");
  return session.upgradeOwnerId ?? byDefault;
}

async function begin(session: Session, place: Opened, options: BeginOptions): Promise<void> {
  const { config, store } = place;
  const { clock, signal } = session;
  if (options.ioDrainTimeout < shortestDrainMs && !options.allowUnsafeUpgrade) {
    throw new UsageError(
      "--io-drain-timeout must be at least 15m: clients keep the format that long",
    );
  }
  const { format } = place.opened;
  if (!format.upgradeLock && format.version === 2 && format.epochParameters.enabled) {
    // Both versions work alike; nobody has to be kept out.
    await setParameters(store, place.opened, { version: 3 }, { clock, signal });
    session.say("Repository has been successfully upgraded.");
    return;
  }
  const ownerId = ownerOf(session, config);
  let opened: OpenedFormat;
  try {
    opened = await beginUpgradeLock(store, place.opened, {
      ownerId,
      clock,
      signal,
      ioDrainTimeoutMs: options.ioDrainTimeout,
      statusPollIntervalMs: options.statusPollInterval,
      maxPermittedClockDriftMs: options.maxPermittedClockDrift,
      message: `Upgrading from format version ${format.version} -> 3`,
    });
  } catch (error) {
    if (!isDmError(error, "DM_UPGRADE_NOT_NEEDED")) throw error;
    session.say("Repository format is already up to date.");
    return;
  }
  session.say(`The repository is locked for everybody but ${ownerId}.`);
  if (options.lockOnly) return;
  await finishWhenDrained(session, { ...place, opened }, ownerId, options.statusPollInterval);
  session.say("Repository has been successfully upgraded.");
}

async function finishWhenDrained(
  session: Session,
  { config, opened, store }: Opened,
  ownerId: string,
  pollMs: number,
): Promise<void> {
  const { clock, signal } = session;
  const repository = await session.repositoryOf(store, opened, config, ownerId);
  for (;;) {
    try {
      await finishRepositoryUpgrade(repository, { ownerId, signal });
      return;
    } catch (error) {
      if (!isDmError(error, "DM_UPGRADE_NOT_DRAINED")) throw error;
      const leftNs = (error as DmError).details["drainedAtNs"] as bigint;
      const leftMs = Number((leftNs - clock.nowNs()) / 1_000_000n);
      session.say(`Waiting for ${Math.ceil(leftMs / 1000)}s until all clients have left ...`);
      await clock.sleep(Math.max(10, Math.min(pollMs, leftMs + 10)), { signal });
    }
  }
}

async function rollback(session: Session, { opened, store }: Opened): Promise<void> {
  await rollbackUpgrade(store, opened, { clock: session.clock, signal: session.signal });
  session.say("Repository upgrade lock has been revoked.");
}
