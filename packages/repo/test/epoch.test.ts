// Epochs: which blobs count under gaps and half-written compactions, when to advance, compact and clean up; and that no
// order of these steps loses an entry.
import { AccessError, manualClock } from "@dm/core";
import { type BlobMetadata, type BlobStore, forward, memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import { defaultEpochParameters, type EpochParameters } from "../src/format/repository-format.ts";
import { EpochManager } from "../src/index.ts";
import {
  completeSets,
  type EpochListing,
  epochNumber,
  epochStateOf,
  epochToCompact,
  longestRangeChain,
  planActive,
  rangeToCompact,
  shouldAdvance,
  supersededEpochs,
  supersededMarkers,
} from "../src/index-manager/epoch-state.ts";
import { mergeIndexBlobs } from "../src/maintenance/merge-indexes.ts";
import { bytesOf, newRepository, startNs } from "./new-repository.ts";
import { fc } from "./property.ts";

const hourNs = 3_600_000_000_000n;

function blob(id: string, hoursAgo = 100, length = 100): BlobMetadata {
  return { id, length, timestampNs: startNs - BigInt(hoursAgo) * hourNs };
}

/** The listings that a manager makes of these names. */
function listing(ids: readonly (string | BlobMetadata)[]): EpochListing {
  const blobs = ids.map((id) => (typeof id === "string" ? blob(id) : id));
  const under = (prefix: string): BlobMetadata[] => blobs.filter(({ id }) => id.startsWith(prefix));
  const markers = under("xe");
  const writeEpoch = Math.max(0, ...markers.map(({ id }) => epochNumber(id) ?? 0));
  const recent = new Map<number, BlobMetadata[]>();
  for (const epoch of [writeEpoch - 1, writeEpoch, writeEpoch + 1])
    if (epoch >= 0) recent.set(epoch, under(`xn${epoch}_`));
  return { markers, watermarks: under("xw"), singles: under("xs"), ranges: under("xr"), recent };
}

const stateOf = (...ids: (string | BlobMetadata)[]) => epochStateOf(listing(ids));

describe("names", () => {
  it.each([
    ["xe12", 12],
    ["xn3_abc-s1-c1", 3],
    ["xs4_abc-s1-c1", 4],
    ["xw1790000000", 1_790_000_000],
    ["xn_abc", undefined],
    ["xe9999999999999999", undefined],
  ])("%s", (id, number) => {
    expect(epochNumber(id)).toBe(number);
  });

  it("a set counts when all its blobs are there", () => {
    const ids = ["xs1_a-s1-c2", "xs1_b-s1-c2", "xs1_c-s2-c3", "xs1_d-s2-c3", "xs1_e"].map((id) =>
      blob(id),
    );
    expect(completeSets(ids).map((set) => set.map(({ id }) => id))).toEqual([
      ["xs1_a-s1-c2", "xs1_b-s1-c2"],
      ["xs1_e"],
    ]);
  });
});

describe("which blobs count", () => {
  it("of the present epochs, all flushed ones", () => {
    const plan = planActive(stateOf("xe1", "xn0_a-s1-c1", "xn1_b-s2-c1", "xn2_c-s3-c1"));
    expect(plan).toEqual({
      blobIds: ["xn0_a-s1-c1", "xn1_b-s2-c1", "xn2_c-s3-c1"],
      epochsToList: [],
    });
  });

  it("of a settled epoch, its complete compaction, else all flushed ones", () => {
    const state = stateOf("xe5", "xs0_a-s1-c1", "xs1_b-s2-c2", "xs3_c-s3-c1", "xs4_d-s4-c1");
    // Epoch 1 has half a compaction, 2 has none; 4 is not settled, so its compaction does not count.
    expect(planActive(state)).toEqual({
      blobIds: ["xs0_a-s1-c1", "xs3_c-s3-c1"],
      epochsToList: [1, 2],
    });
  });

  it("of covered epochs, the range checkpoints", () => {
    const state = stateOf("xe9", "xr0_3_a-s1-c1", "xr4_6_b-s2-c1", "xs2_c-s3-c1", "xs7_d-s4-c1");
    expect(planActive(state).blobIds).toEqual(["xr0_3_a-s1-c1", "xr4_6_b-s2-c1", "xs7_d-s4-c1"]);
  });

  it("ranges count only in a chain from epoch 0 without gaps; the one that reaches furthest", () => {
    const chain = (...names: string[]): string[] =>
      longestRangeChain(stateOf(...names).ranges).map(({ first, last }) => `${first}-${last}`);
    expect(chain("xr1_3_a-s1-c1")).toEqual([]);
    expect(chain("xr0_3_a-s1-c1", "xr5_6_b-s2-c1")).toEqual(["0-3"]);
    expect(chain("xr0_3_a-s1-c1", "xr0_1_b-s2-c1", "xr2_9_c-s3-c1")).toEqual(["0-1", "2-9"]);
    expect(chain("xr0_3_a-s1-c1", "xr4_9_b-s2-c1", "xr0_9_c-s3-c1")).toEqual(["0-9"]);
    expect(chain("xr0_0_a-s1-c1", "xr1_4_b-s2-c1")).toEqual([]);
    expect(chain("xr0_3_a-s1-c2", "xr3_2_b-s2-c1")).toEqual([]);
  });
});

describe("what maintenance does", () => {
  const parameters = defaultEpochParameters;

  it("advances when the epoch is old, and full by number or by size", () => {
    const blobs = (count: number, hours: number, length = 100): BlobMetadata[] =>
      Array.from({ length: count }, (_, i) => blob(`xn0_${i}`, i === 0 ? hours : 0, length));
    expect(shouldAdvance([], parameters)).toBe(false);
    expect(shouldAdvance(blobs(20, 23), parameters)).toBe(false);
    expect(shouldAdvance(blobs(19, 24), parameters)).toBe(false);
    expect(shouldAdvance(blobs(20, 24), parameters)).toBe(true);
    expect(shouldAdvance(blobs(2, 24, 5 << 20), parameters)).toBe(true);
  });

  it("compacts settled epochs one by one, then ranges", () => {
    expect(epochToCompact(stateOf("xe1", "xn0_a"))).toBeUndefined();
    expect(epochToCompact(stateOf("xe2", "xn1_a"))).toBe(0);
    expect(epochToCompact(stateOf("xe3", "xs0_a", "xn2_a"))).toBe(1);
    expect(epochToCompact(stateOf("xe9", "xr0_6_a", "xs7_b"))).toBeUndefined();
    expect(rangeToCompact(stateOf("xe8"), parameters)).toBeUndefined();
    expect(rangeToCompact(stateOf("xe9"), parameters)).toEqual({ first: 0, last: 7 });
    expect(rangeToCompact(stateOf("xe20", "xr0_7_a-s1-c1"), parameters)).toEqual({
      first: 8,
      last: 18,
    });
  });

  it("removes markers and watermarks that nothing needs", () => {
    const state = stateOf("xe1", "xe2", "xe3", "xw5", "xw7", blob("xw6", 1), blob("xn3_a", 0));
    expect(supersededMarkers(state, parameters)).toEqual(["xe1", "xw5"]);
    expect(supersededMarkers(stateOf("xe1", "xe2", "xe3"), parameters)).toEqual([]);
  });

  it("removes flushed blobs that a compaction replaced for longer than the safety margin, by the store's time", () => {
    const newest = blob("xn5_a", 0);
    const state = stateOf(
      "xe5",
      newest,
      blob("xs0_a", 5),
      blob("xs1_b", 4),
      blob("xs2_c", 3),
      "xs4_d",
    );
    expect(supersededEpochs(state, parameters)).toEqual([0]);
    expect(supersededEpochs(stateOf("xe5", "xs0_a"), parameters)).toEqual([]);
  });
});

describe("in a store", () => {
  const quick: Partial<EpochParameters> = {
    minEpochDurationMs: 3_600_000,
    epochRefreshFrequencyMs: 600_000,
    epochAdvanceOnCountThreshold: 10,
    cleanupSafetyMarginMs: 3_600_000,
    fullCheckpointFrequency: 2,
  };

  it("loses no entry in any order of writing, compacting, advancing and cleaning", async () => {
    const step = fc.constantFrom(
      "write",
      "write",
      "write",
      "hours",
      "compact",
      "advance",
      "range",
      "clean",
      "delete",
    );
    const done = new Map<string, number>();
    const count = (kind: string, result: unknown): void => {
      if (result !== undefined) done.set(kind, (done.get(kind) ?? 0) + 1);
    };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 60, maxLength: 120 }), async (steps) => {
        const { clock, open, repository } = await newRepository({
          epochParameters: { ...quick, minEpochDurationMs: 600_000 * 3 },
        });
        const manager = repository.indexManager as EpochManager;
        const merge = (ids: readonly string[], options: object): Promise<Uint8Array[]> =>
          mergeIndexBlobs(repository, ids, options);
        const written = new Map<string, number>();
        let seed = 0;
        for (const kind of steps) {
          clock.advance(60_000);
          if (kind === "hours") clock.advance(2 * 3_600_000);
          else if (kind === "write") {
            for (let flush = 0; flush < 5; flush += 1) {
              await using session = await repository.openWriteSession();
              seed += 1;
              written.set(await session.writeContent(bytesOf(8, seed)), seed);
              await session.commit();
            }
          } else if (kind === "compact") count(kind, await manager.compactOneEpoch(merge));
          else if (kind === "advance") count(kind, await manager.advanceIfDue());
          else if (kind === "range") count(kind, await manager.compactRange(merge));
          else if (kind === "clean") count(kind, (await manager.cleanUpMarkers())[0]);
          else count(kind, (await manager.deleteSuperseded())[0]);
          const reader = await open();
          const seen = new Set<string>();
          for await (const { contentId } of reader.listContents({ prefix: "" }))
            seen.add(contentId);
          expect([...seen].sort()).toEqual([...written.keys()].sort());
        }
      }),
      { numRuns: process.env["DM_FULL"] ? 200 : 15 },
    );
    // Otherwise the walk has proven nothing.
    expect([...done.keys()].sort()).toEqual(["advance", "clean", "compact", "delete", "range"]);
  });

  it("writes an index again when the epoch moved while it was written", async () => {
    const { clock, open, store } = await newRepository({ epochParameters: quick });
    let moved = false;
    const slow: BlobStore = {
      ...forward(store),
      async put(id, data, options) {
        if (id.startsWith("xn") && !moved) {
          moved = true;
          // Another client advances twice while this one is writing.
          clock.advance(700_000);
          await store.put("xe1", new Uint8Array(1));
          await store.put("xe2", new Uint8Array(1));
        }
        return store.put(id, data, options);
      },
    };
    const writer = await open({ store: slow });
    await using session = await writer.openWriteSession();
    const id = await session.writeContent(bytesOf(5));
    // Readers at epoch 2 no longer list what is written to epoch 0: it must not count as acknowledged.
    await expect(session.flush()).rejects.toMatchObject({ code: "DM_INDEX_WRITE_TOO_SLOW" });
    expect([...store.blobs.keys()].filter((id) => id.startsWith("xn0_")).length).toBe(1);
    // The next flush writes it to the epoch of that time.
    await session.flush();
    expect([...store.blobs.keys()].filter((id) => id.startsWith("xn2_")).length).toBe(1);
    expect(await (await open()).readContent(id)).toEqual(bytesOf(5));
  });

  it("says that a write was too slow also without the right to delete it", async () => {
    const { clock, open, store } = await newRepository({ epochParameters: quick });
    const writer = await open({
      store: {
        ...forward(store),
        async put(id, data, options) {
          if (id.startsWith("xn0_")) {
            clock.advance(700_000);
            await store.put("xe2", new Uint8Array(1));
          }
          return store.put(id, data, options);
        },
        async delete() {
          throw new AccessError("DM_ACCESS_DENIED", "no right to delete");
        },
      },
    });
    await using session = await writer.openWriteSession();
    const id = await session.writeContent(bytesOf(5));
    await expect(session.flush()).rejects.toMatchObject({ code: "DM_INDEX_WRITE_TOO_SLOW" });
    await session.flush();
    expect(await (await open()).readContent(id)).toEqual(bytesOf(5));
  });

  it("lists again when a listing took longer than it is valid", async () => {
    const clock = manualClock(startNs);
    const store = memoryStore({ clock });
    let slowListings = 3;
    const slow: BlobStore = {
      ...forward(store),
      list(prefix, options) {
        if (slowListings > 0) {
          slowListings -= 1;
          clock.advance(700_000);
        }
        return store.list(prefix, options);
      },
    };
    const { repository } = await newRepository({ epochParameters: quick });
    const manager = new EpochManager({
      store: slow,
      clock,
      crypter: repository.crypter,
      randomBytes: repository.randomBytes,
      parameters: { ...defaultEpochParameters, ...quick },
    });
    expect((await manager.state()).writeEpoch).toBe(0);
    expect(slowListings).toBe(0);
  });

  it("finds the same blobs in one listing as in one of each kind", async () => {
    const clock = manualClock(startNs);
    const { repository } = await newRepository({ epochParameters: quick });
    const number = fc.integer({ min: 0, max: 5 });
    const name = fc.oneof(
      number.map((epoch) => `xe${epoch}`),
      fc.constantFrom("xe90", "xw5", "xw17", "xz1", "xn", "xn01_a", "xnx1_a", "xe1x"),
      fc.tuple(number, number).map(([epoch, id]) => `xn${epoch}_${id}`),
      fc.tuple(number, number).map(([epoch, id]) => `xn9${epoch}_${id}`),
      fc.tuple(number, number).map(([epoch, id]) => `xs${epoch}_a${id}-s${id}-c1`),
      fc.tuple(number, number, number).map(([a, b, id]) => `xr${a}_${b}_a${id}-s${id}-c1`),
    );
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(name, { maxLength: 30 }), async (names) => {
        const store = memoryStore({ clock });
        for (const id of names) await store.put(id, new Uint8Array(1));
        const lists: string[][] = [];
        const managerOf = (maxListedAtOnce: number): EpochManager => {
          const listed: string[] = [];
          lists.push(listed);
          return new EpochManager({
            store: {
              ...forward(store),
              list(prefix, options) {
                listed.push(prefix);
                return store.list(prefix, options);
              },
            },
            clock,
            crypter: repository.crypter,
            randomBytes: repository.randomBytes,
            parameters: defaultEpochParameters,
            maxListedAtOnce,
          });
        };
        const [atOnce, oneByOne] = [managerOf(30), managerOf(0)];
        const sorted = async (manager: EpochManager) => {
          const { blobIds, deletionWatermarkSeconds } = await manager.active();
          return { ids: [...blobIds].sort(), deletionWatermarkSeconds };
        };
        expect(await sorted(atOnce)).toEqual(await sorted(oneByOne));
        const state = await atOnce.state();
        expect(state).toEqual(await oneByOne.state());
        expect(lists[0]).toEqual(["x"]);
        // What did not fit into one listing is not tried again.
        await oneByOne.state({ fresh: true });
        expect(lists[1]!.filter((prefix) => prefix === "x").length).toBe(names.length > 0 ? 1 : 2);
      }),
    );
  });

  it("the deletion watermark only moves forward", async () => {
    const { repository } = await newRepository({ epochParameters: quick });
    const manager = repository.indexManager as EpochManager;
    expect(await manager.setDeletionWatermark(100)).toBe(true);
    expect(await manager.setDeletionWatermark(100)).toBe(false);
    expect(await manager.setDeletionWatermark(99)).toBe(false);
    expect((await manager.active()).deletionWatermarkSeconds).toBe(100);
  });
});
