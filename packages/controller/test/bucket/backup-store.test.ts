/** Folders of backups in what a BackupStorageLocation names: here a directory, and one that may only be read. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BackupStorageLocation } from "@dm/crds";
import { afterEach, beforeEach, expect, it } from "vitest";
import { bucketFolders } from "../../src/bucket/backup-store.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "dm-backup-store-"));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

const open = bucketFolders({
  get: async (_resource, { name }) => {
    const location: BackupStorageLocation = {
      metadata: { name },
      spec: {
        provider: "velero.io/fs",
        objectStorage: { bucket: "unused", prefix: "velero" },
        config: { fspath: root },
        ...(name === "readonly" && { accessMode: "ReadOnly" as const }),
      },
    };
    return name === "missing" ? undefined : (location as never);
  },
});
const key = (name: string) => ({ namespace: "velero", name });
const bytes = new TextEncoder().encode("{}");

it("keeps the files of each backup and restore apart", async () => {
  const nightly = await open(key("default"), ["backups", "nightly"]);
  expect(await nightly.read("velero-backup.json")).toBeUndefined();
  await nightly.write("velero-backup.json", bytes);
  await nightly.write("nightly-itemoperations.json.gz", bytes);
  expect(await nightly.read("velero-backup.json")).toEqual(bytes);
  expect(await nightly.read("nightly-itemoperations.json.gz")).toEqual(bytes);
  expect((await nightly.list()).sort()).toEqual([
    "nightly-itemoperations.json.gz",
    "velero-backup.json",
  ]);
  await nightly.close();
  for (const folder of [
    ["backups", "weekly"],
    ["restores", "nightly"],
  ] as const) {
    const other = await open(key("default"), folder);
    expect(await other.read("velero-backup.json")).toBeUndefined();
    await other.close();
  }
});

it("writes nothing into a location that is ReadOnly, and reads it", async () => {
  const first = await open(key("default"), ["backups", "nightly"]);
  await first.write("velero-backup.json", bytes);
  await first.close();
  const folder = await open(key("readonly"), ["backups", "nightly"]);
  expect(await folder.read("velero-backup.json")).toEqual(bytes);
  await expect(folder.write("x", bytes)).rejects.toMatchObject({ code: "DM_STORE_READ_ONLY" });
  await folder.close();
});

it("needs the location to be there", async () => {
  await expect(open(key("missing"), ["backups", "b"])).rejects.toMatchObject({
    code: "DM_LOCATION_NOT_FOUND",
  });
});
