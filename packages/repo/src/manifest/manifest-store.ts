/**
 * Reads all manifest contents (prefix `m`) of a repository and keeps the result until the set of contents changes.
 * Format: docs/format/manifests.md. Proof: test/manifest.test.ts.
 * @module
 */
import { isDmError, mapConcurrent } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import type { ContentReader } from "../content/content-reader.ts";
import type { ContentId } from "../content-id.ts";
import { decodeManifests, type ManifestEntry } from "./manifest-codec.ts";
import { mergeManifests } from "./manifest-set.ts";

/** As many as there usually are: a write session merges them beyond this. */
const readConcurrency = 16;
const maxAttempts = 2;

export interface LoadedManifests {
  /** By id, tombstones included. */
  readonly entries: ReadonlyMap<string, ManifestEntry>;
  /** The live manifest contents they come from. */
  readonly contentIds: readonly ContentId[];
}

export class ManifestStore {
  readonly #reader: ContentReader;
  /** Decoded contents by id: a content never changes. */
  readonly #decoded = new Map<ContentId, readonly ManifestEntry[]>();

  constructor(reader: ContentReader) {
    this.#reader = reader;
  }

  async load(options: CallOptions & { readonly fresh?: boolean } = {}): Promise<LoadedManifests> {
    for (let attempt = 1; ; attempt++) {
      const index = await this.#reader.index.get({
        signal: options.signal,
        fresh: options.fresh === true || attempt > 1,
      });
      const contentIds: ContentId[] = [];
      for (const entry of index.entries({ prefix: "m" }))
        if (!entry.deleted) contentIds.push(entry.contentId);
      try {
        const lists = await mapConcurrent(contentIds, (id) => this.#read(id, options), {
          concurrency: readConcurrency,
          signal: options.signal,
        });
        const live = new Set(contentIds);
        for (const id of this.#decoded.keys()) if (!live.has(id)) this.#decoded.delete(id);
        const entries = new Map<string, ManifestEntry>();
        for (const list of lists) mergeManifests(entries, list);
        return { entries, contentIds };
      } catch (error) {
        // Another client compacted the manifests, and its old contents are gone already: look again.
        const gone =
          isDmError(error, "DM_CONTENT_NOT_FOUND") || isDmError(error, "DM_PACK_NOT_FOUND");
        if (!gone || attempt >= maxAttempts) throw error;
      }
    }
  }

  async #read(id: ContentId, options: CallOptions): Promise<readonly ManifestEntry[]> {
    const known = this.#decoded.get(id);
    if (known) return known;
    const entries = decodeManifests(await this.#reader.read(id, options), id);
    this.#decoded.set(id, entries);
    return entries;
  }
}
