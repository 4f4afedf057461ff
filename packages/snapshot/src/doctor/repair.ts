/**
 * Carries the plan of a diagnosis out. Proof: test/doctor-repair.test.ts, test/doctor.kopia.test.ts.
 * @module
 */
import { AccessError, ConflictError } from "@dm/core";
import { type BlobStore, type CallOptions, getIfPresent } from "@dm/storage";
import type { RepairStep } from "./diagnosis.ts";
import { type PlannedWrite, sameBytes } from "./draft-store.ts";

/** How to carry a plan out. */
export interface RepairOptions extends CallOptions {
  /** Told after each step. */
  readonly onStep?: ((step: RepairStep) => void) | undefined;
}

/**
 * Writes what the plan lists, in its order, and nothing else. Whenever it is cut off, nothing is lost that was there, and the
 * next diagnosis plans the rest: blobs are put before others are deleted, and what is deleted or replaced has a copy
 * under another name. Look again afterwards: other clients may have written meanwhile.
 * @throws {AccessError} `DM_STORE_READ_ONLY`
 * @throws {ConflictError} `DM_REPAIR_OUTDATED` when a blob of the plan is not what it was when it was looked at
 * @example
 * const { plan } = await diagnoseRepository(store, { password });
 * await repairRepository(store, plan);
 */
export async function repairRepository(
  store: BlobStore,
  plan: readonly RepairStep[],
  options: RepairOptions = {},
): Promise<void> {
  if (store.readOnly && plan.length > 0)
    throw new AccessError("DM_STORE_READ_ONLY", "the store is open for reading only");
  for (const step of plan) {
    for (const write of step.writes) {
      options.signal?.throwIfAborted();
      await carryOut(store, write, options);
    }
    options.onStep?.(step);
  }
}

async function carryOut(
  store: BlobStore,
  write: PlannedWrite,
  { signal }: CallOptions,
): Promise<void> {
  const { blobId, replaces } = write;
  const present = await getIfPresent(store, blobId, { signal });
  const wanted = write.do === "put" ? write.data : undefined;
  // Done already, by a run that was cut off.
  if (sameBytes(present, wanted)) return;
  if (!sameBytes(present, replaces)) {
    throw new ConflictError(
      "DM_REPAIR_OUTDATED",
      `blob ${blobId} has changed since the repository was looked at: look at it again`,
      { blobId },
    );
  }
  if (write.do === "delete") await store.delete(blobId, { signal });
  else await store.put(blobId, write.data, { signal, retention: write.retention });
}
