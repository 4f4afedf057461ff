// The eventually consistent store shows every disorder that it is for, ends in the truth, and repeats itself with its seed.
import { manualClock } from "@dm/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { BlobStore } from "../src/index.ts";
import { eventuallyConsistentStore } from "../src/testing.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function ids(store: BlobStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { id } of store.list("")) found.push(id);
  return found.sort();
}

async function read(store: BlobStore, id: string): Promise<string> {
  try {
    return new TextDecoder().decode(await store.get(id));
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe("with a clock", () => {
  it("shows a put late, to some reads earlier than to others, and to all after the longest lag", async () => {
    const clock = manualClock(0n);
    const store = eventuallyConsistentStore({ clock, maxLagMs: 1000, seed: 2 });
    await store.put("a", bytes("1"));
    const seen = new Set<string>();
    const moments: string[] = [];
    for (let ms = 0; ms < 1000; ms += 10) {
      const now = await Promise.all(Array.from({ length: 10 }, () => read(store, "a")));
      for (const one of now) seen.add(one);
      moments.push(new Set(now).size === 2 ? "mixed" : now[0]!);
      clock.advance(10);
    }
    expect([...seen].sort()).toEqual(["1", "DM_BLOB_NOT_FOUND"]);
    expect(moments[0]).toBe("DM_BLOB_NOT_FOUND");
    expect(moments).toContain("mixed");
    for (let call = 0; call < 20; call++) {
      expect(await read(store, "a")).toBe("1");
      expect(await ids(store)).toEqual(["a"]);
      expect((await store.stat("a")).length).toBe(1);
    }
  });

  it("lists what cannot be read yet, and reads what is not listed yet", async () => {
    const clock = manualClock(0n);
    const store = eventuallyConsistentStore({ clock, maxLagMs: 1000, seed: 3 });
    let listedFirst = 0;
    let readFirst = 0;
    for (let round = 0; round < 100; round++) {
      await store.put(`p${round}`, bytes("x"));
      clock.advance(500);
      const [listed, got] = [
        (await ids(store)).includes(`p${round}`),
        await read(store, `p${round}`),
      ];
      if (listed && got !== "x") listedFirst += 1;
      if (!listed && got === "x") readFirst += 1;
    }
    expect(listedFirst).toBeGreaterThan(5);
    expect(readFirst).toBeGreaterThan(5);
  });

  it("shows the dead for a while, but never brings them back for good", async () => {
    const clock = manualClock(0n);
    const store = eventuallyConsistentStore({ clock, maxLagMs: 1000, seed: 4 });
    let ghosts = 0;
    for (let round = 0; round < 50; round++) {
      await store.put("a", bytes("x"));
      // The deletion may overtake the put on its way to a replica.
      await store.delete("a");
      clock.advance(400);
      if ((await read(store, "a")) === "x") ghosts += 1;
      clock.advance(1000);
      for (let call = 0; call < 10; call++)
        expect(await read(store, "a")).toBe("DM_BLOB_NOT_FOUND");
    }
    expect(ghosts).toBeGreaterThan(2);
  });
});

describe("with settle", () => {
  it("shows nothing before, everything after", async () => {
    const store = eventuallyConsistentStore({
      maxLagMs: Infinity,
      clock: manualClock(0n),
      blobs: new Map([["old", bytes("old")]]),
    });
    await store.put("new", bytes("new"));
    await store.put("old", bytes("changed"));
    expect([await read(store, "new"), await read(store, "old")]).toEqual([
      "DM_BLOB_NOT_FOUND",
      "old",
    ]);
    expect(await ids(store)).toEqual(["old"]);
    store.settle();
    expect([await read(store, "new"), await read(store, "old")]).toEqual(["new", "changed"]);
    await store.delete("old");
    expect(await ids(store)).toEqual(["new", "old"]);
    store.settle();
    expect(await ids(store)).toEqual(["new"]);
  });

  it("decides conditions by the truth", async () => {
    const store = eventuallyConsistentStore({ maxLagMs: Infinity });
    await store.put("a", bytes("1"), { ifAbsent: true });
    expect(await read(store, "a")).toBe("DM_BLOB_NOT_FOUND");
    await expect(store.put("a", bytes("2"), { ifAbsent: true })).rejects.toMatchObject({
      code: "DM_BLOB_EXISTS",
    });
    expect(store.truth.blobs.get("a")).toEqual(bytes("1"));
  });

  it("gives every replica the timestamps of the truth", async () => {
    const clock = manualClock(5n);
    const store = eventuallyConsistentStore({ maxLagMs: Infinity, clock });
    await store.put("a", bytes("1"), { timestampNs: 77n });
    await store.put("b", bytes("1"));
    clock.advance(1000);
    store.settle();
    expect((await store.stat("a")).timestampNs).toBe(77n);
    expect((await store.stat("b")).timestampNs).toBe(5n);
  });
});

it("ends in the truth after any changes, whatever the seed", async () => {
  const change = fc.record({
    id: fc.constantFrom("a", "b", "c"),
    text: fc.option(fc.string({ maxLength: 3 }), { nil: undefined }),
    pauseMs: fc.nat(300),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(change),
      fc.integer(),
      fc.integer({ min: 1, max: 5 }),
      async (changes, seed, replicas) => {
        const clock = manualClock(0n);
        const store = eventuallyConsistentStore({ clock, seed, replicas, maxLagMs: 500 });
        const model = new Map<string, string>();
        for (const { id, pauseMs, text } of changes) {
          if (text === undefined) await store.delete(id);
          else await store.put(id, bytes(text));
          if (text === undefined) model.delete(id);
          else model.set(id, text);
          clock.advance(pauseMs);
          await read(store, id);
        }
        clock.advance(500);
        for (let call = 0; call < replicas * 3; call++) {
          expect(await ids(store)).toEqual([...model.keys()].sort());
          for (const [id, text] of model) expect(await read(store, id)).toBe(text);
        }
      },
    ),
  );
});

it("does the same again with the same seed", async () => {
  const history = async (seed: number): Promise<string> => {
    const clock = manualClock(0n);
    const store = eventuallyConsistentStore({ clock, seed, maxLagMs: 1000 });
    const seen: string[] = [];
    for (let round = 0; round < 50; round++) {
      await store.put(`p${round % 7}`, bytes(`${round}`));
      clock.advance(100);
      seen.push(await read(store, `p${(round * 3) % 7}`), (await ids(store)).join());
    }
    return seen.join("|");
  };
  expect(await history(8)).toBe(await history(8));
  expect(await history(8)).not.toBe(await history(9));
});

it.each([0, -1, 1.5])("refuses %d replicas", (replicas) => {
  expect(() => eventuallyConsistentStore({ replicas })).toThrow(RangeError);
});
