/**
 * What a repository's format blob decides: algorithms, keys and parameters, with the limits that hold for them.
 * Format: docs/format/format-blob.md. Proof: test/format-blob.test.ts, test/format-store.test.ts.
 * @module
 */
import { UnsupportedError } from "@dm/core";
import { encryptionAlgorithms } from "@dm/encryption";
import { hashAlgorithms } from "@dm/hashing";
import type { RawMembers } from "./raw-members.ts";
import type { UpgradeLock } from "./upgrade-lock.ts";

/** How index blobs are written, compacted and cleaned up in epochs. */
export interface EpochParameters {
  readonly enabled: boolean;
  /** Age at which a client lists the epochs anew. */
  readonly epochRefreshFrequencyMs: number;
  /** Settled epochs that one range checkpoint covers. */
  readonly fullCheckpointFrequency: number;
  /** Age of a compacted index before what it replaces is deleted. */
  readonly cleanupSafetyMarginMs: number;
  readonly minEpochDurationMs: number;
  /** Index blobs that end an epoch. */
  readonly epochAdvanceOnCountThreshold: number;
  /** Index bytes that end an epoch. */
  readonly epochAdvanceOnTotalSizeBytesThreshold: number;
  readonly deleteParallelism: number;
  /** Members that this program does not know, kept for the next write. */
  readonly unknownMembers?: RawMembers | undefined;
}

/** What a client needs to understand in order to use the repository. */
export interface RequiredFeature {
  readonly feature: string;
  readonly ifNotUnderstood: {
    /** Only warn, instead of refusing. */
    readonly warn: boolean;
    readonly message: string;
    readonly url: string;
    readonly upgradeToVersion: string;
    readonly unknownMembers?: RawMembers | undefined;
  };
  readonly unknownMembers?: RawMembers | undefined;
}

export type FormatVersion = 1 | 2 | 3;
export type IndexVersion = 1 | 2;

/** The decrypted format blob. Holds the repository's secrets: never log it. */
export interface RepositoryFormat {
  readonly hash: string;
  readonly encryption: string;
  /** Name of the error correction; empty when there is none. */
  readonly ecc: string;
  /** 0 without error correction, else 1 to 100. */
  readonly eccOverheadPercent: number;
  /** Key of the content hash. */
  readonly secret: Uint8Array;
  readonly masterKey: Uint8Array;
  readonly version: FormatVersion;
  readonly maxPackSizeBytes: number;
  /** Layout of new index blobs; 2 also means that contents are compressed at content level. */
  readonly indexVersion: IndexVersion;
  readonly epochParameters: EpochParameters;
  /** False for repositories made as version 1: keys hang on the password and packs carry a copy of the format blob. */
  readonly enablePasswordChange: boolean;
  readonly splitter: string;
  readonly upgradeLock?: UpgradeLock | undefined;
  readonly requiredFeatures: readonly RequiredFeature[];
  /** Members of the format object that this program does not know, kept for the next write. */
  readonly unknownMembers?: RawMembers | undefined;
  /** Unknown members beside the format object. */
  readonly unknownSiblings?: RawMembers | undefined;
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const mebibyte = 1 << 20;

/** Parameters of new repositories of versions 2 and 3. */
export const defaultEpochParameters: EpochParameters = {
  enabled: true,
  epochRefreshFrequencyMs: 20 * minuteMs,
  fullCheckpointFrequency: 7,
  cleanupSafetyMarginMs: 4 * hourMs,
  minEpochDurationMs: 24 * hourMs,
  epochAdvanceOnCountThreshold: 20,
  epochAdvanceOnTotalSizeBytesThreshold: 10 * mebibyte,
  deleteParallelism: 4,
};

/** What a version 1 repository stores: no epochs, everything zero. */
export const noEpochParameters: EpochParameters = {
  enabled: false,
  epochRefreshFrequencyMs: 0,
  fullCheckpointFrequency: 0,
  cleanupSafetyMarginMs: 0,
  minEpochDurationMs: 0,
  epochAdvanceOnCountThreshold: 0,
  epochAdvanceOnTotalSizeBytesThreshold: 0,
  deleteParallelism: 0,
};

const formatVersions: readonly FormatVersion[] = [1, 2, 3];
const indexVersions: readonly IndexVersion[] = [1, 2];
export const defaultFormatVersion: FormatVersion = 3;
export const defaultMaxPackSizeBytes = 20 * mebibyte;
const minPackSizeBytes = 10 * mebibyte;
export const maxPackSizeBytes = 120 * mebibyte;
/** The only error correction of the format. */
export const defaultEccAlgorithm = "REED-SOLOMON-CRC32";
const eccAlgorithmNames: readonly string[] = [defaultEccAlgorithm];
/** Names of `requiredFeatures` that this program understands. */
const knownFeatures: readonly string[] = ["index-v1", "index-v2"];

/** What is wrong with epoch parameters, one sentence each; nothing is checked while epochs are off. */
export function epochParameterProblems(parameters: EpochParameters): string[] {
  if (!parameters.enabled) return [];
  const problems: string[] = [];
  const refreshMs = parameters.epochRefreshFrequencyMs;
  if (!(refreshMs > 0)) problems.push("EpochRefreshFrequency must be above 0");
  if (!(parameters.minEpochDurationMs >= 10 * minuteMs)) {
    problems.push("MinEpochDuration must be at least 10 minutes");
  }
  if (!(refreshMs * 3 <= parameters.minEpochDurationMs)) {
    problems.push("three times EpochRefreshFrequency must not exceed MinEpochDuration");
  }
  if (!(parameters.cleanupSafetyMarginMs >= refreshMs * 3)) {
    problems.push("CleanupSafetyMargin must be at least three times EpochRefreshFrequency");
  }
  if (!(parameters.fullCheckpointFrequency > 0)) {
    problems.push("FullCheckpointFrequency must be above 0");
  }
  if (!(parameters.epochAdvanceOnCountThreshold >= 10)) {
    problems.push("EpochAdvanceOnCountThreshold must be at least 10");
  }
  if (!(parameters.epochAdvanceOnTotalSizeBytesThreshold >= mebibyte)) {
    problems.push("EpochAdvanceOnTotalSizeBytesThreshold must be at least 1048576 bytes");
  }
  if (!(parameters.deleteParallelism >= 0)) problems.push("DeleteParallelism must not be negative");
  return problems;
}

/** What is wrong with a format's parameters, one sentence each. Names are {@link assertSupported}'s business. */
export function formatProblems(format: RepositoryFormat): string[] {
  const problems = epochParameterProblems(format.epochParameters);
  const { maxPackSizeBytes: size } = format;
  if (!Number.isInteger(size) || size < minPackSizeBytes || size > maxPackSizeBytes) {
    problems.push(
      `maxPackSize is ${size} bytes, it must be ${minPackSizeBytes} to ${maxPackSizeBytes}`,
    );
  }
  if (format.masterKey.length === 0) problems.push("masterKey is missing");
  const percent = format.eccOverheadPercent;
  if (
    format.ecc === ""
      ? percent !== 0
      : !(Number.isInteger(percent) && percent >= 1 && percent <= 100)
  ) {
    problems.push(
      `eccOverheadPercent is ${percent}, it must be 1 to 100 with error correction and absent without`,
    );
  }
  return problems;
}

function assertKnown(member: string, value: unknown, known: readonly unknown[]): void {
  if (known.includes(value)) return;
  throw new UnsupportedError(
    "DM_FORMAT_UNSUPPORTED",
    `repository format has ${member} ${JSON.stringify(value)}, known here: ${known.join(", ")}`,
    { member, value, known },
  );
}

/**
 * Refuses versions and algorithms that this program does not know, by name.
 * @throws {UnsupportedError} `DM_FORMAT_UNSUPPORTED`
 */
export function assertSupported(format: {
  readonly version: number;
  readonly indexVersion: number;
  readonly hash: string;
  readonly encryption: string;
  readonly ecc: string;
}): void {
  assertKnown("version", format.version, formatVersions);
  assertKnown("indexVersion", format.indexVersion, indexVersions);
  assertKnown("hash", format.hash, Object.keys(hashAlgorithms));
  assertKnown("encryption", format.encryption, Object.keys(encryptionAlgorithms));
  if (format.ecc !== "") assertKnown("ecc", format.ecc, eccAlgorithmNames);
}

/** Required features that this program does not know: those that forbid going on, and those worth a warning. */
export function unknownFeatures(format: RepositoryFormat): {
  readonly fatal: readonly RequiredFeature[];
  readonly warnings: readonly RequiredFeature[];
} {
  const unknown = format.requiredFeatures.filter(({ feature }) => !knownFeatures.includes(feature));
  return {
    fatal: unknown.filter(({ ifNotUnderstood }) => !ifNotUnderstood.warn),
    warnings: unknown.filter(({ ifNotUnderstood }) => ifNotUnderstood.warn),
  };
}

/**
 * Refuses a format that requires a feature unknown here.
 * @throws {UnsupportedError} `DM_FEATURE_UNSUPPORTED`
 */
export function assertFeaturesKnown(format: RepositoryFormat): void {
  const { fatal } = unknownFeatures(format);
  if (fatal.length === 0) return;
  const wanted = fatal.map(describeFeature).join("; ");
  throw new UnsupportedError(
    "DM_FEATURE_UNSUPPORTED",
    `repository requires ${wanted}. Known here: ${knownFeatures.join(", ")}`,
    { features: fatal.map(({ feature }) => feature), known: knownFeatures },
  );
}

/** One line for people about a feature that is not known here. */
export function describeFeature({ feature, ifNotUnderstood }: RequiredFeature): string {
  const hints = [
    ifNotUnderstood.message,
    ifNotUnderstood.url,
    ifNotUnderstood.upgradeToVersion && `upgrade to version ${ifNotUnderstood.upgradeToVersion}`,
  ].filter((hint) => hint !== "");
  return `feature ${JSON.stringify(feature)}${hints.length === 0 ? "" : ` (${hints.join(", ")})`}`;
}
