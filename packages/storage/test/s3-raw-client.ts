/**
 * Requests to the test S3 server that say exactly what a test wants: signed by the functions whose vectors
 * testing-s3-signature.test.ts checks, sent over a connection of their own, with any mistake one cares to make.
 * @module
 */
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import {
  type Authentication,
  canonicalRequest,
  chunkSignature,
  formatTimestamp,
  scopeText,
  sha256Hex,
  signatureOf,
  signingKeyOf,
  trailerSignature,
} from "../src/testing/s3/signature.ts";
import { parseTarget, percentEncode } from "../src/testing/s3/uri.ts";
import { parseXml, type XmlElement } from "../src/testing/s3/xml.ts";
import type { AccessKey, S3Server } from "../src/testing/s3.ts";

export interface RawRequest {
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Uint8Array | string | undefined;
  /** The first key of the server by default. */
  readonly accessKey?: AccessKey | undefined;
  readonly region?: string | undefined;
  readonly dateMs?: number | undefined;
  /** What `x-amz-content-sha256` says; the digest of the body by default. */
  readonly payload?: string | undefined;
  /** Sends no signature. */
  readonly anonymous?: boolean | undefined;
  /** Makes of body and signature what is sent. */
  readonly frame?: ((body: Uint8Array, signer: Authentication) => Uint8Array) | undefined;
  /** Changes the signed headers at the last moment. */
  readonly tamper?: ((headers: Record<string, string>) => void) | undefined;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  /** Code of an error document. */
  readonly code: string | undefined;
}

/** `/bucket/key` with the key encoded. */
export const target = (bucket: string, key = "", query = ""): string =>
  `/${bucket}${key === "" ? "" : `/${percentEncode(key, true)}`}${query === "" ? "" : `?${query}`}`;

export interface SignedHeaders {
  readonly headers: Record<string, string>;
  readonly signer: Authentication;
}

/** The headers of a signed request. */
export function signRequest(
  server: Pick<S3Server, "accessKey" | "endpoint" | "region">,
  method: string,
  path: string,
  options: RawRequest = {},
): SignedHeaders {
  const { accessKey = server.accessKey, dateMs = Date.now(), region = server.region } = options;
  const payload = options.payload ?? sha256Hex(options.body ?? "");
  const timestamp = formatTimestamp(dateMs);
  const headers: Record<string, string> = {
    host: server.endpoint,
    "x-amz-date": timestamp,
    "x-amz-content-sha256": payload,
    ...(accessKey.sessionToken && { "x-amz-security-token": accessKey.sessionToken }),
    ...options.headers,
  };
  const scope = { date: timestamp.slice(0, 8), region, service: "s3" };
  const names = Object.keys(headers).sort();
  const { path: decoded, query } = parseTarget(path, "");
  const canonical = canonicalRequest(
    { method, path: decoded, query, headers: new Map(Object.entries(headers)) },
    names,
    payload,
  );
  const signingKey = signingKeyOf(accessKey.secretAccessKey, scope);
  const signature = signatureOf(canonical, timestamp, scope, signingKey);
  const credential = `${accessKey.accessKeyId}/${scopeText(scope)}`;
  headers["authorization"] =
    `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names.join(";")}, Signature=${signature}`;
  const signer = {
    accessKey,
    scope,
    timestamp,
    signingKey,
    signature,
    payload,
    presigned: false,
  };
  return { headers, signer };
}

/** Sends a request; rejects when the connection breaks before the answer is whole. */
export async function send(
  server: S3Server,
  method: string,
  path: string,
  options: RawRequest = {},
): Promise<RawAnswer> {
  const plain = Buffer.from(options.body ?? "");
  let headers: Record<string, string> = { host: server.endpoint, ...options.headers };
  let body: Uint8Array = plain;
  if (!options.anonymous) {
    const signed = signRequest(server, method, path, options);
    headers = signed.headers;
    if (options.frame) body = options.frame(plain, signed.signer);
  }
  options.tamper?.(headers);
  return sendBytes(server, method, path, headers, body);
}

/** Sends these headers and bytes as they are. */
export function sendBytes(
  server: Pick<S3Server, "endpoint">,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array,
): Promise<RawAnswer> {
  const { hostname, port } = new URL(`http://${server.endpoint}`);
  return new Promise((resolve, reject) => {
    const length = body.length > 0 || method === "PUT" || method === "POST";
    const request = httpRequest(
      {
        host: hostname,
        port,
        method,
        path,
        agent: false,
        setHost: false,
        headers: { ...(length && { "content-length": String(body.length) }), ...headers },
      },
      (response) => {
        const pieces: Buffer[] = [];
        response.on("data", (piece: Buffer) => pieces.push(piece));
        response.on("error", reject);
        response.on("end", () => {
          const whole = Buffer.concat(pieces);
          const text = whole.toString();
          const [, code] = /<Error><Code>(\w+)<\/Code>/.exec(text) ?? [];
          const { headers: got, statusCode: status = 0 } = response;
          resolve({ status, headers: got, body: whole, text, code });
        });
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

/** The path of a presigned request. */
export function presign(
  server: S3Server,
  method: string,
  path: string,
  options: {
    readonly expiresSeconds?: number;
    readonly dateMs?: number;
    readonly accessKey?: AccessKey;
  } = {},
): string {
  const { accessKey = server.accessKey, dateMs = Date.now(), expiresSeconds = 60 } = options;
  const timestamp = formatTimestamp(dateMs);
  const scope = { date: timestamp.slice(0, 8), region: server.region, service: "s3" };
  const added: Array<readonly [string, string]> = [
    ["X-Amz-Algorithm", "AWS4-HMAC-SHA256"],
    ["X-Amz-Credential", `${accessKey.accessKeyId}/${scopeText(scope)}`],
    ["X-Amz-Date", timestamp],
    ["X-Amz-Expires", String(expiresSeconds)],
    ["X-Amz-SignedHeaders", "host"],
  ];
  if (accessKey.sessionToken) added.push(["X-Amz-Security-Token", accessKey.sessionToken]);
  const text = added.map(([name, value]) => `${name}=${percentEncode(value)}`).join("&");
  const full = `${path}${path.includes("?") ? "&" : "?"}${text}`;
  const { path: decoded, query } = parseTarget(full, "");
  const canonical = canonicalRequest(
    { method, path: decoded, query, headers: new Map([["host", server.endpoint]]) },
    ["host"],
    "UNSIGNED-PAYLOAD",
  );
  const signingKey = signingKeyOf(accessKey.secretAccessKey, scope);
  return `${full}&X-Amz-Signature=${signatureOf(canonical, timestamp, scope, signingKey)}`;
}

/** Options of a put in signed chunks, with signed trailers when there are any. */
export function signedChunks(
  body: Uint8Array,
  chunkBytes: number,
  trailers: Readonly<Record<string, string>> = {},
): RawRequest {
  const names = Object.keys(trailers);
  const word = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
  return {
    body,
    payload: names.length > 0 ? `${word}-TRAILER` : word,
    headers: {
      "x-amz-decoded-content-length": String(body.length),
      ...(names.length > 0 && { "x-amz-trailer": names.join(",") }),
    },
    frame: (bytes, signer) => frameSigned(bytes, signer, chunkBytes, trailers),
  };
}

export function frameSigned(
  bytes: Uint8Array,
  signer: Authentication,
  chunkBytes: number,
  trailers: Readonly<Record<string, string>> = {},
): Uint8Array {
  const pieces: Uint8Array[] = [];
  let previous = signer.signature;
  const withTrailers = Object.keys(trailers).length > 0;
  for (let at = 0; ; at += chunkBytes) {
    const chunk = bytes.subarray(at, at + chunkBytes);
    previous = chunkSignature(signer, previous, sha256Hex(chunk));
    const head = `${chunk.length.toString(16)};chunk-signature=${previous}\r\n`;
    const end = chunk.length === 0 && withTrailers ? "" : "\r\n";
    pieces.push(Buffer.from(head), chunk, Buffer.from(end));
    if (chunk.length === 0) break;
  }
  if (withTrailers) {
    const text = Object.entries(trailers).map(([name, value]) => `${name}:${value}\n`);
    const signature = trailerSignature(signer, previous, text.join(""));
    pieces.push(
      Buffer.from(text.map((line) => line.replace("\n", "\r\n")).join("")),
      Buffer.from(`x-amz-trailer-signature:${signature}\r\n\r\n`),
    );
  }
  return Buffer.concat(pieces);
}

/** Options of a put in chunks that are not signed, with trailers. */
export function unsignedChunks(
  body: Uint8Array,
  chunkBytes: number,
  trailers: Readonly<Record<string, string>>,
): RawRequest {
  return {
    body,
    payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    headers: {
      "content-encoding": "aws-chunked",
      "x-amz-decoded-content-length": String(body.length),
      "x-amz-trailer": Object.keys(trailers).join(","),
    },
    frame: (bytes) => frameUnsigned(bytes, chunkBytes, trailers),
  };
}

export function frameUnsigned(
  bytes: Uint8Array,
  chunkBytes: number,
  trailers: Readonly<Record<string, string>>,
): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const chunk = bytes.subarray(at, at + chunkBytes);
    pieces.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n"));
  }
  const lines = Object.entries(trailers).map(([name, value]) => `${name}:${value}\r\n`);
  pieces.push(Buffer.from(`0\r\n${lines.join("")}\r\n`));
  return Buffer.concat(pieces);
}

/** The document of an answer. */
export function xmlOf(answer: RawAnswer, rootName: string): XmlElement {
  return parseXml(answer.body, rootName);
}

/** Texts at the end of a path of names, of all elements on the way. */
export function texts(root: XmlElement, ...path: readonly string[]): string[] {
  let elements = [root];
  for (const name of path)
    elements = elements.flatMap(({ children }) => children.filter((child) => child.name === name));
  return elements.map(({ text }) => text);
}
