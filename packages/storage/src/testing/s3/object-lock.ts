/**
 * Object lock: what a version is kept by (a retention in mode governance or compliance, a legal hold), and who may change
 * that. A lock protects a version; a delete marker in front of it, or a newer version, is always allowed.
 * Proof: test/testing-s3-object-lock.test.ts.
 * @module
 */
import type { BucketSettings, ObjectVersion, Retention, RetentionMode } from "./buckets.ts";
import { refuse } from "./refusal.ts";
import {
  bucketOf,
  type S3Answer,
  type S3Handler,
  type S3Request,
  type S3State,
} from "./request.ts";
import { versionOf } from "./versions.ts";
import { checkChildren, childText, onlyChild, parseXml, tag, xmlDocument } from "./xml.ts";

export interface Lock {
  readonly retention?: Retention | undefined;
  readonly legalHold?: boolean | undefined;
}

const dayMs = 24 * 3600_000;

/** Time stamps as S3 writes them. */
export const isoTime = (ms: number): string => new Date(ms).toISOString();

function retentionMode(text: string | undefined): RetentionMode {
  if (text === "GOVERNANCE" || text === "COMPLIANCE") return text;
  throw refuse("InvalidArgument", "Unknown wormMode directive.");
}

function futureTime(text: string | undefined, nowMs: number): number {
  const ms = text === undefined ? Number.NaN : Date.parse(text);
  if (Number.isNaN(ms) || !/^\d{4}-\d\d-\d\dT/.test(text ?? ""))
    throw refuse("InvalidArgument", "The retain until date must be provided in ISO 8601 format");
  if (ms <= nowMs) throw refuse("InvalidArgument", "The retain until date must be in the future!");
  return ms;
}

/** The lock that a put asks for by its headers, or gets from its bucket. */
export function lockOfPut(request: S3Request, settings: BucketSettings): Lock {
  const { headers, nowMs } = request;
  const mode = headers.get("x-amz-object-lock-mode");
  const until = headers.get("x-amz-object-lock-retain-until-date");
  const hold = headers.get("x-amz-object-lock-legal-hold");
  if (mode === undefined && until === undefined && hold === undefined) {
    const { defaultRetention: usual } = settings;
    if (!usual) return {};
    return { retention: { mode: usual.mode, untilMs: nowMs + usual.days * dayMs } };
  }
  if (!settings.objectLock)
    throw refuse("InvalidRequest", "Bucket is missing Object Lock Configuration");
  if (!request.permits("retain", request.key)) throw refuse("AccessDenied");
  if ((mode === undefined) !== (until === undefined)) {
    throw refuse(
      "InvalidArgument",
      "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
    );
  }
  if (hold !== undefined && hold !== "ON" && hold !== "OFF")
    throw refuse("InvalidArgument", "Legal Hold must be either of 'ON' or 'OFF'");
  const { defaultRetention: usual } = settings;
  const retention =
    mode !== undefined
      ? { mode: retentionMode(mode), untilMs: futureTime(until, nowMs) }
      : usual && { mode: usual.mode, untilMs: nowMs + usual.days * dayMs };
  return { retention, legalHold: hold === "ON" };
}

/** Whether the request asks to go past governance retention, and may. */
export function bypasses(request: S3Request): boolean {
  if (request.headers.get("x-amz-bypass-governance-retention")?.toLowerCase() !== "true")
    return false;
  if (!request.permits("bypass", request.key)) throw refuse("AccessDenied");
  return true;
}

/** Refuses to remove a version that is kept. */
export function checkRemovable(version: ObjectVersion, nowMs: number, bypass: boolean): void {
  const kept =
    version.legalHold === true ||
    (version.retention !== undefined &&
      version.retention.untilMs > nowMs &&
      !(version.retention.mode === "GOVERNANCE" && bypass));
  if (kept) throw refuse("AccessDenied", "Access Denied because object protected by object lock.");
}

/** Refuses what would shorten or loosen a retention: never under compliance, under governance without bypass. */
function checkRetentionChange(
  version: ObjectVersion,
  wanted: Retention | undefined,
  nowMs: number,
  bypass: boolean,
): void {
  const { retention } = version;
  if (retention === undefined || !(retention.untilMs > nowMs)) return;
  const extended =
    wanted !== undefined &&
    wanted.untilMs >= retention.untilMs &&
    (wanted.mode === retention.mode || wanted.mode === "COMPLIANCE");
  if (extended || (retention.mode === "GOVERNANCE" && bypass)) return;
  throw refuse("AccessDenied", "Access Denied because object protected by object lock.");
}

function lockedVersion(request: S3Request, state: S3State): ObjectVersion {
  const bucket = bucketOf(request, state);
  if (!bucket.settings.objectLock)
    throw refuse("InvalidRequest", "Bucket is missing Object Lock Configuration");
  return versionOf(bucket, request);
}

/** The XML of a request whose digest S3 demands beside it. */
async function verifiedXml(request: S3Request): Promise<Uint8Array> {
  const { bytes, verified } = await request.receive("xml");
  if (!verified) {
    throw refuse(
      "InvalidRequest",
      "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
    );
  }
  return bytes;
}

const versionHeader = ({ versionId }: ObjectVersion): Record<string, string> =>
  versionId === "null" ? {} : { "x-amz-version-id": versionId };

export const getObjectRetention: S3Handler = async (request, state): Promise<S3Answer> => {
  const { retention } = lockedVersion(request, state);
  if (retention === undefined) throw refuse("NoSuchObjectLockConfiguration");
  const body = xmlDocument(
    "Retention",
    tag("Mode", retention.mode),
    tag("RetainUntilDate", isoTime(retention.untilMs)),
  );
  return { status: 200, body };
};

export const putObjectRetention: S3Handler = async (request, state) => {
  const root = parseXml(await verifiedXml(request), "Retention");
  checkChildren(root, "Mode", "RetainUntilDate");
  const version = lockedVersion(request, state);
  const wanted =
    root.children.length === 0
      ? undefined
      : {
          mode: retentionMode(childText(root, "Mode")),
          untilMs: futureTime(childText(root, "RetainUntilDate"), request.nowMs),
        };
  checkRetentionChange(version, wanted, request.nowMs, bypasses(request));
  const bucket = request.bucketName;
  state.buckets.commit({ do: "relock", bucket, version: { ...version, retention: wanted } });
  return { status: 200, headers: versionHeader(version) };
};

export const getObjectLegalHold: S3Handler = async (request, state) => {
  const { legalHold } = lockedVersion(request, state);
  if (legalHold === undefined) throw refuse("NoSuchObjectLockConfiguration");
  return { status: 200, body: xmlDocument("LegalHold", tag("Status", legalHold ? "ON" : "OFF")) };
};

export const putObjectLegalHold: S3Handler = async (request, state) => {
  const root = parseXml(await verifiedXml(request), "LegalHold");
  const status = childText(root, "Status");
  if (status !== "ON" && status !== "OFF") throw refuse("MalformedXML");
  const version = lockedVersion(request, state);
  const bucket = request.bucketName;
  const changed = { ...version, legalHold: status === "ON" };
  state.buckets.commit({ do: "relock", bucket, version: changed });
  return { status: 200, headers: versionHeader(version) };
};

export const getObjectLockConfiguration: S3Handler = async (request, state) => {
  const { defaultRetention, objectLock } = bucketOf(request, state).settings;
  if (!objectLock) throw refuse("ObjectLockConfigurationNotFoundError");
  const rule =
    defaultRetention &&
    tag(
      "Rule",
      tag(
        "DefaultRetention",
        tag("Mode", defaultRetention.mode),
        tag("Days", defaultRetention.days),
      ),
    );
  const body = xmlDocument("ObjectLockConfiguration", tag("ObjectLockEnabled", "Enabled"), rule);
  return { status: 200, body };
};

export const putObjectLockConfiguration: S3Handler = async (request, state) => {
  const root = parseXml(await verifiedXml(request), "ObjectLockConfiguration");
  checkChildren(root, "ObjectLockEnabled", "Rule");
  const { settings } = bucketOf(request, state);
  if (childText(root, "ObjectLockEnabled") !== "Enabled") throw refuse("MalformedXML");
  if (settings.versioning !== "Enabled") {
    throw refuse("InvalidBucketState", "Versioning must be 'Enabled' on the bucket first.");
  }
  const rule = onlyChild(root, "Rule");
  const usual = rule && onlyChild(rule, "DefaultRetention");
  const days = usual && childText(usual, "Days");
  const years = usual && childText(usual, "Years");
  if (usual && (days === undefined) === (years === undefined)) throw refuse("MalformedXML");
  const count = Number(days ?? years);
  if (usual && !(Number.isInteger(count) && count > 0 && count <= 36_500))
    throw refuse("InvalidArgument", "Default retention period must be a positive integer value.");
  const defaultRetention = usual && {
    mode: retentionMode(childText(usual, "Mode")),
    days: years === undefined ? count : count * 365,
  };
  const changed = { ...settings, objectLock: true, defaultRetention };
  state.buckets.commit({ do: "setBucket", settings: changed });
  return { status: 200 };
};

/** The headers of an answer that tell of a lock. */
export function lockHeaders({ legalHold, retention }: ObjectVersion): Record<string, string> {
  return {
    ...(retention && {
      "x-amz-object-lock-mode": retention.mode,
      "x-amz-object-lock-retain-until-date": isoTime(retention.untilMs),
    }),
    ...(legalHold !== undefined && { "x-amz-object-lock-legal-hold": legalHold ? "ON" : "OFF" }),
  };
}
