/** `dm repository set-parameters`: what may change in a repository's life. */
import {
  type EpochParameters,
  formatDuration,
  type OpenedFormat,
  type Repository,
  setParameters,
  upgradeRepository,
} from "@dm/repo";
import type { Command } from "commander";
import { UsageError } from "../io.ts";
import { choice } from "../options.ts";
import type { Session } from "../session.ts";
import { formatBytes, parseCount, parseDuration } from "../text.ts";

interface ParameterOptions {
  readonly maxPackSizeMb?: number;
  readonly indexVersion?: number;
  readonly retentionMode?: "none" | "GOVERNANCE" | "COMPLIANCE";
  readonly retentionPeriod?: number;
  readonly upgrade?: boolean;
  readonly epochRefreshFrequency?: number;
  readonly epochMinDuration?: number;
  readonly epochCleanupSafetyMargin?: number;
  readonly epochAdvanceOnCount?: number;
  readonly epochAdvanceOnSizeMb?: number;
  readonly epochDeleteParallelism?: number;
  readonly epochCheckpointFrequency?: number;
}

type Changes = Parameters<typeof setParameters>[2];

export function setParametersCommand(parent: Command, session: Session): void {
  parent
    .command("set-parameters")
    .alias("set-params")
    .description("Set repository parameters")
    .option("--max-pack-size-mb <MB>", "largest pack, 10 to 120", parseCount)
    .option(
      "--index-version <version>",
      "layout of new index blobs; can only be raised",
      parseCount,
    )
    .addOption(
      choice("--retention-mode <mode>", "object lock", ["none", "GOVERNANCE", "COMPLIANCE"]),
    )
    .option("--retention-period <duration>", "time for which new blobs are locked", parseDuration)
    .option("--upgrade", "take a repository of version 1 to version 2; no other client may use it")
    .option(
      "--epoch-refresh-frequency <duration>",
      "age at which epochs are listed anew",
      parseDuration,
    )
    .option("--epoch-min-duration <duration>", "shortest epoch", parseDuration)
    .option("--epoch-cleanup-safety-margin <duration>", "age of what is cleaned up", parseDuration)
    .option("--epoch-advance-on-count <count>", "index blobs that end an epoch", parseCount)
    .option("--epoch-advance-on-size-mb <MB>", "index megabytes that end an epoch", parseCount)
    .option("--epoch-delete-parallelism <count>", "parallel deletions", parseCount)
    .option("--epoch-checkpoint-frequency <epochs>", "epochs per range compaction", parseCount)
    .action(async (options: ParameterOptions) => {
      const repository = await session.repository();
      const changes = changesOf(repository, options, session);
      const mayUpgrade = options.upgrade && !repository.format.epochParameters.enabled;
      if (!mayUpgrade && Object.keys(changes).length === 0) {
        session.say("no changes");
        return;
      }
      const { signal } = session;
      let opened: OpenedFormat = repository.openedFormat;
      try {
        if (mayUpgrade) {
          session.say("migrating current indexes to epoch format");
          opened = await upgradeRepository(repository, { signal });
        }
        if (Object.keys(changes).length > 0) {
          await setParameters(repository.store, opened, changes, { clock: session.clock, signal });
        }
      } catch (error) {
        // Values outside their limits: the message names them.
        if (error instanceof RangeError) throw new UsageError(error.message);
        throw error;
      }
      await session.forgetCachedFormat();
      session.say(
        "NOTE: Repository parameters changed. Other clients notice within 15 minutes, or when they connect again.",
      );
    });
}

function changesOf(repository: Repository, options: ParameterOptions, session: Session): Changes {
  const noted = <Value>(value: Value, name: string, text: string): Value => {
    session.say(` - setting ${name} to ${text}.`);
    return value;
  };
  const size = (megabytes: number, name: string): number =>
    noted(megabytes * 2 ** 20, name, formatBytes(session.io, megabytes * 2 ** 20));
  const changes: { -readonly [Name in keyof Changes]: Changes[Name] } = {};
  const { maxPackSizeMb, indexVersion } = options;
  if (maxPackSizeMb) changes.maxPackSizeBytes = size(maxPackSizeMb, "maximum pack size");
  if (indexVersion && indexVersion !== repository.format.indexVersion) {
    if (indexVersion !== 1 && indexVersion !== 2) throw new UsageError("--index-version is 1 or 2");
    if (indexVersion < repository.format.indexVersion) {
      throw new UsageError("--index-version cannot go back");
    }
    changes.indexVersion = noted(indexVersion, "index format version", String(indexVersion));
  }
  const retention = retentionChange(repository, options);
  if (retention !== undefined) changes.retention = retention;
  const epochs = epochChanges(options, noted, size);
  if (Object.keys(epochs).length > 0) changes.epochParameters = epochs;
  return changes;
}

function retentionChange(
  repository: Repository,
  { retentionMode: mode, retentionPeriod: periodMs }: ParameterOptions,
): Changes["retention"] {
  const current = repository.openedFormat.blobConfig.retention;
  if (mode === undefined && periodMs === undefined) return undefined;
  if (mode === "none") return current ? null : undefined;
  const next = { mode: mode ?? current?.mode, periodMs: periodMs ?? current?.periodMs };
  if (next.mode === undefined || next.periodMs === undefined) {
    throw new UsageError("--retention-mode and --retention-period go together");
  }
  return { mode: next.mode, periodMs: next.periodMs };
}

function epochChanges(
  options: ParameterOptions,
  noted: <Value>(value: Value, name: string, text: string) => Value,
  size: (megabytes: number, name: string) => number,
): Partial<EpochParameters> {
  const count = (value: number, name: string): number => noted(value, name, String(value));
  const time = (ms: number, name: string): number =>
    noted(ms, name, formatDuration(BigInt(Math.round(ms * 1e6))));
  const changes: { -readonly [Name in keyof EpochParameters]?: EpochParameters[Name] } = {};
  const {
    epochAdvanceOnCount,
    epochAdvanceOnSizeMb,
    epochCheckpointFrequency,
    epochCleanupSafetyMargin,
    epochDeleteParallelism,
    epochMinDuration,
    epochRefreshFrequency,
  } = options;
  if (epochMinDuration) {
    changes.minEpochDurationMs = time(epochMinDuration, "minimum epoch duration");
  }
  if (epochRefreshFrequency) {
    changes.epochRefreshFrequencyMs = time(epochRefreshFrequency, "epoch refresh frequency");
  }
  if (epochCleanupSafetyMargin) {
    changes.cleanupSafetyMarginMs = time(epochCleanupSafetyMargin, "epoch cleanup safety margin");
  }
  if (epochAdvanceOnCount) {
    changes.epochAdvanceOnCountThreshold = count(epochAdvanceOnCount, "epoch advance on count");
  }
  if (epochAdvanceOnSizeMb) {
    changes.epochAdvanceOnTotalSizeBytesThreshold = size(
      epochAdvanceOnSizeMb,
      "epoch advance on total size",
    );
  }
  if (epochDeleteParallelism) {
    changes.deleteParallelism = count(epochDeleteParallelism, "epoch delete parallelism");
  }
  if (epochCheckpointFrequency) {
    changes.fullCheckpointFrequency = count(
      epochCheckpointFrequency,
      "epoch range-compaction period",
    );
  }
  return changes;
}
