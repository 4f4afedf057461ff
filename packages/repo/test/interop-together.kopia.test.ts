// The real kopia and we live in one repository: both write in turn, each runs maintenance, changes the password and
// recovers indexes, and afterwards both find everything, and the independent decoder finds nothing odd.
import { readdir, utimes } from "node:fs/promises";
import { join } from "node:path";
import { requirePeer, sha256Hex, splitmix64 } from "@dm/fixtures";
import { filesystemStore } from "@dm/storage/filesystem";
import { describe, expect, it } from "vitest";
import {
  changePassword,
  type EpochManager,
  parseContentId,
  type Repository,
  recoverIndex,
  runMaintenance,
  upgradeRepository,
} from "../src/index.ts";
import { sampleBytes } from "./interop/combinations.ts";
import type { Kopia } from "./interop/kopia.ts";
import {
  expectSoundForBoth,
  openByUs,
  ourRepository,
  sourceOf,
  theirRepository,
} from "./interop/shared.ts";
import { decodeRepository } from "./reference/decoder.ts";

const peer = requirePeer("kopia");
/** A busy machine needs its time; each test starts the real kopia several times. */
const patient = { timeout: 300_000 };

/** How a repository is made: by either program, in each format version, with and without error correction. */
const origins = [
  { maker: "us", version: 1, ecc: 0 },
  { maker: "us", version: 2, ecc: 0 },
  { maker: "us", version: 3, ecc: 5 },
  { maker: "kopia", version: 1, ecc: 0 },
  { maker: "kopia", version: 2, ecc: 5 },
  { maker: "kopia", version: 3, ecc: 0 },
] as const;
type Origin = (typeof origins)[number];

async function make({ ecc, maker, version }: Origin): Promise<Kopia> {
  if (maker === "us") {
    const format = { version, splitter: "DYNAMIC-128K-BUZHASH", eccOverheadPercent: ecc };
    return (await ourRepository(peer.path, format)).kopia;
  }
  return theirRepository(peer.path, [
    `--format-version=${version}`,
    "--object-splitter=DYNAMIC-128K-BUZHASH",
    ...(ecc > 0 ? [`--ecc-overhead-percent=${ecc}`] : []),
  ]);
}

/** A snapshot by kopia of files that grow from round to round, half of them new. */
async function snapshotByKopia(kopia: Kopia, round: number): Promise<void> {
  const files = new Map<string, Uint8Array>();
  for (let i = 0; i < 3; i += 1)
    files.set(`f${round}-${i}`, sampleBytes(20_000 * i, round * 10 + i));
  const source = await sourceOf(kopia, "source", files);
  await kopia.forget();
  await kopia.run("snapshot", "create", source);
}

/** Objects and a manifest by us, in one session. */
async function writeByUs(kopia: Kopia, round: number): Promise<Map<string, Uint8Array>> {
  await using repository = await openByUs(kopia);
  await using session = await repository.openWriteSession();
  const written = new Map<string, Uint8Array>();
  for (const bytes of [splitmix64(round, 3000 + round), sampleBytes(400_000, round)])
    written.set(await session.writeObject(bytes, { compressor: "zstd" }), bytes);
  session.putManifest({ type: "interop", round: String(round) }, { round });
  await session.commit();
  return written;
}

async function expectObjects(
  repository: Repository,
  objects: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  for (const [id, bytes] of objects)
    expect(sha256Hex(await (await repository.openObject(id)).read())).toBe(sha256Hex(bytes));
}

async function blobsOf(kopia: Kopia): Promise<Map<string, Uint8Array>> {
  const store = filesystemStore({ path: kopia.repositoryPath });
  const blobs = new Map<string, Uint8Array>();
  for await (const { id } of store.list("")) blobs.set(id, await store.get(id));
  return blobs;
}

/** Everybody's verdict: kopia's, ours, the decoder's; kopia also reads every file of every snapshot. */
async function expectSoundForAll(kopia: Kopia): Promise<void> {
  await using repository = await openByUs(kopia);
  await expectSoundForBoth(repository, kopia);
  await kopia.run("snapshot", "verify", "--verify-files-percent=100");
  expect(decodeRepository(await blobsOf(kopia), kopia.password).problems).toEqual([]);
}

/** Makes the first blobs of a kind look as old as the hours say; storage time rules epochs and compaction. */
async function age(kopia: Kopia, hours: number, count: number, kind: RegExp): Promise<void> {
  const time = new Date(Date.now() - hours * 3_600_000);
  const paths = (await readdir(kopia.repositoryPath, { recursive: true })).filter(
    (path) => kind.test(path.replaceAll("/", "")) && path.endsWith(".f"),
  );
  expect(paths.length).toBeGreaterThan(count);
  for (const path of paths.slice(0, count))
    await utimes(join(kopia.repositoryPath, path), time, time);
}

describe.skipIf(!peer.available)(peer.title("kopia and we share a repository"), patient, () => {
  it.concurrent.each(origins)(
    "in turn, made by $maker, format $version, ECC $ecc",
    async (origin) => {
      await using kopia = await make(origin);
      const objects = new Map<string, Uint8Array>();
      for (let round = 1; round <= 3; round += 1) {
        await snapshotByKopia(kopia, round);
        for (const [id, bytes] of await writeByUs(kopia, round)) objects.set(id, bytes);
      }
      await using repository = await openByUs(kopia);
      await expectObjects(repository, objects);
      for (const [id, bytes] of objects) {
        const { stdoutBytes } = await kopia.run("show", id);
        expect(sha256Hex(stdoutBytes)).toBe(sha256Hex(bytes));
      }
      expect((await repository.findManifests({ type: "snapshot" })).length).toBe(3);
      const listed = await kopia.json<unknown[]>("manifest", "list", "--filter=type:interop");
      expect(listed.length).toBe(3);
      // What one deletes, the other no longer sees.
      const plain = [...objects.keys()].find((id) => /^[0-9a-f]+$/.test(id))!;
      await using session = await repository.openWriteSession();
      await session.deleteContent(parseContentId(plain));
      for (const { id } of await session.findManifests({ type: "interop", round: "2" }))
        await session.deleteManifest(id);
      await session.commit();
      await kopia.forget();
      const contents = await kopia.json<{ contentID: string }[]>("content", "list");
      expect(contents.some(({ contentID }) => contentID === plain)).toBe(false);
      const left = await kopia.json<{ id: string }[]>("manifest", "list", "--filter=type:interop");
      expect(left.length).toBe(2);
      await kopia.run("manifest", "rm", left[0]!.id);
      await using later = await openByUs(kopia);
      expect((await later.findManifests({ type: "interop" })).length).toBe(1);
      await expectSoundForAll(kopia);
    },
  );

  it.concurrent.each([
    { maker: "us", version: 1, by: "kopia" },
    { maker: "us", version: 3, by: "kopia" },
    { maker: "kopia", version: 1, by: "us" },
    { maker: "kopia", version: 3, by: "us" },
  ] as const)("maintenance by $by, made by $maker, format $version", async (origin) => {
    const { by, version } = origin;
    await using kopia = await make({ ...origin, ecc: 0 } as Origin);
    await snapshotByKopia(kopia, 1);
    for (let round = 1; round <= 22; round += 1) await writeByUs(kopia, round);
    // The first index blobs of an epoch lie a day before the last.
    await age(kopia, 26, 3, version === 1 ? /^n/ : /^xn0_/);
    const maintain = async (): Promise<void> => {
      await kopia.forget();
      for (const mode of ["quick", "full"] as const) {
        if (by === "kopia") {
          await kopia.run("maintenance", "set", "--owner=me");
          const flag = mode === "full" ? "--full" : "--no-full";
          await kopia.run("maintenance", "run", flag, "--safety=none");
        } else {
          await using repository = await openByUs(kopia);
          await runMaintenance(repository, { mode, safety: "none", force: true });
        }
      }
    };
    await maintain();
    await expectSoundForAll(kopia);
    await snapshotByKopia(kopia, 2);
    await writeByUs(kopia, 50);
    await maintain();
    await expectSoundForAll(kopia);
    await using repository = await openByUs(kopia);
    expect((await repository.findManifests({ type: "interop" })).length).toBe(23);
    const ids = [...(await blobsOf(kopia)).keys()];
    if (version === 3) {
      expect((await (repository.indexManager as EpochManager).state()).writeEpoch).toBe(1);
      expect(ids).toContain("xe1");
    } else {
      // An index blob without a session is the output of a compaction.
      expect(ids.filter((id) => /^n[0-9a-f]+$/.test(id)).length).toBeGreaterThan(0);
      const { blobIds } = await repository.indexManager.active();
      expect(blobIds.length).toBeLessThan(10);
    }
  });

  it.concurrent("the password, changed by us and then by kopia", async () => {
    await using kopia = await make(origins[1]);
    const written = await writeByUs(kopia, 1);
    await using repository = await openByUs(kopia);
    await changePassword(repository.store, repository.openedFormat, { newPassword: "second ✓" });
    await kopia.forget();
    await expect(kopia.run("repository", "status")).rejects.toThrow(/password/);
    kopia.password = "second ✓";
    await expectSoundForAll(kopia);

    await kopia.run("repository", "change-password", "--new-password=third");
    await expect(openByUs(kopia)).rejects.toMatchObject({ code: "DM_PASSWORD_INVALID" });
    kopia.password = "third";
    await expectSoundForAll(kopia);
    await using reopened = await openByUs(kopia);
    await expectObjects(reopened, written);
  });

  it.concurrent.each([
    { maker: "us", version: 1, by: "kopia" },
    { maker: "us", version: 3, by: "kopia" },
    { maker: "kopia", version: 1, by: "us" },
    { maker: "kopia", version: 3, by: "us" },
  ] as const)("indexes recovered by $by, made by $maker, format $version", async (origin) => {
    await using kopia = await make({ ...origin, ecc: 0 } as Origin);
    await snapshotByKopia(kopia, 1);
    const written = await writeByUs(kopia, 1);
    const before = await listed(kopia);
    const store = filesystemStore({ path: kopia.repositoryPath });
    for (const id of (await blobsOf(kopia)).keys()) if (/^(n|xn)/.test(id)) await store.delete(id);
    expect(await listed(kopia)).toEqual([]);
    if (origin.by === "kopia") {
      await kopia.forget();
      await kopia.run("index", "recover", "--commit");
    } else {
      await using repository = await openByUs(kopia);
      await recoverIndex(repository, { commit: true });
    }
    expect(await listed(kopia)).toEqual(before);
    await using repository = await openByUs(kopia);
    await expectObjects(repository, written);
    await expectSoundForAll(kopia);
  });

  it.concurrent("format 1, upgraded by us, used by kopia", async () => {
    await using kopia = await make(origins[0]);
    await snapshotByKopia(kopia, 1);
    await writeByUs(kopia, 1);
    {
      await using repository = await openByUs(kopia);
      await upgradeRepository(repository);
    }
    await snapshotByKopia(kopia, 2);
    await writeByUs(kopia, 2);
    await using repository = await openByUs(kopia);
    expect(repository.format.epochParameters.enabled).toBe(true);
    await expectSoundForAll(kopia);
  });
});

async function listed(kopia: Kopia): Promise<string[]> {
  await using repository = await openByUs(kopia);
  const ids: string[] = [];
  for await (const { contentId } of repository.listContents()) ids.push(contentId);
  return ids;
}
