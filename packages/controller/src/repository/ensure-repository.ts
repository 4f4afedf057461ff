/**
 * Finds the BackupRepository of a namespace and location, or makes it, and waits until it is Ready: whoever moves data needs
 * one first.
 * Proof: test/repository/ensure-repository.test.ts.
 * @module
 */
import { type Clock, ConflictError, isDmError, nsPerMs, StorageError, systemClock } from "@dm/core";
import {
  type BackupRepository,
  type BackupRepositoryKey,
  backupRepositories,
  backupRepositoryLabels,
  newBackupRepository,
} from "@dm/crds";
import type { KubeClient } from "../runtime/kube-client.ts";

export interface EnsureRepositoryOptions extends BackupRepositoryKey {
  /** Of the operator. */
  readonly namespace: string;
  /** How long it may take to become Ready; 10 minutes by default. */
  readonly resourceTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

const firstPollMs = 500;
const longestPollMs = 4_000;
const defaultResourceTimeoutMs = 10 * 60_000;

/**
 * @throws {ConflictError} `DM_BACKUP_REPOSITORY_AMBIGUOUS` when several have the same labels
 * @throws {StorageError} `DM_BACKUP_REPOSITORY_NOT_READY` at once when it is NotReady, or when the time is over
 */
export async function ensureRepository(
  client: Pick<KubeClient, "create" | "list">,
  options: EnsureRepositoryOptions,
): Promise<BackupRepository> {
  const { clock = systemClock, resourceTimeoutMs = defaultResourceTimeoutMs, signal } = options;
  const startedAtNs = clock.nowNs();
  for (let pollMs = firstPollMs; ; pollMs = Math.min(pollMs * 1.5, longestPollMs)) {
    signal?.throwIfAborted();
    const repository = (await findRepository(client, options)) ?? (await create(client, options));
    const { message = "", phase } = repository?.status ?? {};
    if (repository !== undefined && phase === "Ready") return repository;
    if (phase === "NotReady")
      throw notReady(`errored early: backup repository is not ready: ${message}`);
    if (clock.nowNs() - startedAtNs >= BigInt(resourceTimeoutMs) * nsPerMs)
      throw notReady("timeout exceeded: backup repository not provisioned");
    await clock.sleep(pollMs, { signal });
  }
}

/** By its labels: Velero up to 1.15 gave it a random name. */
export async function findRepository(
  client: Pick<KubeClient, "list">,
  options: EnsureRepositoryOptions,
): Promise<BackupRepository | undefined> {
  const { backupStorageLocation, namespace, signal, volumeNamespace } = options;
  const labelSelector = Object.entries(backupRepositoryLabels(options))
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
  const { items } = await client.list(backupRepositories, { namespace, labelSelector, signal });
  const [repository, ...others] = items.filter(({ metadata }) => !metadata.deletionTimestamp);
  if (others.length === 0) return repository;
  throw new ConflictError(
    "DM_BACKUP_REPOSITORY_AMBIGUOUS",
    `more than one BackupRepository found for workload namespace "${volumeNamespace}", backup storage location ` +
      `"${backupStorageLocation}", repository type "${options.repositoryType ?? "kopia"}"`,
  );
}

async function create(
  client: Pick<KubeClient, "create">,
  options: EnsureRepositoryOptions,
): Promise<BackupRepository | undefined> {
  try {
    return await client.create(backupRepositories, newBackupRepository(options), {
      signal: options.signal,
    });
  } catch (error) {
    if (!isDmError(error, "DM_KUBE_ALREADY_EXISTS")) throw error;
    return undefined;
  }
}

function notReady(reason: string): StorageError {
  return new StorageError(
    "DM_BACKUP_REPOSITORY_NOT_READY",
    `failed to wait BackupRepository, ${reason}`,
  );
}
