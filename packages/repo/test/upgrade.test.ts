// A repository of version 1 becomes one with epochs: nothing is lost, old clients notice, and it can be done twice.
import { describe, expect, it } from "vitest";
import {
  beginUpgradeLock,
  finishRepositoryUpgrade,
  upgradeRepository,
  verifyRepository,
} from "../src/index.ts";
import { bytesOf, newRepository, type TestRepository } from "./new-repository.ts";

async function oldRepository(): Promise<TestRepository & { ids: string[] }> {
  const test = await newRepository({ version: 1 });
  const ids: string[] = [];
  for (let seed = 1; seed <= 4; seed += 1) {
    await using session = await test.repository.openWriteSession();
    ids.push(await session.writeContent(bytesOf(100, seed)));
    await session.commit();
  }
  return { ...test, ids };
}

async function expectUpgraded(
  { ids, open }: TestRepository & { ids: string[] },
  version: number,
): Promise<void> {
  const repository = await open();
  expect(repository.format.version).toBe(version);
  expect(repository.format.epochParameters.enabled).toBe(true);
  for (const [i, id] of ids.entries())
    expect(await repository.readContent(id as never)).toEqual(bytesOf(100, i + 1));
  await using session = await repository.openWriteSession();
  await session.writeContent(bytesOf(100, 99));
  await session.commit();
  expect((await verifyRepository(repository)).findings).toEqual([]);
}

describe("upgrade", () => {
  it("at once, while nobody else uses the repository", async () => {
    const test = await oldRepository();
    await upgradeRepository(test.repository);
    await expectUpgraded(test, 2);
  });

  it("with a lock that other clients see and that drains", async () => {
    const test = await oldRepository();
    const { clock, open, repository, store } = test;
    const ownerId = "me";
    await beginUpgradeLock(store, repository.openedFormat, {
      ownerId,
      clock,
      randomBytes: repository.randomBytes,
    });
    await expect(open()).rejects.toMatchObject({ code: expect.stringContaining("UPGRADE") });
    const owner = await open({ upgradeOwnerId: ownerId });
    await expect(finishRepositoryUpgrade(owner, { ownerId })).rejects.toMatchObject({
      code: "DM_UPGRADE_NOT_DRAINED",
    });
    clock.advance(24 * 3_600_000);
    await expect(finishRepositoryUpgrade(owner, { ownerId: "you" })).rejects.toThrow();
    await finishRepositoryUpgrade(owner, { ownerId });
    await expectUpgraded(test, 3);
  });

  it("interrupted at any write, it is either not done yet, or done; repeating it completes it", async () => {
    for (let point = 0; ; point += 1) {
      const test = await oldRepository();
      const { open, store } = test;
      const died = new Error("died");
      const { put } = store;
      let puts = 0;
      const dying = {
        ...store,
        put: async (...call: Parameters<typeof put>): Promise<void> => {
          if (puts === point) throw died;
          puts += 1;
          await put(...call);
        },
      };
      const repository = await open({ store: dying });
      const failed = await upgradeRepository(repository).then(
        () => false,
        () => true,
      );
      const again = await open();
      if (again.format.version === 1) await upgradeRepository(again);
      await expectUpgraded(test, 2);
      if (!failed) {
        expect(point).toBeGreaterThan(2);
        return;
      }
    }
  });
});
