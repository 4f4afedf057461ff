// Trees that an honest writer never makes, and paths: a directory that contains itself is refused, depth is bounded, a walk
// reads no more than is asked for, and the last of equal names counts.
import { isDmError } from "@dm/core";
import { describe, expect, it } from "vitest";
import {
  entryOfObject,
  findEntry,
  openFile,
  readDirectory,
  readLink,
  type TreeItem,
  type WalkOptions,
  walkTree,
} from "../src/index.ts";
import { directoryBytes, entryOf, objectsOf } from "./made-up.ts";

const folder = (name: string, objectId: string) => entryOf({ name, type: "d", objectId });

const objects = {
  k00: directoryBytes([folder("b", "k01"), folder("c", "k02"), entryOf({ objectId: "f0" })]),
  k01: directoryBytes([entryOf({ name: "x", objectId: "f1" })]),
  k02: directoryBytes([]),
  f0: "zero",
  f1: "one",
};
const root = folder("root", "k00");

async function pathsOf(
  source: Parameters<typeof walkTree>[0],
  options: WalkOptions = {},
): Promise<string[]> {
  const paths: string[] = [];
  for await (const { depth, path } of walkTree(source, root, options))
    paths.push(`${depth} ${path}`);
  return paths;
}

describe("a walk", () => {
  it("comes to each directory before what is in it", async () => {
    expect(await pathsOf(objectsOf(objects))).toEqual(["0 ", "1 b", "2 b/x", "1 c", "1 a"]);
  });

  it("reads a directory only when it is asked to go on", async () => {
    const read: string[] = [];
    const source = objectsOf(objects);
    const watched = {
      openObject: (id: string) => {
        read.push(id);
        return source.openObject(id);
      },
    };
    const walk = walkTree(watched, root);
    await walk.next();
    expect(read).toEqual([]);
    await walk.next();
    expect(read).toEqual(["k00"]);
    await walk.return(undefined);
    expect(read).toEqual(["k00"]);
  });

  it("leaves out what it is not to descend into", async () => {
    const descend = ({ path }: TreeItem): boolean => path !== "b";
    expect(await pathsOf(objectsOf(objects), { descend })).toEqual(["0 ", "1 b", "1 c", "1 a"]);
  });

  it("refuses a directory that contains itself, at any distance", async () => {
    const looped = { ...objects, k02: directoryBytes([folder("again", "k00")]) };
    await expect(pathsOf(objectsOf(looped))).rejects.toMatchObject({
      code: "DM_DIRECTORY_CYCLE",
      details: { objectId: "k00", path: "c/again" },
    });
  });

  it("may come to one directory by two paths", async () => {
    const twice = { ...objects, k02: directoryBytes([folder("b", "k01")]) };
    expect(await pathsOf(objectsOf(twice))).toContain("3 c/b/x");
  });

  it("goes on behind damage, when told to", async () => {
    const damaged = { ...objects, k01: "{", k02: directoryBytes([folder("again", "k00")]) };
    const found: string[] = [];
    const onDamaged: WalkOptions["onDamaged"] = ({ path }, { code }) =>
      found.push(`${path} ${code}`);
    expect(await pathsOf(objectsOf(damaged), { onDamaged })).toContain("1 a");
    expect(found).toEqual(["b DM_DIRECTORY_INVALID", "c/again DM_DIRECTORY_CYCLE"]);
  });

  it("has a bound on its depth", async () => {
    const names = Array.from({ length: 30 }, (_, index) => `k${index + 10}`);
    const deep = Object.fromEntries(
      names.map((name, index) => [name, directoryBytes([folder("d", names[index + 1] ?? "k02")])]),
    );
    const source = objectsOf({
      ...deep,
      k00: directoryBytes([folder("d", "k10")]),
      k02: objects.k02,
    });
    expect(await pathsOf(source)).toHaveLength(32);
    await expect(pathsOf(source, { maxDepth: 30 })).rejects.toMatchObject({
      code: "DM_TREE_TOO_DEEP",
      details: { depth: 30 },
    });
  });

  it("stops when aborted", async () => {
    const controller = new AbortController();
    const walk = walkTree(objectsOf(objects), root, { signal: controller.signal });
    await walk.next();
    controller.abort(new Error("enough"));
    await expect(walk.next()).rejects.toThrow("enough");
  });
});

describe("paths", () => {
  const source = objectsOf(objects);

  it.each(["b/x", "/b/x", "b//x/"])("%s is found", async (path) => {
    expect((await findEntry(source, root, path)).objectId).toBe("f1");
  });

  it("the empty path is the entry itself", async () => {
    expect(await findEntry(source, root, "")).toBe(root);
  });

  it.each(["z", "b/z", "a/x", "..", "b/../a"])("%s is not found", async (path) => {
    await expect(findEntry(source, root, path)).rejects.toMatchObject({
      name: "NotFoundError",
      code: "DM_ENTRY_NOT_FOUND",
      details: { path },
    });
  });

  it("a name with slashes is found by its parts, behind exact ones", async () => {
    const device = { k00: directoryBytes([entryOf({ name: "/dev/loop1", objectId: "f9" })]) };
    expect((await findEntry(objectsOf(device), root, "dev/loop1")).objectId).toBe("f9");
    await expect(findEntry(objectsOf(device), root, "dev")).rejects.toMatchObject({
      code: "DM_ENTRY_NOT_FOUND",
    });
  });
});

describe("single entries", () => {
  it("the last of equal names counts", async () => {
    const equal = {
      k00: directoryBytes([entryOf({ objectId: "f0" }), entryOf({ objectId: "f1" })]),
    };
    const { entries } = await readDirectory(objectsOf(equal), root);
    expect(entries.map(({ objectId }) => objectId)).toEqual(["f1"]);
  });

  it("files, links and directories are not mistaken for each other", async () => {
    const source = objectsOf(objects);
    const link = entryOf({ type: "s", objectId: "f0" });
    expect(await readLink(source, link)).toBe("zero");
    expect(new TextDecoder().decode(await (await openFile(source, link)).read())).toBe("zero");
    await expect(openFile(source, root)).rejects.toThrow(TypeError);
    await expect(readLink(source, root)).rejects.toThrow(TypeError);
    await expect(readDirectory(source, link)).rejects.toThrow(TypeError);
  });

  it("a file is no directory stream", async () => {
    const error = await readDirectory(objectsOf(objects), folder("x", "f0")).catch((e) => e);
    expect(isDmError(error, "DM_DIRECTORY_INVALID")).toBe(true);
    expect(error.message).toContain("f0");
  });

  it("objects without an entry are shown as kopia shows them", () => {
    expect(entryOfObject("Ik00")).toMatchObject({ type: "d", mode: 0o555, objectId: "Ik00" });
    expect(entryOfObject("f0")).toMatchObject({ type: "f", mode: 0o644, modifiedAtNs: 0n });
  });
});
