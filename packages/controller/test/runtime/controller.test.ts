/** A controller sees every key that matters, one at a time, again after failures, and ends in good order. */
import { type ConfigMap, configMaps } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { createCache } from "../../src/runtime/cache.ts";
import {
  type Controller,
  type ControllerQueue,
  type RunControllerOptions,
  runController,
  source,
} from "../../src/runtime/controller.ts";
import { isConflict, unavailable } from "../../src/runtime/kube-errors.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";
import { keyText } from "../../src/runtime/object-key.ts";
import { configMap, setValue, testApi, valueIn } from "./api.ts";

type Reconcile = Controller["reconcile"];

async function stand(
  reconcile: Reconcile,
  more: Partial<Controller> = {},
  options: Partial<RunControllerOptions> = {},
) {
  const api = await testApi();
  const cache = createCache(api.client, configMaps, { namespace: "default", clock: api.clock });
  api.background((signal) => cache.run(signal));
  const stop = new AbortController();
  let queue: ControllerQueue | undefined;
  const controller = { name: "test", sources: [source(cache)], reconcile, ...more };
  const run = () => {
    const ended = runController(controller, {
      signal: stop.signal,
      clock: api.clock,
      onQueue: (made) => {
        queue = made;
      },
      ...options,
    });
    api.background(async (signal) => {
      signal.addEventListener("abort", () => stop.abort(signal.reason));
      await ended;
    });
    return ended;
  };
  return { api, cache, stop, run, queue: () => queue! };
}

describe("a controller", () => {
  it("looks at all there is, at every change, and at what has gone", async () => {
    const seen: string[] = [];
    const test = await stand(async (key) => {
      const object = test.cache.get(key);
      seen.push(`${keyText(key)}=${object ? valueIn(object) : "gone"}`);
    });
    const { api } = test;
    api.cluster.create("configmaps", configMap("a", "1"));
    void test.run();
    await api.until(() => seen.length === 1);
    setValue(api.cluster, "a", "2");
    await api.until(() => seen.length === 2);
    api.cluster.delete("configmaps", "default", "a");
    await api.until(() => seen.length === 3);
    expect(seen).toEqual(["default/a=1", "default/a=2", "default/a=gone"]);
  });

  it("looks at what an object points at, and at what it pointed at before", async () => {
    const seen: string[] = [];
    const test = await stand(async ({ name }) => void seen.push(name));
    const pointing = source<ConfigMap>(test.cache, (map) => [{ name: valueIn(map) ?? "" }]);
    const { api } = test;
    api.cluster.create("configmaps", configMap("a", "first"));
    const controller = {
      name: "p",
      sources: [pointing],
      reconcile: async ({ name }: { name: string }) => void seen.push(name),
    };
    api.background((signal) => runController(controller, { signal, clock: api.clock }));
    await api.until(() => seen.length === 1);
    setValue(api.cluster, "a", "second");
    await api.until(() => seen.length === 3);
    expect([...seen].sort()).toEqual(["first", "first", "second"]);
  });

  it("does not begin before its caches are whole", async () => {
    const seen: number[] = [];
    const test = await stand(async () => void seen.push(test.cache.size));
    for (const name of ["a", "b", "c"]) test.api.cluster.create("configmaps", configMap(name, "1"));
    void test.run();
    await test.api.until(() => seen.length === 3);
    expect(seen).toEqual([3, 3, 3]);
  });

  it("comes back to failures after growing delays, and forgets them after a success", async () => {
    const metrics = createMetrics();
    const atMs: number[] = [];
    let failing = true;
    const test = await stand(
      async () => {
        atMs.push(Number(test.api.clock.nowNs() / 1_000_000n));
        if (failing) throw new Error("broken");
      },
      {},
      { metrics },
    );
    test.api.cluster.create("configmaps", configMap("a", "1"));
    void test.run();
    await test.api.until(() => atMs.length === 8, 1);
    const delays = atMs.slice(1).map((ms, at) => ms - atMs[at]!);
    expect(delays).toEqual([5, 10, 20, 40, 80, 160, 320]);
    failing = false;
    await test.api.until(() => atMs.length === 9, 10);
    await test.api.pass(2_000_000, 100_000);
    expect(atMs).toHaveLength(9);
    const text = metrics.text();
    expect(text).toContain('dm_reconcile_total{controller="test",result="error"} 8');
    expect(text).toContain('dm_reconcile_total{controller="test",result="success"} 1');
    expect(text).toContain('dm_queue_depth{controller="test"} 0');
    expect(text).toContain('dm_queue_adds_total{controller="test"} 9');
  });

  it("comes back when a reconcile asked for it, or the server did", async () => {
    const atMs: number[] = [];
    const test = await stand(async () => {
      atMs.push(Number(test.api.clock.nowNs() / 1_000_000n));
      if (atMs.length === 2) throw unavailable("later", { retryAfterMs: 60_000 });
      return { requeueAfterMs: 5_000 };
    });
    test.api.cluster.create("configmaps", configMap("a", "1"));
    void test.run();
    await test.api.until(() => atMs.length === 4, 50);
    expect(atMs.slice(1).map((ms, at) => ms - atMs[at]!)).toEqual([5_000, 60_000, 5_000]);
  });

  it("works on several keys at once, never twice on one", async () => {
    const running = new Set<string>();
    let most = 0;
    let done = 0;
    const test = await stand(
      async ({ name }) => {
        expect(running.has(name)).toBe(false);
        running.add(name);
        most = Math.max(most, running.size);
        test.queue().add({ namespace: "default", name });
        await test.api.clock.sleep(100);
        running.delete(name);
        done += 1;
      },
      { concurrency: 3 },
    );
    for (const name of ["a", "b", "c", "d"])
      test.api.cluster.create("configmaps", configMap(name, "1"));
    void test.run();
    await test.api.until(() => done >= 12);
    expect(most).toBe(3);
  });

  it("tells a reconcile that takes too long, and goes on", async () => {
    const reasons: unknown[] = [];
    const test = await stand(
      (key, signal) =>
        new Promise((resolve, reject) => {
          if (key.name === "quick") resolve();
          signal.addEventListener("abort", () => {
            reasons.push(signal.reason);
            reject(signal.reason);
          });
        }),
      { timeoutMs: 60_000 },
    );
    test.api.cluster.create("configmaps", configMap("slow", "1"));
    void test.run();
    await test.api.until(() => reasons.length === 1, 1_000);
    expect(reasons[0]).toMatchObject({ code: "DM_RECONCILE_TIMEOUT" });
  });

  it("at the end finishes what is under way, and begins nothing", async () => {
    const log: string[] = [];
    const test = await stand(async ({ name }, signal) => {
      log.push(`${name} begins`);
      await test.api.clock.sleep(5_000, { signal });
      log.push(`${name} ends`);
    });
    for (const name of ["a", "b"]) test.api.cluster.create("configmaps", configMap(name, "1"));
    const ended = test.run();
    await test.api.until(() => log.length === 1);
    test.stop.abort(new Error("stopped"));
    await test.api.until(() => log.length === 2);
    await ended;
    expect(log).toEqual(["a begins", "a ends"]);
  });

  it("at the end cuts off what takes longer than its grace", async () => {
    const log: string[] = [];
    const test = await stand(
      async (_key, signal) => {
        log.push("begins");
        try {
          await test.api.clock.sleep(3_600_000, { signal });
        } catch (error) {
          log.push("cut");
          throw error;
        }
      },
      { timeoutMs: 7_200_000 },
      { graceMs: 10_000 },
    );
    test.api.cluster.create("configmaps", configMap("a", "1"));
    const ended = test.run();
    await test.api.until(() => log.length === 1);
    test.stop.abort(new Error("stopped"));
    await test.api.pass(9_000, 500);
    expect(log).toEqual(["begins"]);
    await test.api.pass(2_000, 500);
    expect(log).toEqual(["begins", "cut"]);
    await ended;
  });

  it("that is stopped before its caches are whole just ends", async () => {
    const test = await stand(async () => undefined);
    test.api.proxy.down = true;
    const ended = test.run();
    test.stop.abort(new Error("stopped"));
    await ended;
    const none = { name: "none", sources: [], reconcile: async () => undefined, concurrency: 0 };
    await expect(runController(none, { signal: test.stop.signal })).rejects.toThrow(RangeError);
  });

  it("counts a conflict apart, and comes back soon", async () => {
    const metrics = createMetrics();
    let turns = 0;
    const test = await stand(
      async (key) => {
        turns += 1;
        if (turns > 1) return;
        const stale = structuredClone(test.cache.get(key)!);
        setValue(test.api.cluster, key.name, "2");
        await test.api.client.replace(configMaps, stale).catch((error: unknown) => {
          expect(isConflict(error)).toBe(true);
          throw error;
        });
      },
      {},
      { metrics },
    );
    test.api.cluster.create("configmaps", configMap("a", "1"));
    void test.run();
    await test.api.until(() => turns >= 2);
    expect(metrics.text()).toContain('dm_conflicts_total{controller="test"} 1');
  });
});
