/**
 * A store in which a repair is tried out: it reads like the store below it, and keeps changes in memory. What a repair has
 * changed there is the list of what it writes, to the byte, before anything is written.
 * Memory: what was put. Proof: test/draft-store.test.ts, and test/doctor-repair.test.ts, where plan and store are compared.
 * @module
 */
import { type Clock, equalBytes } from "@dm/core";
import {
  type BlobStore,
  blobExists,
  blobNotFound,
  forward,
  getIfPresent,
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

/** A store over another one, which it leaves alone. */
export interface DraftStore extends BlobStore {
  /** What has changed since the last call, in the order of the last changes; what is again as it was is left out. */
  takeWrites(): PlannedWrite[];
}

/** A draft over `base`; `clock` gives the times of what is put. */
export function draftStore(base: BlobStore, clock: Clock): DraftStore {
  const changed = memoryStore({ clock });
  const deleted = new Set<string>();
  let writes: PlannedWrite[] = [];

  const storeOf = (id: string): BlobStore => {
    if (deleted.has(id)) throw blobNotFound(id);
    return changed.blobs.has(id) ? changed : base;
  };

  const draft: DraftStore = {
    ...forward(base),
    readOnly: false,
    get: async (id, options) => storeOf(id).get(id, options),
    stat: async (id, options) => storeOf(id).stat(id, options),
    async put(id, data, options = {}) {
      const replaces = await getIfPresent(draft, id, options);
      if (options.ifAbsent && replaces) throw blobExists(id);
      const kept = data.slice();
      await changed.put(id, kept, options);
      deleted.delete(id);
      const { retention } = options;
      writes.push({ do: "put", blobId: id, data: kept, replaces, retention });
    },
    async delete(id, options = {}) {
      const replaces = await getIfPresent(draft, id, options);
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
    extendRetention: async (id, _retention, options) => {
      // Nothing that a repair does prolongs a lock.
      await storeOf(id).stat(id, options);
    },
    close: async () => {},
    takeWrites() {
      const taken = netWrites(writes);
      writes = [];
      return taken;
    },
  };
  return draft;
}

/** One write for each blob that is not what it was, in the order of the last changes. */
function netWrites(writes: readonly PlannedWrite[]): PlannedWrite[] {
  const before = new Map<string, Uint8Array | undefined>();
  const last = new Map<string, PlannedWrite>();
  for (const write of writes) {
    const { blobId, replaces } = write;
    if (!before.has(blobId)) before.set(blobId, replaces);
    last.delete(blobId);
    last.set(blobId, write);
  }
  const net: PlannedWrite[] = [];
  for (const write of last.values()) {
    const replaces = before.get(write.blobId);
    if (sameBytes(replaces, write.do === "put" ? write.data : undefined)) continue;
    if (write.do === "put") net.push({ ...write, replaces });
    else if (replaces) net.push({ ...write, replaces });
  }
  return net;
}

/** Also when both are missing. */
export const sameBytes = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && equalBytes(a, b));
