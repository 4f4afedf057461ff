/**
 * The epoch index manager: lists, writes and (for maintenance) compacts, advances and cleans up index blobs.
 * Decisions are pure and live in epoch-state.ts. Format: docs/format/epochs.md. Proof: test/epoch.test.ts.
 * @module
 */
import {
  AccessError,
  type Clock,
  ConflictError,
  mapConcurrent,
  type RandomBytes,
  toHex,
  utf8Encode,
} from "@dm/core";
import type { BlobMetadata, BlobStore, CallOptions } from "@dm/storage";
import { type Crypter, sealBlob } from "../crypto/crypter.ts";
import type { EpochParameters } from "../format/repository-format.ts";
import {
  type ActiveEpochPlan,
  type EpochState,
  epochStateOf,
  epochToCompact,
  flushedEpochOf,
  isSettled,
  maxEpochsToList,
  planActive,
  rangeToCompact,
  shouldAdvance,
  supersededEpochs,
  supersededMarkers,
  writeEpochOf,
} from "./epoch-state.ts";
import type { ActiveIndexSet, IndexManager } from "./index-manager.ts";

const listConcurrency = 4;
/** Three pages of most object stores. */
const defaultMaxListedAtOnce = 3000;

interface Listed {
  readonly state: EpochState;
  /** All flushed blobs by epoch, where the state comes from one listing. */
  readonly flushed: ReadonlyMap<number, readonly BlobMetadata[]> | undefined;
}

interface StateOptions extends CallOptions {
  readonly fresh?: boolean;
  readonly minimumRemainingNs?: bigint;
}

export interface EpochManagerOptions {
  readonly store: BlobStore;
  readonly crypter: Crypter;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  readonly parameters: EpochParameters;
  /**
   * Blobs that one listing of everything may have; where there are more, each kind is listed by itself, which reads less but
   * takes seven requests, one after the other in part. 3,000 by default.
   */
  readonly maxListedAtOnce?: number | undefined;
}

/** Merges the listed index blobs into encoded indexes (shards), deleted entries kept. */
export type MergeIndexBlobs = (
  blobIds: readonly string[],
  options: CallOptions,
) => Promise<Uint8Array[]>;

/** Epochs whose flushed blobs count one by one. */
const recentEpochs = (markers: readonly BlobMetadata[]): number[] => {
  const writeEpoch = writeEpochOf(markers);
  return [writeEpoch - 1, writeEpoch, writeEpoch + 1].filter((epoch) => epoch >= 0);
};

const isWanted = ({ epochsToList, isToBeListed }: ActiveEpochPlan, epoch: number): boolean =>
  isToBeListed?.(epoch) ?? epochsToList.includes(epoch);

/** Which index blobs count, by epochs (versions 2 and 3), and where new ones are written. */
export class EpochManager implements IndexManager {
  readonly #options: EpochManagerOptions;
  #listed: Listed | undefined;
  #loadedAtNs = 0n;
  /** There were too many blobs for one listing. */
  #isLarge = false;

  constructor(options: EpochManagerOptions) {
    this.#options = options;
  }

  get #validityNs(): bigint {
    return BigInt(Math.round(this.#options.parameters.epochRefreshFrequencyMs)) * 1_000_000n;
  }

  /** Nanoseconds for which the loaded state may still be used. */
  #remainingNs(): bigint {
    const ageNs = this.#options.clock.nowNs() - this.#loadedAtNs;
    // A clock that was set back tells no age.
    return this.#listed && ageNs >= 0n ? this.#validityNs - ageNs : 0n;
  }

  /** The current state; listed anew when `fresh` is set or less than `minimumRemainingNs` of its validity is left. */
  async state(options: StateOptions = {}): Promise<EpochState> {
    return (await this.#current(options)).state;
  }

  async #current(options: StateOptions): Promise<Listed> {
    const { clock } = this.#options;
    const minimum = options.minimumRemainingNs ?? 1n;
    if (!options.fresh && this.#listed && this.#remainingNs() >= minimum) return this.#listed;
    // A listing slower than its own validity proves nothing: try again, slower and slower.
    let delayMs = 100;
    for (;;) {
      const startedNs = clock.nowNs();
      const listed = await this.#list(options);
      if (clock.nowNs() - startedNs < this.#validityNs) {
        this.#listed = listed;
        this.#loadedAtNs = startedNs;
        return listed;
      }
      await clock.sleep(delayMs, { signal: options.signal });
      delayMs = Math.min(delayMs * 1.5, 15_000);
    }
  }

  /** Forgets what was listed; the next call lists again. */
  invalidate(): void {
    this.#listed = undefined;
  }

  async #list(options: CallOptions): Promise<Listed> {
    const listed = this.#isLarge ? undefined : await this.#listAtOnce(options);
    this.#isLarge = listed === undefined;
    return listed ?? { state: await this.#listEachKind(options), flushed: undefined };
  }

  /**
   * One request and one round trip instead of seven and two; undefined when there is too much. What is put while it runs may be
   * missing, whatever the order of the store: as with a listing that ended before. Nothing is removed sooner than hours
   * after its replacement was put.
   */
  async #listAtOnce({ signal }: CallOptions): Promise<Listed | undefined> {
    const { maxListedAtOnce = defaultMaxListedAtOnce, store } = this.#options;
    const kinds = new Map<string, BlobMetadata[]>(["xe", "xw", "xs", "xr"].map((x) => [x, []]));
    const flushed = new Map<number, BlobMetadata[]>();
    let count = 0;
    for await (const blob of store.list("x", { signal })) {
      if (++count > maxListedAtOnce) return undefined;
      const kind = blob.id.slice(0, 2);
      if (kind === "xn") {
        const epoch = flushedEpochOf(blob.id);
        if (epoch === undefined) continue;
        const blobs = flushed.get(epoch);
        if (blobs) blobs.push(blob);
        else flushed.set(epoch, [blob]);
      } else kinds.get(kind)?.push(blob);
    }
    const markers = kinds.get("xe")!;
    const recent = new Map(
      recentEpochs(markers).map((epoch) => [epoch, flushed.get(epoch) ?? []] as const),
    );
    const state = epochStateOf({
      markers,
      watermarks: kinds.get("xw")!,
      singles: kinds.get("xs")!,
      ranges: kinds.get("xr")!,
      recent,
    });
    return { state, flushed };
  }

  async #listEachKind(options: CallOptions): Promise<EpochState> {
    const [markers, watermarks, singles, ranges] = await mapConcurrent(
      ["xe", "xw", "xs", "xr"],
      (prefix) => this.#listPrefix(prefix, options),
      { concurrency: listConcurrency, signal: options.signal },
    );
    const epochs = recentEpochs(markers!);
    const blobs = await mapConcurrent(epochs, (epoch) => this.#listPrefix(`xn${epoch}_`, options), {
      concurrency: listConcurrency,
      signal: options.signal,
    });
    const recent = new Map(epochs.map((epoch, index) => [epoch, blobs[index]!]));
    return epochStateOf({
      markers: markers!,
      watermarks: watermarks!,
      singles: singles!,
      ranges: ranges!,
      recent,
    });
  }

  async #listEpochs(epochs: readonly number[], options: CallOptions): Promise<BlobMetadata[]> {
    const lists = await mapConcurrent(epochs, (epoch) => this.#listPrefix(`xn${epoch}_`, options), {
      concurrency: listConcurrency,
      signal: options.signal,
    });
    return lists.flat();
  }

  async #listPlanned(plan: ActiveEpochPlan, options: CallOptions): Promise<BlobMetadata[]> {
    if (!plan.isToBeListed) return this.#listEpochs(plan.epochsToList, options);
    return (await this.#listPrefix("xn", options)).filter(({ id }) => {
      const epoch = flushedEpochOf(id);
      return epoch !== undefined && isWanted(plan, epoch);
    });
  }

  async #listPrefix(prefix: string, options: CallOptions): Promise<BlobMetadata[]> {
    const blobs: BlobMetadata[] = [];
    for await (const blob of this.#options.store.list(prefix, { signal: options.signal }))
      blobs.push(blob);
    return blobs;
  }

  async active(options: CallOptions & { readonly fresh?: boolean } = {}): Promise<ActiveIndexSet> {
    for (;;) {
      const { flushed, state } = await this.#current(options);
      const plan = planActive(state);
      const listed = flushed
        ? [...flushed].flatMap(([epoch, blobs]) => (isWanted(plan, epoch) ? blobs : []))
        : await this.#listPlanned(plan, options);
      // The answer must rest on a state that was valid to its end.
      if (this.#remainingNs() <= 0n) {
        this.invalidate();
        continue;
      }
      return {
        blobIds: [...plan.blobIds, ...listed.map((blob) => blob.id)],
        deletionWatermarkSeconds: state.deletionWatermarkSeconds,
      };
    }
  }

  async write(
    indexes: readonly Uint8Array[],
    options: CallOptions & { readonly sessionId: string },
  ): Promise<string[]> {
    const { store, crypter } = this.#options;
    const { signal } = options;
    const suffix = `${options.sessionId}-c${indexes.length}`;
    restart: for (;;) {
      const { writeEpoch } = await this.state({
        signal,
        minimumRemainingNs: (this.#validityNs * 3n) / 4n,
      });
      const written: string[] = [];
      for (const index of indexes) {
        if ((await this.state({ signal })).writeEpoch !== writeEpoch) {
          await this.#discard(written, { signal });
          continue restart;
        }
        const sealed = sealBlob(crypter, index, `xn${writeEpoch}_`, suffix);
        await store.put(sealed.blobId, sealed.data, { signal });
        written.push(sealed.blobId);
      }
      const after = await this.state({ signal, fresh: true });
      if (after.writeEpoch >= writeEpoch + 2) {
        await this.#discard(written, { signal });
        throw new ConflictError(
          "DM_INDEX_WRITE_TOO_SLOW",
          `writing the index to epoch ${writeEpoch} took until epoch ${after.writeEpoch}: readers no longer look there`,
          { writeEpoch, currentEpoch: after.writeEpoch },
        );
      }
      return written;
    }
  }

  /**
   * Removes index blobs of a write that does not count. What a client without the right to delete leaves behind names
   * packs that exist, and does no harm.
   */
  async #discard(blobIds: readonly string[], options: CallOptions): Promise<void> {
    this.invalidate();
    try {
      for (const blobId of blobIds) await this.#options.store.delete(blobId, options);
    } catch (error) {
      if (!(error instanceof AccessError)) throw error;
    }
  }

  /** Writes one compaction set under a new set id. */
  async writeCompaction(
    namePrefix: string,
    indexes: readonly Uint8Array[],
    options: CallOptions = {},
  ): Promise<string[]> {
    const { store, crypter, randomBytes } = this.#options;
    const suffix = `s${toHex(randomBytes(8))}-c${indexes.length}`;
    const written: string[] = [];
    for (const index of indexes) {
      const sealed = sealBlob(crypter, index, namePrefix, suffix);
      await store.put(sealed.blobId, sealed.data, { signal: options.signal });
      written.push(sealed.blobId);
    }
    this.invalidate();
    return written;
  }

  /** Blobs that hold the index of one epoch: its complete compaction, else all its flushed blobs. */
  async epochBlobs(epoch: number, options: CallOptions = {}): Promise<string[]> {
    const state = await this.state(options);
    const single = isSettled(epoch, state.writeEpoch) ? state.singles.get(epoch) : undefined;
    return (single ?? (await this.#listPrefix(`xn${epoch}_`, options))).map((blob) => blob.id);
  }

  /** Compacts the oldest settled epoch that needs it; answers which, or undefined. */
  async compactOneEpoch(
    merge: MergeIndexBlobs,
    options: CallOptions = {},
  ): Promise<number | undefined> {
    const epoch = epochToCompact(await this.state({ ...options, fresh: true }));
    if (epoch === undefined) return undefined;
    const blobs = (await this.#listPrefix(`xn${epoch}_`, options)).map((blob) => blob.id);
    if (blobs.length === 0) return undefined;
    await this.writeCompaction(`xs${epoch}_`, await merge(blobs, options), options);
    return epoch;
  }

  /** Writes a range checkpoint when one is due; answers its range, or undefined. */
  async compactRange(
    merge: MergeIndexBlobs,
    options: CallOptions = {},
  ): Promise<{ readonly first: number; readonly last: number } | undefined> {
    const range = rangeToCompact(
      await this.state({ ...options, fresh: true }),
      this.#options.parameters,
    );
    if (!range) return undefined;
    const blobIds: string[] = [];
    for (const epoch of await this.#epochsBetween(range.first, range.last, options))
      blobIds.push(...(await this.epochBlobs(epoch, options)));
    if (blobIds.length === 0) return undefined;
    await this.writeCompaction(
      `xr${range.first}_${range.last}_`,
      await merge(blobIds, options),
      options,
    );
    return range;
  }

  /** Epochs of a range; of a long one, only those that have blobs. */
  async #epochsBetween(first: number, last: number, options: CallOptions): Promise<number[]> {
    if (last - first < maxEpochsToList)
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    const epochs = new Set((await this.state(options)).singles.keys());
    for (const { id } of await this.#listPrefix("xn", options)) {
      const epoch = flushedEpochOf(id);
      if (epoch !== undefined) epochs.add(epoch);
    }
    return [...epochs].filter((epoch) => epoch >= first && epoch <= last).sort((a, b) => a - b);
  }

  /** Begins the next epoch when the present one is old and full enough; answers the new write epoch, or undefined. */
  async advanceIfDue(options: CallOptions = {}): Promise<number | undefined> {
    const state = await this.state({ ...options, fresh: true });
    const blobs = state.recent.get(state.writeEpoch) ?? [];
    if (!shouldAdvance(blobs, this.#options.parameters)) return undefined;
    return this.advance(state.writeEpoch + 1, options);
  }

  async advance(epoch: number, options: CallOptions = {}): Promise<number> {
    await this.#options.store.put(`xe${epoch}`, utf8Encode("epoch-marker"), {
      signal: options.signal,
    });
    this.invalidate();
    return epoch;
  }

  /** Removes epoch markers and watermarks that nothing needs; answers their ids. */
  async cleanUpMarkers(options: CallOptions = {}): Promise<string[]> {
    const doomed = supersededMarkers(
      await this.state({ ...options, fresh: true }),
      this.#options.parameters,
    );
    return this.#deleteAll(doomed, options);
  }

  /** Removes flushed index blobs that a compaction has replaced for long enough; answers their ids. */
  async deleteSuperseded(options: CallOptions = {}): Promise<string[]> {
    const epochs = supersededEpochs(
      await this.state({ ...options, fresh: true }),
      this.#options.parameters,
    );
    const doomed: string[] = [];
    for (const epoch of epochs) {
      for (const blob of await this.#listPrefix(`xn${epoch}_`, options)) doomed.push(blob.id);
    }
    return this.#deleteAll(doomed, options);
  }

  /** Moves the deletion watermark forward; a smaller or equal value changes nothing. */
  async setDeletionWatermark(seconds: number, options: CallOptions = {}): Promise<boolean> {
    const state = await this.state({ ...options, fresh: true });
    if (seconds <= state.deletionWatermarkSeconds) return false;
    await this.#options.store.put(`xw${seconds}`, utf8Encode("deletion-watermark"), {
      signal: options.signal,
    });
    this.invalidate();
    return true;
  }

  async #deleteAll(blobIds: readonly string[], options: CallOptions): Promise<string[]> {
    const { store, parameters } = this.#options;
    await mapConcurrent(blobIds, (blobId) => store.delete(blobId, { signal: options.signal }), {
      concurrency: Math.max(1, parameters.deleteParallelism),
      signal: options.signal,
    });
    if (blobIds.length > 0) this.invalidate();
    return [...blobIds];
  }
}
