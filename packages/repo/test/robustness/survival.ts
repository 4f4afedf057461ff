/** What must hold after a crash, whatever the moment. */
import { manualClock } from "@dm/core";
import type { BlobStore } from "@dm/storage";
import { expect } from "vitest";
import {
  createRepository,
  finishRepositoryUpgrade,
  openRepository,
  type Repository,
  runMaintenance,
  verifyRepository,
} from "../../src/index.ts";
import { bytesOf } from "../new-repository.ts";
import { withClock } from "./crash-states.ts";
import { common, type Model, ownerId, type UncutRun } from "./scenarios.ts";

const hourMs = 3_600_000;

/**
 * The proof after a crash: the repository opens with exactly one password, every promise holds, verification finds
 * nothing, writing works. With `maintains`, maintenance that removes all it may also removes nothing that is needed.
 */
export async function expectSurvived(
  run: UncutRun,
  left: BlobStore,
  acknowledged: number,
  options: { readonly maintains: boolean },
): Promise<void> {
  const promised = run.models[acknowledged]!;
  // What was under way may or may not have happened.
  const next = run.models[acknowledged + 1] ?? promised;
  const clock = manualClock(run.endNs + 60_000_000_000n);
  const store = withClock(left, clock);
  const attempt = (password: string): Promise<Repository> =>
    openRepository(store, { ...common, password, clock, upgradeOwnerId: ownerId });

  let password = promised.password;
  if (!promised.exists) {
    const holdsRepository = await attempt(next.password).then(
      () => true,
      (error: unknown) => {
        expect(error).toMatchObject({ code: "DM_REPOSITORY_NOT_FOUND" });
        return false;
      },
    );
    if (!holdsRepository) {
      // What the error of a second attempt says to do.
      await store.delete("kopia.blobcfg");
      await createRepository(store, { ...common, password, clock });
    }
  } else if (next.password !== promised.password) {
    const outcomes = await Promise.allSettled([promised.password, next.password].map(attempt));
    expect(outcomes.filter(({ status }) => status === "fulfilled").length).toBe(1);
    if (outcomes[0]!.status === "rejected") password = next.password;
  } else if (acknowledged > 0 && run.models[acknowledged - 1]!.password !== password) {
    await expect(attempt(run.models[acknowledged - 1]!.password)).rejects.toMatchObject({
      code: "DM_PASSWORD_INVALID",
    });
  }

  const reader = await attempt(password);
  await expectPromises(reader, promised, next);

  // Nobody writes during an upgrade, its owner included: it has to be ended first.
  if (reader.format.upgradeLock) await finishRepositoryUpgrade(reader, { ownerId });
  const writer = await attempt(password);
  await using session = await writer.openWriteSession();
  const bytes = bytesOf(500, 999);
  const id = await session.writeContent(bytes);
  session.putManifest({ type: "after" }, 1);
  await session.commit();
  promised.contents.forEach((_, known) => {
    expect(known).not.toBe(id);
  });
  const after = await attempt(password);
  expect(await after.readContent(id)).toEqual(bytes);
  await expectPromises(after, promised, next);

  if (!options.maintains) return;
  for (const _ of [1, 2]) {
    clock.advance(25 * hourMs);
    await runMaintenance(await attempt(password), { mode: "full", safety: "none", force: true });
  }
  const last = await attempt(password);
  expect(await last.readContent(id)).toEqual(bytes);
  await expectPromises(last, promised, next);
}

async function expectPromises(repository: Repository, promised: Model, next: Model): Promise<void> {
  const report = await verifyRepository(repository);
  expect(report.findings).toEqual([]);
  for (const [id, { bytes, deleted }] of promised.contents) {
    expect(Buffer.compare(await repository.readContent(id), bytes)).toBe(0);
    const info = await repository.contentInfo(id);
    if (next.contents.get(id)?.deleted === deleted) expect(info?.deleted).toBe(deleted);
  }
  for (const [id, bytes] of promised.objects) {
    const object = await repository.openObject(id);
    expect(Buffer.compare(await object.read(), bytes)).toBe(0);
  }
  for (const name of new Set([...promised.manifests.keys(), ...next.manifests.keys()])) {
    const found = await repository.findManifests({ type: "test", name });
    const values = found.map(({ data }) => (JSON.parse(data) as { value: number }).value);
    const possible = [promised, next].map(({ manifests }) =>
      manifests.has(name) ? [manifests.get(name)] : [],
    );
    expect(possible).toContainEqual(values);
  }
}
