/**
 * What Velero does to a repository beside backups and restores: finds and deletes snapshots, and runs maintenance.
 * Format: docs/format/velero.md. Proof: test/velero-upkeep.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import { type MaintenanceReport, type Repository, runMaintenance } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import { collectGarbage } from "../gc/collect-garbage.ts";
import { listSnapshots } from "../snapshots.ts";
import { veleroHost, veleroUser } from "./velero.ts";

/**
 * Deletes snapshots by the ids of their manifests, pins or not. Ids that are unknown, or of something else than a snapshot, are
 * left alone. The data goes with later maintenance.
 * @returns the ids that were there
 */
export async function deleteVeleroSnapshots(
  repository: Repository,
  ids: Iterable<string>,
  options: CallOptions = {},
): Promise<string[]> {
  const { signal } = options;
  await using session = await repository.openWriteSession({ signal });
  const deleted: string[] = [];
  for (const id of ids) {
    if (!(await isSnapshot(repository, id, options))) continue;
    await session.deleteManifest(id, { signal });
    deleted.push(id);
  }
  await session.commit({ signal });
  return deleted;
}

/** What is known of a snapshot without reading its files. */
export interface VeleroManifest {
  readonly id: string;
  /** `<requester>/kopia/<namespace>/…` */
  readonly path: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly startedAtNs: bigint;
  /** A checkpoint of a run that has not ended, or never will. */
  readonly isComplete: boolean;
}

/** All snapshots of a repository that Velero, or a program in its place, has made. */
export async function listVeleroSnapshots(
  repository: Repository,
  options: CallOptions = {},
): Promise<VeleroManifest[]> {
  const all = await listSnapshots(repository, options);
  return all
    .filter(({ source }) => source.host === veleroHost && source.userName === veleroUser)
    .map(({ id, incompleteReason, source, startedAtNs, tags }) => ({
      id,
      path: source.path,
      tags,
      startedAtNs,
      isComplete: incompleteReason === undefined,
    }));
}

async function isSnapshot(
  repository: Repository,
  id: string,
  options: CallOptions,
): Promise<boolean> {
  try {
    return (await repository.readManifest(id, options)).labels["type"] === "snapshot";
  } catch (error) {
    if (isDmError(error, "DM_MANIFEST_NOT_FOUND")) return false;
    throw error;
  }
}

/** `notOwner`: somebody took maintenance over, and nothing was done. */
export type VeleroMaintenance =
  | { readonly outcome: "done"; readonly report: MaintenanceReport }
  | { readonly outcome: "notOwner"; readonly message: string };

/**
 * Runs what is due by the repository's own schedule: full, quick or nothing, with all margins of safety. Never run two at once
 * for one repository: nothing in the repository prevents it.
 * @throws what `runMaintenance` throws, but `DM_MAINTENANCE_NOT_OWNER`
 */
export async function maintainVeleroRepository(
  repository: Repository,
  options: CallOptions = {},
): Promise<VeleroMaintenance> {
  const { signal } = options;
  try {
    const report = await runMaintenance(repository, { mode: "auto", collectGarbage, signal });
    return { outcome: "done", report };
  } catch (error) {
    if (!isDmError(error, "DM_MAINTENANCE_NOT_OWNER")) throw error;
    return { outcome: "notOwner", message: error.message };
  }
}
