/**
 * Upgrades from version 1: with a lock that drains all clients (to version 3), or at once (to version 2). Merging the
 * index blobs is the caller's, given as a callback. Every step can be repeated after a crash.
 * Format: docs/format/format-blob.md. Proof: test/format-upgrade.test.ts.
 * @module
 */
import {
  type Clock,
  ConflictError,
  equalBytes,
  NotFoundError,
  systemClock,
  utf8Encode,
} from "@dm/core";
import type { BlobMetadata, BlobStore, CallOptions } from "@dm/storage";
import { assertChangeable, type ChangeFormatOptions, storeFormat } from "./change-format.ts";
import { lockOptions } from "./create-format.ts";
import { formatBlobId, openFormat, parseFormatBlob } from "./format-blob.ts";
import { type OpenedFormat, reloadFormat } from "./format-store.ts";
import { defaultEpochParameters, type RepositoryFormat } from "./repository-format.ts";
import {
  describeUpgradeLock,
  isUpgradeDrained,
  type UpgradeLock,
  upgradeTimes,
} from "./upgrade-lock.ts";

const formatBackupPrefix = "kopia.repository.backup.";

/** An index blob that no client can decrypt: clients of version 1 that look for their indexes stop at it. */
export const poisonBlobId =
  "n00000000000000000000000000000000-repository_unreadable_by_this_kopia_version_upgrade_required";

/** Not all of `x`: other programs may keep blobs of their own. */
const epochBlobPrefixes = ["xe", "xn", "xr", "xs", "xw"];

const poisonText =
  "This repository was upgraded. A client that reads this blob is too old for it.\n";

export interface BeginUpgradeOptions extends ChangeFormatOptions {
  /** Who upgrades; becomes part of a blob id, so only `[a-z0-9._-]`. */
  readonly ownerId: string;
  /** How long clients may go on; 0 by default, which locks at once. */
  readonly advanceNoticeDurationMs?: number | undefined;
  /** 15 minutes by default, which is how long a client may keep the format in its cache. */
  readonly ioDrainTimeoutMs?: number | undefined;
  /** One minute by default. */
  readonly statusPollIntervalMs?: number | undefined;
  /** 5 minutes by default. */
  readonly maxPermittedClockDriftMs?: number | undefined;
  /** Shown to whoever is kept out. */
  readonly message?: string | undefined;
}

export interface CommitUpgradeOptions extends ChangeFormatOptions {
  readonly ownerId: string;
  /**
   * Merges all active `n` blobs into `xn0_…` blobs. Called at most once; after a crash called again, with the former
   * attempt's blobs removed.
   */
  readonly migrateIndexes: () => Promise<void>;
}

export interface RollbackUpgradeOptions extends CallOptions {
  readonly clock?: Clock | undefined;
  /** Also when no upgrade is under way. Contents written since an upgrade ended are lost to the index. */
  readonly force?: boolean | undefined;
}

const minuteMs = 60_000;
const upgradeDefaults = {
  advanceNoticeDurationMs: 0,
  ioDrainTimeoutMs: 15 * minuteMs,
  statusPollIntervalMs: minuteMs,
  maxPermittedClockDriftMs: 5 * minuteMs,
  message: "Upgrading to a newer format version",
} as const;

/**
 * Keeps a copy of the format blob, then stores the lock and version 3. Nobody but the owner may touch the store once
 * the notice is over. Repeated by its owner it changes nothing.
 * @throws {ConflictError} `DM_UPGRADE_NOT_NEEDED`, `DM_UPGRADE_IN_PROGRESS` of another owner, `DM_FORMAT_CHANGED`
 */
export async function beginUpgradeLock(
  store: BlobStore,
  opened: OpenedFormat,
  options: BeginUpgradeOptions,
): Promise<OpenedFormat> {
  const { clock = systemClock, ownerId, signal } = options;
  if (!/^[a-z0-9._-]+$/.test(ownerId)) {
    throw new RangeError(
      `owner ${JSON.stringify(ownerId)} must consist of a-z, 0-9, dot, underscore and dash`,
    );
  }
  const { format } = opened;
  if (format.upgradeLock) {
    assertOwner(format.upgradeLock, ownerId);
    return opened;
  }
  if (format.version === 3) {
    throw new ConflictError("DM_UPGRADE_NOT_NEEDED", "the repository has version 3 already");
  }
  await assertChangeable(store, opened, signal);
  const backup = formatBackupPrefix + ownerId;
  await store.put(backup, opened.formatBlob, { ...lockOptions(opened.blobConfig), signal });
  const upgradeLock: UpgradeLock = {
    ownerId,
    creationTimeNs: clock.nowNs(),
    advanceNoticeDurationMs:
      options.advanceNoticeDurationMs ?? upgradeDefaults.advanceNoticeDurationMs,
    ioDrainTimeoutMs: options.ioDrainTimeoutMs ?? upgradeDefaults.ioDrainTimeoutMs,
    statusPollIntervalMs: options.statusPollIntervalMs ?? upgradeDefaults.statusPollIntervalMs,
    message: options.message ?? upgradeDefaults.message,
    maxPermittedClockDriftMs:
      options.maxPermittedClockDriftMs ?? upgradeDefaults.maxPermittedClockDriftMs,
  };
  return storeFormat(store, { ...opened, format: { ...format, version: 3, upgradeLock } }, options);
}

/**
 * Ends a locked upgrade once all clients are drained: merges the indexes, switches epochs on, warns old clients, unlocks.
 * @throws {ConflictError} `DM_UPGRADE_NOT_DRAINED` when it is too early (details say until when), `DM_UPGRADE_NOT_IN_PROGRESS`,
 *   `DM_UPGRADE_IN_PROGRESS` of another owner
 */
export async function commitUpgrade(
  store: BlobStore,
  opened: OpenedFormat,
  options: CommitUpgradeOptions,
): Promise<OpenedFormat> {
  const { clock = systemClock, ownerId, signal } = options;
  const lock = opened.format.upgradeLock;
  if (!lock) throw notInProgress();
  assertOwner(lock, ownerId);
  if (!isUpgradeDrained(lock, clock.nowNs())) {
    const { drainedAtNs } = upgradeTimes(lock);
    throw new ConflictError("DM_UPGRADE_NOT_DRAINED", `too early: ${describeUpgradeLock(lock)}`, {
      ownerId: lock.ownerId,
      drainedAtNs,
    });
  }
  await assertChangeable(store, opened, signal);
  const migrated = await migrate(store, opened, opened.format.version, options);
  await putPoison(store, migrated, signal);
  const { upgradeLock: _ended, ...format } = migrated.format;
  return storeFormat(store, { ...migrated, format }, options);
}

/**
 * Takes a repository of version 1 to version 2 without a lock: only while no other client uses it.
 * @throws {ConflictError} `DM_UPGRADE_NOT_NEEDED`, `DM_UPGRADE_IN_PROGRESS`, `DM_FORMAT_CHANGED`
 */
export async function upgradeWithoutLock(
  store: BlobStore,
  opened: OpenedFormat,
  options: Omit<CommitUpgradeOptions, "ownerId">,
): Promise<OpenedFormat> {
  const { format } = opened;
  const { signal } = options;
  if (format.upgradeLock) {
    throw new ConflictError("DM_UPGRADE_IN_PROGRESS", describeUpgradeLock(format.upgradeLock));
  }
  if (format.enablePasswordChange) {
    throw new ConflictError(
      "DM_UPGRADE_NOT_NEEDED",
      `the repository was made as version ${format.version}`,
    );
  }
  await assertChangeable(store, opened, signal);
  const migrated = await migrate(store, opened, 2, options);
  // Also when only this was left to do.
  await putPoison(store, migrated, signal);
  return migrated;
}

/** Indexes first, then the parameters that make clients look for them. Does nothing when epochs are on. */
async function migrate(
  store: BlobStore,
  opened: OpenedFormat,
  version: RepositoryFormat["version"],
  options: Omit<CommitUpgradeOptions, "ownerId">,
): Promise<OpenedFormat> {
  if (opened.format.epochParameters.enabled) return opened;
  // What an earlier attempt left behind would bring back contents that were deleted since.
  for (const prefix of epochBlobPrefixes) await deleteAll(store, prefix, options.signal);
  await options.migrateIndexes();
  const format: RepositoryFormat = {
    ...opened.format,
    version,
    indexVersion: 2,
    epochParameters: defaultEpochParameters,
  };
  return storeFormat(store, { ...opened, format }, options);
}

async function putPoison(
  store: BlobStore,
  opened: OpenedFormat,
  signal: AbortSignal | undefined,
): Promise<void> {
  // Only repositories that began as version 1 have clients that read `n` blobs.
  if (opened.format.enablePasswordChange) return;
  await store.put(poisonBlobId, utf8Encode(poisonText), {
    ...lockOptions(opened.blobConfig),
    signal,
  });
}

async function deleteAll(
  store: BlobStore,
  prefix: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const doomed: string[] = [];
  for await (const { id } of store.list(prefix, { signal })) doomed.push(id);
  for (const id of doomed) await store.delete(id, { signal });
}

/**
 * Takes an upgrade that is under way back: the format blob is as it was before. Open with the owner's id in
 * `upgradeOwnerId` to get past the lock; that a different person does so is the caller's decision.
 * @throws {ConflictError} `DM_UPGRADE_NOT_IN_PROGRESS`, unless forced; `DM_FORMAT_CHANGED`
 * @throws {NotFoundError} `DM_UPGRADE_BACKUP_NOT_FOUND`
 */
export async function rollbackUpgrade(
  store: BlobStore,
  opened: OpenedFormat,
  options: RollbackUpgradeOptions = {},
): Promise<OpenedFormat> {
  const { force = false, signal } = options;
  const lock = opened.format.upgradeLock;
  if (!lock && !force) throw notInProgress();
  await assertChangeable(store, opened, signal);
  const backups: BlobMetadata[] = [];
  for await (const blob of store.list(formatBackupPrefix, { signal })) backups.push(blob);
  const chosen =
    backups.find(({ id }) => id === formatBackupPrefix + lock?.ownerId) ?? oldest(backups);
  if (!chosen) {
    throw new NotFoundError(
      "DM_UPGRADE_BACKUP_NOT_FOUND",
      `no blob ${formatBackupPrefix}… to go back to`,
    );
  }
  const backup = await store.get(chosen.id, { signal });
  const envelope = parseFormatBlob(backup, chosen.id);
  if (!equalBytes(envelope.uniqueId, opened.uniqueId)) {
    throw new ConflictError(
      "DM_REPOSITORY_REPLACED",
      `blob ${chosen.id} belongs to another repository`,
    );
  }
  openFormat(envelope, opened.passwordKey, chosen.id);
  await store.delete(poisonBlobId, { signal });
  await store.put(formatBlobId, backup, { ...lockOptions(opened.blobConfig), signal });
  // The format blob holds the same bytes now; a copy left here would be what a later rollback goes back to.
  for (const { id } of backups) await store.delete(id, { signal });
  return reloadFormat(store, opened, { ...options, upgradeOwnerId: lock?.ownerId });
}

function oldest(backups: readonly BlobMetadata[]): BlobMetadata | undefined {
  return backups.toSorted((a, b) => (a.timestampNs < b.timestampNs ? -1 : 1))[0];
}

function assertOwner(lock: UpgradeLock, ownerId: string): void {
  if (lock.ownerId === ownerId) return;
  throw new ConflictError("DM_UPGRADE_IN_PROGRESS", describeUpgradeLock(lock), {
    ownerId: lock.ownerId,
  });
}

function notInProgress(): ConflictError {
  return new ConflictError(
    "DM_UPGRADE_NOT_IN_PROGRESS",
    "no upgrade of the repository is under way",
  );
}
