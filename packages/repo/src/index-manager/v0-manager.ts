/**
 * The index manager of repositories without epochs. Decisions are pure and live in v0-log.ts.
 * Format: docs/format/epochs.md. Proof: test/v0.test.ts.
 * @module
 */
import { isDmError, mapConcurrent } from "@dm/core";
import type { BlobMetadata, BlobStore, CallOptions } from "@dm/storage";
import { type Crypter, openBlob, sealBlob } from "../crypto/crypter.ts";
import { poisonBlobId } from "../format/upgrade.ts";
import type { ActiveIndexSet, IndexManager } from "./index-manager.ts";
import {
  activeV0Blobs,
  type CompactionLog,
  decodeCompactionLog,
  decodeDelayedCleanup,
  encodeCompactionLog,
  encodeDelayedCleanup,
  v0CleanupDelayNs,
} from "./v0-log.ts";

const readConcurrency = 5;

export interface V0ManagerOptions {
  readonly store: BlobStore;
  readonly crypter: Crypter;
}

/** Which index blobs count, by the log of compactions (repositories without epochs), and where new ones are written. */
export class V0Manager implements IndexManager {
  readonly #options: V0ManagerOptions;
  /** Log blobs never change under one name. */
  readonly #logs = new Map<string, CompactionLog>();

  constructor(options: V0ManagerOptions) {
    this.#options = options;
  }

  async active(options: CallOptions & { readonly fresh?: boolean } = {}): Promise<ActiveIndexSet> {
    const blobs = await this.activeBlobs(options);
    return { blobIds: blobs.map((blob) => blob.id), deletionWatermarkSeconds: 0 };
  }

  async activeBlobs(options: CallOptions = {}): Promise<readonly BlobMetadata[]> {
    // Logs first: a log that appears after its inputs were listed would hide them while its outputs are not listed.
    const logBlobs = await this.#list("m", options);
    const logs = await this.#readLogs(logBlobs, options);
    const indexBlobs = await this.#list("n", options);
    return activeV0Blobs(indexBlobs, logs.values());
  }

  async write(
    indexes: readonly Uint8Array[],
    options: CallOptions & { readonly sessionId: string },
  ): Promise<string[]> {
    const written: string[] = [];
    for (const index of indexes)
      written.push(await this.#put(index, "n", options.sessionId, options));
    return written;
  }

  /** Stores the merged index of `inputs` and the log that makes it replace them; {@link cleanUp} deletes them later. */
  async replace(
    inputs: readonly BlobMetadata[],
    indexes: readonly Uint8Array[],
    options: CallOptions = {},
  ): Promise<string[]> {
    const { store } = this.#options;
    const outputs: BlobMetadata[] = [];
    for (const index of indexes) {
      outputs.push(
        await store.stat(await this.#put(index, "n", "", options), { signal: options.signal }),
      );
    }
    await this.#put(encodeCompactionLog({ inputs, outputs }), "m", "", options);
    return outputs.map((blob) => blob.id);
  }

  /**
   * Deletes inputs of compactions, and later their logs, each when the store's clock has moved on by an hour.
   * Inputs go before their log, or they would count again.
   */
  async cleanUp(
    options: CallOptions = {},
  ): Promise<{ readonly indexes: string[]; readonly logs: string[] }> {
    const { store, crypter } = this.#options;
    const { signal } = options;
    const removed = { indexes: [] as string[], logs: [] as string[] };
    // Oldest first: when the output of an older log goes before that log's inputs, a crash in between makes them count.
    const logBlobs = (await this.#list("m", options)).sort(byTime);
    const cleanups = (await this.#list("l", options)).sort(byTime);
    const logs = await this.#readLogs(logBlobs, options);
    const newest = [logBlobs.at(-1), cleanups.at(-1)]
      .filter((blob) => blob !== undefined)
      .sort(byTime);
    const nowNs = newest.at(-1)?.timestampNs ?? 0n;
    const present = new Set((await this.#list("n", options)).map((blob) => blob.id));
    const finished: string[] = [];
    for (const blob of logBlobs) {
      const log = logs.get(blob.id);
      if (!log || nowNs - blob.timestampNs < v0CleanupDelayNs) continue;
      const inputs = log.inputs.filter((input) => present.has(input.id));
      if (inputs.length > 0 && !log.outputs.every((output) => present.has(output.id))) continue;
      for (const input of inputs) {
        await store.delete(input.id, { signal });
        removed.indexes.push(input.id);
      }
      finished.push(blob.id);
    }
    const scheduled = new Set<string>();
    for (const blob of cleanups) {
      const stored = await store.get(blob.id, { signal });
      const cleanup = decodeDelayedCleanup(openBlob(crypter, blob.id, stored), blob.id);
      if (nowNs - blob.timestampNs >= v0CleanupDelayNs) {
        for (const logId of cleanup.blobIds) {
          await store.delete(logId, { signal });
          removed.logs.push(logId);
        }
        await store.delete(blob.id, { signal });
      } else for (const logId of cleanup.blobIds) scheduled.add(logId);
    }
    const toSchedule = finished.filter(
      (logId) => !scheduled.has(logId) && !removed.logs.includes(logId),
    );
    if (toSchedule.length > 0) {
      await this.#put(
        encodeDelayedCleanup({ blobIds: toSchedule, scheduledAtNs: nowNs }),
        "l",
        "",
        options,
      );
    }
    return removed;
  }

  async #put(
    plaintext: Uint8Array,
    prefix: string,
    suffix: string,
    options: CallOptions,
  ): Promise<string> {
    const sealed = sealBlob(this.#options.crypter, plaintext, prefix, suffix);
    await this.#options.store.put(sealed.blobId, sealed.data, { signal: options.signal });
    return sealed.blobId;
  }

  async #list(prefix: string, options: CallOptions): Promise<BlobMetadata[]> {
    const blobs: BlobMetadata[] = [];
    for await (const blob of this.#options.store.list(prefix, { signal: options.signal })) {
      if (blob.id !== poisonBlobId) blobs.push(blob);
    }
    return blobs;
  }

  async #readLogs(
    blobs: readonly BlobMetadata[],
    options: CallOptions,
  ): Promise<Map<string, CompactionLog>> {
    const { store, crypter } = this.#options;
    const logs = new Map<string, CompactionLog>();
    await mapConcurrent(
      blobs,
      async ({ id }) => {
        let log = this.#logs.get(id);
        if (!log) {
          try {
            log = decodeCompactionLog(
              openBlob(crypter, id, await store.get(id, { signal: options.signal })),
              id,
            );
          } catch (error) {
            // Another client's clean-up took it between list and get; its inputs are gone already.
            if (isDmError(error, "DM_BLOB_NOT_FOUND")) return;
            throw error;
          }
        }
        logs.set(id, log);
      },
      { concurrency: readConcurrency, signal: options.signal },
    );
    this.#logs.clear();
    for (const [id, log] of logs) this.#logs.set(id, log);
    return logs;
  }
}

const byTime = (a: BlobMetadata, b: BlobMetadata): number =>
  a.timestampNs < b.timestampNs ? -1 : a.timestampNs > b.timestampNs ? 1 : 0;
