/**
 * The contract of a blob store. One suite (`@dm/storage/testing`) holds every implementation to it.
 * Format: docs/format/blobs.md.
 * @module
 */

/** What a store knows of a blob without reading it. */
export interface BlobMetadata {
  readonly id: string;
  /** Bytes. */
  readonly length: number;
  /** Modification time that the store assigned, nanoseconds since 1970 UTC. This clock, not the client's, ages blobs. */
  readonly timestampNs: bigint;
}

/** Object-lock retention, counted from the moment of the put. */
export interface Retention {
  readonly mode: "GOVERNANCE" | "COMPLIANCE";
  readonly periodMs: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface GetOptions extends CallOptions {
  /** First byte wanted; 0 by default. */
  readonly offset?: number | undefined;
  /** How many bytes; by default all from `offset`, which may be the end. 0 only checks that the blob exists. */
  readonly length?: number | undefined;
}

export interface PutOptions extends CallOptions {
  /** Fail with `DM_BLOB_EXISTS` when the blob is there already; exactly one of several racing puts wins. */
  readonly ifAbsent?: boolean | undefined;
  readonly retention?: Retention | undefined;
  /** Ask the store to record this time instead of its own (nanoseconds since 1970). Few stores can. */
  readonly timestampNs?: bigint | undefined;
}

/** What a store can do beyond the basics; callers ask before they rely on it. */
export interface BlobStoreFeatures {
  readonly ifAbsent: boolean;
  readonly retention: boolean;
  readonly setTimestamp: boolean;
}

export interface Capacity {
  readonly capacityBytes: number;
  readonly availableBytes: number;
}

/**
 * A flat map from blob id to bytes. `checkBlobId` says what an id is; a call with anything else rejects with a `RangeError`.
 *
 * - `put` is atomic: no reader ever sees a part of a blob. A put that failed has left the old state or the new one, whole:
 *   an answer can be lost after the work was done.
 * - What a call has resolved holds for every later get, stat and list, also of other clients.
 * - Timestamps of one blob do not run backwards, except where a put sets its own.
 * - Bytes passed in are borrowed until the promise settles; bytes returned are the caller's.
 * - A call whose `signal` is aborted rejects with `signal.reason`; aborted before it began, it does nothing.
 */
export interface BlobStore {
  /** Kopia's name of the storage type: `filesystem`, `s3`, … */
  readonly type: string;
  /** One line for people, without secrets: `Filesystem: /backup`. */
  readonly displayName: string;
  readonly features: BlobStoreFeatures;
  readonly readOnly: boolean;

  /**
   * @throws {NotFoundError} `DM_BLOB_NOT_FOUND`
   * @throws {FormatError} `DM_BLOB_RANGE_INVALID` when the blob ends before `offset + length`; never a short result
   */
  get(id: string, options?: GetOptions): Promise<Uint8Array>;

  /**
   * Creates or replaces. Resolves when the bytes are durable.
   * @throws {ConflictError} `DM_BLOB_EXISTS` with `ifAbsent`
   * @throws {UnsupportedError} `DM_STORE_OPTION_UNSUPPORTED` for an option that `features` denies
   * @throws {AccessError} `DM_STORE_READ_ONLY`
   */
  put(id: string, data: Uint8Array, options?: PutOptions): Promise<void>;

  /** Deleting a blob that is not there is success. */
  delete(id: string, options?: CallOptions): Promise<void>;

  /**
   * Every blob whose id starts with `prefix`, in any order, each once. Pulled page by page: what is put or deleted in the
   * meantime may appear or not. Leaving the loop early is allowed.
   */
  list(prefix: string, options?: CallOptions): AsyncIterable<BlobMetadata>;

  /** @throws {NotFoundError} `DM_BLOB_NOT_FOUND` */
  stat(id: string, options?: CallOptions): Promise<BlobMetadata>;

  /**
   * Prolongs the retention of one blob to now + period.
   * @throws {NotFoundError} `DM_BLOB_NOT_FOUND`
   * @throws {UnsupportedError} `DM_STORE_OPTION_UNSUPPORTED` where `features` denies retention
   */
  extendRetention(id: string, retention: Retention, options?: CallOptions): Promise<void>;

  /** Size of the volume behind the store; undefined when it has no bound. */
  capacity(options?: CallOptions): Promise<Capacity | undefined>;

  /** Lets go of connections and handles; a second time does nothing. */
  close(): Promise<void>;
}
