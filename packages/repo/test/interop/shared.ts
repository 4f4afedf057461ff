/** Repositories that the real kopia and we use together, each made by one of the two. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { filesystemStore } from "@dm/storage/filesystem";
import { expect } from "vitest";
import {
  type CreateRepositoryOptions,
  createRepository,
  openRepository,
  type Repository,
  verifyRepository,
} from "../../src/index.ts";
import { derivedOnce } from "../format-helpers.ts";
import { Kopia, password } from "./kopia.ts";

const client = { username: "tester", hostname: "interop", deriveKey: derivedOnce };

/** A repository that we made, and the real kopia connected to it. */
export class Shared implements AsyncDisposable {
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

export async function ourRepository(
  program: string,
  format: NonNullable<CreateRepositoryOptions["format"]>,
): Promise<Shared> {
  const kopia = await Kopia.inNewFolder(program);
  const store = filesystemStore({ path: kopia.repositoryPath });
  // One salt for all: the password is derived once.
  const uniqueId = new Uint8Array(32).fill(9);
  const repository = await createRepository(store, { ...client, password, format, uniqueId });
  await kopia.connectByOurConfig();
  return new Shared(kopia, repository);
}

/** A repository that kopia made, nothing in it yet. */
export async function theirRepository(program: string, flags: readonly string[]): Promise<Kopia> {
  const kopia = await Kopia.inNewFolder(program);
  await mkdir(join(kopia.folder, "config"));
  await kopia.run("repository", "create", "filesystem", "--path", kopia.repositoryPath, ...flags);
  return kopia;
}

/** Writes files to a folder below the connection's own, for kopia to snapshot. */
export async function sourceOf(
  kopia: Kopia,
  name: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<string> {
  const source = join(kopia.folder, name);
  await mkdir(source, { recursive: true });
  for (const [file, data] of files) await writeFile(join(source, file), data);
  return source;
}

/** Opens what is on disk now, as a client of ours that has never seen it. */
export function openByUs(kopia: Kopia, secret = kopia.password): Promise<Repository> {
  const store = filesystemStore({ path: kopia.repositoryPath });
  return openRepository(store, { ...client, password: secret });
}

/** kopia and we agree on every content, and both find every one of them sound. */
export async function expectSoundForBoth(repository: Repository, kopia: Kopia): Promise<void> {
  expect((await verifyRepository(repository)).findings).toEqual([]);
  const ours = [];
  for await (const entry of repository.listContents({ includeDeleted: true })) ours.push(entry);
  await kopia.forget();
  const listed = await kopia.json<
    {
      contentID: string;
      packFile: string;
      packOffset: number;
      length: number;
      originalLength: number;
      deleted?: boolean;
    }[]
  >("content", "list", "--deleted");
  expect(
    ours.map(({ contentId, packBlobId, packOffset, ...entry }) => [
      contentId,
      packBlobId,
      packOffset,
      entry.packedLength,
      entry.originalLength,
      entry.deleted,
    ]),
  ).toEqual(
    listed.map(({ contentID, packFile, packOffset, ...entry }) => [
      contentID,
      packFile,
      packOffset,
      entry.length,
      entry.originalLength,
      entry.deleted === true,
    ]),
  );
  const living = ours.filter(({ deleted }) => !deleted).length;
  expect(await kopia.verifyContents()).toBe(living);
}

/** `status`, `content verify --full`, `index inspect --all` and `manifest list` of kopia say what we say. */
export async function expectAgreement({ kopia, repository }: Shared): Promise<void> {
  const { format } = repository;
  const status = await kopia.json<{ contentFormat: object; uniqueIDHex: string }>(
    "repository",
    "status",
  );
  expect(status).toMatchObject({
    uniqueIDHex: Buffer.from(repository.uniqueId).toString("hex"),
    contentFormat: {
      hash: format.hash,
      encryption: format.encryption,
      version: format.version,
      indexVersion: format.indexVersion,
      maxPackSize: format.maxPackSizeBytes,
    },
    objectFormat: { splitter: format.splitter },
  });
  const own: string[] = [];
  for await (const { contentId } of repository.listContents()) own.push(contentId);
  expect(await kopia.verifyContents()).toBe(own.length);
  expect((await kopia.inspectIndexes()).sort()).toEqual(own.sort());
  const manifests = await kopia.json<{ id: string; labels: object }[]>("manifest", "list");
  const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);
  expect(manifests.map(({ id, labels }) => ({ id, labels })).sort(byId)).toEqual(
    (await repository.findManifests()).map(({ id, labels }) => ({ id, labels })).sort(byId),
  );
}
