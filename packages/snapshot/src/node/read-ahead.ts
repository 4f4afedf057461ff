/**
 * Lists directories of a local source before they are asked for: while a repository is being opened, and its key derived in
 * another thread, this one has nothing to do. It ends with the first listing that is asked for, and is bounded.
 * Proof: test/read-ahead.test.ts.
 * @module
 */
import type { LocalPath } from "../source/source-entry.ts";
import {
  addEntries,
  entryTypes,
  joinPath,
  type LocalListing,
  newListing,
  readNames,
} from "./local-directory.ts";

/** Entries that are held at most. */
const maxEntries = 65_536;
/** Of a directory that is listed in one turn: about 10 ms. */
const maxEntriesPerTurn = 4096;
/** Older listings are no answer to the question of what there is. */
const maxAgeMs = 2000;
const directoryType = entryTypes.indexOf("d");

export class ReadAhead {
  readonly #listings = new Map<string, { readonly listing: LocalListing; readonly atMs: number }>();
  /** Still to be listed, breadth first. */
  readonly #waiting: string[] = [];
  readonly #deviceId: bigint;
  #entries = 0;
  #turn: NodeJS.Immediate | undefined;

  /** @param deviceId of the file system that is not left: others may be slow, and not be asked for */
  constructor(root: string, deviceId: bigint) {
    this.#deviceId = deviceId;
    this.#waiting.push(root);
    this.#schedule();
  }

  /** The listing of a directory, once; undefined where there is none. No further ones are made. */
  take(path: LocalPath): LocalListing | undefined {
    this.end();
    if (typeof path !== "string") return undefined;
    const found = this.#listings.get(path);
    this.#listings.delete(path);
    return found && performance.now() - found.atMs < maxAgeMs ? found.listing : undefined;
  }

  end(): void {
    clearImmediate(this.#turn);
    this.#waiting.length = 0;
  }

  #schedule(): void {
    this.#turn = setImmediate(() => this.#next());
  }

  #next(): void {
    const path = this.#waiting.shift();
    if (path === undefined) return;
    try {
      const atMs = performance.now();
      const names = readNames(path);
      if (names.length <= Math.min(maxEntriesPerTurn, maxEntries - this.#entries)) {
        const listing = newListing(names.length);
        addEntries(listing, path, names, 0, names.length);
        this.#add(path, listing, atMs);
      }
    } catch {
      // The walk finds out for itself.
    }
    if (this.#waiting.length > 0 && this.#entries < maxEntries) this.#schedule();
  }

  #add(path: string, listing: LocalListing, atMs: number): void {
    this.#entries += listing.count;
    this.#listings.set(path, { listing, atMs });
    for (let at = 0; at < listing.count; at++) {
      if (listing.types[at] !== directoryType || listing.deviceIds[at] !== this.#deviceId) continue;
      const child = joinPath(path, listing.rawNames.get(at) ?? (listing.names[at] as string));
      if (typeof child === "string") this.#waiting.push(child);
    }
  }
}
