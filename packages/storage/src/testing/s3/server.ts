/**
 * A small S3 server for tests and demonstrations: correct where a client of a repository could notice, on loopback only,
 * in memory or in a directory, with faults, latency, roles and clocks as a test wants them.
 * Proof: test/testing-s3-checks.test.ts, test/testing-s3-server.test.ts, test/s3-server.kopia.test.ts.
 * @module
 */
import { createServer, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Clock } from "@dm/core";
import type { AccessKey } from "./access-key.ts";
import type { DefaultRetention, ObjectVersion } from "./buckets.ts";
import type { CorsRule } from "./cors.ts";
import type { S3FaultRule } from "./faults.ts";
import type { Latency } from "./latency.ts";
import type { S3Feature } from "./missing-features.ts";
import type { S3Operation } from "./operation.ts";
import { S3Service } from "./service.ts";
import type { AssumableRole, WebIdentity } from "./token-service.ts";

/** A bucket that is there from the start. */
export interface BucketOptions {
  readonly name: string;
  /** Switches versions on, too. */
  readonly objectLock?: boolean | undefined;
  readonly versioning?: boolean | undefined;
  /** Needs `objectLock`. */
  readonly defaultRetention?: DefaultRetention | undefined;
}

/** Where a bucket is that this server has not, but knows of. */
export interface Elsewhere {
  readonly region: string;
  /** URL of the server there, without a path. */
  readonly url: string;
  /** 301, with which clients must find the region themselves, or 307, which they may follow; 301 by default. */
  readonly status?: 301 | 307 | undefined;
}

export interface S3ServerOptions {
  /** An address of this machine's loopback; `127.0.0.1` by default. */
  readonly host?: string | undefined;
  /** A free port by default. */
  readonly port?: number | undefined;
  /** Key and certificate in PEM; without them the server speaks plain HTTP. */
  readonly tls?: { readonly key: string; readonly cert: string } | undefined;
  /** `us-east-1` by default. */
  readonly region?: string | undefined;
  /** Accepts signatures for any region, as many small servers do. */
  readonly anyRegion?: boolean | undefined;
  /** {@link testAccessKey} alone by default. */
  readonly accessKeys?: readonly AccessKey[] | undefined;
  /** Identities for which the token service on `POST /` gives out temporary keys; without them and roles there is none. */
  readonly webIdentities?: readonly WebIdentity[] | undefined;
  /** Roles for which it does so when a key asks. */
  readonly roles?: readonly AssumableRole[] | undefined;
  readonly buckets?: ReadonlyArray<string | BucketOptions> | undefined;
  readonly elsewhere?: Readonly<Record<string, Elsewhere>> | undefined;
  /** Keeps everything in this directory, where the next server finds it again; in memory by default. */
  readonly directory?: string | undefined;
  readonly clock?: Clock | undefined;
  readonly latency?: Latency | undefined;
  /** None by default, so that browsers may not read answers. */
  readonly cors?: readonly CorsRule[] | undefined;
  /** What the server has not; it has everything by default. */
  readonly missingFeatures?: readonly S3Feature[] | undefined;
  /** Largest object; 1 GiB by default. */
  readonly maxObjectBytes?: number | undefined;
  /** Smallest part of a multipart upload but the last; 5 MiB by default. */
  readonly minPartBytes?: number | undefined;
}

/** One request that was answered, or whose connection broke. */
export interface S3LogEntry {
  readonly number: number;
  /** Undefined: the request was none that the server knows. */
  readonly operation: S3Operation | undefined;
  readonly bucket: string;
  readonly key: string;
  /** The `Range` header. */
  readonly range: string | undefined;
  readonly accessKeyId: string | undefined;
  /** Undefined: the connection was cut. */
  readonly status: number | undefined;
  readonly code: string | undefined;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** What is in a bucket, for assertions. */
export interface BucketView {
  /** Keys of objects, in order. */
  readonly keys: readonly string[];
  /** Versions and delete markers of a key, newest first. */
  versions(key: string): readonly ObjectVersion[];
  /** Bytes of the current version; undefined when there is none. */
  read(key: string): Promise<Uint8Array | undefined>;
}

export interface S3Server extends AsyncDisposable {
  /** `http://127.0.0.1:40001`. */
  readonly url: string;
  /** Host and port, as kopia's `--endpoint` wants them. */
  readonly endpoint: string;
  readonly region: string;
  /** The first key. */
  readonly accessKey: AccessKey;
  /** Requests by operation since the start, or since `resetCounts`. */
  readonly counts: Readonly<Record<S3Operation, number>>;
  /** The latest requests, oldest first; 10,000 at most. */
  readonly log: readonly S3LogEntry[];
  /** Rounds of lockstep so far. */
  readonly rounds: number;
  /** What the server's clock is ahead by; times of objects, checks of signatures and of locks follow it. */
  clockOffsetMs: number;
  resetCounts(): void;
  /** Adds or replaces an access key. */
  setAccessKey(key: AccessKey): void;
  removeAccessKey(accessKeyId: string): void;
  setLatency(latency: Latency | undefined): void;
  /** Adds a rule in front of the others; the function that is returned takes it away again. */
  inject(rule: S3FaultRule): () => void;
  createBucket(bucket: string | BucketOptions): void;
  /** @throws {RangeError} when there is no such bucket. */
  bucket(name: string): BucketView;
  /** Cuts all connections and waits until the port is free. */
  close(): Promise<void>;
}

/**
 * Starts a server.
 * @throws {RangeError} when `host` is no loopback address, a bucket has a name that S3 does not allow, or there is no key.
 * @example
 * await using server = await startS3Server({ buckets: ["backups"] });
 * console.log(server.url, server.accessKey.accessKeyId);
 */
export async function startS3Server(options: S3ServerOptions = {}): Promise<S3Server> {
  const { host = "127.0.0.1", port = 0, tls } = options;
  if (!/^(?:localhost|::1|127(?:\.\d{1,3}){3})$/.test(host))
    throw new RangeError(`the test server listens on loopback only, not on ${host}`);
  const service = new S3Service(options);
  // Headers beyond 16 KiB are answered with 431 by Node itself.
  const limits = { maxHeaderSize: 16_384, keepAliveTimeout: 60_000, headersTimeout: 60_000 };
  const server: Server = tls
    ? createTlsServer({ ...limits, ...tls }, service.listener)
    : createServer(limits, service.listener);
  server.on("clientError", (_error, socket) => {
    if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    else socket.destroy();
  });
  // A client that breaks off in the middle of TLS is nothing to us.
  server.on("tlsClientError", () => {});
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, resolve);
    });
  } catch (error) {
    service.dispose();
    throw error;
  }
  const { address, family, port: bound } = server.address() as AddressInfo;
  const name = host === "localhost" ? host : family === "IPv6" ? `[${address}]` : address;
  return service.publicFace(server, `${name}:${bound}`, tls ? "https" : "http");
}
