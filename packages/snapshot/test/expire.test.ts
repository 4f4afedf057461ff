// Retention applied: what the policy of a source does not keep is deleted, pins and other sources are left alone, and
// snapshots that the session has just put count.
import { expect, it } from "vitest";
import {
  emptyPolicy,
  expiredSnapshots,
  expireSnapshots,
  listSnapshots,
  retentionOf,
  type SnapshotSource,
  setPolicy,
} from "../src/index.ts";
import { newRepository, snapshotIn } from "./new-repository.ts";

const source: SnapshotSource = { host: "h", userName: "u", path: "/p" };
const other = { ...source, path: "/other" };
const hour = 3_600_000_000_000n;

it("deletes what the effective policy does not keep", async () => {
  const { repository } = await newRepository();
  const session = await repository.openWriteSession();
  const start = 1_700_000_000_000_000_000n;
  for (const [index, pins] of [[], ["legal"], [], [], []].entries())
    await snapshotIn(session, undefined, {
      source,
      startedAtNs: start + BigInt(index) * hour,
      pins,
    });
  await snapshotIn(session, undefined, { source: other, startedAtNs: start });
  await setPolicy(session, source, {
    ...emptyPolicy,
    retention: { keepLatest: 2 },
    noParent: true,
  });
  await session.flush();

  const all = await listSnapshots(repository);
  const [first, pinned, third, fourth, fifth] = all.filter(({ source: { path } }) => path === "/p");
  const reasons = await retentionOf(repository, all);
  expect(reasons.get(first!.id)).toEqual([]);
  expect(reasons.get(fifth!.id)).toEqual(["latest-1"]);
  const elsewhere = all.find(({ source: { path } }) => path === "/other")!;
  expect(reasons.get(elsewhere.id)).toContain("annual-1");
  const ids = (snapshots: readonly { readonly id: string }[]) => snapshots.map(({ id }) => id);
  expect(ids(await expiredSnapshots(repository, source))).toEqual([first!.id, third!.id]);
  expect(await expiredSnapshots(repository, other)).toEqual([]);

  const sixth = await snapshotIn(session, undefined, { source, startedAtNs: start + 9n * hour });
  const expired = await expireSnapshots(session, source);
  expect(ids(expired)).toEqual([first!.id, third!.id, fourth!.id]);
  await session.commit();
  expect(ids(await listSnapshots(repository, { source }))).toEqual([
    pinned!.id,
    fifth!.id,
    sixth.id,
  ]);
});
