// The real kopia opens, lists, verifies and extends what we wrote, for every hash, cipher, format version, splitter and compressor.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compressors } from "@dm/compression";
import { requirePeer, sha256Hex } from "@dm/fixtures";
import { splitterAlgorithms } from "@dm/splitter";
import { filesystemStore } from "@dm/storage/filesystem";
import { describe, expect, it } from "vitest";
import { createRepository, parseContentId, type Repository } from "../src/index.ts";
import { combinations, sampleBytes } from "./interop/combinations.ts";
import { Kopia, password } from "./interop/kopia.ts";

const peer = requirePeer("kopia");

type Settings = NonNullable<Parameters<typeof createRepository>[1]["format"]>;

class Shared implements AsyncDisposable {
  readonly kopia: Kopia;
  readonly repository: Repository;

  constructor(kopia: Kopia, repository: Repository) {
    this.kopia = kopia;
    this.repository = repository;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.repository.close();
    await this.kopia[Symbol.asyncDispose]();
  }
}

/** A repository that we made, and the real kopia connected to it. */
async function ourRepository(format: Settings): Promise<Shared> {
  const kopia = await Kopia.inNewFolder(peer.path);
  const store = filesystemStore({ path: kopia.repositoryPath });
  const repository = await createRepository(store, {
    password,
    format,
    username: "tester",
    hostname: "interop",
  });
  await kopia.connectByOurConfig();
  return new Shared(kopia, repository);
}

interface ListedContent {
  readonly contentID: string;
  readonly packFile: string;
  readonly originalLength: number;
  readonly length: number;
  readonly packOffset: number;
}

describe.skipIf(!peer.available)(peer.title("kopia reads what we wrote"), () => {
  it.concurrent.each(combinations)("$hash, $encryption, format $version", async (combination) => {
    await using shared = await ourRepository({
      ...combination,
      splitter: "FIXED-1M",
    });
    const { kopia, repository } = shared;
    const files = [sampleBytes(0, 1), sampleBytes(5000, 2), sampleBytes(2_500_000, 3)];
    const objects: string[] = [];
    await using session = await repository.openWriteSession();
    for (const file of files) objects.push(await session.writeObject(file));
    const manifestId = session.putManifest({ type: "interop", name: "a" }, { answer: 42 });
    await session.commit();

    const status = await kopia.json<{
      contentFormat: { hash: string; encryption: string; version: number };
      uniqueIDHex: string;
    }>("repository", "status");
    expect(status.contentFormat).toMatchObject(combination);
    expect(status.uniqueIDHex).toBe(Buffer.from(repository.uniqueId).toString("hex"));

    const { stderr } = await kopia.run("content", "verify", "--full");
    const counters = JSON.parse(/verifyCounters:\s*(\{.*\})/.exec(stderr)?.[1] ?? "null");
    const own = [];
    for await (const { contentId } of repository.listContents()) own.push(contentId);
    expect(counters).toMatchObject({ verifiedContents: own.length, readContents: own.length });

    const inspected = (await kopia.run("index", "inspect", "--all")).stdout.trim().split("\n");
    expect(inspected.length).toBe(own.length);
    for (const id of own)
      expect(inspected.some((line) => line.includes(` ${id} created `))).toBe(true);

    const manifests = await kopia.json<{ id: string; labels: object }[]>("manifest", "list");
    expect(manifests.find(({ id }) => id === manifestId)?.labels).toEqual({
      type: "interop",
      name: "a",
    });
    const shown = await kopia.run("manifest", "show", manifestId);
    expect(JSON.parse(shown.stdout.slice(shown.stdout.indexOf("{")))).toEqual({ answer: 42 });
    for (const [i, object] of objects.entries()) {
      const { stdoutBytes } = await kopia.run("show", object);
      expect(sha256Hex(stdoutBytes)).toBe(sha256Hex(files[i] as Uint8Array));
    }
  });

  it.concurrent.each(Object.keys(splitterAlgorithms))(
    "%s: kopia cuts the same file the same way and stores nothing twice",
    async (splitter) => {
      await using shared = await ourRepository({ splitter });
      const { kopia, repository } = shared;
      const file = sampleBytes(20_000_000, 7);
      await using session = await repository.openWriteSession();
      const object = await session.writeObject(file, { compressor: "zstd-fastest" });
      await session.commit();
      const path = join(kopia.folder, "file");
      await writeFile(path, file);
      // The object of a single file is the root of its snapshot.
      const manifest = await kopia.json<{ rootEntry: { obj: string } }>("snapshot", "create", path);
      expect(manifest.rootEntry.obj).toBe(object);
      const contents = await kopia.json<ListedContent[]>("content", "list", "--prefix=");
      const data = contents.filter(({ contentID }) => contentID.length % 2 === 0);
      await repository.refresh();
      const ours = [];
      for await (const { contentId } of repository.listContents({ prefix: "" }))
        ours.push(contentId);
      expect(data.map(({ contentID }) => contentID).sort()).toEqual(ours.sort());
    },
  );

  it.concurrent.each(Object.keys(compressors) as (keyof typeof compressors)[])(
    "contents compressed with %s",
    async (compressor) => {
      await using shared = await ourRepository({});
      const { kopia, repository } = shared;
      const plain = new TextEncoder().encode("all work and no play ".repeat(5000));
      await using session = await repository.openWriteSession();
      const id = await session.writeContent(plain, { compressor });
      await session.commit();
      const { stdoutBytes } = await kopia.run("content", "show", id);
      expect(sha256Hex(stdoutBytes)).toBe(sha256Hex(plain));
      const listed = await kopia.json<(ListedContent & { compression?: number | string })[]>(
        "content",
        "list",
      );
      const entry = listed.find(({ contentID }) => contentID === id);
      expect(entry?.length).toBeLessThan(plain.length / 5);
      expect(entry?.originalLength).toBe(plain.length);
    },
  );

  it("with error correction", async () => {
    await using shared = await ourRepository({ eccOverheadPercent: 10 });
    const { kopia, repository } = shared;
    await using session = await repository.openWriteSession();
    await session.writeObject(sampleBytes(3_000_000, 5));
    await session.commit();
    const { stderr } = await kopia.run("content", "verify", "--full");
    expect(stderr).toMatch(/"totalErrorCount":0/);
  });

  it("after deletions, several sessions, index compaction and full maintenance of ours and theirs", async () => {
    await using shared = await ourRepository({});
    const { kopia, repository } = shared;
    const objects: string[] = [];
    for (let i = 0; i < 20; i += 1) {
      await using session = await repository.openWriteSession();
      objects.push(await session.writeObject(sampleBytes(3000, 100 + i)));
      session.putManifest({ type: "interop", n: String(i) }, { i });
      await session.commit();
    }
    await using session = await repository.openWriteSession();
    await session.deleteContent(parseContentId(objects[3] as string));
    await session.commit();
    const contents = await kopia.json<ListedContent[]>("content", "list");
    expect(contents.some(({ contentID }) => contentID === objects[3])).toBe(false);
    expect((await kopia.json<unknown[]>("manifest", "list", "--filter=type:interop")).length).toBe(
      20,
    );
    await kopia.run("maintenance", "set", "--owner=me");
    await kopia.run("maintenance", "run", "--full", "--safety=none");
    await repository.refresh();
    // Objects that no snapshot names are garbage to kopia; manifests stay.
    expect((await repository.findManifests({ type: "interop" })).length).toBe(20);
  });
});
