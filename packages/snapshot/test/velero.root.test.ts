// In Velero's place: the file system volumes of its golden repository are restored and backed up again over its own snapshots,
// with everything taken over and the same objects. As root, since owners count.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requirePeer } from "@dm/fixtures";
import { openRepository } from "@dm/repo";
import { memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import {
  findVeleroParent,
  listSnapshots,
  setVeleroPolicy,
  uploadSnapshot,
  veleroSnapshot,
  veleroTags,
} from "../src/index.ts";
import { openLocalSource, restoreTree } from "../src/node/index.ts";
import { memoisedDeriveKey, openGolden } from "./open-golden.ts";

const root = requirePeer("root");
const mover = "snapshot-data-upload-download";

describe.skipIf(!root.available)(root.title("the golden volumes of velero-fs"), () => {
  it("restored and backed up again: all cached, the same root", async () => {
    const { golden } = await openGolden("velero-fs");
    const repository = await openRepository(memoryStore({ blobs: golden.blobs }), {
      password: golden.expected.password,
      deriveKey: memoisedDeriveKey,
    });
    const folder = await mkdtemp(join(tmpdir(), "dm-velero-"));
    try {
      const sources = new Map(
        (await listSnapshots(repository)).map(({ source }) => [source.path, source]),
      );
      expect(sources.size).toBe(2);
      for (const source of sources.values()) {
        const parent = (await findVeleroParent(repository, source, mover))!;
        // The base name of what is backed up is the only trace of where it lay.
        const path = join(folder, source.path.replaceAll("/", "-"), parent.rootEntry!.name);
        expect(await restoreTree(repository, parent.rootEntry!, path)).toMatchObject({ ok: true });
        await using session = await repository.openWriteSession();
        await setVeleroPolicy(session, source, { parallelFileReads: 2 });
        await session.flush();
        const snapshot = await uploadSnapshot(session, await openLocalSource(path), {
          source,
          tags: veleroTags(mover),
          ...veleroSnapshot,
          previous: [parent],
        });
        await session.commit();
        const { fileCount, symlinkCount } = parent.rootEntry!.summary!;
        expect(snapshot.stats).toMatchObject({
          cachedFiles: fileCount + symlinkCount,
          nonCachedFiles: 0,
          errorCount: 0,
        });
        expect(snapshot.rootEntry).toEqual(parent.rootEntry);
        expect((await findVeleroParent(repository, source, mover))!.id).toBe(snapshot.id);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
