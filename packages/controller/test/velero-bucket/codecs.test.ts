// Every file of the recorded bucket of a real Velero server, read and written again by our codecs, comes to the same bytes.
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import {
  decodeBackup,
  decodeGzipJson,
  encodeBackup,
  encodeGzipJson,
  encodeItems,
  itemFiles,
  tarballFile,
  versionFile,
} from "../../src/bucket/backup-files.ts";
import { decodeTar } from "../../src/bucket/tar-codec.ts";
import {
  realBackups,
  realFile,
  realFiles,
  realItems,
  realRestores,
  text,
  unzipped,
} from "./real-bucket.ts";

describe.each(realBackups)("backup %s", (name) => {
  const folder = `backups/${name}`;

  it("has its Backup written in the same bytes", () => {
    const bytes = realFile(folder, "velero-backup.json");
    expect(text(encodeBackup(decodeBackup(bytes)))).toBe(text(bytes));
  });

  it("has every object written in the same bytes, under the same two names", () => {
    const bytes = realFile(folder, tarballFile(name));
    const real = [...decodeTar(gunzipSync(bytes))].map(({ bytes, path }) => [path, text(bytes)]);
    const ours = [versionFile, ...realItems(name).flatMap(itemFiles)];
    const inOrder = ours.map(({ bytes, path }) => [path, text(bytes)]);
    // Velero appends DataUploads with their two names in either order.
    if (name === "partly") expect(new Set(inOrder.map(String))).toEqual(new Set(real.map(String)));
    else expect(inOrder).toEqual(real);
    expect(real[0]).toEqual(["metadata/version", "1.1.0\n"]);
  });

  it("has its tarball written in the same bytes, but for the times", () => {
    const real = gunzipSync(realFile(folder, tarballFile(name)));
    const ours = gunzipSync(encodeItems(realItems(name), new Date(0)));
    expect(ours.length).toBe(real.length);
    if (name !== "partly") expect(withoutTimes(ours).equals(withoutTimes(real))).toBe(true);
  });
});

/** Of each header: when the file was modified, and the sum over all that. */
function withoutTimes(archive: Buffer): Buffer {
  const result = Buffer.from(archive);
  for (let at = 0; at + 512 <= result.length; ) {
    const length = Number.parseInt(result.toString("latin1", at + 124, at + 135), 8);
    if (Number.isNaN(length)) break;
    result.fill(0, at + 136, at + 156);
    at += 512 + Math.ceil(length / 512) * 512;
  }
  return result;
}

const folders = [
  ...realBackups.map((name) => `backups/${name}`),
  ...realRestores.map((name) => `restores/${name}`),
];

it.each(folders)("the JSON files of %s are written in the same bytes", (folder) => {
  const files = realFiles(folder).filter((file) => /(\.json|results)\.gz$/.test(file));
  expect(files.length).toBeGreaterThan(3);
  for (const file of files) {
    const bytes = realFile(folder, file);
    expect(unzipped(encodeGzipJson(decodeGzipJson(bytes, file))), file).toBe(unzipped(bytes));
  }
});
