/**
 * The checks of a provider, in their order: what a repository relies on, one by one, each with what breaks without it.
 * Proof: test/validate-provider.test.ts.
 * @module
 */
import { equalBytes, isDmError, mapConcurrent } from "@dm/core";
import {
  assertHolds,
  assertMissing,
  type Check,
  type CheckContext,
  difference,
  fail,
  listed,
  messageOf,
} from "./check.ts";
import { bytesOf } from "./sample.ts";

const nsPerSecond = 1_000_000_000n;
const parallel = 16;

const capacity: Check = {
  name: "capacity",
  title: "Asking for the capacity",
  consequence: "what is shown about free space is wrong",
  async run({ anyStore, call }) {
    const volume = await anyStore().capacity(call);
    if (volume && volume.availableBytes > volume.capacityBytes) {
      fail(`${volume.availableBytes} bytes are free of ${volume.capacityBytes}`);
    }
  },
};

const missing: Check = {
  name: "missing",
  title: "Asking for a blob that is not there",
  consequence:
    "a repository asks for blobs that may be missing all the time; it would take a mistake for damage, or damage for nothing",
  async run(context) {
    const { anyStore, call, id } = context;
    const nowhere = id("missing");
    if ((await listed(context, id(""))).length > 0) fail("a prefix that nobody has used has blobs");
    await assertMissing("reading it", () => anyStore().get(nowhere, call));
    await assertMissing("reading a range of it", () =>
      anyStore().get(nowhere, { ...call, offset: 0, length: 5 }),
    );
    await assertMissing("asking for its metadata", () => anyStore().stat(nowhere, call));
  },
};

const write: Check = {
  name: "write",
  title: "Writing and reading 5 MB",
  consequence: "nothing can be stored",
  async run(context) {
    const { anyStore, call, id } = context;
    for (const [name, length] of Object.entries({ large: 5_000_000, small: 1, empty: 0 })) {
      const bytes = bytesOf(length, length);
      await anyStore().put(id(`write-${name}`), bytes, call);
      for (const store of context.stores) {
        await assertHolds(context, store, id(`write-${name}`), bytes);
      }
    }
  },
};

const conditional: Check = {
  name: "conditional-put",
  title: "Writing only what is not there yet",
  consequence: "of two clients that create a repository at once, one would overwrite the other's",
  async run(context) {
    const { anyStore, call, id, stores } = context;
    const only = { ...call, ifAbsent: true };
    if (!stores[0]?.features.ifAbsent) {
      await anyStore().put(id("once"), bytesOf(1, 100), call);
      const error = await refusal(anyStore().put(id("once"), bytesOf(2, 100), only));
      // Not every provider can; one that cannot must say so and leave the blob alone.
      if (!isDmError(error, "DM_STORE_OPTION_UNSUPPORTED"))
        fail(`a store without conditions takes one: ${messageOf(error ?? "no error")}`);
      return assertHolds(context, anyStore(), id("once"), bytesOf(1, 100));
    }
    const racers = Array.from({ length: 8 }, (_, index) => index);
    const outcomes = await Promise.all(
      racers.map((seed) => refusal(anyStore().put(id("once"), bytesOf(seed, 1000), only))),
    );
    const winners = racers.filter((seed) => outcomes[seed] === undefined);
    if (winners.length !== 1) fail(`${winners.length} of 8 racing writers succeed, not one`);
    for (const error of outcomes) {
      if (error !== undefined && !isDmError(error, "DM_BLOB_EXISTS"))
        fail(`a writer that came late is not told that the blob exists, but: ${messageOf(error)}`);
    }
    await assertHolds(context, anyStore(), id("once"), bytesOf(winners[0]!, 1000));
  },
};

const refusal = (done: Promise<unknown>): Promise<unknown> =>
  done.then(
    () => undefined,
    (error: unknown) => error,
  );

const ranges: Check = {
  name: "ranges",
  title: "Reading ranges",
  consequence: "contents are ranges of packs: each would be refused as damaged",
  async run({ anyStore, call, id }) {
    const length = 1_000_000;
    const bytes = bytesOf(3, length);
    await anyStore().put(id("ranges"), bytes, call);
    const read = (offset: number, count?: number): Promise<Uint8Array> =>
      anyStore().get(id("ranges"), { ...call, offset, length: count });
    const cases: [number, number | undefined][] = [
      [0, 10],
      [1, 10],
      [2, 1],
      [5, 0],
      [0, length],
      [65_535, 65_537],
      [length - 5, 5],
      [length - 5, undefined],
    ];
    for (const [offset, count] of cases) {
      const wanted = bytes.subarray(offset, count === undefined ? length : offset + count);
      const got = await read(offset, count);
      if (!equalBytes(got, wanted))
        fail(`${count ?? "all"} bytes from ${offset} on are ${difference(got, wanted)}`);
    }
    for (const [offset, count] of [
      [length - 5, 6],
      [length + 10, 1],
    ] as const) {
      const error = await refusal(read(offset, count));
      if (!isDmError(error, "DM_BLOB_RANGE_INVALID"))
        fail(`a range beyond the end is not refused: ${messageOf(error ?? "no error")}`);
    }
  },
};

const overwrite: Check = {
  name: "overwrite",
  title: "Replacing a blob",
  consequence: "a change of the password, of parameters or of maintenance's schedule would be lost",
  async run(context) {
    const { anyStore, call, id, stores } = context;
    for (const length of [1000, 10, 100_000]) {
      const bytes = bytesOf(length, length);
      await anyStore().put(id("again"), bytes, call);
      for (const store of stores) {
        await assertHolds(context, store, id("again"), bytes);
        const seen = [
          await store.stat(id("again"), call),
          ...(await listed(context, id("again"), store)),
        ];
        if (seen.length !== 2) fail(`a list shows it ${seen.length - 1} times`);
        if (seen.some((blob) => blob.length !== length))
          fail(
            `its metadata say ${seen[0]?.length} bytes, the list ${seen[1]?.length}, not ${length}`,
          );
      }
    }
  },
};

const lists: Check = {
  name: "list",
  title: "Listing what was just written",
  consequence:
    "a client that does not see a new index blob believes contents lost, and maintenance would delete the packs they are in",
  async run(context) {
    const { anyStore, call, id } = context;
    const ids = Array.from({ length: 24 }, (_, index) => id(`list-${index % 2}-${index}`));
    await mapConcurrent(
      ids,
      async (blobId, index) => {
        await anyStore().put(blobId, bytesOf(index, index), call);
        if (!(await listed(context, blobId)).some((blob) => blob.id === blobId))
          fail(`a blob is not in the list, right after it was written: ${blobId}`);
      },
      { concurrency: 4, signal: call.signal },
    );
    for (const store of context.stores) {
      await assertListed(context, id("list-"), ids, store);
      await assertListed(
        context,
        id("list-1"),
        ids.filter((_, index) => index % 2 === 1),
        store,
      );
    }
    for (const blob of await listed(context, id("list-"))) {
      const wanted = ids.indexOf(blob.id);
      if (blob.length !== wanted)
        fail(`the list says that ${blob.id} has ${blob.length} bytes, not ${wanted}`);
    }
  },
};

async function assertListed(
  context: CheckContext,
  prefix: string,
  wanted: readonly string[],
  store = context.anyStore(),
): Promise<void> {
  const got = (await listed(context, prefix, store)).map((blob) => blob.id);
  const seen = new Set(got);
  const lost = wanted.filter((blobId) => !seen.has(blobId));
  if (lost.length > 0) {
    fail(`a list of ${wanted.length} blobs lacks ${lost.length} of them, such as ${lost[0]}`);
  }
  if (seen.size !== got.length) fail(`a list shows ${got.length - seen.size} blobs twice`);
  const known = new Set(wanted);
  const strange = got.find((blobId) => !known.has(blobId));
  if (strange) fail(`a list shows a blob that is not there or not below the prefix: ${strange}`);
}

/** Lists of cloud stores come in pages of a thousand. */
export const pages = (count: number): Check => ({
  name: "pages",
  title: `Listing ${count} blobs`,
  consequence: "a repository of more blobs than one page of a list holds would lose the rest",
  async run(context) {
    const { anyStore, call, id } = context;
    const ids = Array.from({ length: count }, (_, index) => id(`pages-${index}`));
    const options = { concurrency: parallel, signal: call.signal };
    const one = bytesOf(1, 1);
    await mapConcurrent(ids, (blobId) => anyStore().put(blobId, one, call), options);
    await assertListed(context, id("pages-"), ids);
  },
});

const metadata: Check = {
  name: "metadata",
  title: "Comparing metadata",
  consequence: "maintenance decides by age what may go; clients trust the lengths of index blobs",
  async run(context) {
    const { anyStore, call, id, stores } = context;
    let before = 0n;
    for (const length of [12_345, 54_321]) {
      await anyStore().put(id("metadata"), bytesOf(length, length), call);
      for (const store of stores) {
        const own = await store.stat(id("metadata"), call);
        const [inList] = await listed(context, id("metadata"), store);
        if (own.length !== length) fail(`metadata of ${length} bytes say ${own.length}`);
        if (own.id !== id("metadata")) fail(`metadata are those of another blob, ${own.id}`);
        if (!inList) return fail("the blob is not in the list");
        // Many servers give whole seconds to the one and fractions to the other.
        if (distance(own.timestampNs, inList.timestampNs) > nsPerSecond)
          fail(
            `its time is ${timeText(own.timestampNs)} when asked for, ${timeText(inList.timestampNs)} in the list`,
          );
        if (own.timestampNs + nsPerSecond < before)
          fail(`its time goes back, from ${timeText(before)} to ${timeText(own.timestampNs)}`);
        before = own.timestampNs > before ? own.timestampNs : before;
      }
    }
  },
};

const distance = (one: bigint, other: bigint): bigint => (one > other ? one - other : other - one);

const timeText = (ns: bigint): string => new Date(Number(ns / 1_000_000n)).toISOString();

export const clocks = (maxDriftMs: number): Check => ({
  name: "clock",
  title: "Comparing clocks",
  consequence:
    "maintenance compares its own time with that of blobs: it would delete what is new, or keep what is old for ever",
  async run({ anyStore, call, clock, id }) {
    const beforeNs = clock.nowNs();
    await anyStore().put(id("clock"), bytesOf(1, 1), call);
    const { timestampNs } = await anyStore().stat(id("clock"), call);
    const nowNs = clock.nowNs();
    // Where the blob came about in between, no clock is wrong, however long it took.
    const driftNs =
      timestampNs < beforeNs
        ? beforeNs - timestampNs
        : timestampNs > nowNs
          ? timestampNs - nowNs
          : 0n;
    if (driftNs > BigInt(maxDriftMs) * 1_000_000n)
      fail(
        `a blob of now has the time ${timeText(timestampNs)} where this machine has ${timeText(nowNs)}: ` +
          `${driftNs / nsPerSecond} s apart, ${maxDriftMs / 1000} s are allowed`,
      );
  },
});

const deletion: Check = {
  name: "delete",
  title: "Deleting",
  consequence: "space is never freed, and indexes that were replaced come back",
  async run(context) {
    const { anyStore, call, id, stores } = context;
    const gone = id("delete-gone");
    await anyStore()
      .delete(gone, call)
      .catch((error: unknown) => fail(`deleting what is not there fails: ${messageOf(error)}`));
    await anyStore().put(gone, bytesOf(1, 100), call);
    await anyStore().put(id("delete-kept"), bytesOf(2, 100), call);
    await anyStore().delete(gone, call);
    for (const store of stores) {
      await assertMissing("reading what was deleted", () => store.get(gone, call));
      await assertMissing("asking for metadata of what was deleted", () => store.stat(gone, call));
      await assertListed(context, id("delete-"), [id("delete-kept")], store);
    }
    await anyStore().put(gone, bytesOf(3, 50), call);
    await assertHolds(context, anyStore(), gone, bytesOf(3, 50));
  },
};

/** Without it no other check has anything to look at. */
export const firstChecks: readonly Check[] = [capacity, missing, write];
export const laterChecks: readonly Check[] = [
  conditional,
  ranges,
  overwrite,
  lists,
  metadata,
  deletion,
];
