/**
 * Opening and reloading the two blobs that a repository begins with, `kopia.repository` and `kopia.blobcfg`.
 * Making them is in create-format.ts, changing them in change-format.ts and upgrade.ts.
 * Format: docs/format/format-blob.md. Proof: test/format-store.test.ts.
 * @module
 */
import {
  type Clock,
  ConflictError,
  equalBytes,
  FormatError,
  IntegrityError,
  isDmError,
  type Logger,
  NotFoundError,
  silentLogger,
  systemClock,
  UnsupportedError,
} from "@dm/core";
import { derivePasswordKey } from "@dm/encryption";
import { type BlobStore, type CallOptions, getIfPresent } from "@dm/storage";
import { type BlobConfig, blobConfigId, decodeBlobConfig } from "./blob-config.ts";
import { formatBlobId, openBlock, openFormat, parseFormatBlob } from "./format-blob.ts";
import {
  assertFeaturesKnown,
  describeFeature,
  formatProblems,
  type RepositoryFormat,
  unknownFeatures,
} from "./repository-format.ts";
import { describeUpgradeLock, isUpgradeLocked, upgradeTimes } from "./upgrade-lock.ts";

/** A format blob that the password has opened. Holds secrets: never log it. */
export interface OpenedFormat {
  /** 32 bytes in repositories that Kopia makes, at least 16; fixed for life. */
  readonly uniqueId: Uint8Array;
  /** Name of the derivation from password to key. */
  readonly keyAlgorithm: string;
  /** The key derived from the password, 32 bytes. */
  readonly passwordKey: Uint8Array;
  readonly format: RepositoryFormat;
  readonly blobConfig: BlobConfig;
  /** Exact stored bytes of `kopia.repository`. */
  readonly formatBlob: Uint8Array;
  readonly loadedAtNs: bigint;
  /**
   * A change of the password was cut off: this program opens the repository, Kopia does not until `changePassword` or
   * `setParameters` has run (docs/decisions/0006-password-change-crash.md).
   */
  readonly passwordChangeInterrupted: boolean;
}

/** Password to key, as `derivePasswordKey` of `@dm/encryption`; for callers that keep derived keys. */
export type DeriveKey = (
  password: string,
  options: {
    readonly algorithm: string;
    readonly salt: Uint8Array;
    readonly signal?: AbortSignal | undefined;
  },
) => Promise<Uint8Array>;

/**
 * The blob configuration as it was before a password change that has not ended. Outside Kopia's name space, so no
 * client reads or locks it.
 */
export const previousBlobConfigId = "dm.blobcfg.previous";

export interface FormatReadOptions extends CallOptions {
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  /** Owner of an upgrade that this client runs; its own lock does not stop it. */
  readonly upgradeOwnerId?: string | undefined;
}

export interface OpenFormatOptions extends FormatReadOptions {
  readonly password: string;
  readonly deriveKey?: DeriveKey | undefined;
}

/**
 * Opens the format. Costs two reads and one key derivation (about 0.3 s).
 * @throws {NotFoundError} `DM_REPOSITORY_NOT_FOUND`
 * @throws {AccessError} `DM_PASSWORD_INVALID`: wrong password, or a damaged format blob
 * @throws {FormatError} `DM_FORMAT_BLOB_INVALID`, `DM_BLOB_CONFIG_INVALID`
 * @throws {IntegrityError} `DM_BLOB_CONFIG_ALTERED`
 * @throws {UnsupportedError} `DM_FORMAT_UNSUPPORTED`, `DM_FEATURE_UNSUPPORTED`, `DM_KEY_DERIVATION_UNKNOWN`
 * @throws {ConflictError} `DM_UPGRADE_IN_PROGRESS`
 * @example const opened = await openRepositoryFormat(store, { password });
 */
export async function openRepositoryFormat(
  store: BlobStore,
  options: OpenFormatOptions,
): Promise<OpenedFormat> {
  const { deriveKey = derivePasswordKey, password, signal } = options;
  const early = earlyBlobConfig(store, options);
  const formatBlob = await getFormatBlob(store, options);
  const { keyAlgorithm: algorithm, uniqueId: salt } = parseFormatBlob(formatBlob);
  let passwordKey: Uint8Array;
  try {
    passwordKey = await deriveKey(password, { algorithm, salt, signal });
  } catch (cause) {
    if (!isDmError(cause, "DM_KEY_DERIVATION_UNKNOWN")) throw cause;
    throw new UnsupportedError(
      cause.code,
      `blob ${formatBlobId}: ${cause.message}`,
      { ...cause.details, blobId: formatBlobId },
      { cause },
    );
  }
  return openWithKey(store, { formatBlob, passwordKey, early }, options);
}

/**
 * Reads the format again with the key that is known already: no key derivation. Costs two reads.
 * @throws what {@link openRepositoryFormat} throws; `DM_PASSWORD_INVALID` also after the password was changed
 * @throws {ConflictError} `DM_REPOSITORY_REPLACED` when another repository is in the store now
 */
export async function reloadFormat(
  store: BlobStore,
  opened: OpenedFormat,
  options: FormatReadOptions = {},
): Promise<OpenedFormat> {
  const early = earlyBlobConfig(store, options);
  const formatBlob = await getFormatBlob(store, options);
  const { uniqueId } = parseFormatBlob(formatBlob);
  if (!equalBytes(uniqueId, opened.uniqueId)) {
    throw new ConflictError("DM_REPOSITORY_REPLACED", "the store holds another repository now");
  }
  return openWithKey(store, { formatBlob, passwordKey: opened.passwordKey, early }, options);
}

type EarlyBlobConfig = Promise<Uint8Array | undefined>;

/** Asked for together with the format, so that both take one round trip. */
function earlyBlobConfig(store: BlobStore, { signal }: CallOptions): EarlyBlobConfig {
  const early = getIfPresent(store, blobConfigId, { signal });
  // Whoever needs it gets the failure; the format may fail before.
  early.catch(() => {});
  return early;
}

async function getFormatBlob(store: BlobStore, options: CallOptions): Promise<Uint8Array> {
  try {
    return await store.get(formatBlobId, { signal: options.signal });
  } catch (cause) {
    if (!isDmError(cause, "DM_BLOB_NOT_FOUND")) throw cause;
    throw new NotFoundError(
      "DM_REPOSITORY_NOT_FOUND",
      `${store.displayName} holds no repository: blob ${formatBlobId} is missing`,
      { blobId: formatBlobId },
      { cause },
    );
  }
}

interface ReadWithKey {
  readonly formatBlob: Uint8Array;
  readonly passwordKey: Uint8Array;
  readonly early: EarlyBlobConfig;
}

async function openWithKey(
  store: BlobStore,
  { early, formatBlob, passwordKey }: ReadWithKey,
  options: FormatReadOptions,
): Promise<OpenedFormat> {
  const { clock = systemClock, logger = silentLogger } = options;
  const envelope = parseFormatBlob(formatBlob);
  const { keyAlgorithm, uniqueId } = envelope;
  const format = openFormat(envelope, passwordKey);
  const problems = formatProblems(format);
  if (problems.length > 0) {
    throw new FormatError(
      "DM_FORMAT_BLOB_INVALID",
      `blob ${formatBlobId} holds impossible parameters: ${problems.join("; ")}`,
      { blobId: formatBlobId, problems },
    );
  }
  assertFeaturesKnown(format);
  for (const feature of unknownFeatures(format).warnings) {
    logger.warn("Repository uses a feature that is unknown here", {
      feature: describeFeature(feature),
    });
  }
  const nowNs = clock.nowNs();
  assertNotLocked(format, nowNs, options.upgradeOwnerId);
  const config = await readBlobConfig(store, { passwordKey, uniqueId }, early, options.signal);
  return { uniqueId, keyAlgorithm, passwordKey, format, formatBlob, loadedAtNs: nowNs, ...config };
}

/** @throws {ConflictError} `DM_UPGRADE_IN_PROGRESS` when another client's upgrade keeps this one out */
export function assertNotLocked(
  format: RepositoryFormat,
  nowNs: bigint,
  upgradeOwnerId: string | undefined,
): void {
  const lock = format.upgradeLock;
  if (!lock || lock.ownerId === upgradeOwnerId || !isUpgradeLocked(lock, nowNs)) return;
  const { drainedAtNs, lockedAtNs } = upgradeTimes(lock);
  throw new ConflictError("DM_UPGRADE_IN_PROGRESS", describeUpgradeLock(lock), {
    blobId: formatBlobId,
    ownerId: lock.ownerId,
    createdAtNs: lock.creationTimeNs,
    lockedAtNs,
    drainedAtNs,
  });
}

interface StoredBlobConfig {
  readonly blobConfig: BlobConfig;
  readonly passwordChangeInterrupted: boolean;
}

interface BlockKeys {
  readonly passwordKey: Uint8Array;
  readonly uniqueId: Uint8Array;
}

async function readBlobConfig(
  store: BlobStore,
  keys: BlockKeys,
  early: EarlyBlobConfig,
  signal: AbortSignal | undefined,
): Promise<StoredBlobConfig> {
  const earlyBlock = await early;
  const earlyPlaintext = earlyBlock && openBlock(earlyBlock, keys);
  if (earlyPlaintext)
    return { blobConfig: decodeBlobConfig(earlyPlaintext), passwordChangeInterrupted: false };
  // It is stored before the format: what was read before the format may be older than that.
  const block = await getIfPresent(store, blobConfigId, { signal });
  // Repositories of old clients have none.
  if (!block) return { blobConfig: {}, passwordChangeInterrupted: false };
  const plaintext = openBlock(block, keys);
  if (plaintext)
    return { blobConfig: decodeBlobConfig(plaintext), passwordChangeInterrupted: false };
  // A password change that was cut off leaves the configuration under the new key and the format under the old one.
  const previous = await getIfPresent(store, previousBlobConfigId, { signal });
  const previousPlaintext = previous && openBlock(previous, keys);
  if (previousPlaintext) {
    return { blobConfig: decodeBlobConfig(previousPlaintext), passwordChangeInterrupted: true };
  }
  throw new IntegrityError(
    "DM_BLOB_CONFIG_ALTERED",
    `blob ${blobConfigId} (${block.length} bytes) does not open with the key that opens ${formatBlobId}: it is damaged`,
    { blobId: blobConfigId, length: block.length },
  );
}
