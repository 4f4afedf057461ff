/**
 * The contract of a blob store as tests: what `BlobStore` promises, every implementation is held to.
 *
 * The functions of the test runner are passed in, and the suite brings its own assertions: so it runs under any runner,
 * in a browser as well, and nobody who uses `@dm/storage` needs one.
 * @module
 */
import type { BlobMetadata, BlobStore, GetOptions } from "../blob-store.ts";
import { assert, assertBytes, assertCode, assertEqual, rejection } from "./assert.ts";

/** What the suite needs of a test runner: vitest, jest, mocha and `node:test` have these two. */
export interface TestFunctions {
  describe(name: string, body: () => void): unknown;
  it(name: string, body: () => Promise<void>): unknown;
}

export interface ContractOptions {
  /** A second store on the same blobs, as another client would open it. Without it those tests are left out. */
  readonly reopen?: ((store: BlobStore) => Promise<BlobStore>) | undefined;
  /** Nanoseconds since 1970 by the clock of the store; the system's clock by default. */
  readonly nowNs?: (() => bigint) | undefined;
  /** How far the store's clock may be from `nowNs`; 5 minutes by default, the most that Kopia tolerates. */
  readonly clockSkewMs?: number | undefined;
  /** How exactly the store keeps a time that a put asks for; 1 ms by default. */
  readonly timestampPrecisionNs?: bigint | undefined;
  /** Blobs of the test that lists many; 1100 by default, more than one page of any cloud store. */
  readonly manyBlobs?: number | undefined;
}

const nsPerMs = 1_000_000n;

/** Ids of every class that a repository has, of other programs, and of lengths around where directories are cut. */
const validIds = [
  "kopia.repository",
  "kopia.repository.backup.owner1",
  "kopia.blobcfg",
  "kopia.maintenance",
  "q1c4675c2207f69b4cf37937433e6f39a-sdd67d329947c10f6147",
  "pa2c8b2cf7f46b84efa834fbaac49ddae-s6ec32edba5d46c69147",
  "xn0_c467be5f6f2a1d1c0e9d8a7b6c5d4e3f-s6ec32edba5d46c69147-c1",
  "xe1",
  "xw1795380862",
  "_log_20261122101530_1a2b_1795380862_1795380863_1_0123456789abcdef",
  "udmrepo.Repository",
  "a",
  "0123456789012345678",
  "01234567890123456789",
  "012345678901234567890",
  `z${"9".repeat(199)}`,
];

const invalidIds = [
  "",
  ".",
  "..",
  ".shards",
  "../outside",
  "a/b",
  "/absolute",
  "a\\b",
  "a\0b",
  "a b",
  "ä",
  "x".repeat(256),
];

function sampleBytes(length: number, start = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index * 31 + (index >> 8) + start);
}

async function listed(store: BlobStore, prefix = ""): Promise<BlobMetadata[]> {
  const found: BlobMetadata[] = [];
  for await (const blob of store.list(prefix)) found.push(blob);
  return found;
}

async function listedIds(store: BlobStore, prefix = ""): Promise<string[]> {
  return (await listed(store, prefix)).map(({ id }) => id).sort();
}

/** `count` calls, a few at a time. */
async function inParallel(count: number, run: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

const missing = (run: () => Promise<unknown>, what: string): Promise<void> =>
  assertCode(run, "NotFoundError", "DM_BLOB_NOT_FOUND", what);

/**
 * Registers the suite. `open` gives a store that is empty and for one test alone; the test closes it.
 * @example testBlobStore("memory", async () => memoryStore(), { describe, it });
 */
export function testBlobStore(
  name: string,
  open: () => Promise<BlobStore>,
  runner: TestFunctions,
  options: ContractOptions = {},
): void {
  const { it } = runner;
  const nowNs = options.nowNs ?? (() => BigInt(Date.now()) * nsPerMs);
  const skewNs = BigInt(options.clockSkewMs ?? 300_000) * nsPerMs;
  const precisionNs = options.timestampPrecisionNs ?? nsPerMs;
  const test = (title: string, body: (store: BlobStore) => Promise<void>): void => {
    it(title, async () => {
      const store = await open();
      try {
        await body(store);
      } finally {
        await store.close();
      }
    });
  };

  const assertNear = (actual: bigint, wanted: bigint, toleranceNs: bigint, what: string): void => {
    const difference = actual > wanted ? actual - wanted : wanted - actual;
    assert(difference <= toleranceNs, `${what}: ${actual} is ${difference} ns away from ${wanted}`);
  };

  function emptyStore(): void {
    test("has no blobs", async (store) => {
      assertEqual(await listedIds(store), [], "list");
      assertEqual(await listedIds(store, "p"), [], "list with a prefix");
    });
    test("says which blob is not there", async (store) => {
      for (const id of ["kopia.repository", `p${"0".repeat(40)}`]) {
        await missing(() => store.get(id), "get");
        await missing(() => store.get(id, { offset: 5, length: 10 }), "get of a range");
        await missing(() => store.get(id, { length: 0 }), "get of nothing");
        await missing(() => store.stat(id), "stat");
      }
    });
    test("deletes what is not there", async (store) => {
      await store.delete("kopia.repository");
      await store.delete(`p${"0".repeat(40)}`);
    });
    test("says how much fits, or that nothing limits it", async (store) => {
      const capacity = await store.capacity();
      if (capacity === undefined) return;
      const { availableBytes, capacityBytes } = capacity;
      assert(availableBytes >= 0 && availableBytes <= capacityBytes, "available beyond capacity");
    });
    test("can be closed twice", async (store) => {
      await store.close();
    });
  }

  function blobs(): void {
    test("gives back what was put, of any length", async (store) => {
      for (const length of [0, 1, 1000, 65_535, 65_536, 65_537, 1 << 20]) {
        const id = `length${length}`;
        await store.put(id, sampleBytes(length));
        assertBytes(await store.get(id), sampleBytes(length), id);
        assertEqual((await store.stat(id)).length, length, `length of ${id}`);
      }
    });
    test("takes a view into a larger buffer", async (store) => {
      const whole = sampleBytes(300);
      await store.put("view", whole.subarray(100, 200));
      assertBytes(await store.get("view"), whole.slice(100, 200), "view");
    });
    test("keeps no hold of bytes, given or taken", async (store) => {
      const given = sampleBytes(1000);
      await store.put("mine", given);
      given.fill(0);
      const taken = await store.get("mine");
      assertBytes(taken, sampleBytes(1000), "after the put bytes were changed");
      taken.fill(0);
      assertBytes(await store.get("mine"), sampleBytes(1000), "after the got bytes were changed");
    });
    test("replaces by shorter and by longer bytes", async (store) => {
      for (const length of [1000, 10, 100_000, 0, 5]) {
        await store.put("again", sampleBytes(length, length));
        assertBytes(await store.get("again"), sampleBytes(length, length), `${length} bytes`);
      }
      assertEqual(await listedIds(store), ["again"], "list");
    });
    test("deletes for get, stat and list", async (store) => {
      await store.put("gone", sampleBytes(10));
      await store.put("gone-not", sampleBytes(11));
      await store.delete("gone");
      await missing(() => store.get("gone"), "get");
      await missing(() => store.stat("gone"), "stat");
      assertEqual(await listedIds(store), ["gone-not"], "list");
      await store.delete("gone");
      await store.put("gone", sampleBytes(12));
      assertBytes(await store.get("gone"), sampleBytes(12), "put again");
    });
  }

  function ids(): void {
    test("takes every kind of id", async (store) => {
      for (const [index, id] of validIds.entries()) await store.put(id, sampleBytes(index + 1));
      for (const [index, id] of validIds.entries()) {
        assertBytes(await store.get(id), sampleBytes(index + 1), id);
        assertEqual((await store.stat(id)).id, id, "id of stat");
      }
      assertEqual(await listedIds(store), [...validIds].sort(), "list");
      for (const id of validIds) await store.delete(id);
      assertEqual(await listedIds(store), [], "list after all were deleted");
    });
    test("refuses what is no id, in every operation", async (store) => {
      for (const id of invalidIds) {
        for (const [what, run] of [
          ["get", () => store.get(id)],
          ["put", () => store.put(id, sampleBytes(1))],
          ["delete", () => store.delete(id)],
          ["stat", () => store.stat(id)],
        ] as const) {
          const error = await rejection(run, `${what} of ${JSON.stringify(id)}`);
          assert(error instanceof RangeError, `${what} of ${JSON.stringify(id)}: ${error}`);
        }
      }
      assertEqual(await listedIds(store), [], "list");
    });
    test("keeps ids apart that begin alike", async (store) => {
      const long = "pabc0123456789012345678901234567";
      const family = ["p", "pa", "pabc", long, `${long}8`, `${long}8.f`, `${long}-s1`];
      for (const [index, id] of family.entries()) await store.put(id, sampleBytes(5, index));
      await store.delete(long);
      for (const [index, id] of family.entries()) {
        if (id !== long) assertBytes(await store.get(id), sampleBytes(5, index), id);
      }
      await missing(() => store.get(long), "the deleted one");
    });
  }

  function ranges(): void {
    const length = 100_000;
    test("reads exactly the range", async (store) => {
      const whole = sampleBytes(length);
      await store.put("ranges", whole);
      const cases: Array<readonly [GetOptions, number, number]> = [
        [{}, 0, length],
        [{ offset: 0 }, 0, length],
        [{ offset: 1 }, 1, length],
        [{ offset: length - 1 }, length - 1, length],
        [{ offset: length }, length, length],
        [{ length: 1 }, 0, 1],
        [{ offset: 5, length: 7 }, 5, 12],
        [{ offset: 65_530, length: 20 }, 65_530, 65_550],
        [{ offset: length - 10, length: 10 }, length - 10, length],
        [{ length }, 0, length],
        [{ offset: 12, length: 0 }, 12, 12],
        [{ offset: undefined, length: undefined }, 0, length],
      ];
      for (const [range, from, to] of cases) {
        assertBytes(await store.get("ranges", range), whole.slice(from, to), JSON.stringify(range));
      }
    });
    test("refuses a range that the blob does not have; never a short result", async (store) => {
      await store.put("ranges", sampleBytes(length));
      await store.put("empty", new Uint8Array(0));
      const cases: Array<readonly [string, GetOptions]> = [
        ["ranges", { offset: length + 1 }],
        ["ranges", { length: length + 1 }],
        ["ranges", { offset: length, length: 1 }],
        ["ranges", { offset: length - 5, length: 6 }],
        ["ranges", { offset: 2 ** 40, length: 1 }],
        ["ranges", { offset: -1, length: 1 }],
        ["ranges", { offset: 0, length: -1 }],
        ["empty", { length: 1 }],
        ["empty", { offset: 1 }],
      ];
      for (const [id, range] of cases) {
        const what = `${id} ${JSON.stringify(range)}`;
        await assertCode(() => store.get(id, range), "FormatError", "DM_BLOB_RANGE_INVALID", what);
      }
      assertBytes(await store.get("empty"), new Uint8Array(0), "an empty blob, whole");
    });
  }

  function listing(): void {
    test("lists by prefix, each blob once, with the metadata of stat", async (store) => {
      const long = "0123456789abcdef0123456789abcdef";
      const all = [`p${long}`, `p0${long}`, `pa${long}`, "xn0_short", `xn0_${long}`, "xe1", "p"];
      for (const [index, id] of all.entries()) await store.put(id, sampleBytes(index));
      const prefixes = ["", "p", "p0", "pa0123", "x", "xn", "xn0_", "xn0_short", "xn1", "y", "p."];
      for (const prefix of prefixes) {
        const wanted = all.filter((id) => id.startsWith(prefix)).sort();
        assertEqual(await listedIds(store, prefix), wanted, `list ${JSON.stringify(prefix)}`);
      }
      for (const blob of await listed(store)) {
        const { id, length, timestampNs } = await store.stat(blob.id);
        assertEqual([blob.id, blob.length], [id, length], "metadata");
        assertNear(blob.timestampNs, timestampNs, precisionNs, `timestamp of ${id}`);
      }
    });
    const many = options.manyBlobs ?? 1100;
    test(`lists ${many} blobs, and may be left early`, async (store) => {
      const idOf = (index: number): string => `p${index.toString(16).padStart(32, "0")}`;
      await inParallel(many, (index) => store.put(idOf(index), sampleBytes(1)));
      const wanted = Array.from({ length: many }, (_, index) => idOf(index)).sort();
      assertEqual(await listedIds(store, "p"), wanted, "list");
      let seen = 0;
      for await (const _ of store.list("")) {
        seen += 1;
        if (seen === 10) break;
      }
      assertEqual(seen, Math.min(many, 10), "blobs before leaving");
      const [first, second] = await Promise.all([listedIds(store), listedIds(store)]);
      assertEqual([first.length, second.length], [many, many], "two lists at once");
    });
    test("goes on while blobs come and go", async (store) => {
      for (let index = 0; index < 20; index++) await store.put(`stays${index}`, sampleBytes(1));
      for (let index = 0; index < 20; index++) await store.put(`goes${index}`, sampleBytes(1));
      const seen: string[] = [];
      for await (const { id } of store.list("")) {
        if (seen.length < 20) {
          await store.delete(`goes${seen.length}`);
          await store.put(`comes${seen.length}`, sampleBytes(1));
        }
        seen.push(id);
      }
      assertEqual(seen.length, new Set(seen).size, "blobs listed once");
      const stays = seen.filter((id) => id.startsWith("stays"));
      assertEqual(stays.length, 20, "untouched blobs listed");
    });
  }

  function timestamps(): void {
    test("gives the time of the put, by its own clock", async (store) => {
      const before = nowNs();
      await store.put("timed", sampleBytes(1));
      const after = nowNs();
      const { timestampNs } = await store.stat("timed");
      assert(
        timestampNs >= before - skewNs && timestampNs <= after + skewNs,
        `timestamp ${timestampNs} is not between ${before} and ${after}`,
      );
      await store.put("timed", sampleBytes(2));
      const again = (await store.stat("timed")).timestampNs;
      assert(again >= timestampNs, `timestamp ran backwards from ${timestampNs} to ${again}`);
    });
    test("keeps a given time, or refuses it", async (store) => {
      const timestampNs = 1_577_968_240_123_456_000n;
      if (!store.features.setTimestamp) {
        await refusedPut(store, { timestampNs });
        return;
      }
      for (const wanted of [timestampNs, 1_000_000_000n, timestampNs - 7_000_000_000n]) {
        await store.put("timed", sampleBytes(1), { timestampNs: wanted });
        const found = (await store.stat("timed")).timestampNs;
        assertNear(found, wanted, precisionNs, "timestamp of stat");
        const [first] = await listed(store, "timed");
        assertNear(first?.timestampNs ?? 0n, wanted, precisionNs, "timestamp of list");
      }
    });
  }

  async function refusedPut(store: BlobStore, put: Parameters<BlobStore["put"]>[2]): Promise<void> {
    const run = (): Promise<void> => store.put("refused", sampleBytes(1), put);
    await assertCode(
      run,
      "UnsupportedError",
      "DM_STORE_OPTION_UNSUPPORTED",
      JSON.stringify(put, text),
    );
    await missing(() => store.stat("refused"), "the refused blob");
  }

  function conditions(): void {
    test("puts only what is absent, or refuses the option", async (store) => {
      if (!store.features.ifAbsent) {
        await refusedPut(store, { ifAbsent: true });
        return;
      }
      const id = `lease${"0".repeat(30)}`;
      const exists = (): Promise<void> =>
        assertCode(
          () => store.put(id, sampleBytes(20), { ifAbsent: true }),
          "ConflictError",
          "DM_BLOB_EXISTS",
          "the second put",
        );
      await store.put(id, sampleBytes(10), { ifAbsent: true });
      await exists();
      assertBytes(await store.get(id), sampleBytes(10), "bytes of the first");
      await store.put(id, sampleBytes(30));
      await exists();
      assertBytes(await store.get(id), sampleBytes(30), "bytes of a put without condition");
      await store.delete(id);
      await store.put(id, sampleBytes(40), { ifAbsent: true });
      assertBytes(await store.get(id), sampleBytes(40), "bytes after a deletion");
    });
    test("lets exactly one of several win", async (store) => {
      if (!store.features.ifAbsent) return;
      for (let round = 0; round < 5; round++) {
        const id = `race${round}${"0".repeat(30)}`;
        const results = await Promise.allSettled(
          Array.from({ length: 8 }, (_, index) =>
            store.put(id, sampleBytes(2000, index), { ifAbsent: true }),
          ),
        );
        const winners = results.flatMap(({ status }, index) =>
          status === "fulfilled" ? [index] : [],
        );
        assertEqual(winners.length, 1, "winners");
        for (const result of results) {
          if (result.status === "fulfilled") continue;
          await assertCode(
            () => Promise.reject(result.reason),
            "ConflictError",
            "DM_BLOB_EXISTS",
            "a loser",
          );
        }
        assertBytes(await store.get(id), sampleBytes(2000, winners[0]), "bytes of the winner");
        assertEqual(await listedIds(store, id), [id], "list");
      }
    });
    test("retains, or refuses to", async (store) => {
      const retention = { mode: "GOVERNANCE", periodMs: 60_000 } as const;
      if (!store.features.retention) {
        await refusedPut(store, { retention });
        await store.put("plain", sampleBytes(1));
        await assertCode(
          () => store.extendRetention("plain", retention),
          "UnsupportedError",
          "DM_STORE_OPTION_UNSUPPORTED",
          "extendRetention",
        );
        return;
      }
      await store.put("locked", sampleBytes(10), { retention });
      assertBytes(await store.get("locked"), sampleBytes(10), "a locked blob");
      await store.extendRetention("locked", { mode: "GOVERNANCE", periodMs: 120_000 });
      await missing(() => store.extendRetention("nothing", retention), "extendRetention");
    });
  }

  function aborts(): void {
    test("rejects with the reason of the signal, and has done nothing", async (store) => {
      await store.put("there", sampleBytes(10));
      const reason = new Error("enough");
      const signal = AbortSignal.abort(reason);
      const listAll = async (): Promise<void> => {
        for await (const _ of store.list("", { signal }));
      };
      const calls: Array<readonly [string, () => Promise<unknown>]> = [
        ["get", () => store.get("there", { signal })],
        ["put", () => store.put("new", sampleBytes(1), { signal })],
        ["put over another", () => store.put("there", sampleBytes(1), { signal })],
        ["delete", () => store.delete("there", { signal })],
        ["list", listAll],
        ["stat", () => store.stat("there", { signal })],
      ];
      for (const [what, run] of calls) {
        const error = await rejection(run, what);
        assert(error === reason, `${what} was rejected with ${error}`);
      }
      assertEqual(await listedIds(store), ["there"], "list");
      assertBytes(await store.get("there"), sampleBytes(10), "the blob");
    });
    test("stops a list that is under way", async (store) => {
      for (let index = 0; index < 30; index++) await store.put(`p${index}`, sampleBytes(1));
      const stop = new AbortController();
      const reason = new Error("enough");
      let seen = 0;
      const error = await rejection(async () => {
        for await (const _ of store.list("p", { signal: stop.signal })) {
          seen += 1;
          if (seen === 3) stop.abort(reason);
        }
      }, "list");
      assert(error === reason, `list was rejected with ${error}`);
      assert(seen < 30, "the list went on to its end");
    });
    test("stores all or nothing when a put is aborted on its way", async (store) => {
      const old = sampleBytes(1000);
      const large = sampleBytes(3 << 20, 9);
      for (const delayMs of [0, 1, 2, 5]) {
        await store.put("target", old);
        const stop = new AbortController();
        const put = store.put("target", large, { signal: stop.signal }).then(
          () => undefined,
          (error: unknown) => error,
        );
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        stop.abort(new Error("enough"));
        const error = await put;
        assert(error === undefined || error === stop.signal.reason, `rejected with ${error}`);
        const found = await store.get("target");
        if (error === undefined) assertBytes(found, large, "after success");
        else if (found.length !== old.length) assertBytes(found, large, "after abort");
        else assertBytes(found, old, "after abort");
      }
      assertEqual(await listedIds(store), ["target"], "list");
    });
  }

  function concurrency(): void {
    test("never shows a part of a blob", async (store) => {
      const versions = Array.from({ length: 6 }, (_, index) =>
        new Uint8Array(200_000 + index * 50_000).fill(index + 1),
      );
      const id = `p${"7".repeat(40)}`;
      await store.put(id, versions[0]!);
      let writing = true;
      const reader = async (): Promise<void> => {
        while (writing) {
          // A store without I/O settles at once: without this the timers of others would never run.
          await new Promise((resolve) => setTimeout(resolve, 0));
          const bytes = await store.get(id);
          const version = versions[(bytes[0] ?? 0) - 1];
          assert(version !== undefined, `bytes that nobody put: ${bytes[0]}`);
          assertBytes(bytes, version, "while it is written");
          const { length } = await store.stat(id);
          assert(
            versions.some((one) => one.length === length),
            `length ${length} that nobody put`,
          );
        }
      };
      const writer = async (): Promise<void> => {
        try {
          for (let round = 0; round < 3; round++) {
            await Promise.all(versions.map((version) => store.put(id, version)));
          }
        } finally {
          writing = false;
        }
      };
      await Promise.all([writer(), reader(), reader()]);
    });
    test("does many things at once", async (store) => {
      const idOf = (index: number): string => `q${(index * 7919).toString(16).padStart(32, "f")}`;
      await inParallel(100, async (index) => {
        await store.put(idOf(index), sampleBytes(index * 10, index));
        assertBytes(await store.get(idOf(index)), sampleBytes(index * 10, index), idOf(index));
        if (index % 3 === 0) await store.delete(idOf(index));
      });
      const wanted = Array.from({ length: 100 }, (_, index) => index)
        .filter((index) => index % 3 !== 0)
        .map(idOf);
      assertEqual(await listedIds(store), wanted.sort(), "list");
    });
  }

  function otherClients(reopen: (store: BlobStore) => Promise<BlobStore>): void {
    test("shows another client what was put, replaced and deleted", async (store) => {
      for (const id of ["kept", "replaced", "deleted", `p${"3".repeat(40)}`]) {
        await store.put(id, sampleBytes(100));
      }
      const other = await reopen(store);
      try {
        await store.put("replaced", sampleBytes(50, 2));
        await store.delete("deleted");
        assertBytes(await other.get("kept"), sampleBytes(100), "kept");
        assertBytes(await other.get("replaced"), sampleBytes(50, 2), "replaced");
        await missing(() => other.get("deleted"), "deleted");
        assertEqual(await listedIds(other), await listedIds(store), "list");
        await other.put(`q${"4".repeat(40)}`, sampleBytes(7));
        assertBytes(await store.get(`q${"4".repeat(40)}`), sampleBytes(7), "put by the other");
      } finally {
        await other.close();
      }
    });
  }

  runner.describe(`blob store contract: ${name}`, () => {
    emptyStore();
    blobs();
    ids();
    ranges();
    listing();
    timestamps();
    conditions();
    aborts();
    concurrency();
    if (options.reopen) otherClients(options.reopen);
  });
}

const text = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? value.toString() : value;
