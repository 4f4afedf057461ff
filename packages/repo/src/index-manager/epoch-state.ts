/**
 * Epochs as pure functions over listings: which index blobs count, what may be compacted, advanced or removed.
 * Names: `xe<N>` marker, `xw<T>` deletion watermark, `xn<N>_…` flushed, `xs<N>_…` one epoch compacted,
 * `xr<first>_<last>_…` range checkpoint. Format: docs/format/epochs.md. Proof: test/epoch.test.ts.
 * @module
 */
import type { BlobMetadata } from "@dm/storage";
import type { EpochParameters } from "../format/repository-format.ts";

export interface EpochRange {
  readonly first: number;
  readonly last: number;
  readonly blobs: readonly BlobMetadata[];
}

/** One consistent view of the epoch blobs. */
export interface EpochState {
  readonly writeEpoch: number;
  readonly markers: readonly BlobMetadata[];
  readonly watermarks: readonly BlobMetadata[];
  readonly deletionWatermarkSeconds: number;
  /** First complete single-epoch compaction per epoch. */
  readonly singles: ReadonlyMap<number, readonly BlobMetadata[]>;
  /** First complete range compaction per range. */
  readonly ranges: readonly EpochRange[];
  /** Flushed blobs of the epochs `writeEpoch - 1`, `writeEpoch`, `writeEpoch + 1`. */
  readonly recent: ReadonlyMap<number, readonly BlobMetadata[]>;
}

/** An epoch is settled when nobody may write to it any more. */
export const unsettledEpochs = 2;

export function isSettled(epoch: number, writeEpoch: number): boolean {
  return epoch <= writeEpoch - unsettledEpochs;
}

/** The number in `xe12`, `xn3_…`, `xs4_…`, `xw179…`; undefined when there is none. */
export function epochNumber(blobId: string): number | undefined {
  const digits = blobId.split("_", 1)[0]!.replace(/^[^0-9]+/, "");
  if (!/^[0-9]{1,15}$/.test(digits)) return undefined;
  return Number(digits);
}

const flushedName = /^xn(0|[1-9][0-9]{0,14})_/;

/** The epoch that a flushed index blob belongs to: `xn3_…`; undefined for all other names. */
export function flushedEpochOf(blobId: string): number | undefined {
  const digits = flushedName.exec(blobId)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

const rangeName = /^xr([0-9]{1,15})_([0-9]{1,15})_/;
const setName = /-(s[0-9a-z]+)-c([0-9]{1,9})$/;

/** Groups blobs into compaction sets and keeps those of which every member is there; a name without a set is one. */
export function completeSets(blobs: readonly BlobMetadata[]): BlobMetadata[][] {
  const sets = new Map<string, { readonly count: number; readonly blobs: BlobMetadata[] }>();
  for (const blob of [...blobs].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const match = setName.exec(blob.id);
    const key = match ? match[1]! : blob.id;
    const set = sets.get(key);
    if (set) set.blobs.push(blob);
    else sets.set(key, { count: match ? Number(match[2]) : 1, blobs: [blob] });
  }
  return [...sets.values()].filter((set) => set.blobs.length === set.count).map((set) => set.blobs);
}

function firstCompleteByKey<Key>(
  blobs: readonly BlobMetadata[],
  keyOf: (blob: BlobMetadata) => Key | undefined,
): Map<Key, BlobMetadata[]> {
  const byKey = new Map<Key, BlobMetadata[]>();
  for (const blob of blobs) {
    const key = keyOf(blob);
    if (key === undefined) continue;
    const list = byKey.get(key);
    if (list) list.push(blob);
    else byKey.set(key, [blob]);
  }
  const complete = new Map<Key, BlobMetadata[]>();
  for (const [key, list] of byKey) {
    const [first] = completeSets(list);
    if (first) complete.set(key, first);
  }
  return complete;
}

/** The write epoch: the highest `xe<N>`, else 0. */
export function writeEpochOf(markers: readonly BlobMetadata[]): number {
  return markers.reduce((highest, marker) => Math.max(highest, epochNumber(marker.id) ?? 0), 0);
}

export interface EpochListing {
  readonly markers: readonly BlobMetadata[];
  readonly watermarks: readonly BlobMetadata[];
  readonly singles: readonly BlobMetadata[];
  readonly ranges: readonly BlobMetadata[];
  readonly recent: ReadonlyMap<number, readonly BlobMetadata[]>;
}

export function epochStateOf(listing: EpochListing): EpochState {
  const ranges: EpochRange[] = [];
  const byRange = firstCompleteByKey(listing.ranges, (blob) =>
    rangeName.exec(blob.id)?.slice(1, 3).join("_"),
  );
  for (const [key, blobs] of byRange) {
    const [first, last] = key.split("_").map(Number) as [number, number];
    if (first <= last) ranges.push({ first, last, blobs });
  }
  return {
    writeEpoch: writeEpochOf(listing.markers),
    markers: listing.markers,
    watermarks: listing.watermarks,
    deletionWatermarkSeconds: listing.watermarks.reduce(
      (highest, blob) => Math.max(highest, epochNumber(blob.id) ?? 0),
      0,
    ),
    singles: firstCompleteByKey(listing.singles, (blob) => epochNumber(blob.id)),
    ranges,
    recent: listing.recent,
  };
}

/**
 * The chain of ranges that begins at epoch 0, continues without a gap and reaches furthest; the fewest ranges on a tie.
 * A range of a single epoch takes no part.
 */
export function longestRangeChain(ranges: readonly EpochRange[]): EpochRange[] {
  const byFirst = new Map<number, EpochRange[]>();
  for (const range of ranges) {
    if (range.first === range.last) continue;
    const list = byFirst.get(range.first);
    if (list) list.push(range);
    else byFirst.set(range.first, [range]);
  }
  // Best chain from each start; starts are visited from the highest down, so that followers are known.
  const best = new Map<number, EpochRange[]>();
  for (const first of [...byFirst.keys()].sort((a, b) => b - a)) {
    for (const range of byFirst.get(first)!) {
      const chain = [range, ...(best.get(range.last + 1) ?? [])];
      const known = best.get(first);
      if (
        !known ||
        reach(chain) > reach(known) ||
        (reach(chain) === reach(known) && chain.length < known.length)
      ) {
        best.set(first, chain);
      }
    }
  }
  return best.get(0) ?? [];
}

const reach = (chain: readonly EpochRange[]): number => chain.at(-1)?.last ?? -1;

/** The first epoch that no range of the chain covers. */
export function firstUncoveredEpoch(state: EpochState): number {
  return reach(longestRangeChain(state.ranges)) + 1;
}

export interface ActiveEpochPlan {
  /** Blobs that count, from compactions and the recent epochs. */
  readonly blobIds: readonly string[];
  /** Settled epochs without a compaction: all their `xn<N>_` blobs count and must be listed. */
  readonly epochsToList: readonly number[];
  /**
   * Stands for `epochsToList` when a marker far beyond the others makes them too many for a listing each: all `xn` blobs
   * are to be listed, and those of the epochs that it accepts count.
   */
  readonly isToBeListed: ((epoch: number) => boolean) | undefined;
}

/** Epochs that are listed one by one; real repositories have a handful to list, a stray marker makes it any number. */
export const maxEpochsToList = 256;

export function planActive(state: EpochState): ActiveEpochPlan {
  const { recent, singles, writeEpoch } = state;
  const chain = longestRangeChain(state.ranges);
  const blobIds = chain.flatMap((range) => range.blobs.map((blob) => blob.id));
  const first = reach(chain) + 1;
  const last = writeEpoch + 1;
  const found = new Set<number>();
  const take = (epoch: number, blobs: readonly BlobMetadata[]): void => {
    if (epoch < first || epoch > last || found.has(epoch)) return;
    found.add(epoch);
    for (const blob of blobs) blobIds.push(blob.id);
  };
  for (const [epoch, blobs] of singles) if (isSettled(epoch, writeEpoch)) take(epoch, blobs);
  for (const [epoch, blobs] of recent) take(epoch, blobs);
  if (last - first + 1 - found.size > maxEpochsToList) {
    const isToBeListed = (epoch: number): boolean =>
      epoch >= first && epoch <= last && !found.has(epoch);
    return { blobIds, epochsToList: [], isToBeListed };
  }
  const epochsToList: number[] = [];
  for (let epoch = first; epoch <= last; epoch++) if (!found.has(epoch)) epochsToList.push(epoch);
  return { blobIds, epochsToList, isToBeListed: undefined };
}

/** Whether the flushed blobs of the write epoch are old and many (or large) enough for the next epoch to begin. */
export function shouldAdvance(
  blobs: readonly BlobMetadata[],
  parameters: EpochParameters,
): boolean {
  if (blobs.length === 0) return false;
  let oldest = blobs[0]!.timestampNs;
  let newest = oldest;
  let bytes = 0;
  for (const blob of blobs) {
    if (blob.timestampNs < oldest) oldest = blob.timestampNs;
    if (blob.timestampNs > newest) newest = blob.timestampNs;
    bytes += blob.length;
  }
  if (newest - oldest < BigInt(Math.round(parameters.minEpochDurationMs)) * 1_000_000n)
    return false;
  return (
    blobs.length >= parameters.epochAdvanceOnCountThreshold ||
    bytes >= parameters.epochAdvanceOnTotalSizeBytesThreshold
  );
}

/** The next range to compact, when enough epochs have settled since the last range; undefined otherwise. */
export function rangeToCompact(
  state: EpochState,
  parameters: EpochParameters,
): { readonly first: number; readonly last: number } | undefined {
  const last = state.writeEpoch - unsettledEpochs;
  const first = firstUncoveredEpoch(state);
  if (last - first < parameters.fullCheckpointFrequency) return undefined;
  return { first, last };
}

/** The oldest settled epoch that neither a range nor a single compaction covers; undefined when there is none. */
export function epochToCompact(state: EpochState): number | undefined {
  for (let epoch = firstUncoveredEpoch(state); isSettled(epoch, state.writeEpoch); epoch++) {
    if (!state.singles.has(epoch)) return epoch;
  }
  return undefined;
}

/** Time by the store's clock: the newest of the recent flushed blobs; undefined when there are none. */
export function storageTimeNs(state: EpochState): bigint | undefined {
  let newest: bigint | undefined;
  for (const blobs of state.recent.values()) {
    for (const blob of blobs)
      if (newest === undefined || blob.timestampNs > newest) newest = blob.timestampNs;
  }
  return newest;
}

/** Markers and watermarks that nothing needs any more. */
export function supersededMarkers(state: EpochState, parameters: EpochParameters): string[] {
  const now = storageTimeNs(state);
  if (now === undefined) return [];
  const cutoff = now - BigInt(Math.round(parameters.cleanupSafetyMarginMs)) * 1_000_000n;
  const markers = state.markers.filter(
    (blob) => (epochNumber(blob.id) ?? state.writeEpoch) < state.writeEpoch - 1,
  );
  const watermarks = state.watermarks.filter(
    (blob) => epochNumber(blob.id) !== state.deletionWatermarkSeconds && blob.timestampNs < cutoff,
  );
  return [...markers, ...watermarks].map((blob) => blob.id);
}

/** Epochs whose flushed blobs a compaction has replaced for longer than the safety margin. */
export function supersededEpochs(state: EpochState, parameters: EpochParameters): number[] {
  const now = storageTimeNs(state);
  if (now === undefined) return [];
  const cutoff = now - BigInt(Math.round(parameters.cleanupSafetyMarginMs)) * 1_000_000n;
  const epochs: number[] = [];
  for (const [epoch, blobs] of state.singles) {
    if (!isSettled(epoch, state.writeEpoch)) continue;
    if (blobs.every((blob) => blob.timestampNs < cutoff)) epochs.push(epoch);
  }
  return epochs.sort((a, b) => a - b);
}
