/**
 * Which objects a Restore brings back and in which order, what these cannot do without, and which names in a tarball are refused.
 */
import { annotations, type Restore } from "@dm/crds";
import { describe, expect, it } from "vitest";
import type { AnyObject } from "../../src/restore/actions/action.ts";
import { kindOrder, planRestore, type RestorePlan } from "../../src/restore/plan-restore.ts";
import { resourceFilter } from "../../src/scope/resource-filter.ts";
import { findResources } from "../../src/scope/resource-names.ts";
import { itemOf, object } from "./objects.ts";

function plan(objects: readonly AnyObject[], spec: Restore["spec"] = {}): RestorePlan {
  const covers = resourceFilter(spec?.includedResources, spec?.excludedResources, []);
  return planRestore(objects.map(itemOf), { metadata: { name: "r" }, spec } as Restore, covers);
}
const names = ({ kinds }: RestorePlan): string[] =>
  kinds.flatMap(({ items }) => items.map(({ name }) => name));
const claim = object(
  "v1",
  "PersistentVolumeClaim",
  "data",
  { spec: { volumeName: "pv" }, status: { phase: "Bound" } },
  { labels: { app: "db" } },
);
const volume = object("v1", "PersistentVolume", "pv");
const pod = object(
  "v1",
  "Pod",
  "db-0",
  {
    spec: {
      priorityClassName: "high",
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }],
    },
  },
  { labels: { pick: "me" } },
);
const priority = object(
  "scheduling.k8s.io/v1",
  "PriorityClass",
  "high",
  {},
  { namespace: undefined },
);

it("kinds come in Velero's order: what others need first, all others by name, then the last ones", () => {
  const objects = [
    object("cluster.x-k8s.io/v1beta1", "Cluster", "c"),
    object("apps/v1", "Deployment", "d"),
    object("example.com/v1", "Widget", "w"),
    object("apps/v1", "ReplicaSet", "r"),
    pod,
    object("v1", "Secret", "s"),
    object("v1", "ServiceAccount", "a"),
    object("rbac.authorization.k8s.io/v1", "Role", "role"),
    claim,
    volume,
    object("velero.io/v2alpha1", "DataUpload", "u"),
    object("v1", "Namespace", "shop"),
    object(
      "apiextensions.k8s.io/v1",
      "CustomResourceDefinition",
      "crd",
      {},
      { namespace: undefined },
    ),
  ];
  expect(plan(objects).kinds.map(({ resource }) => resource)).toEqual([
    "customresourcedefinitions.apiextensions.k8s.io",
    "namespaces",
    "datauploads.velero.io",
    "persistentvolumes",
    "persistentvolumeclaims",
    "roles.rbac.authorization.k8s.io",
    "serviceaccounts",
    "secrets",
    "pods",
    "replicasets.apps",
    "deployments.apps",
    "widgets.example.com",
    "clusters.cluster.x-k8s.io",
  ]);
});

it("an administrator says another order, by any names", () => {
  const find = findResources([
    {
      group: "apps",
      version: "v1",
      kind: "Deployment",
      plural: "deployments",
      singular: "deployment",
      shortNames: ["deploy"],
      namespaced: true,
      verbs: [],
    },
  ]);
  const objects = [
    object("v1", "ConfigMap", "c"),
    object("apps/v1", "Deployment", "d"),
    object("v1", "Secret", "s"),
    object("example.com/v1", "Widget", "w"),
  ];
  const ordered = (text: string | undefined): string[] =>
    names(
      planRestore(
        objects.map(itemOf),
        { metadata: {} } as Restore,
        () => true,
        kindOrder(text, find),
      ),
    );
  expect(ordered("deploy, widgets.example.com")).toEqual(["d", "w", "c", "s"]);
  expect(ordered("secrets,-,configmaps,deployment.apps")).toEqual(["s", "w", "c", "d"]);
  expect(ordered("-,secrets")).toEqual(["c", "d", "w", "s"]);
  expect(ordered(undefined)).toEqual(["s", "c", "d", "w"]);
  expect(ordered("")).toEqual(["s", "c", "d", "w"]);
});

describe("a Restore takes", () => {
  const config = object("v1", "ConfigMap", "config");
  const other = object("v1", "ConfigMap", "elsewhere", {}, { namespace: "other" });
  const everything = [config, other, claim, volume, pod, priority];

  it.each([
    ["everything", {}, ["pv", "data", "config", "elsewhere", "high", "db-0"]],
    ["kinds", { includedResources: ["configmaps"] }, ["config", "elsewhere"]],
    ["all kinds but some", { excludedResources: ["pods", "configmaps"] }, ["pv", "data", "high"]],
    ["namespaces", { includedNamespaces: ["other"] }, ["elsewhere"]],
    ["by wildcards", { includedNamespaces: ["oth*"] }, ["elsewhere"]],
    // Objects of the cluster are not in any namespace that is named, unless something needs them.
    [
      "all namespaces but some",
      { excludedNamespaces: ["other"] },
      ["pv", "data", "config", "high", "db-0"],
    ],
    [
      "those of the cluster too",
      { includedNamespaces: ["other"], includeClusterResources: true },
      ["pv", "elsewhere", "high"],
    ],
    [
      "none of the cluster",
      { includeClusterResources: false },
      ["data", "config", "elsewhere", "db-0"],
    ],
    [
      "labels, and what these need",
      { labelSelector: { matchLabels: { app: "db" } } },
      ["pv", "data"],
    ],
    [
      "one of several labels",
      { orLabelSelectors: [{ matchLabels: { pick: "me" } }, { matchLabels: { x: "y" } }] },
      ["pv", "data", "high", "db-0"],
    ],
    [
      "what is needed, but no excluded kind",
      { labelSelector: { matchLabels: { pick: "me" } }, excludedResources: ["persistentvolumes"] },
      ["data", "high", "db-0"],
    ],
  ] as [string, Restore["spec"], string[]][])("%s", (_what, spec, expected) => {
    expect(names(plan(everything, spec))).toEqual(expected);
  });

  it("DataUploads whatever it names, since they tell where data lies", () => {
    const upload = object("velero.io/v2alpha1", "DataUpload", "u", {}, { namespace: "velero" });
    expect(names(plan([upload, config], { includedNamespaces: ["shop"] }))).toEqual([
      "u",
      "config",
    ]);
  });

  it("no pods and jobs that are over", () => {
    const over = [
      { ...pod, status: { phase: "Succeeded" } },
      object("batch/v1", "Job", "j", { status: { completionTime: "2026-01-01T00:00:00Z" } }),
    ];
    const running = [object("batch/v1", "Job", "k", { status: { active: 1 } })];
    expect(names(plan([...over, ...running] as AnyObject[]))).toEqual(["k"]);
  });

  it("snapshots in the storage with their contents and secrets", () => {
    const group = "snapshot.storage.k8s.io/v1";
    const kept = {
      ...claim,
      metadata: { ...claim.metadata, annotations: { [annotations.volumeSnapshotName]: "s" } },
    };
    const objects = [
      kept,
      object(group, "VolumeSnapshot", "s", { status: { boundVolumeSnapshotContentName: "c" } }),
      object(
        group,
        "VolumeSnapshotContent",
        "c",
        {},
        {
          namespace: undefined,
          annotations: {
            "csi.storage.k8s.io/snapshotter-secret-name": "key",
            "csi.storage.k8s.io/snapshotter-secret-namespace": "shop",
          },
        },
      ),
      object("v1", "Secret", "key"),
    ];
    const byLabel = { labelSelector: { matchLabels: { app: "db" } } };
    expect(names(plan(objects, byLabel))).toEqual(["c", "s", "data", "key"]);
    expect(names(plan(objects, { ...byLabel, restorePVs: false }))).toEqual(["data"]);
  });

  it("warns of a pod's claim that the backup does not have", () => {
    expect(plan([pod, priority], { namespaceMapping: { shop: "copy" } }).warnings).toEqual([
      { namespace: "copy", message: "pods/db-0: persistentvolumeclaims/data is not in the backup" },
    ]);
  });

  it("one of two objects that would be the same, and says so", () => {
    const second = object("v1", "ConfigMap", "config", {}, { namespace: "town" });
    const namespaceMapping = { town: "shop" };
    const planned = plan([config, second, object("v1", "Secret", "config")], { namespaceMapping });
    expect(names(planned)).toEqual(["config", "config"]);
    expect(planned.kinds.at(-1)?.items.map(({ source }) => source.metadata.namespace)).toEqual([
      "shop",
    ]);
    expect(planned.warnings).toEqual([
      {
        namespace: "shop",
        message: "configmaps/town/config: configmaps/shop/config is restored in its place",
      },
    ]);
  });

  it("nothing of the VolSync data mover, and says so", () => {
    const backup = object("datamover.oadp.openshift.io/v1alpha1", "VolumeSnapshotBackup", "vsb");
    const planned = plan([backup, config]);
    expect(names(planned)).toEqual(["config"]);
    expect(planned.warnings).toHaveLength(1);
  });
});

describe("names in a tarball that could mean another path are refused", () => {
  it.each([
    ["a slash", object("v1", "ConfigMap", "a/b")],
    ["the parent", object("v1", "ConfigMap", "..")],
    ["itself", object("v1", "ConfigMap", ".")],
    ["an escape", object("v1", "ConfigMap", "a%2fb")],
    ["a backslash", object("v1", "ConfigMap", "a\\b")],
    ["a line's end", object("v1", "ConfigMap", "a\nb")],
    ["much text", object("v1", "ConfigMap", "a".repeat(254))],
    ["a namespace with a slash", object("v1", "ConfigMap", "a", {}, { namespace: "x/y" })],
    ["a namespace above", object("v1", "ConfigMap", "a", {}, { namespace: ".." })],
    ["a version above", object("..", "ConfigMap", "a")],
    ["a version with a question", object("v1?x=1", "ConfigMap", "a")],
    ["labels that are no texts", object("v1", "ConfigMap", "a", {}, { labels: { x: 1 } })],
    [
      "much depth",
      object("v1", "ConfigMap", "a", { data: JSON.parse(`${"[".repeat(200)}${"]".repeat(200)}`) }),
    ],
  ])("%s", (_what, odd) => {
    const { errors, kinds } = plan([odd, object("v1", "ConfigMap", "fine")]);
    expect(kinds.flatMap(({ items }) => items.map(({ name }) => name))).toEqual(["fine"]);
    expect(errors).toHaveLength(1);
    expect(errors[0]?.message).toMatch(/^error decoding "/);
  });

  it.each([
    ["of another group", { resource: "secrets", object: object("apps/v1", "Deployment", "a") }],
    ["that is no name", { resource: "../secrets", object: object("v1", "Secret", "a") }],
    [
      "without a kind",
      { resource: "secrets", object: { ...object("v1", "Secret", "a"), kind: "" } },
    ],
  ])("a resource %s", (_what, { object: odd, resource }) => {
    const item = { resource, version: "v1", object: odd };
    const { errors, kinds } = planRestore([item], { metadata: {} } as Restore, () => true);
    expect([kinds, errors.length]).toEqual([[], 1]);
  });
});
