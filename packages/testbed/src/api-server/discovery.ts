/**
 * Which groups, versions and resources there are, in the forms that clients ask for.
 * Proof: test/api-server/kubectl.kubectl.test.ts.
 * @module
 */
import type { Json } from "../kube-object.ts";
import { type ApiKind, type ApiVersion, apiVersionName } from "./api-kind.ts";
import type { Registry } from "./registry.ts";

const objectVerbs = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];

interface GroupVersion {
  readonly group: string;
  readonly version: string;
  readonly kinds: readonly { readonly kind: ApiKind; readonly version: ApiVersion }[];
}

/** All group-versions, core first, groups by name, newer versions before older ones. */
export function groupVersions(registry: Registry): GroupVersion[] {
  const found = new Map<
    string,
    GroupVersion & { kinds: { kind: ApiKind; version: ApiVersion }[] }
  >();
  for (const kind of registry.kinds()) {
    for (const version of kind.versions) {
      const entry = found.get(version.apiVersion) ?? {
        group: kind.group,
        version: version.name,
        kinds: [],
      };
      entry.kinds.push({ kind, version });
      found.set(version.apiVersion, entry);
    }
  }
  return [...found.values()].sort(
    (a, b) => compareTexts(a.group, b.group) || compareVersions(a.version, b.version),
  );
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Kubernetes' order: v2 before v1 before v1beta2 before v1alpha1 before anything else. */
export function compareVersions(a: string, b: string): number {
  const parse = (text: string): readonly number[] => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(text);
    if (!match) return [0, 0, 0];
    const stage = match[2] === undefined ? 3 : match[2] === "beta" ? 2 : 1;
    return [stage, Number(match[1]), Number(match[3] ?? 0)];
  };
  const [left, right] = [parse(a), parse(b)];
  for (const [index, value] of left.entries()) {
    const other = right[index] as number;
    if (value !== other) return other - value;
  }
  return compareTexts(a, b);
}

/** `/api`. */
export function coreVersions(address: string): Json {
  return {
    kind: "APIVersions",
    versions: ["v1"],
    serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: address }],
  };
}

/** `/apis`. */
export function groupList(registry: Registry): Json {
  const names = [...new Set(groupVersions(registry).map(({ group }) => group))];
  return {
    kind: "APIGroupList",
    apiVersion: "v1",
    groups: names.filter((name) => name !== "").map((name) => groupOf(registry, name)),
  };
}

function groupOf(registry: Registry, name: string): Json {
  const versions = groupVersions(registry)
    .filter(({ group }) => group === name)
    .map(({ version }) => ({ groupVersion: apiVersionName(name, version), version }));
  return { name, versions, preferredVersion: versions[0] };
}

/** `/apis/GROUP`; undefined when there is no such group. */
export function group(registry: Registry, name: string): Json {
  const found = groupVersions(registry).some((one) => one.group === name);
  return found ? { kind: "APIGroup", apiVersion: "v1", ...groupOf(registry, name) } : undefined;
}

/** `/api/v1`, `/apis/GROUP/VERSION`; undefined when there is no such version. */
export function resourceList(registry: Registry, groupName: string, versionName: string): Json {
  const found = groupVersions(registry).find(
    (one) => one.group === groupName && one.version === versionName,
  );
  if (found === undefined) return undefined;
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: apiVersionName(groupName, versionName),
    resources: found.kinds.flatMap(({ kind, version }) => [
      {
        name: kind.plural,
        singularName: kind.singular,
        namespaced: kind.namespaced,
        kind: kind.kind,
        verbs: verbsOf(kind),
        ...(kind.shortNames.length > 0 ? { shortNames: kind.shortNames } : {}),
        ...(kind.categories.length > 0 ? { categories: kind.categories } : {}),
      },
      ...subresources(kind, version).map((one) => ({
        name: `${kind.plural}/${one.name}`,
        singularName: "",
        namespaced: kind.namespaced,
        ...(one.group === undefined ? {} : { group: one.group, version: one.version }),
        kind: one.kind,
        verbs: one.verbs,
      })),
    ]),
  };
}

function verbsOf(kind: ApiKind): readonly string[] {
  return kind.virtual ? ["create"] : objectVerbs;
}

interface Subresource {
  readonly name: string;
  readonly kind: string;
  readonly verbs: readonly string[];
  readonly group?: string;
  readonly version?: string;
}

const writable = ["get", "patch", "update"];

function subresources(kind: ApiKind, version: ApiVersion): Subresource[] {
  const found: Subresource[] = [];
  const own = kind.group === "" ? kind.plural : "";
  if (own === "namespaces") found.push({ name: "finalize", kind: "Namespace", verbs: ["update"] });
  if (own === "pods") {
    found.push(
      { name: "binding", kind: "Binding", verbs: ["create"] },
      { name: "eviction", kind: "Eviction", group: "policy", version: "v1", verbs: ["create"] },
      { name: "exec", kind: "PodExecOptions", verbs: ["create", "get"] },
      { name: "log", kind: "Pod", verbs: ["get"] },
    );
  }
  if (version.scale) {
    found.push({
      name: "scale",
      kind: "Scale",
      group: "autoscaling",
      version: "v1",
      verbs: writable,
    });
  }
  if (version.status) found.push({ name: "status", kind: kind.kind, verbs: writable });
  if (own === "serviceaccounts") {
    found.push({
      name: "token",
      kind: "TokenRequest",
      group: "authentication.k8s.io",
      version: "v1",
      verbs: ["create"],
    });
  }
  return found;
}

/** `/api` and `/apis` in the aggregated form: everything in one answer. */
export function aggregatedDiscovery(registry: Registry, core: boolean, version: string): Json {
  const all = groupVersions(registry).filter(({ group }) => (group === "") === core);
  const names = [...new Set(all.map(({ group }) => group))];
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: names.map((name) => ({
      metadata: { name: name === "" ? undefined : name, creationTimestamp: null },
      versions: all
        .filter(({ group }) => group === name)
        .map((one) => ({
          version: one.version,
          freshness: "Current",
          resources: one.kinds.map(({ kind, version }) => ({
            resource: kind.plural,
            responseKind: { group: kind.group, version: one.version, kind: kind.kind },
            scope: kind.namespaced ? "Namespaced" : "Cluster",
            singularResource: kind.singular,
            verbs: verbsOf(kind),
            ...(kind.shortNames.length > 0 ? { shortNames: kind.shortNames } : {}),
            ...(kind.categories.length > 0 ? { categories: kind.categories } : {}),
            subresources: subresources(kind, version).map((sub) => ({
              subresource: sub.name,
              responseKind: {
                group: sub.group ?? kind.group,
                version: sub.version ?? one.version,
                kind: sub.kind,
              },
              verbs: sub.verbs,
            })),
          })),
        })),
    })),
  };
}
