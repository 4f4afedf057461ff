/**
 * Every state in which a crash can leave a store: a memory store that notes, before and after each call, what would be
 * there if the process died now. Calls that are under way at that moment may or may not have happened, so each
 * combination of them is a state of its own.
 */
import type { Clock } from "@dm/core";
import type { SeededRandom } from "@dm/fixtures";
import { type BlobStore, forward, type MemoryStore, memoryStore } from "@dm/storage";

export interface StoredBlob {
  readonly data: Uint8Array;
  readonly timestampNs: bigint;
}

export type Blobs = ReadonlyMap<string, StoredBlob>;

export interface CrashState {
  readonly blobs: Blobs;
  /** Steps acknowledged at the latest moment at which the store was in this state. */
  acknowledged: number;
  /** The call at which the state was first seen. */
  readonly at: string;
}

export interface CrashRecorder {
  readonly store: BlobStore;
  /** Moments at which the process could have died: before and after each call. */
  readonly points: number;
  readonly states: readonly CrashState[];
  acknowledge(): void;
  /** Notes nothing meanwhile. */
  uncut(work: () => Promise<void>): Promise<void>;
}

export interface RecorderOptions {
  readonly clock: Clock;
  /** Decides how calls made at the same time overtake each other. */
  readonly random: SeededRandom;
  /** Of several calls under way, try every combination; else none, all, and each alone. */
  readonly everyCombination: boolean;
}

/** More calls than ever change something at once. */
const maxInFlight = 6;

export async function blobsOf(store: BlobStore): Promise<Map<string, StoredBlob>> {
  const blobs = new Map<string, StoredBlob>();
  for await (const { id, timestampNs } of store.list(""))
    blobs.set(id, { data: await store.get(id), timestampNs });
  return blobs;
}

/** A memory store with these blobs, their times included. */
export function restored(blobs: Blobs, clock: Clock): MemoryStore {
  const store = memoryStore({
    clock,
    blobs: new Map(Array.from(blobs, ([id, { data }]) => [id, data])),
  });
  for (const [id, { timestampNs }] of blobs) store.setTimestamp(id, timestampNs);
  return store;
}

/** The same store, whose puts carry the time of a clock instead of the machine's. */
export function withClock(store: BlobStore, clock: Clock): BlobStore {
  return {
    ...forward(store),
    put: (id, data, options) => store.put(id, data, { timestampNs: clock.nowNs(), ...options }),
  };
}

interface Change {
  readonly id: string;
  /** Undefined for a deletion. */
  readonly blob: (StoredBlob & { readonly version: number }) | undefined;
}

export function crashRecorder(initial: Blobs, options: RecorderOptions): CrashRecorder {
  const { clock, everyCombination, random } = options;
  const inner = restored(initial, clock);
  let versions = 0;
  const present = new Map(
    Array.from(initial, ([id, blob]) => [id, { ...blob, version: versions++ }]),
  );
  const inFlight: Change[] = [];
  const states = new Map<string, CrashState>();
  let acknowledged = 0;
  let points = 0;
  let isPaused = false;

  const note = (at: string): void => {
    if (isPaused) return;
    points += 1;
    if (inFlight.length > maxInFlight) throw new Error(`${inFlight.length} changes at once`);
    const all = (1 << inFlight.length) - 1;
    for (let chosen = 0; chosen <= all; chosen += 1) {
      const isSimple = chosen === all || (chosen & (chosen - 1)) === 0;
      if (!everyCombination && !isSimple) continue;
      const blobs = new Map(present);
      for (const [index, { blob, id }] of inFlight.entries()) {
        if ((chosen & (1 << index)) === 0) continue;
        if (blob) blobs.set(id, blob);
        else blobs.delete(id);
      }
      const key = Array.from(blobs, ([id, { version }]) => `${id} ${version}`)
        .sort()
        .join("\n");
      const known = states.get(key);
      if (known) known.acknowledged = acknowledged;
      else states.set(key, { blobs, acknowledged, at });
    }
  };

  /** Lets other calls that are under way go first, or not. */
  const dawdle = async (): Promise<void> => {
    for (let turns = random.integer(12); turns > 0; turns -= 1) await undefined;
  };

  const change = async (at: string, made: Change, effect: () => Promise<void>): Promise<void> => {
    inFlight.push(made);
    note(`during ${at}`);
    await dawdle();
    try {
      await effect();
      if (made.blob) present.set(made.id, made.blob);
      else present.delete(made.id);
    } finally {
      inFlight.splice(inFlight.indexOf(made), 1);
    }
    note(`after ${at}`);
    await dawdle();
  };

  const read = async <Result>(at: string, answer: () => Promise<Result>): Promise<Result> => {
    note(`before ${at}`);
    await dawdle();
    const result = await answer();
    note(`after ${at}`);
    return result;
  };

  const store: BlobStore = {
    ...forward(inner),
    put: (id, data, put) =>
      change(
        `put ${id}`,
        {
          id,
          blob: {
            data: data.slice(),
            timestampNs: put?.timestampNs ?? clock.nowNs(),
            version: versions++,
          },
        },
        () => inner.put(id, data, put),
      ),
    delete: (id, call) =>
      change(`delete ${id}`, { id, blob: undefined }, () => inner.delete(id, call)),
    get: (id, get) => read(`get ${id}`, () => inner.get(id, get)),
    stat: (id, call) => read(`stat ${id}`, () => inner.stat(id, call)),
    extendRetention: (id, retention, call) =>
      read(`extendRetention ${id}`, () => inner.extendRetention(id, retention, call)),
    async *list(prefix, call) {
      note(`before list ${prefix}`);
      await dawdle();
      yield* inner.list(prefix, call);
      note(`after list ${prefix}`);
    },
  };

  return {
    store,
    get points() {
      return points;
    },
    get states() {
      return [...states.values()];
    },
    acknowledge() {
      acknowledged += 1;
      note("acknowledgement");
    },
    async uncut(work) {
      isPaused = true;
      await work();
      isPaused = false;
    },
  };
}
