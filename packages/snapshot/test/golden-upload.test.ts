// Trees of the golden snapshots are backed up again, into an empty repository with the same keys, and get the root objects
// that kopia gave them. What a tree was made of is read from the recorded repository: names, modes, times and data, whose
// hashes test/golden.test.ts holds to those that were recorded beside it; the big file is made by its formula.
import { goldenRepositories, loadGolden, seededRandom } from "@dm/fixtures";
import { openRepository, parseObjectId, type Repository } from "@dm/repo";
import { memoryStore } from "@dm/storage";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type DirectoryEntry,
  diffTrees,
  listSnapshots,
  openFile,
  policyTree,
  type SourceDirectory,
  type SourceFile,
  storedSource,
  uploadSnapshot,
  verifySnapshot,
} from "../src/index.ts";
import { memoisedDeriveKey } from "./open-golden.ts";

const seed = Number(process.env["DM_SEED"] ?? Date.now() % 1_000_000);

/** The recorded repository, and one with its format and nothing in it. */
async function openBoth(name: string): Promise<{ recorded: Repository; empty: Repository }> {
  const { blobs, expected } = loadGolden(name);
  const open = async (some: typeof blobs): Promise<Repository> =>
    openRepository(memoryStore({ blobs: some }), {
      password: expected.password,
      deriveKey: memoisedDeriveKey,
    });
  const formats = ["kopia.repository", "kopia.blobcfg"];
  const ofFormat = new Map([...blobs].filter(([id]) => formats.includes(id)));
  return { recorded: await open(blobs), empty: await open(ofFormat) };
}

/**
 * Where root objects differ, and why: a compressed stream is stored under the hash of what the compressor made, and the
 * object ids of format version 1 say so (`Z`). Other encoders make other bytes, and format version 3 has no such objects.
 */
const withCompressedObjects = new Map([
  ["v1-object-compression", 3],
  // Its first snapshot has none; the next two keep those that were written before the upgrade.
  ["v1-upgraded-to-v3", 2],
]);

/** Each costs a derivation of keys: all with DM_FULL=1, else those that are special and some by chance. */
function chosen(): readonly string[] {
  const all = goldenRepositories();
  if (process.env["DM_FULL"] === "1") return all;
  const { pick } = seededRandom(seed);
  const special = [...withCompressedObjects.keys(), "velero-block", "v3-many-files"];
  return [...new Set([...special, ...Array.from({ length: 4 }, () => pick(all))])];
}

describe.each(chosen())(`%s (DM_SEED=${seed})`, (name) => {
  let recorded: Repository;
  let empty: Repository;
  beforeAll(async () => {
    ({ empty, recorded } = await openBoth(name));
  });

  it("gets the same root objects", { timeout: 60_000 }, async () => {
    let differing = 0;
    for (const { rootEntry, source } of await listSnapshots(recorded)) {
      const root = rootEntry!;
      const policies = await policyTree(recorded, source);
      const made = await uploadSnapshot(empty, storedSource(recorded, root), {
        source,
        policies,
        previous: [],
      });
      expect(made.stats).toMatchObject({ cachedFiles: 0, errorCount: 0, ignoredErrorCount: 0 });
      if (made.rootEntry!.objectId === root.objectId) expect(made.rootEntry).toEqual(root);
      else {
        differing += 1;
        await expectOnlyCompressed(root, made.rootEntry!);
      }
      expect((await verifySnapshot(empty, made)).findings).toEqual([]);
    }
    expect(differing).toBe(withCompressedObjects.get(name) ?? 0);
  });

  /** Files that differ are compressed streams in the recorded tree, and have the same data in both. */
  async function expectOnlyCompressed(theirs: DirectoryEntry, ours: DirectoryEntry): Promise<void> {
    const either = {
      openObject: (id: string) => empty.openObject(id).catch(() => recorded.openObject(id)),
    };
    for await (const { after, before, changed, path } of diffTrees(either, theirs, ours)) {
      expect(changed, path).toEqual([]);
      if (before!.type === "d") continue;
      expect(await isCompressed(before!.objectId), path).toBe(true);
      const [old, made] = [await openFile(recorded, before!), await openFile(empty, after!)];
      expect(await made.read(), path).toEqual(await old.read());
    }
  }

  async function isCompressed(id: string): Promise<boolean> {
    const { compressed, indirection } = parseObjectId(id);
    if (indirection === 0) return compressed;
    const index = await recorded.openObject(id.slice(1));
    return new TextDecoder().decode(await index.read()).includes('"o":"Z');
  }
});

it("the big file, made by its formula, has the recorded object", async () => {
  const { empty, recorded } = await openBoth("v3-big-file");
  const { length, path } = loadGolden("v3-big-file").expected.bigFile;
  const [snapshot] = await listSnapshots(recorded);
  const root = storedSource(recorded, snapshot!.rootEntry!) as SourceDirectory;
  const pieceBytes = 100_000;
  const withFormula: SourceDirectory = {
    ...root,
    list: async () =>
      (await root.list()).map((entry): typeof entry => {
        if (entry.name !== path) return entry;
        return {
          ...(entry as SourceFile),
          async *read({ from = 0 } = {}) {
            for (let at = from; at < length; at += pieceBytes) {
              const piece = new Uint8Array(Math.min(pieceBytes, length - at));
              for (let index = 0; index < piece.length; index++) {
                const i = at + index;
                piece[index] = i * 7 + (i >> 8) * 13 + (i >> 16);
              }
              yield piece;
            }
          },
        };
      }),
  };
  const { source } = snapshot!;
  const policies = await policyTree(recorded, source);
  const made = await uploadSnapshot(empty, withFormula, { source, policies, previous: [] });
  expect(made.rootEntry).toEqual(snapshot!.rootEntry);
});
