/**
 * Opens the repository of a namespace as Velero does, or makes it: formats, owner and cycles of maintenance, and Velero's mark.
 * Format: docs/format/velero.md. Proof: test/velero-repository.test.ts, test/velero-backup.kopia.test.ts.
 * @module
 */
import {
  type Clock,
  ConflictError,
  equalBytes,
  isDmError,
  type Logger,
  nsPerMs,
  systemClock,
} from "@dm/core";
import {
  blobConfigId,
  createRepositoryFormat,
  type DeriveKey,
  formatBlobId,
  type NewFormatSettings,
  openRepository,
  type Repository,
  type RepositoryCaches,
} from "@dm/repo";
import { type BlobStore, type CallOptions, forward } from "@dm/storage";
import { veleroHost, veleroUser } from "./velero.ts";
import { type SetUpVeleroOptions, setUpVeleroRepository } from "./velero-repository.ts";

/** The password that every Velero gives its repositories unless somebody changes it. */
export const veleroDefaultPassword = "static-passw0rd";

/** Name and key of the secret with the password of all repositories. */
export const veleroPasswordSecret: Readonly<{ name: string; key: string }> = Object.freeze({
  name: "velero-repo-credentials",
  key: "repository-password",
});

export interface OpenVeleroOptions extends CallOptions {
  /** White space around it does not count. */
  readonly password: string;
  readonly readOnly?: boolean | undefined;
  readonly caches?: RepositoryCaches | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  readonly deriveKey?: DeriveKey | undefined;
}

/** As of {@link openVeleroRepository}, and what a new repository is like. */
export interface CreateVeleroOptions
  extends OpenVeleroOptions,
    Pick<SetUpVeleroOptions, "fullMaintenanceInterval"> {
  /** Algorithms in place of Kopia's defaults. */
  readonly format?: Pick<NewFormatSettings, "hash" | "encryption" | "splitter"> | undefined;
  /** False: where there is no repository, none is made. */
  readonly create?: boolean | undefined;
}

/**
 * Connects as `default@default`. The store is closed with the repository.
 * @throws {NotFoundError} `DM_REPOSITORY_NOT_FOUND`
 * @throws {AccessError} `DM_PASSWORD_INVALID`
 */
export function openVeleroRepository(
  store: BlobStore,
  options: OpenVeleroOptions,
): Promise<Repository> {
  return openRepository(store, clientOf(options));
}

/**
 * Connects, and makes the repository where there is none: in an empty store only. What a creator that was killed has left is
 * finished: the owner of maintenance, the mark. Of several creators at once one makes it, and the others connect to that one.
 * @throws {ConflictError} `DM_STORE_NOT_EMPTY` for a store with anything else in it; `DM_VELERO_REPOSITORY_UNFINISHED` while
 * another creator seems to be at work
 * @throws {UnsupportedError} `DM_FORMAT_UNSUPPORTED` for an unknown algorithm, listing the known ones
 * @throws {FormatError} `DM_VELERO_REPOSITORY_INVALID` when the mark belongs to another repository
 * @example
 * const repository = await connectOrCreateVeleroRepository(store, { password, format: { hash: "BLAKE3-256" } });
 */
export async function connectOrCreateVeleroRepository(
  store: BlobStore,
  options: CreateVeleroOptions,
): Promise<Repository> {
  const { fullMaintenanceInterval, signal } = options;
  const repository =
    options.create === false
      ? await openVeleroRepository(store, options)
      : ((await openIfPresent(store, options)) ?? (await create(store, options)));
  if (!repository.readOnly)
    await setUpVeleroRepository(repository, { fullMaintenanceInterval, signal });
  return repository;
}

async function openIfPresent(
  store: BlobStore,
  options: OpenVeleroOptions,
): Promise<Repository | undefined> {
  try {
    return await openVeleroRepository(store, options);
  } catch (error) {
    if (isDmError(error, "DM_REPOSITORY_NOT_FOUND") || isDmError(error, "DM_STORE_NOT_FOUND"))
      return undefined;
    throw error;
  }
}

/** How long a lone first blob may be the work of a creator that is still alive. */
const unfinishedMs = 5 * 60_000;
/** How often, and how long apart, the winner's second blob is looked for. */
const looks = 20;
const lookEveryMs = 250;

async function create(store: BlobStore, options: CreateVeleroOptions): Promise<Repository> {
  try {
    return await createHere(store, options);
  } catch (error) {
    const isRace =
      isDmError(error, "DM_REPOSITORY_EXISTS") || isDmError(error, "DM_STORE_NOT_EMPTY");
    if (!isRace) throw error;
    const theirs = await awaitWinner(store, options);
    if (theirs !== undefined) return theirs;
    if (!(await isLeftover(store, options))) throw error;
  }
  // Without its second blob nothing was ever written with it, and nobody can read what it says.
  await store.delete(blobConfigId, { signal: options.signal });
  return createHere(store, options);
}

async function createHere(store: BlobStore, options: CreateVeleroOptions): Promise<Repository> {
  const { clock, deriveKey, format, signal } = options;
  const password = passwordOf(options);
  const making = { password, format, clock, deriveKey, signal };
  const { uniqueId } = await createRepositoryFormat(store, making).catch((error: unknown) => {
    if (!store.features.ifAbsent || !isDmError(error, "DM_STORE_OPTION_UNSUPPORTED")) throw error;
    // A server that does not know the condition: then the lease of the controller is all that keeps creators apart.
    const features = { ...store.features, ifAbsent: false };
    return createRepositoryFormat({ ...forward(store), features }, making);
  });
  // Opened from what the store has now: where two could put the same blob, the later one counts for both.
  const repository = await openVeleroRepository(store, options);
  if (!equalBytes(repository.uniqueId, uniqueId))
    options.logger?.info("Connected to the repository of another creator", {});
  return repository;
}

async function awaitWinner(
  store: BlobStore,
  options: CreateVeleroOptions,
): Promise<Repository | undefined> {
  const { clock = systemClock, signal } = options;
  if (!(await onlyHolds(store, new Set([blobConfigId, formatBlobId]), options)))
    return openIfPresent(store, options);
  for (let look = 0; look < looks; look++) {
    const repository = await openIfPresent(store, options);
    if (repository !== undefined) return repository;
    await clock.sleep(lookEveryMs, { signal });
  }
  return undefined;
}

/** @throws {ConflictError} `DM_VELERO_REPOSITORY_UNFINISHED` */
async function isLeftover(store: BlobStore, options: CreateVeleroOptions): Promise<boolean> {
  const { clock = systemClock, signal } = options;
  if (!(await onlyHolds(store, new Set([blobConfigId]), options))) return false;
  const { timestampNs } = await store.stat(blobConfigId, { signal });
  if (clock.nowNs() - timestampNs >= BigInt(unfinishedMs) * nsPerMs) return true;
  throw new ConflictError(
    "DM_VELERO_REPOSITORY_UNFINISHED",
    "a repository is being made there, or its creator was cut off: try again in a few minutes",
    { blobId: blobConfigId },
  );
}

async function onlyHolds(
  store: BlobStore,
  ids: ReadonlySet<string>,
  { signal }: CallOptions,
): Promise<boolean> {
  let count = 0;
  for await (const { id } of store.list("", { signal })) {
    if (!ids.has(id)) return false;
    count++;
  }
  return count > 0;
}

function clientOf(options: OpenVeleroOptions) {
  const { caches, clock, deriveKey, logger, readOnly, signal } = options;
  const client = { username: veleroUser, hostname: veleroHost };
  return {
    ...client,
    password: passwordOf(options),
    caches,
    clock,
    deriveKey,
    logger,
    readOnly,
    signal,
  };
}

const passwordOf = ({ password }: OpenVeleroOptions): string => password.trim();
