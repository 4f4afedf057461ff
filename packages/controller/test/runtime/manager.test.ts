/** A process of controllers: it answers probes as it is, leads alone, and ends in good order. */
import { nsPerMs } from "@dm/core";
import { configMaps } from "@dm/crds";
import { describe, expect, it } from "vitest";
import { source } from "../../src/runtime/controller.ts";
import { leaseDefaults } from "../../src/runtime/lease.ts";
import { createManager, type Manager, type ManagerOptions } from "../../src/runtime/manager.ts";
import { configMap, type TestApi, testApi } from "./api.ts";

function make(api: TestApi, options: Partial<ManagerOptions> = {}): Manager {
  return createManager({ client: api.client, clock: api.clock, ...options });
}

/** Runs until the end of the test, or `stop`. */
function start(api: TestApi, manager: Manager): { readonly stop: () => Promise<void> } {
  const stop = new AbortController();
  let ended: Promise<void> | undefined;
  api.background((signal) => {
    signal.addEventListener("abort", () => stop.abort(signal.reason));
    ended = manager.run(stop.signal);
    return ended;
  });
  return {
    stop: async () => {
      stop.abort(new Error("stopped"));
      await ended;
    },
  };
}

async function get(manager: Manager, path: string): Promise<readonly [number, string]> {
  const response = await fetch(`${manager.endpointsUrl}${path}`);
  return [response.status, await response.text()];
}

describe("a manager", () => {
  it("runs caches and controllers, and stops them", async () => {
    const api = await testApi();
    const manager = make(api);
    const maps = manager.cache(configMaps, { namespace: "default" });
    const seen: string[] = [];
    manager.add({
      name: "c",
      sources: [source(maps)],
      reconcile: async ({ name }) => void seen.push(name),
    });
    let ticking = false;
    manager.addRunnable("ticker", async (signal) => {
      ticking = true;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      ticking = false;
    });
    api.cluster.create("configmaps", configMap("a", "1"));
    const running = start(api, manager);
    await api.until(() => seen.length === 1);
    expect([ticking, manager.isLeader]).toEqual([true, false]);
    await running.stop();
    expect(ticking).toBe(false);
    expect(() => manager.cache(configMaps)).toThrow(TypeError);
    await expect(manager.run(new AbortController().signal)).rejects.toThrow(TypeError);
    expect(api.clock.sleepers).toBe(0);
  });

  it("refuses two controllers of one name", async () => {
    const api = await testApi();
    const manager = make(api);
    const controller = { name: "c", sources: [], reconcile: async () => undefined };
    manager.add(controller);
    expect(() => manager.add(controller, { everywhere: true })).toThrow(TypeError);
  });

  it("answers probes: alive while the server is away, ready only with caches that are whole and young", async () => {
    const api = await testApi();
    const manager = make(api, { endpoints: { port: 0 }, staleAfterMs: 120_000 });
    manager.cache(configMaps, { namespace: "default" });
    let sick: string | undefined;
    manager.addCheck("health", "disk", () => sick);
    api.proxy.down = true;
    const { stop } = start(api, manager);
    await api.until(() => manager.endpointsUrl !== undefined);
    expect(await get(manager, "/healthz")).toEqual([200, "ok\n"]);
    expect(await get(manager, "/readyz")).toEqual([
      503,
      "the cache of configmaps is not filled yet\n",
    ]);
    api.proxy.down = false;
    await api.until(async () => (await get(manager, "/readyz"))[0] === 200, 1_000);
    api.proxy.down = true;
    await api.until(async () => (await get(manager, "/readyz"))[0] === 503, 10_000);
    expect((await get(manager, "/readyz"))[1]).toMatch(/^the cache of configmaps is \d+ ms old\n$/);
    expect((await get(manager, "/livez"))[0]).toBe(200);
    sick = "full";
    expect(await get(manager, "/healthz")).toEqual([503, "disk: full\n"]);
    expect((await get(manager, "/elsewhere"))[0]).toBe(404);
    expect((await fetch(`${manager.endpointsUrl}/healthz`, { method: "POST" })).status).toBe(405);
    const [status, text] = await get(manager, "/metrics");
    expect(status).toBe(200);
    expect(text).toContain('dm_cache_objects{cache="0",kind="ConfigMap"} 0');
    expect(text).toMatch(/dm_watch_restarts_total\{kind="ConfigMap"\} \d+/);
    await stop();
    await expect(get(manager, "/healthz")).rejects.toThrow();
  });

  it("is not healthy when a cache is stuck", async () => {
    const api = await testApi();
    const stuck = { ...api.client, list: () => new Promise<never>(() => undefined) };
    const manager = make(api, { client: stuck, endpoints: { port: 0 }, stalledAfterMs: 60_000 });
    manager.cache(configMaps);
    const stop = new AbortController();
    void manager.run(stop.signal);
    await api.until(() => manager.endpointsUrl !== undefined);
    expect((await get(manager, "/healthz"))[0]).toBe(200);
    await api.clock.advance(61_000);
    expect(await get(manager, "/healthz")).toEqual([503, "the cache of configmaps is stuck\n"]);
  });

  it("with a lease leads alone; the next one takes over, in this process or another", async () => {
    const api = await testApi();
    const log: string[] = [];
    const managerOf = (identity: string): Manager => {
      const leader = { namespace: "default", name: "dm", identity };
      const manager = make(api, { leader });
      const maps = manager.cache(configMaps, { namespace: "default" });
      const reconcile = async (): Promise<void> => void log.push(identity);
      manager.add({ name: "led", sources: [source(maps)], reconcile });
      manager.add(
        {
          name: "always",
          sources: [source(maps)],
          reconcile: async () => void log.push(`always ${identity}`),
        },
        { everywhere: true },
      );
      return manager;
    };
    api.cluster.create("configmaps", configMap("a", "1"));
    const one = managerOf("one");
    const first = start(api, one);
    await api.until(() => log.includes("one"));
    const two = managerOf("two");
    start(api, two);
    await api.until(() => log.includes("always two"));
    await api.pass(30_000, 500);
    expect(log).not.toContain("two");
    expect([one.isLeader, two.isLeader]).toEqual([true, false]);
    await first.stop();
    await api.until(() => log.includes("two"));
    expect([one.isLeader, two.isLeader]).toEqual([false, true]);
    // A lost lease ends the controllers, not the process; they begin again with it.
    log.length = 0;
    api.proxy.down = true;
    await api.until(() => !two.isLeader, 500);
    api.proxy.down = false;
    await api.until(() => two.isLeader && log.includes("two"), 500);
  });

  it("what is under way with a lost lease is told before another process may begin", async () => {
    const api = await testApi();
    const manager = make(api, { leader: { namespace: "default", name: "dm", identity: "one" } });
    const maps = manager.cache(configMaps, { namespace: "default" });
    let isWorking = false;
    let toldAtMs: number | undefined;
    manager.add({
      name: "slow",
      sources: [source(maps)],
      reconcile: (_key, signal) => {
        isWorking = true;
        return new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            toldAtMs = Number(api.clock.nowNs() / nsPerMs);
            reject(signal.reason);
          });
        });
      },
    });
    api.cluster.create("configmaps", configMap("a", "1"));
    start(api, manager);
    await api.until(() => isWorking);
    const downAtMs = Number(api.clock.nowNs() / nsPerMs);
    api.proxy.down = true;
    await api.until(() => toldAtMs !== undefined, 500);
    expect((toldAtMs ?? 0) - downAtMs).toBeLessThan(leaseDefaults.durationMs);
    api.proxy.down = false;
  });

  it("ends when a part of it fails for good, with that part's error", async () => {
    const api = await testApi();
    const manager = make(api);
    manager.cache(configMaps);
    manager.addRunnable("broken", async () => {
      throw new Error("broken");
    });
    await expect(manager.run(api.signal)).rejects.toThrow("broken");
    await api.until(() => api.proxy.openWatches === 0);
  });

  it("does not start without its port", async () => {
    const api = await testApi();
    const first = make(api, { endpoints: { port: 0 } });
    start(api, first);
    await api.until(() => first.endpointsUrl !== undefined);
    const port = Number(new URL(first.endpointsUrl ?? "").port);
    await expect(make(api, { endpoints: { port } }).run(api.signal)).rejects.toThrow("EADDRINUSE");
  });
});
