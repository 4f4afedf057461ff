/**
 * One process of controllers: runs caches and controllers, waits for the first, elects a leader where asked, answers probes
 * and Prometheus, and stops in order.
 *
 * Order of the end: controllers take no new keys and finish what is under way (up to `graceMs`), the lease is given back, then
 * caches and endpoints stop. A lost lease stops only the controllers, and what is under way at once; the process then waits to become
 * leader again.
 * Proof: test/runtime/manager.test.ts.
 * @module
 */
import { type Clock, isDmError, type Logger, silentLogger, systemClock } from "@dm/core";
import type { KubeObject, Resource } from "@dm/crds";
import { type Cache, type CacheOptions, createCache } from "./cache.ts";
import { type Controller, runController } from "./controller.ts";
import { type Check, type Endpoints, serveEndpoints } from "./http-endpoints.ts";
import type { KubeClient } from "./kube-client.ts";
import { type LeaseOptions, withLease } from "./lease.ts";
import { createMetrics, type Metrics } from "./metrics.ts";

export interface ManagerOptions {
  readonly client: KubeClient;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  readonly metrics?: Metrics | undefined;
  /** Where probes and metrics are answered; nowhere when absent. */
  readonly endpoints?: { readonly host?: string | undefined; readonly port: number } | undefined;
  /** Controllers run only while this lease is held; those added with `everywhere` always. */
  readonly leader?: Omit<LeaseOptions, "client" | "clock" | "logger"> | undefined;
  /** For what is under way at the end. */
  readonly graceMs?: number | undefined;
  /** `/readyz` fails when a cache has not heard from the API server for this long. */
  readonly staleAfterMs?: number | undefined;
  /** `/healthz` fails when a cache has not even tried for this long: only a restart helps. An absent server is no reason. */
  readonly stalledAfterMs?: number | undefined;
}

export const managerDefaults = {
  graceMs: 20_000,
  staleAfterMs: 900_000,
  stalledAfterMs: 1_800_000,
} as const;

export interface Manager {
  readonly metrics: Metrics;
  /** Makes a cache that runs with the manager. */
  cache<T extends KubeObject>(resource: Resource<T>, options?: CacheOptions<T>): Cache<T>;
  add(controller: Controller, options?: { readonly everywhere?: boolean | undefined }): void;
  /** Anything else that runs until its signal aborts, such as a timer. Its rejection ends the manager. */
  addRunnable(name: string, run: (signal: AbortSignal) => Promise<void>): void;
  addCheck(kind: "health" | "readiness", name: string, check: Check): void;
  /** Where the endpoints are, once `run` has begun. */
  readonly endpointsUrl: string | undefined;
  readonly isLeader: boolean;
  /** Resolves after an orderly end. Rejects when a part failed for good; everything has been stopped then. Once. */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * @example
 * const manager = createManager({ client: nodeKubeClient(), endpoints: { port: 8085 } });
 * const uploads = manager.cache(dataUploads, { namespace: "velero" });
 * manager.add({ name: "upload", sources: [source(uploads)], reconcile: async (key) => look(uploads.get(key)) });
 * await manager.run(stopSignal());
 */
export function createManager(options: ManagerOptions): Manager {
  const { client, clock = systemClock, logger = silentLogger } = options;
  const { metrics = createMetrics(), graceMs = managerDefaults.graceMs } = options;
  const caches: Cache[] = [];
  const controllers: Controller[] = [];
  const everywhere: Controller[] = [];
  const runnables: { readonly name: string; run(signal: AbortSignal): Promise<void> }[] = [];
  const checks: { readonly kind: string; readonly name: string; readonly check: Check }[] = [];
  let endpoints: Endpoints | undefined;
  let started = false;
  let isLeader = false;

  const before = (what: string): void => {
    if (started) throw new TypeError(`the manager runs already: ${what} comes too late`);
  };

  const firstWrong = (kind: "health" | "readiness"): string | undefined => {
    for (const one of checks) {
      const wrong = one.kind === kind ? one.check() : undefined;
      if (wrong !== undefined) return `${one.name}: ${wrong}`;
    }
    return undefined;
  };

  const health: Check = () => {
    const { stalledAfterMs = managerDefaults.stalledAfterMs } = options;
    const stuck = caches.find((cache) => cache.stalledMs > stalledAfterMs);
    if (stuck) return `the cache of ${stuck.resource.plural} is stuck`;
    return firstWrong("health");
  };

  const readiness: Check = () => {
    const { staleAfterMs = managerDefaults.staleAfterMs } = options;
    for (const { resource, hasSynced, ageMs } of caches) {
      if (!hasSynced) return `the cache of ${resource.plural} is not filled yet`;
      if (ageMs > staleAfterMs) return `the cache of ${resource.plural} is ${ageMs} ms old`;
    }
    return firstWrong("readiness");
  };

  const runAll = async (which: readonly Controller[], signal: AbortSignal): Promise<void> => {
    await Promise.all(
      which.map((controller) =>
        runController(controller, { signal, clock, logger, metrics, graceMs }),
      ),
    );
  };

  const lead = async (leader: NonNullable<ManagerOptions["leader"]>, signal: AbortSignal) => {
    while (!signal.aborted) {
      try {
        await withLease(
          { ...leader, client, clock, logger },
          async (held) => {
            isLeader = true;
            logger.info("Became leader", { lease: leader.name });
            await runAll(controllers, held);
          },
          { signal },
        );
      } catch (error) {
        if (signal.aborted) return;
        if (!isDmError(error, "DM_LEASE_LOST")) throw error;
        logger.warn("Stopped leading", { lease: leader.name });
      } finally {
        isLeader = false;
      }
    }
  };

  return {
    metrics,
    cache(resource, cacheOptions = {}) {
      before("a cache");
      const { kind } = resource;
      const restarts = metrics.counter(
        "dm_watch_restarts_total",
        "Lists and watches begun again because of an error",
      );
      const cache = createCache(client, resource, {
        clock,
        logger,
        ...cacheOptions,
        onRestart: (cause) => {
          restarts.increase({ kind });
          cacheOptions.onRestart?.(cause);
        },
      });
      metrics.gaugeFrom("dm_cache_objects", "Objects in memory", () => cache.size, {
        kind,
        cache: String(caches.length),
      });
      caches.push(cache as unknown as Cache);
      return cache;
    },
    add(controller, { everywhere: always = false } = {}) {
      before("a controller");
      if ([...controllers, ...everywhere].some(({ name }) => name === controller.name)) {
        throw new TypeError(`there is a controller "${controller.name}" already`);
      }
      (always ? everywhere : controllers).push(controller);
    },
    addRunnable(name, run) {
      before("a runnable");
      runnables.push({ name, run });
    },
    addCheck(kind, name, check) {
      checks.push({ kind, name, check });
    },
    get endpointsUrl() {
      return endpoints?.url;
    },
    get isLeader() {
      return isLeader;
    },
    async run(signal) {
      before("a second run");
      started = true;
      const stop = new AbortController();
      const stopCaches = new AbortController();
      const onAbort = (): void => stop.abort(signal.reason);
      if (signal.aborted) onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      if (options.endpoints) {
        endpoints = await serveEndpoints({ ...options.endpoints, health, readiness, metrics });
      }
      const following = caches.map((cache) => cache.run(stopCaches.signal));
      const parts = [
        runAll(everywhere, stop.signal),
        options.leader ? lead(options.leader, stop.signal) : runAll(controllers, stop.signal),
        ...runnables.map(({ run }) => run(stop.signal)),
      ].map((part) =>
        part.catch((error: unknown) => {
          const expected = stop.signal.aborted && error === stop.signal.reason;
          stop.abort(error);
          if (!expected) throw error;
        }),
      );
      // A manager of caches alone has nothing that ends by itself.
      if (!stop.signal.aborted) parts.push(aborted(stop.signal));
      const results = await Promise.allSettled(parts);
      stopCaches.abort(new Error("the manager has ended"));
      await Promise.all(following);
      await endpoints?.close();
      signal.removeEventListener("abort", onAbort);
      const failed = results.find((result) => result.status === "rejected");
      if (failed) throw failed.reason;
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/**
 * A signal that aborts when the process is asked to end. The second request ends it at once, with status 1.
 * @example await manager.run(stopSignal());
 */
export function stopSignal(
  signals: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT"],
): AbortSignal {
  const stop = new AbortController();
  for (const name of signals) {
    process.on(name, () => {
      if (stop.signal.aborted) process.exit(1);
      stop.abort(new Error(`received ${name}`));
    });
  }
  return stop.signal;
}
