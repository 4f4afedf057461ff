/**
 * Takes in the body of a request and holds it to everything the request says of it: length, SHA-256, Content-MD5, one of
 * the `x-amz-checksum-…` digests in a header or a trailer, the signatures of its chunks.
 * Proof: test/testing-s3-checks.test.ts, test/testing-s3-hostile.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import {
  type ChecksumAlgorithm,
  checksumAlgorithms,
  checksumHeader,
  checksumLength,
  createChecksum,
} from "./checksums.ts";
import { type ChunkedBody, chunkedBody } from "./chunked-body.ts";
import { refuse } from "./refusal.ts";
import type { Authentication } from "./signature.ts";

export interface ReceivedChecksum {
  readonly algorithm: ChecksumAlgorithm;
  /** As it travels, in base64. */
  readonly value: string;
}

export interface ReceivedBody {
  readonly bytes: Uint8Array;
  readonly md5: Uint8Array;
  /** The digest that the client gave, which was right. */
  readonly checksum: ReceivedChecksum | undefined;
  /** Whether anything but the signature vouches for the bytes, which object lock and batch deletes demand. */
  readonly verified: boolean;
}

export interface ReceiveOptions {
  readonly headers: ReadonlyMap<string, string>;
  readonly authentication: Authentication;
  /** Longest body, in bytes of the object. */
  readonly maxBytes: number;
  /** What a body that is too long is called. */
  readonly tooLong: "EntityTooLarge" | "MaxMessageLengthExceeded";
  /** Told of each piece as it comes: how many bytes of the request have arrived. */
  readonly onBytes?: ((received: number) => void) | undefined;
}

const signedStream = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const streams: readonly string[] = [
  signedStream,
  `${signedStream}-TRAILER`,
  "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
];

/** Framing and signatures add this much at most to what a chunked body carries, for chunks of a usual size. */
const framingBytes = (length: number): number => length + (length >> 3) + 65_536;

export async function receiveBody(
  request: IncomingMessage,
  options: ReceiveOptions,
): Promise<ReceivedBody> {
  const { authentication, headers, maxBytes, tooLong } = options;
  const { payload } = authentication;
  const streamed = streams.includes(payload);
  if (!streamed && payload !== "UNSIGNED-PAYLOAD" && !/^[0-9a-f]{64}$/.test(payload)) {
    throw refuse(
      "InvalidArgument",
      `x-amz-content-sha256 must be UNSIGNED-PAYLOAD, ${streams.join(", ")} or a SHA-256 in hex.`,
    );
  }
  const expected = announcedLength(headers, streamed);
  if (expected > maxBytes) throw refuse(tooLong, { headers: { connection: "close" } });
  const expectedMd5 = digestHeader(headers, "content-md5", 16, "InvalidDigest");
  const trailers = trailerNames(headers, payload);
  const announced = announcedChecksum(headers, trailers);
  const digest = announced && createChecksum(announced.algorithm);
  const md5 = createHash("md5");
  const sha256 = !streamed && payload !== "UNSIGNED-PAYLOAD" ? createHash("sha256") : undefined;
  const framing: ChunkedBody | undefined = streamed
    ? chunkedBody({
        signer: payload.startsWith(signedStream) ? authentication : undefined,
        trailers,
      })
    : undefined;

  const bytes = Buffer.allocUnsafe(expected);
  let length = 0;
  let received = 0;
  let failure: unknown;
  const take = (data: Uint8Array): void => {
    if (length + data.length > expected) throw refuse("IncompleteBody");
    bytes.set(data, length);
    length += data.length;
    md5.update(data);
    sha256?.update(data);
    digest?.update(data);
  };
  for await (const piece of request as AsyncIterable<Uint8Array>) {
    received += piece.length;
    options.onBytes?.(received);
    // What cannot be right any more is read to its end all the same, so that the client comes to read the answer.
    if (received > framingBytes(maxBytes))
      throw refuse(tooLong, { headers: { connection: "close" } });
    if (failure !== undefined) continue;
    try {
      if (framing) framing.push(piece, take);
      else take(piece);
    } catch (error) {
      failure = error;
    }
  }
  if (failure !== undefined) throw failure;
  // The Go client frames nothing when there is nothing to send.
  const found =
    received === 0 && expected === 0 && trailers.length === 0 ? undefined : framing?.end();
  if (length !== expected) throw refuse("IncompleteBody");

  if (sha256 && sha256.digest("hex") !== payload) throw refuse("XAmzContentSHA256Mismatch");
  const md5Digest = md5.digest();
  if (expectedMd5 && !expectedMd5.equals(md5Digest)) throw refuse("BadDigest");
  let checksum: ReceivedChecksum | undefined;
  if (announced && digest) {
    const name = checksumHeader(announced.algorithm);
    const given = announced.value ?? found?.get(name) ?? "";
    const value = digest.digest().toString("base64");
    checkChecksumForm(announced.algorithm, given);
    if (given !== value) {
      throw refuse(
        "BadDigest",
        `The ${announced.algorithm} you specified did not match the calculated checksum.`,
      );
    }
    checksum = { algorithm: announced.algorithm, value };
  }
  return {
    bytes,
    md5: md5Digest,
    checksum,
    verified: expectedMd5 !== undefined || checksum !== undefined,
  };
}

function announcedLength(headers: ReadonlyMap<string, string>, streamed: boolean): number {
  const text = headers.get(streamed ? "x-amz-decoded-content-length" : "content-length");
  if (text === undefined) {
    // A request without a body says nothing of its length.
    if (!streamed && !headers.has("transfer-encoding")) return 0;
    throw refuse("MissingContentLength");
  }
  if (!/^\d{1,15}$/.test(text))
    throw refuse("InvalidArgument", "The length of the body is not a number.");
  return Number(text);
}

/** The digest in a header in base64; undefined when there is none. */
function digestHeader(
  headers: ReadonlyMap<string, string>,
  name: string,
  length: number,
  code: "InvalidDigest",
): Buffer | undefined {
  const text = headers.get(name);
  if (text === undefined) return undefined;
  const bytes = Buffer.from(text, "base64");
  if (bytes.length !== length || bytes.toString("base64") !== text) throw refuse(code);
  return bytes;
}

function trailerNames(headers: ReadonlyMap<string, string>, payload: string): readonly string[] {
  const names = (headers.get("x-amz-trailer") ?? "")
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "");
  if (names.length > 0 !== payload.endsWith("-TRAILER"))
    throw refuse("InvalidRequest", "x-amz-trailer and x-amz-content-sha256 contradict each other.");
  if (new Set(names).size !== names.length || names.length > 8)
    throw refuse("InvalidRequest", "x-amz-trailer names too much.");
  return names;
}

/** Which digest the client gives, and its value unless that comes in a trailer. */
function announcedChecksum(
  headers: ReadonlyMap<string, string>,
  trailers: readonly string[],
): { readonly algorithm: ChecksumAlgorithm; readonly value: string | undefined } | undefined {
  const found = checksumAlgorithms.flatMap((algorithm) => {
    const name = checksumHeader(algorithm);
    const value = headers.get(name);
    return value !== undefined || trailers.includes(name) ? [{ algorithm, value }] : [];
  });
  if (found.length > 1) throw refuse("InvalidRequest", "Expecting a single x-amz-checksum- header");
  const [checksum] = found;
  const wanted = headers.get("x-amz-sdk-checksum-algorithm")?.toUpperCase();
  if (wanted !== undefined && checksum?.algorithm !== wanted && headers.has("content-length")) {
    throw refuse(
      "InvalidRequest",
      "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
    );
  }
  if (checksum?.value !== undefined) checkChecksumForm(checksum.algorithm, checksum.value);
  return checksum;
}

function checkChecksumForm(algorithm: ChecksumAlgorithm, value: string): void {
  const bytes = Buffer.from(value, "base64");
  if (bytes.length === checksumLength[algorithm] && bytes.toString("base64") === value) return;
  throw refuse("InvalidRequest", `Value for ${checksumHeader(algorithm)} header is invalid.`);
}
