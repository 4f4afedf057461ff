/** The mark of a restored volume: Velero's file, alone in its directory, wherever the volume pointed before. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { isMarkedDone, markDone } from "../../src/mover/done-file.ts";

let volume: string;
let elsewhere: string;
beforeEach(async () => {
  volume = await mkdtemp(join(tmpdir(), "dm-done-"));
  elsewhere = await mkdtemp(join(tmpdir(), "dm-done-"));
});
afterEach(async () => {
  for (const path of [volume, elsewhere]) await rm(path, { recursive: true, force: true });
});

it("is an empty file that everybody may see", async () => {
  expect(await isMarkedDone(volume, "r-1")).toBe(false);
  await markDone(volume, "r-1");
  expect(await isMarkedDone(volume, "r-1")).toBe(true);
  expect(await readFile(join(volume, ".velero", "r-1"), "utf8")).toBe("");
  expect((await stat(join(volume, ".velero"))).mode & 0o777).toBe(0o755);
  expect((await stat(join(volume, ".velero", "r-1"))).mode & 0o777).toBe(0o644);
});

it("takes the place of those that a snapshot has brought along", async () => {
  await markDone(volume, "older");
  await markDone(volume, "r-1");
  expect(await readdir(join(volume, ".velero"))).toEqual(["r-1"]);
  expect(await isMarkedDone(volume, "older")).toBe(false);
});

it("does not follow a link out of the volume", async () => {
  await writeFile(join(elsewhere, "kept"), "kept");
  await symlink(elsewhere, join(volume, ".velero"));
  await markDone(volume, "r-1");
  expect(await readdir(elsewhere)).toEqual(["kept"]);
  expect(await isMarkedDone(volume, "r-1")).toBe(true);
});

it("is not what a link of the snapshot leads to", async () => {
  await markDone(elsewhere, "r-1");
  await symlink(join(elsewhere, ".velero"), join(volume, ".velero"));
  expect(await isMarkedDone(volume, "r-1")).toBe(false);
  await rm(join(volume, ".velero"));
  await symlink(".velero", join(volume, ".velero"));
  expect(await isMarkedDone(volume, "r-1")).toBe(false);
});

it("is not a directory, and not below a file", async () => {
  await mkdir(join(volume, ".velero", "r-1"), { recursive: true });
  expect(await isMarkedDone(volume, "r-1")).toBe(false);
  await rm(join(volume, ".velero"), { recursive: true });
  await writeFile(join(volume, ".velero"), "");
  expect(await isMarkedDone(volume, "r-1")).toBe(false);
  await markDone(volume, "r-1");
  expect(await isMarkedDone(volume, "r-1")).toBe(true);
});
