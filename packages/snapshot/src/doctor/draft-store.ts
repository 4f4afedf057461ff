/**
 * A store in which a repair is tried out: it reads like the store below it, and keeps changes in memory. What a repair has
 * changed there is the list of what it writes, to the byte, before anything is written.
 * Memory: what was put. Proof: test/draft-store.test.ts, and test/doctor-repair.test.ts, where plan and store are compared.
 * @module
 */
import { type Clock, equalBytes, isDmError } from "@dm/core";
import {
  type BlobStore,
  blobNotFound,
  type CallOptions,
  forward,
  memoryStore,
  type Retention,
} from "@dm/storage";

/** One change of the store. */
export type PlannedWrite =
  | {
      readonly do: "put";
      readonly blobId: string;
      readonly data: Uint8Array;
      /** What the blob held when it was looked at; undefined when there was none. */
      readonly replaces: Uint8Array | undefined;
      readonly retention?: Retention | undefined;
    }
  | {
      readonly do: "delete";
      readonly blobId: string;
      /** What the blob held when it was looked at. */
      readonly replaces: Uint8Array;
    };

export interface DraftStore extends BlobStore {
  /** What has changed since the last call, in the order in which it did. What came and went in between is left out. */
  takeWrites(): PlannedWrite[];
}

export function draftStore(base: BlobStore, clock: Clock): DraftStore {
  const changed = memoryStore({ clock });
  const deleted = new Set<string>();
  let writes: PlannedWrite[] = [];

  const storeOf = (id: string): BlobStore => {
    if (deleted.has(id)) throw blobNotFound(id);
    return changed.blobs.has(id) ? changed : base;
  };
  const present = async (id: string, options: CallOptions): Promise<Uint8Array | undefined> =>
    getIfPresent(draft, id, options);

  const draft: DraftStore = {
    ...forward(base),
    readOnly: false,
    get: async (id, options) => storeOf(id).get(id, options),
    stat: async (id, options) => storeOf(id).stat(id, options),
    async put(id, data, options = {}) {
      const replaces = await present(id, options);
      const kept = data.slice();
      await changed.put(id, kept, options);
      deleted.delete(id);
      const { retention } = options;
      writes.push({ do: "put", blobId: id, data: kept, replaces, retention });
    },
    async delete(id, options = {}) {
      const replaces = await present(id, options);
      if (!replaces) return;
      await changed.delete(id, options);
      deleted.add(id);
      writes.push({ do: "delete", blobId: id, replaces });
    },
    async *list(prefix, options) {
      for await (const blob of base.list(prefix, options))
        if (!deleted.has(blob.id) && !changed.blobs.has(blob.id)) yield blob;
      yield* changed.list(prefix, options);
    },
    // Nothing that a repair does prolongs a lock.
    extendRetention: async () => {},
    close: async () => {},
    takeWrites() {
      const taken = writes.filter(
        (write, at) => !isUndone(writes, at) && !undoes(writes, at, write),
      );
      writes = [];
      return taken;
    },
  };
  return draft;
}

/** A new blob that is deleted later on. */
const isUndone = (writes: readonly PlannedWrite[], at: number): boolean => {
  const write = writes[at]!;
  if (write.do !== "put" || write.replaces) return false;
  return writes.some(
    ({ blobId, do: what }, later) => later > at && what === "delete" && blobId === write.blobId,
  );
};

const undoes = (
  writes: readonly PlannedWrite[],
  at: number,
  { blobId, do: what }: PlannedWrite,
): boolean =>
  what === "delete" &&
  writes.some(
    (earlier, before) => before < at && earlier.blobId === blobId && isUndone(writes, before),
  );

export async function getIfPresent(
  store: BlobStore,
  id: string,
  { signal }: CallOptions = {},
): Promise<Uint8Array | undefined> {
  try {
    return await store.get(id, { signal });
  } catch (error) {
    if (isDmError(error, "DM_BLOB_NOT_FOUND")) return undefined;
    throw error;
  }
}

export const sameBytes = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && equalBytes(a, b));
