/**
 * The part of an upgrade that needs the index: all active `n` blobs become one `xn0_…` set.
 * Format: docs/format/epochs.md. Proof: test/upgrade.test.ts, test/interop-together.kopia.test.ts.
 * @module
 */
import type { CallOptions } from "@dm/storage";
import type { OpenedFormat } from "./format/format-store.ts";
import { defaultEpochParameters } from "./format/repository-format.ts";
import { commitUpgrade, upgradeWithoutLock } from "./format/upgrade.ts";
import { EpochManager } from "./index-manager/epoch-manager.ts";
import { mergeIndexBlobs } from "./maintenance/merge-indexes.ts";
import type { Repository } from "./repository.ts";

/** Writes the merged index of a repository without epochs where an epoch manager looks for it; answers the blob ids. */
async function migrateIndexes(repository: Repository, options: CallOptions): Promise<string[]> {
  const { clock, crypter, randomBytes, unguardedStore: store } = repository;
  const { blobIds } = await repository.indexManager.active({ signal: options.signal, fresh: true });
  if (blobIds.length === 0) return [];
  const indexes = await mergeIndexBlobs(repository, blobIds, options);
  const epochs = new EpochManager({
    store,
    crypter,
    clock,
    randomBytes,
    parameters: defaultEpochParameters,
  });
  return epochs.writeCompaction("xn0_", indexes, options);
}

/**
 * Takes a repository of version 1 to version 2 at once; only while no other client uses it. Open it anew afterwards.
 * Errors as `upgradeWithoutLock`.
 */
export async function upgradeRepository(
  repository: Repository,
  options: CallOptions = {},
): Promise<OpenedFormat> {
  return upgradeWithoutLock(repository.unguardedStore, repository.openedFormat, {
    clock: repository.clock,
    randomBytes: repository.randomBytes,
    signal: options.signal,
    migrateIndexes: async () => {
      await migrateIndexes(repository, options);
    },
  });
}

/**
 * Ends an upgrade that `beginUpgradeLock` began, once its drain time is over. Open the repository anew afterwards.
 * Errors as `commitUpgrade`.
 */
export async function finishRepositoryUpgrade(
  repository: Repository,
  options: CallOptions & { readonly ownerId: string },
): Promise<OpenedFormat> {
  return commitUpgrade(repository.unguardedStore, repository.openedFormat, {
    ownerId: options.ownerId,
    clock: repository.clock,
    randomBytes: repository.randomBytes,
    signal: options.signal,
    migrateIndexes: async () => {
      await migrateIndexes(repository, options);
    },
  });
}
