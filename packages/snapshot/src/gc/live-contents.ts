/**
 * Which contents snapshots refer to: all trees are walked, each distinct directory once, and every content of every object
 * is marked, those of indexes included.
 * Memory: bits for the entries of the index, and the subdirectories still to be visited on the way down.
 * Proof: test/collect-garbage.test.ts.
 * @module
 */
import { IntegrityError, isDmError, NotFoundError } from "@dm/core";
import { type ContentId, ContentMarks, isDamage, parseObjectId, type Repository } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { DirectoryEntry } from "../directory-entry.ts";
import type { Snapshot } from "../snapshot-codec.ts";
import { sourceText } from "../snapshots.ts";
import { readDirectory } from "../tree.ts";

/** How far the search for what snapshots refer to has come. */
export interface LiveContentsProgress {
  readonly snapshotsDone: number;
  /** Distinct ones. */
  readonly directoriesRead: number;
  readonly contentsMarked: number;
}

/** How much is read at once, and who is told. */
export interface LiveContentsOptions extends CallOptions {
  /** Directories that are read at once; 16 by default. */
  readonly concurrency?: number | undefined;
  readonly onProgress?: ((progress: LiveContentsProgress) => void) | undefined;
}

const defaultConcurrency = 16;

/** A directory to be visited. The parents are there for the path in an error. */
interface Place {
  readonly entry: DirectoryEntry;
  readonly parent: Place | undefined;
}

/**
 * Marks what the snapshots, complete or not, refer to.
 * @throws {IntegrityError} `DM_SNAPSHOT_DAMAGED` when anything cannot be found or read: then nobody knows what else it needs
 */
export async function liveContents(
  repository: Repository,
  snapshots: Iterable<Snapshot>,
  options: LiveContentsOptions = {},
): Promise<ContentMarks> {
  const { concurrency = defaultConcurrency, onProgress, signal } = options;
  const index = await repository.contentReader.index.get({ signal });
  const live = new ContentMarks(index);
  const visited = new ObjectMarks(() => new ContentMarks(index));
  const expanded = new ObjectMarks(() => new ContentMarks(index));
  let snapshotsDone = 0;
  let directoriesRead = 0;

  const mark = (id: ContentId): void => {
    if (live.add(id) !== undefined) return;
    throw new NotFoundError("DM_CONTENT_NOT_FOUND", `no index names content ${id}`, {
      contentId: id,
    });
  };
  const markObject = async (objectId: string): Promise<void> => {
    const { contentId, indirection } = parseObjectId(objectId);
    if (contentId === undefined) return;
    if (indirection === 0) return mark(contentId);
    if (!expanded.add(objectId)) return;
    for await (const id of repository.objectContents(objectId, { signal })) mark(id);
  };
  const visit = async (place: Place, pending: Place[]): Promise<void> => {
    const { entry } = place;
    let child: DirectoryEntry | undefined;
    try {
      await markObject(entry.objectId);
      if (entry.type !== "d" || !visited.add(entry.objectId)) return;
      const { entries } = await readDirectory(repository, entry, { signal });
      directoriesRead += 1;
      for (child of entries) {
        if (child.type === "d") pending.push({ entry: child, parent: place });
        // A plain object needs no promise: most files are one content.
        else if (/^[g-z]?[0-9a-f]+$/.test(child.objectId)) mark(child.objectId as ContentId);
        else await markObject(child.objectId);
      }
    } catch (error) {
      const at = child && child.type !== "d" ? { entry: child, parent: place } : place;
      if (isDamage(error)) throw new DamagedAt(pathOf(at), error);
      throw error;
    }
  };
  for (const snapshot of snapshots) {
    if (snapshot.rootEntry) {
      try {
        const root = { entry: snapshot.rootEntry, parent: undefined };
        await depthFirst(root, visit, { concurrency, signal });
      } catch (error) {
        throw error instanceof DamagedAt ? damaged(snapshot, error) : error;
      }
    }
    snapshotsDone += 1;
    onProgress?.({ snapshotsDone, directoriesRead, contentsMarked: live.count });
  }
  return live;
}

/** Distinct objects, by the content at their top and how it is read. */
class ObjectMarks {
  readonly #create: () => ContentMarks;
  readonly #kinds = new Map<string, ContentMarks>();

  constructor(create: () => ContentMarks) {
    this.#create = create;
  }

  /** Whether the object is new. One that no index names stays new: reading it tells what is wrong. */
  add(objectId: string): boolean {
    const { compressed, contentId, indirection } = parseObjectId(objectId);
    if (contentId === undefined) return false;
    const kind = `${indirection}${compressed ? "Z" : ""}`;
    const marks = this.#kinds.get(kind) ?? this.#create();
    this.#kinds.set(kind, marks);
    return marks.add(contentId) !== false;
  }
}

/** Visits places, each of which may add others; several at once, the newest first, so that few are waiting. */
async function depthFirst(
  root: Place,
  visit: (place: Place, pending: Place[]) => Promise<void>,
  { concurrency, signal }: CallOptions & { readonly concurrency: number },
): Promise<void> {
  const pending: Place[] = [root];
  const running = new Set<Promise<void>>();
  let failure: { readonly reason: unknown } | undefined;
  for (;;) {
    while (pending.length > 0 && running.size < concurrency && !failure) {
      signal?.throwIfAborted();
      const done: Promise<void> = visit(pending.pop()!, pending).then(
        () => void running.delete(done),
        (reason: unknown) => {
          running.delete(done);
          failure ??= { reason };
        },
      );
      running.add(done);
    }
    if (running.size === 0) break;
    await Promise.race(running);
  }
  if (failure) throw failure.reason;
}

class DamagedAt extends Error {
  readonly path: string;

  constructor(path: string, cause: Error) {
    super(cause.message, { cause });
    this.path = path;
  }
}

function pathOf(place: Place): string {
  const names: string[] = [];
  for (let at: Place | undefined = place; at?.parent; at = at.parent) names.push(at.entry.name);
  return names.reverse().join("/");
}

function damaged(snapshot: Snapshot, { cause, message, path }: DamagedAt): IntegrityError {
  return new IntegrityError(
    "DM_SNAPSHOT_DAMAGED",
    `snapshot ${snapshot.id} of ${sourceText(snapshot.source)} is damaged at ${JSON.stringify(path)}: ${message}; ` +
      "repair or delete it before garbage is collected",
    { snapshotId: snapshot.id, path, ...(isDmError(cause) ? { code: cause.code } : {}) },
    { cause },
  );
}
