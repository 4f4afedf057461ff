/**
 * Retention applied to the snapshots of a repository.
 * Format: docs/format/policies.md. Proof: test/expire.test.ts, test/retention.kopia.test.ts.
 * @module
 */
import type { CallOptions } from "@dm/storage";
import { deleteSnapshots, type ManifestWriter } from "../edit.ts";
import type { Snapshot, SnapshotSource } from "../snapshot-codec.ts";
import { bySource, listSnapshots, type ManifestSource } from "../snapshots.ts";
import { effectiveOf } from "./effective-policy.ts";
import { loadPolicies } from "./policies.ts";
import { retentionReasons } from "./retention.ts";

/**
 * Why each of the snapshots is kept: by the effective policy of its source, among those of its source. Give all snapshots of
 * a source, or numbers are wrong.
 * @returns by the snapshots' ids
 * @throws {FormatError} `DM_POLICY_INVALID`
 * @example
 * const snapshots = await listSnapshots(repository);
 * const reasons = await retentionOf(repository, snapshots);
 * for (const { id } of snapshots) console.log(id, reasons.get(id)?.join(","));
 */
export async function retentionOf(
  repository: Pick<ManifestSource, "findManifests">,
  snapshots: readonly Snapshot[],
  options: CallOptions = {},
): Promise<ReadonlyMap<string, readonly string[]>> {
  const policies = await loadPolicies(repository, options);
  const reasons = new Map<string, readonly string[]>();
  for (const group of bySource(snapshots)) {
    const { retention } = effectiveOf(policies, group[0]!.source).policy;
    for (const [index, own] of retentionReasons(group, retention).entries())
      reasons.set(group[index]!.id, own);
  }
  return reasons;
}

/**
 * Snapshots of a source, or of all sources of a host or user (`{}` for all that there are), that their policies do not keep and
 * no pin does, oldest first. Changes nothing.
 */
export async function expiredSnapshots(
  repository: Pick<ManifestSource, "findManifests">,
  source: Partial<SnapshotSource>,
  options: CallOptions = {},
): Promise<Snapshot[]> {
  const snapshots = await listSnapshots(repository, { ...options, source });
  const reasons = await retentionOf(repository, snapshots, options);
  return snapshots.filter(({ id, pins }) => pins.length === 0 && reasons.get(id)!.length === 0);
}

/**
 * Deletes {@link expiredSnapshots}, those that the session itself has put included; visible with its next flush. Their data
 * goes with the garbage that maintenance collects.
 * @returns what was deleted
 * @throws {FormatError} `DM_POLICY_INVALID`, `DM_SNAPSHOT_INVALID`: nothing is deleted then
 * @example
 * await expireSnapshots(session, { host: "h", userName: "u", path: "/data" });
 */
export async function expireSnapshots(
  session: ManifestWriter & Pick<ManifestSource, "findManifests">,
  source: Partial<SnapshotSource>,
  options: CallOptions = {},
): Promise<Snapshot[]> {
  const expired = await expiredSnapshots(session, source, options);
  await deleteSnapshots(session, expired, options);
  return expired;
}
