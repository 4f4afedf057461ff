/**
 * A directory while it is being uploaded: what of it is done, and what is under way, so that a checkpoint can be made of
 * the whole tree at any time. Format: docs/format/directories.md. Proof: test/upload.test.ts.
 * @module
 */
import { compareUtf8 } from "@dm/repo";
import type { Directory } from "../directory-codec.ts";
import type { DirectoryEntry } from "../directory-entry.ts";
import type { IgnoreContext } from "../policy/ignore-context.ts";
import type { PolicyTree } from "../policy/policy-tree.ts";
import type { SourceDirectory, SourceFile } from "../source/source-entry.ts";
import { type FailedEntry, summarizeDirectory } from "../summary.ts";
import type { StoreTask } from "./data-plane.ts";
import type { StoredDirectory } from "./previous.ts";

export class OpenDirectory {
  /** The directory; a file for the place that a single file has. */
  readonly source: SourceDirectory | SourceFile;
  /** Relative to the root of the snapshot, which is `.`. */
  readonly path: string;
  readonly tree: PolicyTree;
  /** What previous snapshots hold here; set once it has been read. */
  stored: readonly StoredDirectory[] = [];
  /** What is left out of it; set once it has been listed. */
  ignore: IgnoreContext | undefined;
  readonly entries: DirectoryEntry[] = [];
  /** Directories in it that are open, and files under way. */
  readonly directories = new Set<OpenDirectory>();
  readonly files = new Map<SourceFile, StoreTask>();
  readonly #failures: FailedEntry[] = [];
  #failedCount = 0;
  #ignoredErrorCount = 0;

  constructor(source: SourceDirectory | SourceFile, path: string, tree: PolicyTree) {
    this.source = source;
    this.path = path;
    this.tree = tree;
  }

  /** Path of an entry in it. */
  pathOf(name: string): string {
    return this.path === "." ? name : `${this.path}/${name}`;
  }

  addFailure(path: string, error: string, isIgnored: boolean): void {
    if (isIgnored) this.#ignoredErrorCount += 1;
    else this.#failedCount += 1;
    this.#failures.push({ path, error });
  }

  /** With these entries, its own by default. */
  build(
    incompleteReason: string | undefined,
    entries: readonly DirectoryEntry[] = this.entries,
  ): Directory {
    const below = summarizeDirectory(entries, this.source.modifiedAtNs);
    const hasFailures = this.#failures.length > 0;
    const summary = {
      ...below,
      ...(incompleteReason && { incompleteReason }),
      failedCount: below.failedCount + this.#failedCount,
      ignoredErrorCount: below.ignoredErrorCount + this.#ignoredErrorCount,
      failures: hasFailures
        ? [...this.#failures, ...below.failures].sort((a, b) => compareUtf8(a.path, b.path))
        : below.failures,
    };
    return { entries, summary };
  }
}
