// Differences of two trees: every kind, in which order, what is not read, and a law: applying them leads from one to the
// other. Kopia's own output is compared in the command line's tests.
import type { Repository } from "@dm/repo";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type Difference,
  DifferenceStatistics,
  type DirectoryEntry,
  diffTrees,
  encodeDirectory,
  summarizeDirectory,
  walkTree,
} from "../src/index.ts";
import { directoryBytes, entryOf, objectsOf } from "./made-up.ts";
import { newRepository } from "./new-repository.ts";
import { fc } from "./property.ts";

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const file = (name: string, objectId: string, change: Partial<DirectoryEntry> = {}) =>
  entryOf({ name, objectId, sizeBytes: objectId.length, ...change });

/** A directory as an uploader makes it, with the summary in its entry. Its object is named by what is in it. */
class Trees {
  readonly objects: Record<string, Uint8Array> = {};
  readonly read: string[] = [];

  directory(name: string, entries: readonly DirectoryEntry[]): DirectoryEntry {
    const summary = summarizeDirectory(entries, 7n);
    const bytes = encodeDirectory({ entries, summary });
    const objectId = `k${Buffer.from(bytes).toString("hex")}`;
    this.objects[objectId] = bytes;
    return entryOf({ name, type: "d", mode: 0o755, objectId, summary });
  }

  async differences(before: DirectoryEntry, after: DirectoryEntry): Promise<Difference[]> {
    const objects = objectsOf(this.objects);
    const source = {
      openObject: (id: string) => {
        this.read.push(id);
        return objects.openObject(id);
      },
    };
    return collect(diffTrees(source, before, after));
  }
}

/** `+` added, `-` removed, `*` another object, `=` the same; then the attributes that differ. */
const shortOf = ({ after, before, changed, isSameObject, path }: Difference): string =>
  [before ? (after ? (isSameObject ? "=" : "*") : "-") : "+", path, ...changed].join(" ");

describe("differences", () => {
  const trees = new Trees();
  const kept = trees.directory("kept", [file("big", "f9"), file("other", "f8")]);
  const before = trees.directory("root", [
    trees.directory("gone", [trees.directory("deep", [file("x", "f1")])]),
    kept,
    trees.directory("some", [file("a", "f1"), file("b", "f2"), file("c", "f3")]),
    trees.directory("turns", [file("x", "f1")]),
    file("attributes", "f4", { mode: 0o600 }),
    file("same", "f5"),
  ]);
  const after = trees.directory("root", [
    trees.directory("come", [file("y", "f6")]),
    { ...kept, uid: 5, gid: 6 },
    trees.directory("some", [file("a", "f1"), file("b", "f22"), file("d", "f3")]),
    file("attributes", "f4", { mode: 0o644, modifiedAtNs: 5n }),
    file("same", "f5"),
    file("turns", "f7"),
  ]);

  it("are listed, directories before what is in them, and what is equal is not read", async () => {
    const found = await trees.differences(before, after);
    expect(found.map(shortOf)).toEqual([
      "* ",
      "+ come",
      "+ come/y",
      "= kept uid gid",
      "* some size",
      "* some/b size",
      "+ some/d",
      "- some/c",
      "= attributes mode modified",
      "* turns mode",
      "- gone",
      "- gone/deep",
      "- gone/deep/x",
    ]);
    expect(trees.read).not.toContain(kept.objectId);
    expect(new Set(trees.read).size).toBe(trees.read.length);
  });

  it("are counted as Kopia counts", async () => {
    const statistics = new DifferenceStatistics();
    for (const difference of await trees.differences(before, after)) statistics.add(difference);
    const none = {
      sameContentButDifferentMetadata: 0,
      sameContentButDifferentMode: 0,
      sameContentButDifferentModificationTime: 0,
      sameContentButDifferentUserOwner: 0,
      sameContentButDifferentGroupOwner: 0,
    };
    expect(statistics).toEqual({
      // `some/b` twice, and `turns`, whose mode differs.
      fileEntries: {
        ...none,
        added: 2,
        removed: 2,
        modified: 3,
        sameContentButDifferentMetadata: 1,
        sameContentButDifferentMode: 1,
        sameContentButDifferentModificationTime: 1,
      },
      directoryEntries: {
        ...none,
        added: 1,
        removed: 2,
        modified: 1,
        sameContentButDifferentMetadata: 1,
        sameContentButDifferentUserOwner: 1,
        sameContentButDifferentGroupOwner: 1,
      },
    });
  });

  it("of a tree and itself there are none, and nothing is read", async () => {
    trees.read.length = 0;
    expect(await trees.differences(before, before)).toEqual([]);
    expect(trees.read).toEqual([]);
  });

  it("of two files are their attributes", async () => {
    const found = await trees.differences(file("a", "f1"), file("a", "f22"));
    expect(found.map(shortOf)).toEqual(["*  size"]);
  });
});

interface Grown {
  readonly name: string;
  readonly mode: number;
  /** What is in a directory; undefined for a file. */
  readonly inside: readonly Grown[] | undefined;
  readonly data: string;
}

/** Trees with few names, so that two of them have much in common. */
const grown = (depth: number): fc.Arbitrary<readonly Grown[]> =>
  fc.uniqueArray(
    fc.record({
      name: fc.constantFrom("a", "b", "c", "d"),
      mode: fc.constantFrom(0o600, 0o644),
      inside: depth > 0 ? fc.option(grown(depth - 1), { nil: undefined }) : fc.constant(undefined),
      data: fc.constantFrom("f1", "f22", "f3"),
    }),
    { selector: ({ name }) => name, maxLength: 4 },
  );

it("leads from one tree to the other", async () => {
  await fc.assert(
    fc.asyncProperty(grown(3), grown(3), async (one, two) => {
      const trees = new Trees();
      const plant = (inside: readonly Grown[]): DirectoryEntry[] =>
        inside.map(({ data, inside: children, mode, name }) =>
          children ? trees.directory(name, plant(children)) : file(name, data, { mode }),
        );
      const pathsOf = async (root: DirectoryEntry): Promise<Map<string, string>> => {
        const walked = await collect(walkTree(objectsOf(trees.objects), root));
        return new Map(walked.map(({ entry, path }) => [path, `${entry.objectId} ${entry.mode}`]));
      };
      const before = trees.directory("r", plant(one));
      const after = trees.directory("r", plant(two));
      const paths = await pathsOf(before);
      for (const { after: entry, before: was, path } of await trees.differences(before, after)) {
        if (!entry) expect(paths.delete(path), path).toBe(true);
        else paths.set(path, `${entry.objectId} ${entry.mode}`);
        // What was in a directory that became something else is not listed, and the reverse.
        if (was?.type === "d" && entry && entry.type !== "d")
          for (const inner of paths.keys()) if (inner.startsWith(`${path}/`)) paths.delete(inner);
        if (was && was.type !== "d" && entry?.type === "d")
          for (const [inner, value] of await pathsOf(entry))
            if (inner !== "") paths.set(`${path}/${inner}`, value);
      }
      expect(paths).toEqual(await pathsOf(after));
    }),
  );
});

describe("refused", () => {
  let repository: Repository;
  beforeAll(async () => {
    ({ repository } = await newRepository());
  });

  it("a directory that contains itself", async () => {
    const endless = entryOf({ name: "d", type: "d", objectId: "k11" });
    const objects = objectsOf({ k11: directoryBytes([endless]), k22: directoryBytes([]) });
    const empty = { ...endless, objectId: "k22" };
    const differences = collect(diffTrees(objects, empty, endless));
    await expect(differences).rejects.toMatchObject({ code: "DM_TREE_TOO_DEEP" });
  });

  it("a directory that is not there", async () => {
    const root = (objectId: string) => entryOf({ type: "d", objectId });
    const differences = collect(
      diffTrees(repository, root(`k${"0".repeat(32)}`), root(`k${"1".repeat(32)}`)),
    );
    await expect(differences).rejects.toMatchObject({ code: "DM_CONTENT_NOT_FOUND" });
  });
});
