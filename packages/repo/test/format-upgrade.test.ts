// The upgrade lock's times, and upgrades from version 1: with and without a lock, taken back, and repeated after a crash
// before any change of the store.
import { manualClock, toHex, utf8Decode, utf8Encode } from "@dm/core";
import { loadGolden } from "@dm/fixtures";
import type { BlobStore, MemoryStore } from "@dm/storage";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { setParameters } from "../src/format/change-format.ts";
import { createRepositoryFormat } from "../src/format/create-format.ts";
import { openFormat, parseFormatBlob } from "../src/format/format-blob.ts";
import { type OpenedFormat, openRepositoryFormat } from "../src/format/format-store.ts";
import {
  beginUpgradeLock,
  commitUpgrade,
  poisonBlobId,
  rollbackUpgrade,
  upgradeWithoutLock,
} from "../src/format/upgrade.ts";
import {
  isUpgradeDrained,
  isUpgradeLocked,
  type UpgradeLock,
  upgradeTimes,
} from "../src/format/upgrade-lock.ts";
import {
  Crash,
  copyOf,
  crashingStore,
  derivedOnce,
  quickKey,
  storeWith,
} from "./format-helpers.ts";

const password = "p";
const ownerId = "owner1";
const begunNs = 1_700_000_000_000_000_000n;
const drainMs = 35 * 60_000;
let clock = manualClock(begunNs);
beforeEach(() => {
  clock = manualClock(begunNs);
});

async function makeVersion1(): Promise<{ store: MemoryStore; opened: OpenedFormat }> {
  const store = storeWith();
  const opened = await createRepositoryFormat(store, {
    password,
    deriveKey: quickKey,
    format: { version: 1 },
  });
  await store.put("n0123", utf8Encode("an index"));
  return { store, opened };
}

const open = async (store: BlobStore, upgradeOwnerId?: string): Promise<OpenedFormat> =>
  openRepositoryFormat(store, { password, deriveKey: quickKey, clock, upgradeOwnerId });

/** Stands for the merge of all index blobs. */
const migrationInto = (store: BlobStore) => async (): Promise<void> => {
  const merged: string[] = [];
  for await (const { id } of store.list("n")) merged.push(id);
  await store.put("xn0_merged", utf8Encode(merged.join()));
};

describe("a lock", () => {
  const lock: UpgradeLock = {
    ownerId,
    creationTimeNs: begunNs,
    advanceNoticeDurationMs: 2 * 3_600_000,
    ioDrainTimeoutMs: 15 * 60_000,
    statusPollIntervalMs: 60_000,
    message: "",
    maxPermittedClockDriftMs: 5 * 60_000,
  };

  it("with notice locks early enough to drain before the notice ends", () => {
    const endsNs = begunNs + 7_200_000_000_000n;
    const lockedNs = endsNs - BigInt(drainMs) * 1_000_000n;
    expect(upgradeTimes(lock)).toEqual({ lockedAtNs: lockedNs, drainedAtNs: endsNs });
    expect([lockedNs - 1n, lockedNs].map((now) => isUpgradeLocked(lock, now))).toEqual([
      false,
      true,
    ]);
    expect([endsNs - 1n, endsNs].map((now) => isUpgradeDrained(lock, now))).toEqual([false, true]);
  });

  it("is never drained before every client had its time since it was locked", () => {
    const duration = fc.integer({ min: 0, max: 1e9 });
    fc.assert(
      fc.property(duration, duration, duration, (notice, drain, drift) => {
        const any = {
          ...lock,
          advanceNoticeDurationMs: notice,
          ioDrainTimeoutMs: drain,
          maxPermittedClockDriftMs: drift,
        };
        const { drainedAtNs, lockedAtNs } = upgradeTimes(any);
        const lockedNs = lockedAtNs > begunNs ? lockedAtNs : begunNs;
        expect(drainedAtNs - lockedNs >= BigInt(2 * drain + drift) * 1_000_000n).toBe(true);
        expect(drainedAtNs - begunNs >= BigInt(notice) * 1_000_000n).toBe(true);
      }),
    );
  });
});

it("an upgrade under lock keeps others out, waits, and ends at version 3", async () => {
  const { opened, store } = await makeVersion1();
  const before = toHex(opened.formatBlob);
  const locked = await beginUpgradeLock(store, opened, { ownerId, clock, message: "tonight" });
  expect(locked.format).toMatchObject({ version: 3, indexVersion: 1, upgradeLock: { ownerId } });
  expect(toHex(await store.get(`kopia.repository.backup.${ownerId}`))).toBe(before);

  await expect(open(store)).rejects.toMatchObject({
    code: "DM_UPGRADE_IN_PROGRESS",
    details: { ownerId, createdAtNs: begunNs, drainedAtNs: begunNs + BigInt(drainMs) * 1_000_000n },
  });
  await expect(open(store)).rejects.toThrow(
    /owner1 \(tonight\): begun 2023-11-14T22:13:20Z.*22:48:20Z/,
  );
  const mine = await open(store, ownerId);
  const commit = { ownerId, clock, migrateIndexes: migrationInto(store) };
  await expect(commitUpgrade(store, mine, commit)).rejects.toMatchObject({
    code: "DM_UPGRADE_NOT_DRAINED",
  });
  expect(store.blobs.has("xn0_merged")).toBe(false);

  clock.advance(drainMs);
  await commitUpgrade(store, mine, commit);
  const { format } = await open(store);
  expect(format).toMatchObject({ version: 3, indexVersion: 2, enablePasswordChange: false });
  expect(format.upgradeLock).toBeUndefined();
  expect(format.epochParameters).toMatchObject({ enabled: true, fullCheckpointFrequency: 7 });
  const blobs = store.blobs;
  expect(utf8Decode(blobs.get("xn0_merged")!)).toBe("n0123");
  expect(blobs.has(poisonBlobId)).toBe(true);
  expect(blobs.has("n0123")).toBe(true);
});

it("during the notice others go on", async () => {
  const { opened, store } = await makeVersion1();
  await beginUpgradeLock(store, opened, {
    ownerId,
    clock,
    advanceNoticeDurationMs: drainMs + 60_000,
  });
  expect((await open(store)).format.upgradeLock?.ownerId).toBe(ownerId);
  clock.advance(60_000);
  await expect(open(store)).rejects.toMatchObject({ code: "DM_UPGRADE_IN_PROGRESS" });
});

it("only the owner goes on with an upgrade", async () => {
  const { opened, store } = await makeVersion1();
  const locked = await beginUpgradeLock(store, opened, { ownerId, clock });
  expect(await beginUpgradeLock(store, locked, { ownerId, clock })).toBe(locked);
  const other = { ownerId: "owner2", clock, migrateIndexes: migrationInto(store) };
  const busy = { code: "DM_UPGRADE_IN_PROGRESS", details: { ownerId } };
  await expect(beginUpgradeLock(store, locked, other)).rejects.toMatchObject(busy);
  clock.advance(drainMs);
  await expect(commitUpgrade(store, locked, other)).rejects.toMatchObject(busy);
  await expect(upgradeWithoutLock(store, locked, other)).rejects.toMatchObject({
    code: "DM_UPGRADE_IN_PROGRESS",
  });
  await expect(commitUpgrade(store, opened, { ...other, ownerId })).rejects.toMatchObject({
    code: "DM_UPGRADE_NOT_IN_PROGRESS",
  });
});

it("what needs no upgrade is refused, as is an owner that is no blob id", async () => {
  const store = storeWith();
  const opened = await createRepositoryFormat(store, { password, deriveKey: quickKey });
  const refused = { code: "DM_UPGRADE_NOT_NEEDED" };
  await expect(beginUpgradeLock(store, opened, { ownerId })).rejects.toMatchObject(refused);
  const nothing = { migrateIndexes: migrationInto(store) };
  await expect(upgradeWithoutLock(store, opened, nothing)).rejects.toMatchObject(refused);
  await expect(beginUpgradeLock(store, opened, { ownerId: "Me@Host" })).rejects.toThrow(RangeError);
});

it("without a lock version 1 becomes version 2", async () => {
  const { opened, store } = await makeVersion1();
  await upgradeWithoutLock(store, opened, { migrateIndexes: migrationInto(store), clock });
  const { format } = await open(store);
  expect(format).toMatchObject({ version: 2, indexVersion: 2, enablePasswordChange: false });
  expect(format.epochParameters.enabled).toBe(true);
  const ids = [...store.blobs.keys()].sort();
  expect(ids).toEqual(
    ["kopia.blobcfg", "kopia.repository", poisonBlobId, "n0123", "xn0_merged"].sort(),
  );
});

it("version 2 becomes version 3 under lock, with neither migration nor warning blob", async () => {
  const store = storeWith();
  const opened = await createRepositoryFormat(store, {
    password,
    deriveKey: quickKey,
    format: { version: 2 },
  });
  const locked = await beginUpgradeLock(store, opened, { ownerId, clock });
  clock.advance(drainMs);
  await commitUpgrade(store, locked, {
    ownerId,
    clock,
    migrateIndexes: async () => expect.unreachable("there is nothing to migrate"),
  });
  expect((await open(store)).format.version).toBe(3);
  expect(store.blobs.has(poisonBlobId)).toBe(false);
});

it("an upgrade taken back leaves the repository as it was", async () => {
  const { opened, store } = await makeVersion1();
  const before = new Map(store.blobs);
  const locked = await beginUpgradeLock(store, opened, { ownerId, clock });
  const restored = await rollbackUpgrade(store, locked, { clock });
  expect(restored.format).toMatchObject({ version: 1, indexVersion: 1 });
  const after = store.blobs;
  expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
  expect(toHex(after.get("kopia.repository")!)).toBe(toHex(before.get("kopia.repository")!));
  await expect(rollbackUpgrade(store, restored, { clock })).rejects.toMatchObject({
    code: "DM_UPGRADE_NOT_IN_PROGRESS",
  });
  await expect(rollbackUpgrade(store, restored, { clock, force: true })).rejects.toMatchObject({
    code: "DM_UPGRADE_BACKUP_NOT_FOUND",
  });
});

it("a backup of another repository, or a damaged one, is not put back", async () => {
  const { opened, store } = await makeVersion1();
  const locked = await beginUpgradeLock(store, opened, { ownerId, clock });
  const other = await makeVersion1();
  await store.put(`kopia.repository.backup.${ownerId}`, other.opened.formatBlob);
  await expect(rollbackUpgrade(store, locked, { clock })).rejects.toMatchObject({
    code: "DM_REPOSITORY_REPLACED",
  });
  await store.put(`kopia.repository.backup.${ownerId}`, opened.formatBlob.subarray(9));
  await expect(rollbackUpgrade(store, locked, { clock })).rejects.toMatchObject({
    code: "DM_FORMAT_BLOB_INVALID",
    details: { blobId: `kopia.repository.backup.${ownerId}` },
  });
  expect((await open(store, ownerId)).format.upgradeLock?.ownerId).toBe(ownerId);
});

it("every step can be repeated after the process died before any change of the store", async () => {
  const { opened, store } = await makeVersion1();
  let points = 0;
  const begin = async (on: BlobStore, from: OpenedFormat): Promise<OpenedFormat> =>
    beginUpgradeLock(on, from, { ownerId, clock });
  const commit = async (on: BlobStore, from: OpenedFormat): Promise<OpenedFormat> =>
    commitUpgrade(on, from, { ownerId, clock, migrateIndexes: migrationInto(on) });

  let before = store;
  for (const step of [begin, commit]) {
    if (step === commit) clock.advance(drainMs);
    const start = step === begin ? opened : await open(before, ownerId);
    const done = copyOf(before);
    const whole = crashingStore(done, Number.POSITIVE_INFINITY);
    await step(whole.store, start);
    const expected = done.blobs;
    for (let point = 0; point < whole.calls.length; point++) {
      points += 1;
      const crashed = copyOf(before);
      await expect(step(crashingStore(crashed, point).store, start)).rejects.toThrow(Crash);
      const survivor = await open(crashed, ownerId);
      if (step === commit && !survivor.format.upgradeLock) continue;

      const retried = copyOf(crashed);
      const result = await step(retried, survivor);
      expect([...retried.blobs.keys()].sort()).toEqual([...expected.keys()].sort());
      expect(result.format.upgradeLock === undefined).toBe(step === commit);

      if (!survivor.format.upgradeLock) continue;
      const undone = await rollbackUpgrade(crashed, survivor, { clock });
      expect(toHex(undone.formatBlob)).toBe(toHex(opened.formatBlob));
      expect(crashed.blobs.has(poisonBlobId)).toBe(false);
    }
    before = done;
  }
  // Backup, configuration, format; merge, configuration, format, warning, configuration, format.
  expect(points).toBe(3 + 6);
});

it("blobs of an attempt that was taken back do not come to life in the next", async () => {
  const { opened, store } = await makeVersion1();
  await store.put("xn0_of-an-earlier-attempt", utf8Encode("n0, since deleted"));
  await store.put("xyz", utf8Encode("of another program"));
  await upgradeWithoutLock(store, opened, { migrateIndexes: migrationInto(store) });
  const ids = [...store.blobs.keys()].filter((id) => id.startsWith("x"));
  expect(ids.sort()).toEqual(["xn0_merged", "xyz"]);
});

it("Kopia's own upgrade looks the same", async () => {
  const { blobs, expected } = loadGolden("v1-upgraded-to-v3");
  const store = storeWith([...blobs].filter(([id]) => /^(kopia|n0000)/.test(id)));
  const opened = await openRepositoryFormat(store, {
    password: expected.password,
    deriveKey: derivedOnce,
  });
  expect(opened.format).toMatchObject({ version: 3, indexVersion: 2, enablePasswordChange: false });
  expect(blobs.has(poisonBlobId)).toBe(true);
  const backup = parseFormatBlob(blobs.get("kopia.repository.backup.fixture-owner")!);
  expect(openFormat(backup, opened.passwordKey)).toMatchObject({ version: 1, indexVersion: 1 });
  expect(opened.format.epochParameters).toMatchObject({
    enabled: true,
    epochAdvanceOnCountThreshold: 20,
  });
  await setParameters(store, opened, { maxPackSizeBytes: 30 << 20 });
  const options = { password: expected.password, deriveKey: derivedOnce };
  expect((await openRepositoryFormat(store, options)).format.maxPackSizeBytes).toBe(30 << 20);
});
