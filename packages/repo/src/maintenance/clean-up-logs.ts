/**
 * Removes old log blobs (`_log_…`) by size, number and age. Proof: test/maintenance.test.ts.
 * @module
 */
import { mapConcurrent } from "@dm/core";
import type { BlobMetadata, CallOptions } from "@dm/storage";
import type { Repository } from "../repository.ts";
import { type LogRetention, logRetentionOf, type MaintenanceParameters } from "./parameters.ts";

const deleteConcurrency = 4;

/** Log blobs beyond the limits (0 is none): newest first, everything from the first that breaks one. Pure. */
export function logsToDelete(
  logs: readonly BlobMetadata[],
  retention: LogRetention,
  nowNs: bigint,
): BlobMetadata[] {
  const newestFirst = [...logs].sort((a, b) => Number(b.timestampNs - a.timestampNs));
  const maxBytes = retention.maxTotalSize || Number.POSITIVE_INFINITY;
  const maxCount = retention.maxCount || Number.POSITIVE_INFINITY;
  const maxAgeNs = retention.maxAge || Number.POSITIVE_INFINITY;
  let bytes = 0;
  const limit = newestFirst.findIndex((log, index) => {
    bytes += log.length;
    const ageNs = Number(nowNs - log.timestampNs);
    return bytes > maxBytes || index >= maxCount || ageNs > maxAgeNs;
  });
  return limit < 0 ? [] : newestFirst.slice(limit);
}

export async function cleanUpLogs(
  repository: Repository,
  parameters: MaintenanceParameters,
  options: CallOptions = {},
): Promise<{ readonly logsDeleted: number }> {
  const { clock, store } = repository;
  const logs: BlobMetadata[] = [];
  for await (const log of store.list("_log_", options)) logs.push(log);
  const doomed = logsToDelete(logs, logRetentionOf(parameters), clock.nowNs());
  await mapConcurrent(doomed, (log) => store.delete(log.id, options), {
    concurrency: deleteConcurrency,
    signal: options.signal,
  });
  return { logsDeleted: doomed.length };
}
