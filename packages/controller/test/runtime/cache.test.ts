/**
 * What a cache holds and tells is what the API server holds, through lists of pages, watches, outages and forgotten versions.
 * Against the embedded API server in virtual time; what no server does is played by a client written for the test.
 */
import { type ConfigMap, configMaps, type KubeObject } from "@dm/crds";
import { virtualClock } from "@dm/testbed";
import { describe, expect, it } from "vitest";
import {
  type Cache,
  type CacheChange,
  type CacheOptions,
  createCache,
} from "../../src/runtime/cache.ts";
import type { KubeClient, WatchEvent, WatchOptions } from "../../src/runtime/kube-client.ts";
import { unavailable } from "../../src/runtime/kube-errors.ts";
import { configMap, setValue, startMs, type TestApi, testApi, valueIn } from "./api.ts";

/** `added a=1`, one for each change. */
function record(cache: Cache<ConfigMap>): string[] {
  const told: string[] = [];
  cache.onChange(({ type, object, previous }) => {
    const before = previous ? `${valueIn(previous)}→` : "";
    told.push(`${type} ${object.metadata.name}=${before}${valueIn(object)}`);
  });
  return told;
}

function startCache(api: TestApi, options: CacheOptions<ConfigMap> = {}) {
  const cache = createCache(api.client, configMaps, {
    namespace: "default",
    clock: api.clock,
    ...options,
  });
  const told = record(cache);
  api.background((signal) => cache.run(signal));
  return { cache, told };
}

describe("a cache on the API server", () => {
  it("lists in pages, then follows every change", async () => {
    const api = await testApi();
    for (const name of ["a", "b", "c", "d", "e"]) {
      api.cluster.create("configmaps", configMap(name, "1"));
    }
    api.cluster.create("configmaps", configMap("elsewhere", "1", "kube-system"));
    const { cache, told } = startCache(api, { pageSize: 2 });
    expect(cache.hasSynced).toBe(false);
    await cache.synced();
    expect(told).toEqual(["added a=1", "added b=1", "added c=1", "added d=1", "added e=1"]);
    expect(api.proxy.seen.filter(({ isWatch }) => !isWatch)).toHaveLength(3);
    setValue(api.cluster, "a", "2");
    api.cluster.delete("configmaps", "default", "b");
    api.cluster.create("configmaps", configMap("f", "1"));
    await api.until(() => told.length === 8);
    expect(told.slice(5)).toEqual(["updated a=1→2", "deleted b=1", "added f=1"]);
    expect(valueIn(cache.get({ namespace: "default", name: "a" })!)).toBe("2");
    expect(cache.get({ namespace: "default", name: "b" })).toBeUndefined();
    expect(cache.list().map(({ metadata }) => metadata.name)).toEqual(["a", "c", "d", "e", "f"]);
    expect(cache.size).toBe(5);
    expect(cache.restarts).toBe(0);
  });

  it("tells a handler that comes late of all there is", async () => {
    const api = await testApi();
    api.cluster.create("configmaps", configMap("a", "1"));
    const { cache } = startCache(api);
    await cache.synced();
    expect(record(cache)).toEqual(["added a=1"]);
  });

  it("stops telling a handler that has gone", async () => {
    const api = await testApi();
    const { cache, told } = startCache(api);
    const gone: string[] = [];
    const end = cache.onChange(({ object }) => void gone.push(object.metadata.name ?? ""));
    await cache.synced();
    end();
    api.cluster.create("configmaps", configMap("a", "1"));
    await api.until(() => told.length === 1);
    expect(gone).toEqual([]);
  });

  it("holds what its selector selects, as that changes", async () => {
    const api = await testApi();
    api.cluster.create("configmaps", configMap("a", "1"));
    api.cluster.create("configmaps", configMap("b", "2"));
    const { cache, told } = startCache(api, { labelSelector: "value=1" });
    await cache.synced();
    setValue(api.cluster, "a", "2");
    setValue(api.cluster, "b", "1");
    await api.until(() => told.length === 3);
    expect(told).toEqual(["added a=1", "deleted a=1", "added b=1"]);
    const { cache: byName } = startCache(api, { fieldSelector: "metadata.name=b" });
    await byName.synced();
    expect(byName.size).toBe(1);
  });

  it("finds objects by its indexes", async () => {
    const api = await testApi();
    for (const [name, value] of [
      ["a", "1"],
      ["b", "2"],
      ["c", "1"],
    ] as const) {
      api.cluster.create("configmaps", configMap(name, value));
    }
    const { cache, told } = startCache(api, { indexes: { value: (map) => [valueIn(map) ?? ""] } });
    await cache.synced();
    const names = (value: string): (string | undefined)[] =>
      cache.byIndex("value", value).map(({ metadata }) => metadata.name);
    expect(names("1")).toEqual(["a", "c"]);
    setValue(api.cluster, "a", "2");
    await api.until(() => told.length === 4);
    expect([names("1"), names("2")]).toEqual([["c"], ["b", "a"]]);
  });

  it("row 54: lists again when its version is forgotten, and tells the differences", async () => {
    const api = await testApi();
    for (const name of ["same", "changed", "gone", "again"]) {
      api.cluster.create("configmaps", configMap(name, "1"));
    }
    const { cache, told } = startCache(api);
    await cache.synced();
    await api.until(() => api.proxy.openWatches === 1);
    told.length = 0;
    api.proxy.down = true;
    await api.until(() => cache.restarts > 0);
    setValue(api.cluster, "changed", "2");
    api.cluster.delete("configmaps", "default", "gone");
    api.cluster.delete("configmaps", "default", "again");
    api.cluster.create("configmaps", configMap("again", "2"));
    api.cluster.create("configmaps", configMap("new", "1"));
    api.server.compact();
    api.proxy.down = false;
    await api.until(() => told.length >= 5);
    await api.pass(5_000, 500);
    expect([...told].sort()).toEqual([
      "added again=2",
      "added new=1",
      "deleted again=1",
      "deleted gone=1",
      "updated changed=1→2",
    ]);
    expect(told.indexOf("deleted again=1")).toBeLessThan(told.indexOf("added again=2"));
  });

  it("goes on from its version after an outage, without a list", async () => {
    const api = await testApi();
    api.cluster.create("configmaps", configMap("a", "1"));
    const { cache, told } = startCache(api);
    await cache.synced();
    api.proxy.down = true;
    await api.until(() => cache.restarts > 0);
    api.cluster.delete("configmaps", "default", "a");
    api.cluster.create("configmaps", configMap("a", "2"));
    api.proxy.down = false;
    await api.until(() => told.length === 3);
    expect(told).toEqual(["added a=1", "deleted a=1", "added a=2"]);
    expect(api.proxy.seen.filter(({ isWatch }) => !isWatch)).toHaveLength(1);
  });

  it("reads everything at once when the version of its pages is forgotten between them", async () => {
    const api = await testApi();
    for (const name of ["a", "b", "c"]) api.cluster.create("configmaps", configMap(name, "1"));
    let pages = 0;
    api.proxy.before = ({ isWatch }) => {
      if (isWatch || ++pages !== 2) return;
      api.cluster.delete("configmaps", "default", "a");
      api.server.compact();
    };
    const { cache, told } = startCache(api, { pageSize: 1 });
    await cache.synced();
    expect(told).toEqual(["added b=1", "added c=1"]);
    expect(cache.restarts).toBe(0);
  });

  it("row 53: asks an absent server less and less often, and is whole soon after it is back", async () => {
    const api = await testApi();
    const { cache, told } = startCache(api);
    await cache.synced();
    await api.until(() => api.proxy.openWatches === 1);
    api.proxy.down = true;
    await api.until(() => cache.restarts > 0);
    const before = cache.restarts;
    await api.pass(600_000, 1_000);
    // 0.2 s, doubled up to 30 s, of which chance takes up to a half.
    const attempts = cache.restarts - before;
    expect(attempts).toBeGreaterThan(15);
    expect(attempts).toBeLessThan(55);
    expect(cache.ageMs).toBeGreaterThan(590_000);
    expect(cache.stalledMs).toBeLessThanOrEqual(31_000);
    api.cluster.create("configmaps", configMap("a", "1"));
    api.proxy.down = false;
    const backNs = api.clock.nowNs();
    await api.until(() => told.length === 1, 1_000);
    expect(Number((api.clock.nowNs() - backNs) / 1_000_000n)).toBeLessThan(40_000);
    expect(cache.ageMs).toBeLessThan(40_000);
  });

  it("row 59: is not moved by events that come twice", async () => {
    const api = await testApi();
    api.proxy.doubled = true;
    const { cache, told } = startCache(api);
    await cache.synced();
    api.cluster.create("configmaps", configMap("a", "1"));
    setValue(api.cluster, "a", "2");
    api.cluster.delete("configmaps", "default", "a");
    api.cluster.create("configmaps", configMap("a", "3"));
    await api.until(() => told.length >= 4);
    setValue(api.cluster, "a", "4");
    await api.until(() => told.includes("updated a=3→4"));
    expect(told).toEqual([
      "added a=1",
      "updated a=1→2",
      "deleted a=2",
      "added a=3",
      "updated a=3→4",
    ]);
  });

  it("survives its handlers", async () => {
    const api = await testApi();
    const failures: unknown[] = [];
    const none = (): void => undefined;
    const logger = {
      debug: none,
      info: none,
      warn: none,
      error: (_: string, fields: unknown) => void failures.push(fields),
    };
    const { cache, told } = startCache(api, { logger });
    cache.onChange(() => {
      throw new Error("thrown");
    });
    cache.onChange(async () => {
      throw new Error("rejected");
    });
    await cache.synced();
    api.cluster.create("configmaps", configMap("a", "1"));
    api.cluster.create("configmaps", configMap("b", "1"));
    await api.until(() => told.length === 2 && failures.length === 4);
    expect(failures[0]).toMatchObject({ kind: "ConfigMap", error: { message: "thrown" } });
  });

  it("hands out objects that nobody can change, or what the user keeps of them", async () => {
    const api = await testApi();
    api.cluster.create("configmaps", configMap("a", "1"));
    const { cache } = startCache(api);
    await cache.synced();
    const object = cache.list()[0]!;
    expect(() => {
      object.data!["value"] = "2";
    }).toThrow(TypeError);
    const copy = structuredClone(object);
    copy.data!["value"] = "2";
    await api.client.replace(configMaps, copy);
    await api.until(() => valueIn(cache.list()[0]!) === "2");
    const own = createCache(api.client, configMaps, {
      keep: ({ apiVersion, kind, metadata }) => ({ apiVersion, kind, metadata }) as ConfigMap,
      freeze: false,
      clock: api.clock,
    });
    api.background((signal) => own.run(signal));
    await own.synced();
    expect(own.get({ namespace: "default", name: "a" })?.data).toBeUndefined();
    expect(Object.isFrozen(own.list("default")[0])).toBe(false);
  });
});

/** A client whose watches are written by the test. */
function playedClient(
  play: (options: WatchOptions, turn: number) => AsyncIterable<WatchEvent<KubeObject>>,
) {
  const calls = { lists: 0, versions: [] as string[] };
  const refuse = (): Promise<never> => Promise.reject(new Error("not used"));
  const client: KubeClient = {
    get: refuse,
    create: refuse,
    replace: refuse,
    patch: refuse,
    delete: refuse,
    list: async () => {
      calls.lists += 1;
      return { items: [], resourceVersion: "10" };
    },
    watch: (_resource, options) => {
      calls.versions.push(options.resourceVersion);
      // biome-ignore lint/suspicious/noExplicitAny: the test's events are of the kind that it asked for.
      return play(options, calls.versions.length) as AsyncIterable<WatchEvent<any>>;
    },
  };
  return { client, calls };
}

function playedObject(name: string, resourceVersion: string, uid = name): KubeObject {
  return { metadata: { namespace: "default", name, uid, resourceVersion } };
}

/** Never ends by itself, not even when told to: it obeys the signal only if `obey`. */
async function* hung(signal: AbortSignal | undefined): AsyncGenerator<never> {
  await new Promise((_resolve, reject) =>
    signal?.addEventListener("abort", () => reject(signal.reason)),
  );
}

describe("a cache on a client that misbehaves", () => {
  function startPlayed(
    play: Parameters<typeof playedClient>[0],
    options: CacheOptions<ConfigMap> = {},
  ) {
    const clock = virtualClock(startMs);
    const { client, calls } = playedClient(play);
    const cache = createCache(client, configMaps, { clock, random: () => 0, ...options });
    const told: string[] = [];
    cache.onChange(({ type, object }: CacheChange<ConfigMap>) => {
      told.push(`${type} ${object.metadata.name}@${object.metadata.resourceVersion}`);
    });
    const stop = new AbortController();
    const ended = cache.run(stop.signal);
    const end = async (): Promise<void> => {
      stop.abort(new Error("enough"));
      await ended;
      expect(clock.sleepers).toBe(0);
    };
    return { clock, calls, cache, told, end };
  }

  it("ends a watch that never ends, and begins again", async () => {
    const { clock, calls, cache, end } = startPlayed(({ signal }) => hung(signal));
    await clock.advance(359_000);
    expect(calls.versions).toEqual(["10"]);
    expect(cache.ageMs).toBe(359_000);
    await clock.advance(2_000);
    expect(calls.versions).toEqual(["10", "10"]);
    expect(cache.restarts).toBe(1);
    await end();
  });

  it("keeps its version fresh by bookmarks", async () => {
    const { clock, calls, told, end } = startPlayed(async function* ({ signal }, turn) {
      if (turn > 2) yield* hung(signal);
      else yield { type: "BOOKMARK", object: { metadata: { resourceVersion: `${turn}000` } } };
    });
    await clock.advance(10_000);
    expect(calls).toEqual({ lists: 1, versions: ["10", "1000", "2000"] });
    expect(told).toEqual([]);
    await end();
  });

  it("is not moved by what is older than what it knows", async () => {
    const { clock, calls, told, end } = startPlayed(async function* ({ signal }, turn) {
      if (turn === 1) {
        yield { type: "ADDED", object: playedObject("a", "11") };
        yield { type: "DELETED", object: playedObject("a", "12") };
        yield { type: "ADDED", object: playedObject("a", "13", "second") };
        throw unavailable("dropped");
      }
      if (turn === 2) {
        // The whole story again, from before the version that was asked for.
        yield { type: "ADDED", object: playedObject("a", "11") };
        yield { type: "DELETED", object: playedObject("a", "12") };
        yield { type: "ADDED", object: playedObject("a", "13", "second") };
        yield { type: "MODIFIED", object: playedObject("a", "14", "second") };
      }
      yield* hung(signal);
    });
    await clock.advance(10_000);
    expect(told).toEqual(["added a@11", "deleted a@12", "added a@13", "updated a@14"]);
    expect(calls.versions).toEqual(["10", "13"]);
    await end();
  });

  it("row 55: asks less than once a second when watches end at once, and keeps up when they end every second", async () => {
    const quick = startPlayed(async function* () {});
    await quick.clock.advance(600_000);
    expect(quick.calls.versions.length).toBeLessThan(40);
    await quick.end();
    const clock = virtualClock(startMs);
    const every = playedClient(async function* ({ signal }, turn) {
      yield { type: "ADDED", object: playedObject(`o${turn}`, `${10 + turn}`) };
      await clock.sleep(1_000, { signal });
    });
    const cache = createCache(every.client, configMaps, { clock, random: () => 0 });
    const stop = new AbortController();
    const ended = cache.run(stop.signal);
    await clock.advance(60_000);
    expect(every.calls.versions.length).toBeGreaterThan(45);
    expect(every.calls.versions.length).toBeLessThanOrEqual(60);
    expect(cache.size).toBe(every.calls.versions.length);
    stop.abort();
    await ended;
  });

  it("looks again at everything every so often, when asked to", async () => {
    const { clock, told, calls, end } = startPlayed(
      async function* ({ signal }, turn) {
        if (turn === 1) yield { type: "ADDED", object: playedObject("a", "11") };
        yield* hung(signal);
      },
      { resyncMs: 10_000 },
    );
    await clock.advance(25_000);
    expect(told).toEqual(["added a@11", "resynced a@11", "resynced a@11"]);
    expect(calls.lists).toBe(1);
    await end();
  });

  it("compares itself with a list every so often, when asked to", async () => {
    const { clock, told, calls, end } = startPlayed(
      async function* ({ signal }, turn) {
        // An event about an object of which the lists know nothing.
        if (turn === 1) yield { type: "ADDED", object: playedObject("a", "11") };
        yield* hung(signal);
      },
      { relistMs: 60_000 },
    );
    await clock.advance(59_000);
    expect([calls.lists, told]).toEqual([1, ["added a@11"]]);
    await clock.advance(2_000);
    expect([calls.lists, told]).toEqual([2, ["added a@11", "deleted a@11"]]);
    await clock.advance(60_000);
    expect(calls.lists).toBe(3);
    await end();
  });

  it("does not keep managed fields", async () => {
    const { clock, cache, end } = startPlayed(async function* ({ signal }) {
      const object = playedObject("a", "11");
      object.metadata.managedFields = [{ manager: "someone" }];
      yield { type: "ADDED", object };
      yield* hung(signal);
    });
    await clock.advance(1);
    expect(cache.list()).toEqual([playedObject("a", "11")]);
    await end();
  });

  it("obeys Retry-After", async () => {
    const { clock, calls, end } = startPlayed(async function* ({ signal }, turn) {
      if (turn === 1) throw unavailable("later", { retryAfterMs: 20_000 });
      yield* hung(signal);
    });
    await clock.advance(19_900);
    expect(calls.versions).toHaveLength(1);
    await clock.advance(200);
    expect(calls.versions).toHaveLength(2);
    await end();
  });

  it("lists again when the server goes on refusing its version", async () => {
    const { clock, calls, end } = startPlayed(async function* ({ signal }, turn) {
      if (turn <= 5) throw unavailable("Too large resource version", { httpStatus: 504 });
      yield* hung(signal);
    });
    await clock.advance(60_000);
    expect(calls).toEqual({ lists: 2, versions: Array.from({ length: 6 }, () => "10") });
    await end();
  });

  it("survives its indexes", async () => {
    const { clock, cache, end } = startPlayed(
      async function* ({ signal }) {
        yield { type: "ADDED", object: playedObject("a", "11") };
        yield { type: "ADDED", object: playedObject("b", "12") };
        yield* hung(signal);
      },
      {
        indexes: {
          name: ({ metadata }) => {
            if (metadata.name === "a") throw new Error("broken");
            return [metadata.name ?? ""];
          },
        },
      },
    );
    await clock.advance(1_000);
    expect([cache.size, cache.restarts]).toEqual([2, 0]);
    expect(cache.byIndex("name", "a")).toEqual([]);
    expect(cache.byIndex("name", "b")).toHaveLength(1);
    await end();
  });

  it("takes lists of any length in one page", async () => {
    const { client } = playedClient(({ signal }) => hung(signal));
    const items = Array.from({ length: 200_000 }, (_, at) => playedObject(`o${at}`, `${at}`));
    const list = async () => ({ items: items as never[], resourceVersion: "200000" });
    const cache = createCache({ ...client, list }, configMaps, { clock: virtualClock(startMs) });
    const stop = new AbortController();
    const ended = cache.run(stop.signal);
    await cache.synced();
    expect(cache.size).toBe(items.length);
    stop.abort();
    await ended;
  });

  it("runs once, and not at all with an aborted signal", async () => {
    const { cache, end } = startPlayed(({ signal }) => hung(signal));
    await expect(cache.run(new AbortController().signal)).rejects.toThrow(TypeError);
    await end();
    const { client, calls } = playedClient(({ signal }) => hung(signal));
    await createCache(client, configMaps).run(AbortSignal.abort());
    expect(calls.lists).toBe(0);
    const never = createCache(client, configMaps).synced({
      signal: AbortSignal.abort(new Error("no")),
    });
    await expect(never).rejects.toThrow("no");
  });
});
