// An opened format is read again when it is 15 minutes old, not before and not later; what changed meanwhile is seen, a
// lock is honoured, and a changed password ends the use.
import { type ManualClock, manualClock } from "@dm/core";
import { type BlobStore, forward } from "@dm/storage";
import { beforeEach, describe, expect, it } from "vitest";
import { changePassword, setParameters } from "../src/format/change-format.ts";
import { createRepositoryFormat } from "../src/format/create-format.ts";
import { FormatMonitor, maxFormatCacheDurationMs } from "../src/format/format-monitor.ts";
import type { OpenedFormat } from "../src/format/format-store.ts";
import { beginUpgradeLock } from "../src/format/upgrade.ts";
import { quickKey, storeWith } from "./format-helpers.ts";

let clock: ManualClock;
let store: BlobStore;
let opened: OpenedFormat;
let reads: number;

beforeEach(async () => {
  clock = manualClock(10n ** 18n);
  reads = 0;
  const inner = storeWith();
  store = {
    ...forward(inner),
    get: (id, options) => {
      if (id === "kopia.repository") reads += 1;
      return inner.get(id, options);
    },
  };
  const format = { version: 2 as const };
  opened = await createRepositoryFormat(store, {
    password: "p",
    deriveKey: quickKey,
    clock,
    format,
  });
});

async function widenPacks(): Promise<OpenedFormat> {
  const changed = await setParameters(store, opened, { maxPackSizeBytes: 30 << 20 }, { clock });
  reads = 0;
  return changed;
}

describe.each([
  ["15 minutes by default", undefined, maxFormatCacheDurationMs],
  ["what is asked for", 60_000, 60_000],
  ["15 minutes at most", 3_600_000, maxFormatCacheDurationMs],
])("kept for %s", (_, formatBlobCacheDurationMs, keptMs) => {
  it("then read again", async () => {
    const monitor = new FormatMonitor(store, opened, { clock, formatBlobCacheDurationMs });
    await widenPacks();
    clock.advance(keptMs - 1);
    expect((await monitor.current()).format.maxPackSizeBytes).toBe(20 << 20);
    expect(reads).toBe(0);
    clock.advance(1);
    expect((await monitor.current()).format.maxPackSizeBytes).toBe(30 << 20);
    await monitor.current();
    expect(reads).toBe(1);
  });
});

it("read every time when the cache is off, and when the clock went back", async () => {
  const monitor = new FormatMonitor(store, opened, { clock, formatBlobCacheDurationMs: -1 });
  await monitor.current();
  await monitor.current();
  expect(reads).toBe(2);
  const kept = new FormatMonitor(store, opened, { clock });
  clock.set(1n);
  await kept.current();
  expect(reads).toBe(3);
});

it("many callers share one reading; an abort ends only its own waiting", async () => {
  const monitor = new FormatMonitor(store, opened, { clock });
  const changed = await widenPacks();
  clock.advance(maxFormatCacheDurationMs);
  const controller = new AbortController();
  const aborted = monitor.current({ signal: controller.signal });
  const others = [monitor.current(), monitor.current({ signal: new AbortController().signal })];
  controller.abort("enough");
  await expect(aborted).rejects.toBe("enough");
  for (const current of await Promise.all(others))
    expect(current.formatBlob).toEqual(changed.formatBlob);
  expect(reads).toBe(1);
  expect(monitor.latest.format.maxPackSizeBytes).toBe(30 << 20);
});

it("a lock that begins within the cached time is honoured without reading", async () => {
  const notice = { ownerId: "me", clock, advanceNoticeDurationMs: 36 * 60_000 };
  const locked = await beginUpgradeLock(store, opened, notice);
  const monitor = new FormatMonitor(store, locked, { clock });
  const owner = new FormatMonitor(store, locked, { clock, upgradeOwnerId: "me" });
  await monitor.current();
  clock.advance(60_000);
  reads = 0;
  await expect(monitor.current()).rejects.toMatchObject({ code: "DM_UPGRADE_IN_PROGRESS" });
  await owner.current();
  expect(reads).toBe(0);
});

it("after a change of the password the old key is refused, until it is replaced", async () => {
  const monitor = new FormatMonitor(store, opened, { clock });
  const changed = await changePassword(store, opened, {
    newPassword: "q",
    deriveKey: quickKey,
    clock,
  });
  await expect(monitor.refresh()).rejects.toMatchObject({ code: "DM_PASSWORD_INVALID" });
  monitor.replace(changed);
  await monitor.refresh();
  expect(monitor.latest.formatBlob).toEqual(changed.formatBlob);
});
