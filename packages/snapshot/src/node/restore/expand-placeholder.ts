/**
 * What placeholders of a shallow restore stand for, brought back.
 * Format: docs/format/snapshots.md. Proof: test/shallow-restore.test.ts, test/shallow-restore.kopia.test.ts.
 * @module
 */
import { rmdirSync, unlinkSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { NotFoundError } from "@dm/core";
import type { Repository } from "@dm/repo";
import type { RestoreOptions, RestoreReport } from "../../restore/restore-types.ts";
import { placeholderSuffix, readPlaceholder } from "../../upload/placeholder.ts";
import { openLocalSource } from "../local-source.ts";
import { restoreTree } from "./restore-tree.ts";

/** Whether a path is called as a placeholder is. */
export function isPlaceholder(path: string): boolean {
  const name = basename(path);
  return name.endsWith(placeholderSuffix) && name !== placeholderSuffix;
}

/**
 * Restores what a placeholder stands for beside it, under its own name, and removes the placeholder when nothing is lost. Of a
 * directory, by default, one level: what is in it becomes placeholders; `shallowDepth` says how many more.
 * @throws {NotFoundError} `DM_PLACEHOLDER_INVALID` when the path is not that of a placeholder
 * @throws {FormatError} `DM_PLACEHOLDER_INVALID` when there is something else in it; and what `restoreTree` throws
 * @example await expandPlaceholder(repository, "/restored/photos.kopia-entry");
 */
export async function expandPlaceholder(
  repository: Repository,
  path: string,
  options: RestoreOptions = {},
): Promise<RestoreReport> {
  const { shallowDepth = 0, signal } = options;
  const place = resolve(path);
  const source = isPlaceholder(place) ? await openLocalSource(place, { signal }) : undefined;
  if (source?.type !== "f" && source?.type !== "d")
    throw new NotFoundError("DM_PLACEHOLDER_INVALID", `${place} is no placeholder`, {
      path: place,
    });
  const entry = await readPlaceholder(source, { signal });
  const target = place.slice(0, -placeholderSuffix.length);
  const report = await restoreTree(repository, entry, target, { ...options, shallowDepth });
  if (!report.ok) return report;
  unlinkSync(source.type === "d" ? join(place, placeholderSuffix) : place);
  if (source.type === "d") rmdirSync(place);
  return report;
}
