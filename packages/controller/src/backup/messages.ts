/**
 * Errors and warnings of a Backup or Restore, by what they concern. Pure.
 * Proof: test/backup/messages.test.ts.
 * @module
 */
import type { ResultMessages } from "../bucket/backup-files.ts";

export function countMessages({ cluster, namespaces = {}, velero }: ResultMessages): number {
  const lists = [velero, cluster, ...Object.values(namespaces)];
  return lists.reduce((sum, list) => sum + (list?.length ?? 0), 0);
}

/** Messages by what they concern, each once: a record may be completed twice. */
export class Messages {
  readonly #lists: Record<string, string[]> = {};
  readonly #namespaces: Record<string, string[]> = {};

  constructor({ namespaces = {}, ...lists }: ResultMessages = {}) {
    for (const [name, list] of Object.entries(lists)) this.#lists[name] = [...(list ?? [])];
    for (const [name, list] of Object.entries(namespaces)) this.#namespaces[name] = [...list];
  }

  /** Without a namespace, about the cluster. */
  about(namespace: string, message: string): void {
    const lists = namespace === "" ? this.#lists : this.#namespaces;
    const key = namespace === "" ? "cluster" : namespace;
    lists[key] ??= [];
    const list = lists[key];
    if (!list.includes(message)) list.push(message);
  }

  get all(): ResultMessages {
    const hasAny = Object.keys(this.#namespaces).length > 0;
    return hasAny ? { ...this.#lists, namespaces: this.#namespaces } : { ...this.#lists };
  }
}
