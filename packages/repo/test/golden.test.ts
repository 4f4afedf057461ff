// Every golden repository of the real kopia: same index blobs, contents, manifests and objects, and full verification.
import { goldenRepositories, sha256Hex } from "@dm/fixtures";
import { beforeAll, describe, expect, it } from "vitest";
import { type EpochManager, type IndexEntry, verifyRepository } from "../src/index.ts";
import { type OpenedGolden, openGolden } from "./open-golden.ts";

interface ExpectedContent {
  readonly id: string;
  readonly deleted?: boolean;
  readonly length?: number;
  readonly packedLength: number;
  readonly pack: string;
  readonly offset: number;
  readonly compression?: string | number;
  readonly time: number;
  readonly formatVersion: number;
}

interface ExpectedEntry {
  readonly path: string;
  readonly type: string;
  readonly objectID?: string;
  readonly size?: number;
  readonly sha256?: string;
  readonly target?: string;
}

describe.each(goldenRepositories())("%s", (name) => {
  let opened: OpenedGolden;

  beforeAll(async () => {
    opened = await openGolden(name, { readOnly: true });
  });

  it("uses the same index blobs", async () => {
    const { golden, repository } = opened;
    const { blobIds } = await repository.indexManager.active();
    const listed = golden.expected.activeIndexBlobs.map((blob: string | { id: string }) =>
      typeof blob === "string" ? blob : blob.id,
    );
    expect([...blobIds].sort()).toEqual(listed.sort());
  });

  it("sees the same epoch", async () => {
    const { golden, repository } = opened;
    const { epoch } = golden.expected;
    if (!epoch) {
      expect(repository.format.epochParameters.enabled).toBe(false);
      return;
    }
    const state = await (repository.indexManager as EpochManager).state();
    expect(state.writeEpoch).toBe(epoch.writeEpoch ?? epoch.WriteEpoch);
  });

  it("lists the same contents", async () => {
    const { golden, repository } = opened;
    const found = new Map<string, IndexEntry>();
    for await (const entry of repository.listContents({ includeDeleted: true }))
      found.set(entry.contentId, entry);
    const expected = golden.expected.contents as ExpectedContent[];
    expect([...found.keys()].sort()).toEqual(expected.map(({ id }) => id).sort());
    for (const content of expected) {
      const entry = found.get(content.id)!;
      expect(entry, content.id).toMatchObject({
        packBlobId: content.pack,
        packOffset: content.offset,
        packedLength: content.packedLength,
        originalLength: content.length ?? 0,
        timestampSeconds: content.time,
        formatVersion: content.formatVersion,
        deleted: content.deleted ?? false,
      });
    }
  });

  it("reads and re-hashes every content", async () => {
    const report = await verifyRepository(opened.repository);
    expect(report.findings.map((finding) => finding.error.message)).toEqual([]);
    expect(report.contentsDone).toBe(opened.golden.expected.contents.length);
  });

  it("finds the same manifests", async () => {
    const { golden, repository } = opened;
    const found = (await repository.findManifests()).map(({ data, id, labels }) => ({
      data: JSON.parse(data),
      id,
      labels,
    }));
    const expected = golden.expected.manifests.map(
      (manifest: { id: string; labels: object; data: unknown }) => ({
        data: manifest.data,
        id: manifest.id,
        labels: manifest.labels,
      }),
    );
    const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);
    expect(found.sort(byId)).toEqual(expected.sort(byId));
  });

  it("reads every object of every tree", async () => {
    const { golden, repository } = opened;
    const seen = new Set<string>();
    for (const tree of Object.values(golden.expected.trees as Record<string, ExpectedEntry[]>)) {
      for (const { objectID, path, sha256, size, target, type } of tree) {
        if (!objectID || seen.has(objectID)) continue;
        seen.add(objectID);
        const object = await repository.openObject(objectID);
        const bytes = await object.read();
        if (type === "f") {
          expect(object.length, path).toBe(size ?? 0);
          expect(sha256Hex(bytes), path).toBe(sha256);
        } else if (type === "s") expect(new TextDecoder().decode(bytes), path).toBe(target);
        else
          expect(JSON.parse(new TextDecoder().decode(bytes)).stream, path).toBe("kopia:directory");
      }
    }
  });
});
