/**
 * The book of a restore: counts, losses by path, and what is said once for many entries. Pure.
 * Proof: test/restore-plan.test.ts.
 * @module
 */
import { compareUtf8 } from "@dm/repo";
import type { DirectorySummary } from "../summary.ts";
import type { RestoreLoss, RestoreProgress, RestoreReport } from "./restore-types.ts";

/** Losses that are kept to be listed; all are counted. */
const maxListedLosses = 10_000;

export class RestoreLedger {
  readonly #summary: DirectorySummary | undefined;
  readonly #onProgress: ((progress: RestoreProgress) => void) | undefined;
  readonly #losses: RestoreLoss[] = [];
  readonly #notices = new Set<string>();
  #ownersLost = 0;
  files = 0;
  directories = 0;
  symlinks = 0;
  placeholders = 0;
  bytes = 0;
  skipped = 0;
  skippedBytes = 0;
  readonly deleted = { files: 0, directories: 0, symlinks: 0 };
  lossCount = 0;

  constructor(
    summary: DirectorySummary | undefined,
    onProgress: ((progress: RestoreProgress) => void) | undefined,
  ) {
    this.#summary = summary;
    this.#onProgress = onProgress;
  }

  lose(path: string, code: string, reason: string): void {
    this.lossCount += 1;
    if (this.#losses.length < maxListedLosses) this.#losses.push({ path, code, reason });
  }

  loseOwner(): void {
    this.#ownersLost += 1;
  }

  notice(text: string): void {
    this.#notices.add(text);
  }

  /** Tells whoever listens. */
  tell(): void {
    this.#onProgress?.(this.progress());
  }

  progress(): RestoreProgress {
    return {
      filesDone: this.files,
      directoriesDone: this.directories,
      symlinksDone: this.symlinks,
      placeholdersDone: this.placeholders,
      bytesDone: this.bytes,
      skippedCount: this.skipped,
      skippedBytes: this.skippedBytes,
      deletedFiles: this.deleted.files,
      deletedDirectories: this.deleted.directories,
      deletedSymlinks: this.deleted.symlinks,
      lossCount: this.lossCount,
      totalFiles: this.#summary?.fileCount,
      totalBytes: this.#summary?.totalBytes,
    };
  }

  report(): RestoreReport {
    const notices = [...this.#notices];
    if (this.#ownersLost > 0) {
      notices.unshift(
        `the owner of ${this.#ownersLost} entries could not be restored: this user may not give files away. Setuid and setgid were left off them`,
      );
    }
    return {
      ...this.progress(),
      losses: this.#losses.toSorted((a, b) => compareUtf8(a.path, b.path)),
      notices,
      ok: this.lossCount === 0,
    };
  }
}
