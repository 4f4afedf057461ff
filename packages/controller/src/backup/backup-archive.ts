/**
 * The objects of a backup on their way into its tarball: each once, in the order in which they come.
 * Proof: test/backup/run-backup.test.ts.
 * @module
 */
import type { KubeObject, Resource } from "@dm/crds";
import { apiVersionOf } from "@dm/crds";
import { itemFiles } from "../bucket/backup-files.ts";
import { newTarball, type Tarball } from "../bucket/write-tarball.ts";
import { resourceName } from "../scope/resource-names.ts";

export class BackupArchive {
  readonly #tarball: Tarball;
  readonly #seen = new Set<string>();
  readonly #namespaces = new Set<string>();
  readonly #kinds = new Set<string>();
  readonly #list = new Map<string, string[]>();

  private constructor(tarball: Tarball) {
    this.#tarball = tarball;
  }

  static async open(now: Date): Promise<BackupArchive> {
    return new BackupArchive(await newTarball(now));
  }

  /** False when it is there already. */
  async add(resource: Resource, object: KubeObject): Promise<boolean> {
    const { name = "", namespace } = object.metadata;
    const title = namespace ? `${namespace}/${name}` : name;
    const kind = resourceName(resource);
    if (this.has(resource, object)) return false;
    this.#seen.add(`${kind} ${title}`);
    this.#kinds.add(kind);
    if (namespace) this.#namespaces.add(namespace);
    const listed = `${apiVersionOf(resource)}/${resource.kind}`;
    const names = this.#list.get(listed);
    if (names) names.push(title);
    else this.#list.set(listed, [title]);
    await this.#tarball.add(itemFiles({ resource: kind, version: resource.version, object }));
    return true;
  }

  has(resource: Resource, { metadata: { name, namespace } }: KubeObject): boolean {
    return this.#seen.has(`${resourceName(resource)} ${namespace ? `${namespace}/` : ""}${name}`);
  }

  /** Whether it has anything of a namespace. */
  hasNamespace(name: string): boolean {
    return this.#namespaces.has(name);
  }

  /** Names of the kinds. */
  get resources(): string[] {
    return [...this.#kinds];
  }

  get count(): number {
    return this.#seen.size;
  }

  /** Names by `<apiVersion>/<Kind>`, both in order. */
  get resourceList(): Readonly<Record<string, readonly string[]>> {
    const sorted = [...this.#list].sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(sorted.map(([kind, names]) => [kind, [...names].sort()]));
  }

  end(): Promise<Uint8Array> {
    return this.#tarball.end();
  }
}
