/**
 * Lists that may be long, page by page.
 * Proof: test/backup/list-all.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import { apiVersionOf, type KubeObject, type Resource } from "@dm/crds";
import type { KubeClient, ListOptions } from "../runtime/kube-client.ts";

const pageLength = 500;
/** How often a list may begin again because it took longer than the server remembers. */
const maxRestarts = 3;

type ListAllOptions = Omit<ListOptions, "limit" | "continue">;

/**
 * The pages of a list. One that the server has forgotten begins again, with objects that came before.
 * Objects of a list lack kind and version in the API; here they have them.
 */
export async function* listPages<T extends KubeObject>(
  client: Pick<KubeClient, "list">,
  resource: Resource<T>,
  options: ListAllOptions = {},
): AsyncGenerator<T[]> {
  const { kind } = resource;
  const apiVersion = apiVersionOf(resource);
  let next: string | undefined;
  let restarts = 0;
  do {
    try {
      const page = await client.list(resource, { ...options, limit: pageLength, continue: next });
      yield page.items.map((item) => ({ ...item, apiVersion, kind }));
      next = page.continue || undefined;
    } catch (error) {
      if (!isDmError(error, "DM_KUBE_EXPIRED") || restarts++ >= maxRestarts) throw error;
      next = "";
    }
  } while (next !== undefined);
}

/** Every object of a list, each once. */
export async function listAll<T extends KubeObject>(
  client: Pick<KubeClient, "list">,
  resource: Resource<T>,
  options: ListAllOptions = {},
): Promise<T[]> {
  const all = new Map<string, T>();
  for await (const page of listPages(client, resource, options))
    for (const object of page)
      all.set(`${object.metadata.namespace ?? ""}/${object.metadata.name}`, object);
  return [...all.values()];
}
