/**
 * A controller: changes of objects become keys in a queue, and workers bring the world closer to what each key's object asks.
 * Level-triggered: `reconcile` gets a key, never an event; it reads what is, and may be called at any time, any number of times.
 * Proof: test/runtime/controller.test.ts, test/runtime/chaos.test.ts.
 * @module
 */
import { type Clock, DmError, isDmError, type Logger, silentLogger, systemClock } from "@dm/core";
import type { KubeObject } from "@dm/crds";
import type { Cache } from "./cache.ts";
import type { ObjectKey } from "./kube-client.ts";
import { isConflict, isUnavailable, retryAfterMsOf } from "./kube-errors.ts";
import type { Metrics } from "./metrics.ts";
import { keyOf, keyText, parseKeyText } from "./object-key.ts";
import { WorkQueue } from "./work-queue.ts";

/** A cache whose changes concern a controller. Make one with {@link source}, which keeps its types. */
export interface ControllerSource {
  readonly cache: Cache<never>;
  readonly keysOf: (object: never) => readonly ObjectKey[];
}

/**
 * `keysOf` names the keys to look at when the object has changed; by default its own. It sees the state before a change as well
 * as the one after it, so that a key which the object no longer points at is looked at once more.
 * @example source(pods, (pod) => ownerKeys(pod, dataUploads))
 */
export function source<T extends KubeObject>(
  cache: Cache<T>,
  keysOf: (object: T) => readonly ObjectKey[] = (object) => [keyOf(object)],
): ControllerSource {
  return { cache, keysOf } as unknown as ControllerSource;
}

export interface ReconcileResult {
  /** Look again after this time, whatever happens until then. */
  readonly requeueAfterMs?: number | undefined;
}

// biome-ignore lint/suspicious/noConfusingVoidType: a reconciler that never asks to be called again returns nothing.
export type Reconciled = ReconcileResult | void;

export interface Controller {
  /** In logs and metrics. */
  readonly name: string;
  readonly sources: readonly ControllerSource[];
  /**
   * Brings the world closer to what the key's object asks. Never two at once for one key. A throw is logged, and the key comes
   * back after a delay that doubles from 5 ms to 1000 s. The signal aborts when the time of one call is over, or when the
   * controller stops and its grace is over; there is none when a lease was lost.
   */
  readonly reconcile: (key: ObjectKey, signal: AbortSignal) => Promise<Reconciled>;
  /** Keys worked on at once. */
  readonly concurrency?: number | undefined;
  /** One call that takes longer is told to stop. */
  readonly timeoutMs?: number | undefined;
}

export const controllerDefaults = { concurrency: 1, timeoutMs: 300_000, graceMs: 20_000 } as const;

export interface RunControllerOptions {
  readonly signal: AbortSignal;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  readonly metrics?: Metrics | undefined;
  /** What is under way when `signal` aborts may go on for this long before its own signal aborts. */
  readonly graceMs?: number | undefined;
  /** Takes the controller's queue, for those who look at it or add keys by other ways. */
  readonly onQueue?: ((queue: ControllerQueue) => void) | undefined;
}

/** The queue of a running controller, as others may use it. */
export interface ControllerQueue {
  add(key: ObjectKey): void;
  addAfter(key: ObjectKey, delayMs: number): void;
  readonly depth: number;
  readonly delayed: number;
  readonly working: number;
}

/**
 * Waits for the caches of its sources, then works until the signal aborts and what was under way has ended.
 * Somebody else runs the caches.
 */
export async function runController(
  controller: Controller,
  options: RunControllerOptions,
): Promise<void> {
  const { signal, clock = systemClock, logger = silentLogger, metrics } = options;
  const { name, concurrency = controllerDefaults.concurrency } = controller;
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new RangeError(`concurrency must be at least 1, not ${concurrency}`);
  }
  const measure = controllerMetrics(metrics, name);
  const queue = new WorkQueue({
    clock,
    onAdd: measure.added,
    onTake: (_key, waitedMs) => measure.waited(waitedMs / 1_000),
    onDone: (_key, workedMs) => measure.worked(workedMs / 1_000),
  });
  measure.watch(queue);
  options.onQueue?.({
    add: (key) => queue.add(keyText(key)),
    addAfter: (key, delayMs) => queue.addAfter(keyText(key), delayMs),
    get depth() {
      return queue.depth;
    },
    get delayed() {
      return queue.delayed;
    },
    get working() {
      return queue.working;
    },
  });
  const ends = controller.sources.map((one) => listen(one as unknown as OpenSource, queue));
  const cut = new AbortController();
  const onAbort = (): void => queue.shutDown();
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) queue.shutDown();
  const grace = stopAfter(signal, options.graceMs ?? controllerDefaults.graceMs, clock, cut);
  try {
    await Promise.all(controller.sources.map(({ cache }) => cache.synced({ signal })));
    const work = worker(controller, queue, { clock, logger, measure, cut: cut.signal, signal });
    await Promise.all(Array.from({ length: concurrency }, work));
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    queue.shutDown();
    signal.removeEventListener("abort", onAbort);
    for (const end of ends) end();
    grace.abort();
  }
}

interface OpenSource {
  readonly cache: Cache;
  readonly keysOf: (object: KubeObject) => readonly ObjectKey[];
}

function listen({ cache, keysOf }: OpenSource, queue: WorkQueue): () => void {
  return cache.onChange(({ object, previous }) => {
    const keys = [...keysOf(object), ...(previous ? keysOf(previous) : [])];
    // Each once: an idle worker takes the first at once, and a second one would be for after it.
    for (const text of new Set(keys.map(keyText))) queue.add(text);
  });
}

/**
 * Aborts `cut` a while after `signal`, or at once when a lease was lost: another process may begin soon. The returned controller
 * calls it off.
 */
function stopAfter(
  signal: AbortSignal,
  graceMs: number,
  clock: Clock,
  cut: AbortController,
): AbortController {
  const off = new AbortController();
  const onAbort = (): void => {
    if (isDmError(signal.reason, "DM_LEASE_LOST")) {
      cut.abort(signal.reason);
      return;
    }
    clock.sleep(graceMs, { signal: off.signal }).then(
      () => cut.abort(signal.reason),
      () => undefined,
    );
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  off.signal.addEventListener("abort", () => signal.removeEventListener("abort", onAbort), {
    once: true,
  });
  return off;
}

interface WorkerParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly measure: ControllerMetrics;
  readonly signal: AbortSignal;
  readonly cut: AbortSignal;
}

function worker(
  controller: Controller,
  queue: WorkQueue,
  { clock, logger, measure, signal, cut }: WorkerParts,
): () => Promise<void> {
  return async () => {
    for (let text = await queue.take(); text !== undefined; text = await queue.take()) {
      // What is queued at the end is for the next run: it will list everything again.
      if (signal.aborted) {
        queue.done(text);
        continue;
      }
      const key = parseKeyText(text);
      try {
        const result = await reconcileOnce(controller, key, clock, cut);
        queue.forget(text);
        measure.ended("success");
        if (result?.requeueAfterMs !== undefined) queue.addAfter(text, result.requeueAfterMs);
      } catch (error) {
        const fields = { controller: controller.name, key: text, error };
        if (isConflict(error)) {
          measure.ended("conflict");
          logger.debug("Met a newer version", fields);
        } else if (isUnavailable(error)) {
          measure.ended("unavailable");
          logger.info("Could not reach the API server", fields);
        } else {
          measure.ended("error");
          if (isDmError(error)) logger.warn("Failed to reconcile", fields);
          else logger.error("Failed to reconcile", fields);
        }
        queue.addRateLimited(text, retryAfterMsOf(error));
      } finally {
        queue.done(text);
      }
    }
  };
}

async function reconcileOnce(
  { name, reconcile, timeoutMs = controllerDefaults.timeoutMs }: Controller,
  key: ObjectKey,
  clock: Clock,
  cut: AbortSignal,
): Promise<Reconciled> {
  const stop = new AbortController();
  const onCut = (): void => stop.abort(cut.reason);
  if (cut.aborted) onCut();
  cut.addEventListener("abort", onCut, { once: true });
  const timer = new AbortController();
  clock.sleep(timeoutMs, { signal: timer.signal }).then(
    () =>
      stop.abort(
        new DmError("DM_RECONCILE_TIMEOUT", `${name} took more than ${timeoutMs} ms`, {
          key: keyText(key),
        }),
      ),
    () => undefined,
  );
  try {
    return await reconcile(key, stop.signal);
  } finally {
    timer.abort();
    cut.removeEventListener("abort", onCut);
  }
}

interface ControllerMetrics {
  readonly added: () => void;
  readonly waited: (seconds: number) => void;
  readonly worked: (seconds: number) => void;
  readonly ended: (result: "success" | "conflict" | "unavailable" | "error") => void;
  readonly watch: (queue: WorkQueue) => void;
}

function controllerMetrics(metrics: Metrics | undefined, controller: string): ControllerMetrics {
  const nothing = (): void => undefined;
  if (!metrics) {
    return { added: nothing, waited: nothing, worked: nothing, ended: nothing, watch: nothing };
  }
  const labels = { controller };
  const adds = metrics.counter("dm_queue_adds_total", "Keys queued");
  const waits = metrics.histogram("dm_queue_wait_seconds", "Time that keys waited for a worker");
  const works = metrics.histogram("dm_reconcile_seconds", "Time that reconciling took");
  const results = metrics.counter("dm_reconcile_total", "Reconciles by result");
  const conflicts = metrics.counter("dm_conflicts_total", "Reconciles that met a newer version");
  return {
    added: () => adds.increase(labels),
    waited: (seconds) => waits.observe(seconds, labels),
    worked: (seconds) => works.observe(seconds, labels),
    ended: (result) => {
      results.increase({ ...labels, result });
      if (result === "conflict") conflicts.increase(labels);
    },
    watch: (queue) => {
      metrics.gaugeFrom("dm_queue_depth", "Keys that wait for a worker", () => queue.depth, labels);
      metrics.gaugeFrom("dm_queue_delayed", "Keys that come later", () => queue.delayed, labels);
    },
  };
}
