/**
 * Copies a repository blob by blob to another store, without its keys, so that the target is at no moment a repository whose
 * index names packs that are not there, and keeps what it had.
 *
 * - Listed are the index blobs first and the packs last: a pack is stored before its index, so whatever a listed index
 *   names has been listed, too, however many clients write to the source meanwhile. What maintenance of the source has
 *   removed by the time it is to be copied makes the copy begin again with a new list.
 * - Copied are packs first, then markers of epochs and index blobs, then what keeps index blobs from counting (logs of
 *   compactions and of deletions), then the rest of the format, and `kopia.repository` last: a first copy that was cut off is no repository
 *   yet. Into a target that is one already, index blobs go one by one, the newest first: an old one may name packs that
 *   are gone since a newer one has moved their contents. So a new snapshot may be listed a moment before all it needs; one
 *   that the target had before stays whole.
 * - Deleted is only after everything was copied, in the opposite order.
 *
 * Where a password has changed, two blobs of the format change one after the other, as in the source; a copy that is cut off
 * between them opens again when it has been repeated. Kopia copies the format first and the rest in no order.
 * Memory: id, length and time of every blob of both stores, and the blobs under way.
 *
 * Proof: test/sync.test.ts, test/sync.kopia.test.ts.
 * @module
 */
import { ConflictError, equalBytes, mapConcurrent, NotFoundError } from "@dm/core";
import { type BlobMetadata, type BlobStore, type CallOptions, getIfPresent } from "@dm/storage";
import { formatBlobId, parseFormatBlob } from "./format/format-blob.ts";

export interface SyncOptions extends CallOptions {
  /** Copy blobs again that the target has, when the source's are newer or the target's are cut short; on by default. */
  readonly update?: boolean | undefined;
  /** Delete what the source does not have; off by default. */
  readonly delete?: boolean | undefined;
  /** Only count; off by default. */
  readonly dryRun?: boolean | undefined;
  /** Refuse a target without a format blob; off by default, which begins a new copy. */
  readonly mustExist?: boolean | undefined;
  /** Give the copies the times of the originals, where the target's features allow it. Off by default. */
  readonly times?: boolean | undefined;
  /** Blobs under way at once, each held in memory, up to a pack long; 4 by default. */
  readonly parallel?: number | undefined;
  /** Told after each blob that was copied. */
  readonly onProgress?: ((progress: SyncProgress) => void) | undefined;
}

export interface SyncProgress {
  readonly blobsCopied: number;
  readonly bytesCopied: number;
  readonly totalBlobs: number;
  readonly totalBytes: number;
}

export interface BlobAmount {
  readonly blobs: number;
  readonly bytes: number;
}

/** With `dryRun`, what would be done. */
export interface SyncReport {
  readonly copied: BlobAmount;
  readonly deleted: BlobAmount;
  /** What was the same before. */
  readonly inSync: BlobAmount;
}

/**
 * Kinds of blobs in the order in which they are copied. Of index blobs, those of single sessions are newer than what
 * compactions have made of whole epochs; without the markers those of the newest epochs would not count.
 */
const kinds = [
  "data",
  "epochMarkers",
  "indexes",
  "epochs",
  "epochRanges",
  "compactionLogs",
  "settings",
  "format",
] as const;
type Kind = (typeof kinds)[number];

/** Whatever refers to others goes before them, but logs that keep index blobs from counting outlast these. */
const deletionOrder: readonly Kind[] = [
  "settings",
  "indexes",
  "epochs",
  "epochRanges",
  "epochMarkers",
  "compactionLogs",
  "data",
];

const prefixes: readonly (readonly [string, Kind])[] = [
  ["kopia.", "settings"],
  ["xe", "epochMarkers"],
  ["xw", "compactionLogs"],
  ["xr", "epochRanges"],
  ["xs", "epochs"],
  ["x", "indexes"],
  ["n", "indexes"],
  ["m", "compactionLogs"],
  ["l", "compactionLogs"],
];

/** Lists in this order; packs come with the last, which is everything. */
const listedPrefixes = ["kopia.", "x", "m", "l", "n", ""];

/** File systems and system calls keep times that they were given less exactly than they tell them. */
const toleranceNs = 1_000_000n;

/** How often a copy begins again because blobs vanish from the source while it is under way. */
const maxRounds = 5;

function kindOf(id: string): Kind {
  if (id === formatBlobId) return "format";
  return prefixes.find(([prefix]) => id.startsWith(prefix))?.[1] ?? "data";
}

/**
 * Makes `target` a copy of the repository in `source`. Clients may use the source meanwhile. A copy that was interrupted at
 * any moment goes on where it was when it is begun again.
 * @throws {ConflictError} `DM_SYNC_OTHER_REPOSITORY` when the target is another repository, or, without a format blob and
 *   without `delete`, holds index blobs that the source does not have
 * @throws {ConflictError} `DM_SYNC_SOURCE_CHANGED` when blobs vanish from the source again and again
 * @throws {NotFoundError} `DM_SYNC_TARGET_MISSING` with `mustExist`; `DM_REPOSITORY_NOT_FOUND`
 * @throws {FormatError} `DM_FORMAT_BLOB_INVALID` when either format blob is none
 * @example
 * const { copied } = await syncRepository(source, target, { delete: true });
 */
export async function syncRepository(
  source: BlobStore,
  target: BlobStore,
  options: SyncOptions = {},
): Promise<SyncReport> {
  const run = new Sync(source, target, options);
  for (let round = 1; ; round += 1) {
    if (await run.round()) return run.report;
    if (round < maxRounds) continue;
    throw new ConflictError(
      "DM_SYNC_SOURCE_CHANGED",
      `blobs vanish from ${source.displayName} while they are copied; is maintenance running there?`,
    );
  }
}

interface Plan {
  readonly copies: ReadonlyMap<Kind, readonly BlobMetadata[]>;
  readonly deletions: ReadonlyMap<Kind, readonly BlobMetadata[]>;
  readonly inSync: BlobAmount;
  /** The target is no repository yet. */
  readonly isNew: boolean;
}

class Sync {
  readonly #source: BlobStore;
  readonly #target: BlobStore;
  readonly #options: SyncOptions;
  readonly #copied = { blobs: 0, bytes: 0 };
  readonly #deleted = { blobs: 0, bytes: 0 };
  #inSync: BlobAmount | undefined;
  #total = { blobs: 0, bytes: 0 };

  constructor(source: BlobStore, target: BlobStore, options: SyncOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
  }

  get report(): SyncReport {
    const inSync = this.#inSync ?? { blobs: 0, bytes: 0 };
    return { copied: { ...this.#copied }, deleted: { ...this.#deleted }, inSync };
  }

  /** Answers whether all was copied; not when something has vanished, so that a new list is needed. */
  async round(): Promise<boolean> {
    const plan = await this.#plan();
    this.#inSync ??= plan.inSync;
    const copies = [...plan.copies.values()].flat();
    if (this.#options.dryRun) {
      for (const blob of copies) add(this.#copied, blob);
      for (const blob of [...plan.deletions.values()].flat()) add(this.#deleted, blob);
      return true;
    }
    this.#total = { ...this.#copied };
    for (const blob of copies) add(this.#total, blob);
    for (const kind of kinds) {
      // What is not this repository's must be gone when the target becomes one.
      if (kind === "format" && plan.isNew) await this.#delete(plan);
      if (!(await this.#copyAll(kind, plan))) return false;
    }
    if (!plan.isNew) await this.#delete(plan);
    return true;
  }

  async #plan(): Promise<Plan> {
    const { delete: deletes = false, signal, update = true } = this.#options;
    const isNew = await this.#isNew();
    const present = new Map<string, BlobMetadata>();
    for await (const blob of this.#target.list("", { signal })) present.set(blob.id, blob);
    const listed = new Map<string, BlobMetadata>();
    for (const prefix of listedPrefixes)
      for await (const blob of this.#source.list(prefix, { signal }))
        if (prefix !== "" || kindOf(blob.id) === "data") listed.set(blob.id, blob);

    const inSync = { blobs: 0, bytes: 0 };
    const copies: BlobMetadata[] = [];
    for (const blob of listed.values()) {
      const copy = present.get(blob.id);
      const isOld = copy && isOutdated(copy, blob);
      // Settings have the same name in every repository: until this is one, they may be another's.
      const isForeign = isNew && kindOf(blob.id) === "settings";
      if (!copy || (isOld && update) || isForeign) copies.push(blob);
      else add(inSync, blob);
    }
    const others = [...present.values()].filter(({ id }) => !listed.has(id));
    if (isNew && !deletes) this.#assertOnlyData(others);
    const deletions = deletes ? others : [];
    return { isNew, inSync, copies: byKind(copies), deletions: byKind(deletions) };
  }

  /** @throws when the target must not be copied to */
  async #isNew(): Promise<boolean> {
    const { mustExist = false, signal } = this.#options;
    const ours = await uniqueIdOf(this.#source, { signal });
    const theirs = await uniqueIdOf(this.#target, { signal });
    if (!ours) {
      throw new NotFoundError(
        "DM_REPOSITORY_NOT_FOUND",
        `there is no repository in ${this.#source.displayName}`,
      );
    }
    if (!theirs && mustExist) {
      throw new NotFoundError(
        "DM_SYNC_TARGET_MISSING",
        `there is no repository in ${this.#target.displayName}`,
      );
    }
    if (!theirs || equalBytes(ours, theirs)) return !theirs;
    throw new ConflictError(
      "DM_SYNC_OTHER_REPOSITORY",
      `${this.#target.displayName} holds another repository`,
    );
  }

  /** Foreign index blobs would become part of the copy. Packs that nothing names are left by a copy that was cut off. */
  #assertOnlyData(others: readonly BlobMetadata[]): void {
    const foreign = others.find(({ id }) => kindOf(id) !== "data");
    if (!foreign) return;
    throw new ConflictError(
      "DM_SYNC_OTHER_REPOSITORY",
      `${this.#target.displayName} holds blob ${foreign.id}, which is not this repository's`,
      { blobId: foreign.id },
    );
  }

  async #copyAll(kind: Kind, { copies, isNew }: Plan): Promise<boolean> {
    const { parallel = 4, signal } = this.#options;
    const blobs = copies.get(kind) ?? [];
    const isOrdered = !isNew && (kind === "indexes" || kind === "epochs" || kind === "epochRanges");
    let isComplete = true;
    await mapConcurrent(
      isOrdered ? [...blobs].sort(newestFirst) : blobs,
      async (blob) => {
        if (!(await this.#copy(blob)) && counts(blob.id)) isComplete = false;
      },
      { concurrency: isOrdered ? 1 : parallel, signal },
    );
    return isComplete;
  }

  /** Answers whether the source still had it. */
  async #copy(blob: BlobMetadata): Promise<boolean> {
    const { onProgress, signal, times = false } = this.#options;
    const data = await getIfPresent(this.#source, blob.id, { signal });
    if (!data) return false;
    const isTimed = times && this.#target.features.setTimestamp;
    const time = isTimed ? { timestampNs: blob.timestampNs } : {};
    await this.#target.put(blob.id, data, { signal, ...time });
    add(this.#copied, { length: data.length });
    const { blobs: blobsCopied, bytes: bytesCopied } = this.#copied;
    const { blobs: totalBlobs, bytes: totalBytes } = this.#total;
    onProgress?.({ blobsCopied, bytesCopied, totalBlobs, totalBytes });
    return true;
  }

  async #delete({ deletions }: Plan): Promise<void> {
    const { parallel = 4, signal } = this.#options;
    for (const kind of deletionOrder)
      await mapConcurrent(
        deletions.get(kind) ?? [],
        async (blob) => {
          await this.#target.delete(blob.id, { signal });
          add(this.#deleted, blob);
        },
        { concurrency: parallel, signal },
      );
  }
}

/**
 * Newer in the source, or not of its length. Only settings are ever written again: another blob that is shorter in the source
 * and not newer there is damaged there, and the copy is what is left of it.
 */
function isOutdated(copy: BlobMetadata, blob: BlobMetadata): boolean {
  if (copy.timestampNs + toleranceNs < blob.timestampNs) return true;
  const kind = kindOf(blob.id);
  const isRewritten = kind === "settings" || kind === "format";
  return isRewritten ? copy.length !== blob.length : copy.length < blob.length;
}

/** Markers of sessions and text logs come and go; nothing needs them. */
const counts = (id: string): boolean => !id.startsWith("s") && !id.startsWith("_");

function newestFirst(a: BlobMetadata, b: BlobMetadata): number {
  if (a.timestampNs !== b.timestampNs) return a.timestampNs > b.timestampNs ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}

const byKind = (blobs: readonly BlobMetadata[]): Map<Kind, BlobMetadata[]> =>
  Map.groupBy(blobs, ({ id }) => kindOf(id));

function add(amount: { blobs: number; bytes: number }, { length }: { readonly length: number }) {
  amount.blobs += 1;
  amount.bytes += length;
}

async function uniqueIdOf(store: BlobStore, options: CallOptions): Promise<Uint8Array | undefined> {
  const bytes = await getIfPresent(store, formatBlobId, options);
  return bytes && parseFormatBlob(bytes).uniqueId;
}
