// Listing and opening of snapshots: order, choice by source and tags, damaged and foreign manifests.

import type { Repository } from "@dm/repo";
import { beforeAll, describe, expect, it } from "vitest";
import { listSnapshots, openSnapshot, type Snapshot, snapshotLabels } from "../src/index.ts";
import { directoryIn, newRepository, snapshotIn } from "./new-repository.ts";

describe("snapshots of several sources", () => {
  let repository: Repository;
  const made: Snapshot[] = [];
  let damagedId = "";
  let noteId = "";

  beforeAll(async () => {
    ({ repository } = await newRepository());
    await using session = await repository.openWriteSession();
    const root = await directoryIn(session, "p", []);
    const sources = [
      ["h", "/p", 30n],
      ["h", "/q", 20n],
      ["i", "/p", 10n],
    ] as const;
    for (const [host, path, startedAtNs] of sources) {
      const tags = path === "/q" ? { "tag:env": "prod" } : {};
      const source = { host, userName: "u", path };
      made.push(await snapshotIn(session, root, { source, startedAtNs, tags }));
    }
    const labels = snapshotLabels({ host: "damaged", userName: "u", path: "/p" });
    damagedId = await session.putManifest(labels, { pins: 1 });
    noteId = await session.putManifest({ type: "note" }, {});
    await session.commit();
  });

  const pathsOf = async (options: Parameters<typeof listSnapshots>[1]) =>
    (await listSnapshots(repository, { onInvalid: () => {}, ...options })).map(
      ({ source }) => `${source.host}:${source.path}`,
    );

  it("come in the order of their start", async () => {
    expect(await pathsOf({})).toEqual(["i:/p", "h:/q", "h:/p"]);
  });

  it("are chosen by source and tags", async () => {
    expect(await pathsOf({ source: { host: "h" } })).toEqual(["h:/q", "h:/p"]);
    expect(await pathsOf({ source: { host: "h", path: "/p", userName: "u" } })).toEqual(["h:/p"]);
    expect(await pathsOf({ tags: { "tag:env": "prod" } })).toEqual(["h:/q"]);
    expect(await pathsOf({ tags: { "tag:env": "test" } })).toEqual([]);
  });

  it("a damaged manifest is thrown, or told and left out", async () => {
    await expect(listSnapshots(repository)).rejects.toMatchObject({
      code: "DM_SNAPSHOT_INVALID",
      details: { manifestId: damagedId },
    });
    const told: string[] = [];
    await listSnapshots(repository, { onInvalid: (id, { code }) => told.push(`${id} ${code}`) });
    expect(told).toEqual([`${damagedId} DM_SNAPSHOT_INVALID`]);
  });

  it("are opened by id", async () => {
    for (const snapshot of made)
      expect(await openSnapshot(repository, snapshot.id)).toEqual(snapshot);
    for (const id of ["0".repeat(32), noteId]) {
      await expect(openSnapshot(repository, id)).rejects.toMatchObject({
        name: "NotFoundError",
        code: "DM_SNAPSHOT_NOT_FOUND",
      });
    }
  });
});
