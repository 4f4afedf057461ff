// Contents that are hashed and sealed by the caller: stored as `writeContent` would have, once, acknowledged by a flush only,
// and verified before upload like the others.
import { compress, compressors } from "@dm/compression";
import { type BlobStore, forward } from "@dm/storage";
import { describe, expect, it } from "vitest";
import {
  type ContentId,
  contentIdFromHash,
  contentIv,
  createCrypter,
  type RepositoryFormat,
  type SealedContent,
  type SealedContents,
  verifyRepository,
} from "../src/index.ts";
import { bytesOf, kinds, newRepository } from "./new-repository.ts";

/** What a thread of the caller's does. */
function seal(format: RepositoryFormat, data: Uint8Array, payload = data): SealedContent {
  const crypter = createCrypter(format);
  const hash = crypter.hash.digest(data);
  return {
    contentId: contentIdFromHash("", hash),
    sealed: crypter.seal(payload, contentIv(hash)),
    originalLength: data.length,
    compressionHeaderId: 0,
  };
}

const writeAll = (contents: SealedContents, seeds: readonly number[]): ContentId[] =>
  seeds.map((seed) => {
    const sealed = seal(contents.format, bytesOf(1000 + seed, seed));
    contents.write(sealed);
    return sealed.contentId;
  });

describe.each([1, 2, 3] as const)("format version %i", (version) => {
  it("stores what another client reads, after the flush", async () => {
    const { open, repository, store } = await newRepository({ version });
    await using session = await repository.openWriteSession({ verifyBeforeUpload: true });
    await session.sealedContents.prepare();
    const [id] = writeAll(session.sealedContents, [1]);
    expect(await session.writeContent(bytesOf(1001, 1))).toBe(id);
    expect(await session.readContent(id!)).toEqual(bytesOf(1001, 1));
    expect(session.progress.contentsWritten).toBe(1);
    expect(kinds(store)["p"]).toBeUndefined();
    await session.flush();
    const other = await open();
    expect(await other.readContent(id!)).toEqual(bytesOf(1001, 1));
    expect((await verifyRepository(other)).findings).toEqual([]);
  });
});

it("with error correction, too", async () => {
  const { open, repository } = await newRepository({
    ecc: "REED-SOLOMON-CRC32",
    eccOverheadPercent: 5,
  });
  await using session = await repository.openWriteSession();
  const [id] = writeAll(session.sealedContents, [4]);
  await session.commit();
  expect(await (await open()).readContent(id!)).toEqual(bytesOf(1004, 4));
});

it("keeps a compressed form, which index v1 cannot hold", async () => {
  const data = new Uint8Array(5000);
  const payload = compress("zstd-fastest", data);
  const { headerId: compressionHeaderId } = compressors["zstd-fastest"];
  const { open, repository } = await newRepository();
  await using session = await repository.openWriteSession({ verifyBeforeUpload: true });
  const { format } = session.sealedContents;
  const content = { ...seal(format, data, payload), compressionHeaderId };
  expect(session.sealedContents.write(content)).toBe(true);
  await session.commit();
  const other = await open();
  expect(await other.readContent(content.contentId)).toEqual(data);
  expect((await other.contentInfo(content.contentId))?.compressionHeaderId).toBe(
    compressionHeaderId,
  );
  const old = await newRepository({ version: 1 });
  await using oldSession = await old.repository.openWriteSession();
  expect(() => oldSession.sealedContents.write(content)).toThrow(RangeError);
});

it("is stored once: within a session, after a flush, beside other writers, and again after a deletion", async () => {
  const { clock, open, repository } = await newRepository();
  await using session = await repository.openWriteSession();
  const contents = session.sealedContents;
  const content = seal(contents.format, bytesOf(700, 9));
  expect(contents.has(content.contentId)).toBe(false);
  expect(contents.write(content)).toBe(true);
  expect(contents.has(content.contentId)).toBe(true);
  expect(contents.write(content)).toBe(false);
  await session.flush();
  expect(contents.write(content)).toBe(false);
  await using second = await (await open()).openWriteSession();
  await second.sealedContents.prepare();
  expect(second.sealedContents.has(content.contentId)).toBe(true);
  clock.advance(1000);
  await session.deleteContent(content.contentId);
  expect(contents.has(content.contentId)).toBe(false);
  expect(contents.write(content)).toBe(true);
  await session.flush();
  expect((await (await open()).contentInfo(content.contentId))?.deleted).toBe(false);
});

it("that does not match its id is found by verifyBeforeUpload: nothing is acknowledged", async () => {
  const { open, repository } = await newRepository();
  await using session = await repository.openWriteSession({ verifyBeforeUpload: true });
  const { format } = session.sealedContents;
  const content = seal(format, bytesOf(800, 1), bytesOf(800, 2));
  session.sealedContents.write(content);
  await expect(session.flush()).rejects.toMatchObject({ code: "DM_CONTENT_HASH_MISMATCH" });
  expect(await (await open()).contentInfo(content.contentId)).toBeUndefined();
});

it("is refused when it is no sealed content, and after the end of the session", async () => {
  const { repository } = await newRepository();
  const session = await repository.openWriteSession();
  const contents = session.sealedContents;
  const content = seal(contents.format, bytesOf(100));
  expect(() => contents.write({ ...content, sealed: new Uint8Array(20) })).toThrow(RangeError);
  await session.commit();
  expect(() => contents.write(content)).toThrow(TypeError);
});

it("waits in prepare while packs are under way", async () => {
  const released = Promise.withResolvers<void>();
  const { open, store } = await newRepository({ maxPackSizeBytes: 10 << 20 });
  const slow: BlobStore = {
    ...forward(store),
    async put(id, data, options) {
      if (id.startsWith("p")) await released.promise;
      return store.put(id, data, options);
    },
  };
  const repository = await open({ store: slow });
  await using session = await repository.openWriteSession({ parallelUploads: 1 });
  const contents = session.sealedContents;
  let prepared = 0;
  const filling = (async () => {
    for (let seed = 1; seed <= 8; seed += 1) {
      await contents.prepare();
      prepared += 1;
      contents.write(seal(contents.format, bytesOf(5 << 20, seed)));
    }
  })();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(prepared).toBeLessThanOrEqual(4);
  released.resolve();
  await filling;
  await session.commit();
  expect(kinds(store)["p"]).toBeGreaterThanOrEqual(3);
});
