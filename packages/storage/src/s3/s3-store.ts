/**
 * The S3 provider: one object for each blob, its key the prefix and the id.
 * Format: docs/format/blobs.md. Proof: test/s3-store.test.ts, test/s3-faults.test.ts, test/s3.weed.test.ts.
 * @module
 */
import { type Clock, FormatError, isDmError, type Logger } from "@dm/core";
import { checkBlobId, isBlobId } from "../blob-id.ts";
import type { BlobMetadata, BlobStore, BlobStoreFeatures, CallOptions } from "../blob-store.ts";
import { fetchTransport } from "../http/fetch-transport.ts";
import type { HttpTransport } from "../http/http-transport.ts";
import { nodeTransport } from "../http/node-transport.ts";
import { type RetryOptions, repeating, retrying } from "../retrying.ts";
import {
  blobExists,
  blobNotFound,
  checkPutOptions,
  optionUnsupported,
  rangeInvalid,
  storeReadOnly,
} from "../store-errors.ts";
import type { CredentialsProvider } from "./credentials.ts";
import { bucketAddress, type EndpointOptions } from "./endpoint.ts";
import { pointInTime } from "./point-in-time.ts";
import { s3Client } from "./s3-client.ts";
import { type S3Object, s3Objects } from "./s3-objects.ts";
import type { SignedRequest, UnsignedRequest } from "./signing.ts";

export interface StorageClassRule {
  /** Of blob ids; empty for all. */
  readonly prefix: string;
  /** Such as `STANDARD_IA`. */
  readonly storageClass: string;
}

export interface S3StoreOptions extends EndpointOptions {
  /** Stands before every blob id; one that shall be a folder ends in a slash. */
  readonly prefix?: string | undefined;
  /** Without it requests are not signed: a public bucket. */
  readonly credentials?: CredentialsProvider | undefined;
  /**
   * Signs in place of `credentials`: a page in a browser asks its own server for presigned URLs. Sees each request, and gives
   * the URL and the headers to send.
   */
  readonly sign?: ((request: UnsignedRequest) => Promise<SignedRequest>) | undefined;
  /** PEM, in place of the platform's certificate authorities; Node only. */
  readonly rootCa?: string | undefined;
  /** Whether certificates are looked at; true by default. Node only. */
  readonly verifyTls?: boolean | undefined;
  /** Node's HTTP client where there is one, else `fetch`, by default. */
  readonly transport?: HttpTransport | undefined;
  /** Connections at once, of Node's client; 64 by default. */
  readonly maxConnections?: number | undefined;
  /** First match decides. By default the rules of the blob `.storageconfig`, which is read before the first put. */
  readonly storageClasses?: readonly StorageClassRule[] | undefined;
  /**
   * Whether the server honours `If-None-Match: *` on put; false by default, because a server that ignores it would let
   * two writers win. AWS, MinIO, SeaweedFS, R2 and others do; the store contract finds out.
   */
  readonly conditionalPuts?: boolean | undefined;
  /** Whether the bucket has object lock; true by default, as Kopia assumes, and the server refuses where it has not. */
  readonly objectLock?: boolean | undefined;
  /** Shows the versions of this time, read-only. */
  readonly pointInTime?: Date | undefined;
  /** Longest silence of the server; 60,000 by default. */
  readonly timeoutMs?: number | undefined;
  /** Longest blob that is read without a range; 1 GiB by default. */
  readonly maxBlobBytes?: number | undefined;
  /** Ten calls in all by default; the store repeats by itself. */
  readonly retries?: RetryOptions | undefined;
  readonly clock?: Clock | undefined;
  /** Hears at `debug` of what is tried again, and of what the server taught us. */
  readonly logger?: Logger | undefined;
}

/** Rules of storage classes that lie beside the blobs, hidden from lists. */
const configName = ".storageconfig";
const maxConfigBytes = 1 << 20;

/**
 * Opens a bucket as a blob store; no request is made before the first call. What passes by itself (5xx, 429, timeouts, cut
 * connections, a list page that breaks) is tried again, ten calls in all.
 * @throws {TypeError} for an endpoint, bucket or prefix that is none
 * @example
 * const credentials = staticCredentials({ accessKeyId: "AKIA…", secretAccessKey: "…" });
 * const store = s3Store({ endpoint: "s3.amazonaws.com", bucket: "backup", prefix: "velero/kopia/shop/", credentials });
 */
export function s3Store(options: S3StoreOptions): BlobStore {
  const { clock, logger, maxBlobBytes = 1 << 30, prefix = "", timeoutMs = 60_000 } = options;
  checkPrefix(prefix);
  const { bucket } = options;
  const address = bucketAddress(options);
  const retries: RetryOptions = { attempts: 10, clock, logger, ...options.retries };
  const repeat = repeating(retries);
  const transport = options.transport ?? nodeTransport(options) ?? fetchTransport();
  const client = s3Client({ ...options, address, transport, timeoutMs });
  const objects = s3Objects(client);
  const readOnly = options.pointInTime !== undefined;
  const past =
    options.pointInTime &&
    pointInTime(objects, bucket, BigInt(options.pointInTime.getTime()) * 1_000_000n, repeat);
  const features: BlobStoreFeatures = {
    ifAbsent: !readOnly && (options.conditionalPuts ?? false),
    retention: !readOnly && (options.objectLock ?? true),
    setTimestamp: false,
  };

  const keyOf = (id: string, signal: AbortSignal | undefined): string => {
    signal?.throwIfAborted();
    checkBlobId(id);
    return prefix + id;
  };
  const metadata = ({ key, length, timestampNs }: S3Object): BlobMetadata => ({
    id: key.slice(prefix.length),
    length,
    timestampNs,
  });
  const missing = (id: string) => (): Error => blobNotFound(id);

  let storageClasses: Promise<readonly StorageClassRule[]> | undefined;
  async function storageClassOf(id: string): Promise<string | undefined> {
    storageClasses ??= options.storageClasses
      ? Promise.resolve(options.storageClasses)
      : readStorageConfig();
    let rules: readonly StorageClassRule[];
    try {
      rules = await storageClasses;
    } catch (error) {
      storageClasses = undefined;
      throw error;
    }
    return rules.find((rule) => id.startsWith(rule.prefix))?.storageClass;
  }

  async function readStorageConfig(): Promise<readonly StorageClassRule[]> {
    const key = prefix + configName;
    const errors = { missing: missing(configName), range: () => blobNotFound(configName) };
    try {
      return parseStorageConfig(
        await objects.get(key, undefined, errors, { maxBytes: maxConfigBytes }),
        key,
      );
    } catch (error) {
      if (isDmError(error, "DM_BLOB_NOT_FOUND")) return [];
      throw error;
    }
  }

  async function versionOf(id: string, key: string, signal: AbortSignal | undefined) {
    const version = await past?.find(key, signal);
    if (past && !version) throw blobNotFound(id);
    return version;
  }

  const store: BlobStore = {
    type: "s3",
    displayName: `S3: ${options.endpoint} ${bucket}`,
    features,
    readOnly,
    async get(id, { offset = 0, length, signal } = {}) {
      const key = keyOf(id, signal);
      if (!isCount(offset) || (length !== undefined && !isCount(length))) {
        throw rangeInvalid(id, offset, length ?? 0);
      }
      if (length === 0) {
        await store.stat(id, { signal });
        return new Uint8Array(0);
      }
      const version = await versionOf(id, key, signal);
      const errors = {
        missing: missing(id),
        range: (objectLength?: number) => rangeInvalid(id, offset, length ?? 0, objectLength),
      };
      const range = offset === 0 && length === undefined ? undefined : { offset, length };
      return objects.get(key, range, errors, {
        signal,
        maxBytes: maxBlobBytes,
        versionId: version?.versionId,
      });
    },
    async put(id, data, put = {}) {
      const key = keyOf(id, put.signal);
      if (readOnly) throw storeReadOnly("put");
      checkPutOptions("s3", features, put);
      const storageClass = await storageClassOf(id);
      const exists = put.ifAbsent ? () => blobExists(id) : undefined;
      await objects.put(key, data, {
        signal: put.signal,
        retention: put.retention,
        storageClass,
        exists,
      });
    },
    async delete(id, { signal } = {}) {
      const key = keyOf(id, signal);
      if (readOnly) throw storeReadOnly("delete");
      await objects.remove(key, { signal });
    },
    async *list(wanted, { signal } = {}) {
      signal?.throwIfAborted();
      for await (const object of past
        ? past.list(prefix + wanted, signal)
        : listed(wanted, signal)) {
        signal?.throwIfAborted();
        // Keys of other programs, and `.storageconfig`, name no blobs.
        const blob = metadata(object);
        if (isBlobId(blob.id)) yield blob;
      }
    },
    async stat(id, { signal } = {}) {
      const key = keyOf(id, signal);
      const version = await versionOf(id, key, signal);
      return metadata(version ?? (await objects.head(key, { missing: missing(id) }, { signal })));
    },
    async extendRetention(id, retention, { signal } = {}) {
      const key = keyOf(id, signal);
      if (readOnly) throw storeReadOnly("extendRetention");
      if (!features.retention) throw optionUnsupported("s3", "retention");
      await objects.extendRetention(key, retention, { missing: missing(id) }, { signal });
    },
    async capacity({ signal }: CallOptions = {}) {
      signal?.throwIfAborted();
      return undefined;
    },
    close: () => client.close(),
  };

  /** A page that breaks is asked for again, so that nothing need be remembered. */
  async function* listed(
    wanted: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<S3Object> {
    let token: string | undefined;
    do {
      const from = token;
      const page = await repeat(signal, () => objects.listPage(prefix + wanted, from, { signal }));
      yield* page.objects;
      token = page.next;
    } while (token !== undefined);
  }

  return { ...retrying(store, retries), list: store.list };
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/** A URL has no way to spell these as parts of a path. */
function checkPrefix(prefix: string): void {
  const parts = prefix.split("/");
  if (parts.includes(".") || parts.includes("..") || !/^[^\p{Cc}]*$/u.test(prefix)) {
    throw new TypeError(`not a prefix of keys: ${JSON.stringify(prefix)}`);
  }
}

/**
 * The rules in `.storageconfig`.
 * @throws {FormatError} `DM_STORAGE_CONFIG_INVALID`
 */
export function parseStorageConfig(bytes: Uint8Array, key: string): readonly StorageClassRule[] {
  const fault = (reason: string): FormatError =>
    new FormatError("DM_STORAGE_CONFIG_INVALID", `${key}: ${reason}`, { key });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw fault("not JSON");
  }
  const rules = (value as { blobOptions?: unknown } | null)?.blobOptions ?? [];
  if (!Array.isArray(rules)) throw fault("blobOptions is no list");
  return rules.map((rule: unknown) => {
    const { prefix = "", storageClass = "" } = (rule ?? {}) as Record<string, unknown>;
    if (typeof prefix !== "string" || typeof storageClass !== "string") {
      throw fault("a rule of blobOptions is not a prefix and a storage class");
    }
    return { prefix, storageClass };
  });
}
