/**
 * One signed request to a bucket and its answer. What a server teaches on the way (its region, its time, that
 * credentials are used up) is learned and the request sent again; repeating what merely failed is left to the caller.
 * Proof: test/s3-faults.test.ts.
 * @module
 */

import { type Clock, type Logger, nsPerMs, silentLogger, systemClock } from "@dm/core";
import { sha256Hex } from "../http/digests.ts";
import type { HttpResponse, HttpTransport } from "../http/http-transport.ts";
import { encodeComponent, encodeQuery } from "../http/percent-encoding.ts";
import { parseXml } from "../http/xml.ts";
import { raced } from "../raced.ts";
import {
  type CredentialsProvider,
  type CredentialsRequest,
  type S3Credentials,
  sameCredentials,
} from "./credentials.ts";
import type { BucketAddress } from "./endpoint.ts";
import { credentialsRefused, faultError, readFault, type S3Fault } from "./s3-errors.ts";
import type { UnsignedRequest } from "./signing.ts";
import { presignUrl, type SignedRequest, signRequest } from "./signing.ts";

export interface S3ClientOptions {
  readonly address: BucketAddress;
  readonly bucket: string;
  readonly transport: HttpTransport;
  /** Without it requests are not signed. */
  readonly credentials?: CredentialsProvider | undefined;
  /** Takes the place of signing with `credentials`: URLs that somebody else presigned. */
  readonly sign?: ((request: UnsignedRequest) => Promise<SignedRequest>) | undefined;
  readonly timeoutMs: number;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  /** Where others reach the bucket: for presigned URLs; the address by default. */
  readonly publicAddress?: BucketAddress | undefined;
}

export interface RequestContent {
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Uint8Array | undefined;
}

export interface S3Request {
  /** For messages: `get`, `put`, … */
  readonly operation: string;
  readonly method: "GET" | "HEAD" | "PUT" | "DELETE";
  /** Empty for the bucket. */
  readonly key: string;
  readonly query?: Readonly<Record<string, string>> | undefined;
  /** A function where they depend on the time, which is by the server's clock: that may be learned on the way. */
  readonly content?: RequestContent | ((nowMs: number) => RequestContent) | undefined;
  readonly maxBodyBytes: number;
  readonly signal?: AbortSignal | undefined;
  /** Answers to faults that the caller has; `undefined` leaves it to the general error. */
  readonly onFault?: ((fault: S3Fault) => HttpResponse | Error | undefined) | undefined;
}

export interface S3Client {
  /**
   * An answer with a status of success, or the one that `onFault` gives.
   * @throws {StorageError | AccessError | NotFoundError} what the server's refusal means
   */
  request(request: S3Request): Promise<HttpResponse>;
  /** A URL that lets anybody read an object; undefined without credentials of one's own. */
  presign(
    key: string,
    options: { readonly lifetimeMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<string | undefined>;
  /** Whether any answer has shown yet that the bucket is there. */
  readonly bucketSeen: boolean;
  close(): Promise<void>;
}

/** What we believed when a request was sent. */
interface Attempt {
  readonly sentTo: BucketAddress;
  readonly credentials: S3Credentials | undefined;
  readonly sentWithOffsetMs: number;
}

/** Errors of S3 have a few hundred bytes. */
const maxFaultBytes = 64 << 10;
const emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/** Region, clock and credentials may each be wrong once; the fourth is a reserve. */
const maxCorrections = 4;
const wrongRegion = new Set([
  "AuthorizationHeaderMalformed",
  "IllegalLocationConstraintException",
  "InvalidRegion",
  "PermanentRedirect",
  "Redirect",
  "TemporaryRedirect",
]);

export function s3Client(options: S3ClientOptions): S3Client {
  const { bucket, clock = systemClock, logger = silentLogger, timeoutMs, transport } = options;
  let address = options.address;
  let clockOffsetMs = 0;
  let bucketSeen = false;
  let locating: Promise<string | undefined> | undefined;
  const nowMs = (): number => Number(clock.nowNs() / nsPerMs) + clockOffsetMs;

  /** Others may wait for the same credentials: an abort ends the waiting, not the loading. */
  const ask = (question: CredentialsRequest, signal: AbortSignal | undefined) =>
    options.credentials && raced(options.credentials.credentials(question), signal);

  async function send(
    request: S3Request,
    to: BucketAddress,
    credentials: S3Credentials | undefined,
  ): Promise<HttpResponse> {
    const { content, key, method, query, signal } = request;
    const time = nowMs();
    const { body, headers: own = {} } =
      (typeof content === "function" ? content(time) : content) ?? {};
    const search = query ? `?${encodeQuery(query)}` : "";
    const path = key.split("/").map(encodeComponent).join("/");
    const plain = {
      method,
      url: `${to.bucketUrl}${path}${search}`,
      headers: own,
    };
    let signed: SignedRequest = plain;
    if (options.sign) signed = await options.sign(plain);
    else if (credentials) {
      const digest = await payloadDigest(body, to.tls);
      const headers = { ...plain.headers, "x-amz-content-sha256": digest };
      const context = { credentials, region: to.region, service: "s3", nowMs: time };
      signed = await signRequest({ ...plain, headers }, context);
    }
    const maxBodyBytes = Math.max(request.maxBodyBytes, maxFaultBytes);
    return transport.send({ method, ...signed, body, signal, maxBodyBytes, timeoutMs });
  }

  /** GetBucketLocation, where the error itself did not say the region; one question for all that wait. */
  async function locate(credentials: S3Credentials | undefined): Promise<string | undefined> {
    const question = {
      operation: "location",
      method: "GET",
      key: "",
      query: { location: "" },
      maxBodyBytes: maxFaultBytes,
    } as const;
    const response = await send(question, options.address.inRegion("us-east-1"), credentials);
    if (response.status !== 200) return readFault(response, false).region;
    const region = parseXml(response.body).text.trim();
    // Names from before regions had names.
    if (region === "EU") return "eu-west-1";
    return region === "" ? "us-east-1" : region;
  }

  /** Learns from a refusal; true when the same request may succeed now. */
  async function corrected(
    fault: S3Fault,
    { credentials, sentTo, sentWithOffsetMs }: Attempt,
    rejected: Set<S3Credentials>,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    if (wrongRegion.has(fault.code) || fault.status === 301 || fault.status === 307) {
      // Another request may have learned it meanwhile.
      if (address !== sentTo) return true;
      let region = fault.region;
      if (region === undefined && fault.code === "AuthorizationHeaderMalformed") {
        locating ??= locate(credentials).finally(() => {
          locating = undefined;
        });
        region = await raced(
          locating.catch(() => undefined),
          signal,
        );
      }
      const moved = region === undefined ? sentTo : sentTo.inRegion(region);
      // A redirect may name the region that we have: then the host is another, as for buckets in paths at AWS.
      const isElsewhere = fault.status < 400 && moved.bucketUrl !== sentTo.bucketUrl;
      if (moved.region === sentTo.region && !isElsewhere) return false;
      logger.debug("Found bucket in another region", { bucket, region });
      address = moved;
      return true;
    }
    if (fault.code === "RequestTimeTooSkewed" && fault.serverTimeMs !== undefined) {
      // Another request may have learned it meanwhile.
      if (clockOffsetMs !== sentWithOffsetMs) return true;
      const offsetMs = fault.serverTimeMs - Number(clock.nowNs() / nsPerMs);
      if (Math.abs(offsetMs - clockOffsetMs) < 60_000) return false;
      logger.warn("Followed the clock of the server", { bucket, offsetMs });
      clockOffsetMs = offsetMs;
      return true;
    }
    if (credentials && credentialsRefused(fault)) {
      rejected.add(credentials);
      const fresh = await ask({ rejected: credentials }, signal);
      return fresh !== undefined && ![...rejected].some((old) => sameCredentials(old, fresh));
    }
    return false;
  }

  return {
    async presign(key, { lifetimeMs, signal }) {
      const credentials = options.sign ? undefined : await ask({}, signal);
      if (!credentials) return undefined;
      const { region } = address;
      const { bucketUrl } = options.publicAddress ?? address;
      const path = key.split("/").map(encodeComponent).join("/");
      const context = { credentials, region, service: "s3", nowMs: nowMs() };
      return presignUrl(`${bucketUrl}${path}`, context, lifetimeMs);
    },
    get bucketSeen() {
      return bucketSeen;
    },
    async request(request) {
      const rejected = new Set<S3Credentials>();
      for (let correction = 0; ; correction++) {
        request.signal?.throwIfAborted();
        const credentials = options.sign ? undefined : await ask({}, request.signal);
        const sentTo = address;
        const attempt = { credentials, sentTo, sentWithOffsetMs: clockOffsetMs };
        const response = await send(request, sentTo, credentials);
        if (response.status >= 200 && response.status < 300) {
          bucketSeen = true;
          return response;
        }
        const fault = readFault(response, request.method === "HEAD");
        if (fault.code === "NoSuchKey") bucketSeen = true;
        const answer = request.onFault?.(fault);
        if (answer instanceof Error) throw answer;
        if (answer) return answer;
        if (
          correction >= maxCorrections ||
          !(await corrected(fault, attempt, rejected, request.signal))
        ) {
          throw faultError(fault, { bucket, operation: request.operation, key: request.key });
        }
      }
    },
    close: () => transport.close(),
  };
}

/**
 * Inside TLS the signature need not cover the body a second time (`Content-MD5` does); in plain HTTP it must.
 */
async function payloadDigest(body: Uint8Array | undefined, tls: boolean): Promise<string> {
  if (tls) return "UNSIGNED-PAYLOAD";
  return body && body.length > 0 ? sha256Hex(body) : emptyDigest;
}
