/**
 * The committed index of a repository: the union of all active index blobs, kept as their bytes.
 * Memory is the sum of the decrypted index blobs. Proof: test/golden.test.ts, test/damage.test.ts.
 * @module
 */
import {
  type Clock,
  FormatError,
  IntegrityError,
  isDmError,
  type Logger,
  mapConcurrent,
} from "@dm/core";
import { type BlobStore, type CallOptions, isNearby } from "@dm/storage";
import type { ContentCache } from "../cache/content-cache.ts";
import { type Crypter, openBlob } from "../crypto/crypter.ts";
import { MergedIndex } from "../index-blob/merged.ts";
import { openIndex, type PackIndex } from "../index-blob/open.ts";
import type { IndexManager } from "../index-manager/index-manager.ts";
import { untilAborted } from "../until-aborted.ts";

/** An index blob that could not be used; only collected with `ignoreDamagedIndexes`. */
export interface DamagedIndexBlob {
  readonly blobId: string;
  readonly error: Error;
}

export interface CommittedIndexOptions {
  readonly store: BlobStore;
  readonly crypter: Crypter;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly manager: IndexManager;
  readonly cache?: ContentCache | undefined;
  /** Goes on without index blobs that are damaged, instead of refusing the repository. Never for writing. */
  readonly ignoreDamagedIndexes: boolean;
  /** Age after which the list of index blobs is loaded again before it is used. */
  readonly refreshMs: number;
}

/** Index blobs are small: across a network the wait for an answer is most of their time. */
const fetchConcurrency = { nearby: 5, remote: 32 } as const;
const maxAttempts = 10;

export class CommittedIndex {
  readonly #options: CommittedIndexOptions;
  readonly #open = new Map<string, PackIndex>();
  #merged: MergedIndex | undefined;
  #deletionWatermarkSeconds = 0;
  #loadedAtNs = 0n;
  #loading: Promise<MergedIndex> | undefined;
  /** The load after the one under way. */
  #following: Promise<MergedIndex> | undefined;
  /** Blobs that this process has stored since the present load listed: its list need not hold them. */
  readonly #addedMeanwhile = new Set<string>();
  #damaged: readonly DamagedIndexBlob[] = [];

  constructor(options: CommittedIndexOptions) {
    this.#options = options;
  }

  get damaged(): readonly DamagedIndexBlob[] {
    return this.#damaged;
  }

  get deletionWatermarkSeconds(): number {
    return this.#deletionWatermarkSeconds;
  }

  /** Ids of the index blobs in use, in no order. */
  get blobIds(): readonly string[] {
    return [...this.#open.keys()];
  }

  /** The index of one blob that is in use. */
  blob(blobId: string): PackIndex | undefined {
    return this.#open.get(blobId);
  }

  /**
   * The index; loaded when it never was, is older than `refreshMs`, or `fresh` is asked for. Callers at the same time
   * share one load, but a `fresh` answer rests on a list that was asked for after the call.
   */
  async get(options: CallOptions & { readonly fresh?: boolean } = {}): Promise<MergedIndex> {
    options.signal?.throwIfAborted();
    const { clock, refreshMs } = this.#options;
    const ageNs = clock.nowNs() - this.#loadedAtNs;
    // A clock that was set back tells no age.
    const isCurrent = ageNs >= 0n && ageNs < BigInt(Math.round(refreshMs)) * 1_000_000n;
    if (this.#merged && isCurrent && !options.fresh) return this.#merged;
    return untilAborted(this.#begin(options.fresh === true), options.signal);
  }

  #begin(fresh: boolean): Promise<MergedIndex> {
    if (!this.#loading) {
      this.#loading = this.#load(fresh).finally(() => {
        this.#loading = undefined;
      });
      return this.#loading;
    }
    if (!fresh) return this.#loading;
    const again = (): Promise<MergedIndex> => {
      this.#following = undefined;
      return this.#begin(true);
    };
    this.#following ??= this.#loading.then(again, again);
    return this.#following;
  }

  /** The index as last loaded, without any I/O. */
  get current(): MergedIndex | undefined {
    return this.#merged;
  }

  /** Takes in index blobs that this process has just stored. */
  add(blobIds: readonly string[], indexes: readonly Uint8Array[]): void {
    for (const [position, blobId] of blobIds.entries()) {
      this.#open.set(blobId, this.#decode(indexes[position]!));
      this.#addedMeanwhile.add(blobId);
    }
    this.#merge();
  }

  async #load(fresh: boolean): Promise<MergedIndex> {
    const { clock, logger, manager } = this.#options;
    let delayMs = 100;
    for (let attempt = 1; ; attempt++) {
      const startedNs = clock.nowNs();
      this.#addedMeanwhile.clear();
      const active = await manager.active({ fresh: fresh || attempt > 1 });
      try {
        await this.#fetch(active.blobIds);
        this.#deletionWatermarkSeconds = active.deletionWatermarkSeconds;
        this.#loadedAtNs = startedNs;
        return this.#merge();
      } catch (error) {
        // A compaction of another client removed a blob between list and get: list again.
        if (!isDmError(error, "DM_BLOB_NOT_FOUND") || attempt >= maxAttempts) throw error;
        logger.debug("Index blob vanished between list and get", { attempt });
        await clock.sleep(delayMs);
        delayMs *= 2;
      }
    }
  }

  async #fetch(blobIds: readonly string[]): Promise<void> {
    const wanted = new Set(blobIds);
    const damaged: DamagedIndexBlob[] = [];
    const fetched = new Map<string, PackIndex>();
    await mapConcurrent(
      [...wanted].filter((blobId) => !this.#open.has(blobId)),
      async (blobId) => {
        try {
          fetched.set(blobId, await this.#read(blobId));
        } catch (error) {
          const isDamage = error instanceof FormatError || error instanceof IntegrityError;
          if (!isDamage || !this.#options.ignoreDamagedIndexes) throw error;
          damaged.push({ blobId, error });
          this.#options.logger.warn("Ignored damaged index blob", { blobId, error: error.message });
        }
      },
      { concurrency: fetchConcurrency[isNearby(this.#options.store) ? "nearby" : "remote"] },
    );
    for (const blobId of this.#open.keys())
      if (!wanted.has(blobId) && !this.#addedMeanwhile.has(blobId)) this.#open.delete(blobId);
    for (const [blobId, index] of fetched) this.#open.set(blobId, index);
    this.#damaged = damaged;
  }

  async #read(blobId: string): Promise<PackIndex> {
    const { cache, logger, store } = this.#options;
    const cached = await cache?.get(blobId);
    if (cached) {
      try {
        return this.#openStored(blobId, cached);
      } catch (error) {
        if (!isDmError(error)) throw error;
        // The store may hold what the cache has lost.
        logger.warn("Ignored damaged index blob in the cache", { blobId, error: error.message });
      }
    }
    const stored = await store.get(blobId);
    const index = this.#openStored(blobId, stored);
    await cache?.put(blobId, stored);
    return index;
  }

  #openStored(blobId: string, stored: Uint8Array): PackIndex {
    return this.#decode(openBlob(this.#options.crypter, blobId, stored), blobId);
  }

  #decode(bytes: Uint8Array, blobId?: string): PackIndex {
    try {
      return openIndex(bytes, { overheadBytes: this.#options.crypter.overheadBytes });
    } catch (error) {
      if (blobId === undefined || !isDmError(error)) throw error;
      throw new FormatError(
        error.code,
        `index blob ${blobId}: ${error.message}`,
        { ...error.details, blobId },
        { cause: error },
      );
    }
  }

  #merge(): MergedIndex {
    this.#merged = new MergedIndex([...this.#open.values()], {
      deletedBeforeSeconds: this.#deletionWatermarkSeconds,
    });
    return this.#merged;
  }
}
