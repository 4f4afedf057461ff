/**
 * What Google Cloud Storage said, as errors of this project, each with what to do about it.
 * Proof: test/gcs-faults.test.ts.
 * @module
 */
import { AccessError, type DmError, NotFoundError, StorageError } from "@dm/core";
import { type ApiCall, type ApiDialect, type Fault, printable } from "../http/api-client.ts";
import type { HttpResponse } from "../http/http-transport.ts";
import { invalidAnswer } from "../http/invalid-answer.ts";
import { optionUnsupported } from "../store-errors.ts";

/**
 * Takes a failed answer apart: JSON, or one line of text where bytes were asked for.
 * @throws {StorageError} `DM_STORE_ANSWER_INVALID` when it does not come from the service
 */
function readFault(response: HttpResponse): Fault {
  const { body, status } = response;
  const text = new TextDecoder().decode(body).trim();
  let code = "";
  let message = "";
  try {
    const { error } = JSON.parse(text) as {
      error?: { message?: unknown; errors?: ReadonlyArray<{ reason?: unknown }> };
    };
    message = printable(String(error?.message ?? ""));
    code = printable(String(error?.errors?.[0]?.reason ?? ""));
  } catch {
    const line = text.length < 1000 && !text.startsWith("<") && !text.startsWith("{");
    if (line) message = printable(text);
    // Balancers in front of the service answer in their own words when it is away.
    else if (status !== 416 && status !== 429 && status < 500)
      throw invalidAnswer("no error of the service", body);
  }
  const serverTimeMs = Date.parse(response.header("date") ?? "");
  return {
    status,
    code,
    message,
    requestId: printable(response.header("x-guploader-uploadid") ?? ""),
    serverTimeMs: Number.isNaN(serverTimeMs) ? undefined : serverTimeMs,
  };
}

/** A missing object is said with its name, a missing bucket without. */
export const bucketMissing = ({ message, status }: Fault): boolean =>
  status === 404 && /\bbucket\b[^:]*does not exist/i.test(message);

const credentialsRefused = ({ status }: Fault): boolean => status === 401;

/** @param bucket for messages */
export function gcsDialect(bucket: string): ApiDialect {
  return {
    readFault,
    credentialsRefused,
    // Tokens do not depend on our clock; where they are given, it is told in other words.
    clockSkewed: () => false,
    error: (fault, call) => faultError(fault, call, bucket),
  };
}

function faultError(fault: Fault, { key, operation }: ApiCall, bucket: string): DmError {
  const { code, message, requestId, status } = fault;
  const details = { status, gcsReason: code, requestId, bucket, operation, key };
  const said = `${code === "" ? `status ${status}` : code}${message === "" ? "" : `: ${message}`}`;
  const what = `${operation}${key === "" ? "" : ` of ${key}`} in bucket ${bucket}`;
  if (bucketMissing(fault) || (status === 404 && (key === "" || operation === "put"))) {
    const text = `there is no bucket ${bucket}: create it, or check its name`;
    return new NotFoundError("DM_STORE_NOT_FOUND", text, details);
  }
  if (status === 401) {
    const expired = /expired/i.test(message);
    const text = expired
      ? `the access token has expired: get new credentials (${said})`
      : `the server does not accept these credentials: check them (${said})`;
    const errorCode = expired ? "DM_STORE_CREDENTIALS_EXPIRED" : "DM_STORE_CREDENTIALS_INVALID";
    return new AccessError(errorCode, text, details);
  }
  if (status === 403 && /retention|hold/i.test(`${code} ${message}`)) {
    const text = `${what}: a retention keeps the object from being changed until its time is over (${said})`;
    return new AccessError("DM_STORE_ACCESS_DENIED", text, details);
  }
  const slowDown = /rateLimit|quotaExceeded/i.test(code);
  if (status === 403 && !slowDown) {
    const text = `no permission for ${what}: the credentials need ${permissionFor(operation)} (${said})`;
    return new AccessError("DM_STORE_ACCESS_DENIED", text, details);
  }
  if (status < 500 && /retention/i.test(`${code} ${message}`)) {
    const cause = new StorageError("DM_STORE_FAILED", said, details);
    return optionUnsupported("gcs", "retention", cause);
  }
  if (status === 501) {
    const cause = new StorageError("DM_STORE_FAILED", said, details);
    return optionUnsupported("gcs", `this kind of ${operation}`, cause);
  }
  const retryable =
    slowDown || status === 429 || status === 408 || status >= 500 || isDamaged(fault);
  return new StorageError("DM_STORE_FAILED", `${what} failed: ${said}`, details, { retryable });
}

/** The bytes that arrived are not those whose digest was sent with them. */
const isDamaged = ({ message, status }: Fault): boolean =>
  status === 400 && /md5|crc32c|hash/i.test(message);

const reading =
  "storage.objects.get, and storage.objects.list so that a missing blob is no refusal";
const permissions: Readonly<Record<string, string>> = {
  get: reading,
  stat: reading,
  put: "storage.objects.create, to replace also storage.objects.delete, with retention storage.objects.setRetention",
  delete: "storage.objects.delete",
  list: "storage.objects.list",
  "list of versions": "storage.objects.list",
  versioning: "storage.buckets.get",
  extendRetention: "storage.objects.update and storage.objects.setRetention",
};

const permissionFor = (operation: string): string => permissions[operation] ?? "more rights";
