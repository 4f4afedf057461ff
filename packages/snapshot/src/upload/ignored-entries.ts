/**
 * What of a directory is left out of a snapshot: by rules, by size, on other file systems, and everything in a cache.
 * Proof: test/upload.test.ts, test/ignore.kopia.test.ts.
 * @module
 */
import { concatBytes } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import {
  cacheDirectoryTag,
  IgnoreContext,
  isCacheDirectoryTag,
  maxDotFileBytes,
  type ReadDotFile,
} from "../policy/ignore-context.ts";
import type { PolicyTree } from "../policy/policy-tree.ts";
import type { SourceDirectory, SourceEntry, SourceFile } from "../source/source-entry.ts";

export interface KeptEntries {
  readonly entries: readonly SourceEntry[];
  /** Of this directory; for what is below it, which is nothing in a cache. */
  readonly context: IgnoreContext | undefined;
}

export interface KeepOptions extends CallOptions {
  /** The context of the directory above; none for the root. */
  readonly parent: IgnoreContext | undefined;
  /** The policies of this directory. */
  readonly tree: PolicyTree;
  /** Its name. */
  readonly name: string;
  /** Told of what rules leave out, and of a cache. */
  readonly onIgnored: (entry: SourceEntry) => void;
}

/**
 * @param listed everything in the directory
 * @throws what reading of a file of rules throws: then the directory cannot be read
 */
export async function keptEntries(
  directory: SourceDirectory,
  listed: readonly SourceEntry[],
  { name, onIgnored, parent, signal, tree }: KeepOptions,
): Promise<KeptEntries> {
  const skipsCaches = tree.policy.files.ignoreCacheDirs ?? true;
  if (skipsCaches && (await holdsCacheTag(listed, signal))) {
    onIgnored(directory);
    // Rules in a cache are not looked at, be they right or wrong.
    return { entries: [], context: parent };
  }
  const readDotFile = dotFileReader(listed, signal);
  const context = parent
    ? await parent.enter(name, readDotFile)
    : await IgnoreContext.forRoot(tree, readDotFile);
  const entries = listed.filter((entry) => {
    const isDirectory = entry.type === "d" || (entry.type === "failure" && entry.isDirectory);
    if (context.isIgnored(entry.name, isDirectory)) {
      onIgnored(entry);
      return false;
    }
    return !context.isBeyondLimits(entry, directory.deviceId);
  });
  return { entries, context };
}

const dotFileReader =
  (listed: readonly SourceEntry[], signal: AbortSignal | undefined): ReadDotFile =>
  async (name) => {
    const found = listed.find((entry) => entry.name === name);
    if (found?.type === "f") return beginningOf(found, maxDotFileBytes + 1, signal);
    if (found?.type !== "s" || !found.follow) return undefined;
    const target = await found.follow({ signal });
    if (target.type !== "f") throw new Error(`${name} does not eventually link to a file`);
    return beginningOf(target, maxDotFileBytes + 1, signal);
  };

async function holdsCacheTag(
  listed: readonly SourceEntry[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const tag = listed.find(({ name }) => name === cacheDirectoryTag.name);
  if (tag?.type !== "f" || tag.sizeBytes < cacheDirectoryTag.signature.length) return false;
  try {
    const length = cacheDirectoryTag.signature.length;
    return isCacheDirectoryTag(await beginningOf(tag, length, signal));
  } catch {
    signal?.throwIfAborted();
    // As Kopia has it: what cannot be read makes no cache. The file itself is reported when it is uploaded.
    return false;
  }
}

async function beginningOf(
  file: SourceFile,
  maxBytes: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of file.read({ signal })) {
    pieces.push(piece.slice());
    length += piece.length;
    if (length >= maxBytes) break;
  }
  return concatBytes(...pieces).subarray(0, maxBytes);
}
