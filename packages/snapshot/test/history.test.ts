// The versions of one path: over several sources that cover it, with equal ones merged, gaps, damage, and directories that
// are not read twice.
import type { Repository } from "@dm/repo";
import { beforeAll, describe, expect, it } from "vitest";
import { type DirectoryEntry, type PathVersion, pathHistory, type Snapshot } from "../src/index.ts";
import { directoryIn, fileIn, newRepository, snapshotIn } from "./new-repository.ts";

const here = { host: "h", userName: "u" };
const started = (at: number): bigint => BigInt(at) * 1_000_000_000n;

describe("the history of a path", () => {
  let repository: Repository;
  const reads: string[] = [];
  let damaged: Snapshot;

  beforeAll(async () => {
    ({ repository } = await newRepository());
    await using session = await repository.openWriteSession();
    const made = async (
      at: number,
      path: string,
      rootEntry: DirectoryEntry,
      change: Partial<Snapshot> = {},
    ): Promise<Snapshot> =>
      snapshotIn(session, rootEntry, {
        source: { ...here, path },
        startedAtNs: started(at),
        ...change,
      });
    const [one, two] = [
      await fileIn(session, "f", new Uint8Array(1)),
      await fileIn(session, "f", new Uint8Array(2)),
    ];
    const inner = async (entries: readonly DirectoryEntry[]): Promise<DirectoryEntry> =>
      directoryIn(session, "inner", entries);
    const data = async (entry: DirectoryEntry): Promise<DirectoryEntry> =>
      directoryIn(session, "data", [entry]);
    const root = await data(await inner([one]));
    await made(1, "/data", await data(await inner([])));
    await made(2, "/data", root);
    await made(3, "/data/inner", await inner([one]));
    await made(4, "/data", root);
    await made(5, "/data", await data(await inner([{ ...one, mode: 0o600 }])));
    await made(6, "/data", await data(await inner([])));
    await made(7, "/data", await data({ ...one, name: "inner" }));
    await made(8, "/data/inner/f", two);
    await made(9, "/", await directoryIn(session, "/", [await data(await inner([two]))]));
    await made(10, "/data", root, { incompleteReason: "checkpoint" });
    damaged = await made(11, "/data", { ...root, objectId: `k${"0".repeat(32)}` });
    // None of these covers the path.
    await made(12, "/dat", root);
    await made(12, "/data/inner/f/g", root);
    await made(12, "/data", root, { source: { host: "i", userName: "u", path: "/data" } });
    await session.commit();
    const { openObject } = repository;
    repository.openObject = (id, options) => {
      reads.push(id);
      return openObject.call(repository, id, options);
    };
  });

  const shortOf = ({ entry, firstSeenAtNs, lastSeenAtNs, snapshots }: PathVersion): string => {
    const seconds = [firstSeenAtNs, lastSeenAtNs].map((time) => time / 1_000_000_000n);
    const what = entry ? `${entry.sizeBytes} ${entry.mode.toString(8)}` : "gone";
    return `${what}: ${seconds.join("-")} ×${snapshots.length}`;
  };

  it("merges equal versions, and shows where it was gone", async () => {
    reads.length = 0;
    const told: string[] = [];
    const versions = await pathHistory(
      repository,
      { ...here, path: "/data/inner/f" },
      { onDamaged: ({ id }, { code }) => told.push(`${id} ${code}`) },
    );
    expect(versions.map(shortOf)).toEqual([
      "1 644: 2-4 ×3",
      "1 600: 5-5 ×1",
      "gone: 6-7 ×2",
      "2 644: 8-9 ×2",
    ]);
    expect(told).toEqual([`${damaged.id} DM_CONTENT_NOT_FOUND`]);
    // The first, the second, fifth, sixth: two each; the third one; the seventh one; three from the top; the damaged one.
    expect(reads).toHaveLength(4 * 2 + 1 + 1 + 3 + 1);
    expect(versions[0]!.snapshots.map(({ path }) => path)).toEqual(["inner/f", "f", "inner/f"]);
  });

  it("with incomplete snapshots, when they are asked for", async () => {
    const versions = await pathHistory(
      repository,
      { ...here, path: "/data/inner/f" },
      { includeIncomplete: true, onDamaged: () => {} },
    );
    expect(versions.map(shortOf).at(-1)).toBe("1 644: 10-10 ×1");
  });

  it("of a directory is that of its object", async () => {
    const source = { ...here, path: "/data/inner" };
    const versions = await pathHistory(repository, source, { onDamaged: () => {} });
    expect(versions.map(({ snapshots }) => snapshots.length)).toEqual([1, 3, 1, 1, 1, 1]);
  });

  it("of a path that never was is empty", async () => {
    for (const path of ["/data/no", "/dat/inner/f/g/h", "/elsewhere"]) {
      const options = { onDamaged: () => {} };
      const versions = await pathHistory(repository, { ...here, path }, options);
      expect(versions, path).toEqual([]);
    }
  });

  it("damage is thrown when nobody asks for it", async () => {
    await expect(pathHistory(repository, { ...here, path: "/data/inner/f" })).rejects.toMatchObject(
      { code: "DM_CONTENT_NOT_FOUND" },
    );
  });
});
