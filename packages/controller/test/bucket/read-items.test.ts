/** Tarballs read file by file give the objects that they hold, each once; what is damaged or too large is refused, and nothing else runs late. */
import { gunzipSync, gzipSync } from "node:zlib";
import { loadVeleroBucket } from "@dm/fixtures";
import { expect, it } from "vitest";
import { decodeItems, encodeItems } from "../../src/bucket/backup-files.ts";
import { readItems, readItemsLimits } from "../../src/bucket/read-items.ts";
import { encodeTar } from "../../src/bucket/tar-codec.ts";

const { objects } = loadVeleroBucket();
const tarball = (name: string): Uint8Array =>
  objects.get(`velero/backups/${name}/${name}.tar.gz`) ?? new Uint8Array();
const packed = (path: string, text: string): Uint8Array =>
  gzipSync(encodeTar([{ path, bytes: new TextEncoder().encode(text) }], new Date(0)));
const path = "resources/secrets/namespaces/a/s.json";

it.each(["plain", "moved", "fsb", "partly"])("backup %s of a real Velero", async (name) => {
  const items = await readItems(tarball(name), "f");
  expect(items).toEqual(decodeItems(tarball(name), "f"));
  expect(items.length).toBeGreaterThan(5);
});

it("an archive in several gzip members", async () => {
  const tar = gunzipSync(tarball("plain"));
  const members = [tar.subarray(0, 1000), tar.subarray(1000)].map((part) => gzipSync(part));
  expect(await readItems(Buffer.concat(members), "f")).toEqual(decodeItems(tarball("plain"), "f"));
});

it("any cut is refused", async () => {
  const whole = tarball("plain");
  for (let length = 0; length < whole.length - 8; length += 97)
    await expect(readItems(whole.subarray(0, length), "f")).rejects.toMatchObject({
      name: "FormatError",
    });
});

it.each([
  ["no gzip", new TextEncoder().encode("x"), "it is not gzip, or damaged"],
  ["no JSON", packed(path, "{"), "it is no JSON"],
  ["no object", packed(path, "null"), "it is no object of Kubernetes"],
  ["no name", packed(path, '{"metadata":{}}'), "it is no object of Kubernetes"],
  [
    "a version that is no text",
    packed(path, '{"apiVersion":1,"metadata":{"name":"a"}}'),
    "it is no object of Kubernetes",
  ],
])("%s is refused", async (_what, bytes, reason) => {
  await expect(readItems(bytes, "b.tar.gz")).rejects.toMatchObject({
    code: "DM_BACKUP_FILE_INVALID",
    message: expect.stringMatching(new RegExp(`^the file b.tar.gz.* cannot be read: ${reason}$`)),
  });
});

it("what would not end is not unpacked, what is too large for an object is not parsed", async () => {
  const zeros = gzipSync(new Uint8Array(8 << 20));
  const limits = { ...readItemsLimits, maxUnpackedBytes: 1 << 20 };
  await expect(readItems(zeros, "f", {}, limits)).rejects.toMatchObject({ name: "FormatError" });
  const item = {
    resource: "secrets",
    version: "v1",
    object: { metadata: { name: "s", namespace: "a", labels: { x: "y".repeat(500) } } },
  };
  const large = encodeItems([item], new Date(0));
  await expect(
    readItems(large, "f", {}, { ...readItemsLimits, maxObjectBytes: 100 }),
  ).rejects.toMatchObject({ code: "DM_BACKUP_FILE_INVALID" });
  await expect(
    readItems(large, "f", {}, { ...readItemsLimits, maxUnpackedBytes: 1000 }),
  ).rejects.toMatchObject({ message: expect.stringContaining("more than 1000 bytes") });
});

it("ends when told to", async () => {
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(readItems(tarball("plain"), "f", { signal })).rejects.toThrow("enough");
});
