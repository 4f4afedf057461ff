/**
 * A store whose changes are seen late: several replicas, each learns of a change after its own lag, and each read asks any
 * of them. So a blob may be listed and not readable, readable and not listed, deleted and still there, there and gone
 * again. Kopia demands more of a store; this one shows what breaks, or holds, when a store gives less.
 * Proof: test/eventually-consistent.test.ts.
 * @module
 */
import { type Clock, systemClock } from "@dm/core";
import type { BlobStore } from "../blob-store.ts";
import { type MemoryStore, memoryStore } from "../memory-store.ts";
import { seededChance } from "./seeded.ts";

export interface EventuallyConsistentOptions {
  /** Repeats lags and choices of replicas; 1 by default. */
  readonly seed?: number | undefined;
  /**
   * Longest time until a replica knows of a change; each lag is drawn below it. 10,000 by default. `Infinity`: no change is
   * seen before `settle()`.
   */
  readonly maxLagMs?: number | undefined;
  /** At least 1; 3 by default. */
  readonly replicas?: number | undefined;
  readonly clock?: Clock | undefined;
  /** Blobs that every replica has from the beginning; the arrays are taken over. */
  readonly blobs?: ReadonlyMap<string, Uint8Array> | undefined;
}

export interface EventuallyConsistentStore extends BlobStore {
  /** What every replica will have in the end. */
  readonly truth: MemoryStore;
  /** All replicas learn of all changes now. */
  settle(): void;
}

interface Replica {
  readonly store: MemoryStore;
  /** Changes on the way, by blob: which one, and when it arrives. */
  readonly pending: Array<{
    readonly id: string;
    readonly change: number;
    readonly arrivesAtNs: bigint | undefined;
  }>;
  /** Number of the newest change that arrived, by blob: an older one that comes later is void. */
  readonly newest: Map<string, number>;
}

interface Change {
  /** Undefined for a deletion. */
  readonly bytes: Uint8Array | undefined;
  readonly timestampNs: bigint;
}

/**
 * Puts, deletions and conditions are decided by `truth`, at once; only reading is late.
 * @example const store = eventuallyConsistentStore({ seed: 7, clock, maxLagMs: 5000 });
 */
export function eventuallyConsistentStore(
  options: EventuallyConsistentOptions = {},
): EventuallyConsistentStore {
  const { clock = systemClock, maxLagMs = 10_000, replicas: count = 3, seed = 1 } = options;
  if (!Number.isInteger(count) || count < 1) {
    throw new RangeError(`replicas must be at least 1, not ${count}`);
  }
  const chance = seededChance(seed);
  const truth = memoryStore({ clock, blobs: options.blobs });
  const replicas = Array.from(
    { length: count },
    (): Replica => ({
      store: memoryStore({ clock, blobs: options.blobs }),
      pending: [],
      newest: new Map(),
    }),
  );
  const changes: Change[] = [];

  function arrive({ newest, store }: Replica, id: string, number: number): void {
    if ((newest.get(id) ?? -1) > number) return;
    newest.set(id, number);
    const { bytes, timestampNs } = changes[number]!;
    if (bytes) {
      store.blobs.set(id, bytes);
      store.setTimestamp(id, timestampNs);
    } else store.blobs.delete(id);
  }

  /** Delivers what is due; `all` does not look at the clock. */
  function deliver(replica: Replica, all: boolean): void {
    const nowNs = clock.nowNs();
    const waiting = replica.pending.splice(0);
    for (const entry of waiting) {
      const due = entry.arrivesAtNs !== undefined && entry.arrivesAtNs <= nowNs;
      if (all || due) arrive(replica, entry.id, entry.change);
      else replica.pending.push(entry);
    }
  }

  /** What the truth says of `id` now goes out to every replica. */
  async function announce(id: string): Promise<void> {
    const bytes = truth.blobs.get(id);
    const timestampNs = bytes ? (await truth.stat(id)).timestampNs : 0n;
    const change = changes.push({ bytes, timestampNs }) - 1;
    for (const replica of replicas) {
      const lagMs = maxLagMs === Infinity ? undefined : chance() * maxLagMs;
      const arrivesAtNs =
        lagMs === undefined ? undefined : clock.nowNs() + BigInt(Math.round(lagMs * 1e6));
      replica.pending.push({ id, change, arrivesAtNs });
    }
  }

  function anyReplica(): MemoryStore {
    const replica = replicas[Math.floor(chance() * count)]!;
    deliver(replica, false);
    return replica.store;
  }

  return {
    type: "eventually-consistent",
    displayName: `Eventually consistent, ${count} replicas`,
    features: truth.features,
    readOnly: false,
    truth,
    settle() {
      for (const replica of replicas) deliver(replica, true);
    },
    get: async (id, call) => anyReplica().get(id, call),
    stat: async (id, call) => anyReplica().stat(id, call),
    async *list(prefix, call) {
      yield* anyReplica().list(prefix, call);
    },
    async put(id, data, call) {
      await truth.put(id, data, call);
      await announce(id);
    },
    async delete(id, call) {
      await truth.delete(id, call);
      await announce(id);
    },
    extendRetention: (id, retention, call) => truth.extendRetention(id, retention, call),
    capacity: (call) => truth.capacity(call),
    close: () => truth.close(),
  };
}
