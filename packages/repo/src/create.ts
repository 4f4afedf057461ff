/**
 * Makes a new repository in an empty store.
 * Format: docs/format/format-blob.md. Proof: test/create.test.ts, test/interop-ours.kopia.test.ts.
 * @module
 */
import type { BlobStore } from "@dm/storage";
import { type CreateFormatOptions, createRepositoryFormat } from "./format/create-format.ts";
import {
  defaultMaintenanceParameters,
  writeMaintenanceParameters,
} from "./maintenance/parameters.ts";
import { type OpenRepositoryOptions, Repository } from "./repository.ts";

export interface CreateRepositoryOptions
  extends OpenRepositoryOptions,
    Omit<CreateFormatOptions, "password"> {
  /** Who will run maintenance, `user@host`; this client by default. */
  readonly maintenanceOwner?: string | undefined;
}

/**
 * Creates the format blobs, then the maintenance parameters with this client as owner, and answers the open repository.
 * @throws {ConflictError} `DM_REPOSITORY_EXISTS` when the store holds a repository, or anything at all
 * @throws {UnsupportedError} for an unknown algorithm, listing the known ones
 * @example
 * const repository = await createRepository(memoryStore(), { password: "secret" });
 */
export async function createRepository(
  store: BlobStore,
  options: CreateRepositoryOptions,
): Promise<Repository> {
  const opened = await createRepositoryFormat(store, options);
  const repository = new Repository(store, opened, options);
  await using session = await repository.openWriteSession({ signal: options.signal });
  const owner = options.maintenanceOwner ?? repository.clientName;
  await writeMaintenanceParameters(session, defaultMaintenanceParameters(owner), {
    signal: options.signal,
  });
  await session.commit({ signal: options.signal });
  return repository;
}
