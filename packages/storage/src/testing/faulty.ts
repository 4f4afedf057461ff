/**
 * A store that fails on purpose: before a call reaches it, after the work was done (an answer that got lost), with reads cut
 * short, with delays; by a rule that a seed repeats, or at one call. Its hook sees every call from outside, so that a test
 * can kill the process there.
 * Proof: test/faulty.test.ts.
 * @module
 */
import { type Clock, StorageError, systemClock } from "@dm/core";
import type { BlobStore } from "../blob-store.ts";
import { forward } from "../wrappers.ts";
import { seededChoice } from "./seeded.ts";

export type StoreOperation =
  | "get"
  | "put"
  | "delete"
  | "list"
  | "stat"
  | "extendRetention"
  | "capacity";

/** `before`: the store has not seen the call. `after`: the store has done it, the caller does not know yet. */
export type CallPhase = "before" | "after";

export interface StoreCall {
  /** Counts the calls of one faulty store from 1, in the order in which they were made. */
  readonly number: number;
  readonly operation: StoreOperation;
  /** Blob id; the prefix of a list; empty for `capacity`. */
  readonly id: string;
}

/** What happens to one call; members combine. */
export interface Fault {
  /** Waits first. */
  readonly delayMs?: number | undefined;
  /** Fails there: `after` a put, the blob is stored; `after` a list, everything has been given out. */
  readonly fail?: CallPhase | undefined;
  /** What is thrown; a retryable {@link faultInjected} by default. */
  readonly error?: unknown;
  /** A get gives only the first bytes, a list only the first blobs, without a word: this store breaks the contract. */
  readonly cutTo?: number | undefined;
}

export type FaultRule = (call: StoreCall) => Fault | undefined;

export interface FaultyOptions {
  /** Asked at every call; undefined lets it pass. */
  readonly rule?: FaultRule | undefined;
  /**
   * Called at every call before the store sees it and after the store has done it, whether or not a fault follows; not
   * after a call that the store itself refused.
   * @example onCall: (number, _operation, _id, phase) => { if (number === 7 && phase === "after") process.kill(process.pid, "SIGKILL"); }
   */
  readonly onCall?:
    | ((number: number, operation: StoreOperation, id: string, phase: CallPhase) => unknown)
    | undefined;
  /** Decides how delays pass. */
  readonly clock?: Clock | undefined;
}

export interface FaultyStore extends BlobStore {
  /** Calls so far. */
  readonly callCount: number;
  /** Calls that a fault met, in order. */
  readonly faults: ReadonlyArray<StoreCall & { readonly fault: Fault }>;
}

/** The error of an injected fault; `retryable` by default, as of a connection that broke. */
export function faultInjected(call: StoreCall, phase: CallPhase, retryable = true): StorageError {
  const { id, number, operation } = call;
  return new StorageError(
    "DM_STORE_FAULT_INJECTED",
    `injected fault ${phase} ${operation} ${id} (call ${number})`,
    { number, operation, id, phase },
    { retryable },
  );
}

/** @example const store = faulty(memoryStore(), { rule: faultAt(3, { fail: "after" }) }); */
export function faulty(store: BlobStore, options: FaultyOptions = {}): FaultyStore {
  const { clock = systemClock, onCall, rule } = options;
  const faults: Array<StoreCall & { readonly fault: Fault }> = [];
  let callCount = 0;

  const begin = async (
    operation: StoreOperation,
    id: string,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly fault: Fault; readonly end: () => Promise<void> }> => {
    const call: StoreCall = { number: ++callCount, operation, id };
    const fault = rule?.(call) ?? {};
    if (Object.keys(fault).length > 0) faults.push({ ...call, fault });
    await onCall?.(call.number, operation, id, "before");
    if (fault.delayMs) await clock.sleep(fault.delayMs, { signal });
    const failIn = (phase: CallPhase): void => {
      if (fault.fail === phase) throw fault.error ?? faultInjected(call, phase);
    };
    failIn("before");
    const end = async (): Promise<void> => {
      await onCall?.(call.number, operation, id, "after");
      failIn("after");
    };
    return { fault, end };
  };
  const around = async <Result>(
    operation: StoreOperation,
    id: string,
    signal: AbortSignal | undefined,
    run: (fault: Fault) => Promise<Result>,
  ): Promise<Result> => {
    const { end, fault } = await begin(operation, id, signal);
    const result = await run(fault);
    await end();
    return result;
  };

  return {
    ...forward(store),
    faults,
    get callCount() {
      return callCount;
    },
    get: (id, call) =>
      around("get", id, call?.signal, async ({ cutTo }) => {
        const bytes = await store.get(id, call);
        return cutTo === undefined ? bytes : bytes.slice(0, cutTo);
      }),
    put: (id, data, call) => around("put", id, call?.signal, () => store.put(id, data, call)),
    delete: (id, call) => around("delete", id, call?.signal, () => store.delete(id, call)),
    async *list(prefix, call) {
      const { end, fault } = await begin("list", prefix, call?.signal);
      let given = 0;
      for await (const blob of store.list(prefix, call)) {
        if (fault.cutTo !== undefined && given >= fault.cutTo) break;
        yield blob;
        given += 1;
      }
      await end();
    },
    stat: (id, call) => around("stat", id, call?.signal, () => store.stat(id, call)),
    extendRetention: (id, retention, call) =>
      around("extendRetention", id, call?.signal, () => store.extendRetention(id, retention, call)),
    capacity: (call) => around("capacity", "", call?.signal, () => store.capacity(call)),
  };
}

/** One fault at the call of this number, counted from 1. */
export function faultAt(number: number, fault: Fault): FaultRule {
  return (call) => (call.number === number ? fault : undefined);
}

export interface SeededFaultOptions {
  readonly seed: number;
  /** Share of calls that meet a fault, 0 to 1; 0.1 by default. */
  readonly probability?: number | undefined;
  /** One of these is chosen each time; by default a failure before, a failure after, and a delay of 50 ms. */
  readonly faults?: readonly Fault[] | undefined;
  /** Operations that may meet one; all by default. */
  readonly operations?: readonly StoreOperation[] | undefined;
}

const usualFaults: readonly Fault[] = [{ fail: "before" }, { fail: "after" }, { delayMs: 50 }];

/** Faults by chance. The same seed and the same calls meet the same faults. */
export function seededFaults({ faults = usualFaults, ...options }: SeededFaultOptions): FaultRule {
  const choose = seededChoice<Fault, StoreOperation>({ faults, ...options });
  return ({ operation }) => choose(operation);
}
