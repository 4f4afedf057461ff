/**
 * A blob store over the few requests that every object service has: one object for each blob, its key the prefix and the id.
 * Format: docs/format/blobs.md. Proof: test/s3-store.test.ts, test/azure-store.test.ts, test/gcs-store.test.ts.
 * @module
 */
import type { Clock, Logger } from "@dm/core";
import { checkBlobId, isBlobId } from "../blob-id.ts";
import type {
  BlobMetadata,
  BlobStore,
  BlobStoreFeatures,
  CallOptions,
  Retention,
} from "../blob-store.ts";
import { type Repeat, type RetryOptions, repeating, retrying } from "../retrying.ts";
import {
  blobExists,
  blobNotFound,
  checkPutOptions,
  optionUnsupported,
  rangeInvalid,
  storeReadOnly,
} from "../store-errors.ts";
import type { HttpTransport } from "./http-transport.ts";

export interface StoredObject {
  readonly key: string;
  /** Bytes. */
  readonly length: number;
  readonly timestampNs: bigint;
}

export interface ByteRange {
  readonly offset: number;
  /** Up to the end without it. */
  readonly length?: number | undefined;
}

export interface ObjectCall {
  readonly signal?: AbortSignal | undefined;
}

/** What a caller makes of a key that is not there, and of a range that the object does not have. */
export interface ObjectErrors {
  missing(): Error;
  range(objectLength: number): Error;
}

export interface ObjectPut extends ObjectCall {
  readonly retention?: Retention | undefined;
  /** Recorded beside the object, in Kopia's way. */
  readonly timestampNs?: bigint | undefined;
  /** The error for an object that is there; makes the put conditional. */
  readonly exists?: (() => Error) | undefined;
}

export interface ReadableObjects {
  head(key: string, errors: ObjectErrors, call: ObjectCall): Promise<StoredObject>;
  get(
    key: string,
    range: ByteRange | undefined,
    errors: ObjectErrors,
    call: ObjectCall & { readonly maxBytes: number },
  ): Promise<Uint8Array>;
  /** Single pages are asked for through `repeat`, so that nothing given out need be remembered. */
  list(prefix: string, repeat: Repeat, call: ObjectCall): AsyncIterable<StoredObject>;
  /** What stands between `prefix` and the next slash, in the keys that have one. */
  folders?(prefix: string, repeat: Repeat, call: ObjectCall): AsyncIterable<string>;
}

/** Gives URLs that prove who asks by themselves. */
export type SignUrl = (
  key: string,
  options: { readonly lifetimeMs: number } & ObjectCall,
) => Promise<string>;

/** A blob store, and what object services can do beside. Wrappers of stores leave that away. */
export interface ObjectBlobStore extends BlobStore {
  /**
   * Names of the folders below the store's prefix, which must end in a slash: what other stores with a longer prefix have put.
   * @throws {UnsupportedError} `DM_STORE_OPTION_UNSUPPORTED` for a past state
   */
  folders(options?: CallOptions): AsyncIterable<string>;
  /**
   * A URL under which anybody can read one blob for `lifetimeMs`; the blob need not exist. Whole seconds count, at most 7 days.
   * @throws {UnsupportedError} `DM_STORE_OPTION_UNSUPPORTED` when these credentials cannot sign
   */
  signedUrl(id: string, options: { readonly lifetimeMs: number } & CallOptions): Promise<string>;
}

export interface WritableObjects {
  put(key: string, data: Uint8Array, options: ObjectPut): Promise<void>;
  /** Removing what is not there is success. */
  remove(key: string, call: ObjectCall): Promise<void>;
  extendRetention(
    key: string,
    retention: Retention,
    errors: ObjectErrors,
    call: ObjectCall,
  ): Promise<void>;
}

/** What the stores of this kind have in common. */
export interface ObjectStoreOptions {
  /** Stands before every blob id; one that shall be a folder ends in a slash. */
  readonly prefix?: string | undefined;
  /** Refuses every change; false by default. */
  readonly readOnly?: boolean | undefined;
  /**
   * Whether the container can keep single blobs for a time (version-level immutability, object retention). True by default, as
   * Kopia assumes, and the service refuses where it cannot.
   */
  readonly retention?: boolean | undefined;
  /** Shows the versions of this time, read-only. */
  readonly pointInTime?: Date | undefined;
  /** Node's HTTP client where there is one, else `fetch`, by default. */
  readonly transport?: HttpTransport | undefined;
  /** Connections at once, of Node's client; 64 by default. */
  readonly maxConnections?: number | undefined;
  /** PEM, in place of the platform's certificate authorities; Node only. */
  readonly rootCa?: string | undefined;
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

export interface ObjectStoreParts {
  readonly type: string;
  readonly displayName: string;
  /** Of a store that may be written to, where they are not all. */
  readonly features?: Partial<BlobStoreFeatures> | undefined;
  readonly read: ReadableObjects;
  /** Without it the store is read-only. */
  readonly write: WritableObjects | undefined;
  readonly signUrl?: SignUrl | undefined;
  readonly close: () => Promise<void>;
}

export function objectBlobStore(
  options: ObjectStoreOptions,
  parts: ObjectStoreParts,
): ObjectBlobStore {
  const { clock, logger, maxBlobBytes = 1 << 30, prefix = "" } = options;
  const { read, type, write } = parts;
  checkPrefix(prefix);
  const retries: RetryOptions = { attempts: 10, clock, logger, ...options.retries };
  const repeat = repeating(retries);
  const features: BlobStoreFeatures = write
    ? {
        ifAbsent: true,
        retention: options.retention ?? true,
        setTimestamp: true,
        ...parts.features,
      }
    : { ifAbsent: false, retention: false, setTimestamp: false };

  const keyOf = (id: string, signal: AbortSignal | undefined): string => {
    signal?.throwIfAborted();
    checkBlobId(id);
    return prefix + id;
  };
  const metadata = ({ key, length, timestampNs }: StoredObject): BlobMetadata => ({
    id: key.slice(prefix.length),
    length,
    timestampNs,
  });
  const errorsOf = (id: string, offset = 0, length = 0): ObjectErrors => ({
    missing: () => blobNotFound(id),
    range: (objectLength) => rangeInvalid(id, offset, length, objectLength),
  });

  const store: BlobStore = {
    type,
    displayName: parts.displayName,
    features,
    readOnly: !write,
    async get(id, { offset = 0, length, signal } = {}) {
      const key = keyOf(id, signal);
      if (!isCount(offset) || (length !== undefined && !isCount(length))) {
        throw rangeInvalid(id, offset, length ?? 0);
      }
      if (length === 0) {
        await store.stat(id, { signal });
        return new Uint8Array(0);
      }
      const range = offset === 0 && length === undefined ? undefined : { offset, length };
      const errors = errorsOf(id, offset, length);
      return read.get(key, range, errors, { signal, maxBytes: maxBlobBytes });
    },
    async put(id, data, put = {}) {
      const key = keyOf(id, put.signal);
      if (!write) throw storeReadOnly("put");
      checkPutOptions(type, features, put);
      const { retention, signal, timestampNs } = put;
      const exists = put.ifAbsent ? () => blobExists(id) : undefined;
      await write.put(key, data, { signal, retention, timestampNs, exists });
    },
    async delete(id, { signal } = {}) {
      const key = keyOf(id, signal);
      if (!write) throw storeReadOnly("delete");
      await write.remove(key, { signal });
    },
    async *list(wanted, { signal } = {}) {
      signal?.throwIfAborted();
      for await (const object of read.list(prefix + wanted, repeat, { signal })) {
        signal?.throwIfAborted();
        // Keys of other programs name no blobs.
        const blob = metadata(object);
        if (isBlobId(blob.id)) yield blob;
      }
    },
    async stat(id, { signal } = {}) {
      return metadata(await read.head(keyOf(id, signal), errorsOf(id), { signal }));
    },
    async extendRetention(id, retention, { signal } = {}) {
      const key = keyOf(id, signal);
      if (!write) throw storeReadOnly("extendRetention");
      if (!features.retention) throw optionUnsupported(type, "retention");
      await write.extendRetention(key, retention, errorsOf(id), { signal });
    },
    async capacity({ signal } = {}) {
      signal?.throwIfAborted();
      return undefined;
    },
    close: parts.close,
  };
  return {
    ...retrying(store, retries),
    list: store.list,
    async *folders({ signal } = {}) {
      signal?.throwIfAborted();
      if (!read.folders) throw optionUnsupported(type, "folders");
      yield* read.folders(prefix, repeat, { signal });
    },
    async signedUrl(id, { lifetimeMs, signal }) {
      const key = keyOf(id, signal);
      if (!parts.signUrl) throw optionUnsupported(type, "signed URLs with these credentials");
      if (!(lifetimeMs >= 1_000 && lifetimeMs <= maxLifetimeMs))
        throw new RangeError(`a signed URL cannot be valid for ${lifetimeMs} ms`);
      return parts.signUrl(key, { lifetimeMs, signal });
    },
  };
}

const maxLifetimeMs = 7 * 24 * 3_600_000;

/** The names of folders in a page's common prefixes. */
export function folderNames(prefixes: readonly string[], prefix: string): string[] {
  return prefixes
    .filter((one) => one.startsWith(prefix) && one.endsWith("/"))
    .map((one) => one.slice(prefix.length, -1))
    .filter((name) => name !== "");
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/** A URL has no way to spell these as parts of a path. */
export function checkPrefix(prefix: string): void {
  const parts = prefix.split("/");
  if (parts.includes(".") || parts.includes("..") || !/^[^\p{Cc}]*$/u.test(prefix)) {
    throw new TypeError(`not a prefix of keys: ${JSON.stringify(prefix)}`);
  }
}

/** The time that Kopia records beside an object: decimal nanoseconds since 1970; undefined where there is none. */
export function recordedTimeNs(text: string | undefined): bigint | undefined {
  return text !== undefined && /^-?\d{1,19}$/.test(text) ? BigInt(text) : undefined;
}

/** A time of RFC 3339 with all of its digits: `2026-11-25T10:00:00.1234567Z`; undefined where it is none. */
export function exactTimeNs(text: unknown): bigint | undefined {
  const found =
    typeof text === "string"
      ? /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text)
      : null;
  const timeMs = Date.parse(`${found?.[1]}${found?.[3]}`);
  if (!found || Number.isNaN(timeMs)) return undefined;
  return BigInt(timeMs) * 1_000_000n + BigInt((found[2] ?? "").padEnd(9, "0"));
}

/** Follows pages to their end; each is asked for through `repeat`. */
export async function* eachPage<Entry, Token = string>(
  repeat: Repeat,
  signal: AbortSignal | undefined,
  ask: (
    token: Token | undefined,
  ) => Promise<{ readonly entries: readonly Entry[]; readonly next: Token | undefined }>,
): AsyncGenerator<Entry> {
  let token: Token | undefined;
  do {
    const from = token;
    const page = await repeat(signal, () => ask(from));
    yield* page.entries;
    token = page.next;
  } while (token !== undefined);
}
