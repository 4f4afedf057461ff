/**
 * Signature version 4 as S3 wants it, in the `Authorization` header or in the query of a presigned URL. The canonical form
 * is built anew from what arrived, so that a client cannot talk the server into its own reading of the rules.
 * Proof: test/testing-s3-signature.test.ts (the published examples of Amazon).
 * @module
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { AccessKey } from "./access-key.ts";
import { refuse } from "./refusal.ts";
import { percentEncode } from "./uri.ts";

export const signatureAlgorithm = "AWS4-HMAC-SHA256";

/** What a signature is made of. */
export interface Signable {
  readonly method: string;
  /** Decoded path, with the bucket where the client put it there. */
  readonly path: string;
  readonly query: ReadonlyMap<string, string>;
  /** Names in lower case; values of repeated headers joined by commas. */
  readonly headers: ReadonlyMap<string, string>;
}

/** `20130524/us-east-1/s3/aws4_request` in its parts. */
export interface Scope {
  readonly date: string;
  readonly region: string;
  readonly service: string;
}

export interface Authentication {
  readonly accessKey: AccessKey;
  readonly scope: Scope;
  /** `20130524T000000Z`. */
  readonly timestamp: string;
  /** With it the chunks of a body are signed, the first on top of `signature`. */
  readonly signingKey: Uint8Array;
  readonly signature: string;
  /** What the client says of the body: a digest in hex, or one of the words such as `UNSIGNED-PAYLOAD`. */
  readonly payload: string;
  readonly presigned: boolean;
}

export interface AuthenticationOptions {
  readonly findKey: (accessKeyId: string) => AccessKey | undefined;
  readonly nowMs: number;
  /** The region that scopes must name; any when undefined. */
  readonly region?: string | undefined;
  /** The service that scopes must name; `s3` by default. */
  readonly service?: string | undefined;
  /** Digest of the body, for services whose clients send no `x-amz-content-sha256`. */
  readonly payload?: string | undefined;
}

const hex = (key: Uint8Array, text: string): string =>
  createHmac("sha256", key).update(text).digest("hex");

/** SHA-256 in hex. */
export const sha256Hex = (data: string | Uint8Array): string =>
  createHash("sha256").update(data).digest("hex");

export const scopeText = ({ date, region, service }: Scope): string =>
  `${date}/${region}/${service}/aws4_request`;

/** The key that signs everything of one day, region and service. */
export function signingKeyOf(secretAccessKey: string, scope: Scope): Uint8Array {
  let key: Uint8Array = Buffer.from(`AWS4${secretAccessKey}`);
  for (const part of [scope.date, scope.region, scope.service, "aws4_request"])
    key = createHmac("sha256", key).update(part).digest();
  return key;
}

/** The canonical request; `X-Amz-Signature` of the query stays out of it. */
export function canonicalRequest(
  request: Signable,
  signedHeaders: readonly string[],
  payload: string,
): string {
  const query = [...request.query]
    .filter(([name]) => name !== "X-Amz-Signature")
    .map(([name, value]) => [percentEncode(name), percentEncode(value)] as const)
    .sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`);
  const headers = signedHeaders.map(
    (name) => `${name}:${(request.headers.get(name) ?? "").trim().replace(/ +/g, " ")}\n`,
  );
  return [
    request.method,
    percentEncode(request.path, true),
    query.join("&"),
    headers.join(""),
    signedHeaders.join(";"),
    payload,
  ].join("\n");
}

/** The signature of a canonical request, in hex. */
export function signatureOf(
  canonical: string,
  timestamp: string,
  scope: Scope,
  signingKey: Uint8Array,
): string {
  const text = [signatureAlgorithm, timestamp, scopeText(scope), sha256Hex(canonical)].join("\n");
  return hex(signingKey, text);
}

/** The signature of a chunk, on top of the one before it. */
export function chunkSignature(
  { scope, signingKey, timestamp }: Authentication,
  previous: string,
  chunkDigestHex: string,
): string {
  const text = [
    "AWS4-HMAC-SHA256-PAYLOAD",
    timestamp,
    scopeText(scope),
    previous,
    sha256Hex(""),
    chunkDigestHex,
  ].join("\n");
  return hex(signingKey, text);
}

/** The signature of the trailers, given as `name:value\n` in the order in which they came. */
export function trailerSignature(
  { scope, signingKey, timestamp }: Authentication,
  previous: string,
  trailers: string,
): string {
  const text = [
    "AWS4-HMAC-SHA256-TRAILER",
    timestamp,
    scopeText(scope),
    previous,
    sha256Hex(trailers),
  ].join("\n");
  return hex(signingKey, text);
}

/** Whether two signatures in hex are the same, in a time that does not tell where they differ. */
export function sameSignature(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Milliseconds of `20130524T000000Z`; undefined for anything else. */
export function timestampMs(text: string): number | undefined {
  const found = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!found) return undefined;
  const [, year, month, day, hour, minute, second] = found;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(ms) ? undefined : ms;
}

/** `20130524T000000Z` of milliseconds. */
export function formatTimestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace(/[-:]/g, "")}Z`;
}

/** How far the clocks of client and server may be apart. */
const maxSkewMs = 15 * 60_000;
const maxPresignedSeconds = 7 * 24 * 3600;

/** Finds out who sent a request; everything that does not hold is refused as Amazon refuses it. */
export function authenticate(request: Signable, options: AuthenticationOptions): Authentication {
  if (request.query.has("X-Amz-Algorithm") || request.query.has("X-Amz-Signature"))
    return authenticateQuery(request, options);
  const header = request.headers.get("authorization");
  if (header === undefined) throw refuse("AccessDenied");
  if (!header.startsWith(`${signatureAlgorithm} `)) {
    throw refuse(
      "InvalidRequest",
      `The authorization mechanism you have provided is not supported. Please use ${signatureAlgorithm}.`,
    );
  }
  const parts = new Map(
    header
      .slice(signatureAlgorithm.length)
      .split(",")
      .map((part): [string, string] => {
        const equals = part.indexOf("=");
        return [part.slice(0, equals).trim(), part.slice(equals + 1).trim()];
      }),
  );
  const malformed = (why: string): Error =>
    refuse("AuthorizationHeaderMalformed", `The authorization header is malformed; ${why}.`);
  const credential = parts.get("Credential");
  const signature = parts.get("Signature");
  const signed = parts.get("SignedHeaders");
  if (!credential || !signature || !signed || parts.size !== 3)
    throw malformed("Credential, SignedHeaders and Signature are expected");
  const { accessKeyId, scope } = parseCredential(credential, options, malformed);
  checkRegion(scope, options.region);
  const accessKey = knownKey(accessKeyId, options);

  const timestamp = request.headers.get("x-amz-date") ?? httpTimestamp(request.headers.get("date"));
  const sentMs = timestamp === undefined ? undefined : timestampMs(timestamp);
  if (timestamp === undefined || sentMs === undefined) {
    throw refuse("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header.");
  }
  if (scope.date !== timestamp.slice(0, 8))
    throw malformed("the date of the scope is not that of the request");
  if (Math.abs(sentMs - options.nowMs) > maxSkewMs) {
    throw refuse("RequestTimeTooSkewed", {
      elements: {
        RequestTime: timestamp,
        ServerTime: new Date(options.nowMs).toISOString(),
        MaxAllowedSkewMilliseconds: String(maxSkewMs),
      },
    });
  }
  const payload = options.payload ?? request.headers.get("x-amz-content-sha256");
  if (payload === undefined) {
    throw refuse(
      "InvalidRequest",
      "Missing required header for this request: x-amz-content-sha256",
    );
  }
  checkToken(accessKey, request.headers.get("x-amz-security-token"), options.nowMs);
  const signedHeaders = checkSignedHeaders(request, signed);
  const signingKey = signingKeyOf(accessKey.secretAccessKey, scope);
  const canonical = canonicalRequest(request, signedHeaders, payload);
  checkSignature(signature, signatureOf(canonical, timestamp, scope, signingKey), canonical);
  return { accessKey, scope, timestamp, signingKey, signature, payload, presigned: false };
}

function authenticateQuery(request: Signable, options: AuthenticationOptions): Authentication {
  const wrong = (why: string): Error => refuse("AuthorizationQueryParametersError", why);
  const parameter = (name: string): string => {
    const value = request.query.get(name);
    if (!value) throw wrong(`Query-string authentication version 4 requires ${name}.`);
    return value;
  };
  if (parameter("X-Amz-Algorithm") !== signatureAlgorithm)
    throw wrong(`X-Amz-Algorithm only supports "${signatureAlgorithm}"`);
  if (request.headers.has("authorization"))
    throw refuse("InvalidArgument", "Only one auth mechanism allowed");
  const { accessKeyId, scope } = parseCredential(parameter("X-Amz-Credential"), options, wrong);
  checkRegion(scope, options.region);
  const signature = parameter("X-Amz-Signature");
  const timestamp = parameter("X-Amz-Date");
  const sentMs = timestampMs(timestamp);
  if (sentMs === undefined || scope.date !== timestamp.slice(0, 8))
    throw wrong("X-Amz-Date must be a time of the day that the credential names.");
  const seconds = parameter("X-Amz-Expires");
  if (!/^\d{1,7}$/.test(seconds) || Number(seconds) < 1 || Number(seconds) > maxPresignedSeconds)
    throw wrong("X-Amz-Expires must be between 1 second and a week");
  const accessKey = knownKey(accessKeyId, options);
  if (sentMs - options.nowMs > maxSkewMs) throw refuse("AccessDenied", "Request is not valid yet");
  if (options.nowMs > sentMs + Number(seconds) * 1000)
    throw refuse("AccessDenied", "Request has expired");
  checkToken(accessKey, request.query.get("X-Amz-Security-Token"), options.nowMs);
  const payload = request.headers.get("x-amz-content-sha256") ?? "UNSIGNED-PAYLOAD";
  const signedHeaders = checkSignedHeaders(request, parameter("X-Amz-SignedHeaders"));
  const signingKey = signingKeyOf(accessKey.secretAccessKey, scope);
  const canonical = canonicalRequest(request, signedHeaders, payload);
  checkSignature(signature, signatureOf(canonical, timestamp, scope, signingKey), canonical);
  return { accessKey, scope, timestamp, signingKey, signature, payload, presigned: true };
}

function parseCredential(
  text: string,
  { service: wanted = "s3" }: AuthenticationOptions,
  wrong: (why: string) => Error,
): { readonly accessKeyId: string; readonly scope: Scope } {
  const parts = text.split("/");
  const [date = "", region = "", service, end] = parts.slice(-4);
  const accessKeyId = parts.slice(0, -4).join("/");
  if (accessKeyId === "" || !/^\d{8}$/.test(date) || service !== wanted || end !== "aws4_request")
    throw wrong("the credential must read KEY/YYYYMMDD/REGION/SERVICE/aws4_request");
  return { accessKeyId, scope: { date, region, service } };
}

function checkRegion(scope: Scope, region: string | undefined): void {
  if (region === undefined || scope.region === region) return;
  throw refuse("AuthorizationHeaderMalformed", {
    message: `The authorization header is malformed; the region '${scope.region}' is wrong; expecting '${region}'`,
    elements: { Region: region },
    headers: { "x-amz-bucket-region": region },
  });
}

function knownKey(accessKeyId: string, { findKey }: AuthenticationOptions): AccessKey {
  const key = findKey(accessKeyId);
  if (key === undefined)
    throw refuse("InvalidAccessKeyId", { elements: { AWSAccessKeyId: accessKeyId } });
  return key;
}

function checkToken(key: AccessKey, token: string | undefined, nowMs: number): void {
  if (token !== key.sessionToken) throw refuse("InvalidToken");
  if (key.expiresAtMs !== undefined && nowMs >= key.expiresAtMs) throw refuse("ExpiredToken");
}

/** The host and every `x-amz-…` header must be signed: whoever stands between could change the rest. */
function checkSignedHeaders(request: Signable, list: string): readonly string[] {
  const signedHeaders = list.split(";");
  const unsigned = [...request.headers.keys()].filter(
    (name) => (name === "host" || name.startsWith("x-amz-")) && !signedHeaders.includes(name),
  );
  if (unsigned.length > 0) {
    throw refuse("AccessDenied", {
      message: "There were headers present in the request which were not signed",
      elements: { HeadersNotSigned: unsigned.join(", ") },
    });
  }
  return signedHeaders;
}

function checkSignature(given: string, computed: string, canonical: string): void {
  if (sameSignature(given, computed)) return;
  throw refuse("SignatureDoesNotMatch", {
    elements: { SignatureProvided: given, CanonicalRequest: canonical },
  });
}

/** The `Date` header as a timestamp of signatures. */
function httpTimestamp(date: string | undefined): string | undefined {
  if (date === undefined) return undefined;
  if (timestampMs(date) !== undefined) return date;
  const ms = Date.parse(date);
  return Number.isNaN(ms) ? undefined : formatTimestamp(ms);
}
