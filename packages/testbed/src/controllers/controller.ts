/**
 * The loop under every built-in controller: changes of objects name keys, a key is reconciled as the world then is, one at a
 * time, again after a while when asked for, and with backoff when it throws. Nothing polls.
 * Proof: test/controllers/controller.test.ts.
 * @module
 */
import { type Logger, silentLogger } from "@dm/core";
import type { ClusterApi, ClusterEvent } from "../cluster-api.ts";

export interface ControllerOptions {
  readonly name: string;
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
  /** Per resource, the keys that an event concerns. */
  readonly watches: Readonly<Record<string, (event: ClusterEvent) => Iterable<string>>>;
  /** Makes the world of this key as it should be; answers after how many milliseconds it wants to be asked again. */
  reconcile(key: string): number | undefined | Promise<number | undefined>;
}

export interface RunningController {
  enqueue(key: string): void;
  /** Follows one more resource. */
  watch(resource: string, keys: (event: ClusterEvent) => Iterable<string>): void;
  /** Resolves when what was being reconciled is done. */
  close(): Promise<void>;
}

/** First and longest pause after a failure. */
const failurePauseMs = { first: 10, longest: 30_000 };

/** After so many keys everybody else has a turn: two controllers that undo each other must not stop the world. */
const keysPerTurn = 20;

export function startController(options: ControllerOptions): RunningController {
  const { api, name, logger = silentLogger } = options;
  const queue = new Set<string>();
  const failures = new Map<string, number>();
  const timers = new Map<string, AbortController>();
  const stops: (() => void)[] = [];
  let closed = false;
  let working: Promise<void> | undefined;

  const enqueue = (key: string): void => {
    if (closed) return;
    queue.add(key);
    working ??= work().finally(() => {
      working = undefined;
      const [first] = queue;
      if (first !== undefined) enqueue(first);
    });
  };

  const enqueueAfter = (key: string, ms: number): void => {
    timers.get(key)?.abort();
    const timer = new AbortController();
    timers.set(key, timer);
    api.clock.sleep(ms, { signal: timer.signal }).then(
      () => {
        if (timers.get(key) === timer) timers.delete(key);
        enqueue(key);
      },
      () => {},
    );
  };

  const work = async (): Promise<void> => {
    // Others get their turn first: requests over HTTP, and the writes that belong together.
    let count = 0;
    for (const key of queue) {
      if (count++ % keysPerTurn === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      if (closed) return;
      queue.delete(key);
      timers.get(key)?.abort();
      timers.delete(key);
      try {
        const againMs = await options.reconcile(key);
        failures.delete(key);
        if (againMs !== undefined && !closed) enqueueAfter(key, againMs);
      } catch (error) {
        if (closed) return;
        const count = failures.get(key) ?? 0;
        failures.set(key, count + 1);
        logger.warn("Reconcile failed", { controller: name, key, error });
        enqueueAfter(key, Math.min(failurePauseMs.first * 2 ** count, failurePauseMs.longest));
      }
    }
  };

  const watch: RunningController["watch"] = (resource, keys) => {
    stops.push(
      api.watch(resource, (event) => {
        for (const key of keys(event)) enqueue(key);
      }),
    );
  };
  for (const [resource, keys] of Object.entries(options.watches)) watch(resource, keys);

  return {
    enqueue,
    watch,
    async close() {
      closed = true;
      for (const stop of stops) stop();
      for (const timer of timers.values()) timer.abort();
      queue.clear();
      await working;
    },
  };
}

/** `namespace/name`, as keys are written. */
export function keyOf(object: { metadata: { namespace?: string; name: string } }): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

export function parseKey(key: string): { namespace: string; name: string } {
  const slash = key.indexOf("/");
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
