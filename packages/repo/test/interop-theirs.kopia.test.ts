// We open, list, verify and read what the real kopia wrote, for every hash, cipher, format version, splitter and compressor.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compressors } from "@dm/compression";
import { requirePeer, sha256Hex } from "@dm/fixtures";
import { splitterAlgorithms } from "@dm/splitter";
import { filesystemStore } from "@dm/storage/filesystem";
import { describe, expect, it } from "vitest";
import { openRepository, type Repository, verifyRepository } from "../src/index.ts";
import { combinations, sampleBytes } from "./interop/combinations.ts";
import { Kopia, password } from "./interop/kopia.ts";

const peer = requirePeer("kopia");

/** A repository of the real kopia with a snapshot of `files`. */
async function theirRepository(
  flags: readonly string[],
  files: ReadonlyMap<string, Uint8Array>,
  policy: readonly string[] = [],
): Promise<Kopia> {
  const kopia = await Kopia.inNewFolder(peer.path);
  const source = join(kopia.folder, "source");
  await mkdir(source);
  for (const [name, data] of files) await writeFile(join(source, name), data);
  await mkdir(join(kopia.folder, "config"));
  await kopia.run("repository", "create", "filesystem", "--path", kopia.repositoryPath, ...flags);
  if (policy.length > 0) await kopia.run("policy", "set", "--global", ...policy);
  await kopia.run("snapshot", "create", source);
  return kopia;
}

async function openTheirs(kopia: Kopia): Promise<Repository> {
  return openRepository(filesystemStore({ path: kopia.repositoryPath }), { password });
}

/** Reads the root directory of the only snapshot and compares every file in it. */
async function compareFiles(
  repository: Repository,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  const [snapshot] = await repository.findManifests({ type: "snapshot" });
  const { rootEntry } = JSON.parse(snapshot?.data ?? "null");
  const directory = await (await repository.openObject(rootEntry.obj)).read();
  const { entries } = JSON.parse(new TextDecoder().decode(directory)) as {
    entries: { name: string; obj: string; size?: number }[];
  };
  expect(entries.map(({ name }) => name).sort()).toEqual([...files.keys()].sort());
  for (const { name, obj } of entries) {
    const bytes = await (await repository.openObject(obj)).read();
    expect(sha256Hex(bytes), name).toBe(sha256Hex(files.get(name) as Uint8Array));
  }
}

async function expectSound(repository: Repository, kopia: Kopia): Promise<void> {
  const report = await verifyRepository(repository);
  expect(report.findings).toEqual([]);
  const listed = await kopia.json<{ contentID: string; packFile: string; packOffset: number }[]>(
    "content",
    "list",
    "--deleted",
  );
  const ours = [];
  for await (const entry of repository.listContents({ includeDeleted: true })) ours.push(entry);
  expect(
    ours.map(({ contentId, packBlobId, packOffset }) => [contentId, packBlobId, packOffset]),
  ).toEqual(listed.map(({ contentID, packFile, packOffset }) => [contentID, packFile, packOffset]));
}

describe.skipIf(!peer.available)(peer.title("we read what kopia wrote"), () => {
  it.concurrent.each(combinations)("$hash, $encryption, format $version", async (combination) => {
    const files = new Map([
      ["empty", new Uint8Array(0)],
      ["small", sampleBytes(5000, 2)],
      ["large", sampleBytes(2_500_000, 3)],
    ]);
    await using kopia = await theirRepository(
      [
        `--block-hash=${combination.hash}`,
        `--encryption=${combination.encryption}`,
        `--format-version=${combination.version}`,
        "--object-splitter=FIXED-1M",
      ],
      files,
    );
    await using repository = await openTheirs(kopia);
    expect(repository.format).toMatchObject(combination);
    await expectSound(repository, kopia);
    await compareFiles(repository, files);
  });

  it.concurrent.each(Object.keys(splitterAlgorithms))("cut by %s", async (splitter) => {
    const files = new Map([["file", sampleBytes(20_000_000, 7)]]);
    await using kopia = await theirRepository([`--object-splitter=${splitter}`], files);
    await using repository = await openTheirs(kopia);
    await expectSound(repository, kopia);
    await compareFiles(repository, files);
    // The same file again, by us: nothing new to store.
    await using session = await repository.openWriteSession();
    await session.writeObject(files.get("file") as Uint8Array);
    expect(session.progress.contentsWritten).toBe(0);
  });

  it.concurrent.each(Object.values(compressors).filter(({ deprecated }) => !deprecated))(
    "compressed with $name",
    async ({ name, headerId }) => {
      const files = new Map([
        ["text", new TextEncoder().encode("all work and no play ".repeat(90_000))],
      ]);
      await using kopia = await theirRepository([], files, [`--compression=${name}`]);
      await using repository = await openTheirs(kopia);
      await expectSound(repository, kopia);
      await compareFiles(repository, files);
      const headers = [];
      for await (const entry of repository.listContents({ prefix: "" }))
        headers.push(entry.compressionHeaderId);
      expect(headers).toContain(headerId);
    },
  );

  it.each([1, 10, 50])("with error correction of %i per cent", async (percent) => {
    const files = new Map([["file", sampleBytes(3_000_000, 9)]]);
    await using kopia = await theirRepository([`--ecc-overhead-percent=${percent}`], files);
    await using repository = await openTheirs(kopia);
    await expectSound(repository, kopia);
    await compareFiles(repository, files);
  });
});
