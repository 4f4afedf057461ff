/**
 * What a restore changes in the objects of each kind, action by action, and what it leaves as it is; and that to restore what was
 * restored changes nothing more.
 */
import { annotations, labels, type Restore } from "@dm/crds";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AnyObject, Leave, type RestoreConfig } from "../../src/restore/actions/action.ts";
import { restoredSnapshotName } from "../../src/restore/actions/volume-snapshot.ts";
import { prepareItem } from "../../src/restore/prepare-item.ts";
import type { ClaimData, VolumeFate } from "../../src/restore/volumes.ts";
import { object, resourceOf } from "./objects.ts";

const config: RestoreConfig = {
  storageClasses: new Map(),
  missingStorageClasses: new Set(),
  images: [],
  snapshotClasses: [],
  podVolumeWait: {},
};
const wait = { image: "dm:1" };

interface Given {
  readonly spec?: object;
  readonly namespace?: string;
  readonly exists?: boolean;
  readonly fate?: VolumeFate;
  readonly data?: ClaimData;
  readonly config?: Partial<RestoreConfig>;
  readonly podVolumeBackups?: readonly object[];
}

function prepared(source: AnyObject, given: Given = {}): AnyObject | Leave {
  const restore = {
    metadata: { name: "back", namespace: "velero", uid: "r-1" },
    spec: { backupName: "nightly", ...given.spec },
  } as Restore;
  const result = prepareItem(
    {
      resource: resourceOf(source),
      source,
      name: source.metadata.name ?? "",
      namespace: given.namespace ?? source.metadata.namespace ?? "",
    },
    {
      restore,
      exists: given.exists ?? false,
      volumes: {
        fateOf: () => given.fate ?? { do: "keep" },
        dataOf: () => given.data ?? { from: "nowhere" },
      },
      podVolumes: { backedUp: (given.podVolumeBackups ?? []) as never, wait },
      settings: { ...config, ...given.config },
    },
    [],
  );
  return result instanceof Leave ? result : result.object;
}

const ours = { [labels.backupName]: "nightly", [labels.restoreName]: "back" };
const restoredSpec = (source: AnyObject, given?: Given): unknown =>
  (prepared(source, given) as AnyObject)["spec"];

describe("every object", () => {
  it("is reduced to what it is in any cluster, and says where it comes from", () => {
    const source = object(
      "v1",
      "ConfigMap",
      "a",
      { data: { x: "1" }, immutable: true, status: { seen: true } },
      {
        uid: "u",
        resourceVersion: "7",
        generation: 3,
        generateName: "a-",
        creationTimestamp: "2026-01-01T00:00:00Z",
        ownerReferences: [{ kind: "X", name: "x", uid: "x", apiVersion: "v1" }],
        managedFields: [{}],
        finalizers: ["example.com/keep"],
        labels: { app: "a" },
        annotations: { note: "b" },
      },
    );
    expect(prepared(source, { namespace: "copy" })).toEqual({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name: "a",
        namespace: "copy",
        finalizers: ["example.com/keep"],
        labels: { app: "a", ...ours },
        annotations: { note: "b" },
      },
      data: { x: "1" },
      immutable: true,
    });
  });

  it("that has not the fields of its kind is refused, and ends nothing", () => {
    const odd = object("batch/v1", "Job", "j", { spec: { selector: {} } });
    const result = prepared(odd) as Leave;
    expect(result).toBeInstanceOf(Leave);
    expect(result.as).toBe("failed");
    expect(result.reason).toContain("it has not the fields of its kind");
  });
});

describe("pods", () => {
  const pod = (spec: object = {}, metadata: object = {}): AnyObject =>
    object(
      "v1",
      "Pod",
      "db-0",
      {
        spec: {
          nodeName: "n1",
          priority: 7,
          priorityClassName: "high",
          serviceAccountName: "app",
          volumes: [{ name: "app-token-x1" }, { name: "data" }],
          containers: [
            {
              name: "main",
              image: "old/db:1",
              volumeMounts: [{ name: "app-token-x1" }, { name: "data" }],
            },
          ],
          initContainers: [{ name: "init", volumeMounts: [{ name: "app-token-x1" }] }],
          ...spec,
        },
      },
      metadata,
    );

  it("are scheduled anew, with the tokens that they find", () => {
    expect(restoredSpec(pod())).toEqual({
      priorityClassName: "high",
      serviceAccountName: "app",
      volumes: [{ name: "data" }],
      containers: [{ name: "main", image: "old/db:1", volumeMounts: [{ name: "data" }] }],
      initContainers: [{ name: "init", volumeMounts: [] }],
    });
  });

  it("of a kubelet are left to it", () => {
    const mirror = pod({}, { annotations: { "kubernetes.io/config.mirror": "x" } });
    expect(prepared(mirror)).toEqual(new Leave("skipped", "it is a mirror pod"));
  });

  it("get other images", () => {
    const images = [["old/", "new.example.com/"]] as const;
    expect(restoredSpec(pod(), { config: { images } })).toMatchObject({
      containers: [{ image: "new.example.com/db:1" }],
    });
    const templates = [
      object("apps/v1", "Deployment", "d", { spec: { template: pod() } }),
      object("batch/v1", "CronJob", "c", {
        spec: { jobTemplate: { spec: { template: pod() } } },
      }),
    ];
    for (const one of templates)
      expect(JSON.stringify(restoredSpec(one, { config: { images } }))).toContain(
        '"image":"new.example.com/db:1"',
      );
  });

  it("wait for their files before hooks, and these come before their own init containers", () => {
    const given: Given = {
      namespace: "copy",
      podVolumeBackups: [
        {
          spec: { pod: { name: "db-0", namespace: "shop" }, volume: "data", uploaderType: "kopia" },
          status: { snapshotID: "s1" },
        },
      ],
      spec: {
        namespaceMapping: { shop: "copy" },
        hooks: {
          resources: [
            {
              name: "prepare",
              includedNamespaces: ["copy"],
              postHooks: [
                { init: { initContainers: [{ name: "hook", image: "h", command: ["x"] }] } },
              ],
            },
          ],
        },
      },
    };
    const first = prepared(pod(), given) as AnyObject;
    const containers = (one: AnyObject): unknown =>
      (one["spec"] as { initContainers: { name: string }[] }).initContainers.map(
        ({ name }) => name,
      );
    expect(containers(first)).toEqual(["restore-wait", "hook", "init"]);
    // Nor do they pile up when such a pod is backed up and restored again.
    const again = { ...first, metadata: { ...first.metadata, namespace: "shop" } };
    expect(containers(prepared(again, given) as AnyObject)).toEqual([
      "restore-wait",
      "hook",
      "init",
    ]);
  });
});

describe("services", () => {
  const service = (spec: object, metadata: object = {}): AnyObject =>
    object("v1", "Service", "web", { spec }, metadata);

  it("get new addresses, unless they have none on purpose", () => {
    expect(restoredSpec(service({ clusterIP: "10.0.0.7", clusterIPs: ["10.0.0.7"] }))).toEqual({});
    const headless = { clusterIP: "None", clusterIPs: ["None"] };
    expect(restoredSpec(service(headless))).toEqual(headless);
  });

  const ports = [
    { name: "http", port: 80, protocol: "TCP", nodePort: 30080 },
    { name: "admin", port: 81, protocol: "TCP", nodePort: 30081 },
  ];

  it("get new node ports, unless these are to be kept", () => {
    const source = service({ type: "NodePort", ports });
    expect(restoredSpec(source)).toEqual({
      type: "NodePort",
      ports: ports.map(({ nodePort: _number, ...port }) => port),
    });
    expect(restoredSpec(source, { spec: { preserveNodePorts: true } })).toEqual({
      type: "NodePort",
      ports,
    });
  });

  it.each([
    [
      "what was applied says so",
      {
        annotations: {
          "kubectl.kubernetes.io/last-applied-configuration": JSON.stringify({
            spec: {
              ports: [
                { name: "http", port: 80, nodePort: 30080 },
                { name: "admin", port: 81 },
              ],
            },
          }),
        },
      },
    ],
    [
      "somebody manages the field",
      {
        managedFields: [
          {
            fieldsV1: {
              "f:spec": { "f:ports": { 'k:{"port":80,"protocol":"TCP"}': { "f:nodePort": {} } } },
            },
          },
        ],
      },
    ],
  ])("keep a port that was asked for: %s", (_why, metadata) => {
    const spec = restoredSpec(service({ type: "NodePort", ports }, metadata)) as {
      ports: { nodePort?: number }[];
    };
    expect(spec.ports.map(({ nodePort }) => nodePort)).toEqual([30080, undefined]);
  });

  it("get a new port for health checks", () => {
    const spec = {
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
      healthCheckNodePort: 31000,
    };
    expect(restoredSpec(service(spec))).toEqual({
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
    });
    const metadata = {
      managedFields: [{ fieldsV1: { "f:spec": { "f:healthCheckNodePort": {} } } }],
    };
    expect(restoredSpec(service(spec, metadata))).toEqual(spec);
  });
});

describe("accounts and rights", () => {
  it("service accounts lose the token that was made for them", () => {
    const account = object("v1", "ServiceAccount", "app", {
      secrets: [{ name: "app-token-1" }, { name: "mine" }],
    });
    expect((prepared(account) as AnyObject)["secrets"]).toEqual([{ name: "mine" }]);
  });

  it("tokens that Kubernetes made stay behind, others are filled anew", () => {
    const token = (name: string): AnyObject =>
      object(
        "v1",
        "Secret",
        name,
        {
          type: "kubernetes.io/service-account-token",
          data: { token: "x", "ca.crt": "y", namespace: "z" },
        },
        {
          annotations: {
            "kubernetes.io/service-account.name": "app",
            "kubernetes.io/service-account.uid": "u",
          },
        },
      );
    expect(prepared(token("app-token-1"))).toBeInstanceOf(Leave);
    expect(prepared(token("long-lived"))).toMatchObject({
      data: { namespace: "z" },
      metadata: { annotations: { "kubernetes.io/service-account.name": "app" } },
    });
    expect((prepared(token("long-lived")) as AnyObject)["data"]).toEqual({ namespace: "z" });
  });

  it("subjects of bindings move with their namespace", () => {
    for (const kind of ["RoleBinding", "ClusterRoleBinding"]) {
      const binding = object("rbac.authorization.k8s.io/v1", kind, "b", {
        subjects: [
          { kind: "ServiceAccount", name: "a", namespace: "shop" },
          { kind: "ServiceAccount", name: "a", namespace: "other" },
          { kind: "User", name: "eve" },
        ],
      });
      const moved = prepared(binding, {
        spec: { namespaceMapping: { shop: "copy" } },
      }) as AnyObject;
      expect(moved["subjects"]).toEqual([
        { kind: "ServiceAccount", name: "a", namespace: "copy" },
        { kind: "ServiceAccount", name: "a", namespace: "other" },
        { kind: "User", name: "eve" },
      ]);
    }
  });
});

describe("other kinds", () => {
  it("jobs find their pods by new labels", () => {
    const uids = { "controller-uid": "u", "batch.kubernetes.io/controller-uid": "u" };
    const job = object("batch/v1", "Job", "j", {
      spec: {
        selector: { matchLabels: uids },
        template: { metadata: { labels: { ...uids, app: "j" } }, spec: { containers: [] } },
      },
    });
    expect(restoredSpec(job)).toEqual({
      template: { metadata: { labels: { app: "j" } }, spec: { containers: [] } },
    });
  });

  it("webhooks have side effects that version v1 takes", () => {
    const group = "admissionregistration.k8s.io";
    const webhooks = [
      { name: "a", sideEffects: "Unknown" },
      { name: "b", sideEffects: "NoneOnDryRun" },
    ];
    const hook = object(`${group}/v1`, "ValidatingWebhookConfiguration", "w", { webhooks });
    expect((prepared(hook) as AnyObject)["webhooks"]).toEqual([
      { name: "a", sideEffects: "None" },
      { name: "b", sideEffects: "NoneOnDryRun" },
    ]);
    const old = { ...hook, apiVersion: `${group}/v1beta1` };
    expect((prepared(old) as AnyObject)["webhooks"]).toEqual(webhooks);
  });

  it("definitions that keep unknown fields say so in each version", () => {
    const definition = object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "d", {
      spec: {
        preserveUnknownFields: true,
        versions: [{ name: "v1", schema: { openAPIV3Schema: { type: "object" } } }, { name: "v2" }],
      },
    });
    expect(restoredSpec(definition)).toEqual({
      preserveUnknownFields: false,
      versions: [
        {
          name: "v1",
          schema: {
            openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
          },
        },
        { name: "v2" },
      ],
    });
  });

  it("API services of Kubernetes itself are left to it", () => {
    const labelled = { labels: { "kube-aggregator.kubernetes.io/automanaged": "onstart" } };
    const service = object("apiregistration.k8s.io/v1", "APIService", "v1.", {}, labelled);
    expect(prepared(service)).toBeInstanceOf(Leave);
  });

  it.each([
    "DataUpload",
    "DataDownload",
    "PodVolumeBackup",
    "PodVolumeRestore",
    "DeleteBackupRequest",
    "DownloadRequest",
    "ServerStatusRequest",
  ])("a %s would do its work once more: it stays behind", (kind) => {
    expect(prepared(object("velero.io/v1", kind, "u"))).toMatchObject({ as: "skipped" });
  });
});

describe("volumes and claims", () => {
  const volume = object(
    "v1",
    "PersistentVolume",
    "pv1",
    {
      spec: {
        claimRef: {
          kind: "PersistentVolumeClaim",
          namespace: "shop",
          name: "data",
          uid: "u",
          resourceVersion: "1",
        },
        nfs: { server: "s" },
      },
    },
    { annotations: { [annotations.boundByController]: "yes", mine: "kept" } },
  );

  it("a volume that stays what it was is free for its claim", () => {
    const kept = prepared(volume, { spec: { namespaceMapping: { shop: "copy" } } }) as AnyObject;
    expect(kept["spec"]).toEqual({
      claimRef: { kind: "PersistentVolumeClaim", namespace: "copy", name: "data" },
      nfs: { server: "s" },
    });
    expect(kept.metadata.annotations).toEqual({ mine: "kept" });
  });

  it("one that is provisioned anew, or cannot come back, is left", () => {
    const left = (fate: VolumeFate): string => (prepared(volume, { fate }) as Leave).as;
    expect(left({ do: "provision", reason: "" })).toBe("skipped");
    expect(left({ do: "refuse", reason: "" })).toBe("failed");
  });

  const claim = object(
    "v1",
    "PersistentVolumeClaim",
    "data",
    {
      spec: {
        volumeName: "pv1",
        storageClassName: "old",
        dataSource: { kind: "PersistentVolumeClaim", name: "origin" },
        dataSourceRef: { kind: "PersistentVolumeClaim", name: "origin" },
      },
    },
    {
      uid: "c1",
      labels: { [labels.volumeSnapshotName]: "s", app: "db" },
      annotations: {
        [annotations.bindCompleted]: "yes",
        [annotations.selectedNode]: "n1",
        [annotations.dataUploadName]: "velero/u",
        mine: "kept",
      },
    },
  );

  it("a claim leaves behind what the new storage decides", () => {
    const { metadata } = prepared(claim) as AnyObject;
    expect(metadata.annotations).toEqual({ mine: "kept" });
    expect(metadata.labels).toEqual({ app: "db", ...ours });
  });

  it.each([
    ["nothing", { from: "nowhere" }, { storageClassName: "old" }],
    ["files of a pod", { from: "pod volume" }, { storageClassName: "old" }],
    [
      "a snapshot in the storage",
      { from: "snapshot", snapshot: "s" },
      {
        storageClassName: "old",
        dataSource: {
          apiGroup: "snapshot.storage.k8s.io",
          kind: "VolumeSnapshot",
          name: restoredSnapshotName("r-1", "s"),
        },
      },
    ],
    [
      "the repository",
      { from: "repository", result: { backupStorageLocation: "l", sourceNamespace: "shop" } },
      {
        storageClassName: "old",
        selector: {
          matchLabels: { [labels.dynamicPVRestore]: expect.stringMatching(/^shop\.data\.\w{5}$/) },
        },
      },
    ],
  ] as [string, ClaimData, object][])("is made for %s", (_what, data, spec) => {
    expect(restoredSpec(claim, { data })).toEqual(spec);
  });

  it.each([
    ["alone", {}, {}],
    ["beside another", { app: "db" }, { selector: { matchLabels: { app: "db" } } }],
  ])("asks no more for the volume of an earlier restore, %s", (_where, others, left) => {
    const matchLabels = { ...others, [labels.dynamicPVRestore]: "shop.data.abcde" };
    const source = { ...claim, spec: { storageClassName: "old", selector: { matchLabels } } };
    expect(restoredSpec(source)).toEqual({ storageClassName: "old", ...left });
    expect(restoredSpec(source, { data: { from: "volume" } })).toEqual(source.spec);
  });

  it("keeps its volume when that comes back, and everything when it is there already", () => {
    const source = claim["spec"];
    expect(restoredSpec(claim, { data: { from: "volume" } })).toEqual(source);
    expect(restoredSpec(claim, { exists: true, data: { from: "lost", error: "x" } })).toEqual(
      source,
    );
  });

  it("is not made when its data is lost", () => {
    expect(prepared(claim, { data: { from: "lost", error: "why" } })).toEqual(
      new Leave("failed", "why"),
    );
  });

  it("goes to another storage class, which must be there", () => {
    const storageClasses = new Map([["old", "new"]]);
    expect(restoredSpec(claim, { config: { storageClasses } })).toMatchObject({
      storageClassName: "new",
    });
    const set = object("apps/v1", "StatefulSet", "db", {
      spec: {
        template: { spec: { containers: [] } },
        volumeClaimTemplates: [
          { spec: { storageClassName: "old" } },
          { spec: { storageClassName: "x" } },
        ],
      },
    });
    expect(restoredSpec(set, { config: { storageClasses } })).toMatchObject({
      volumeClaimTemplates: [
        { spec: { storageClassName: "new" } },
        { spec: { storageClassName: "x" } },
      ],
    });
    const missingStorageClasses = new Set(["new"]);
    for (const one of [claim, set])
      expect(prepared(one, { config: { storageClasses, missingStorageClasses } })).toEqual(
        new Leave(
          "failed",
          'error getting storage class new from API: storageclasses.storage.k8s.io "new" not found',
        ),
      );
  });
});

describe("snapshots that were kept in the storage", () => {
  const group = "snapshot.storage.k8s.io/v1";
  const snapshot = object(
    group,
    "VolumeSnapshot",
    "s",
    {
      spec: { source: { persistentVolumeClaimName: "data" }, volumeSnapshotClassName: "old" },
      status: { boundVolumeSnapshotContentName: "c" },
    },
    { labels: { app: "db", [labels.backupUid]: "b-1", [labels.pvcUid]: "c1" } },
  );
  const content = object(
    group,
    "VolumeSnapshotContent",
    "c",
    {
      spec: {
        driver: "csi.test",
        deletionPolicy: "Delete",
        volumeSnapshotClassName: "old",
        source: { volumeHandle: "v" },
        volumeSnapshotRef: { name: "s", namespace: "shop", uid: "u", resourceVersion: "1" },
      },
      status: { snapshotHandle: "h1" },
    },
    { namespace: undefined },
  );
  const name = restoredSnapshotName("r-1", "s");

  it("come back as a pair that finds each other, and never deletes the snapshot", () => {
    const restored = prepared(snapshot, { namespace: "copy" }) as AnyObject;
    expect(restored.metadata).toMatchObject({
      name,
      namespace: "copy",
      annotations: { [annotations.csiDeletionPolicy]: "Retain" },
    });
    // Nor is it taken for one that the Backup has taken.
    expect(restored.metadata.labels).toEqual({ app: "db", ...ours });
    expect(restored["spec"]).toEqual({ source: { volumeSnapshotContentName: name } });
    const snapshotClasses = [
      { driver: "csi.test", deletionPolicy: "Delete", metadata: { name: "here" } },
    ];
    const given = { spec: { namespaceMapping: { shop: "copy" } }, config: { snapshotClasses } };
    const pair = prepared(content, given as Given) as AnyObject;
    expect(pair.metadata.name).toBe(name);
    expect(pair["spec"]).toEqual({
      driver: "csi.test",
      deletionPolicy: "Retain",
      volumeSnapshotClassName: "here",
      source: { snapshotHandle: "h1" },
      volumeSnapshotRef: { name, namespace: "copy" },
    });
  });

  it("are refused without a handle, and left when no volumes are wanted", () => {
    const bare = ({ status: _status, ...rest }: AnyObject): AnyObject => rest as AnyObject;
    expect(prepared(bare(snapshot))).toEqual(new Leave("failed", "VS s doesn't have bound VSC"));
    expect(prepared(bare(content))).toEqual(
      new Leave("failed", "fail to get snapshot handle from VSC c status"),
    );
    const kind = object(group, "VolumeSnapshotClass", "k", { driver: "csi.test" });
    for (const one of [snapshot, content, kind])
      expect(prepared(one, { spec: { restorePVs: false } })).toMatchObject({ as: "skipped" });
  });
});

it("to restore what was restored changes nothing more, whatever an object holds", () => {
  const text = fc.stringMatching(/^[a-z]{1,8}$/);
  const container = fc.record({
    name: text,
    image: text,
    volumeMounts: fc.array(fc.record({ name: text })),
  });
  const template = fc.record({
    metadata: fc.record({ labels: fc.dictionary(text, text) }),
    spec: fc.record({ containers: fc.array(container, { minLength: 1 }) }),
  });
  const spec = fc.oneof(
    fc.record({ kind: fc.constant("v1/ConfigMap"), spec: fc.dictionary(text, fc.jsonValue()) }),
    fc.record({
      kind: fc.constant("v1/Pod"),
      spec: fc.record({
        containers: fc.array(container, { minLength: 1 }),
        nodeName: text,
        serviceAccountName: text,
        volumes: fc.array(fc.record({ name: text })),
      }),
    }),
    fc.record({
      kind: fc.constant("v1/Service"),
      spec: fc.record({
        type: fc.constantFrom("NodePort", "ClusterIP", "LoadBalancer"),
        clusterIP: fc.constantFrom("10.0.0.1", "None"),
        ports: fc.array(
          fc.record({ port: fc.nat(), nodePort: fc.nat(), protocol: fc.constant("TCP") }),
        ),
      }),
    }),
    fc.record({ kind: fc.constant("batch/v1/Job"), spec: fc.record({ template }) }),
    fc.record({
      kind: fc.constant("v1/PersistentVolume"),
      spec: fc.record({ claimRef: fc.record({ name: text, namespace: text, uid: text }) }),
    }),
    fc.record({
      kind: fc.constant("v1/PersistentVolumeClaim"),
      spec: fc.record({
        volumeName: text,
        storageClassName: text,
        dataSource: fc.record({ name: text }),
      }),
    }),
  );
  fc.assert(
    fc.property(spec, fc.dictionary(text, text), (one, notes) => {
      const [kind = "", ...api] = one.kind.split("/").reverse();
      const source = object(
        api.reverse().join("/"),
        kind,
        "x",
        { spec: one.spec },
        { annotations: notes, uid: "u", ownerReferences: [] },
      );
      const first = prepared(source) as AnyObject;
      expect(prepared(structuredClone(first))).toEqual(first);
    }),
  );
});
