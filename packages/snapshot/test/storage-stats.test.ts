// What is new in each snapshot: objects and contents that an earlier one has do not count, wherever they lie.
import { splitmix64 } from "@dm/fixtures";
import { expect, it } from "vitest";
import { storageStats } from "../src/index.ts";
import { entryOf } from "./made-up.ts";
import { directoryIn, fileIn, newRepository, snapshotIn } from "./new-repository.ts";

it("counts what no snapshot before has", async () => {
  const { repository } = await newRepository();
  await using session = await repository.openWriteSession();
  const one = await fileIn(session, "one", splitmix64(1, 100));
  const two = await fileIn(session, "two", splitmix64(2, 200));
  const inner = await directoryIn(session, "inner", [one, { ...one, name: "again" }]);
  const first = await directoryIn(session, "r", [inner]);
  const second = await directoryIn(session, "r", [inner, two]);
  const snapshots = [
    await snapshotIn(session, first),
    await snapshotIn(session, second),
    await snapshotIn(session, second),
    await snapshotIn(session, undefined),
  ];
  await session.commit();
  const found = [];
  for await (const stats of storageStats(repository, snapshots)) found.push(stats);
  expect(found.map(({ snapshot }) => snapshot)).toEqual(snapshots);
  const news = found.map(({ newData }) => newData);
  expect(news[0]).toMatchObject({ objectBytes: 100, fileObjects: 1, dirObjects: 2, contents: 3 });
  expect(news[1]).toMatchObject({ objectBytes: 200, fileObjects: 1, dirObjects: 1, contents: 2 });
  for (const none of news.slice(2)) expect(new Set(Object.values(none!))).toEqual(new Set([0]));
  expect(news[0]!.originalContentBytes).toBe(100);
  // What encryption adds.
  expect(news[0]!.packedContentBytes).toBeGreaterThan(100);
  expect(found.at(-1)!.runningTotal).toMatchObject({
    objectBytes: 300,
    fileObjects: 2,
    contents: 5,
  });
});

it("a content that is missing is an error", async () => {
  const { repository } = await newRepository();
  await using session = await repository.openWriteSession();
  const missing = entryOf({ objectId: "00".repeat(16) });
  const snapshot = await snapshotIn(session, await directoryIn(session, "r", [missing]));
  await session.commit();
  const stats = storageStats(repository, [snapshot]);
  await expect(stats.next()).rejects.toMatchObject({ code: "DM_CONTENT_NOT_FOUND" });
});
