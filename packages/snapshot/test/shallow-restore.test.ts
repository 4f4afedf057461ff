// Shallow restores: which entries become placeholders, that a backup of them has the objects of what they stand for, and that
// each can be brought back.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRepository, type Repository } from "@dm/repo";
import { memoryStore } from "@dm/storage";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import type { Snapshot } from "../src/index.ts";
import {
  createSnapshot,
  expandPlaceholder,
  isPlaceholder,
  restoreTree,
} from "../src/node/index.ts";

const folder = mkdtempSync(join(tmpdir(), "dm-shallow-"));
const source = join(folder, "source");
let repository: Repository;
let snapshot: Snapshot;
let target: string;
let count = 0;

beforeAll(async () => {
  mkdirSync(join(source, "d1/d2/d3"), { recursive: true });
  writeFileSync(join(source, "a"), "short");
  writeFileSync(join(source, "b"), new Uint8Array(5000));
  writeFileSync(join(source, "d1/c"), "c", { mode: 0o600 });
  writeFileSync(join(source, "d1/d2/d3/e"), "deep");
  symlinkSync("a", join(source, "link"));
  const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);
  repository = await createRepository(memoryStore(), { password: "p", deriveKey });
  snapshot = await createSnapshot(repository, source, { workers: 0 });
});
afterAll(async () => {
  await repository.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  count += 1;
  target = join(folder, `target-${count}`);
});

const paths = (root = target): string[] =>
  readdirSync(root, { recursive: true, encoding: "utf8" }).sort();

it("leaves placeholders below the depth, and restores links", async () => {
  const expected = [
    ["a.kopia-entry", "b.kopia-entry", "d1.kopia-entry", "d1.kopia-entry/.kopia-entry", "link"],
    [
      ...["a", "b", "d1", "d1/c.kopia-entry", "d1/d2.kopia-entry"],
      ...["d1/d2.kopia-entry/.kopia-entry", "link"],
    ],
  ];
  for (const [shallowDepth, wanted] of expected.entries()) {
    const into = `${target}-${shallowDepth}`;
    const report = await restoreTree(repository, snapshot.rootEntry!, into, { shallowDepth });
    expect(paths(into)).toEqual(wanted);
    expect(report).toMatchObject({
      ok: true,
      placeholdersDone: shallowDepth === 0 ? 3 : 2,
      filesDone: shallowDepth === 0 ? 0 : 2,
    });
  }
  await restoreTree(repository, snapshot.rootEntry!, target, { shallowDepth: 4 });
  expect(paths()).toEqual(paths(source));
});

it("gives placeholders the attributes of what they stand for, without rights to write", async () => {
  await restoreTree(repository, snapshot.rootEntry!, target, { shallowDepth: 1 });
  const file = lstatSync(join(target, "d1/c.kopia-entry"), { bigint: true });
  const original = lstatSync(join(source, "d1/c"), { bigint: true });
  expect(Number(file.mode) & 0o7777).toBe(0o400);
  // Without a back-end for system calls times are those of Node.
  expect(file.mtimeNs / 1000n).toBe(original.mtimeNs / 1000n);
  const text = readFileSync(join(target, "d1/c.kopia-entry"), "utf8");
  expect(text).toMatch(/^\{"name":"c","type":"f","mode":"0600",.*\}\n$/);
});

it("restores files that are shorter than wanted", async () => {
  const options = { shallowDepth: 0, shallowMinBytes: 6 };
  await restoreTree(repository, snapshot.rootEntry!, target, options);
  expect(readFileSync(join(target, "a"), "utf8")).toBe("short");
  expect(paths()).toContain("b.kopia-entry");
});

it("a backup of it is the snapshot that it came from", async () => {
  for (const shallowDepth of [0, 1, 2]) {
    const into = `${target}-${shallowDepth}`;
    await restoreTree(repository, snapshot.rootEntry!, into, { shallowDepth });
    const { rootEntry } = await createSnapshot(repository, into, { workers: 0 });
    expect(rootEntry!.objectId).toBe(snapshot.rootEntry!.objectId);
  }
});

it("is brought back placeholder by placeholder", async () => {
  await restoreTree(repository, snapshot.rootEntry!, target, { shallowDepth: 0 });
  for (const name of ["a", "b"])
    expect(await expandPlaceholder(repository, join(target, `${name}.kopia-entry`))).toMatchObject({
      filesDone: 1,
      ok: true,
    });
  await expandPlaceholder(repository, join(target, "d1.kopia-entry"));
  expect(readdirSync(join(target, "d1")).sort()).toEqual(["c.kopia-entry", "d2.kopia-entry"]);
  await expandPlaceholder(repository, join(target, "d1/c.kopia-entry"));
  await expandPlaceholder(repository, join(target, "d1/d2.kopia-entry"), { shallowDepth: 2 });
  expect(paths()).toEqual(paths(source));
  expect(readFileSync(join(target, "d1/d2/d3/e"), "utf8")).toBe("deep");
});

it("keeps a placeholder whose content is lost, and refuses what is none", async () => {
  mkdirSync(target);
  const lost = join(target, "x.kopia-entry");
  const id = "0123456789abcdef0123456789abcdef";
  writeFileSync(lost, `{"name":"x","type":"f","size":3,"obj":"${id}"}\n`);
  const report = await expandPlaceholder(repository, lost);
  expect(report).toMatchObject({ ok: false, lossCount: 1 });
  expect([existsSync(lost), existsSync(join(target, "x"))]).toEqual([true, false]);
  writeFileSync(join(target, "bad.kopia-entry"), "something else");
  mkdirSync(join(target, "empty.kopia-entry"));
  writeFileSync(join(target, ".kopia-entry"), "{}");
  for (const name of ["bad.kopia-entry", "empty.kopia-entry", ".kopia-entry"])
    await expect(expandPlaceholder(repository, join(target, name))).rejects.toMatchObject({
      code: "DM_PLACEHOLDER_INVALID",
    });
  expect(["a.kopia-entry", "/b/.kopia-entry", "a"].map(isPlaceholder)).toEqual([
    true,
    false,
    false,
  ]);
});

it("puts a placeholder in the place of an older one, and nothing in the place of something else", async () => {
  const shallow = { shallowDepth: 0 };
  await restoreTree(repository, snapshot.rootEntry!, target, shallow);
  expect(await restoreTree(repository, snapshot.rootEntry!, target, shallow)).toMatchObject({
    ok: true,
    placeholdersDone: 3,
  });
  rmSync(join(target, "b.kopia-entry"));
  mkdirSync(join(target, "b.kopia-entry"));
  const { losses } = await restoreTree(repository, snapshot.rootEntry!, target, shallow);
  expect(losses).toMatchObject([{ path: "b", code: "DM_RESTORE_TARGET_CONFLICT" }]);
});
