// What we write is what Kopia's format says: the independent decoder under reference/ reads repositories that we wrote,
// for every hash, cipher and format version, every splitter, compressor, key derivation and degree of error correction,
// and after everything that can happen to a repository. It must find all that was stored, and nothing odd.
import { compressors } from "@dm/compression";
import { loadVectors, sha256Hex, splitmix64 } from "@dm/fixtures";
import { hashAlgorithms } from "@dm/hashing";
import { splitterAlgorithms } from "@dm/splitter";
import { describe, expect, it } from "vitest";
import {
  type ContentId,
  type CreateRepositoryOptions,
  changePassword,
  type EpochManager,
  type ManifestEntry,
  parseContentId,
  type Repository,
  recoverIndex,
  runMaintenance,
  setParameters,
  upgradeRepository,
  type WriteSession,
} from "../src/index.ts";
import { derivedOnce } from "./format-helpers.ts";
import { combinations, sampleBytes } from "./interop/combinations.ts";
import { kinds, newRepository, password, type TestRepository } from "./new-repository.ts";
import { type Decoded, decodeRepository } from "./reference/decoder.ts";
import { segmentLengths } from "./reference/splitter.ts";

const buzhashTable: readonly number[] = loadVectors("buzhash32-table").table.map((word: string) =>
  Number.parseInt(word, 16),
);
const text = new TextEncoder().encode("all work and no play makes a dull boy. ".repeat(5000));

/** A repository of ours whose password key is the real one, derived once for all tests. */
async function ours(
  format: CreateRepositoryOptions["format"] = {},
  options: Partial<CreateRepositoryOptions> = {},
): Promise<TestRepository> {
  const uniqueId = new Uint8Array(32).fill(7);
  return newRepository(format, { deriveKey: derivedOnce, uniqueId, ...options });
}

/** One session, a minute after the last. */
async function inSession<T>(
  { clock }: TestRepository,
  repository: Repository,
  action: (session: WriteSession) => Promise<T>,
): Promise<T> {
  clock.advance(60_000);
  await using session = await repository.openWriteSession();
  const result = await action(session);
  await session.commit();
  return result;
}

/** The decoder's verdict, which must be good and agree with what we read ourselves. */
async function expectSound(test: TestRepository, secret = password): Promise<Decoded> {
  const decoded = decodeRepository(test.store.blobs, secret);
  expect(decoded.problems).toEqual([]);
  const repository = await test.open({ deriveKey: derivedOnce, password: secret });
  const entries = [];
  for await (const entry of repository.listContents({ includeDeleted: true })) {
    entries.push({
      id: entry.contentId,
      timestamp: entry.timestampSeconds,
      pack: entry.packBlobId,
      offset: entry.packOffset,
      packedLength: entry.packedLength,
      length: entry.originalLength,
      compression: entry.compressionHeaderId,
      formatVersion: entry.formatVersion,
      deleted: entry.deleted,
    });
  }
  const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);
  expect([...decoded.contents.values()].sort(byId)).toEqual(entries.sort(byId));
  const manifests = (await repository.findManifests()).map(
    ({ data, id, labels }: ManifestEntry) => ({
      data: JSON.parse(data),
      id,
      labels,
    }),
  );
  const found = decoded.manifests.map(({ data, id, labels }) => ({ data, id, labels }));
  expect(found.sort(byId)).toEqual(manifests.sort(byId));
  return decoded;
}

function expectObject(decoded: Decoded, id: string, bytes: Uint8Array): void {
  const chunks = [...decoded.readObject(id)];
  expect(sha256Hex(Buffer.concat(chunks))).toBe(sha256Hex(bytes));
}

describe("every hash, cipher and format version", () => {
  it.each(combinations)("$hash, $encryption, format $version", async (combination) => {
    const test = await ours({ ...combination, splitter: "FIXED-128K" });
    const files = [sampleBytes(0, 1), splitmix64(2, 5000), sampleBytes(500_000, 3), text];
    const first = await inSession(test, test.repository, async (session) => {
      const objects = [];
      for (const file of files)
        objects.push(await session.writeObject(file, { compressor: "zstd-fastest" }));
      const tiny = await session.writeObject(Uint8Array.of(1, 2, 3));
      // So many parts that the list of parts is split, too.
      const joined = await session.concatenateObjects(Array.from({ length: 2700 }, () => tiny));
      const directory = await session.writeObject(text, { prefix: "k", compressor: "zstd" });
      const kept = session.putManifest({ type: "t", name: "kept" }, { answer: 42, text: "<ü>" });
      const dropped = session.putManifest({ type: "t", name: "dropped" }, []);
      return { directory, dropped, joined, kept, objects, tiny };
    });
    expect(first.joined).toMatch(/^II/);
    // Another client: nothing new, one content and one manifest deleted, and what was deleted written again.
    const later = await test.open({ deriveKey: derivedOnce });
    await inSession(test, later, async (session) => {
      await session.writeObject(files[2]!, { compressor: "zstd-fastest" });
      expect(session.progress.contentsWritten).toBe(0);
      await session.deleteContent(parseContentId(first.objects[1]!));
      await session.deleteContent(parseContentId(first.tiny));
      await session.deleteManifest(first.dropped);
    });
    await inSession(test, later, async (session) => {
      expect(await session.writeObject(Uint8Array.of(1, 2, 3))).toBe(first.tiny);
      await session.replaceManifests({ type: "t", name: "kept" }, { answer: 43 });
    });

    const decoded = await expectSound(test);
    expect(decoded.format).toMatchObject({
      hash: combination.hash,
      encryption: combination.encryption,
      version: combination.version,
      indexVersion: combination.version === 1 ? 1 : 2,
      epochsEnabled: combination.version > 1,
    });
    for (const [i, file] of files.entries()) expectObject(decoded, first.objects[i]!, file);
    expectObject(decoded, first.directory, text);
    expectObject(decoded, first.joined, sampleRepeat(Uint8Array.of(1, 2, 3), 2700));
    expect(decoded.contents.get(first.objects[1]!)?.deleted).toBe(true);
    expect(decoded.contents.get(first.tiny)?.deleted).toBe(false);
    const named = decoded.manifests.filter(({ labels }) => labels["type"] === "t");
    expect(named.map(({ data }) => data)).toEqual([{ answer: 43 }]);
    expect(named[0]?.id).not.toBe(first.kept);
  });
});

function sampleRepeat(pattern: Uint8Array, count: number): Uint8Array {
  return Uint8Array.from(
    { length: pattern.length * count },
    (_, i) => pattern[i % pattern.length]!,
  );
}

describe("every splitter", () => {
  const data = splitmix64(11, 20 << 20);
  it.each(Object.keys(splitterAlgorithms))("%s", async (splitter) => {
    const [, size = "4M"] = splitter.split("-");
    const average = Number.parseInt(size, 10) << (size.endsWith("K") ? 10 : 20);
    const bytes = data.subarray(0, Math.round(average * 2.5));
    const test = await ours({ splitter, hash: "HMAC-SHA256-128" });
    const id = await inSession(test, test.repository, (session) => session.writeObject(bytes));
    const decoded = await expectSound(test);
    expect(decoded.format.splitter).toBe(splitter);
    const chunks = [...decoded.readObject(id)];
    const lengths = chunks.map((chunk) => chunk.length);
    expect(lengths.length).toBeGreaterThan(1);
    expect(lengths).toEqual(segmentLengths(splitter, [bytes], buzhashTable));
    expect(sha256Hex(Buffer.concat(chunks))).toBe(sha256Hex(bytes));
  });
});

describe("every compressor", () => {
  const mixed = sampleBytes(400_000, 9);
  it.each(Object.values(compressors))("$name", async ({ headerId, name }) => {
    const test = await ours({ hash: "HMAC-SHA256-128", splitter: "FIXED-128K" });
    const ids = await inSession(test, test.repository, async (session) => [
      await session.writeObject(text, { compressor: name, metadataCompressor: name }),
      await session.writeObject(mixed, { compressor: name, metadataCompressor: null }),
      await session.writeObject(splitmix64(3, 1000), { compressor: name }),
    ]);
    const decoded = await expectSound(test);
    expectObject(decoded, ids[0]!, text);
    expectObject(decoded, ids[1]!, mixed);
    expectObject(decoded, ids[2]!, splitmix64(3, 1000));
    const used = [...decoded.contents.values()].map(({ compression }) => compression);
    expect(used).toContain(headerId);
    expect(decoded.contents.get(ids[2]!)?.compression).toBe(0);
  });

  it.each(Object.values(compressors))("$name inside the object, format 1", async ({ name }) => {
    const test = await ours({ version: 1, hash: "HMAC-SHA256-128", splitter: "FIXED-256K" });
    const plain = sampleBytes(2000, 4);
    const ids = await inSession(test, test.repository, async (session) => [
      await session.writeObject(text, { compressor: name }),
      await session.writeObject(plain.subarray(1000, 1010), { compressor: name }),
    ]);
    const decoded = await expectSound(test);
    expect(ids[0]).toMatch(/^Z/);
    expect(ids[1]).not.toMatch(/^Z/);
    expectObject(decoded, ids[0]!, text);
    expectObject(decoded, ids[1]!, plain.subarray(1000, 1010));
  });
});

describe("every key derivation, with a salt of its own", () => {
  it.each(["scrypt-65536-8-1", "pbkdf2-sha256-600000"])("%s", async (keyAlgorithm) => {
    const secret = "pässwörd ✓";
    const test = await ours({}, { keyAlgorithm, uniqueId: splitmix64(5, 32), password: secret });
    const decoded = await expectSound(test, secret);
    expect(decoded.format.keyAlgorithm).toBe(keyAlgorithm);
    expect(() => decodeRepository(test.store.blobs, "password")).toThrow();
  });
});

describe("error correction", () => {
  it.each(
    [1, 2, 3, 5, 10, 50, 100].flatMap((percent) => [[percent, 2] as const, [percent, 3] as const]),
  )("of %i per cent, format %i", async (eccOverheadPercent, version) => {
    const test = await ours({ eccOverheadPercent, version, hash: "HMAC-SHA256-128" });
    const files = [0, 1, 10, 100, 1000, 10_000, 100_000, 700_000].map((n) => splitmix64(n, n));
    const ids = await inSession(test, test.repository, async (session) => {
      const objects = [];
      for (const file of files) objects.push(await session.writeObject(file));
      return objects;
    });
    const decoded = await expectSound(test);
    expect(decoded.format.eccOverheadPercent).toBe(eccOverheadPercent);
    for (const [i, file] of files.entries()) expectObject(decoded, ids[i]!, file);
  });
});

describe("what happens to a repository", () => {
  const write = (
    test: TestRepository,
    seed: number,
    repository = test.repository,
  ): Promise<ContentId> =>
    inSession(test, repository, async (session) => {
      session.putManifest({ type: "t", n: String(seed) }, { seed });
      await session.writeContent(splitmix64(seed, 3000), { prefix: "k" });
      return session.writeContent(splitmix64(seed + 1000, 3000));
    });

  it.each([1, 2, 3] as const)("many sessions, format %i: manifests merge", async (version) => {
    const test = await ours({ version });
    for (let seed = 0; seed < 40; seed += 1) await write(test, seed);
    const decoded = await expectSound(test);
    const live = [...decoded.contents.values()].filter(({ deleted }) => !deleted);
    expect(live.filter(({ id }) => id.startsWith("m")).length).toBeLessThan(17);
    expect(decoded.manifests.filter(({ labels }) => labels["type"] === "t").length).toBe(40);
  });

  it("packs fill up, one after the other", async () => {
    const test = await ours({
      maxPackSizeBytes: 10 << 20,
      splitter: "FIXED-1M",
      hash: "HMAC-SHA256",
    });
    const bytes = splitmix64(21, 25 << 20);
    const id = await inSession(test, test.repository, (session) => session.writeObject(bytes));
    expect(kinds(test.store)["p"]).toBe(3);
    expectObject(await expectSound(test), id, bytes);
  });

  it("epochs advance, are compacted, and ranges of them checkpointed", async () => {
    const test = await ours({ epochParameters: { epochAdvanceOnCountThreshold: 10 } });
    const seen = new Set<string>();
    for (let day = 0; day < 14; day += 1) {
      for (let i = 0; i < 12; i += 1) {
        const id = await write(test, day * 100 + i);
        if (i === 5) await inSession(test, test.repository, (session) => session.deleteContent(id));
      }
      test.clock.advance(30 * 3_600_000);
      await write(test, day * 100 + 50);
      await runMaintenance(test.repository, { mode: "full" });
      for (const kind of Object.keys(kinds(test.store))) seen.add(kind);
      if (day % 3 === 2) await expectSound(test);
    }
    const decoded = await expectSound(test);
    const state = await (test.repository.indexManager as EpochManager).state();
    expect(decoded.active.writeEpoch).toBe(state.writeEpoch);
    expect(state.writeEpoch).toBeGreaterThan(7);
    expect([...seen]).toEqual(expect.arrayContaining(["xn", "xs", "xr", "xe"]));
  });

  it("index blobs of format 1 are compacted, with a log of it", async () => {
    const test = await ours({ version: 1 });
    const seen = new Set<string>();
    for (let day = 0; day < 6; day += 1) {
      for (let i = 0; i < 9; i += 1) await write(test, day * 100 + i);
      test.clock.advance(26 * 3_600_000);
      await runMaintenance(test.repository, { mode: day % 2 === 0 ? "quick" : "full" });
      for (const kind of Object.keys(kinds(test.store))) seen.add(kind);
      await expectSound(test);
    }
    expect([...seen]).toEqual(expect.arrayContaining(["n", "m", "l"]));
  });

  it("its password changes, its packs grow, it is upgraded, its indexes are lost and found", async () => {
    const old = await ours({ version: 1 });
    for (let seed = 0; seed < 5; seed += 1) await write(old, seed);
    await upgradeRepository(old.repository);
    await write(old, 50, await old.open({ deriveKey: derivedOnce }));
    const upgraded = await expectSound(old);
    expect(upgraded.format).toMatchObject({ version: 2, epochsEnabled: true });

    const test = await ours();
    for (let seed = 0; seed < 5; seed += 1) await write(test, seed);
    await changePassword(test.store, test.repository.openedFormat, {
      newPassword: "other",
      deriveKey: derivedOnce,
    });
    const changed = await test.open({ deriveKey: derivedOnce, password: "other" });
    await write(test, 60, changed);
    await setParameters(test.store, changed.openedFormat, { maxPackSizeBytes: 12 << 20 });
    const decoded = await expectSound(test, "other");
    expect(decoded.format.maxPackSize).toBe(12 << 20);
    expect(() => decodeRepository(test.store.blobs, password)).toThrow();

    for (const id of test.store.blobs.keys()) if (id.startsWith("xn")) test.store.blobs.delete(id);
    const lost = await test.open({ deriveKey: derivedOnce, password: "other" });
    await recoverIndex(lost, { commit: true });
    const found = await expectSound(test, "other");
    expect([...found.contents.keys()].sort()).toEqual([...decoded.contents.keys()].sort());
  });
});

it("nothing that there is was left out", () => {
  const hashes = new Set(combinations.map(({ hash }) => hash));
  expect([...hashes].sort()).toEqual(Object.keys(hashAlgorithms).sort());
  expect(combinations.length).toBe(11 * 2 * 3);
  expect(Object.keys(splitterAlgorithms).length).toBe(23);
});
