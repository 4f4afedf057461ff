/**
 * Snapshots written again without some of their entries: what cannot be read, or what must not be there. Nothing that is
 * stored is removed: what only the old ones refer to goes with the garbage that maintenance collects.
 * Proof: test/rewrite-snapshots.test.ts, test/rewrite-snapshots.kopia.test.ts.
 * @module
 */
import {
  type ContentSink,
  compareUtf8,
  contentIdFromHash,
  ObjectWriter,
  type Repository,
  type WriteSession,
} from "@dm/repo";
import { updateSnapshot } from "../edit.ts";
import { policyTree } from "../policy/policy-tree.ts";
import { metadataCompressorOf } from "../policy/upload-choices.ts";
import type { Snapshot } from "../snapshot-codec.ts";
import { bySource, sourceText } from "../snapshots.ts";
import { type ObjectSink, type RewriteTreeOptions, TreeRewriter } from "./rewrite-tree.ts";

export interface RewriteSnapshotsOptions extends RewriteTreeOptions {
  /** Store the new trees, and put the new snapshots in the place of the old; off by default, which only says what would change. */
  readonly commit?: boolean | undefined;
  /** Told of each snapshot before and after it was looked at. */
  readonly onBegin?: ((snapshot: Snapshot) => void) | undefined;
  readonly onEnd?: ((rewritten: RewrittenSnapshot) => void) | undefined;
}

export interface RewrittenSnapshot {
  readonly before: Snapshot;
  /** The very same when nothing changes; with a new id when it is put in the old one's place. */
  readonly after: Snapshot;
  readonly isChanged: boolean;
}

/**
 * Goes through snapshots, by source and oldest first. With `commit`, the changes become visible together when all have been
 * gone through; until then, and without it, nothing changes. Without `commit` nothing is stored: the repository may be
 * read-only.
 * @throws {DmError} what reading threw, where the handling is `fail`; then nothing has changed
 * @example
 * const rewrite = withoutFiles({ names: ["*.tmp"] });
 * const rewritten = await rewriteSnapshots(repository, snapshots, { rewrite, commit: true });
 * console.log(rewritten.filter(({ isChanged }) => isChanged).length);
 */
export async function rewriteSnapshots(
  repository: Repository,
  snapshots: readonly Snapshot[],
  options: RewriteSnapshotsOptions,
): Promise<RewrittenSnapshot[]> {
  const { commit = false, signal } = options;
  if (!commit) return rewriteAll(repository, hashOnly(repository), snapshots, options);
  await using session = await repository.openWriteSession({ signal });
  const rewritten = await rewriteAll(session, session, snapshots, options, session);
  await session.commit({ signal });
  return rewritten;
}

async function rewriteAll(
  reader: Pick<Repository, "findManifests" | "openObject">,
  sink: ObjectSink,
  snapshots: readonly Snapshot[],
  options: RewriteSnapshotsOptions,
  session?: WriteSession,
): Promise<RewrittenSnapshot[]> {
  const { onBegin, onEnd, signal } = options;
  const rewriter = new TreeRewriter(reader, sink, options);
  const rewritten: RewrittenSnapshot[] = [];
  for (const group of inOrder(snapshots)) {
    const { policy } = await policyTree(reader, group[0]!.source, { signal });
    const compressor = metadataCompressorOf(policy);
    for (const before of group) {
      onBegin?.(before);
      const { rootEntry } = before;
      const root = rootEntry && (await rewriter.root(rootEntry, compressor));
      const isChanged = root !== rootEntry;
      let after = before;
      if (isChanged && root) after = { ...before, rootEntry: root };
      if (isChanged && session) after = await updateSnapshot(session, after, { signal });
      const result = { before, after, isChanged };
      rewritten.push(result);
      onEnd?.(result);
    }
  }
  return rewritten;
}

/** By source, and oldest first. */
function inOrder(snapshots: readonly Snapshot[]): Snapshot[][] {
  const groups = bySource(snapshots);
  for (const group of groups)
    group.sort(
      (a, b) => Number(a.startedAtNs - b.startedAtNs) || Number(a.endedAtNs - b.endedAtNs),
    );
  const nameOf = ([first]: Snapshot[]): string => sourceText(first!.source);
  return groups.sort((a, b) => compareUtf8(nameOf(a), nameOf(b)));
}

/** Gives objects the ids that they would have, and stores nothing. */
function hashOnly({ crypter, format }: Repository): ObjectSink {
  const contents: ContentSink = {
    write: async (data, { prefix = "" } = {}) =>
      contentIdFromHash(prefix, crypter.hash.digest(data)),
  };
  return {
    writeObject: async (data, options) => {
      const writer = new ObjectWriter(contents, format, options);
      await writer.write(data);
      return writer.result();
    },
  };
}
