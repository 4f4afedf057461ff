/**
 * What images stand for: programs of the host. And what may go wrong with them.
 * Proof: test/kubelet/images.test.ts.
 * @module
 */

/**
 * The words that come before a container's `command` and `args`. `[]` is an image of which the pod names the program itself.
 * With `isEntrypoint` they are what a real image has for a container without a `command`, which takes their place. `env` is there
 * before the pod's own variables.
 */
export type ImageProgram =
  | readonly string[]
  | {
      readonly argv: readonly string[];
      readonly isEntrypoint?: boolean;
      readonly env?: Readonly<Record<string, string>>;
    };

export type ImageTable = Readonly<Record<string, ImageProgram>>;

export interface ResolvedImage {
  readonly argv: readonly string[];
  readonly isEntrypoint: boolean;
  readonly env: Readonly<Record<string, string>>;
}

/** The images of one node. */
export class NodeImages {
  readonly #table: ImageTable;
  readonly #removed = new Set<string>();

  constructor(table: ImageTable) {
    this.#table = table;
  }

  /** All images of the table are on the node, until they are taken off it. */
  find(image: string): ResolvedImage | undefined {
    if (this.#removed.has(image)) return undefined;
    return this.#lookUp(image);
  }

  /** What a registry has; a pull brings back an image that was removed. */
  pull(image: string): ResolvedImage | undefined {
    const found = this.#lookUp(image);
    if (found !== undefined) this.#removed.delete(image);
    return found;
  }

  /** As if the node had never pulled it: with `imagePullPolicy: Never` its pods do not start. */
  remove(image: string): void {
    this.#removed.add(image);
  }

  get names(): readonly string[] {
    return Object.keys(this.#table).filter((name) => !this.#removed.has(name));
  }

  #lookUp(image: string): ResolvedImage | undefined {
    if (!Object.hasOwn(this.#table, image)) return undefined;
    const entry = this.#table[image] as ImageProgram;
    if (!("argv" in entry)) return { argv: entry, isEntrypoint: false, env: {} };
    const { argv, env = {}, isEntrypoint = false } = entry;
    return { argv, isEntrypoint, env };
  }
}

/** `Always` for `:latest` and no tag, as the API server's default. */
export function pullPolicy(container: { image: string; imagePullPolicy?: string }): string {
  if (container.imagePullPolicy !== undefined) return container.imagePullPolicy;
  const tag = /:([^:/]+)$/.exec(container.image)?.[1];
  return tag === undefined || tag === "latest" ? "Always" : "IfNotPresent";
}
