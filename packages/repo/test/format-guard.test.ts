// An open repository notices within 15 minutes that another client changed the format, and stops when it must.
import { describe, expect, it } from "vitest";
import {
  beginUpgradeLock,
  changePassword,
  finishRepositoryUpgrade,
  setParameters,
} from "../src/index.ts";
import { quickKey } from "./format-helpers.ts";
import { bytesOf, newRepository } from "./new-repository.ts";

const minuteMs = 60_000;

describe("an upgrade by another client", () => {
  it("stops a session that goes on; nothing of it is acknowledged or stored", async () => {
    const { clock, open, repository, store } = await newRepository({ version: 1 });
    const admin = await open();
    await using session = await repository.openWriteSession();
    await session.writeContent(bytesOf(100));
    await beginUpgradeLock(store, admin.openedFormat, { ownerId: "admin", clock });
    clock.advance(15 * minuteMs);
    const before = [...store.blobs.keys()];
    await expect(session.flush()).rejects.toMatchObject({ code: "DM_UPGRADE_IN_PROGRESS" });
    await expect(repository.openWriteSession()).rejects.toMatchObject({
      code: "DM_UPGRADE_IN_PROGRESS",
    });
    await expect(repository.refresh()).rejects.toMatchObject({ code: "DM_UPGRADE_IN_PROGRESS" });
    expect([...store.blobs.keys()]).toEqual(before);
    clock.advance(30 * minuteMs);
    const owner = await open({ upgradeOwnerId: "admin" });
    await finishRepositoryUpgrade(owner, { ownerId: "admin" });
    await expect(session.flush()).rejects.toMatchObject({ code: "DM_FORMAT_CHANGED" });
    expect([...store.blobs.keys()].filter((id) => id.startsWith("p"))).toEqual([]);
    const reader = await open();
    expect((await reader.findManifests({ type: "maintenance" })).length).toBe(1);
  });

  it("lets sessions go on until its notice is over", async () => {
    const { clock, open, repository, store } = await newRepository({ version: 1 });
    const admin = await open();
    await beginUpgradeLock(store, admin.openedFormat, {
      ownerId: "admin",
      clock,
      advanceNoticeDurationMs: 120 * minuteMs,
    });
    clock.advance(80 * minuteMs);
    await using session = await repository.openWriteSession();
    const id = await session.writeContent(bytesOf(100));
    await session.flush();
    await session.writeContent(bytesOf(200));
    // Notice minus drain: locked from here on, also by what was read before.
    clock.advance(5 * minuteMs);
    await expect(session.flush()).rejects.toMatchObject({ code: "DM_UPGRADE_IN_PROGRESS" });
    const owner = await open({ upgradeOwnerId: "admin" });
    expect(await owner.readContent(id)).toEqual(bytesOf(100));
  });
});

describe("a change of parameters by another client", () => {
  it("holds for sessions begun 15 minutes later", async () => {
    const { clock, open, repository, store } = await newRepository();
    const admin = await open();
    await setParameters(store, admin.openedFormat, { maxPackSizeBytes: 40 << 20 }, { clock });
    expect(repository.format.maxPackSizeBytes).toBe(20 << 20);
    clock.advance(15 * minuteMs);
    await repository.refresh();
    expect(repository.format.maxPackSizeBytes).toBe(40 << 20);
  });

  it("stops clients that do not know a feature which is required now", async () => {
    const { clock, open, repository, store } = await newRepository();
    const admin = await open();
    const hints = { warn: false, message: "", url: "", upgradeToVersion: "" };
    const requiredFeatures = [{ feature: "of-tomorrow", ifNotUnderstood: hints }];
    await setParameters(store, admin.openedFormat, { requiredFeatures }, { clock });
    clock.advance(15 * minuteMs);
    await expect(repository.refresh()).rejects.toMatchObject({ code: "DM_FEATURE_UNSUPPORTED" });
  });

  it("is seen sooner where the cache duration is shorter, and at once by the one who made it", async () => {
    const { clock, open, store } = await newRepository();
    const admin = await open();
    const other = await open({ formatBlobCacheDurationMs: 1000 });
    const changed = await changePassword(store, admin.openedFormat, {
      newPassword: "new",
      clock,
      deriveKey: quickKey,
    });
    admin.replaceFormat(changed);
    clock.advance(1000);
    await expect(other.refresh()).rejects.toMatchObject({ code: "DM_PASSWORD_INVALID" });
    clock.advance(15 * minuteMs);
    await admin.refresh();
  });
});
