// The real kopia opens, lists, inspects, verifies and shows what we wrote, for every hash, cipher, format version, splitter,
// compressor and degree of error correction, and cuts files as we do.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CompressorName, compressors } from "@dm/compression";
import { requirePeer, sha256Hex, splitmix64 } from "@dm/fixtures";
import { splitterAlgorithms } from "@dm/splitter";
import { describe, expect, it } from "vitest";
import { averageOf, combinations, sampleBytes } from "./interop/combinations.ts";
import { expectAgreement, ourRepository } from "./interop/shared.ts";

const peer = requirePeer("kopia");
/** A busy machine needs its time; each test starts the real kopia several times. */
const patient = { timeout: 300_000 };
const text = new TextEncoder().encode("all work and no play ".repeat(5000));
const allCompressors = Object.keys(compressors) as CompressorName[];

describe.skipIf(!peer.available)(peer.title("kopia reads what we wrote"), patient, () => {
  it.concurrent.each(combinations)("$hash, $encryption, format $version", async (combination) => {
    await using shared = await ourRepository(peer.path, { ...combination, splitter: "FIXED-128K" });
    const { kopia, repository } = shared;
    const large = sampleBytes(600_000, 3);
    await using session = await repository.openWriteSession();
    await session.writeObject(new Uint8Array(0));
    await session.writeObject(sampleBytes(5000, 2), { compressor: "zstd-fastest" });
    const object = await session.writeObject(large);
    session.putManifest({ type: "interop", name: "a" }, { answer: 42 });
    await session.commit();
    await expectAgreement(shared);
    expect(repository.format).toMatchObject(combination);
    const { stdoutBytes } = await kopia.run("show", object);
    expect(sha256Hex(stdoutBytes)).toBe(sha256Hex(large));
  });

  it.concurrent.each(Object.keys(splitterAlgorithms))(
    "%s: kopia cuts the same file the same way and stores nothing twice",
    async (splitter) => {
      await using shared = await ourRepository(peer.path, { splitter });
      const { kopia, repository } = shared;
      const file = splitmix64(7, Math.round(averageOf(splitter) * 2.5));
      await using session = await repository.openWriteSession();
      const object = await session.writeObject(file, { compressor: "zstd-fastest" });
      await session.commit();
      await expectAgreement(shared);
      const before = [];
      for await (const { contentId } of repository.listContents({ prefix: "" }))
        before.push(contentId);
      expect(before.length).toBeGreaterThan(1);
      const path = join(kopia.folder, "file");
      await writeFile(path, file);
      // The object of a single file is the root of its snapshot.
      const manifest = await kopia.json<{ rootEntry: { obj: string } }>("snapshot", "create", path);
      expect(manifest.rootEntry.obj).toBe(object);
      await repository.refresh();
      const after = [];
      for await (const { contentId } of repository.listContents({ prefix: "" }))
        after.push(contentId);
      expect(after).toEqual(before);
    },
  );

  it("contents compressed with every compressor", async () => {
    await using shared = await ourRepository(peer.path, {});
    const { kopia, repository } = shared;
    const plain = allCompressors.map((name) => new TextEncoder().encode(name.repeat(5000)));
    const ids: string[] = [];
    await using session = await repository.openWriteSession();
    for (const [i, compressor] of allCompressors.entries())
      ids.push(await session.writeContent(plain[i]!, { compressor }));
    await session.commit();
    await expectAgreement(shared);
    for (const [i, compressor] of allCompressors.entries()) {
      const entry = await repository.contentInfo(ids[i] as never);
      expect(entry?.compressionHeaderId).toBe(compressors[compressor].headerId);
    }
    const { stdoutBytes } = await kopia.run("content", "show", ...ids);
    expect(sha256Hex(stdoutBytes)).toBe(sha256Hex(Buffer.concat(plain)));
  });

  it("objects compressed with every compressor, format 1", async () => {
    await using shared = await ourRepository(peer.path, { version: 1 });
    const { kopia, repository } = shared;
    const objects = new Map<string, Uint8Array>();
    await using session = await repository.openWriteSession();
    for (const compressor of allCompressors) {
      const plain = new TextEncoder().encode(compressor.repeat(5000));
      objects.set(await session.writeObject(plain, { compressor }), plain);
    }
    await session.commit();
    await expectAgreement(shared);
    for (const [id, plain] of objects) {
      expect(id).toMatch(/^Z/);
      const { stdoutBytes } = await kopia.run("show", id);
      expect(sha256Hex(stdoutBytes)).toBe(sha256Hex(plain));
    }
  });

  it.concurrent.each([1, 2, 10, 50])(
    "with error correction of %i per cent",
    async (eccOverheadPercent) => {
      await using shared = await ourRepository(peer.path, { eccOverheadPercent });
      await using session = await shared.repository.openWriteSession();
      const file = sampleBytes(3_000_000, 5);
      const object = await session.writeObject(file);
      for (const length of [0, 1, 100, 2000]) await session.writeObject(sampleBytes(length, 6));
      await session.commit();
      await expectAgreement(shared);
      const { stdoutBytes } = await shared.kopia.run("show", object);
      expect(sha256Hex(stdoutBytes)).toBe(sha256Hex(file));
    },
  );

  it("an index of indexes, a directory of ours, a manifest, contents in many sessions", async () => {
    await using shared = await ourRepository(peer.path, { splitter: "FIXED-128K" });
    const { kopia, repository } = shared;
    const ids: string[] = [];
    for (let i = 0; i < 20; i += 1) {
      await using session = await repository.openWriteSession();
      ids.push(await session.writeObject(sampleBytes(3000, 100 + i)));
      session.putManifest({ type: "interop", n: String(i) }, { i });
      await session.commit();
    }
    await using session = await repository.openWriteSession();
    const joined = await session.concatenateObjects(Array.from({ length: 2700 }, () => ids[0]!));
    const manifestId = session.putManifest({ type: "interop" }, { text: "<ü>", answer: 42 });
    const empty = await session.writeObject(
      new TextEncoder().encode('{"stream":"kopia:directory","entries":null}\n'),
      { prefix: "k", compressor: "zstd-fastest" },
    );
    await session.commit();
    expect(joined).toMatch(/^II/);
    const { stdoutBytes } = await kopia.run("show", joined);
    expect(stdoutBytes.length).toBe(2700 * 3000);
    expect(sha256Hex(stdoutBytes.subarray(-3000))).toBe(sha256Hex(sampleBytes(3000, 100)));
    expect((await kopia.run("ls", empty)).stdout).toBe("");
    const shown = (await kopia.run("manifest", "show", manifestId)).stdout;
    expect(JSON.parse(shown.slice(shown.indexOf("{")))).toEqual({ text: "<ü>", answer: 42 });
    expect((await kopia.json<unknown[]>("manifest", "list", "--filter=type:interop")).length).toBe(
      21,
    );
  });

  it("a content shown by kopia is the content that we wrote", async () => {
    await using shared = await ourRepository(peer.path, {});
    await using session = await shared.repository.openWriteSession();
    const id = await session.writeContent(text, { compressor: "s2-default" });
    await session.commit();
    const { stdoutBytes } = await shared.kopia.run("content", "show", id);
    expect(sha256Hex(stdoutBytes)).toBe(sha256Hex(text));
  });
});
