// We open, list, verify and read what the real kopia wrote, for every hash, cipher, format version, splitter, compressor,
// key derivation and degree of error correction.
import { compressors } from "@dm/compression";
import { requirePeer, sha256Hex, splitmix64 } from "@dm/fixtures";
import { splitterAlgorithms } from "@dm/splitter";
import { describe, expect, it } from "vitest";
import { type Repository, verifyRepository } from "../src/index.ts";
import { averageOf, combinations, sampleBytes } from "./interop/combinations.ts";
import type { Kopia } from "./interop/kopia.ts";
import { expectSoundForBoth, openByUs, sourceOf, theirRepository } from "./interop/shared.ts";

const peer = requirePeer("kopia");
/** A busy machine needs its time; each test starts the real kopia several times. */
const patient = { timeout: 300_000 };

interface SnapshotManifest {
  readonly source: { readonly path: string };
  readonly rootEntry: { readonly obj: string };
}

/** Reads the root directory of the newest snapshot of a source and compares every file in it. */
async function compareFiles(
  repository: Repository,
  source: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  const snapshots = (await repository.findManifests({ type: "snapshot" }))
    .map(({ data }) => JSON.parse(data) as SnapshotManifest)
    .filter((snapshot) => snapshot.source.path === source);
  const directory = await (await repository.openObject(snapshots.at(-1)!.rootEntry.obj)).read();
  const { entries } = JSON.parse(new TextDecoder().decode(directory)) as {
    entries: { name: string; obj: string; size?: number }[];
  };
  expect(entries.map(({ name }) => name).sort()).toEqual([...files.keys()].sort());
  for (const { name, obj } of entries) {
    const bytes = await (await repository.openObject(obj)).read();
    expect(sha256Hex(bytes), name).toBe(sha256Hex(files.get(name) as Uint8Array));
  }
}

async function snapshotOf(
  flags: readonly string[],
  files: ReadonlyMap<string, Uint8Array>,
): Promise<{ kopia: Kopia; source: string }> {
  const kopia = await theirRepository(peer.path, flags);
  const source = await sourceOf(kopia, "source", files);
  await kopia.run("snapshot", "create", source);
  return { kopia, source };
}

describe.skipIf(!peer.available)(peer.title("we read what kopia wrote"), patient, () => {
  it.concurrent.each(combinations)("$hash, $encryption, format $version", async (combination) => {
    const files = new Map([
      ["empty", new Uint8Array(0)],
      ["small", sampleBytes(5000, 2)],
      ["large", sampleBytes(600_000, 3)],
    ]);
    const { kopia, source } = await snapshotOf(
      [
        `--block-hash=${combination.hash}`,
        `--encryption=${combination.encryption}`,
        `--format-version=${combination.version}`,
        "--object-splitter=FIXED-128K",
      ],
      files,
    );
    await using _ = kopia;
    await using repository = await openByUs(kopia);
    expect(repository.format).toMatchObject(combination);
    await expectSoundForBoth(repository, kopia);
    await compareFiles(repository, source, files);
  });

  it.concurrent.each(Object.keys(splitterAlgorithms))("cut by %s", async (splitter) => {
    const file = splitmix64(8, Math.round(averageOf(splitter) * 2.5));
    const files = new Map([["file", file]]);
    const { kopia, source } = await snapshotOf([`--object-splitter=${splitter}`], files);
    await using _ = kopia;
    await using repository = await openByUs(kopia);
    expect((await verifyRepository(repository)).findings).toEqual([]);
    await compareFiles(repository, source, files);
    // The same file again, by us: nothing new to store.
    await using session = await repository.openWriteSession();
    await session.writeObject(file);
    expect(session.progress.contentsWritten).toBe(0);
  });

  it.each([1, 3])("compressed with every compressor, format %i", async (version) => {
    await using kopia = await theirRepository(peer.path, [`--format-version=${version}`]);
    const usable = Object.values(compressors).filter(({ deprecated }) => !deprecated);
    const sources: { source: string; files: Map<string, Uint8Array> }[] = [];
    for (const { name } of usable) {
      const files = new Map([["text", new TextEncoder().encode(name.repeat(90_000))]]);
      const source = await sourceOf(kopia, name, files);
      await kopia.run("policy", "set", source, `--compression=${name}`);
      sources.push({ source, files });
    }
    await kopia.run("snapshot", "create", ...sources.map(({ source }) => source));
    await using repository = await openByUs(kopia);
    await expectSoundForBoth(repository, kopia);
    for (const { files, source } of sources) await compareFiles(repository, source, files);
    const headers = new Set<number>();
    for await (const entry of repository.listContents({ prefix: "" })) {
      if (version === 3) headers.add(entry.compressionHeaderId);
      else {
        const start = await repository.readContent(entry.contentId);
        headers.add(Buffer.from(start).readUInt32BE(0));
      }
    }
    for (const { headerId, name } of usable) expect(headers, name).toContain(headerId);
  });

  it.concurrent.each([1, 2, 10, 50])("with error correction of %i per cent", async (percent) => {
    const files = new Map([["file", sampleBytes(3_000_000, 9)]]);
    const { kopia, source } = await snapshotOf([`--ecc-overhead-percent=${percent}`], files);
    await using _ = kopia;
    await using repository = await openByUs(kopia);
    expect(repository.format.eccOverheadPercent).toBe(percent);
    await expectSoundForBoth(repository, kopia);
    await compareFiles(repository, source, files);
  });

  it("with a key by PBKDF2", async () => {
    await using kopia = await theirRepository(peer.path, [
      "--format-block-key-derivation-algorithm=pbkdf2-sha256-600000",
    ]);
    await using repository = await openByUs(kopia);
    expect(repository.openedFormat.keyAlgorithm).toBe("pbkdf2-sha256-600000");
    await expectSoundForBoth(repository, kopia);
  });
});
