// Estimates: what is included, left out and read; and new data, which for the exact mode is what an upload then stores, to
// the byte. Kopia's numbers are compared in the command line's tests.
import { splitmix64 } from "@dm/fixtures";
import type { Repository } from "@dm/repo";
import { beforeEach, describe, expect, it } from "vitest";
import {
  type EstimateSnapshotOptions,
  estimateSnapshot,
  type Policy,
  type SourceDirectory,
  type SourceFailure,
  type SourceSpecial,
  setPolicy,
  uploadSnapshot,
} from "../src/index.ts";
import { emptyPolicy } from "../src/policy/policy.ts";
import { directory, file, link } from "./memory-source.ts";
import { newRepository } from "./new-repository.ts";

const special = (name: string): SourceSpecial => ({ ...link(name, ""), type: "special" });
const failure = (name: string, error: Error): SourceFailure => ({
  type: "failure",
  name,
  isDirectory: false,
  error,
});

const source = { host: "h", userName: "u", path: "/p" };
let repository: Repository;

beforeEach(async () => {
  ({ repository } = await newRepository());
});

const estimate = (root: SourceDirectory, options: Partial<EstimateSnapshotOptions> = {}) =>
  estimateSnapshot(repository, root, { source, ...options });

async function definePolicy(change: Partial<Policy>): Promise<void> {
  await using session = await repository.openWriteSession();
  await setPolicy(session, source, { ...emptyPolicy, ...change });
  await session.commit();
}

describe("what is counted", () => {
  it("files by size, links, directories, and what no snapshot holds", async () => {
    const root = directory("p", [
      file("empty", ""),
      file("small", "x".repeat(999)),
      file("large", new Uint8Array(123_456)),
      link("link", "small"),
      special("pipe"),
      directory("inner", [file("other", "y".repeat(1000))]),
    ]);
    const told: string[] = [];
    const { included, ...rest } = await estimate(root, { onDirectory: (path) => told.push(path) });
    expect(rest).toMatchObject({
      directories: 2,
      links: 1,
      unknown: 1,
      failures: 0,
      unchanged: { files: 0, bytes: 0 },
      toRead: { files: 4, bytes: 125_455 },
      newData: undefined,
    });
    expect(included).toMatchObject({ files: 4, bytes: 125_455 });
    expect(included.buckets.filter(({ files }) => files > 0)).toEqual([
      {
        minBytes: 100_000,
        files: 1,
        bytes: 123_456,
        examples: [{ path: "large", bytes: 123_456 }],
      },
      { minBytes: 1000, files: 1, bytes: 1000, examples: [{ path: "inner/other", bytes: 1000 }] },
      {
        minBytes: 0,
        files: 2,
        bytes: 999,
        examples: [
          { path: "empty", bytes: 0 },
          { path: "small", bytes: 999 },
        ],
      },
    ]);
    expect(told).toEqual([".", "inner"]);
  });

  it("what rules leave out, and no more examples than asked for", async () => {
    await definePolicy({ files: { ignore: ["*.log", "/cache/"] } });
    const logs = Array.from({ length: 5 }, (_, index) => file(`${index}.log`, "12345"));
    const root = directory("p", [
      ...logs,
      file("kept", "1"),
      directory("cache", [file("never seen", "1234567")]),
      directory("inner", [file(".kopiaignore", "secret\n"), file("secret", "123")]),
    ]);
    const found = await estimate(root, { maxExamples: 2 });
    expect(found.included).toMatchObject({ files: 2, bytes: 8 });
    expect(found.excluded).toMatchObject({ files: 6, bytes: 28 });
    expect(found.excluded.buckets.at(-1)!.examples.map(({ path }) => path)).toEqual([
      "0.log",
      "1.log",
    ]);
    expect(found.excludedDirectories).toEqual({ count: 1, examples: ["cache"] });
  });

  it("what cannot be looked at, by the policy that says whether it matters", async () => {
    const error = new Error("no permission");
    const broken: SourceDirectory = {
      ...directory("broken", []),
      list: async () => {
        throw error;
      },
    };
    const root = directory("p", [failure("bad", error), broken, file("good", "1")]);
    const told: unknown[][] = [];
    const onFailure: EstimateSnapshotOptions["onFailure"] = (...what) => told.push(what);
    expect(await estimate(root, { onFailure })).toMatchObject({ failures: 2, ignoredFailures: 0 });
    expect(told).toEqual([
      ["bad", error, false],
      ["broken", error, false],
    ]);
    await definePolicy({ errorHandling: { ignoreFileErrors: true, ignoreDirectoryErrors: true } });
    expect(await estimate(root)).toMatchObject({ failures: 0, ignoredFailures: 2 });
    await expect(estimate(broken)).rejects.toThrow("no permission");
  });

  it("what a previous snapshot has is not to be read", async () => {
    const old = file("old", "12345");
    await uploadSnapshot(repository, directory("p", [directory("d", [old])]), { source });
    const again = directory("p", [directory("d", [old, file("new", "123")]), file("old", "12345")]);
    expect(await estimate(again)).toMatchObject({
      unchanged: { files: 1, bytes: 5 },
      toRead: { files: 2, bytes: 8 },
    });
    expect(await estimate(again, { previous: [] })).toMatchObject({ unchanged: { files: 0 } });
  });
});

describe("new data", () => {
  const random = (seed: number, length: number): Uint8Array => splitmix64(seed, length);
  const text = "to be or not to be, that is the question\n".repeat(2000);
  const tree = (): SourceDirectory =>
    directory("p", [
      file("random", random(1, 300_000)),
      file("same", random(1, 300_000)),
      file("text", text),
      file("empty", ""),
      link("link", "text"),
      directory("inner", [file("known", random(2, 50_000)), file("more", random(3, 7000))]),
    ]);
  const known = (): SourceDirectory =>
    directory("p", [file("elsewhere", random(2, 50_000), { modifiedAtNs: 5n })]);

  it.each([
    { compression: {} },
    { compression: { compressorName: "zstd" } },
    {
      compression: { compressorName: "s2-default" },
      splitter: { algorithm: "DYNAMIC-128K-BUZHASH" },
    },
    { upload: { parallelUploadAboveSize: 100_000 } },
  ] satisfies Partial<Policy>[])("exactly what an upload stores with %j", async (change) => {
    await definePolicy(change);
    await uploadSnapshot(repository, known(), { source });
    const before = new Set(await ids());
    const blobsBefore = (await ids()).length;
    const { newData } = await estimate(tree(), { newData: "exact" });
    expect((await ids()).length).toBe(blobsBefore);
    await uploadSnapshot(repository, tree(), { source });
    let [bytes, storedBytes] = [0, 0];
    for await (const content of repository.listContents({ prefix: "" })) {
      if (before.has(content.contentId)) continue;
      bytes += content.originalLength;
      storedBytes += content.packedLength;
    }
    expect(newData).toEqual({
      isExact: true,
      bytes,
      storedBytes,
      readFiles: 6,
      readBytes: 739_000 + text.length - 82_000,
    });
    // And then there is nothing new.
    const again = await estimate(tree(), { newData: "exact", previous: [] });
    expect(again.newData).toMatchObject({ bytes: 0, storedBytes: 0, readFiles: 6 });
    const unchanged = await estimate(tree(), { newData: "exact" });
    expect(unchanged.newData).toMatchObject({ bytes: 0, readFiles: 0 });
  });

  async function ids(): Promise<string[]> {
    await repository.refresh();
    const all: string[] = [];
    for await (const { contentId } of repository.listContents()) all.push(contentId);
    return all;
  }

  it("a sample is near the truth, and reads a share", async () => {
    const files = Array.from({ length: 400 }, (_, index) =>
      // Every fourth one is known.
      file(`f${index}`, random(index % 4 === 0 ? 1000 : index, 2000), { modifiedAtNs: 5n }),
    );
    await uploadSnapshot(repository, directory("p", [file("x", random(1000, 2000))]), { source });
    const root = directory("p", files);
    const exact = (await estimate(root, { newData: "exact" })).newData!;
    expect(exact.bytes).toBe(300 * 2000);
    const fast = (await estimate(root, { newData: "fast", sampleShare: 0.25 })).newData!;
    expect(fast.isExact).toBe(false);
    expect(Math.abs(fast.readFiles - 100)).toBeLessThan(50);
    expect(Math.abs(fast.bytes - exact.bytes) / exact.bytes).toBeLessThan(0.2);
    // Another seed, another sample; an end to what is read; nothing read, everything new.
    const other = (await estimate(root, { newData: "fast", sampleShare: 0.25, seed: "b" }))
      .newData!;
    expect(other.readFiles).not.toBe(0);
    const short = await estimate(root, { newData: "fast", sampleShare: 1, maxSampleBytes: 10_000 });
    expect(short.newData!.readBytes).toBeLessThan(100_000);
    const none = await estimate(root, { newData: "fast", sampleShare: 0 });
    expect(none.newData).toMatchObject({ bytes: 800_000, readFiles: 0 });
  });

  it("a file that cannot be read is a failure, the others count", async () => {
    const failsAfter = { bytes: 10, error: new Error("bad disk") };
    const root = directory("p", [file("bad", random(5, 100), { failsAfter }), file("good", "123")]);
    const told: string[] = [];
    const found = await estimate(root, { newData: "exact", onFailure: (path) => told.push(path) });
    expect([found.failures, told, found.newData!.readFiles]).toEqual([1, ["bad"], 1]);
  });

  it("an abort ends it", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(estimate(tree(), { newData: "exact", signal })).rejects.toThrow("enough");
  });
});
