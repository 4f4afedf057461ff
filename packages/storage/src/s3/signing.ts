/**
 * Signature Version 4, by `aws4fetch`.
 * Proof: test/s3-signing.test.ts.
 * @module
 */
import { AccessError } from "@dm/core";
import { AwsV4Signer } from "aws4fetch";
import type { S3Credentials } from "./credentials.ts";

/** A request before it is signed; the URL is encoded already. */
export interface UnsignedRequest {
  readonly method: string;
  readonly url: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The same with what proves who asks: in its headers, or in its URL. */
export interface SignedRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface SigningContext {
  readonly credentials: S3Credentials;
  readonly region: string;
  /** `s3` or `sts`. */
  readonly service: string;
  /** Milliseconds since 1970, by the server's clock as far as we know it. */
  readonly nowMs: number;
}

/** Keys are derived once for a day, a region and a secret; this many are kept. */
const maxKeptKeys = 8;
const keptKeys = new Map<string, ArrayBuffer>();

/**
 * Adds the headers `authorization`, `x-amz-date` and, with a session, `x-amz-security-token`. Needs `body` only where no header
 * `x-amz-content-sha256` tells its digest.
 * @throws {AccessError} `DM_STORE_CREDENTIALS_INVALID` for credentials that no header can carry
 */
export async function signRequest(
  request: UnsignedRequest,
  { credentials, region, service, nowMs }: SigningContext,
  body?: Uint8Array,
): Promise<SignedRequest> {
  if (keptKeys.size > maxKeptKeys) keptKeys.clear();
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  checkHeaderText("access key id", accessKeyId);
  if (sessionToken) checkHeaderText("session token", sessionToken);
  const signer = new AwsV4Signer({
    ...request,
    ...(body ? { body: body as Uint8Array<ArrayBuffer> } : {}),
    accessKeyId,
    secretAccessKey,
    ...(sessionToken ? { sessionToken } : {}),
    service,
    region,
    cache: keptKeys,
    datetime: new Date(nowMs).toISOString().replace(/[:-]|\.\d{3}/g, ""),
  });
  const signed = await signer.sign();
  return { url: signed.url.toString(), headers: Object.fromEntries(signed.headers.entries()) };
}

/**
 * A URL of a `GET` that holds its signature, for whoever has it.
 * @throws {AccessError} `DM_STORE_CREDENTIALS_INVALID` for credentials that no header can carry
 */
export async function presignUrl(
  url: string,
  { credentials, region, service, nowMs }: SigningContext,
  lifetimeMs: number,
): Promise<string> {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  checkHeaderText("access key id", accessKeyId);
  if (sessionToken) checkHeaderText("session token", sessionToken);
  const withEnd = new URL(url);
  withEnd.searchParams.set("X-Amz-Expires", String(Math.floor(lifetimeMs / 1_000)));
  const signer = new AwsV4Signer({
    method: "GET",
    url: withEnd.toString(),
    accessKeyId,
    secretAccessKey,
    ...(sessionToken ? { sessionToken } : {}),
    service,
    region,
    signQuery: true,
    datetime: new Date(nowMs).toISOString().replace(/[:-]|\.\d{3}/g, ""),
  });
  return (await signer.sign()).url.toString();
}

/** A token that was copied with a line break is refused here: the platform's error would quote it. */
function checkHeaderText(what: string, text: string): void {
  if (/^[\x20-\x7e]+$/.test(text)) return;
  throw new AccessError(
    "DM_STORE_CREDENTIALS_INVALID",
    `the ${what} has line breaks or other characters that it cannot have: was it copied whole?`,
    {},
  );
}
