// The throttle keeps to every limit, by a virtual clock: buckets of a minute that start a tenth full, places among the
// requests under way, and nothing lost when a wait is aborted.
import { type Clock, manualClock } from "@dm/core";
import { describe, expect, it } from "vitest";
import {
  type BlobStore,
  forward,
  memoryStore,
  type ThrottlingLimits,
  throttled,
} from "../src/index.ts";
import { faulty } from "../src/testing.ts";

const data = new Uint8Array(1000).fill(1);

function limited(limits: ThrottlingLimits) {
  const clock = manualClock(0n);
  const memory = memoryStore({ clock, blobs: new Map([["there", data]]) });
  return { clock, memory, store: throttled(memory, limits, clock) };
}

const seconds = (clock: Clock): number => Number(clock.nowNs()) / 1e9;

async function listAll(store: BlobStore): Promise<void> {
  for await (const _ of store.list(""));
}

const retention = { mode: "GOVERNANCE", periodMs: 1000 } as const;

describe("requests per second", () => {
  it.each([
    ["readsPerSecond", "get", (store: BlobStore) => store.get("there")],
    ["readsPerSecond", "stat", (store: BlobStore) => store.stat("there")],
    ["writesPerSecond", "put", (store: BlobStore) => store.put("new", data)],
    ["writesPerSecond", "delete", (store: BlobStore) => store.delete("new")],
    [
      "writesPerSecond",
      "extendRetention",
      (store: BlobStore) => store.extendRetention("there", retention),
    ],
    ["listsPerSecond", "list", listAll],
  ] as const)("%s holds for %s", async (limit, _operation, run) => {
    const { clock, store } = limited({ [limit]: 2 });
    // A minute's worth is 120; a tenth of it is there at the start.
    for (let call = 0; call < 12; call++) await run(store);
    expect(seconds(clock)).toBe(0);
    for (let call = 0; call < 100; call++) await run(store);
    expect(seconds(clock)).toBeCloseTo(50, 6);
  });

  it("do not hold for the other kinds of request", async () => {
    const { clock, store } = limited({ writesPerSecond: 0.01 });
    for (let call = 0; call < 100; call++) {
      await store.get("there");
      await store.stat("there");
      await listAll(store);
      await store.capacity();
    }
    expect(seconds(clock)).toBe(0);
  });

  it("save up for a minute and no longer", async () => {
    const { clock, store } = limited({ readsPerSecond: 1 });
    clock.advance(3_600_000);
    for (let call = 0; call < 60; call++) await store.stat("there");
    expect(seconds(clock)).toBe(3600);
    for (let call = 0; call < 30; call++) await store.stat("there");
    expect(seconds(clock)).toBeCloseTo(3630, 6);
  });

  it("share one bucket among calls made at once", async () => {
    const { clock, store } = limited({ readsPerSecond: 10 });
    const sleeps: number[] = [];
    const waiting: Clock = {
      nowNs: () => clock.nowNs(),
      sleep: async (ms) => {
        sleeps.push(ms);
      },
    };
    const together = throttled(store, { readsPerSecond: 1 }, waiting);
    await Promise.all(Array.from({ length: 9 }, () => together.stat("there")));
    expect(sleeps.map(Math.round)).toEqual([1000, 2000, 3000]);
  });

  it("survive a clock that is set back", async () => {
    const { clock, store } = limited({ readsPerSecond: 1 });
    clock.set(1_000_000_000_000n);
    await store.stat("there");
    clock.set(0n);
    for (let call = 0; call < 59; call++) await store.stat("there");
    expect(seconds(clock)).toBe(0);
  });
});

describe("bytes per second", () => {
  it("hold for uploads, before they begin", async () => {
    const { clock, memory, store } = limited({ maxUploadSpeedBytesPerSecond: 1000 });
    for (let call = 0; call < 6; call++) await store.put(`p${call}`, data);
    expect(seconds(clock)).toBe(0);
    await store.put("late", data);
    expect(seconds(clock)).toBeCloseTo(1, 6);
    expect(Number((await memory.stat("late")).timestampNs) / 1e9).toBeCloseTo(1, 6);
  });

  it.each([
    ["whole blobs", (store: BlobStore) => store.get("there")],
    ["ranges", (store: BlobStore) => store.get("there", { offset: 0, length: 1000 })],
  ])("hold for downloads of %s", async (_what, run) => {
    const { clock, store } = limited({ maxDownloadSpeedBytesPerSecond: 500 });
    for (let call = 0; call < 23; call++) await run(store);
    expect(seconds(clock)).toBeCloseTo((23_000 - 3000) / 500, 6);
  });

  it("let a blob through that is larger than a minute's worth", async () => {
    const { clock, store } = limited({ maxUploadSpeedBytesPerSecond: 1 });
    await store.put("large", data);
    expect(seconds(clock)).toBeCloseTo(994, 6);
  });
});

describe("places", () => {
  /** The most calls that were under way at once, while 20 were asked for. */
  async function mostAtOnce(
    limits: ThrottlingLimits,
    run: (store: BlobStore, index: number) => Promise<unknown>,
  ): Promise<number> {
    let underWay = 0;
    let most = 0;
    const memory = memoryStore({ blobs: new Map([["there", data]]) });
    const slow = faulty(memory, {
      onCall: async (_number, _operation, _id, phase) => {
        underWay += phase === "before" ? 1 : -1;
        most = Math.max(most, underWay);
        await new Promise((resolve) => setTimeout(resolve, 1));
      },
    });
    const store = throttled(slow, limits);
    await Promise.all(Array.from({ length: 20 }, (_, index) => run(store, index)));
    return most;
  }

  it.each([
    ["concurrentReads", 3, (store: BlobStore) => store.get("there")],
    ["concurrentReads", 2, (store: BlobStore) => store.stat("there")],
    ["concurrentWrites", 4, (store: BlobStore, index: number) => store.put(`p${index}`, data)],
    ["concurrentWrites", 1, (store: BlobStore, index: number) => store.delete(`p${index}`)],
  ] as const)("%s: %i", async (limit, count, run) => {
    expect(await mostAtOnce({ [limit]: count }, run)).toBe(count);
    expect(await mostAtOnce({}, run)).toBe(20);
  });

  it("are given back when a call fails", async () => {
    const store = throttled(memoryStore(), { concurrentReads: 1, concurrentWrites: 1 });
    for (let call = 0; call < 3; call++) await expect(store.get("gone")).rejects.toThrow();
    for (let call = 0; call < 3; call++) await expect(store.put("", data)).rejects.toThrow();
  });
});

describe("an aborted wait", () => {
  it("rejects with the reason, reaches no store, and gives its tokens back", async () => {
    const clock = manualClock(0n);
    const stop = new AbortController();
    const reason = new Error("enough");
    let sleeps = 0;
    const aborting: Clock = {
      nowNs: () => clock.nowNs(),
      async sleep(ms, options) {
        sleeps += 1;
        if (sleeps === 1) stop.abort(reason);
        await clock.sleep(ms, options);
      },
    };
    const inner = faulty(memoryStore());
    const store = throttled(inner, { maxUploadSpeedBytesPerSecond: 1000 }, aborting);
    const large = new Uint8Array(100_000);
    await expect(store.put("large", large, { signal: stop.signal })).rejects.toBe(reason);
    expect(inner.callCount).toBe(0);
    for (let call = 0; call < 6; call++) await store.put(`p${call}`, data);
    expect(seconds(clock)).toBe(0);
  });
});

it("0 and absent mean unlimited", async () => {
  const { clock, store } = limited({
    readsPerSecond: 0,
    concurrentReads: 0,
    listsPerSecond: undefined,
  });
  for (let call = 0; call < 1000; call++) await store.get("there");
  expect(seconds(clock)).toBe(0);
});

it.each([{ readsPerSecond: -1 }, { concurrentWrites: Number.NaN }, { concurrentReads: 1.5 }])(
  "refuses %j",
  (limits) => {
    expect(() => throttled(forward(memoryStore()), limits)).toThrow(RangeError);
  },
);
