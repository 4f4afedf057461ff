/** The tarball that is written item by item: the same as at once, with more at its end afterwards. */
import { gunzipSync, gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import {
  type BackupItem,
  decodeItems,
  encodeItems,
  itemFiles,
} from "../../src/bucket/backup-files.ts";
import { newTarball, withItems } from "../../src/bucket/write-tarball.ts";

const at = new Date("2026-11-22T10:00:00Z");
const item = (name: string, data = ""): BackupItem => ({
  resource: "configmaps",
  version: "v1",
  object: { metadata: { name, namespace: "shop" }, data } as never,
});
const many = Array.from({ length: 300 }, (_, index) => item(`m${index}`, "x".repeat(index * 40)));

async function written(items: readonly BackupItem[]): Promise<Uint8Array> {
  const tarball = await newTarball(at);
  for (const one of items) await tarball.add(itemFiles(one));
  return tarball.end();
}

it("is what is written at once", async () => {
  expect(gunzipSync(await written(many)).equals(gunzipSync(encodeItems(many, at)))).toBe(true);
});

it("gets more at its end, in place of what has that name", async () => {
  const once = await withItems(await written(many), [item("m7", "later"), item("new")], at);
  const expected = [...many.filter((_, index) => index !== 7), item("m7", "later"), item("new")];
  expect(decodeItems(once, "b")).toEqual(expected);
  const twice = await withItems(once, [item("m7", "later"), item("new")], at);
  expect(gunzipSync(twice).equals(gunzipSync(once))).toBe(true);
});

it("names of 253 characters stay whole", async () => {
  const long = ["a".repeat(253), `${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(120)}`];
  const found = decodeItems(await written(long.map((name) => item(name))), "b");
  expect(found.map(({ object }) => object.metadata.name)).toEqual(long);
});

it("is refused when it is damaged", async () => {
  const good = await written(many);
  for (const bad of [good.subarray(0, 1000), new Uint8Array(30)])
    await expect(withItems(bad, [], at)).rejects.toMatchObject({ code: "DM_BACKUP_FILE_INVALID" });
  await expect(withItems(gzipSync(Buffer.alloc(700, 7)), [], at)).rejects.toMatchObject({
    code: "DM_TAR_INVALID",
  });
});

it("takes nothing that no restore would read", async () => {
  const tarball = await newTarball(at, 8192);
  await tarball.add(itemFiles(item("small")));
  const large = tarball.add(itemFiles(item("large", "x".repeat(3000))));
  await expect(large).rejects.toMatchObject({ code: "DM_BACKUP_TOO_LARGE" });
  await tarball.add(itemFiles(item("fits")));
  const names = decodeItems(await tarball.end(), "b").map(({ object }) => object.metadata.name);
  expect(names).toEqual(["small", "fits"]);
});
