/**
 * Copies snapshots and policies to another repository, whatever its keys, splitter and version: data is read there and backed
 * up here, by the policies of here. Where both have the same keys, splitter and compression, objects are the same.
 * Memory: that of one upload for each source under way, and the manifests of its snapshots.
 * Proof: test/migrate-snapshots.test.ts, test/migrate-snapshots.kopia.test.ts.
 * @module
 */
import { type DmError, isDmError, mapConcurrent } from "@dm/core";
import type { Repository, WriteSession } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import { deleteSnapshots, updateSnapshot } from "../edit.ts";
import type { PolicyTarget } from "../policy/policy-target.ts";
import type { Snapshot, SnapshotSource } from "../snapshot-codec.ts";
import { bySource, listSnapshots, sourceKey } from "../snapshots.ts";
import { RecordedFailure, storedSource } from "../source/stored-source.ts";
import type { DataPlane } from "../upload/data-plane.ts";
import type { UploadFailure } from "../upload/tree-upload.ts";
import { uploadSnapshot } from "../upload/upload.ts";
import type { ProgressListener } from "../upload/upload-progress.ts";
import { type MigratedPolicies, migratePolicies } from "./migrate-policies.ts";

export interface MigrateOptions extends CallOptions {
  /** Only these; all by default. */
  readonly sources?: readonly SnapshotSource[] | undefined;
  /** Policies, too: all, or with `sources` those defined for exactly them; on by default. */
  readonly policies?: boolean | undefined;
  /** Also where the target has another one; off by default. */
  readonly overwritePolicies?: boolean | undefined;
  /** Only the newest complete snapshot of each source; off by default. */
  readonly latestOnly?: boolean | undefined;
  /** Leave out what the target's policies ignore; off by default. */
  readonly applyIgnoreRules?: boolean | undefined;
  /** Sources under way at once; 1 by default. */
  readonly parallel?: number | undefined;
  /** Stores the files' data, for each source one; a plane in this thread by default. Disposed of at the end of the source. */
  readonly openDataPlane?: ((session: WriteSession) => DataPlane) | undefined;
  /** Time between checkpoints; 45 minutes by default and at most. */
  readonly checkpointIntervalMs?: number | undefined;
  readonly onEvent?: ((event: MigrateEvent) => void) | undefined;
  /** Of the snapshot under way. */
  readonly onProgress?: ProgressListener | undefined;
}

export type MigrateEvent =
  | { readonly type: "policyMigrated" | "policyKept"; readonly target: PolicyTarget }
  | { readonly type: "policyFailed"; readonly target: PolicyTarget; readonly error: Error }
  | { readonly type: "snapshotBegun" | "snapshotKept"; readonly snapshot: Snapshot }
  | { readonly type: "snapshotMigrated"; readonly snapshot: Snapshot; readonly copy: Snapshot }
  | { readonly type: "snapshotUnreadable"; readonly manifestId: string; readonly error: DmError }
  | { readonly type: "snapshotFailed"; readonly snapshot: Snapshot; readonly error: DmError }
  /** The copy lacks this entry, and says so. */
  | {
      readonly type: "entryFailed";
      readonly snapshot: Snapshot;
      readonly failure: UploadFailure;
    };

export interface MigrateReport extends Readonly<MigratedPolicies> {
  readonly snapshotsMigrated: number;
  /** Those that the target had: same source, same start. */
  readonly snapshotsKept: number;
  /** Those whose manifest or root cannot be read. */
  readonly snapshotsFailed: number;
  /** Entries that could not be read; the copies lack them, and say so. */
  readonly entriesFailed: number;
}

/** Under this tag checkpoints of a copy name the root that is being copied, so that no other copy takes them for its own. */
const checkpointTag = "migrated-root";

/**
 * Copies complete snapshots, oldest first, each on top of the one before: what did not change between them, by its objects and
 * not only by size and time, is not read again. Start, end, description, tags and pins stay; ids do not. A second call
 * copies what is new; after a kill it goes on with the snapshot, and inside a first one with its last checkpoint, which an
 * abort leaves, too. What cannot be read is counted and told by `onEvent`, not thrown.
 * @throws what makes copying impossible as a whole: storage that fails, a target that cannot be written to
 * @example
 * const { snapshotsMigrated, entriesFailed } = await migrateSnapshots(oldRepository, newRepository);
 */
export async function migrateSnapshots(
  from: Repository,
  to: Repository,
  options: MigrateOptions = {},
): Promise<MigrateReport> {
  const { onEvent, parallel = 1, policies = true, signal } = options;
  const migrated = policies
    ? await migratePolicies(from, to, options)
    : { policiesMigrated: 0, policiesKept: 0, policiesFailed: 0 };
  const run = new Migration(from, to, options);
  const onInvalid = (manifestId: string, error: DmError): void => {
    run.report.snapshotsFailed += 1;
    onEvent?.({ type: "snapshotUnreadable", manifestId, error });
  };
  const groups = groupsOf(await listSnapshots(from, { signal, onInvalid }), options);
  await mapConcurrent(groups, (group) => run.source(group), { concurrency: parallel, signal });
  return { ...migrated, ...run.report };
}

class Migration {
  readonly report = {
    snapshotsMigrated: 0,
    snapshotsKept: 0,
    snapshotsFailed: 0,
    entriesFailed: 0,
  };
  readonly #from: Repository;
  readonly #to: Repository;
  readonly #options: MigrateOptions;

  constructor(from: Repository, to: Repository, options: MigrateOptions) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
  }

  /** Complete snapshots of one source, oldest first. */
  async source(snapshots: readonly Snapshot[]): Promise<void> {
    const { latestOnly = false, onEvent, openDataPlane, signal } = this.#options;
    await using session = await this.#to.openWriteSession({ signal });
    await using dataPlane = openDataPlane?.(session);
    const [{ source }] = snapshots as [Snapshot];
    const known = await listSnapshots(session, { source, signal, onInvalid: () => {} });
    const copies = new Map<bigint, Snapshot>();
    for (const one of known) if (!one.incompleteReason) copies.set(one.startedAtNs, one);
    for (const snapshot of latestOnly ? snapshots.slice(-1) : snapshots) {
      signal?.throwIfAborted();
      if (copies.has(snapshot.startedAtNs)) {
        this.report.snapshotsKept += 1;
        onEvent?.({ type: "snapshotKept", snapshot });
        continue;
      }
      onEvent?.({ type: "snapshotBegun", snapshot });
      try {
        const copy = await this.#copy(
          session,
          dataPlane,
          snapshot,
          nearest(snapshots, snapshot, copies),
        );
        copies.set(snapshot.startedAtNs, copy);
        this.report.snapshotsMigrated += 1;
        onEvent?.({ type: "snapshotMigrated", snapshot, copy });
      } catch (error) {
        // Of the source nothing but its root ends a copy, and that does not keep the others from being saved.
        if (!isDmError(error, "DM_SOURCE_DAMAGED")) throw error;
        this.report.snapshotsFailed += 1;
        onEvent?.({ type: "snapshotFailed", snapshot, error });
      }
    }
  }

  async #copy(
    session: WriteSession,
    dataPlane: DataPlane | undefined,
    snapshot: Snapshot,
    reference: Reference | undefined,
  ): Promise<Snapshot> {
    const { applyIgnoreRules = false, checkpointIntervalMs, onProgress, signal } = this.#options;
    const { source, startedAtNs } = snapshot;
    const root = snapshot.rootEntry!;
    const checkpointTags = { [checkpointTag]: root.objectId };
    const checkpoints = (
      await listSnapshots(session, { source, tags: checkpointTags, signal, onInvalid: () => {} })
    ).filter(({ incompleteReason }) => incompleteReason);
    const copy = await uploadSnapshot(
      session,
      storedSource(this.#from, root, reference?.original.rootEntry),
      {
        source,
        startedAtNs,
        endedAtNs: snapshot.endedAtNs,
        description: snapshot.description,
        tags: snapshot.tags,
        pins: snapshot.pins,
        // A checkpoint tells nothing of which files have changed since the reference.
        previous: reference ? [reference.copy] : checkpoints,
        ignoreRules: applyIgnoreRules,
        ignoreIdentical: false,
        expire: false,
        checkpointTags,
        saveOnAbort: true,
        clock: this.#to.clock,
        dataPlane,
        checkpointIntervalMs,
        onProgress,
        onFailure: (failure) => {
          if (failure.error instanceof RecordedFailure) return;
          this.report.entriesFailed += 1;
          this.#options.onEvent?.({ type: "entryFailed", snapshot, failure });
        },
        signal,
      },
    );
    if (copy.incompleteReason) {
      // Cut off by an abort: one checkpoint more, so that what is stored is found again.
      await updateSnapshot(session, { ...copy, tags: checkpointTags });
      await session.flush();
      signal?.throwIfAborted();
    }
    const done = await listSnapshots(session, { source, tags: checkpointTags, signal });
    const obsolete = done.filter(({ incompleteReason }) => incompleteReason);
    await deleteSnapshots(session, obsolete, { signal });
    if (obsolete.length > 0) await session.flush({ signal });
    return copy;
  }
}

/** A snapshot that both repositories have. */
interface Reference {
  readonly original: Snapshot;
  readonly copy: Snapshot;
}

/** The newest one before a snapshot, else the oldest behind it. */
function nearest(
  snapshots: readonly Snapshot[],
  snapshot: Snapshot,
  copies: ReadonlyMap<bigint, Snapshot>,
): Reference | undefined {
  const at = snapshots.indexOf(snapshot);
  for (const original of [...snapshots.slice(0, at).reverse(), ...snapshots.slice(at + 1)]) {
    const copy = copies.get(original.startedAtNs);
    if (copy?.rootEntry) return { original, copy };
  }
  return undefined;
}

/** Complete snapshots by source, oldest first. */
function groupsOf(snapshots: readonly Snapshot[], { sources }: MigrateOptions): Snapshot[][] {
  const wanted = sources && new Set(sources.map(sourceKey));
  return bySource(
    snapshots.filter(
      ({ incompleteReason, rootEntry, source }) =>
        !incompleteReason && rootEntry && wanted?.has(sourceKey(source)) !== false,
    ),
  );
}
