/**
 * The first two blobs of a new repository, `kopia.blobcfg` and `kopia.repository`, and what they may say.
 * Format: docs/format/format-blob.md. Proof: test/format-store.test.ts.
 * @module
 */
import {
  type Clock,
  ConflictError,
  equalBytes,
  isDmError,
  type RandomBytes,
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
  encodeBlobConfig,
  minRetentionMs,
  retentionModes,
} from "./blob-config.ts";
import {
  encodeFormatBlob,
  type FormatEnvelope,
  formatBlobId,
  formatEncryption,
  sealBlock,
  sealFormat,
} from "./format-blob.ts";
import type { DeriveKey, OpenedFormat } from "./format-store.ts";
import {
  assertSupported,
  defaultEccAlgorithm,
  defaultEpochParameters,
  defaultFormatVersion,
  defaultMaxPackSizeBytes,
  type EpochParameters,
  type FormatVersion,
  formatProblems,
  type IndexVersion,
  noEpochParameters,
  type RepositoryFormat,
  type RequiredFeature,
} from "./repository-format.ts";

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
