/**
 * Creating, opening and reloading the two blobs that a repository begins with, `kopia.repository` and `kopia.blobcfg`.
 * Changing them is in change-format.ts and upgrade.ts.
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
  type RandomBytes,
  silentLogger,
  systemClock,
  systemRandomBytes,
  UnsupportedError,
} from "@dm/core";
import {
  defaultEncryptionAlgorithm,
  defaultKeyDerivationAlgorithm,
  derivePasswordKey,
} from "@dm/encryption";
import { defaultHashAlgorithm } from "@dm/hashing";
import { defaultSplitterAlgorithm, splitterAlgorithms } from "@dm/splitter";
import type { BlobStore, CallOptions, PutOptions, Retention } from "@dm/storage";
import {
  type BlobConfig,
  blobConfigId,
  decodeBlobConfig,
  encodeBlobConfig,
  minRetentionMs,
  retentionModes,
} from "./blob-config.ts";
import {
  encodeFormatBlob,
  type FormatEnvelope,
  formatBlobId,
  formatEncryption,
  openBlock,
  openFormat,
  parseFormatBlob,
  sealBlock,
  sealFormat,
} from "./format-blob.ts";
import {
  assertFeaturesKnown,
  assertSupported,
  defaultEccAlgorithm,
  defaultEpochParameters,
  defaultFormatVersion,
  defaultMaxPackSizeBytes,
  describeFeature,
  type EpochParameters,
  type FormatVersion,
  formatProblems,
  type IndexVersion,
  noEpochParameters,
  type RepositoryFormat,
  type RequiredFeature,
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

/** Everything has the default of a new Kopia repository. */
export interface NewFormatSettings {
  readonly hash?: string | undefined;
  readonly encryption?: string | undefined;
  readonly splitter?: string | undefined;
  readonly version?: FormatVersion | undefined;
  /** By default the one error correction there is, when a percentage is given. */
  readonly ecc?: string | undefined;
  /** 1 to 100, or 0 for none. Version 1 has none. */
  readonly eccOverheadPercent?: number | undefined;
  readonly maxPackSizeBytes?: number | undefined;
  /** 1 for version 1, else 2. */
  readonly indexVersion?: IndexVersion | undefined;
  /** Over the defaults; version 1 has no epochs. */
  readonly epochParameters?: Partial<EpochParameters> | undefined;
  readonly requiredFeatures?: readonly RequiredFeature[] | undefined;
  /** 32 random bytes by default. */
  readonly secret?: Uint8Array | undefined;
  /** 32 random bytes by default. */
  readonly masterKey?: Uint8Array | undefined;
}

export interface CreateFormatOptions extends CallOptions {
  readonly password: string;
  readonly format?: NewFormatSettings | undefined;
  /** Object lock for the repository's blobs, at least 24 hours; the store must be capable of it. */
  readonly retention?: Retention | undefined;
  readonly keyAlgorithm?: string | undefined;
  /** 32 random bytes by default, at least 16. */
  readonly uniqueId?: Uint8Array | undefined;
  readonly randomBytes?: RandomBytes | undefined;
  readonly clock?: Clock | undefined;
  readonly deriveKey?: DeriveKey | undefined;
  /** Accept a store that holds other blobs; off by default. */
  readonly allowNonEmpty?: boolean | undefined;
  /** Recorded in the blob for people. */
  readonly tool?:
    | { readonly name: string; readonly version: string; readonly build: string }
    | undefined;
}

const keyLength = 32;
const nonceLength = 12;
const minUniqueIdLength = 16;
const defaultTool = { name: "@dm/repo", version: "", build: "" };

/**
 * Makes an empty repository: puts `kopia.blobcfg`, then `kopia.repository`. Costs a listing and one key derivation.
 * Where the store can refuse to replace a blob, exactly one of several racing creators succeeds.
 * @throws {ConflictError} `DM_REPOSITORY_EXISTS`, `DM_STORE_NOT_EMPTY`
 * @throws {UnsupportedError} `DM_FORMAT_UNSUPPORTED` for unknown names, `DM_STORE_OPTION_UNSUPPORTED` for retention
 * @throws {RangeError} for parameters outside their limits
 * @example const opened = await createRepositoryFormat(store, { password, format: { hash: "BLAKE3-256" } });
 */
export async function createRepositoryFormat(
  store: BlobStore,
  options: CreateFormatOptions,
): Promise<OpenedFormat> {
  const { clock = systemClock, deriveKey = derivePasswordKey, password, signal } = options;
  const { randomBytes = systemRandomBytes, tool = defaultTool } = options;
  if (password === "") throw new RangeError("a repository needs a password");
  const format = newFormat(options.format ?? {}, randomBytes);
  const blobConfig: BlobConfig = options.retention ? { retention: options.retention } : {};
  assertRetentionPossible(store, blobConfig);
  const uniqueId = options.uniqueId?.slice() ?? randomBytes(keyLength);
  if (uniqueId.length < minUniqueIdLength) {
    throw new RangeError(
      `the unique id has ${uniqueId.length} bytes, at least ${minUniqueIdLength} are needed`,
    );
  }
  await assertUnused(store, options);

  const keyAlgorithm = options.keyAlgorithm || defaultKeyDerivationAlgorithm;
  const passwordKey = await deriveKey(password, {
    algorithm: keyAlgorithm,
    salt: uniqueId,
    signal,
  });
  const envelope: Omit<FormatEnvelope, "encryptedBlock"> = {
    tool: tool.name,
    buildVersion: tool.version,
    buildInfo: tool.build,
    uniqueId,
    keyAlgorithm,
    encryption: formatEncryption,
  };
  const keys = { passwordKey, uniqueId };
  const configBlob = sealBlock(encodeBlobConfig(blobConfig), {
    ...keys,
    nonce: randomBytes(nonceLength),
  });
  const formatBlob = encodeFormatBlob(
    sealFormat(envelope, format, { passwordKey, nonce: randomBytes(nonceLength) }),
  );
  const put = { ...lockOptions(blobConfig), signal };
  await putNew(store, blobConfigId, configBlob, put);
  await putNew(store, formatBlobId, formatBlob, put);
  return {
    uniqueId,
    keyAlgorithm,
    passwordKey,
    format,
    blobConfig,
    formatBlob,
    loadedAtNs: clock.nowNs(),
    passwordChangeInterrupted: false,
  };
}

/**
 * The format of a new repository, every default filled in.
 * @throws {UnsupportedError} `DM_FORMAT_UNSUPPORTED`
 * @throws {RangeError}
 */
export function newFormat(
  settings: NewFormatSettings,
  randomBytes: RandomBytes = systemRandomBytes,
): RepositoryFormat {
  const version = settings.version ?? defaultFormatVersion;
  const isVersion1 = version === 1;
  const percent = isVersion1 ? 0 : (settings.eccOverheadPercent ?? 0);
  if (isVersion1 && settings.epochParameters?.enabled) {
    throw new RangeError("a repository of version 1 has no epochs");
  }
  const format: RepositoryFormat = {
    hash: settings.hash ?? defaultHashAlgorithm,
    encryption: settings.encryption ?? defaultEncryptionAlgorithm,
    ecc: percent === 0 ? "" : settings.ecc || defaultEccAlgorithm,
    eccOverheadPercent: percent,
    secret: settings.secret?.slice() ?? randomBytes(keyLength),
    masterKey: settings.masterKey?.slice() ?? randomBytes(keyLength),
    version,
    maxPackSizeBytes: settings.maxPackSizeBytes || defaultMaxPackSizeBytes,
    indexVersion: settings.indexVersion ?? (isVersion1 ? 1 : 2),
    epochParameters: isVersion1
      ? noEpochParameters
      : { ...defaultEpochParameters, ...settings.epochParameters },
    enablePasswordChange: !isVersion1,
    splitter: settings.splitter ?? defaultSplitterAlgorithm,
    requiredFeatures: settings.requiredFeatures ?? [],
  };
  assertSupported(format);
  if (!Object.hasOwn(splitterAlgorithms, format.splitter)) {
    const known = Object.keys(splitterAlgorithms);
    throw new UnsupportedError(
      "DM_FORMAT_UNSUPPORTED",
      `splitter ${JSON.stringify(format.splitter)} is unknown, known here: ${known.join(", ")}`,
      { member: "splitter", value: format.splitter, known },
    );
  }
  assertParameters(format);
  return format;
}

/** @throws {RangeError} for parameters outside their limits */
export function assertParameters(format: RepositoryFormat): void {
  const problems = formatProblems(format);
  if (problems.length > 0) throw new RangeError(`repository format: ${problems.join("; ")}`);
}

/**
 * Refuses a retention that is too short, of an unknown mode, or beyond the store.
 * @throws {RangeError}
 * @throws {UnsupportedError} `DM_STORE_OPTION_UNSUPPORTED`
 */
export function assertRetentionPossible(store: BlobStore, { retention }: BlobConfig): void {
  if (!retention) return;
  if (!retentionModes.includes(retention.mode)) {
    throw new RangeError(
      `retention mode must be one of ${retentionModes.join(", ")}, not ${retention.mode}`,
    );
  }
  if (!(retention.periodMs >= minRetentionMs)) {
    throw new RangeError(`retention of ${retention.periodMs} ms is shorter than 24 hours`);
  }
  if (!store.features.retention) {
    throw new UnsupportedError(
      "DM_STORE_OPTION_UNSUPPORTED",
      `${store.displayName} cannot lock blobs for a time`,
      { option: "retention", store: store.type },
    );
  }
}

async function assertUnused(store: BlobStore, options: CreateFormatOptions): Promise<void> {
  const { allowNonEmpty = false, signal } = options;
  if (await exists(store, formatBlobId, signal)) throw repositoryExists(formatBlobId);
  if (await exists(store, blobConfigId, signal)) throw repositoryExists(blobConfigId);
  if (allowNonEmpty) return;
  for await (const { id } of store.list("", { signal })) {
    throw new ConflictError(
      "DM_STORE_NOT_EMPTY",
      `${store.displayName} holds blobs already, such as ${id}: a repository begins in an empty store`,
      { blobId: id },
    );
  }
}

function repositoryExists(blobId: string): ConflictError {
  const reason =
    blobId === formatBlobId
      ? "the store holds a repository already"
      : `the store holds blob ${blobConfigId} without ${formatBlobId}: a creation was cut off, or the format blob was ` +
        `lost. Delete ${blobConfigId} only if nothing else is in the store`;
  return new ConflictError("DM_REPOSITORY_EXISTS", reason, { blobId });
}

async function exists(
  store: BlobStore,
  id: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    await store.stat(id, { signal });
    return true;
  } catch (error) {
    if (isDmError(error, "DM_BLOB_NOT_FOUND")) return false;
    throw error;
  }
}

async function putNew(
  store: BlobStore,
  id: string,
  data: Uint8Array,
  options: PutOptions,
): Promise<void> {
  if (!store.features.ifAbsent) return store.put(id, data, options);
  try {
    await store.put(id, data, { ...options, ifAbsent: true });
  } catch (error) {
    if (!isDmError(error, "DM_BLOB_EXISTS")) throw error;
    // A retried put meets its own first attempt; the random nonce makes equal bytes a proof.
    if (!equalBytes(await store.get(id, { signal: options.signal }), data))
      throw repositoryExists(id);
  }
}

/** Options of a put of the format blobs: they are locked as the rest of the repository is. */
export function lockOptions({ retention }: BlobConfig): Pick<PutOptions, "retention"> {
  return retention ? { retention } : {};
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
  return openWithKey(store, formatBlob, passwordKey, options);
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
  const formatBlob = await getFormatBlob(store, options);
  const { uniqueId } = parseFormatBlob(formatBlob);
  if (!equalBytes(uniqueId, opened.uniqueId)) {
    throw new ConflictError("DM_REPOSITORY_REPLACED", "the store holds another repository now");
  }
  return openWithKey(store, formatBlob, opened.passwordKey, options);
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

async function openWithKey(
  store: BlobStore,
  formatBlob: Uint8Array,
  passwordKey: Uint8Array,
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
  const config = await readBlobConfig(store, { passwordKey, uniqueId }, options.signal);
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
  signal: AbortSignal | undefined,
): Promise<StoredBlobConfig> {
  const block = await getIfPresent(store, blobConfigId, signal);
  // Repositories of old clients have none.
  if (!block) return { blobConfig: {}, passwordChangeInterrupted: false };
  const plaintext = openBlock(block, keys);
  if (plaintext)
    return { blobConfig: decodeBlobConfig(plaintext), passwordChangeInterrupted: false };
  // A password change that was cut off leaves the configuration under the new key and the format under the old one.
  const previous = await getIfPresent(store, previousBlobConfigId, signal);
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

async function getIfPresent(
  store: BlobStore,
  id: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  try {
    return await store.get(id, { signal });
  } catch (error) {
    if (isDmError(error, "DM_BLOB_NOT_FOUND")) return undefined;
    throw error;
  }
}
