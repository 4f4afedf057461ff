/**
 * Backs up a path of this machine in one call, as `kopia snapshot create` does: under the name of this user and host, stored by
 * worker threads. Proof: test/create-snapshot.test.ts.
 * @module
 */
import { resolve } from "node:path";
import type { Repository } from "@dm/repo";
import { defaultHostname, defaultUsername } from "@dm/repo/client";
import type { SnapshotSource } from "../snapshot-codec.ts";
import {
  type UploadedSnapshot,
  type UploadSnapshotOptions,
  uploadSnapshot,
} from "../upload/upload.ts";
import { createDataPlane, type DataPlaneOptions } from "./data-plane/data-plane.ts";
import { type LocalSourceOptions, openLocalSource } from "./local-source.ts";

/** What an upload, its worker threads and its source may be told. */
export interface CreateSnapshotOptions
  extends Omit<UploadSnapshotOptions, "dataPlane" | "source">,
    DataPlaneOptions,
    LocalSourceOptions {
  /** Names in the place of this host, this user and the absolute path; those that are left out stay as they are. */
  readonly source?: Partial<SnapshotSource> | undefined;
}

/**
 * Makes a snapshot of a directory or a file, on top of the earlier ones of the same source. When the promise settles, it is
 * durable; `rootEntry.summary` counts and lists what could not be read.
 * @throws as Node does, when there is nothing at the path; and as `uploadSnapshot`
 * @example
 * const snapshot = await createSnapshot(repository, "/home/me/photos");
 * await restoreTree(repository, snapshot.rootEntry, "/restored/photos");
 */
export async function createSnapshot(
  repository: Repository,
  path: string,
  options: CreateSnapshotOptions = {},
): Promise<UploadedSnapshot> {
  const { signal } = options;
  const source: SnapshotSource = {
    host: defaultHostname(),
    userName: defaultUsername(),
    path: resolve(path),
    ...options.source,
  };
  const entry = await openLocalSource(path, options);
  await using session = await repository.openWriteSession({ signal });
  await using dataPlane = createDataPlane(session, options);
  const snapshot = await uploadSnapshot(session, entry, { ...options, source, dataPlane });
  await session.commit();
  return snapshot;
}
