/**
 * A controller moves objects through phases while everything around it breaks: the server goes away, forgets versions, answers
 * with errors and conflicts, loses answers; watches are cut in the middle of a line, fall silent, tell everything twice; users
 * edit. In the end every object has gone through every phase in order, no edit is lost, and the server has not been flooded.
 * Seeded (DM_SEED), in virtual time; 40 seeds with DM_FULL=1.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConfigMap, configMaps } from "@dm/crds";
import { seededRandom } from "@dm/fixtures";
import { createApiServer } from "@dm/testbed";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Cache, createCache } from "../../src/runtime/cache.ts";
import { type Controller, runController, source } from "../../src/runtime/controller.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";
import { nodeKubeClient } from "../../src/runtime/node-client.ts";
import { configMap, setValue, type TestApi, testApi, valueIn } from "./api.ts";

const firstSeed = Number(process.env["DM_SEED"] ?? Date.now() % 2 ** 31);
const seeds = Array.from({ length: process.env["DM_FULL"] ? 40 : 2 }, (_, at) => firstSeed + at);
const lastPhase = 4;

const names = Array.from({ length: 12 }, (_, at) => `m${at}`);

/** One phase further, from what the cache knew before two seconds of work. */
function mover(api: TestApi, cache: Cache<ConfigMap>, more: Partial<Controller> = {}): Controller {
  return {
    name: "mover",
    concurrency: 3,
    sources: [source(cache)],
    reconcile: async (key, signal) => {
      const known = cache.get(key);
      await api.clock.sleep(2_000, { signal });
      const phase = Number(known && valueIn(known));
      if (!known || phase >= lastPhase) return;
      const object = structuredClone(known);
      object.data = { ...object.data, value: String(phase + 1) };
      await api.client.replace(configMaps, object);
    },
    ...more,
  };
}

/** The phases that each object went through, as the server saw them. */
function historyOf(api: TestApi): ReadonlyMap<string, string[]> {
  const history = new Map<string, string[]>();
  api.cluster.watch("configmaps", ({ object }) => {
    const { name, namespace } = object.metadata;
    if (namespace !== "default" || !name.startsWith("m")) return;
    const value = valueIn(object as unknown as ConfigMap) ?? "";
    const phases = history.get(name) ?? [];
    if (phases.at(-1) !== value) phases.push(value);
    history.set(name, phases);
  });
  return history;
}

const phaseOf = (api: TestApi, name: string): string | undefined =>
  valueIn(api.cluster.get("configmaps", "default", name) as unknown as ConfigMap);

const allDone = (api: TestApi): boolean =>
  names.every((name) => phaseOf(api, name) === String(lastPhase));

const allPhases = Array.from({ length: lastPhase + 1 }, (_, phase) => String(phase));

function startMover(api: TestApi, options: { readonly relistMs?: number } = {}) {
  const metrics = createMetrics();
  const { clock } = api;
  const cache = createCache(api.client, configMaps, { namespace: "default", clock, ...options });
  api.background((signal) => cache.run(signal));
  const controller = mover(api, cache);
  api.background((signal) => runController(controller, { signal, clock, metrics }));
  return { cache, metrics };
}

describe.each(seeds)("with everything broken now and then (DM_SEED=%i)", (seed) => {
  it("no transition is missed, none is made twice, and no edit is lost", async () => {
    const api = await testApi();
    const { proxy, server } = api;
    const random = seededRandom(seed);
    const chance = (): number => random.integer(1_000) / 1_000;
    const history = historyOf(api);
    for (const name of names) api.cluster.create("configmaps", configMap(name, "0"));
    server.faults.conflictRate = 0.2;
    startMover(api, seed % 2 === 0 ? { relistMs: 60_000 } : {});
    const edits = new Map<string, number>();
    const trouble: readonly (() => void)[] = [
      () => proxy.dropWatches(chance() < 0.5),
      () => server.compact(),
      () => {
        proxy.down = chance() < 0.5;
      },
      () => {
        proxy.silent = chance() < 0.3;
      },
      () => {
        proxy.doubled = chance() < 0.5;
      },
      () => {
        const rate = chance() < 0.5 ? 0 : 0.6;
        const status = random.pick([429, 500, 503]);
        proxy.fault = () =>
          chance() < rate
            ? { status, reason: "Injected", retryAfterSeconds: 2, afterwards: chance() < 0.3 }
            : undefined;
      },
      () => {
        const name = random.pick(names);
        edits.set(name, (edits.get(name) ?? 0) + 1);
        api.cluster.modify("configmaps", "default", name, (object) => {
          object.metadata.labels = { ...object.metadata.labels, edits: String(edits.get(name)) };
        });
      },
    ];
    for (let round = 0; round < 60; round += 1) {
      random.pick(trouble)();
      await api.pass(Math.ceil(chance() * 4_000), 500);
    }
    proxy.down = false;
    proxy.silent = false;
    proxy.fault = () => undefined;
    server.faults.conflictRate = 0;
    const requestsBefore = proxy.seen.length;
    const healedNs = api.clock.nowNs();
    await api.until(() => allDone(api), 2_000);
    const healingMs = Number((api.clock.nowNs() - healedNs) / 1_000_000n);
    for (const name of names) {
      expect(history.get(name), name).toEqual(allPhases);
      const { labels } = api.cluster.get("configmaps", "default", name)?.metadata ?? {};
      expect(labels?.["edits"], name).toBe(edits.get(name)?.toString());
    }
    // The longest that anything lasts: a silent watch (twice 300 s, and a minute), and backoff of keys that failed in the storm.
    expect(healingMs).toBeLessThan(1_000_000);
    expect(proxy.seen.length - requestsBefore).toBeLessThan(400);
  });
});

describe("row 53: the server away for two minutes", () => {
  it("in the middle of the work, delays it and nothing else", async () => {
    const api = await testApi();
    const history = historyOf(api);
    for (const name of names) api.cluster.create("configmaps", configMap(name, "0"));
    const { metrics } = startMover(api);
    await api.until(() => names.some((name) => phaseOf(api, name) === "2"), 250);
    api.proxy.down = true;
    const before = api.proxy.seen.length;
    await api.pass(120_000, 500);
    // Twelve keys that wait 5 ms, doubled each time, ask fourteen times each; the cache about ten times.
    expect(api.proxy.seen.length - before).toBeLessThan(12 * 16 + 20);
    expect(allDone(api)).toBe(false);
    api.proxy.down = false;
    await api.until(() => allDone(api), 1_000);
    for (const name of names) expect(history.get(name)).toEqual(allPhases);
    expect(metrics.text()).not.toMatch(/result="error"/);
  });
});

describe("row 53: the server restarted", () => {
  it("with its state, and with other versions remembered, goes unnoticed by the work", async () => {
    const directory = await mkdtemp(join(tmpdir(), "dm-restart-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    let server = await createApiServer({ tls: false, directory });
    const { port } = new URL(server.url);
    const client = nodeKubeClient({ server: { url: server.url, token: server.adminToken } });
    const stop = new AbortController();
    const cache = createCache(client, configMaps, { namespace: "default" });
    const seen = new Map<string, string[]>();
    const controller: Controller = {
      name: "watcher",
      sources: [source(cache)],
      reconcile: async ({ namespace, name }) => {
        const object = cache.get({ namespace, name });
        seen.set(name, [...(seen.get(name) ?? []), object ? (valueIn(object) ?? "") : "gone"]);
      },
    };
    const running = [cache.run(stop.signal), runController(controller, { signal: stop.signal })];
    onTestFinished(async () => {
      stop.abort(new Error("the test has ended"));
      await Promise.all(running);
      client.close();
      await server.close();
    });
    server.cluster.create("configmaps", configMap("a", "1"));
    server.cluster.create("configmaps", configMap("b", "1"));
    const wait = { timeout: 30_000 };
    await expect.poll(() => seen.size, wait).toBe(2);
    for (const round of ["2", "3"]) {
      await server.close();
      server = await createApiServer({ tls: false, directory, port: Number(port) });
      if (round === "3") server.compact();
      setValue(server.cluster, "a", round);
      await expect.poll(() => seen.get("a")?.at(-1), wait).toBe(round);
    }
    server.cluster.delete("configmaps", "default", "b");
    await expect.poll(() => seen.get("b")?.at(-1), wait).toBe("gone");
    expect(seen.get("a")).toEqual(["1", "2", "3"]);
    expect(seen.get("b")).toEqual(["1", "gone"]);
  });
});

describe("row 55: watches that are cut every second", () => {
  it("let the work go on, with few more requests", async () => {
    const api = await testApi();
    for (const name of names) api.cluster.create("configmaps", configMap(name, "0"));
    startMover(api);
    for (let second = 0; second < 30; second += 1) {
      api.proxy.dropWatches(second % 2 === 0);
      await api.pass(1_000, 250);
    }
    await api.until(() => allDone(api), 250);
    const watches = api.proxy.seen.filter(({ isWatch }) => isWatch).length;
    expect(watches).toBeLessThan(70);
    const lists = api.proxy.seen.filter(
      ({ isWatch, method }) => !isWatch && method === "GET",
    ).length;
    expect(lists).toBe(1);
  });
});

describe("row 58: bursts of 429 and 500", () => {
  it.each([429, 500])("%i for every write of a minute is waited out", async (status) => {
    const api = await testApi();
    const history = historyOf(api);
    for (const name of names) api.cluster.create("configmaps", configMap(name, "0"));
    const isWrite = ({ method }: { readonly method: string }): boolean => method === "PUT";
    const retryAfterSeconds = status === 429 ? 5 : undefined;
    api.proxy.fault = (one) =>
      isWrite(one) ? { status, reason: "Injected", retryAfterSeconds } : undefined;
    const { metrics } = startMover(api);
    await api.pass(60_000, 250);
    const writes = api.proxy.seen.filter(isWrite).length;
    // With Retry-After once in 5 s at most, without it at growing distances.
    expect(writes).toBeGreaterThan(12);
    expect(writes).toBeLessThanOrEqual(12 * 15);
    if (status === 429) expect(writes).toBeLessThanOrEqual(12 * 13);
    api.proxy.fault = () => undefined;
    await api.until(() => allDone(api), 1_000);
    for (const name of names) expect(history.get(name)).toEqual(allPhases);
    expect(metrics.text()).not.toMatch(/result="error"/);
  });
});

describe("row 60: a clock that jumps by an hour", () => {
  it.each([1, -1])("(%i h) neither stops nor floods anything", async (hours) => {
    const api = await testApi();
    let offsetNs = 0n;
    const clock = {
      nowNs: () => api.clock.nowNs() + offsetNs,
      sleep: api.clock.sleep,
    };
    const cache = createCache(api.client, configMaps, {
      namespace: "default",
      clock,
      relistMs: 60_000,
    });
    api.background((signal) => cache.run(signal));
    let turns = 0;
    const controller: Controller = {
      name: "every ten seconds",
      sources: [source(cache)],
      reconcile: async () => {
        turns += 1;
        return { requeueAfterMs: 10_000 };
      },
    };
    api.background((signal) => runController(controller, { signal, clock }));
    api.cluster.create("configmaps", configMap("a", "0"));
    await api.until(() => turns > 0, 250);
    await api.pass(30_000, 500);
    const before = turns;
    const requestsBefore = api.proxy.seen.length;
    offsetNs = BigInt(hours) * 3_600_000_000_000n;
    api.cluster.create("configmaps", configMap("b", "0"));
    await api.pass(120_000, 500);
    // Two keys, every ten seconds each.
    expect(turns - before).toBeGreaterThanOrEqual(20);
    expect(turns - before).toBeLessThanOrEqual(28);
    expect(api.proxy.seen.length - requestsBefore).toBeLessThan(20);
  });
});
