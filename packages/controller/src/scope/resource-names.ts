/**
 * Kinds by the names that people give them: plural, singular, short name or kind, with or without the group. Pure.
 * Proof: test/scope/resource-filter.test.ts.
 * @module
 */
import type { Resource } from "@dm/crds";
import type { ApiResource } from "../runtime/api-discovery.ts";

/** As Velero writes a kind everywhere: `pods`, `deployments.apps`. */
export function resourceName({ group, plural }: Pick<Resource, "group" | "plural">): string {
  return group === "" ? plural : `${plural}.${group}`;
}

/** Undefined for what the cluster does not serve. Of several with one name the first one, as the server lists them. */
export type FindResource = (name: string) => ApiResource | undefined;

/** @example findResources(await discovery.resources())("deploy")?.plural // "deployments" */
export function findResources(resources: readonly ApiResource[]): FindResource {
  const byName = new Map<string, ApiResource>();
  const put = (name: string, resource: ApiResource): void => {
    if (name !== "" && !byName.has(name)) byName.set(name, resource);
  };
  // A plural wins over another kind's short name.
  for (const namesOf of [
    ({ plural }: ApiResource) => [plural],
    ({ kind, shortNames, singular }: ApiResource) => [singular, kind, ...shortNames],
  ])
    for (const resource of resources)
      for (const name of namesOf(resource).map((one) => one.toLowerCase())) {
        put(name, resource);
        if (name !== "") put(`${name}.${resource.group}`, resource);
      }
  return (name) => byName.get(name.trim().toLowerCase());
}
