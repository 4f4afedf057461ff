/** What a watch has told, applied later than it was told: caches of real agents are behind, and forget nothing. */
import type { ClusterApi, ClusterEvent, StoredObject } from "@dm/testbed";

export class LaggingCache {
  readonly #objects = new Map<string, StoredObject>();
  readonly #told: ClusterEvent[] = [];
  readonly #onChange: (object: StoredObject) => void;
  readonly #end: () => void;
  #known = 0;

  constructor(
    api: ClusterApi,
    resource: string,
    keeps: (object: StoredObject) => boolean,
    onChange: (object: StoredObject) => void,
  ) {
    this.#onChange = onChange;
    this.#end = api.watch(resource, (event) => {
      if (keeps(event.object)) this.#told.push(event);
    });
  }

  /** How much was told and is not known here yet. */
  get behind(): number {
    return this.#told.length;
  }

  get(namespace: string, name: string): StoredObject | undefined {
    return this.#objects.get(`${namespace}/${name}`);
  }

  list(): StoredObject[] {
    return [...this.#objects.values()];
  }

  /** Learns what had been told the last time. */
  catchUp(): void {
    for (const { type, object } of this.#told.splice(0, this.#known)) {
      const key = `${object.metadata.namespace}/${object.metadata.name}`;
      if (type === "DELETED") this.#objects.delete(key);
      else this.#objects.set(key, object);
      this.#onChange(object);
    }
    this.#known = this.#told.length;
  }

  end(): void {
    this.#end();
  }
}
