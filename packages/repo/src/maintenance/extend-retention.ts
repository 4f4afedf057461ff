/**
 * Prolongs the object lock of every blob that carries one. Proof: test/maintenance.test.ts.
 * @module
 */
import { ConflictError, mapConcurrent } from "@dm/core";
import { type CallOptions, lockedPrefixes } from "@dm/storage";
import type { Repository } from "../repository.ts";
import type { MaintenanceParameters } from "./parameters.ts";
import { msToNs } from "./safety.ts";

const extendConcurrency = 4;
const marginNs = 24n * 3_600_000_000_000n;

/** @throws {ConflictError} `DM_RETENTION_TOO_SHORT` when locks could expire before the next full run */
export async function extendRetention(
  repository: Repository,
  parameters: MaintenanceParameters,
  options: CallOptions = {},
): Promise<{ readonly blobsExtended: number }> {
  const { retention } = repository.openedFormat.blobConfig;
  if (!retention) return { blobsExtended: 0 };
  const intervalNs = BigInt(Math.round(parameters.full.interval));
  if (msToNs(retention.periodMs) < intervalNs + marginNs) {
    throw new ConflictError(
      "DM_RETENTION_TOO_SHORT",
      "the retention period must exceed the interval of full maintenance by at least a day",
      { periodMs: retention.periodMs, intervalNs: Number(intervalNs) },
    );
  }
  const { store } = repository;
  let blobsExtended = 0;
  for (const prefix of lockedPrefixes) {
    await mapConcurrent(
      store.list(prefix, options),
      async (blob) => {
        await store.extendRetention(blob.id, retention, options);
        blobsExtended += 1;
      },
      { concurrency: extendConcurrency, signal: options.signal },
    );
  }
  return { blobsExtended };
}
