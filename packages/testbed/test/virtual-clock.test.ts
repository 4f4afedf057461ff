// Time passes only by advance(): sleepers wake in the order of their times, see the time they asked for, and what they start
// in turn is woken within the same advance.
import { expect, it } from "vitest";
import { virtualClock } from "../src/virtual-clock.ts";

const startMs = Date.parse("2026-01-02T03:04:05Z");
const now = (clock: { nowNs(): bigint }): number => Number(clock.nowNs() / 1_000_000n) - startMs;

it("wakes sleepers in order, each at its time", async () => {
  const clock = virtualClock(startMs);
  const woken: string[] = [];
  const sleep = async (name: string, ms: number): Promise<void> => {
    await clock.sleep(ms);
    woken.push(`${name} at ${now(clock)}`);
  };
  void sleep("late", 3000);
  void sleep("early", 1000);
  void (async () => {
    await sleep("first", 500);
    await sleep("second", 700);
  })();
  expect(clock.nextWakeMs).toBe(startMs + 500);
  await clock.advance(2000);
  expect(woken).toEqual(["first at 500", "early at 1000", "second at 1200"]);
  expect(now(clock)).toBe(2000);
  expect(clock.sleepers).toBe(1);
  await clock.advance(1000);
  expect(woken.at(-1)).toBe("late at 3000");
});

it("does not move while nobody advances it", async () => {
  const clock = virtualClock(startMs);
  let woken = false;
  void clock.sleep(1).then(() => {
    woken = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(woken).toBe(false);
  expect(now(clock)).toBe(0);
});

it("lets a sleeper go that is aborted", async () => {
  const clock = virtualClock(startMs);
  const abort = new AbortController();
  const slept = clock.sleep(1000, { signal: abort.signal });
  abort.abort(new Error("enough"));
  await expect(slept).rejects.toThrow("enough");
  await expect(clock.sleep(1000, { signal: abort.signal })).rejects.toThrow("enough");
  expect(clock.sleepers).toBe(0);
});
