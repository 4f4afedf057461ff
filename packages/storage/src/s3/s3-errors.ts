/**
 * What an S3 server said, as errors of this project, each with what to do about it.
 * Proof: test/s3-faults.test.ts.
 * @module
 */
import { AccessError, type DmError, NotFoundError, StorageError } from "@dm/core";
import type { HttpResponse } from "../http/http-transport.ts";
import { invalidAnswer } from "../http/invalid-answer.ts";
import { childText, parseXml } from "../http/xml.ts";
import { optionUnsupported } from "../store-errors.ts";

/** An answer that is no success, taken apart. */
export interface S3Fault {
  readonly status: number;
  /** S3's word for it, such as `NoSuchKey`; empty when the answer has no body (HEAD). */
  readonly code: string;
  readonly message: string;
  readonly requestId: string;
  /** Where the bucket really is, when the server says so. */
  readonly region: string | undefined;
  /** The server's time, milliseconds since 1970. */
  readonly serverTimeMs: number | undefined;
  readonly location: string | undefined;
}

/** What was asked, for messages. */
export interface S3Call {
  readonly bucket: string;
  /** What was to be done: `get`, `put`, `list`, … */
  readonly operation: string;
  /** Empty for requests about the bucket. */
  readonly key: string;
}

const regionPattern = /^[a-z0-9-]{1,63}$/;
const maxMessageLength = 300;

/**
 * Takes a failed answer apart.
 * @throws {StorageError} `DM_STORE_ANSWER_INVALID` when it does not come from an S3 server
 */
export function readFault(response: HttpResponse, isHead: boolean): S3Fault {
  const { status, body } = response;
  const passing = status === 429 || status >= 500;
  const moved = status >= 300 && status < 400;
  let code = "";
  let message = "";
  let region = response.header("x-amz-bucket-region");
  let requestId = response.header("x-amz-request-id") ?? "";
  let time = response.header("date");
  if (body.length > 0 || !(isHead || passing || moved)) {
    try {
      const root = parseXml(body);
      // STS puts its error one level deeper.
      const error =
        root.name === "ErrorResponse" ? root.children.find((c) => c.name === "Error") : root;
      if (error?.name !== "Error") throw invalidAnswer("no error of S3", body);
      code = childText(error, "Code") ?? "";
      message = printable(childText(error, "Message") ?? "");
      region ??= childText(error, "Region") ?? /expecting '([a-z0-9-]+)'/.exec(message)?.[1];
      requestId ||= printable(childText(error, "RequestId") ?? "");
      time = childText(error, "ServerTime") ?? time;
    } catch (error) {
      // Balancers in front of the server answer in their own words when it is away.
      if (!passing && !moved && !plainHttpToTls(response)) throw error;
    }
  }
  const timeMs = time === undefined ? Number.NaN : Date.parse(time);
  return {
    status,
    code,
    message,
    requestId,
    region: region !== undefined && regionPattern.test(region) ? region : undefined,
    serverTimeMs: Number.isNaN(timeMs) ? undefined : timeMs,
    location: response.header("location"),
  };
}

const plainHttpToTls = ({ status, body }: HttpResponse): boolean =>
  status === 400 && /HTTPS? (?:server|port)/i.test(new TextDecoder().decode(body.subarray(0, 500)));

/** Text of a stranger, fit for one line of a log. */
const printable = (text: string): string =>
  text.replace(/[^\x20-\x7e]+/g, " ").slice(0, maxMessageLength);

const keyUnknown = new Set(["InvalidAccessKeyId", "InvalidClientTokenId"]);
const secretWrong = new Set(["SignatureDoesNotMatch"]);
const expired = new Set([
  "ExpiredToken",
  "ExpiredTokenException",
  "InvalidToken",
  "TokenRefreshRequired",
]);
const passing = new Set([
  "BadDigest",
  "ConditionalRequestConflict",
  "IncompleteBody",
  "InternalError",
  "OperationAborted",
  "RequestTimeout",
  "ServiceUnavailable",
  "SlowDown",
  "Throttling",
  "ThrottlingException",
  "TooManyRequests",
  "XAmzContentSHA256Mismatch",
]);
const full = new Set([
  "QuotaExceeded",
  "InsufficientCapacity",
  "EntityTooLarge",
  "XMinioStorageFull",
  "XMinioAdminBucketQuotaExceeded",
]);

/** Whether other credentials might be accepted where these were refused. */
export const credentialsRefused = ({ code, message }: S3Fault): boolean =>
  keyUnknown.has(code) ||
  secretWrong.has(code) ||
  expired.has(code) ||
  message.includes("token has expired") ||
  message.includes("token included in the request is expired");

/** The error for a fault that the operation itself has no answer to. */
export function faultError(fault: S3Fault, call: S3Call): DmError {
  const { status, code, message, requestId, location } = fault;
  const { bucket, operation, key } = call;
  const details = { status, s3Code: code, requestId, bucket, operation, key };
  const said = `${code === "" ? `status ${status}` : code}${message === "" ? "" : `: ${message}`}`;
  const what = `${operation}${key === "" ? "" : ` of ${key}`} in bucket ${bucket}`;
  if (code === "NoSuchBucket") {
    const text = `there is no bucket ${bucket}: create it, or check its name, the endpoint and the region`;
    return new NotFoundError("DM_STORE_NOT_FOUND", text, details);
  }
  if (keyUnknown.has(code)) {
    const text = `the server does not know this access key id: check it and the endpoint (${said})`;
    return new AccessError("DM_STORE_CREDENTIALS_INVALID", text, details);
  }
  if (secretWrong.has(code)) {
    const text = `the secret access key does not belong to the access key id (${code})`;
    return new AccessError("DM_STORE_CREDENTIALS_INVALID", text, details);
  }
  if (expired.has(code) || credentialsRefused(fault)) {
    const text = `the session token has expired or is not valid: get new credentials (${said})`;
    return new AccessError("DM_STORE_CREDENTIALS_EXPIRED", text, details);
  }
  if (code === "RequestTimeTooSkewed") {
    const text = `the clock of this machine is too far from the server's: set it (${said})`;
    return new AccessError("DM_STORE_CLOCK_SKEWED", text, details);
  }
  // Before refusals: some servers answer a full quota with 403.
  if (full.has(code) || status === 507) {
    return new StorageError("DM_STORE_NO_SPACE", `no space for ${what} (${said})`, details);
  }
  if (status === 401 || status === 403) {
    const text = `no permission for ${what}: the credentials need ${permissionFor(operation)} (${said})`;
    return new AccessError("DM_STORE_ACCESS_DENIED", text, details);
  }
  if (/object.?lock|retention|worm/i.test(`${code} ${message}`) && status < 500) {
    return optionUnsupported("s3", "retention", new StorageError("DM_STORE_FAILED", said, details));
  }
  if (status === 501 || code === "NotImplemented") {
    const cause = new StorageError("DM_STORE_FAILED", said, details);
    return optionUnsupported("s3", `this kind of ${operation}`, cause);
  }
  if (code === "" && status === 400) {
    const text = `${what}: the server wants TLS, and was asked in plain HTTP`;
    return new StorageError("DM_STORE_FAILED", text, details);
  }
  if (status >= 300 && status < 400) {
    const inRegion = fault.region === undefined ? "" : `, where the bucket is in ${fault.region}`;
    const where = `${location === undefined ? "elsewhere" : `to ${hostOf(location)}`}${inRegion}`;
    const text = `${what}: the server sends us ${where}; use that endpoint, or give the region`;
    return new StorageError("DM_STORE_FAILED", text, details);
  }
  const retryable = passing.has(code) || status === 429 || status === 408 || status >= 500;
  return new StorageError("DM_STORE_FAILED", `${what} failed: ${said}`, details, { retryable });
}

function hostOf(location: string): string {
  try {
    return new URL(location).host;
  } catch {
    return "another place";
  }
}

const permissions: Readonly<Record<string, string>> = {
  get: "s3:GetObject, and s3:ListBucket so that a missing blob is no refusal",
  stat: "s3:GetObject, and s3:ListBucket so that a missing blob is no refusal",
  put: "s3:PutObject, with retention also s3:PutObjectRetention",
  delete: "s3:DeleteObject",
  list: "s3:ListBucket",
  "list of versions": "s3:ListBucketVersions",
  extendRetention: "s3:PutObjectRetention",
};

const permissionFor = (operation: string): string => permissions[operation] ?? "more rights";
