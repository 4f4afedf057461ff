/**
 * A copy in memory of all objects of one kind (of a namespace, of a selector), kept by list and watch.
 *
 * What it promises: handlers hear of every difference between what they were told before and what is, whatever happens to the
 * connection; states in between may be skipped after an outage. Only a list is ever trusted about what is *not* there.
 * A watch that ends is continued from the last version seen (bookmarks keep it fresh); a version that the server has forgotten
 * leads to a new list, whose differences are delivered. Requests that fail are backed off.
 * Proof: test/runtime/cache.test.ts, test/runtime/chaos.test.ts.
 * @module
 */
import { type Clock, isDmError, type Logger, nsPerMs, silentLogger, systemClock } from "@dm/core";
import type { KubeObject, Resource } from "@dm/crds";
import { type Backoff, createBackoff } from "./backoff.ts";
import type { KubeClient, ObjectKey, WatchEvent } from "./kube-client.ts";
import { isUnavailable, retryAfterMsOf, unavailable } from "./kube-errors.ts";
import { keyText } from "./object-key.ts";
import { type IndexOf, ObjectStore } from "./object-store.ts";

export interface CacheChange<T> {
  /** `resynced`: nothing happened, it was only time to look again. */
  readonly type: "added" | "updated" | "deleted" | "resynced";
  /** For `deleted` the last state known. */
  readonly object: T;
  /** Of `updated`. */
  readonly previous?: T | undefined;
}

/** What it throws, or rejects with, is logged and goes no further. Called in the order of the changes; keep it short. */
export type CacheHandler<T> = (change: CacheChange<T>) => void | Promise<void>;

export interface CacheOptions<T extends KubeObject> {
  /** All namespaces when absent. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Functions by name, for {@link Cache.byIndex}. */
  readonly indexes?: Readonly<Record<string, IndexOf<T>>> | undefined;
  /** Objects of one page of a list. */
  readonly pageSize?: number | undefined;
  /** How long the server keeps one watch open; chance adds up to as much again, so that not all are made again at once. */
  readonly watchTimeoutSeconds?: number | undefined;
  /** Every so often all handlers hear of all objects; 0 for never. */
  readonly resyncMs?: number | undefined;
  /** Every so often a list is compared with the cache although the watch seems fine; 0 for never. */
  readonly relistMs?: number | undefined;
  /** What is kept of an object, for memory's sake. By default everything but `metadata.managedFields`. */
  readonly keep?: ((object: T) => T) | undefined;
  /** Makes objects unchangeable, so that a handler which writes to a shared object fails at once. */
  readonly freeze?: boolean | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  /** Uniform in [0, 1). */
  readonly random?: (() => number) | undefined;
  /** Told each time a watch or list is begun again because of an error. */
  readonly onRestart?: ((cause: unknown) => void) | undefined;
}

export const cacheDefaults = {
  pageSize: 500,
  watchTimeoutSeconds: 300,
  resyncMs: 0,
  relistMs: 0,
  freeze: true,
} as const;

/** A watch that lasted this long was a good one, and the next begins after the shortest delay. */
const goodWatchMs = 1_000;
/** After so many refused watches in a row a list is tried instead. */
const maxRefusals = 5;
/** Beyond its own time a watch is not waited for any longer than this. */
const watchGraceMs = 60_000;

/**
 * Read by any number of controllers. Objects are shared: copy one before changing it (`structuredClone`).
 * @example
 * const cache = createCache(client, pods, { namespace: "velero", indexes: { node: (pod) => [pod.spec?.nodeName ?? ""] } });
 * cache.onChange(({ type, object }) => console.log(type, object.metadata.name));
 * await Promise.all([cache.run(signal), cache.synced().then(() => cache.byIndex("node", "n1"))]);
 */
export interface Cache<T extends KubeObject = KubeObject> {
  readonly resource: Resource<T>;
  get(key: ObjectKey): T | undefined;
  /** In no particular order. */
  list(namespace?: string): T[];
  /** @throws {RangeError} when the cache was made without that index */
  byIndex(name: string, value: string): T[];
  readonly size: number;
  /** Whether the first list has been delivered. */
  readonly hasSynced: boolean;
  /** Milliseconds since the server was last heard (list, event, bookmark, a watch opened); since `run` if never. */
  readonly ageMs: number;
  /** Milliseconds since anything happened here at all, failed attempts included: large only when the loop is stuck. */
  readonly stalledMs: number;
  /** Begun-again lists and watches so far, after errors. */
  readonly restarts: number;
  /** Hears first of all objects there are, as `added`. Returns the end. */
  onChange(handler: CacheHandler<T>): () => void;
  /** Resolves at the first sync. */
  synced(options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
  /** Keeps the cache until the signal aborts; then resolves. Never rejects. Once per cache. */
  run(signal: AbortSignal): Promise<void>;
}

export function createCache<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  options: CacheOptions<T> = {},
): Cache<T> {
  return new ListWatchCache(client, resource, options);
}

class ListWatchCache<T extends KubeObject> implements Cache<T> {
  readonly resource: Resource<T>;
  readonly #client: KubeClient;
  readonly #options: CacheOptions<T>;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #random: () => number;
  readonly #store: ObjectStore<T>;
  readonly #handlers = new Set<CacheHandler<T>>();
  readonly #backoff: Backoff;
  readonly #synced = Promise.withResolvers<void>();
  #hasSynced = false;
  #running = false;
  #heardNs: bigint;
  #movedNs: bigint;
  #restarts = 0;
  /** Watches that the server has answered with an error since it was last heard. */
  #refusals = 0;
  /** The version up to which everything is in the store; undefined when only a list can tell. */
  #version: string | undefined;

  constructor(client: KubeClient, resource: Resource<T>, options: CacheOptions<T>) {
    this.resource = resource;
    this.#client = client;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.logger ?? silentLogger;
    this.#random = options.random ?? Math.random;
    this.#store = new ObjectStore(this.#safeIndexes(options.indexes ?? {}));
    this.#backoff = createBackoff({ firstMs: 200, maxMs: 30_000, random: this.#random });
    this.#heardNs = this.#clock.nowNs();
    this.#movedNs = this.#heardNs;
  }

  get(key: ObjectKey): T | undefined {
    return this.#store.get(keyText(key));
  }

  list(namespace?: string): T[] {
    return this.#store.list(namespace);
  }

  byIndex(name: string, value: string): T[] {
    return this.#store.byIndex(name, value);
  }

  get size(): number {
    return this.#store.size;
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  get ageMs(): number {
    return this.#sinceMs(this.#heardNs);
  }

  get stalledMs(): number {
    return this.#sinceMs(this.#movedNs);
  }

  get restarts(): number {
    return this.#restarts;
  }

  onChange(handler: CacheHandler<T>): () => void {
    this.#handlers.add(handler);
    for (const object of this.#store.list()) this.#tell(handler, { type: "added", object });
    return () => this.#handlers.delete(handler);
  }

  async synced({ signal }: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    signal?.throwIfAborted();
    if (!signal) return this.#synced.promise;
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => aborted.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([this.#synced.promise, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    if (this.#running) throw new TypeError(`the cache of ${this.resource.plural} runs already`);
    this.#running = true;
    this.#heard();
    const stop = new AbortController();
    const onAbort = (): void => stop.abort(signal.reason);
    if (signal.aborted) return;
    signal.addEventListener("abort", onAbort, { once: true });
    await Promise.all([this.#follow(stop.signal), this.#resync(stop.signal)]);
    signal.removeEventListener("abort", onAbort);
  }

  async #follow(signal: AbortSignal): Promise<void> {
    let listedNs = 0n;
    while (!signal.aborted) {
      const { relistMs = cacheDefaults.relistMs } = this.#options;
      let waitMs = 0;
      const startedNs = this.#clock.nowNs();
      if (relistMs > 0 && this.#sinceMs(listedNs) >= relistMs) this.#version = undefined;
      try {
        if (this.#version === undefined) {
          await this.#list(signal);
          listedNs = this.#clock.nowNs();
        }
        // Within bounds even when the clock has jumped.
        const dueMs = Math.min(relistMs, Math.max(1, relistMs - this.#sinceMs(listedNs)));
        const leftMs = relistMs > 0 ? dueMs : undefined;
        const dueForList = await this.#watch(signal, leftMs);
        if (dueForList) this.#version = undefined;
        if (this.#sinceMs(startedNs) >= goodWatchMs) this.#backoff.reset();
        // A server that closes watches at once is not asked again at once.
        waitMs = dueForList ? 0 : this.#backoff.nextMs();
      } catch (error) {
        if (signal.aborted) return;
        if (this.#sinceMs(startedNs) >= goodWatchMs && this.#version !== undefined) {
          this.#backoff.reset();
        }
        waitMs = Math.max(this.#backoff.nextMs(), retryAfterMsOf(error) ?? 0);
        // A server restored from a backup knows nothing of our version, and may never say that it has expired.
        if (isDmError(error) && error.details["httpStatus"] !== undefined) this.#refusals += 1;
        if (this.#refusals >= maxRefusals) {
          this.#refusals = 0;
          this.#version = undefined;
        }
        this.#restarted(error);
      }
      this.#movedNs = this.#clock.nowNs();
      await this.#clock.sleep(waitMs, { signal }).catch(() => undefined);
    }
  }

  /** Reads everything, and tells the handlers what is different from before. */
  async #list(signal: AbortSignal): Promise<void> {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    const selection = { namespace, labelSelector, fieldSelector, signal };
    const seen = new Set<string>();
    const found: T[] = [];
    let limit: number | undefined = this.#options.pageSize ?? cacheDefaults.pageSize;
    let next: string | undefined;
    let version: string;
    for (;;) {
      try {
        const page = await this.#client.list(this.resource, {
          ...selection,
          limit,
          continue: next,
        });
        this.#heard();
        // One by one: a list as arguments has a limit.
        for (const item of page.items) found.push(item);
        version = page.resourceVersion;
        next = page.continue;
        if (next === undefined) break;
      } catch (error) {
        // The version of the pages has been compacted away: everything at once cannot expire.
        if (next === undefined || !isDmError(error, "DM_KUBE_EXPIRED")) throw error;
        found.length = 0;
        next = undefined;
        limit = undefined;
      }
    }
    for (const object of found) {
      seen.add(keyText({ namespace: object.metadata.namespace, name: object.metadata.name ?? "" }));
      this.#put(object);
    }
    for (const key of [...this.#store.keys()]) if (!seen.has(key)) this.#remove(key);
    this.#version = version;
    if (this.#hasSynced) return;
    this.#hasSynced = true;
    this.#synced.resolve();
  }

  /** Follows changes until the watch ends. True when it was ended because a new list is due. */
  async #watch(signal: AbortSignal, relistInMs: number | undefined): Promise<boolean> {
    const { namespace, labelSelector, fieldSelector, watchTimeoutSeconds } = this.#options;
    const base = watchTimeoutSeconds ?? cacheDefaults.watchTimeoutSeconds;
    const timeoutSeconds = Math.round(base * (1 + this.#random()));
    const stop = new AbortController();
    const onAbort = (): void => stop.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const lastMs = timeoutSeconds * 1_000 + watchGraceMs;
    const relist = relistInMs !== undefined && relistInMs < lastMs;
    let over = false;
    // Clients end silent watches by themselves; this one holds even if they do not.
    this.#clock.sleep(relist ? relistInMs : lastMs, { signal: stop.signal }).then(
      () => {
        over = true;
        stop.abort(new Error("the watch has lasted long enough"));
      },
      () => undefined,
    );
    try {
      const events = this.#client.watch(this.resource, {
        namespace,
        labelSelector,
        fieldSelector,
        timeoutSeconds,
        resourceVersion: this.#version ?? "",
        signal: stop.signal,
      });
      for await (const event of events) this.#apply(event);
      // Only a server that answers ends a watch.
      this.#heard();
      return false;
    } catch (error) {
      if (isDmError(error, "DM_KUBE_EXPIRED")) this.#version = undefined;
      if (!over || signal.aborted) throw error;
      if (relist) return true;
      throw unavailable(`the watch of ${this.resource.plural} did not end`);
    } finally {
      stop.abort();
      signal.removeEventListener("abort", onAbort);
    }
  }

  #apply({ type, object }: WatchEvent<T>): void {
    this.#heard();
    const version = object.metadata.resourceVersion;
    if (version === undefined) return;
    const { namespace, name = "" } = object.metadata;
    const key = keyText({ namespace, name });
    // Delivered twice, or out of date: what is in the store is newer.
    const known =
      type === "DELETED" ? this.#store.get(key)?.metadata.resourceVersion : this.#version;
    if (known !== undefined && isOlder(version, known, type !== "DELETED")) return;
    if (type === "DELETED") this.#remove(key, object);
    else if (type !== "BOOKMARK") this.#put(object);
    if (this.#version === undefined || !isOlder(version, this.#version)) this.#version = version;
  }

  #put(received: T): void {
    const before = this.#store.get(
      keyText({ namespace: received.metadata.namespace, name: received.metadata.name ?? "" }),
    );
    if (before && sameVersion(before, received)) return;
    const object = this.#kept(received);
    this.#store.put(object);
    // Another object of the same name: its predecessor's end must not be overlooked.
    if (before && before.metadata.uid !== object.metadata.uid) {
      this.#tellAll({ type: "deleted", object: before });
      this.#tellAll({ type: "added", object });
    } else if (before) this.#tellAll({ type: "updated", object, previous: before });
    else this.#tellAll({ type: "added", object });
  }

  #remove(key: string, last?: T): void {
    const before = this.#store.remove(key);
    if (before) this.#tellAll({ type: "deleted", object: last ? this.#kept(last) : before });
  }

  #kept(object: T): T {
    const kept = (this.#options.keep ?? withoutManagedFields)(object);
    return (this.#options.freeze ?? cacheDefaults.freeze) ? deepFreeze(kept) : kept;
  }

  async #resync(signal: AbortSignal): Promise<void> {
    const { resyncMs = cacheDefaults.resyncMs } = this.#options;
    if (resyncMs <= 0) return;
    while (!signal.aborted) {
      await this.#clock.sleep(resyncMs, { signal }).catch(() => undefined);
      if (signal.aborted || !this.#hasSynced) continue;
      for (const object of this.#store.list()) this.#tellAll({ type: "resynced", object });
    }
  }

  /** An object that an index cannot look at is not found by that index, and stays in the cache. */
  #safeIndexes(indexes: Readonly<Record<string, IndexOf<T>>>): Record<string, IndexOf<T>> {
    const safe = Object.entries(indexes).map(([name, valuesOf]): [string, IndexOf<T>] => [
      name,
      (object) => {
        try {
          return valuesOf(object);
        } catch (error) {
          this.#log.error("Index of a cache failed", { kind: this.resource.kind, name, error });
          return [];
        }
      },
    ]);
    return Object.fromEntries(safe);
  }

  #tellAll(change: CacheChange<T>): void {
    for (const handler of this.#handlers) this.#tell(handler, change);
  }

  #tell(handler: CacheHandler<T>, change: CacheChange<T>): void {
    const failed = (error: unknown): void =>
      this.#log.error("Handler of a cache failed", { kind: this.resource.kind, error });
    try {
      const promise = handler(change);
      if (promise instanceof Promise) promise.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #heard(): void {
    this.#heardNs = this.#clock.nowNs();
    this.#movedNs = this.#heardNs;
    this.#refusals = 0;
  }

  #restarted(error: unknown): void {
    this.#restarts += 1;
    const fields = { kind: this.resource.kind, error };
    if (isUnavailable(error) || isDmError(error, "DM_KUBE_EXPIRED")) {
      this.#log.info("Began a list or watch again", fields);
    } else if (isDmError(error)) this.#log.warn("Could not list or watch", fields);
    else this.#log.error("Began a list or watch again after an unexpected error", fields);
    this.#options.onRestart?.(error);
  }

  #sinceMs(ns: bigint): number {
    return Number((this.#clock.nowNs() - ns) / nsPerMs);
  }
}

/** Versions are increasing numbers as text (Kubernetes 1.35 promises it); others are never called older. */
function isOlder(version: string, than: string, orSame = false): boolean {
  if (version === than) return orSame;
  if (!/^\d+$/.test(version) || !/^\d+$/.test(than)) return false;
  return version.length === than.length ? version < than : version.length < than.length;
}

function sameVersion(a: KubeObject, b: KubeObject): boolean {
  const version = a.metadata.resourceVersion;
  return (
    version !== undefined &&
    version === b.metadata.resourceVersion &&
    a.metadata.uid === b.metadata.uid
  );
}

function withoutManagedFields<T extends KubeObject>(object: T): T {
  if (object.metadata.managedFields === undefined) return object;
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
