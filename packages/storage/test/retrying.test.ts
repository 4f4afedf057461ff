// The retry wrapper repeats what may pass and nothing else, with pauses that grow, end and vary; time is virtual.
import { AccessError, FormatError, manualClock, NotFoundError, StorageError } from "@dm/core";
import { describe, expect, it } from "vitest";
import { type BlobStore, forward, memoryStore, type RetryOptions, retrying } from "../src/index.ts";
import { type Fault, faulty } from "../src/testing.ts";

const data = new Uint8Array(10).fill(3);

/** A store whose first `times` calls meet `fault`, behind the wrapper, on a virtual clock. */
function failing(times: number, fault: Fault, options: RetryOptions = {}) {
  const clock = manualClock(0n);
  const pausesMs: number[] = [];
  const watched = {
    ...clock,
    sleep: async (ms: number, sleeping?: { readonly signal?: AbortSignal | undefined }) => {
      pausesMs.push(ms);
      await clock.sleep(ms, sleeping);
    },
  };
  const memory = memoryStore({ blobs: new Map([["there", data.slice()]]) });
  const inner = faulty(memory, { rule: ({ number }) => (number <= times ? fault : undefined) });
  const store = retrying(inner, { clock: watched, random: () => 1, ...options });
  return { store, inner, memory, pausesMs };
}

async function ids(store: BlobStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { id } of store.list("")) found.push(id);
  return found;
}

const retention = { mode: "GOVERNANCE", periodMs: 1000 } as const;
const operations: Array<readonly [string, (store: BlobStore) => Promise<unknown>]> = [
  ["get", (store) => store.get("there")],
  ["put", (store) => store.put("new", data)],
  ["delete", (store) => store.delete("there")],
  ["list", ids],
  ["stat", (store) => store.stat("there")],
  ["extendRetention", (store) => store.extendRetention("there", retention)],
  ["capacity", (store) => store.capacity()],
];

describe.each(operations)("%s", (_name, run) => {
  it("is repeated until it succeeds", async () => {
    for (const phase of ["before", "after"] as const) {
      const { inner, store } = failing(3, { fail: phase });
      await run(store);
      expect(inner.callCount).toBe(4);
    }
  });

  it("gives up after ten calls and throws the last error", async () => {
    const { inner, store } = failing(Infinity, { fail: "before" });
    await expect(run(store)).rejects.toMatchObject({
      code: "DM_STORE_FAULT_INJECTED",
      details: { number: 10 },
    });
    expect(inner.callCount).toBe(10);
  });

  it.each([
    new StorageError("DM_STORE_NO_SPACE", "full"),
    new AccessError("DM_STORE_ACCESS_DENIED", "no"),
    new NotFoundError("DM_BLOB_NOT_FOUND", "gone"),
    new FormatError("DM_BLOB_RANGE_INVALID", "short"),
    Object.assign(new FormatError("DM_X", "an error that only claims it"), { retryable: true }),
    new TypeError("bug"),
    "thrown text",
  ])("is not repeated after %s", async (error) => {
    const { inner, store } = failing(1, { fail: "before", error });
    await expect(run(store)).rejects.toBe(error);
    expect(inner.callCount).toBe(1);
  });
});

describe("pauses", () => {
  it("grow by half, up to the longest", async () => {
    const { pausesMs, store } = failing(Infinity, { fail: "before" }, { maxDelayMs: 1000 });
    await expect(store.get("there")).rejects.toThrow();
    expect(pausesMs.map(Math.round)).toEqual([100, 150, 225, 338, 506, 759, 1000, 1000, 1000]);
  });

  it("vary between half and the whole", async () => {
    for (const [chance, wanted] of [
      [0, 50],
      [0.5, 75],
      [0.999, 99.95],
    ] as const) {
      const { pausesMs, store } = failing(1, { fail: "before" }, { random: () => chance });
      await store.get("there");
      expect(pausesMs).toEqual([wanted]);
    }
  });

  it("end when the call is aborted", async () => {
    const reason = new Error("enough");
    const stop = new AbortController();
    const memory = memoryStore();
    const store = retrying(
      faulty(memory, {
        rule: () => ({ fail: "before" }),
        onCall: () => setTimeout(() => stop.abort(reason), 5),
      }),
      { firstDelayMs: 60_000 },
    );
    await expect(store.get("there", { signal: stop.signal })).rejects.toBe(reason);
  });
});

describe("puts", () => {
  it("may be limited to fewer calls than the rest", async () => {
    const { inner, store } = failing(Infinity, { fail: "before" }, { attempts: 5, putAttempts: 2 });
    await expect(store.put("new", data)).rejects.toThrow();
    expect(inner.callCount).toBe(2);
    await expect(store.get("there")).rejects.toThrow();
    expect(inner.callCount).toBe(7);
  });

  it("whose answer was lost are stored once more, the same", async () => {
    const { memory, store } = failing(2, { fail: "after" });
    await store.put("new", data);
    expect(memory.blobs.get("new")).toEqual(data);
  });

  it("under ifAbsent may meet their own first attempt", async () => {
    const { memory, store } = failing(1, { fail: "after" });
    await expect(store.put("new", data, { ifAbsent: true })).rejects.toMatchObject({
      code: "DM_BLOB_EXISTS",
    });
    expect(memory.blobs.get("new")).toEqual(data);
  });
});

it("a list that breaks in the middle goes on without repeating itself", async () => {
  const memory = memoryStore({
    blobs: new Map(Array.from({ length: 20 }, (_, index) => [`p${index}`, data])),
  });
  let lists = 0;
  const breaking: BlobStore = {
    ...forward(memory),
    async *list(prefix, options) {
      lists += 1;
      let left = lists * 6;
      for await (const blob of memory.list(prefix, options)) {
        if (left-- === 0) throw new StorageError("DM_TEST", "broken", {}, { retryable: true });
        yield blob;
      }
    },
  };
  const store = retrying(breaking, { clock: manualClock(0n) });
  expect(await ids(store)).toEqual([...memory.blobs.keys()]);
  expect(lists).toBe(4);
});

it("an error thrown by who reads the list is not taken for the store's", async () => {
  const { inner, store } = failing(0, {});
  const error = new StorageError("DM_TEST", "the reader's own", {}, { retryable: true });
  const read = async (): Promise<void> => {
    for await (const _ of store.list("")) throw error;
  };
  await expect(read()).rejects.toBe(error);
  expect(inner.callCount).toBe(1);
});
