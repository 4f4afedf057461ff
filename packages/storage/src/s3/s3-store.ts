/**
 * The S3 provider: one object for each blob, its key the prefix and the id.
 * Format: docs/format/blobs.md. Proof: test/s3-store.test.ts, test/s3-faults.test.ts, test/s3.weed.test.ts.
 * @module
 */
import { FormatError, isDmError } from "@dm/core";
import { fetchTransport } from "../http/fetch-transport.ts";
import { nodeTransport } from "../http/node-transport.ts";
import {
  type ObjectBlobStore,
  type ObjectStoreOptions,
  objectBlobStore,
} from "../http/object-store.ts";
import { objectsAt } from "../http/object-versions.ts";
import { blobNotFound, optionUnsupported } from "../store-errors.ts";
import type { CredentialsProvider } from "./credentials.ts";
import { bucketAddress, type EndpointOptions } from "./endpoint.ts";
import { s3Client } from "./s3-client.ts";
import { s3Objects } from "./s3-objects.ts";
import type { SignedRequest, UnsignedRequest } from "./signing.ts";

export interface StorageClassRule {
  /** Of blob ids; empty for all. */
  readonly prefix: string;
  /** Such as `STANDARD_IA`. */
  readonly storageClass: string;
}

export interface S3StoreOptions
  extends EndpointOptions,
    Omit<ObjectStoreOptions, "readOnly" | "retention"> {
  /** Without it requests are not signed: a public bucket. */
  readonly credentials?: CredentialsProvider | undefined;
  /**
   * Signs in place of `credentials`: a page in a browser asks its own server for presigned URLs. Sees each request, and gives
   * the URL and the headers to send.
   */
  readonly sign?: ((request: UnsignedRequest) => Promise<SignedRequest>) | undefined;
  /** Whether certificates are looked at; true by default. Node only. */
  readonly verifyTls?: boolean | undefined;
  /** First match decides. By default the rules of the blob `.storageconfig`, which is read before the first put. */
  readonly storageClasses?: readonly StorageClassRule[] | undefined;
  /**
   * Whether the server honours `If-None-Match: *` on put; false by default, because a server that ignores it would let
   * two writers win. AWS, MinIO, SeaweedFS, R2 and others do; the store contract finds out.
   */
  readonly conditionalPuts?: boolean | undefined;
  /** Whether the bucket has object lock; true by default, as Kopia assumes, and the server refuses where it has not. */
  readonly objectLock?: boolean | undefined;
  /** Endpoint in signed URLs, where others reach the server by another name. */
  readonly publicEndpoint?: string | undefined;
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
export function s3Store(options: S3StoreOptions): ObjectBlobStore {
  const { bucket, pointInTime, prefix = "", timeoutMs = 60_000 } = options;
  const address = bucketAddress(options);
  const transport = options.transport ?? nodeTransport(options) ?? fetchTransport();
  const { publicEndpoint } = options;
  const publicAddress = publicEndpoint
    ? bucketAddress({ ...options, endpoint: publicEndpoint })
    : undefined;
  const client = s3Client({ ...options, address, publicAddress, transport, timeoutMs });
  const objects = s3Objects(client, { bucket, storageClassOf });

  let storageClasses: Promise<readonly StorageClassRule[]> | undefined;
  async function storageClassOf(key: string): Promise<string | undefined> {
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
    return rules.find((rule) => key.startsWith(prefix + rule.prefix))?.storageClass;
  }

  async function readStorageConfig(): Promise<readonly StorageClassRule[]> {
    const key = prefix + configName;
    const none = (): Error => blobNotFound(configName);
    const errors = { missing: none, range: none };
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

  const past = pointInTime && objectsAt(objects, BigInt(pointInTime.getTime()) * 1_000_000n);
  return objectBlobStore(options, {
    type: "s3",
    displayName: `S3: ${options.endpoint} ${bucket}`,
    features: {
      ifAbsent: options.conditionalPuts ?? false,
      retention: options.objectLock ?? true,
      setTimestamp: false,
    },
    read: past ?? objects,
    write: past ? undefined : objects,
    async signUrl(key, call) {
      const url = await client.presign(key, call);
      if (url !== undefined) return url;
      throw optionUnsupported("s3", "signed URLs without credentials");
    },
    close: () => client.close(),
  });
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
