// The pure parts of a restore: which ranges of packs are read for a group of contents, how bytes under way are bounded, and
// the book that is kept of counts and losses.
import type { Repository } from "@dm/repo";
import { describe, expect, it } from "vitest";
import { ByteBudget } from "../src/node/restore/byte-budget.ts";
import { piecesOfEntry } from "../src/node/restore/load-contents.ts";
import { WorkQueue } from "../src/node/restore/work-queue.ts";
import { RestoreLedger } from "../src/restore/ledger.ts";
import { planReads } from "../src/restore/read-plan.ts";
import { entryOf } from "./made-up.ts";
import { fc } from "./property.ts";

const place = (
  packBlobId: string,
  packOffset: number,
  packedLength: number,
): { packBlobId: string; packOffset: number; packedLength: number } => ({
  packBlobId,
  packOffset,
  packedLength,
});

describe("planReads", () => {
  it("reads neighbours together, and packs and far places apart", () => {
    const entries = [
      place("p2", 0, 10),
      place("p1", 100, 50),
      place("p1", 0, 90),
      place("p1", 300_000, 7),
    ];
    expect(planReads(entries)).toEqual([
      { packBlobId: "p1", offset: 0, length: 150, members: [2, 1] },
      { packBlobId: "p1", offset: 300_000, length: 7, members: [3] },
      { packBlobId: "p2", offset: 0, length: 10, members: [0] },
    ]);
    expect(planReads([])).toEqual([]);
  });

  it("reads what is longer than a range by itself", () => {
    const limits = { maxRangeBytes: 100, maxGapBytes: 10 };
    expect(
      planReads([place("p", 0, 500), place("p", 500, 50), place("p", 560, 50)], limits),
    ).toEqual([
      { packBlobId: "p", offset: 0, length: 500, members: [0] },
      { packBlobId: "p", offset: 500, length: 50, members: [1] },
      { packBlobId: "p", offset: 560, length: 50, members: [2] },
    ]);
  });

  it("covers every entry once, within its limits", () => {
    const arbitrary = fc.record({
      packBlobId: fc.constantFrom("p1", "p2", "q"),
      packOffset: fc.nat(2000),
      packedLength: fc.nat(300),
    });
    fc.assert(
      fc.property(fc.array(arbitrary), fc.nat(400), fc.nat(50), (entries, longest, gap) => {
        const ranges = planReads(entries, { maxRangeBytes: longest, maxGapBytes: gap });
        const members = ranges.flatMap((range) => range.members).sort((a, b) => a - b);
        expect(members).toEqual(entries.map((_, index) => index));
        for (const range of ranges) {
          const longestMember = Math.max(...range.members.map((at) => entries[at]!.packedLength));
          expect(range.length).toBeLessThanOrEqual(Math.max(longest, longestMember));
          for (const member of range.members) {
            const { packBlobId, packOffset, packedLength } = entries[member]!;
            expect(packBlobId).toBe(range.packBlobId);
            expect(packOffset).toBeGreaterThanOrEqual(range.offset);
            expect(packOffset + packedLength).toBeLessThanOrEqual(range.offset + range.length);
          }
        }
      }),
    );
  });
});

describe("ByteBudget", () => {
  it("never has more under way than allowed, except for one that is larger; first come, first served", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 150 }), { maxLength: 30 }),
        async (sizes) => {
          const budget = new ByteBudget(100);
          let used = 0;
          let holders = 0;
          const order: number[] = [];
          await Promise.all(
            sizes.map(async (bytes, index) => {
              const giveBack = await budget.take(bytes);
              order.push(index);
              used += bytes;
              holders += 1;
              expect(used <= 100 || holders === 1 || used - bytes === 0).toBe(true);
              await new Promise((done) => setImmediate(done));
              used -= bytes;
              holders -= 1;
              giveBack();
            }),
          );
          expect(order).toEqual(sizes.map((_, index) => index));
        },
      ),
      { numRuns: 30 },
    );
    expect(() => new ByteBudget(0)).toThrow(RangeError);
  });
});

describe("WorkQueue", () => {
  it("stops at the first failure, and tells what never began that it ended", async () => {
    const queue = new WorkQueue({ parallel: 1, maxInFlightBytes: 10, signal: undefined });
    const told: string[] = [];
    const broken = async (): Promise<void> => {
      throw new Error("broken");
    };
    await queue.start(1, broken, () => told.push("first"));
    const second = queue.start(
      1,
      async () => {},
      () => told.push("second"),
    );
    await Promise.allSettled([second]);
    await queue.settle();
    expect(told).toEqual(["first", "second"]);
    await expect(
      queue.start(
        1,
        async () => {},
        () => told.push("third"),
      ),
    ).rejects.toThrow("broken");
    expect(told).toEqual(["first", "second", "third"]);
    expect(() => queue.signal.throwIfAborted()).toThrow("broken");
  });

  it("fails with whoever is told of an end, and settles all the same", async () => {
    const queue = new WorkQueue({ parallel: 1, maxInFlightBytes: 10, signal: undefined });
    const ended = (): never => {
      throw new Error("told in vain");
    };
    await queue.start(1, async () => {}, ended);
    await queue.settle();
    expect(() => queue.signal.throwIfAborted()).toThrow("told in vain");
  });
});

describe("RestoreLedger", () => {
  it("counts all losses, lists 10,000 of them by path, and says of owners once", () => {
    const ledger = new RestoreLedger(undefined, undefined);
    expect(ledger.report()).toMatchObject({ ok: true, losses: [], notices: [] });
    for (let index = 0; index < 10_050; index++) ledger.lose(`p${10_050 - index}`, "DM_X", "why");
    for (let index = 0; index < 3; index++) ledger.loseOwner();
    ledger.notice("twice");
    ledger.notice("twice");
    const { losses, lossCount, notices, ok } = ledger.report();
    expect([losses.length, lossCount, ok]).toEqual([10_000, 10_050, false]);
    expect(losses[0]!.path < losses[1]!.path).toBe(true);
    expect(notices).toEqual([expect.stringContaining("the owner of 3 entries"), "twice"]);
  });
});

it("an index that contains itself has no pieces", async () => {
  const objectParts = async (objectId: string): Promise<object> => [
    { start: 0, length: 10, objectId },
  ];
  const found = await piecesOfEntry(
    { objectParts } as unknown as Repository,
    entryOf({ name: "f", sizeBytes: 10, objectId: `Ix${"0".repeat(32)}` }),
  );
  expect(found).toMatchObject({ code: "DM_INDIRECT_INVALID" });
});
