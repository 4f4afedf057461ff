/** What is listed ahead is what would be listed later, once, and not for long. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { openLocalSource } from "../src/node/index.ts";
import type { SourceDirectory, SourceEntry } from "../src/source/source-entry.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dm-read-ahead-"));
  mkdirSync(join(folder, "a/b"), { recursive: true });
  writeFileSync(join(folder, "a/b/file"), "12345");
  writeFileSync(join(folder, "top"), "1");
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

async function tree(entry: SourceEntry): Promise<unknown> {
  if (entry.type !== "d") return entry.type === "f" ? entry.sizeBytes : entry.type;
  const entries = await entry.list();
  const pairs: [string, unknown][] = [];
  for (const child of entries) pairs.push([child.name, await tree(child)]);
  return Object.fromEntries(pairs);
}

const open = async (): Promise<SourceDirectory> =>
  (await openLocalSource(folder, { readAhead: true })) as SourceDirectory;

it("finds the tree, whether there was time or none", async () => {
  const expected = { a: { b: { file: 5 } }, top: 1 };
  expect(await tree(await open())).toEqual(expected);
  const root = await open();
  await pause(50);
  expect(await tree(root)).toEqual(expected);
});

it("answers with what it has found, once", async () => {
  const root = await open();
  await pause(50);
  writeFileSync(join(folder, "a/b/later"), "");
  expect(await tree(root)).toEqual({ a: { b: { file: 5 } }, top: 1 });
  expect(await tree(root)).toEqual({ a: { b: { file: 5, later: 0 } }, top: 1 });
});

it("looks again at what it has found long ago", async () => {
  const root = await open();
  await pause(50);
  writeFileSync(join(folder, "a/b/later"), "");
  const nowMs = performance.now();
  vi.spyOn(performance, "now").mockReturnValue(nowMs + 2001);
  expect(await tree(root)).toEqual({ a: { b: { file: 5, later: 0 } }, top: 1 });
});

it("lists nothing more once the walk has begun", async () => {
  const root = await open();
  const [a] = (await root.list()).filter(({ name }) => name === "a") as SourceDirectory[];
  await pause(50);
  writeFileSync(join(folder, "a/later"), "");
  expect((await a!.list()).map(({ name }) => name).sort()).toEqual(["b", "later"]);
});

it("leaves a directory of more than 4096 entries to the walk", async () => {
  for (let index = 0; index < 4097; index++) writeFileSync(join(folder, "a/b", `f${index}`), "");
  const root = await open();
  await pause(200);
  writeFileSync(join(folder, "a/b/later"), "");
  expect((await tree(root)) as { a: { b: object } }).toMatchObject({ a: { b: { later: 0 } } });
});
