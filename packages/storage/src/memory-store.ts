/**
 * A blob store in memory: for tests, and for repositories that are built before they are sent elsewhere.
 * @module
 */
import { type Clock, systemClock } from "@dm/core";
import { checkBlobId } from "./blob-id.ts";
import type { BlobMetadata, BlobStore, Retention } from "./blob-store.ts";
import { blobExists, blobNotFound, rangeInvalid } from "./store-errors.ts";

export interface MemoryStoreOptions {
  readonly clock?: Clock | undefined;
  /** Blobs to begin with; the arrays are taken over. */
  readonly blobs?: ReadonlyMap<string, Uint8Array> | undefined;
}

/** A store whose inside tests can see and change. */
export interface MemoryStore extends BlobStore {
  /** Bytes by id. The arrays are the store's own: a change is damage. */
  readonly blobs: Map<string, Uint8Array>;
  /** Time until which a blob is locked (nanoseconds since 1970), by id. */
  readonly lockedUntilNs: ReadonlyMap<string, bigint>;
  /** Changes the time that the store gives for a blob. */
  setTimestamp(id: string, timestampNs: bigint): void;
}

/**
 * A store in this process: everything that a store can do. Retention is recorded, and stops nobody.
 * @example const store = memoryStore();
 */
export function memoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  const { clock = systemClock } = options;
  const blobs = new Map(options.blobs);
  const timestamps = new Map<string, bigint>();
  const lockedUntilNs = new Map<string, bigint>();
  const createdAtNs = clock.nowNs();

  const metadata = (id: string, bytes: Uint8Array): BlobMetadata => ({
    id,
    length: bytes.length,
    timestampNs: timestamps.get(id) ?? createdAtNs,
  });
  const read = (id: string): Uint8Array => {
    checkBlobId(id);
    const bytes = blobs.get(id);
    if (!bytes) throw blobNotFound(id);
    return bytes;
  };
  const lock = (id: string, retention: Retention): void => {
    lockedUntilNs.set(id, clock.nowNs() + BigInt(Math.round(retention.periodMs)) * 1_000_000n);
  };

  return {
    type: "memory",
    displayName: "Memory",
    features: { ifAbsent: true, retention: true, setTimestamp: true },
    readOnly: false,
    blobs,
    lockedUntilNs,
    setTimestamp: (id, timestampNs) => {
      timestamps.set(id, timestampNs);
    },
    async get(id, { offset = 0, length, signal } = {}) {
      signal?.throwIfAborted();
      const bytes = read(id);
      const end = length === undefined ? bytes.length : offset + length;
      if (
        offset < 0 ||
        (length ?? 0) < 0 ||
        (length !== 0 && (offset > bytes.length || end > bytes.length))
      ) {
        throw rangeInvalid(id, offset, length ?? 0, bytes.length);
      }
      return length === 0 ? new Uint8Array(0) : bytes.slice(offset, end);
    },
    async put(id, data, { ifAbsent, retention, signal, timestampNs } = {}) {
      signal?.throwIfAborted();
      checkBlobId(id);
      if (ifAbsent && blobs.has(id)) throw blobExists(id);
      blobs.set(id, data.slice());
      timestamps.set(id, timestampNs ?? clock.nowNs());
      if (retention) lock(id, retention);
    },
    async delete(id, { signal } = {}) {
      signal?.throwIfAborted();
      checkBlobId(id);
      blobs.delete(id);
      timestamps.delete(id);
      lockedUntilNs.delete(id);
    },
    async *list(prefix, { signal } = {}) {
      signal?.throwIfAborted();
      for (const [id, bytes] of [...blobs]) {
        signal?.throwIfAborted();
        if (id.startsWith(prefix)) yield metadata(id, bytes);
      }
    },
    async stat(id, { signal } = {}) {
      signal?.throwIfAborted();
      return metadata(id, read(id));
    },
    async extendRetention(id, retention, { signal } = {}) {
      signal?.throwIfAborted();
      read(id);
      lock(id, retention);
    },
    async capacity({ signal } = {}) {
      signal?.throwIfAborted();
      return undefined;
    },
    async close() {},
  };
}
