// Full maintenance with somebody who knows what is garbage: two collections must agree before a content leaves the index,
// its pack goes after that and not before, what is still wanted stays, and the forecast says so beforehand.
import { describe, expect, it } from "vitest";
import {
  type CollectGarbage,
  type CollectionFigures,
  contentIdPrefix,
  dueMaintenance,
  forecastMaintenance,
  readMaintenanceParameters,
  readSchedule,
  runMaintenance,
  safetyParameters,
  verifyRepository,
} from "../src/index.ts";
import { contentsToRewrite } from "../src/maintenance/rewrite-short-packs.ts";
import { safeDropTimeNs } from "../src/maintenance/safety.ts";
import { emptySchedule, recordRun } from "../src/maintenance/schedule.ts";
import { bytesOf, newRepository, type TestRepository } from "./new-repository.ts";

const hourMs = 3_600_000;
const hourNs = 3_600_000_000_000n;

const noFigures: CollectionFigures = {
  unreferencedContentCount: 0,
  unreferencedContentSize: 0,
  deletedContentCount: 0,
  deletedContentSize: 0,
  unreferencedRecentContentCount: 0,
  unreferencedRecentContentSize: 0,
  inUseContentCount: 0,
  inUseContentSize: 0,
  inUseSystemContentCount: 0,
  inUseSystemContentSize: 0,
  recoveredContentCount: 0,
  recoveredContentSize: 0,
};

/** Everything that is old enough is garbage, apart from manifests and what is wanted. */
const allBut =
  (wanted: ReadonlySet<string>): CollectGarbage =>
  async (repository, { minAgeMs, startedAtNs, signal }) => {
    await using session = await repository.openWriteSession({ signal });
    let deletedContentCount = 0;
    for await (const entry of repository.listContents({ includeDeleted: true })) {
      if (contentIdPrefix(entry.contentId) === "m") continue;
      if (wanted.has(entry.contentId)) {
        if (entry.deleted) await session.undeleteContent(entry.contentId);
        continue;
      }
      const ageNs = startedAtNs - BigInt(entry.timestampSeconds) * 1_000_000_000n;
      if (entry.deleted || ageNs < BigInt(minAgeMs) * 1_000_000n) continue;
      await session.deleteContent(entry.contentId);
      deletedContentCount += 1;
    }
    await session.commit();
    return { ...noFigures, deletedContentCount };
  };

async function written(test: TestRepository, seeds: readonly number[]): Promise<string[]> {
  const ids: string[] = [];
  for (const seed of seeds) {
    await using session = await test.repository.openWriteSession();
    ids.push(await session.writeContent(bytesOf(1000, seed)));
    await session.commit();
  }
  return ids;
}

const dataPacks = ({ store }: TestRepository): string[] =>
  [...store.blobs.keys()].filter((id) => id.startsWith("p"));

async function expectAlive(test: TestRepository, ids: readonly string[]): Promise<void> {
  const reader = await test.open();
  const live: string[] = [];
  for await (const { contentId } of reader.listContents({ prefix: "" })) live.push(contentId);
  expect(live).toEqual([...ids].sort());
  expect((await verifyRepository(reader)).findings).toEqual([]);
}

describe("rules", () => {
  const collected = (...times: readonly (readonly [bigint, bigint, boolean?])[]) =>
    times.reduce(
      (schedule, [start, end, success = true]) =>
        recordRun(schedule, "snapshot-gc", {
          startNs: start * hourNs,
          endNs: end * hourNs,
          success,
        }),
      emptySchedule,
    );
  const dropHour = (schedule: typeof emptySchedule): bigint | undefined => {
    const ns = safeDropTimeNs(schedule, 1000n * hourNs, safetyParameters.full);
    return ns === undefined ? undefined : ns / hourNs;
  };

  it("contents leave the index when two collections, four hours apart, agreed", () => {
    expect(dropHour(emptySchedule)).toBeUndefined();
    expect(dropHour(collected([10n, 11n]))).toBeUndefined();
    expect(dropHour(collected([10n, 11n], [15n, 16n]))).toBeUndefined();
    expect(dropHour(collected([10n, 11n], [16n, 17n]))).toBe(9n);
    expect(dropHour(collected([1n, 2n], [10n, 11n], [15n, 16n]))).toBe(0n);
    expect(dropHour(collected([10n, 11n], [16n, 17n, false]))).toBeUndefined();
    expect(dropHour(collected([10n, 11n, false], [16n, 17n]))).toBeUndefined();
    expect(safeDropTimeNs(emptySchedule, 7n, safetyParameters.none)).toBe(7n);
  });

  it("what is deleted is not written again, nor is a pack that holds nothing else a reason to write", () => {
    const entry = (id: string, packBlobId: string, deleted: boolean) => ({
      contentId: id.repeat(16) as never,
      packBlobId,
      deleted,
      packedLength: 10,
      packOffset: 0,
      originalLength: 1,
      timestampSeconds: 1,
      compressionHeaderId: 0,
      formatVersion: 3,
      encryptionKeyId: 0,
    });
    const options = {
      maxPackSizeBytes: 1000,
      prefixes: ["p"],
      newestSeconds: 100,
      leaveDeleted: true,
    };
    const live = entry("aa", "p1", false);
    const dead = entry("bb", "p1", true);
    const other = entry("cc", "p2", false);
    expect(contentsToRewrite(() => [live, dead, other], options)).toEqual([
      live.contentId,
      other.contentId,
    ]);
    expect(contentsToRewrite(() => [live, { ...dead, packBlobId: "p2" }], options)).toEqual([]);
  });
});

describe.each([1, 2, 3] as const)("full maintenance of format %i with garbage", (version) => {
  it("gives space back after two collections have agreed, when the forecast said, and not before", async () => {
    const test = await newRepository({ version });
    const { clock, repository, store } = test;
    const ids = await written(test, [1, 2, 3, 4]);
    const kept = ids.slice(0, 1);
    clock.advance(25 * hourMs);
    const collectGarbage = allBut(new Set(kept));
    const forecast = forecastMaintenance(
      await readSchedule(store, repository.openedFormat),
      await readMaintenanceParameters(repository),
      { nowNs: clock.nowNs(), safety: safetyParameters.full },
    );
    const before = new Set(dataPacks(test));
    let droppedAtNs: bigint | undefined;
    let goneAtNs: bigint | undefined;
    const packOf = (await repository.contentInfo(ids[3] as never))!.packBlobId;
    for (let day = 0; day < 8; day += 1) {
      expect(await dueMaintenance(repository)).toBe("full");
      const atNs = clock.nowNs();
      await runMaintenance(repository, { collectGarbage });
      if (!(await repository.contentInfo(ids[3] as never))) droppedAtNs ??= atNs;
      if (!store.blobs.has(packOf)) goneAtNs ??= atNs;
      await expectAlive(test, kept);
      clock.advance(24 * hourMs);
    }
    expect(droppedAtNs).toBe(forecast.droppedAtNs);
    expect(goneAtNs).toBe(forecast.packsDeletedAtNs);
    expect(Number((droppedAtNs! - forecast.runs[0]!.atNs) / hourNs)).toBe(48);
    expect([...before].filter((id) => store.blobs.has(id))).toHaveLength(1);
    const { runs } = await readSchedule(store, repository.openedFormat);
    expect(runs.get("snapshot-gc")).toHaveLength(8);
    expect(runs.get("snapshot-gc")!.at(-1)!.extra).toEqual([
      { kind: "snapshotGCStats", data: { ...noFigures, deletedContentCount: 3 } },
    ]);
    expect(runs.get("full-drop-deleted-content")![0]!.extra).toEqual([
      {
        kind: "compactIndexesStats",
        data: { droppedContentsDeletedBefore: expect.stringMatching(/^2023-\d\d-\d\dT.*Z$/) },
      },
    ]);
  });

  it("a content that is wanted again after the first collection lives", async () => {
    const test = await newRepository({ version });
    const { clock, repository } = test;
    const ids = await written(test, [1, 2]);
    clock.advance(25 * hourMs);
    await runMaintenance(repository, { mode: "full", collectGarbage: allBut(new Set()) });
    expect((await repository.contentInfo(ids[0] as never))?.deleted).toBe(true);
    // Whoever wanted it had seen it alive before, and stored what refers to it after.
    const collectGarbage = allBut(new Set(ids.slice(0, 1)));
    for (let day = 0; day < 6; day += 1) {
      clock.advance(24 * hourMs);
      await runMaintenance(repository, { mode: "full", collectGarbage });
    }
    await expectAlive(test, ids.slice(0, 1));
    expect(dataPacks(test)).toHaveLength(1);
  });

  it("a collection that fails drops nothing, however often it runs", async () => {
    const test = await newRepository({ version });
    const { clock, repository, store } = test;
    await written(test, [1, 2]);
    clock.advance(25 * hourMs);
    await runMaintenance(repository, { mode: "full", collectGarbage: allBut(new Set()) });
    const before = dataPacks(test);
    for (let day = 0; day < 4; day += 1) {
      clock.advance(24 * hourMs);
      const run = runMaintenance(repository, {
        mode: "full",
        collectGarbage: async () => {
          throw new Error("a snapshot is damaged");
        },
      });
      await expect(run).rejects.toThrow("a snapshot is damaged");
    }
    expect(dataPacks(test)).toEqual(before);
    const { runs } = await readSchedule(store, repository.openedFormat);
    expect(runs.get("snapshot-gc")![0]).toMatchObject({
      success: false,
      error: "a snapshot is damaged",
    });
    expect(runs.has("full-drop-deleted-content")).toBe(false);
  });

  it("with safety off gives all of it back at once", async () => {
    const test = await newRepository({ version });
    const { clock, repository } = test;
    const ids = await written(test, [1, 2, 3, 4]);
    const collectGarbage = allBut(new Set(ids.slice(0, 1)));
    clock.advance(2000);
    await runMaintenance(repository, { mode: "full", safety: "none", collectGarbage });
    clock.advance(2000);
    await runMaintenance(repository, { mode: "full", safety: "none", collectGarbage });
    expect(dataPacks(test)).toHaveLength(1);
    await expectAlive(test, ids.slice(0, 1));
  });
});
