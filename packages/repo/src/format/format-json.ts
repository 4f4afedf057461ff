/**
 * The plaintext inside the format blob: `{"format":{…}}`, one flat object, written without spaces in a fixed order.
 * Durations are integer nanoseconds, keys are base64. Members that are not known here survive.
 * Format: docs/format/format-blob.md. Proof: test/format-blob.test.ts.
 * @module
 */
import {
  FormatError,
  fromBase64,
  isDmError,
  toBase64,
  utf8DecodeStrict,
  utf8Encode,
} from "@dm/core";
import * as z from "zod";
import { once } from "../json/checked-json.ts";
import { formatTime, goJsonString, parseTime } from "../json/go-json.ts";
import { parseJson, rawElements } from "../json/raw-json.ts";
import { jsonObject, memberOf, unknownMembersOf } from "./raw-members.ts";
import {
  assertSupported,
  defaultMaxPackSizeBytes,
  type EpochParameters,
  type FormatVersion,
  type IndexVersion,
  type RepositoryFormat,
  type RequiredFeature,
} from "./repository-format.ts";
import type { UpgradeLock } from "./upgrade-lock.ts";

// Go reads an absent or null member as zero, hence `nullish` everywhere.
const integer = z.number().refine(Number.isInteger, "expected an integer").nullish();
const text = z.string().nullish();
const flag = z.boolean().nullish();

const storedEpochParameters = z.looseObject({
  Enabled: flag,
  EpochRefreshFrequency: integer,
  FullCheckpointFrequency: integer,
  CleanupSafetyMargin: integer,
  MinEpochDuration: integer,
  EpochAdvanceOnCountThreshold: integer,
  EpochAdvanceOnTotalSizeBytesThreshold: integer,
  DeleteParallelism: integer,
});

const storedUpgradeLock = z.looseObject({
  ownerID: text,
  creationTime: text,
  advanceNoticeDuration: integer,
  ioDrainTimeout: integer,
  statusPollInterval: integer,
  message: text,
  maxPermittedClockDrift: integer,
});

const storedHints = z.looseObject({ warn: flag, message: text, url: text, upgradeToVersion: text });

const storedRequiredFeature = z.looseObject({
  feature: z.string(),
  ifNotUnderstood: storedHints.nullish(),
});

const storedFormat = z.looseObject({
  hash: text,
  encryption: text,
  ecc: text,
  eccOverheadPercent: integer,
  secret: text,
  masterKey: text,
  version: integer,
  maxPackSize: integer,
  indexVersion: integer,
  epochParameters: storedEpochParameters.nullish(),
  enablePasswordChange: flag,
  splitter: text,
  upgradeLock: storedUpgradeLock.nullish(),
  requiredFeatures: z.array(storedRequiredFeature).nullish(),
});

const storedPlaintext = z.looseObject({ format: storedFormat });

const epochMembers = Object.keys(storedEpochParameters.shape);
const lockMembers = Object.keys(storedUpgradeLock.shape);
const hintMembers = Object.keys(storedHints.shape);
const featureMembers = Object.keys(storedRequiredFeature.shape);
const formatMembers = Object.keys(storedFormat.shape);

const nsPerMs = 1e6;
const toMs = (ns: number | null | undefined): number => (ns ?? 0) / nsPerMs;
const toNs = (ms: number): string => `${Math.round(ms * nsPerMs)}`;
// Go leaves empty texts and zeros out of these members.
const textOrNothing = (value: string): string | undefined =>
  value === "" ? undefined : goJsonString(value);
const nsOrNothing = (ms: number): string | undefined => (ms === 0 ? undefined : toNs(ms));

/**
 * Reads the decrypted part of a format blob.
 * @throws {FormatError} `DM_FORMAT_BLOB_INVALID` when it is not such an object
 * @throws {UnsupportedError} `DM_FORMAT_UNSUPPORTED` for versions and algorithms unknown here
 */
export function decodeFormatJson(plaintext: Uint8Array, blobId: string): RepositoryFormat {
  try {
    return decode(utf8DecodeStrict(plaintext), blobId);
  } catch (cause) {
    if (
      !isDmError(cause) ||
      !(cause instanceof FormatError) ||
      cause.code.startsWith("DM_FORMAT_")
    ) {
      throw cause;
    }
    throw invalid(blobId, cause.message, cause);
  }
}

function invalid(blobId: string, reason: string, cause?: unknown): FormatError {
  return new FormatError(
    "DM_FORMAT_BLOB_INVALID",
    `blob ${blobId}: its decrypted part is not a repository format: ${reason}`,
    { blobId },
    { cause },
  );
}

function decode(json: string, blobId: string): RepositoryFormat {
  const parsed = storedPlaintext.safeParse(parseJson(json), once);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw invalid(blobId, `${issue.path.join(".") || "root"}: ${issue.message}`);
  }
  const stored = parsed.data.format;
  const formatJson = memberOf(json, "format")!;
  const names = {
    version: stored.version ?? 0,
    indexVersion: stored.indexVersion || 1,
    hash: stored.hash ?? "",
    encryption: stored.encryption ?? "",
    ecc: stored.ecc ?? "",
  };
  assertSupported(names);
  const lockJson = memberOf(formatJson, "upgradeLock");
  return {
    ...names,
    version: names.version as FormatVersion,
    indexVersion: names.indexVersion as IndexVersion,
    eccOverheadPercent: names.ecc === "" ? 0 : (stored.eccOverheadPercent ?? 0),
    secret: fromBase64(stored.secret ?? ""),
    masterKey: fromBase64(stored.masterKey ?? ""),
    maxPackSizeBytes: stored.maxPackSize || defaultMaxPackSizeBytes,
    epochParameters: decodeEpochParameters(memberOf(formatJson, "epochParameters") ?? "{}"),
    enablePasswordChange: stored.enablePasswordChange ?? false,
    splitter: stored.splitter ?? "",
    ...(lockJson === undefined ? {} : { upgradeLock: decodeUpgradeLock(lockJson) }),
    requiredFeatures: rawElements(memberOf(formatJson, "requiredFeatures") ?? "[]").map(
      decodeFeature,
    ),
    unknownMembers: unknownMembersOf(formatJson, formatMembers),
    unknownSiblings: unknownMembersOf(json, ["format"]),
  };
}

function decodeEpochParameters(json: string): EpochParameters {
  const stored = storedEpochParameters.parse(parseJson(json), once);
  return {
    enabled: stored.Enabled ?? false,
    epochRefreshFrequencyMs: toMs(stored.EpochRefreshFrequency),
    fullCheckpointFrequency: stored.FullCheckpointFrequency ?? 0,
    cleanupSafetyMarginMs: toMs(stored.CleanupSafetyMargin),
    minEpochDurationMs: toMs(stored.MinEpochDuration),
    epochAdvanceOnCountThreshold: stored.EpochAdvanceOnCountThreshold ?? 0,
    epochAdvanceOnTotalSizeBytesThreshold: stored.EpochAdvanceOnTotalSizeBytesThreshold ?? 0,
    deleteParallelism: stored.DeleteParallelism ?? 0,
    unknownMembers: unknownMembersOf(json, epochMembers),
  };
}

function decodeUpgradeLock(json: string): UpgradeLock {
  const stored = storedUpgradeLock.parse(parseJson(json), once);
  return {
    ownerId: stored.ownerID ?? "",
    creationTimeNs: stored.creationTime ? parseTime(stored.creationTime) : 0n,
    advanceNoticeDurationMs: toMs(stored.advanceNoticeDuration),
    ioDrainTimeoutMs: toMs(stored.ioDrainTimeout),
    statusPollIntervalMs: toMs(stored.statusPollInterval),
    message: stored.message ?? "",
    maxPermittedClockDriftMs: toMs(stored.maxPermittedClockDrift),
    unknownMembers: unknownMembersOf(json, lockMembers),
  };
}

function decodeFeature(json: string): RequiredFeature {
  const stored = storedRequiredFeature.parse(parseJson(json), once);
  const hints = stored.ifNotUnderstood;
  return {
    feature: stored.feature,
    ifNotUnderstood: {
      warn: hints?.warn ?? false,
      message: hints?.message ?? "",
      url: hints?.url ?? "",
      upgradeToVersion: hints?.upgradeToVersion ?? "",
      unknownMembers: unknownMembersOf(memberOf(json, "ifNotUnderstood") ?? "{}", hintMembers),
    },
    unknownMembers: unknownMembersOf(json, featureMembers),
  };
}

/** Writes the part of a format blob that is to be encrypted. */
export function encodeFormatJson(format: RepositoryFormat): Uint8Array {
  const { ecc, eccOverheadPercent, secret, upgradeLock, requiredFeatures } = format;
  const json = jsonObject([
    ["hash", goJsonString(format.hash)],
    ["encryption", goJsonString(format.encryption)],
    ["ecc", textOrNothing(ecc)],
    ["eccOverheadPercent", eccOverheadPercent === 0 ? undefined : `${eccOverheadPercent}`],
    ["secret", textOrNothing(toBase64(secret))],
    ["masterKey", goJsonString(toBase64(format.masterKey))],
    ["version", `${format.version}`],
    ["maxPackSize", `${format.maxPackSizeBytes}`],
    ["indexVersion", `${format.indexVersion}`],
    ["epochParameters", encodeEpochParameters(format.epochParameters)],
    ["enablePasswordChange", `${format.enablePasswordChange}`],
    ["splitter", goJsonString(format.splitter)],
    ["upgradeLock", upgradeLock && encodeUpgradeLock(upgradeLock)],
    [
      "requiredFeatures",
      requiredFeatures.length === 0
        ? undefined
        : `[${requiredFeatures.map(encodeFeature).join(",")}]`,
    ],
    ...(format.unknownMembers ?? []),
  ]);
  return utf8Encode(jsonObject([["format", json], ...(format.unknownSiblings ?? [])]));
}

function encodeEpochParameters(parameters: EpochParameters): string {
  return jsonObject([
    ["Enabled", `${parameters.enabled}`],
    ["EpochRefreshFrequency", toNs(parameters.epochRefreshFrequencyMs)],
    ["FullCheckpointFrequency", `${parameters.fullCheckpointFrequency}`],
    ["CleanupSafetyMargin", toNs(parameters.cleanupSafetyMarginMs)],
    ["MinEpochDuration", toNs(parameters.minEpochDurationMs)],
    ["EpochAdvanceOnCountThreshold", `${parameters.epochAdvanceOnCountThreshold}`],
    [
      "EpochAdvanceOnTotalSizeBytesThreshold",
      `${parameters.epochAdvanceOnTotalSizeBytesThreshold}`,
    ],
    ["DeleteParallelism", `${parameters.deleteParallelism}`],
    ...(parameters.unknownMembers ?? []),
  ]);
}

function encodeUpgradeLock(lock: UpgradeLock): string {
  return jsonObject([
    ["ownerID", textOrNothing(lock.ownerId)],
    ["creationTime", goJsonString(formatTime(lock.creationTimeNs))],
    ["advanceNoticeDuration", nsOrNothing(lock.advanceNoticeDurationMs)],
    ["ioDrainTimeout", nsOrNothing(lock.ioDrainTimeoutMs)],
    ["statusPollInterval", nsOrNothing(lock.statusPollIntervalMs)],
    ["message", textOrNothing(lock.message)],
    ["maxPermittedClockDrift", nsOrNothing(lock.maxPermittedClockDriftMs)],
    ...(lock.unknownMembers ?? []),
  ]);
}

function encodeFeature({ feature, ifNotUnderstood, unknownMembers }: RequiredFeature): string {
  return jsonObject([
    ["feature", goJsonString(feature)],
    [
      "ifNotUnderstood",
      jsonObject([
        ["warn", `${ifNotUnderstood.warn}`],
        ["message", textOrNothing(ifNotUnderstood.message)],
        ["url", textOrNothing(ifNotUnderstood.url)],
        ["upgradeToVersion", textOrNothing(ifNotUnderstood.upgradeToVersion)],
        ...(ifNotUnderstood.unknownMembers ?? []),
      ]),
    ],
    ...(unknownMembers ?? []),
  ]);
}
