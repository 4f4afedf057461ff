/**
 * Changing the password and the mutable parameters of a repository. `kopia.blobcfg` is stored before
 * `kopia.repository`; a change of the password also survives being cut off between the two.
 * Format: docs/format/format-blob.md; why in this order: docs/decisions/0006-password-change-crash.md.
 * Proof: test/format-change.test.ts.
 * @module
 */
import {
  AccessError,
  type Clock,
  ConflictError,
  equalBytes,
  type RandomBytes,
  systemClock,
  systemRandomBytes,
  UnsupportedError,
} from "@dm/core";
import { derivePasswordKey } from "@dm/encryption";
import type { BlobStore, CallOptions, Retention } from "@dm/storage";
import { type BlobConfig, blobConfigId, encodeBlobConfig } from "./blob-config.ts";
import { assertParameters, assertRetentionPossible, lockOptions } from "./create-format.ts";
import {
  encodeFormatBlob,
  formatBlobId,
  parseFormatBlob,
  sealBlock,
  sealFormat,
} from "./format-blob.ts";
import { type DeriveKey, type OpenedFormat, previousBlobConfigId } from "./format-store.ts";
import {
  assertSupported,
  type EpochParameters,
  type FormatVersion,
  type IndexVersion,
  type RepositoryFormat,
  type RequiredFeature,
} from "./repository-format.ts";
import { describeUpgradeLock } from "./upgrade-lock.ts";

export interface ChangeFormatOptions extends CallOptions {
  readonly clock?: Clock | undefined;
  readonly randomBytes?: RandomBytes | undefined;
}

export interface ChangePasswordOptions extends ChangeFormatOptions {
  readonly newPassword: string;
  readonly deriveKey?: DeriveKey | undefined;
}

/** What may change in a repository's life. What is absent stays. */
export interface ParameterChanges {
  readonly maxPackSizeBytes?: number | undefined;
  /** Can only be raised. */
  readonly indexVersion?: IndexVersion | undefined;
  /** From 2 to 3; a repository of version 1 needs an upgrade. */
  readonly version?: FormatVersion | undefined;
  /** Of a repository with epochs; to switch them on takes an upgrade. */
  readonly epochParameters?: Partial<EpochParameters> | undefined;
  /** `null` ends the locking of new blobs. */
  readonly retention?: Retention | null | undefined;
  /** All of them, not only new ones. */
  readonly requiredFeatures?: readonly RequiredFeature[] | undefined;
}

const nonceLength = 12;

/**
 * Encrypts the format with a new password; contents stay as they are. Costs one key derivation and up to five calls of
 * the store. Cut off anywhere, the repository opens with the old password or with the new one. Other clients that hold
 * the format in their cache go on for up to 15 minutes.
 * @returns the format opened with the new password
 * @throws {UnsupportedError} `DM_PASSWORD_CHANGE_UNSUPPORTED` for repositories made as version 1
 * @throws {ConflictError} `DM_FORMAT_CHANGED` when another client was first, `DM_UPGRADE_IN_PROGRESS`
 * @example opened = await changePassword(store, opened, { newPassword });
 */
export async function changePassword(
  store: BlobStore,
  opened: OpenedFormat,
  options: ChangePasswordOptions,
): Promise<OpenedFormat> {
  const { deriveKey = derivePasswordKey, newPassword, signal } = options;
  if (!opened.format.enablePasswordChange) {
    throw new UnsupportedError(
      "DM_PASSWORD_CHANGE_UNSUPPORTED",
      "the repository was made as version 1: its keys hang on the password, which cannot change",
    );
  }
  if (newPassword === "") throw new RangeError("a repository needs a password");
  assertNoUpgrade(opened);
  await assertChangeable(store, opened, signal);
  const { keyAlgorithm, uniqueId } = opened;
  const passwordKey = await deriveKey(newPassword, {
    algorithm: keyAlgorithm,
    salt: uniqueId,
    signal,
  });
  const changed: OpenedFormat = { ...opened, passwordKey };
  const isCareful = !(await removeEmptyConfig(store, opened, signal));
  if (isCareful) {
    await store.put(previousBlobConfigId, sealConfig(opened, options), { signal });
    await putConfig(store, changed, options);
  }
  const result = await putFormat(store, changed, options);
  if (isCareful) await removePreviousConfig(store, signal);
  else await putConfig(store, changed, options);
  return result;
}

/**
 * Removes a configuration that says nothing. For every client a missing one says the same, so that there is no moment
 * at which format and configuration are under different keys.
 */
async function removeEmptyConfig(
  store: BlobStore,
  opened: OpenedFormat,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (encodeBlobConfig(opened.blobConfig).length > "{}".length) return false;
  try {
    await store.delete(blobConfigId, { signal });
    return true;
  } catch (error) {
    if (error instanceof AccessError) return false;
    throw error;
  }
}

async function removePreviousConfig(
  store: BlobStore,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await store.delete(previousBlobConfigId, { signal });
  } catch (error) {
    // It opens with the old password only and is read only when the current one does not open: it may stay.
    if (!(error instanceof AccessError)) throw error;
  }
}

/**
 * Changes parameters. Without any change it stores both blobs anew, which mends an interrupted change of the password.
 * @throws {RangeError} for values outside their limits, and for changes that only an upgrade can make
 * @throws {UnsupportedError} `DM_FORMAT_UNSUPPORTED`, `DM_STORE_OPTION_UNSUPPORTED` for retention
 * @throws {ConflictError} `DM_FORMAT_CHANGED`, `DM_UPGRADE_IN_PROGRESS`
 * @example opened = await setParameters(store, opened, { maxPackSizeBytes: 40 << 20 });
 */
export async function setParameters(
  store: BlobStore,
  opened: OpenedFormat,
  changes: ParameterChanges,
  options: ChangeFormatOptions = {},
): Promise<OpenedFormat> {
  const format = applyChanges(opened.format, changes);
  const { retention } = changes;
  const blobConfig: BlobConfig =
    retention === undefined
      ? opened.blobConfig
      : { ...opened.blobConfig, retention: retention ?? undefined };
  if (retention) assertRetentionPossible(store, blobConfig);
  assertNoUpgrade(opened);
  await assertChangeable(store, opened, options.signal);
  const result = await storeFormat(store, { ...opened, format, blobConfig }, options);
  if (opened.passwordChangeInterrupted) await removePreviousConfig(store, options.signal);
  return result;
}

function applyChanges(format: RepositoryFormat, changes: ParameterChanges): RepositoryFormat {
  const version = changes.version ?? format.version;
  const indexVersion = changes.indexVersion ?? format.indexVersion;
  const { epochParameters } = changes;
  if (version < format.version || indexVersion < format.indexVersion) {
    throw new RangeError("versions can only be raised");
  }
  if (version !== format.version && !format.epochParameters.enabled) {
    throw new RangeError(`raising version ${format.version} takes an upgrade`);
  }
  if (epochParameters && !format.epochParameters.enabled) {
    throw new RangeError("the repository has no epochs; to switch them on takes an upgrade");
  }
  if (epochParameters?.enabled === false) throw new RangeError("epochs cannot be switched off");
  const changed: RepositoryFormat = {
    ...format,
    version,
    indexVersion,
    maxPackSizeBytes: changes.maxPackSizeBytes ?? format.maxPackSizeBytes,
    epochParameters: { ...format.epochParameters, ...epochParameters },
    requiredFeatures: changes.requiredFeatures ?? format.requiredFeatures,
  };
  assertSupported(changed);
  assertParameters(changed);
  return changed;
}

/** A change made now would be lost when the upgrade is taken back. */
function assertNoUpgrade({ format }: OpenedFormat): void {
  const lock = format.upgradeLock;
  if (!lock) return;
  throw new ConflictError("DM_UPGRADE_IN_PROGRESS", describeUpgradeLock(lock), {
    ownerId: lock.ownerId,
  });
}

/**
 * Refuses to change what is not current any more. The store has no compare-and-swap, so that two changes within the same
 * moment are not told apart: whoever administers a repository does so from one place.
 * @throws {ConflictError} `DM_FORMAT_CHANGED`
 * @throws {AccessError} `DM_STORE_READ_ONLY`
 */
export async function assertChangeable(
  store: BlobStore,
  opened: OpenedFormat,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (store.readOnly) {
    throw new AccessError("DM_STORE_READ_ONLY", `${store.displayName} is open for reading only`);
  }
  if (!equalBytes(await store.get(formatBlobId, { signal }), opened.formatBlob)) {
    throw new ConflictError(
      "DM_FORMAT_CHANGED",
      `blob ${formatBlobId} was changed by another client since it was opened: open the repository again`,
      { blobId: formatBlobId },
    );
  }
}

/** Puts both blobs, the configuration first; answers `next` as it is stored. */
export async function storeFormat(
  store: BlobStore,
  next: OpenedFormat,
  options: ChangeFormatOptions,
): Promise<OpenedFormat> {
  await putConfig(store, next, options);
  return putFormat(store, next, options);
}

async function putConfig(
  store: BlobStore,
  opened: OpenedFormat,
  options: ChangeFormatOptions,
): Promise<void> {
  const put = { ...lockOptions(opened.blobConfig), signal: options.signal };
  await store.put(blobConfigId, sealConfig(opened, options), put);
}

function sealConfig(opened: OpenedFormat, options: ChangeFormatOptions): Uint8Array {
  const { randomBytes = systemRandomBytes } = options;
  const { passwordKey, uniqueId } = opened;
  const nonce = randomBytes(nonceLength);
  return sealBlock(encodeBlobConfig(opened.blobConfig), { passwordKey, uniqueId, nonce });
}

async function putFormat(
  store: BlobStore,
  next: OpenedFormat,
  options: ChangeFormatOptions,
): Promise<OpenedFormat> {
  const { clock = systemClock, randomBytes = systemRandomBytes, signal } = options;
  const { blobConfig, format, passwordKey } = next;
  const envelope = sealFormat(parseFormatBlob(next.formatBlob), format, {
    passwordKey,
    nonce: randomBytes(nonceLength),
  });
  const formatBlob = encodeFormatBlob(envelope);
  await store.put(formatBlobId, formatBlob, { ...lockOptions(blobConfig), signal });
  return { ...next, formatBlob, loadedAtNs: clock.nowNs(), passwordChangeInterrupted: false };
}
