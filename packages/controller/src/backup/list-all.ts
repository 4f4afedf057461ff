/**
 * Lists that may be long, page by page.
 * Proof: test/backup/reconcile-backup.test.ts.
 * @module
 */
import type { KubeObject, Resource } from "@dm/crds";
import type { KubeClient, ListOptions } from "../runtime/kube-client.ts";

const pageLength = 500;

/** Every object of a list. Objects of a list lack kind and version in the API; here they have them. */
export async function listAll<T extends KubeObject>(
  client: Pick<KubeClient, "list">,
  resource: Resource<T>,
  options: Omit<ListOptions, "limit" | "continue"> = {},
): Promise<T[]> {
  const { group, kind, version } = resource;
  const apiVersion = group === "" ? version : `${group}/${version}`;
  const all: T[] = [];
  let next: string | undefined;
  do {
    const page = await client.list(resource, { ...options, limit: pageLength, continue: next });
    all.push(...page.items.map((item) => ({ ...item, apiVersion, kind })));
    next = page.continue || undefined;
  } while (next !== undefined);
  return all;
}
