/**
 * Which kinds a cluster serves: what backups list, and what restores may create. Asked in the aggregated form, two answers for
 * everything; servers before Kubernetes 1.27 answer per group version.
 * Proof: test/runtime/api-discovery.test.ts.
 * @module
 */
import { isDmError, mapConcurrent } from "@dm/core";
import type { Resource } from "@dm/crds";
import type { KubeCallOptions } from "./kube-client.ts";
import { unavailable } from "./kube-errors.ts";
import type { NodeKubeClient } from "./node-client.ts";

/** A kind at the version that the server prefers for its group. */
export interface ApiResource extends Resource {
  /** May be empty. */
  readonly singular: string;
  readonly shortNames: readonly string[];
  /** `list`, `create`, … */
  readonly verbs: readonly string[];
}

export interface ServerVersion {
  readonly major: string;
  readonly minor: string;
  readonly gitVersion: string;
}

export interface ApiDiscovery {
  /** Every kind once per group, without subresources, in the order of the server. */
  resources(options?: KubeCallOptions): Promise<readonly ApiResource[]>;
  serverVersion(options?: KubeCallOptions): Promise<ServerVersion>;
}

/** More group versions than any cluster has. */
const maxGroupVersions = 2_000;
const maxResources = 20_000;
const concurrency = 8;
const aggregated = ["v2", "v2beta1"].map(
  (version) => `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
);
const accept = [...aggregated, "application/json"].join(",");

/** @example const kinds = await apiDiscovery(client).resources(); */
export function apiDiscovery({ getPath }: Pick<NodeKubeClient, "getPath">): ApiDiscovery {
  return {
    async resources(options) {
      const found: ApiResource[] = [];
      for (const root of ["/api", "/apis"]) {
        const answer = (await getPath(root, { ...options, accept })) as Partial<RootAnswer>;
        found.push(
          ...(answer.kind === "APIGroupDiscoveryList"
            ? aggregatedResources(answer.items ?? [])
            : await listedResources(getPath, versionsOf(answer), options)),
        );
      }
      const seen = new Set<string>();
      const unique = found.filter(({ group, plural }) => {
        const key = `${plural}.${group}`;
        const isFirst = !seen.has(key);
        seen.add(key);
        return isFirst;
      });
      if (unique.length > maxResources) throw unavailable(`discovery: ${unique.length} resources`);
      return unique;
    },

    async serverVersion(options) {
      const version = (await getPath("/version", options)) as Partial<ServerVersion> | null;
      const { gitVersion = "", major = "", minor = "" } = version ?? {};
      return { major, minor, gitVersion };
    },
  };
}

interface RootAnswer {
  readonly kind: string;
  /** `APIGroupDiscoveryList`. */
  readonly items: readonly AggregatedGroup[];
  /** `APIVersions`. */
  readonly versions: readonly string[];
  /** `APIGroupList`. */
  readonly groups: readonly {
    readonly versions: readonly { readonly groupVersion: string }[];
    readonly preferredVersion?: { readonly groupVersion: string };
  }[];
}

interface AggregatedGroup {
  readonly metadata?: { readonly name?: string };
  /** The preferred one first. */
  readonly versions?: readonly {
    readonly version: string;
    readonly resources?: readonly {
      readonly resource: string;
      readonly responseKind?: { readonly kind?: string };
      readonly scope: string;
      readonly singularResource?: string;
      readonly shortNames?: readonly string[];
      readonly verbs?: readonly string[];
    }[];
  }[];
}

function aggregatedResources(groups: readonly AggregatedGroup[]): ApiResource[] {
  return groups.flatMap(({ metadata, versions = [] }) =>
    versions.flatMap(({ resources = [], version }) =>
      resources.map((one) => ({
        group: metadata?.name ?? "",
        version,
        kind: one.responseKind?.kind ?? "",
        plural: one.resource,
        namespaced: one.scope === "Namespaced",
        singular: one.singularResource ?? "",
        shortNames: one.shortNames ?? [],
        verbs: one.verbs ?? [],
      })),
    ),
  );
}

/** Of each group the preferred one first. */
function versionsOf({ groups = [], versions = [] }: Partial<RootAnswer>): string[] {
  const ofGroups = groups.flatMap((group) => {
    const names = group.versions.map(({ groupVersion }) => groupVersion);
    const preferred = group.preferredVersion?.groupVersion;
    return preferred ? [preferred, ...names.filter((name) => name !== preferred)] : names;
  });
  const all = [...versions, ...ofGroups];
  if (all.length > maxGroupVersions) throw unavailable(`discovery: ${all.length} group versions`);
  return all;
}

interface ResourceList {
  readonly resources?: readonly {
    readonly name: string;
    readonly singularName?: string;
    readonly namespaced: boolean;
    readonly kind: string;
    readonly shortNames?: readonly string[];
    readonly verbs?: readonly string[];
  }[];
}

async function listedResources(
  getPath: NodeKubeClient["getPath"],
  groupVersions: readonly string[],
  options: KubeCallOptions = {},
): Promise<ApiResource[]> {
  const lists = await mapConcurrent(
    groupVersions,
    async (groupVersion) => {
      const [group, version] = groupVersion.includes("/")
        ? (groupVersion.split("/", 2) as [string, string])
        : ["", groupVersion];
      const path = group === "" ? `/api/${version}` : `/apis/${groupVersion}`;
      const { resources = [] } = await resourceList(getPath, path, options);
      return resources
        .filter(({ name }) => !name.includes("/"))
        .map((one) => ({
          group,
          version,
          kind: one.kind,
          plural: one.name,
          namespaced: one.namespaced,
          singular: one.singularName ?? "",
          shortNames: one.shortNames ?? [],
          verbs: one.verbs ?? [],
        }));
    },
    { concurrency, signal: options.signal },
  );
  return lists.flat();
}

/** Nothing for a group whose own server is away: the rest of the cluster is there without it. */
async function resourceList(
  getPath: NodeKubeClient["getPath"],
  path: string,
  options: KubeCallOptions,
): Promise<ResourceList> {
  try {
    return (await getPath(path, options)) as ResourceList;
  } catch (error) {
    if (isDmError(error) && [404, 503].includes(Number(error.details["httpStatus"]))) return {};
    throw error;
  }
}
