/** The files of a backup: what is written is read again, in Velero's layout, and damage is refused with the file's name. */
import { gunzipSync, gzipSync } from "node:zlib";
import type { Backup } from "@dm/crds";
import { describe, expect, it } from "vitest";
import {
  type BackupItem,
  decodeBackup,
  decodeGzipJson,
  decodeItems,
  encodeBackup,
  encodeGzipJson,
  encodeItems,
} from "../../src/bucket/backup-files.ts";
import { blobFolder } from "../../src/bucket/backup-store.ts";
import { readBackup } from "../../src/bucket/read-backup.ts";
import { decodeTar } from "../../src/bucket/tar-codec.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const items: BackupItem[] = [
  { resource: "namespaces", version: "v1", object: { metadata: { name: "shop" } } },
  {
    resource: "datauploads.velero.io",
    version: "v2alpha1",
    object: { metadata: { name: "du", namespace: "velero" } },
  },
];
const invalid = expect.objectContaining({ code: "DM_BACKUP_FILE_INVALID" });

describe("the tarball", () => {
  it("begins with its version and has each object twice", () => {
    const paths = [...decodeTar(gunzipSync(encodeItems(items, new Date(0))))].map(
      ({ path }) => path,
    );
    expect(paths).toEqual([
      "metadata/version",
      "resources/namespaces/cluster/shop.json",
      "resources/namespaces/v1-preferredversion/cluster/shop.json",
      "resources/datauploads.velero.io/namespaces/velero/du.json",
      "resources/datauploads.velero.io/v2alpha1-preferredversion/namespaces/velero/du.json",
    ]);
    const [version] = decodeTar(gunzipSync(encodeItems([], new Date(0))));
    expect(text(version?.bytes ?? new Uint8Array())).toBe("1.1.0\n");
  });

  it("gives each object once", () => {
    expect(decodeItems(encodeItems(items, new Date(0)), "b.tar.gz")).toEqual(items);
  });

  it("is refused when it is damaged", () => {
    const good = encodeItems(items, new Date(0));
    expect(() => decodeItems(good.subarray(0, good.length - 9), "b.tar.gz")).toThrow(invalid);
    expect(() => decodeItems(gzipSync(Buffer.alloc(700, 7)), "b.tar.gz")).toThrow(
      expect.objectContaining({ code: "DM_TAR_INVALID" }),
    );
  });
});

describe("the other files", () => {
  it("the Backup is plain JSON with its kind", () => {
    const backup: Backup = { metadata: { name: "nightly" }, spec: {} };
    const bytes = encodeBackup(backup);
    expect(text(bytes)).toMatch(/^\{\n {2}"kind": "Backup",\n {2}"apiVersion": "velero.io\/v1",/);
    expect(decodeBackup(bytes)).toMatchObject(backup);
    for (const wrong of ["", "null", "{}", "[1]"])
      expect(() => decodeBackup(new TextEncoder().encode(wrong))).toThrow(invalid);
  });

  it("others are gzip of JSON", () => {
    expect(decodeGzipJson(encodeGzipJson({ errors: {} }), "r.gz")).toEqual({ errors: {} });
    expect(() => decodeGzipJson(gzipSync("{"), "r.gz")).toThrow(invalid);
    expect(() => decodeGzipJson(new Uint8Array(3), "r.gz")).toThrow(/r\.gz/);
  });
});

describe("readBackup", () => {
  const folder = (blobs: Record<string, Uint8Array>) =>
    blobFolder({
      async get(id) {
        const bytes = blobs[id];
        if (bytes) return bytes;
        throw Object.assign(new Error(id), { code: "DM_BLOB_NOT_FOUND", details: {} });
      },
      put: async () => {},
      delete: async () => {},
      async *list() {},
      close: async () => {},
    });
  const whole = {
    "velero-backup.json": encodeBackup({ metadata: { name: "b" } }),
    "b.tar.gz": encodeItems(items, new Date(0)),
  };

  it("does without the file of volumes, which old backups lack", async () => {
    const { backup, items: read, volumes } = await readBackup(folder(whole), "b");
    expect([backup.metadata.name, read, volumes]).toEqual(["b", items, []]);
  });

  it.each([null, []])("a file of volumes may hold %j", async (content) => {
    const blobs = { ...whole, "b-volumeinfo.json.gz": encodeGzipJson(content) };
    expect((await readBackup(folder(blobs), "b")).volumes).toEqual([]);
  });

  it("names the file that is missing or wrong", async () => {
    await expect(readBackup(folder({}), "b")).rejects.toMatchObject({
      code: "DM_BACKUP_NOT_FOUND",
      message: "the bucket has no file velero-backup.json of backup b",
    });
    const blobs = { ...whole, "b-volumeinfo.json.gz": encodeGzipJson({ not: "a list" }) };
    await expect(readBackup(folder(blobs), "b")).rejects.toThrow(/b-volumeinfo/);
  });
});
