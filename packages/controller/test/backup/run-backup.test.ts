/** What a Backup holds: every object that is covered, in Velero's order, with what it needs; and snapshots that are the backup. */
import { gunzipSync } from "node:zlib";
import { FormatError } from "@dm/core";
import { labels } from "@dm/crds";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decodeGzipJson, decodeItems, type Results } from "../../src/bucket/backup-files.ts";
import { relabelFailureText } from "../../src/expose/pod-trouble.ts";
import { kinds, operator, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const file = (name: string): Uint8Array =>
  world.blobs.get(`default/backups/nightly/${name}`) ?? new Uint8Array();
const json = <T>(name: string): T => decodeGzipJson(file(`nightly-${name}.gz`), name) as T;
const items = () => decodeItems(file("nightly.tar.gz"), "tarball");
/** `resource/name` of those in the tarball, in its order. */
const held = (): string[] =>
  items().map(({ object, resource }) => `${resource.split(".")[0]}/${object.metadata.name}`);
const run = async (spec: object = {}) => {
  world.backup("nightly", spec);
  return (await world.untilEnd("backups", "nightly")).status;
};
const put = (
  resource: string,
  apiVersion: string,
  kind: string,
  name: string,
  more: object = {},
): void => {
  const {
    metadata = {},
    namespace = "shop",
    ...rest
  } = more as { metadata?: object; namespace?: string };
  const own = namespace === "" ? {} : { namespace };
  world.api.create(resource, {
    apiVersion,
    kind,
    metadata: { name, ...own, ...metadata },
    ...rest,
  } as never);
};
const configMap = (name: string, more: object = {}): void =>
  put("configmaps", "v1", "ConfigMap", name, more);
const rbac = "rbac.authorization.k8s.io";

function defineWidgets(): void {
  const schema = { openAPIV3Schema: { type: "object" } };
  world.api.create("customresourcedefinitions.apiextensions.k8s.io", {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "widgets.shop.example" },
    spec: {
      group: "shop.example",
      scope: "Namespaced",
      names: { plural: "widgets", kind: "Widget", singular: "widget" },
      versions: [{ name: "v1", served: true, storage: true, schema }],
    },
  } as never);
}

describe("a Backup of a namespace", () => {
  it("holds what there is in it, in Velero's order, and what that needs of the cluster", async () => {
    world.claim("shop", "data");
    put("serviceaccounts", "v1", "ServiceAccount", "web");
    put(`clusterroles.${rbac}`, `${rbac}/v1`, "ClusterRole", "reader", {
      namespace: "",
      rules: [],
    });
    put(`clusterroles.${rbac}`, `${rbac}/v1`, "ClusterRole", "unused", {
      namespace: "",
      rules: [],
    });
    put(`clusterrolebindings.${rbac}`, `${rbac}/v1`, "ClusterRoleBinding", "web-reads", {
      namespace: "",
      roleRef: { apiGroup: rbac, kind: "ClusterRole", name: "reader" },
      subjects: [{ kind: "ServiceAccount", name: "web", namespace: "shop" }],
    });
    defineWidgets();
    put("widgets.shop.example", "shop.example/v1", "Widget", "w");
    put("deployments.apps", "apps/v1", "Deployment", "web", {
      spec: {
        selector: { matchLabels: { app: "web" } },
        template: {
          metadata: { labels: { app: "web" } },
          spec: { containers: [{ name: "c", image: "i" }] },
        },
      },
    });
    configMap("settings");
    world.pod("shop", "web", ["data"]);
    expect(await run()).toMatchObject({ phase: "Completed" });
    const found = held();
    expect(found.slice(0, 3)).toEqual([
      "persistentvolumes/pv-shop-data",
      "persistentvolumeclaims/data",
      "pods/web",
    ]);
    const at = (name: string): number => found.indexOf(name);
    for (const name of ["configmaps/settings", "namespaces/shop", "deployments/web", "widgets/w"])
      expect(at(name)).toBeGreaterThan(2);
    expect(at("clusterroles/reader")).toBeGreaterThan(at("clusterrolebindings/web-reads"));
    expect(at("serviceaccounts/web")).toBeGreaterThan(at("clusterroles/reader"));
    expect(at("customresourcedefinitions/widgets.shop.example")).toBeGreaterThan(at("widgets/w"));
    expect(found).not.toContain("clusterroles/unused");
    expect(found).not.toContain("namespaces/velero");
    expect(new Set(found).size).toBe(found.length);
    expect(json<Record<string, string[]>>("resource-list.json")).toMatchObject({
      "v1/Pod": ["shop/web"],
      "apps/v1/Deployment": ["shop/web"],
      "v1/Namespace": ["shop"],
    });
    const lines = gunzipSync(file("nightly-logs.gz")).toString().split("\n");
    expect(lines[0]).toMatch(
      /^time="2026-11-22T10:00:00Z" level=info msg="Planned blocks of pods and claims" backup=velero\/nightly /,
    );
    expect(lines.at(-2)).toContain('msg="Ended DataUploads"');
  });

  it("has the definition of a custom resource that a selector finds in any namespace", async () => {
    defineWidgets();
    const metadata = { labels: { app: "shop" } };
    put("widgets.shop.example", "shop.example/v1", "Widget", "w", { metadata });
    await run({ includedNamespaces: ["*"], labelSelector: { matchLabels: { app: "shop" } } });
    expect(held().sort()).toEqual([
      "customresourcedefinitions/widgets.shop.example",
      "namespaces/shop",
      "widgets/w",
    ]);
  });

  it("leaves out what is marked, and what is being deleted", async () => {
    configMap("kept");
    configMap("marked", { metadata: { labels: { [labels.excludeFromBackup]: "true" } } });
    configMap("going", { metadata: { finalizers: ["x/y"] } });
    world.api.delete("configmaps", "shop", "going");
    await run({ includedResources: ["cm"] });
    expect(held().filter((one) => one.startsWith("configmaps/"))).toEqual(["configmaps/kept"]);
  });

  it("leaves out what is marked also when others need it", async () => {
    defineWidgets();
    put("widgets.shop.example", "shop.example/v1", "Widget", "w");
    world.claim("shop", "data");
    const mark = (resource: string, name: string): void => {
      world.api.modify(resource, "", name, ({ metadata }) => {
        metadata.labels = { ...metadata.labels, [labels.excludeFromBackup]: "true" };
      });
    };
    mark("persistentvolumes", "pv-shop-data");
    mark("customresourcedefinitions.apiextensions.k8s.io", "widgets.shop.example");
    await run();
    expect(held()).toEqual(
      expect.arrayContaining(["persistentvolumeclaims/data", "widgets/w", "namespaces/shop"]),
    );
    expect(held().filter((one) => /^(persistentvolumes|custom)/.test(one))).toEqual([]);
  });

  it("has the objects as the server gives them", async () => {
    configMap("settings", { data: { a: "<b>" } });
    await run({ includedResources: ["configmaps"] });
    const stored = world.api.get("configmaps", "shop", "settings");
    expect(items().map(({ object }) => object)).toEqual([stored]);
  });

  it("a name of 253 characters stays whole", async () => {
    const name = `${"a".repeat(120)}.${"b".repeat(132)}`;
    configMap(name);
    await run({ includedResources: ["configmaps"] });
    expect(held()).toEqual([`configmaps/${name}`]);
  });

  it("goes on when a kind cannot be listed, and says so", async () => {
    configMap("settings");
    world.hooks = {
      before: (what) => {
        if (what.startsWith("list secrets"))
          throw new FormatError("DM_KUBE_FORBIDDEN", "not allowed");
      },
    };
    expect(await run()).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
    expect(json<Results>("results").errors.cluster).toEqual([
      "secrets: error listing items: not allowed",
    ]);
    expect(held()).toContain("configmaps/settings");
  });
});

describe("what is covered", () => {
  beforeEach(() => {
    world.namespace("other");
    world.claim("shop", "data");
    put("storageclasses.storage.k8s.io", "storage.k8s.io/v1", "StorageClass", "fast", {
      namespace: "",
      provisioner: "p",
    });
    configMap("a", { metadata: { labels: { app: "x" } } });
    configMap("b", { namespace: "other" });
  });
  const has = async (spec: object): Promise<string[]> => {
    await run({ snapshotVolumes: false, ...spec });
    const asked = /^(configmaps\/[ab]|storageclasses|namespaces\/(shop|other)|persistent)/;
    return held()
      .filter((one) => asked.test(one))
      .sort();
  };

  it.each<[string, object, string[]]>([
    [
      "all namespaces: the cluster's objects too",
      { includedNamespaces: null },
      [
        "configmaps/a",
        "configmaps/b",
        "namespaces/other",
        "namespaces/shop",
        "persistentvolumeclaims/data",
        "persistentvolumes/pv-shop-data",
        "storageclasses/fast",
      ],
    ],
    [
      "all but one",
      { includedNamespaces: ["*"], excludedNamespaces: ["shop"] },
      ["configmaps/b", "namespaces/other"],
    ],
    ["a pattern", { includedNamespaces: ["oth*"] }, ["configmaps/b", "namespaces/other"]],
    [
      "without the cluster's objects",
      { includeClusterResources: false },
      ["configmaps/a", "persistentvolumeclaims/data"],
    ],
    [
      "with all of the cluster's objects",
      { includedNamespaces: ["other"], includeClusterResources: true },
      ["configmaps/b", "namespaces/other", "persistentvolumes/pv-shop-data", "storageclasses/fast"],
    ],
    [
      "by scope",
      { includedNamespaceScopedResources: ["configmap"], includedClusterScopedResources: ["sc"] },
      ["configmaps/a", "namespaces/shop", "storageclasses/fast"],
    ],
    [
      "a label, in all namespaces: those with something of it",
      { includedNamespaces: null, labelSelector: { matchLabels: { app: "x" } } },
      ["configmaps/a", "namespaces/shop"],
    ],
  ])("%s", async (_title, spec, expected) => {
    expect(await has(spec)).toEqual(expected);
  });
});

it("locations of Velero's own snapshotters are named, and not used", async () => {
  put("volumesnapshotlocations.velero.io", "velero.io/v1", "VolumeSnapshotLocation", "east", {
    namespace: operator,
    spec: { provider: "aws" },
  });
  expect(await run({ volumeSnapshotLocations: ["east"] })).toMatchObject({
    phase: "Completed",
    warnings: 1,
  });
  expect(json<Results>("results").warnings.cluster).toEqual([
    expect.stringMatching(
      /^VolumeSnapshotLocation east names a snapshotter of Velero's own, which is not run/,
    ),
  ]);
});

it("tells how far it is while it runs", async () => {
  for (const name of ["a", "b"]) world.claim("shop", name);
  for (let index = 0; index < 20; index++) configMap(`m${index}`);
  const seen: unknown[] = [];
  world.api.watch(kinds.backups, ({ object }) => {
    if (object.status?.phase === "InProgress") seen.push(object.status.progress);
  });
  world.hooks = {
    after: (what) => {
      if (what.startsWith("list configmaps")) world.clock.advance(3_000);
    },
  };
  const status = await run();
  expect(seen.at(-1)).toEqual({
    totalItems: expect.any(Number),
    itemsBackedUp: expect.any(Number),
  });
  expect(status?.progress).toEqual({
    totalItems: held().length - 2,
    itemsBackedUp: held().length - 2,
  });
});

it("the cause of a failure, and what to do about it, reach the results as they are", async () => {
  const cause = relabelFailureText("full", "fast");
  world.claim("shop", "full");
  world.movements.set("full", "fail");
  world.failures.set("full", cause);
  expect(await run()).toMatchObject({ phase: "PartiallyFailed", errors: 1 });
  expect(json<Results>("results").errors.namespaces?.["shop"]).toEqual([
    `persistentvolumeclaims/full: ${cause}`,
  ]);
});
