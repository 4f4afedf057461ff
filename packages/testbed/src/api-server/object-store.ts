/**
 * The objects, each change with the next number of one counter, and the history that watches read. It keeps no rules of
 * kinds: those are the registry's. Stored objects are never altered, so that they can be handed to readers in this
 * folder without copies.
 * Proof: test/api-server/object-store.test.ts.
 * @module
 */
import type { StoredObject } from "../kube-object.ts";
import { expired } from "./api-error.ts";

export interface StoreEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly resource: string;
  /** As it is now; of a deleted one the last state, with the version of the deletion. */
  readonly object: StoredObject;
  readonly previous: StoredObject | undefined;
  readonly version: number;
}

export type StoreListener = (event: StoreEvent) => void;

/** What survives a restart. Called after every change. */
export type StoreRecorder = (
  resource: string,
  key: string,
  object: StoredObject | undefined,
  version: number,
) => void;

/** Changes that are kept for each resource, so that watches can go on from an older version. */
const historyLength = 5000;

interface Collection {
  readonly objects: Map<string, StoredObject>;
  /** Keys in order, made when first asked for. */
  sorted: string[] | undefined;
  history: StoreEvent[];
  /** Versions up to this one are gone from the history. */
  compacted: number;
  readonly listeners: Set<StoreListener>;
}

export class ObjectStore {
  readonly #collections = new Map<string, Collection>();
  #version: number;
  #compacted = 0;
  readonly #record: StoreRecorder;

  constructor(options: { readonly version?: number; readonly record?: StoreRecorder } = {}) {
    this.#version = options.version ?? 1;
    this.#compacted = this.#version;
    this.#record = options.record ?? (() => {});
  }

  /** The number of the last change. */
  get version(): number {
    return this.#version;
  }

  /** Versions at or below this one are too old for a list to continue from. */
  get compactedVersion(): number {
    return this.#compacted;
  }

  get(resource: string, key: string): StoredObject | undefined {
    return this.#collections.get(resource)?.objects.get(key);
  }

  /** Sorted by key. */
  *entries(resource: string, prefix = ""): Generator<[string, StoredObject]> {
    const collection = this.#collections.get(resource);
    if (collection === undefined) return;
    collection.sorted ??= [...collection.objects.keys()].sort(compareKeys);
    const { sorted } = collection;
    for (let index = prefix === "" ? 0 : firstAtOrAfter(sorted, prefix); ; index++) {
      const key = sorted[index];
      if (key === undefined || !key.startsWith(prefix)) return;
      yield [key, collection.objects.get(key) as StoredObject];
    }
  }

  list(resource: string, prefix = ""): StoredObject[] {
    const found: StoredObject[] = [];
    for (const [, object] of this.entries(resource, prefix)) found.push(object);
    return found;
  }

  count(resource: string): number {
    return this.#collections.get(resource)?.objects.size ?? 0;
  }

  /** Resources that have or had objects. */
  resources(): string[] {
    return [...this.#collections.keys()];
  }

  /** Stores under the next version, which is written into the object; it is the store's from now on. */
  put(resource: string, key: string, object: StoredObject): StoredObject {
    const collection = this.#collection(resource);
    const previous = collection.objects.get(key);
    const version = ++this.#version;
    object.metadata.resourceVersion = String(version);
    collection.objects.set(key, object);
    if (previous === undefined) collection.sorted = undefined;
    const type = previous === undefined ? "ADDED" : "MODIFIED";
    this.#tell(collection, { type, resource, object, previous, version });
    this.#record(resource, key, object, version);
    return object;
  }

  remove(resource: string, key: string): StoredObject | undefined {
    const collection = this.#collection(resource);
    const previous = collection.objects.get(key);
    if (previous === undefined) return undefined;
    const version = ++this.#version;
    collection.objects.delete(key);
    collection.sorted = undefined;
    const metadata = { ...previous.metadata, resourceVersion: String(version) };
    const object = { ...previous, metadata };
    this.#tell(collection, { type: "DELETED", resource, object, previous, version });
    this.#record(resource, key, undefined, version);
    return object;
  }

  /** Puts back what a recorder wrote, without events. */
  restore(resource: string, key: string, object: StoredObject | undefined, version: number): void {
    const { objects } = this.#collection(resource);
    if (object === undefined) objects.delete(key);
    else objects.set(key, object);
    this.#version = Math.max(this.#version, version);
    this.#compacted = this.#version;
  }

  /** Calls for every change from now on, in order, within the call that makes it. Returns the end. */
  listen(resource: string, listener: StoreListener): () => void {
    const { listeners } = this.#collection(resource);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }

  /**
   * The changes after `version`.
   * @throws {ApiError} 410 when some of them are no longer known, or the version is none of this store: a server that came back
   * empty must not leave its clients with what they remember
   */
  since(resource: string, version: number): StoreEvent[] {
    if (version > this.#version) {
      throw expired(`too large resource version: ${version}, current: ${this.#version}`);
    }
    const collection = this.#collection(resource);
    const oldest = Math.max(collection.compacted, this.#compacted);
    if (version < oldest && version < this.#version) {
      throw expired(`too old resource version: ${version} (${oldest})`);
    }
    const { history } = collection;
    let start = history.length;
    while (start > 0 && (history[start - 1] as StoreEvent).version > version) start--;
    return history.slice(start);
  }

  /** Forgets the history: watches and continued lists from before get 410. */
  compact(): void {
    this.#compacted = this.#version;
    for (const collection of this.#collections.values()) collection.history = [];
  }

  #collection(resource: string): Collection {
    let collection = this.#collections.get(resource);
    if (collection === undefined) {
      collection = {
        objects: new Map(),
        sorted: undefined,
        history: [],
        compacted: 0,
        listeners: new Set(),
      };
      this.#collections.set(resource, collection);
    }
    return collection;
  }

  #tell(collection: Collection, event: StoreEvent): void {
    const { history, listeners } = collection;
    history.push(event);
    // Cut in halves, so that the cost of moving the rest is spread over many writes.
    if (history.length >= 2 * historyLength) {
      collection.compacted = (history[historyLength - 1] as StoreEvent).version;
      collection.history = history.slice(historyLength);
    }
    for (const listener of [...listeners]) listener(event);
  }
}

/** `NAMESPACE/NAME`; kinds without a namespace have an empty one. */
export function storeKey(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function firstAtOrAfter(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
