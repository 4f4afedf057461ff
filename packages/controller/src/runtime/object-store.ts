/**
 * The objects of one kind in memory, found by key, by namespace and by whatever the user indexes.
 * Proof: test/runtime/object-store.test.ts.
 * @module
 */
import type { KubeObject } from "@dm/crds";
import { keyOf, keyText } from "./object-key.ts";

/** The values under which an object is found; none, one or many. */
export type IndexOf<T> = (object: T) => readonly string[];

/** @internal */
export class ObjectStore<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexes: ReadonlyMap<string, Index<T>>;
  readonly #namespaces: Index<T> = {
    valuesOf: (object) => [object.metadata.namespace ?? ""],
    keys: new Map(),
  };

  constructor(indexes: Readonly<Record<string, IndexOf<T>>>) {
    this.#indexes = new Map(
      Object.entries(indexes).map(([name, valuesOf]) => [name, { valuesOf, keys: new Map() }]),
    );
  }

  get size(): number {
    return this.#objects.size;
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(namespace?: string): T[] {
    if (namespace === undefined) return [...this.#objects.values()];
    return this.#found(this.#namespaces, namespace);
  }

  byIndex(name: string, value: string): T[] {
    const index = this.#indexes.get(name);
    if (!index) throw new RangeError(`there is no index "${name}"`);
    return this.#found(index, value);
  }

  /** Returns what was there before. */
  put(object: T): T | undefined {
    const key = keyText(keyOf(object));
    const before = this.#objects.get(key);
    if (before) this.#unindex(key, before);
    this.#objects.set(key, object);
    for (const { valuesOf, keys } of this.#all()) {
      for (const value of valuesOf(object)) {
        const set = keys.get(value);
        if (set) set.add(key);
        else keys.set(value, new Set([key]));
      }
    }
    return before;
  }

  remove(key: string): T | undefined {
    const before = this.#objects.get(key);
    if (!before) return undefined;
    this.#unindex(key, before);
    this.#objects.delete(key);
    return before;
  }

  #unindex(key: string, object: T): void {
    for (const { valuesOf, keys } of this.#all()) {
      for (const value of valuesOf(object)) {
        const set = keys.get(value);
        set?.delete(key);
        if (set?.size === 0) keys.delete(value);
      }
    }
  }

  *#all(): IterableIterator<Index<T>> {
    yield this.#namespaces;
    yield* this.#indexes.values();
  }

  #found(index: Index<T>, value: string): T[] {
    const keys = index.keys.get(value);
    return keys ? [...keys].map((key) => this.#objects.get(key)!) : [];
  }
}

interface Index<T> {
  readonly valuesOf: IndexOf<T>;
  readonly keys: Map<string, Set<string>>;
}
