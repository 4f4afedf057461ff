/**
 * Which manifests are alive: the union of several manifest contents, tombstones applied.
 * Pure. Proof: test/manifest.test.ts.
 * @module
 */
import type { ManifestEntry } from "./manifest-codec.ts";

/** Labels that a manifest must all have; others do not matter. */
export type LabelSelector = Readonly<Record<string, string>>;

export function matchesLabels(entry: ManifestEntry, labels: LabelSelector): boolean {
  for (const [key, value] of Object.entries(labels)) if (entry.labels[key] !== value) return false;
  return true;
}

/** Adds entries; of two with one id the one modified later wins, at equal times the first. */
export function mergeManifests(
  into: Map<string, ManifestEntry>,
  entries: Iterable<ManifestEntry>,
): void {
  for (const entry of entries) {
    const known = into.get(entry.id);
    if (!known || entry.modifiedAtNs > known.modifiedAtNs) into.set(entry.id, entry);
  }
}

/** Live manifests with all the labels, oldest first. */
export function selectManifests(
  entries: Iterable<ManifestEntry>,
  labels: LabelSelector,
): ManifestEntry[] {
  const selected: ManifestEntry[] = [];
  for (const entry of entries)
    if (!entry.deleted && matchesLabels(entry, labels)) selected.push(entry);
  return selected.sort(
    (a, b) =>
      Number(a.modifiedAtNs - b.modifiedAtNs > 0n) - Number(a.modifiedAtNs - b.modifiedAtNs < 0n) ||
      (a.id < b.id ? -1 : 1),
  );
}

/** The one that counts where several stand for one thing (policy, maintenance), as Kopia picks it. */
export function pickManifest(entries: readonly ManifestEntry[]): ManifestEntry | undefined {
  let pick: ManifestEntry | undefined;
  for (const entry of entries) {
    if (!pick || entry.modifiedAtNs > pick.modifiedAtNs || entry.id > pick.id) pick = entry;
  }
  return pick;
}
