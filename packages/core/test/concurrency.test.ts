// Bounded concurrency: never more at once than asked for, results in order, the first failure ends it, abort is obeyed.
import { describe, expect, it } from "vitest";
import { mapConcurrent, Semaphore } from "../src/index.ts";

const tick = (ms = 1): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("mapConcurrent", () => {
  it("keeps the order and the bound, for lists and for streams", async () => {
    async function* stream(): AsyncGenerator<number> {
      for (let item = 0; item < 20; item += 1) yield item;
    }
    for (const items of [Array.from({ length: 20 }, (_, item) => item), stream()]) {
      let running = 0;
      let most = 0;
      const results = await mapConcurrent(
        items,
        async (item) => {
          running += 1;
          most = Math.max(most, running);
          await tick(item % 3);
          running -= 1;
          return item * 2;
        },
        { concurrency: 3 },
      );
      expect(results).toEqual(Array.from({ length: 20 }, (_, item) => item * 2));
      expect(most).toBe(3);
    }
  });

  it("pulls an item only when there is a place for it", async () => {
    let pulled = 0;
    let finished = 0;
    function* items(): Generator<number> {
      for (;;) {
        expect(pulled - finished).toBeLessThanOrEqual(2);
        pulled += 1;
        if (pulled > 10) return;
        yield pulled;
      }
    }
    const work = async (): Promise<void> => {
      await tick();
      finished += 1;
    };
    await mapConcurrent(items(), work, { concurrency: 2 });
    expect(finished).toBe(10);
  });

  it("after a failure waits for what is under way, closes the source, then throws", async () => {
    let closed = false;
    const done: number[] = [];
    function* items(): Generator<number> {
      try {
        for (let item = 0; ; item += 1) yield item;
      } finally {
        closed = true;
      }
    }
    const failure = new Error("third");
    const work = async (item: number): Promise<void> => {
      if (item === 2) throw failure;
      await tick(5);
      done.push(item);
    };
    await expect(mapConcurrent(items(), work, { concurrency: 3 })).rejects.toBe(failure);
    expect(done).toEqual([0, 1]);
    expect(closed).toBe(true);
  });

  it("ends with the reason of an abort", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const work = async (item: number): Promise<void> => {
      if (item === 4) controller.abort(reason);
    };
    const run = mapConcurrent([1, 2, 3, 4, 5, 6], work, {
      concurrency: 1,
      signal: controller.signal,
    });
    await expect(run).rejects.toBe(reason);
  });

  it("refuses no concurrency at all", async () => {
    await expect(mapConcurrent([], async () => 1, { concurrency: 0 })).rejects.toThrow(RangeError);
  });
});

describe("Semaphore", () => {
  it("serves in the order of asking, and counts a double release once", async () => {
    const semaphore = new Semaphore(1);
    const order: number[] = [];
    const first = await semaphore.acquire();
    const waiting = [1, 2].map(async (number) => {
      const release = await semaphore.acquire();
      order.push(number);
      release();
      release();
    });
    await tick();
    expect(order).toEqual([]);
    first();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2]);
    await semaphore.acquire();
    const blocked = semaphore.acquire({ signal: AbortSignal.timeout(5) });
    await expect(blocked).rejects.toMatchObject({ name: "TimeoutError" });
  });

  it("an aborted wait takes no permit", async () => {
    const semaphore = new Semaphore(1);
    const release = await semaphore.acquire();
    const controller = new AbortController();
    const aborted = semaphore.acquire({ signal: controller.signal });
    const next = semaphore.acquire();
    controller.abort(new Error("no"));
    await expect(aborted).rejects.toThrow("no");
    release();
    (await next)();
    expect(() => new Semaphore(0)).toThrow(RangeError);
  });
});
