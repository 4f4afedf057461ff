/** Which kinds the lists of a Backup let pass: a table for each style, and the names that people give kinds. */
import type { BackupSpec } from "@dm/crds";
import { describe, expect, it } from "vitest";
import type { ApiResource } from "../../src/runtime/api-discovery.ts";
import { resourceFilter, resourceScope } from "../../src/scope/resource-filter.ts";
import { findResources, resourceName } from "../../src/scope/resource-names.ts";

const kind = (name: string, kindName: string, more: Partial<ApiResource> = {}): ApiResource => {
  const [plural = "", ...group] = name.split(".");
  const singular = kindName.toLowerCase();
  const common = { version: "v1", namespaced: true, shortNames: [], verbs: ["list"] };
  return { plural, group: group.join("."), kind: kindName, singular, ...common, ...more };
};
const kinds = [
  kind("pods", "Pod", { shortNames: ["po"] }),
  kind("persistentvolumeclaims", "PersistentVolumeClaim", { shortNames: ["pvc"] }),
  kind("events", "Event", { shortNames: ["ev"] }),
  kind("namespaces", "Namespace", { namespaced: false, shortNames: ["ns"] }),
  kind("persistentvolumes", "PersistentVolume", { namespaced: false, shortNames: ["pv"] }),
  kind("deployments.apps", "Deployment", { shortNames: ["deploy"] }),
  kind("events.events.k8s.io", "Event"),
  kind("clusterroles.rbac.authorization.k8s.io", "ClusterRole", { namespaced: false }),
];
const passing = (passes: (resource: ApiResource) => boolean): string[] =>
  kinds.filter(passes).map(resourceName);

it.each([
  ["pods", "pods"],
  ["Pod", "pods"],
  ["po", "pods"],
  ["PVC", "persistentvolumeclaims"],
  ["deployments", "deployments.apps"],
  ["deploy.apps", "deployments.apps"],
  ["Deployment.apps", "deployments.apps"],
  ["events", "events"],
  ["events.events.k8s.io", "events.events.k8s.io"],
  ["deployments.extensions", undefined],
  ["", undefined],
])("%j is %s", (name, expected) => {
  const found = findResources(kinds)(name);
  expect(found && resourceName(found)).toBe(expected);
});

describe("lists", () => {
  const some = (included: string[], excluded: string[] = []) => {
    const passes = resourceFilter(included, excluded, kinds);
    return passing((one) => passes(resourceName(one)));
  };
  it("resolve their names, with globs", () => {
    expect(some(["po", "deploy"])).toEqual(["pods", "deployments.apps"]);
    expect(some(["*.k8s.io"])).toEqual([
      "events.events.k8s.io",
      "clusterroles.rbac.authorization.k8s.io",
    ]);
    expect(some(["*"], ["Pod"])).toHaveLength(kinds.length - 1);
  });
  it("of unknown kinds let nothing pass", () => {
    expect(some(["unknown"])).toEqual([]);
  });
});

const namespaced = ["pods", "persistentvolumeclaims", "events", "deployments.apps"];
const all = kinds.map(resourceName);
const [volumes, roles] = ["persistentvolumes", "clusterroles.rbac.authorization.k8s.io"];
const own = [...namespaced, "events.events.k8s.io"];
const limited = { includedNamespaces: ["shop"] };

describe.each<[string, BackupSpec, string[], string[]]>([
  ["everything", {}, all, all],
  ["everything, said so", { includedNamespaces: ["*"] }, all, all],
  ["some namespaces", limited, [...own, "namespaces"], all],
  ["all but some", { excludedNamespaces: ["a"] }, [...own, "namespaces"], all],
  ["without what the cluster has", { includeClusterResources: false }, own, own],
  ["with it", { ...limited, includeClusterResources: true }, all, all],
  [
    "some kinds",
    { ...limited, includedResources: ["pvc"] },
    ["persistentvolumeclaims"],
    ["persistentvolumeclaims"],
  ],
  [
    "some kinds and what they need",
    { ...limited, includedResources: ["pvc", "pv"] },
    ["persistentvolumeclaims"],
    ["persistentvolumeclaims", "persistentvolumes"],
  ],
  [
    "by scope: some in namespaces",
    { ...limited, includedNamespaceScopedResources: ["po"] },
    ["pods", "namespaces"],
    ["pods", "namespaces", volumes, roles],
  ],
  [
    "by scope: some of the cluster",
    { ...limited, includedClusterScopedResources: ["pv"] },
    [...own, "namespaces", volumes],
    all,
  ],
  [
    "by scope: without some of the cluster",
    { excludedClusterScopedResources: ["pv"] },
    [...own, "namespaces"],
    all.filter((one) => one !== volumes),
  ],
  [
    "by scope: nothing in namespaces",
    { excludedNamespaceScopedResources: ["*"], includedClusterScopedResources: ["*"] },
    ["namespaces", volumes, roles],
    ["namespaces", volumes, roles],
  ],
])("%s", (_title, spec, listed, permitted) => {
  const scope = resourceScope(spec, kinds);
  it("is listed", () => {
    expect(passing((one) => scope.lists(one)).sort()).toEqual([...listed].sort());
  });
  it("is permitted", () => {
    expect(passing((one) => scope.permits(one)).sort()).toEqual([...permitted].sort());
  });
});
