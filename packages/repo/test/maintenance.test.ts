// Maintenance does what is due, by Kopia's safety rules, records it, and never removes what somebody may still need.
import { manualClock } from "@dm/core";
import { type BlobMetadata, forward } from "@dm/storage";
import { describe, expect, it } from "vitest";
import {
  type EpochManager,
  parseContentId,
  pauseMaintenance,
  readMaintenanceParameters,
  readSchedule,
  runMaintenance,
  verifyRepository,
  writeMaintenanceParameters,
} from "../src/index.ts";
import { logsToDelete } from "../src/maintenance/clean-up-logs.ts";
import { orphanPacks } from "../src/maintenance/delete-orphans.ts";
import { contentsToRewrite } from "../src/maintenance/rewrite-short-packs.ts";
import {
  mayDeleteOrphans,
  mayRewrite,
  safetyParameters,
  wasLastRewriteFull,
} from "../src/maintenance/safety.ts";
import {
  decodeSchedule,
  emptySchedule,
  encodeSchedule,
  type MaintenanceTask,
  recordRun,
} from "../src/maintenance/schedule.ts";
import { entryOf } from "./index-entries.ts";
import { bytesOf, kinds, newRepository, startNs, type TestRepository } from "./new-repository.ts";

const hourMs = 3_600_000;
const hourNs = 3_600_000_000_000n;

describe("rules", () => {
  const run = (task: MaintenanceTask, endNs: bigint, success = true) => ({ task, endNs, success });
  const after = (...runs: ReturnType<typeof run>[]) =>
    runs.reduce(
      (schedule, { endNs, success, task }) =>
        recordRun(schedule, task, { startNs: endNs - 1n, endNs, success }),
      emptySchedule,
    );

  it("rewriting waits until what the last rewrite orphaned is deleted", () => {
    const { full, none } = safetyParameters;
    const rewritten = run("full-rewrite-contents", 100n);
    const deletedAt = (endNs: bigint) => after(rewritten, run("full-delete-blobs", endNs));
    expect(mayRewrite(emptySchedule, "full", full)).toBe(true);
    expect(mayRewrite(after(rewritten), "full", full)).toBe(false);
    expect(mayRewrite(after(rewritten), "full", none)).toBe(true);
    expect(mayRewrite(deletedAt(100n), "full", full)).toBe(true);
    expect(mayRewrite(deletedAt(99n), "full", full)).toBe(false);
    expect(mayRewrite(after({ ...rewritten, success: false }), "full", full)).toBe(true);
    expect(mayRewrite(after(run("quick-rewrite-contents", 100n)), "full", full)).toBe(true);
    expect(mayRewrite(after(rewritten), "quick", full)).toBe(false);
  });

  it("orphans are deleted an hour after the last rewrite", () => {
    const schedule = after(run("full-rewrite-contents", hourNs));
    const { full, none } = safetyParameters;
    expect(mayDeleteOrphans(emptySchedule, 0n, full)).toBe(true);
    expect(mayDeleteOrphans(schedule, 2n * hourNs - 1n, full)).toBe(false);
    expect(mayDeleteOrphans(schedule, 2n * hourNs, full)).toBe(true);
    expect(mayDeleteOrphans(schedule, hourNs, none)).toBe(true);
  });

  it("a pack is an orphan when nobody names it, it is old, and no session that may be alive wrote it", () => {
    const pack = (id: string, hoursAgo: number): BlobMetadata => ({
      id,
      length: 10,
      timestampNs: startNs - BigInt(hoursAgo) * hourNs,
    });
    const ids = (packs: readonly BlobMetadata[], sessions = new Map<string, bigint>()): string[] =>
      orphanPacks(packs, {
        referenced: new Set(["p1-s1"]),
        sessions,
        startedAtNs: startNs,
        safety: safetyParameters.full,
      }).map(({ id }) => id);
    const packs = [pack("p1-s1", 100), pack("p2-s1", 100), pack("p3-s1", 23), pack("p4-s1", -1)];
    expect(ids(packs)).toEqual(["p2-s1"]);
    const checkpoint = (hoursAgo: number) => new Map([["s1", startNs - BigInt(hoursAgo) * hourNs]]);
    expect(ids(packs, checkpoint(95))).toEqual([]);
    expect(ids(packs, checkpoint(96))).toEqual(["p2-s1"]);
  });

  it("short packs are rewritten together, never one alone, never fresh contents", () => {
    const content = (id: string, packBlobID: string, packedLength: number, timestamp = 50) =>
      entryOf({
        contentID: id.repeat(16),
        packBlobID,
        packedLength,
        timestamp,
        originalLength: 1,
        packOffset: 0,
        compression: 0,
        deleted: false,
        formatVersion: 3,
        encryptionKeyID: 0,
      });
    const options = { maxPackSizeBytes: 1000, prefixes: ["p", "q"], newestSeconds: 100 };
    const a = content("aa", "p1", 300);
    const b = content("bb", "p1", 299);
    const c = content("cc", "p2", 600);
    const d = content("dd", "p3", 10);
    const fresh = content("ee", "p3", 10, 101);
    const q = content("ff", "q1", 10);
    expect(contentsToRewrite(() => [a, b, c, q], options)).toEqual([]);
    expect(contentsToRewrite(() => [a, d, b, c, fresh, q], options)).toEqual([
      a.contentId,
      b.contentId,
      d.contentId,
    ]);
    expect(contentsToRewrite(() => [a, b, d], { ...options, prefixes: ["q"] })).toEqual([]);
  });

  it("quick maintenance deletes as thoroughly as the last rewrite was", () => {
    const full = run("full-rewrite-contents", 100n);
    const quick = run("quick-rewrite-contents", 101n);
    expect(wasLastRewriteFull(emptySchedule)).toBe(false);
    expect(wasLastRewriteFull(after(full))).toBe(true);
    expect(wasLastRewriteFull(after(full, quick))).toBe(false);
    expect(wasLastRewriteFull(after(quick, { ...full, endNs: 102n }))).toBe(true);
  });

  it("logs go by size, number and age, oldest first", () => {
    const logs = [3, 1, 2].map((hours) => ({
      id: `_log_${hours}`,
      length: 100,
      timestampNs: startNs - BigInt(hours) * hourNs,
    }));
    const ids = (limits: object): string[] =>
      logsToDelete(
        logs,
        { maxTotalSize: 1e9, maxCount: 100, maxAge: 1e18, ...limits },
        startNs,
      ).map(({ id }) => id);
    expect(ids({})).toEqual([]);
    expect(ids({ maxTotalSize: 200 })).toEqual(["_log_3"]);
    expect(ids({ maxTotalSize: 0, maxCount: 0, maxAge: 0 })).toEqual([]);
    expect(ids({ maxCount: 1 })).toEqual(["_log_2", "_log_3"]);
    expect(ids({ maxAge: Number(2n * hourNs) - 1 })).toEqual(["_log_2", "_log_3"]);
  });
});

describe("the schedule", () => {
  it("round-trips, keeps the newest 50 runs, and what other programs add to a run", () => {
    let schedule = emptySchedule;
    for (let i = 1; i <= 60; i += 1)
      schedule = recordRun(schedule, "advance-epoch", {
        startNs: BigInt(i),
        endNs: BigInt(i) + hourNs,
        success: i % 2 === 0,
        error: i % 2 === 0 ? undefined : "why",
        extra: [{ kind: "k", data: { n: i } }],
      });
    const runs = decodeSchedule(encodeSchedule(schedule)).runs.get("advance-epoch")!;
    expect(runs.length).toBe(50);
    expect(runs[0]).toEqual(schedule.runs.get("advance-epoch")![0]);
    expect(runs.at(-1)?.startNs).toBe(11n);
  });

  it("is sealed: an altered blob is refused by name", async () => {
    const { repository, store } = await newRepository();
    await pauseMaintenance(store, repository.openedFormat, {
      nowNs: startNs,
      quickMs: hourMs,
      fullMs: 2 * hourMs,
      randomBytes: repository.randomBytes,
    });
    expect(await readSchedule(store, repository.openedFormat)).toMatchObject({
      nextQuickNs: startNs + hourNs,
      nextFullNs: startNs + 2n * hourNs,
    });
    store.blobs.get("kopia.maintenance")![20]! ^= 1;
    await expect(readSchedule(store, repository.openedFormat)).rejects.toMatchObject({
      code: "DM_MAINTENANCE_SCHEDULE_ALTERED",
      details: { blobId: "kopia.maintenance" },
    });
  });
});

describe("who and when", () => {
  it("only the owner, unless forced", async () => {
    const { open } = await newRepository();
    const other = await open({ username: "other" });
    await expect(runMaintenance(other)).rejects.toMatchObject({ code: "DM_MAINTENANCE_NOT_OWNER" });
    expect((await runMaintenance(other, { force: true, mode: "quick" })).mode).toBe("quick");
  });

  it("full when due, else quick, else nothing; and off when switched off", async () => {
    const { clock, repository } = await newRepository();
    expect((await runMaintenance(repository)).mode).toBe("full");
    expect((await runMaintenance(repository)).mode).toBe("none");
    clock.advance(hourMs);
    expect((await runMaintenance(repository)).mode).toBe("quick");
    clock.advance(23 * hourMs);
    expect((await runMaintenance(repository)).mode).toBe("full");
    const parameters = await readMaintenanceParameters(repository);
    await using session = await repository.openWriteSession();
    await writeMaintenanceParameters(session, {
      ...parameters,
      full: { ...parameters.full, enabled: false },
    });
    await session.commit();
    clock.advance(48 * hourMs);
    expect((await runMaintenance(repository)).mode).toBe("quick");
  });

  it("with parameters of a client too old to know about logs", async () => {
    const { repository } = await newRepository();
    const { logRetention, ...old } = await readMaintenanceParameters(repository);
    await using session = await repository.openWriteSession();
    await session.replaceManifests({ type: "maintenance" }, old);
    await session.commit();
    expect((await readMaintenanceParameters(repository)).logRetention).toEqual(logRetention);
    expect((await runMaintenance(repository)).mode).toBe("full");
  });

  it("not when the clocks differ by more than five minutes", async () => {
    const { clock, open } = await newRepository();
    const ahead = manualClock(clock.nowNs() + hourNs);
    const client = await open({ clock: ahead });
    await expect(runMaintenance(client, { mode: "full" })).rejects.toMatchObject({
      code: "DM_CLOCK_SKEW",
    });
  });

  it("records each task with its time, and a failure with its text", async () => {
    const { repository, store } = await newRepository();
    await runMaintenance(repository, { mode: "full" });
    const { runs } = await readSchedule(store, repository.openedFormat);
    expect([...runs.keys()].sort()).toEqual([
      "advance-epoch",
      "cleanup-epoch-markers",
      "cleanup-logs",
      "compact-single-epoch",
      "delete-superseded-epoch-indexes",
      "full-rewrite-contents",
      "generate-epoch-range-index",
    ]);
    const { delete: remove } = store;
    store.blobs.set("_log_1", bytesOf(10));
    store.setTimestamp("_log_1", 1n);
    store.delete = async () => {
      throw new Error("the store is gone");
    };
    await expect(runMaintenance(repository, { mode: "full" })).rejects.toThrow("the store is gone");
    store.delete = remove;
    const [newest] = (await readSchedule(store, repository.openedFormat)).runs.get("cleanup-logs")!;
    expect(newest).toMatchObject({ success: false, error: "the store is gone" });
  });

  it("records nothing of a task in whose middle it is cut off", async () => {
    const { repository, store } = await newRepository();
    store.blobs.set("_log_1", bytesOf(10));
    store.setTimestamp("_log_1", 1n);
    const controller = new AbortController();
    store.delete = async () => {
      controller.abort(new Error("enough"));
      throw controller.signal.reason;
    };
    const { signal } = controller;
    await expect(runMaintenance(repository, { mode: "full", signal })).rejects.toThrow("enough");
    const { runs } = await readSchedule(store, repository.openedFormat);
    expect(runs.has("full-rewrite-contents")).toBe(true);
    expect(runs.has("cleanup-logs")).toBe(false);
  });
});

async function write(test: TestRepository, seeds: readonly number[]): Promise<string[]> {
  const ids: string[] = [];
  for (const seed of seeds) {
    await using session = await test.repository.openWriteSession();
    ids.push(await session.writeContent(bytesOf(1000, seed)));
    await session.commit();
    test.clock.advance(1000);
  }
  return ids;
}

async function expectSound(test: TestRepository, ids: readonly string[]): Promise<void> {
  const reader = await test.open();
  const seen = [];
  for await (const { contentId } of reader.listContents({ prefix: "" })) seen.push(contentId);
  expect(seen).toEqual([...ids].sort());
  const report = await verifyRepository(reader);
  expect(report.findings).toEqual([]);
}

describe.each([1, 2, 3] as const)("full maintenance of format %i", (version) => {
  it("merges short packs, and a day later removes the old ones; everything stays readable", async () => {
    const test = await newRepository({ version });
    const ids = await write(test, [1, 2, 3, 4, 5]);
    expect(kinds(test.store)["p"]).toBe(5);
    test.clock.advance(3 * hourMs);
    const first = await runMaintenance(test.repository, { mode: "full" });
    expect(first.tasks.find(({ task }) => task === "full-rewrite-contents")?.figures).toMatchObject(
      {
        contentsRewritten: expect.any(Number),
      },
    );
    expect(kinds(test.store)["p"]).toBe(6);
    await expectSound(test, ids);
    test.clock.advance(12 * hourMs);
    await runMaintenance(test.repository, { mode: "full" });
    expect(kinds(test.store)["p"]).toBe(6);
    // A run that may rewrite again does not delete; the one after it does.
    for (const run of ["full-rewrite-contents", "full-delete-blobs"]) {
      test.clock.advance(24 * hourMs);
      const { tasks } = await runMaintenance(test.repository, { mode: "full" });
      expect(tasks.find(({ task }) => task === run)?.skipped).toBeUndefined();
    }
    expect(kinds(test.store)["p"]).toBe(1);
    await expectSound(test, ids);
  });

  it("removes packs of a crashed session after a day, not those of a session that may be alive", async () => {
    const test = await newRepository({ version });
    const ids = await write(test, [1]);
    const { store, repository, clock } = test;
    const orphan = `p${"0".repeat(32)}-s${"1".repeat(16)}123`;
    store.blobs.set(orphan, bytesOf(100));
    store.setTimestamp(orphan, clock.nowNs());
    clock.advance(23 * hourMs);
    await runMaintenance(repository, { mode: "full" });
    expect(store.blobs.has(orphan)).toBe(true);
    clock.advance(2 * hourMs);
    await runMaintenance(repository, { mode: "full" });
    expect(store.blobs.has(orphan)).toBe(false);
    await expectSound(test, ids);
  });

  it("leaves blobs of other programs alone, however old, and removes markers of dead sessions", async () => {
    const test = await newRepository({ version });
    const { clock, repository, store } = test;
    const marker = `s${"0".repeat(32)}-s${"1".repeat(16)}123`;
    const foreign = ["policy.json", "p-notes", "q1", "snapshots", "s-1"];
    for (const id of [marker, ...foreign]) {
      store.blobs.set(id, bytesOf(100));
      store.setTimestamp(id, clock.nowNs());
    }
    clock.advance(95 * hourMs);
    await runMaintenance(repository, { mode: "full" });
    expect(store.blobs.has(marker)).toBe(true);
    clock.advance(2 * hourMs);
    for (let i = 0; i < 2; i += 1) {
      await runMaintenance(repository, { mode: "full" });
      clock.advance(2 * hourMs);
    }
    expect(store.blobs.has(marker)).toBe(false);
    for (const id of foreign) expect(store.blobs.has(id)).toBe(true);
  });

  it("keeps the pack of a client that stores its index while orphans are looked for", async () => {
    const test = await newRepository({ version });
    const { clock, open, store } = test;
    // Stored a pack, then slept for 30 hours.
    const gate = Promise.withResolvers<void>();
    const isIndex = /^(xn|n)/;
    const sleeper = await open({
      store: {
        ...forward(store),
        async put(id, data, options) {
          if (isIndex.test(id)) await gate.promise;
          return store.put(id, data, options);
        },
      },
    });
    await using session = await sleeper.openWriteSession();
    const id = await session.writeContent(bytesOf(1000));
    const flushed = session.flush();
    await expect.poll(() => kinds(store)["p"]).toBe(1);
    clock.advance(30 * hourMs);
    // Wakes up after the first listing of the deletion, whatever that lists.
    const { list } = store;
    let isDeleting = false;
    const cleaner = await open({
      store: {
        ...forward(store),
        async *list(prefix, options) {
          const blobs = [];
          for await (const blob of list.call(store, prefix, options)) blobs.push(blob);
          if (isDeleting && /^(xn|n|s$)/.test(prefix)) {
            isDeleting = false;
            gate.resolve();
            await flushed;
          }
          yield* blobs;
        },
      },
    });
    await runMaintenance(cleaner, {
      mode: "full",
      onTask: (task) => {
        isDeleting = task === "full-delete-blobs";
      },
    });
    clock.advance(2 * hourMs);
    await runMaintenance(cleaner, {
      mode: "full",
      onTask: (task) => {
        isDeleting = task === "full-delete-blobs";
      },
    });
    await flushed;
    await expectSound(test, [id]);
  });

  it("a deleted content whose pack is gone does not stop the rewriting of others", async () => {
    const test = await newRepository({ version });
    const { clock, repository, store } = test;
    const ids = await write(test, [1, 2, 3]);
    await using session = await repository.openWriteSession();
    await session.deleteContent(parseContentId(ids[0]!));
    await session.commit();
    const lost = (await repository.contentInfo(parseContentId(ids[0]!)))!.packBlobId;
    await store.delete(lost);
    clock.advance(3 * hourMs);
    await runMaintenance(repository, { mode: "full" });
    for (const id of ids.slice(1))
      expect(await (await test.open()).readContent(parseContentId(id))).toHaveLength(1000);
  });

  it("with safety off does all of it at once", async () => {
    const test = await newRepository({ version });
    const ids = await write(test, [1, 2, 3]);
    await runMaintenance(test.repository, { mode: "full", safety: "none" });
    expect(kinds(test.store)["p"]).toBe(1);
    await expectSound(test, ids);
  });

  it("keeps index blobs few over months of daily sessions", async () => {
    const test = await newRepository({ version });
    const ids: string[] = [];
    for (let day = 1; day <= 60; day += 1) {
      ids.push(...(await write(test, [day, day + 1000])));
      test.clock.advance(24 * hourMs);
      await runMaintenance(test.repository);
    }
    const { n = 0, xn = 0, xr = 0, xs = 0, xe = 0, m = 0, l = 0 } = kinds(test.store);
    expect(n + xn + xr + xs + xe + m + l).toBeLessThan(60);
    await expectSound(test, ids);
    if (version > 1) {
      const { writeEpoch } = await (test.repository.indexManager as EpochManager).state();
      expect(writeEpoch).toBeGreaterThan(2);
    }
  });
});
