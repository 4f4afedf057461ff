// Repositories that Velero has written: each of their snapshots is restored, and the next backup of the same volume builds on it.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadGolden } from "@dm/fixtures";
import { memoryStore } from "@dm/storage";
import { describe, expect, it } from "vitest";
import { listSnapshots, verifySnapshots } from "../src/index.ts";
import {
  backupVeleroVolume,
  connectOrCreateVeleroRepository,
  restoreVeleroVolume,
  type VeleroVolumeMode,
} from "../src/velero/index.ts";
import { memoisedDeriveKey } from "./open-golden.ts";

const modes: [string, VeleroVolumeMode][] = [
  ["velero-fs", "Filesystem"],
  ["velero-block", "Block"],
];

describe.each(modes)("%s", (name, volumeMode) => {
  it.each([true, false])(
    "row 77: restore and incremental upload, mark present: %s",
    async (isMarked) => {
      const { blobs, expected } = loadGolden(name);
      const store = memoryStore({ blobs });
      if (!isMarked) await store.delete("udmrepo.Repository");
      const repository = await connectOrCreateVeleroRepository(store, {
        password: expected.password,
        deriveKey: memoisedDeriveKey,
      });
      const folder = mkdtempSync(join(tmpdir(), "dm-velero-golden-"));
      try {
        for (const [index, { id, rootEntry, source }] of (
          await listSnapshots(repository)
        ).entries()) {
          const path = join(folder, `${index}`, "volume");
          mkdirSync(join(folder, `${index}`));
          if (volumeMode === "Filesystem") mkdirSync(path);
          else writeFileSync(path, new Uint8Array(rootEntry!.summary!.totalBytes));
          const restored = await restoreVeleroVolume(repository, id, path, { volumeMode });
          expect(restored.totalBytes).toBe(rootEntry!.summary!.totalBytes);
          const [, , namespace = "", claim = ""] = source.path.split("/");
          const backup = await backupVeleroVolume(repository, path, {
            volumeMode,
            volume: [namespace, claim],
            workers: 0,
          });
          expect(backup.parentId).toBeDefined();
          // Links that the parent has count as bytes, too.
          expect(backup.totalBytes).toBeGreaterThanOrEqual(restored.totalBytes);
        }
        const report = await verifySnapshots(repository, await listSnapshots(repository), {
          readFiles: "all",
        });
        expect(report.findings).toEqual([]);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});
