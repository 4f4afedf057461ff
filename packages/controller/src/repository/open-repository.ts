/**
 * Opens the repository of a namespace to change its snapshots, as long as there is one: deletion makes no repository where it
 * finds none. Nothing is kept between two calls: credentials, certificates and password are those of now.
 * Proof: test/retention/delete-backup.test.ts.
 * @module
 */
import { type Clock, isDmError, type Logger } from "@dm/core";
import {
  deleteVeleroSnapshots,
  listVeleroSnapshots,
  openVeleroRepository,
  openVeleroStore,
  type VeleroManifest,
} from "@dm/snapshot/velero";
import type { KubeCallOptions, KubeClient, ObjectKey } from "../runtime/kube-client.ts";
import type { RepositoryDeps } from "./repository-deps.ts";
import { presentRepositoryPassword } from "./repository-password.ts";
import { readStorageLocation } from "./storage-location.ts";

/** Snapshots of one namespace's volumes. */
export interface SnapshotRepository {
  /** Ids that are gone already are fine; returns those that were there. One flush for all. */
  deleteSnapshots(ids: readonly string[], options?: KubeCallOptions): Promise<string[]>;
  listSnapshots(options?: KubeCallOptions): Promise<VeleroManifest[]>;
  close(): Promise<void>;
}

/** Undefined when the bucket has no such repository. */
export type OpenSnapshotRepository = (
  location: ObjectKey,
  volumeNamespace: string,
  options?: KubeCallOptions & { readonly readOnly?: boolean | undefined },
) => Promise<SnapshotRepository | undefined>;

export interface SnapshotRepositoriesOptions
  extends Pick<RepositoryDeps, "deriveKey" | "openStore"> {
  readonly clock?: Clock | undefined;
  readonly environment?: RepositoryDeps["environment"] | undefined;
  readonly logger?: Logger | undefined;
}

/**
 * The repositories in the buckets that the cluster's locations name.
 * @throws {NotFoundError} `DM_LOCATION_NOT_FOUND`, `DM_SECRET_NOT_FOUND`
 */
export function snapshotRepositories(
  client: Pick<KubeClient, "get">,
  options: SnapshotRepositoriesOptions = {},
): OpenSnapshotRepository {
  const { clock, deriveKey, environment, logger, openStore = openVeleroStore } = options;
  return async (key, volumeNamespace, { readOnly = false, signal } = {}) => {
    const {
      credentials,
      location,
      readOnly: only,
    } = await readStorageLocation(client, key, {
      signal,
    });
    const password = await presentRepositoryPassword(client, key.namespace ?? "", { signal });
    const store = await openStore(location, volumeNamespace, {
      credentials,
      environment,
      readOnly: readOnly || only,
      // The reconciler comes back by itself.
      attempts: 3,
      clock,
      logger,
    });
    try {
      const repository = await openVeleroRepository(store, {
        password,
        readOnly: readOnly || only,
        deriveKey,
        clock,
        logger,
        signal,
      });
      return {
        deleteSnapshots: (ids, call) => deleteVeleroSnapshots(repository, ids, call),
        listSnapshots: (call) => listVeleroSnapshots(repository, call),
        close: () => repository[Symbol.asyncDispose](),
      };
    } catch (error) {
      await store.close();
      if (isGone(error)) return undefined;
      throw error;
    }
  };
}

/** A directory of a filesystem store that is not there is a repository that is not there; a bucket is another matter. */
function isGone(error: unknown): boolean {
  if (isDmError(error, "DM_REPOSITORY_NOT_FOUND")) return true;
  return isDmError(error, "DM_STORE_NOT_FOUND") && error.details["path"] !== undefined;
}
