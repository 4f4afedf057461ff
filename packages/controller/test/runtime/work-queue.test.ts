/** The laws of the queue, by example in virtual time, and by a seeded simulation of many workers. */
import { virtualClock } from "@dm/testbed";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WorkQueue, type WorkQueueOptions } from "../../src/runtime/work-queue.ts";

const start = Date.parse("2026-01-01T00:00:00Z");

function make(options: WorkQueueOptions = {}) {
  const clock = virtualClock(start);
  return { clock, queue: new WorkQueue({ clock, ...options }) };
}

/** Everything that is ready, taken and done. */
async function drain(queue: WorkQueue): Promise<string[]> {
  const keys: string[] = [];
  while (queue.depth > 0) {
    const key = (await queue.take())!;
    keys.push(key);
    queue.done(key);
  }
  return keys;
}

describe("a work queue", () => {
  it("hands out each waiting key once, in the order of their coming", async () => {
    const { queue } = make();
    for (const key of ["b", "a", "b", "c", "a"]) queue.add(key);
    expect(await drain(queue)).toEqual(["b", "a", "c"]);
  });

  it("gives a key to one worker at a time, and again if it was added meanwhile", async () => {
    const { queue } = make();
    queue.add("a");
    expect(await queue.take()).toBe("a");
    queue.add("a");
    queue.add("a");
    queue.add("b");
    expect(queue.depth).toBe(1);
    queue.done("a");
    expect(await drain(queue)).toEqual(["b", "a"]);
  });

  it("does not let one busy key hold up the others", async () => {
    const { queue } = make();
    for (const key of ["busy", "x", "y"]) queue.add(key);
    const order: string[] = [];
    for (let turn = 0; turn < 5; turn += 1) {
      const key = (await queue.take())!;
      order.push(key);
      queue.add("busy");
      queue.done(key);
    }
    expect(order).toEqual(["busy", "x", "y", "busy", "busy"]);
  });

  it("makes takers wait, and wakes them in order", async () => {
    const { queue } = make();
    const takers = [queue.take(), queue.take()];
    queue.add("a");
    queue.add("b");
    expect(await Promise.all(takers)).toEqual(["a", "b"]);
  });

  it("forgets a taker that gave up", async () => {
    const { queue } = make();
    const stop = new AbortController();
    const given = queue.take({ signal: stop.signal });
    const other = queue.take();
    stop.abort(new Error("enough"));
    await expect(given).rejects.toThrow("enough");
    queue.add("a");
    expect(await other).toBe("a");
    await expect(queue.take({ signal: stop.signal })).rejects.toThrow("enough");
  });

  it("brings failing keys back after 5 ms, 10 ms and so on up to 1000 s, until they are forgotten", async () => {
    const { clock, queue } = make();
    const delays: number[] = [];
    for (let failure = 0; failure < 20; failure += 1) {
      queue.addRateLimited("a");
      const before = clock.nowNs();
      await clock.advance((clock.nextWakeMs ?? 0) - Number(before / 1_000_000n));
      delays.push(Number((clock.nowNs() - before) / 1_000_000n));
      expect(await drain(queue)).toEqual(["a"]);
    }
    expect(delays.slice(0, 4)).toEqual([5, 10, 20, 40]);
    expect(delays.slice(-3)).toEqual([655_360, 1_000_000, 1_000_000]);
    queue.forget("a");
    queue.addRateLimited("a");
    expect(clock.nextWakeMs).toBe(Number(clock.nowNs() / 1_000_000n) + 5);
  });

  it("waits at least as long as the server asked", async () => {
    const { clock, queue } = make();
    queue.addRateLimited("a", 7_000);
    await clock.advance(6_999);
    expect(queue.depth).toBe(0);
    await clock.advance(1);
    expect(queue.depth).toBe(1);
  });

  it("keeps the earlier of two delays of a key", async () => {
    const { clock, queue } = make();
    queue.addAfter("a", 5_000);
    queue.addAfter("a", 1_000);
    queue.addAfter("a", 9_000);
    queue.addAfter("b", 0);
    expect(queue.delayed).toBe(1);
    expect(await drain(queue)).toEqual(["b"]);
    await clock.advance(1_000);
    expect(await drain(queue)).toEqual(["a"]);
    await clock.advance(100_000);
    expect(queue.depth).toBe(0);
  });

  it("can wait for months", async () => {
    const { clock, queue } = make();
    const months = 90 * 86_400_000;
    queue.addAfter("a", months);
    await clock.advance(months - 1);
    expect(queue.depth).toBe(0);
    await clock.advance(1);
    expect(queue.depth).toBe(1);
  });

  it("at shut-down hands out what is ready, drops what was to come later, and then is drained", async () => {
    const { clock, queue } = make();
    queue.add("a");
    queue.add("b");
    queue.addAfter("later", 1_000);
    let drained = false;
    const end = queue.drained().then(() => {
      drained = true;
    });
    const first = await queue.take();
    queue.shutDown();
    queue.add("c");
    const second = await queue.take();
    const none = queue.take();
    expect([first, second, await none]).toEqual(["a", "b", undefined]);
    expect(drained).toBe(false);
    queue.done("a");
    queue.done("b");
    await end;
    await clock.advance(2_000);
    expect(queue.depth).toBe(0);
    expect(clock.sleepers).toBe(0);
  });

  it("tells of adds, waits and works", async () => {
    const told: unknown[] = [];
    const { clock, queue } = make({
      onAdd: (key) => told.push(["add", key]),
      onTake: (key, ms) => told.push(["take", key, ms]),
      onDone: (key, ms) => told.push(["done", key, ms]),
    });
    queue.add("a");
    queue.add("a");
    await clock.advance(30);
    await queue.take();
    queue.add("a");
    await clock.advance(12);
    queue.done("a");
    expect(told).toEqual([
      ["add", "a"],
      ["take", "a", 30],
      ["done", "a", 12],
      ["add", "a"],
    ]);
    expect(() => queue.done("b")).toThrow(TypeError);
  });

  it("loses no add and never runs a key twice at once, whatever the interleaving", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d"), fc.nat(3)), { maxLength: 60 }),
        fc.infiniteStream(fc.nat(3)),
        async (workers, adds, pauses) => {
          const { queue } = make();
          const wanted = new Map<string, number>();
          const seen = new Map<string, number>();
          const running = new Set<string>();
          const pause = async (): Promise<void> => {
            for (let turn = pauses.next().value; turn > 0; turn -= 1) await Promise.resolve();
          };
          const worker = async (): Promise<void> => {
            for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
              expect(running.has(key)).toBe(false);
              running.add(key);
              // What a reconcile reads when it begins is what was wanted until then.
              const read = wanted.get(key)!;
              await pause();
              seen.set(key, read);
              running.delete(key);
              queue.done(key);
            }
          };
          const work = Promise.all(Array.from({ length: workers }, worker));
          for (const [at, [key, turns]] of adds.entries()) {
            wanted.set(key, at);
            queue.add(key);
            for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
          }
          queue.shutDown();
          await work;
          await queue.drained();
          expect(seen).toEqual(wanted);
        },
      ),
    );
  });
});
