/**
 * Trees written again, with some of their entries replaced or left out. What does not change keeps its object: a directory
 * that several snapshots have in common is read once. Memory: the directories on the way to what is under way, with their
 * entries, and about 100 bytes for each directory that was seen.
 * Format: docs/format/directories.md. Proof: test/rewrite-snapshots.test.ts, test/rewrite-snapshots.kopia.test.ts.
 * @module
 */
import { type DmError, UnsupportedError, utf8Encode } from "@dm/core";
import { compareUtf8, isDamage, type ObjectWriterOptions } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import { type Directory, encodeDirectory } from "../directory-codec.ts";
import { type DirectoryEntry, encodeEntry } from "../directory-entry.ts";
import { type DirectorySummary, type FailedEntry, summarizeDirectory } from "../summary.ts";
import { checkNesting, defaultMaxDepth, type ObjectSource, readDirectory } from "../tree.ts";
import { Slots, TaskGroup } from "../upload/slots.ts";

/**
 * The entry as it is to be: the very same when nothing changes, undefined for none. Asked of directories before what is in
 * them, the root included, and once for what several snapshots have in common. What it throws as damage (an error of the
 * classes that tell of data) makes the entry an invalid one.
 * @param path relative to the root, which has the empty path
 */
export type RewriteEntry = (
  entry: DirectoryEntry,
  path: string,
) => Promise<DirectoryEntry | undefined>;

/** What becomes of an entry that cannot be read: it stays, a file that says so takes its place, it goes, or all ends. */
export type InvalidEntryHandling = "keep" | "stub" | "remove" | "fail";

export interface RewriteTreeOptions extends CallOptions {
  readonly rewrite: RewriteEntry;
  /** Directories that cannot be read, and a root that is to be left out; `stub` by default. */
  readonly invalidDirectories?: Exclude<InvalidEntryHandling, "remove"> | undefined;
  /** Other entries of which `rewrite` throws damage; `stub` by default. */
  readonly invalidFiles?: InvalidEntryHandling | undefined;
  /** Entries under way at once; 4 by default. */
  readonly parallel?: number | undefined;
  /** Told of each entry that changes or goes, and of invalid ones that stay; `error` says what is wrong with it. */
  readonly onEntry?: ((path: string, error: DmError | undefined) => void) | undefined;
}

/** Where the objects of a rewritten tree go. */
export interface ObjectSink {
  writeObject(data: Uint8Array, options: ObjectWriterOptions): Promise<string>;
}

/** How directories and stubs are compressed, by the policy of their source. */
export type MetadataCompressor = ObjectWriterOptions["metadataCompressor"];

const stubPrefix = ".INVALID.";

export class TreeRewriter {
  readonly #reader: ObjectSource;
  readonly #sink: ObjectSink;
  readonly #options: RewriteTreeOptions;
  readonly #slots: Slots;
  /** Directories by their objects that stay as they are, and by {@link keyOf} what became of the others. */
  readonly #unchanged = new Set<string>();
  readonly #changed = new Map<string, Pick<DirectoryEntry, "objectId" | "summary">>();
  #failure: { readonly reason: unknown } | undefined;

  constructor(reader: ObjectSource, sink: ObjectSink, options: RewriteTreeOptions) {
    this.#reader = reader;
    this.#sink = sink;
    this.#options = options;
    this.#slots = new Slots(Math.max(0, (options.parallel ?? 4) - 1));
  }

  /** The root in its new form, the very same object when nothing changes. */
  async root(entry: DirectoryEntry, compressor: MetadataCompressor): Promise<DirectoryEntry> {
    const kept = await this.#entry(entry, "", { compressor, above: [], siblings: [] });
    if (kept) return kept;
    const error = new UnsupportedError(
      "DM_SNAPSHOT_ROOT_REMOVED",
      "the root of a snapshot cannot be left out of it; the snapshot can be deleted",
      { objectId: entry.objectId },
    );
    const { invalidDirectories = "stub" } = this.#options;
    return (await this.#invalid(entry, "", error, invalidDirectories, [], compressor))!;
  }

  async #entry(
    entry: DirectoryEntry,
    path: string,
    place: Place,
  ): Promise<DirectoryEntry | undefined> {
    const { invalidDirectories = "stub", invalidFiles = "stub", onEntry, rewrite } = this.#options;
    this.#options.signal?.throwIfAborted();
    if (this.#failure) throw this.#failure.reason;
    try {
      const kept = await rewrite(entry, path);
      if (kept !== entry) onEntry?.(path, undefined);
      return kept?.type === "d" ? await this.#directory(kept, path, place) : kept;
    } catch (error) {
      if (this.#failure || !isDamage(error)) throw error;
      const handling = entry.type === "d" ? invalidDirectories : invalidFiles;
      return this.#invalid(entry, path, error, handling, place.siblings, place.compressor);
    }
  }

  async #invalid(
    entry: DirectoryEntry,
    path: string,
    error: DmError,
    handling: InvalidEntryHandling,
    siblings: readonly DirectoryEntry[],
    compressor: MetadataCompressor,
  ): Promise<DirectoryEntry | undefined> {
    if (handling === "fail") {
      this.#failure ??= { reason: error };
      throw error;
    }
    this.#options.onEntry?.(path, error);
    if (handling === "keep") return entry;
    return handling === "remove" ? undefined : this.#stub(entry, error, siblings, compressor);
  }

  async #directory(entry: DirectoryEntry, path: string, place: Place): Promise<DirectoryEntry> {
    const { above, compressor } = place;
    checkNesting({ depth: above.length, entry, path }, new Set(above), defaultMaxDepth);
    if (this.#unchanged.has(entry.objectId)) return entry;
    const known = this.#changed.get(keyOf(entry));
    if (known) return { ...entry, ...known };
    const { signal } = this.#options;
    const directory = await readDirectory(this.#reader, entry, { signal });
    const below = { compressor, above: [...above, entry.objectId], siblings: directory.entries };
    const kept = await this.#children(directory.entries, path, below);
    if (kept.every((child, index) => child === directory.entries[index])) {
      this.#unchanged.add(entry.objectId);
      return entry;
    }
    const entries = kept.filter((child) => child !== undefined);
    const summary = rewrittenSummary(entry, directory, entries);
    const bytes = encodeDirectory({ ...directory, entries, summary });
    const objectId = await this.#sink.writeObject(bytes, {
      prefix: "k",
      compressor: compressor ?? undefined,
      metadataCompressor: compressor,
      signal,
    });
    this.#changed.set(keyOf(entry), { objectId, summary });
    return { ...entry, objectId, summary };
  }

  async #children(
    entries: readonly DirectoryEntry[],
    path: string,
    place: Place,
  ): Promise<(DirectoryEntry | undefined)[]> {
    const kept: (DirectoryEntry | undefined)[] = new Array(entries.length);
    const group = new TaskGroup();
    const rewrite = async (child: DirectoryEntry, index: number): Promise<void> => {
      const childPath = path === "" ? child.name : `${path}/${child.name}`;
      kept[index] = await this.#entry(child, childPath, place);
    };
    try {
      for (const [index, child] of entries.entries()) {
        if (this.#slots.tryTake())
          group.add(rewrite(child, index).finally(() => this.#slots.give()));
        else await rewrite(child, index);
      }
    } catch (reason) {
      this.#failure ??= { reason };
    }
    // Also after a failure: nothing may go on behind the caller's back.
    await group.idle();
    if (this.#failure) throw this.#failure.reason;
    return kept;
  }

  /** A file `.INVALID.<name>` that tells what was there and why it could not be read, as Kopia leaves it. */
  async #stub(
    entry: DirectoryEntry,
    error: DmError,
    siblings: readonly DirectoryEntry[],
    compressor: MetadataCompressor,
  ): Promise<DirectoryEntry> {
    const { gid, mode, modifiedAtNs, uid } = entry;
    const text = JSON.stringify(
      {
        info: "An entry could not be read; this file was put in its place.",
        error: `${error.message} [${error.code}]`,
        entry: JSON.parse(encodeEntry(entry)),
      },
      undefined,
      2,
    );
    const bytes = utf8Encode(`${text}\n`);
    const { signal } = this.#options;
    const objectId = await this.#sink.writeObject(bytes, {
      metadataCompressor: compressor,
      signal,
    });
    let name = `${stubPrefix}${entry.name}`;
    while (siblings.some((sibling) => sibling.name === name)) name = `${stubPrefix}${name}`;
    const sizeBytes = bytes.length;
    return { name, type: "f", mode: mode & 0o777, sizeBytes, modifiedAtNs, uid, gid, objectId };
  }
}

interface Place {
  readonly compressor: MetadataCompressor;
  /** Objects of the directories above. */
  readonly above: readonly string[];
  /** What else is in its directory. */
  readonly siblings: readonly DirectoryEntry[];
}

/** Everything that the new form of a directory depends on. */
const keyOf = ({ modifiedAtNs, objectId, summary }: DirectoryEntry): string =>
  `${objectId} ${modifiedAtNs} ${summary?.incompleteReason ?? ""}`;

/** Counts of what is there now, and the failures that the directory itself had when it was uploaded: these files are still missing. */
function rewrittenSummary(
  { modifiedAtNs, summary: shown }: DirectoryEntry,
  { entries: entriesBefore, summary: before }: Directory,
  entries: readonly DirectoryEntry[],
): DirectorySummary {
  const belowBefore = summarizeDirectory(entriesBefore, modifiedAtNs);
  const below = summarizeDirectory(entries, modifiedAtNs);
  const { incompleteReason } = shown ?? before;
  const ofChildren = new Set(belowBefore.failures.map(({ path }) => path));
  const own = before.failures.filter(({ path }: FailedEntry) => !ofChildren.has(path));
  const more = (count: "failedCount" | "ignoredErrorCount"): number =>
    below[count] + Math.max(0, before[count] - belowBefore[count]);
  return {
    ...below,
    ...(incompleteReason && { incompleteReason }),
    failedCount: more("failedCount"),
    ignoredErrorCount: more("ignoredErrorCount"),
    failures: [...own, ...below.failures].sort((a, b) => compareUtf8(a.path, b.path)),
    ...(before.unknownMembers && { unknownMembers: before.unknownMembers }),
  };
}
