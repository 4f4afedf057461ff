/**
 * Deletes packs that no index entry names, left by crashed sessions and by rewriting, and markers of sessions that ended
 * long ago without removing theirs. The rules protect packs of other clients whose index is still to come.
 * Proof: test/maintenance.test.ts.
 * @module
 */
import { isDmError, mapConcurrent } from "@dm/core";
import type { BlobMetadata, CallOptions } from "@dm/storage";
import {
  decodeSessionMarker,
  isSessionMarkerBlobId,
  sessionIdOfPack,
} from "../content/session-marker.ts";
import { openBlob } from "../crypto/crypter.ts";
import { isPackBlobId } from "../pack/pack-name.ts";
import type { Repository } from "../repository.ts";
import { msToNs, type SafetyParameters } from "./safety.ts";

const deleteConcurrency = 4;
const clockToleranceNs = 1_000_000_000n;

/** Packs to delete. Pure. */
export function orphanPacks(
  packs: Iterable<BlobMetadata>,
  options: {
    readonly referenced: ReadonlySet<string>;
    /** Session id to the time of its marker's checkpoint. */
    readonly sessions: ReadonlyMap<string, bigint>;
    /** The store's time at the start of this run. */
    readonly startedAtNs: bigint;
    readonly safety: SafetyParameters;
  },
): BlobMetadata[] {
  const { referenced, safety, sessions, startedAtNs } = options;
  const orphans: BlobMetadata[] = [];
  for (const pack of packs) {
    if (referenced.has(pack.id)) continue;
    if (pack.timestampNs > startedAtNs + clockToleranceNs) continue;
    if (startedAtNs - pack.timestampNs < msToNs(safety.packDeleteMinAgeMs)) continue;
    const checkpointNs = sessions.get(sessionIdOfPack(pack.id) ?? "");
    if (
      checkpointNs !== undefined &&
      startedAtNs - checkpointNs < msToNs(safety.sessionExpirationMs)
    )
      continue;
    orphans.push(pack);
  }
  return orphans;
}

export interface DeleteOrphansReport {
  readonly packsDeleted: number;
  readonly bytesDeleted: number;
  readonly sessionMarkersDeleted: number;
}

export async function deleteOrphanPacks(
  repository: Repository,
  options: CallOptions & {
    readonly prefixes: readonly string[];
    readonly startedAtNs: bigint;
    readonly safety: SafetyParameters;
  },
): Promise<DeleteOrphansReport> {
  const { prefixes, safety, signal, startedAtNs } = options;
  const { store } = repository;
  // The order of these three decides. A writer stores marker, pack, index and then removes the marker. So the marker of
  // every pack that is listed here was there before; and unless the index, which is read last, names the pack, it was
  // still there in between.
  const blobs: BlobMetadata[] = [];
  for (const prefix of prefixes) {
    for await (const blob of store.list(prefix, { signal }))
      if (isPackBlobId(blob.id) || isSessionMarkerBlobId(blob.id)) blobs.push(blob);
  }
  const sessions = await activeSessions(repository, options);
  const index = await repository.contentReader.index.get({ signal, fresh: true });
  const referenced = new Set<string>();
  for (const entry of index.entries()) referenced.add(entry.packBlobId);
  const doomed = orphanPacks(blobs, { referenced, sessions, startedAtNs, safety });
  await mapConcurrent(doomed, (blob) => store.delete(blob.id, { signal }), {
    concurrency: deleteConcurrency,
    signal,
  });
  const packs = doomed.filter((blob) => !blob.id.startsWith("s"));
  return {
    packsDeleted: packs.length,
    bytesDeleted: packs.reduce((sum, pack) => sum + pack.length, 0),
    sessionMarkersDeleted: doomed.length - packs.length,
  };
}

/** Session id to checkpoint time, of every marker. A marker that cannot be read counts as fresh. */
async function activeSessions(
  repository: Repository,
  options: CallOptions,
): Promise<Map<string, bigint>> {
  const { crypter, logger, store } = repository;
  const sessions = new Map<string, bigint>();
  for await (const blob of store.list("s", { signal: options.signal })) {
    try {
      const stored = await store.get(blob.id, { signal: options.signal });
      const marker = decodeSessionMarker(openBlob(crypter, blob.id, stored), blob.id);
      sessions.set(marker.id, marker.checkpointAtNs);
    } catch (error) {
      // The session ended between list and get.
      if (isDmError(error, "DM_BLOB_NOT_FOUND")) continue;
      if (!isDmError(error)) throw error;
      logger.warn("Session marker is damaged; its packs are kept", {
        blobId: blob.id,
        error: error.message,
      });
      const sessionId = sessionIdOfPack(blob.id);
      if (sessionId) sessions.set(sessionId, blob.timestampNs);
    }
  }
  return sessions;
}
