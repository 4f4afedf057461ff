/**
 * An application with a bit of everything, which says itself whether it is whole: a StatefulSet with a database that keeps rows in
 * memory until its hook is run, a Deployment that reads ConfigMap, Secret, Endpoints (by the rights of its account), the database and
 * a block device for each answer, and a custom resource.
 */
import type { NodeKubeClient } from "@dm/controller/runtime";
import type { KubeObject, Resource } from "@dm/crds";
import type { Cluster, StoredObject } from "@dm/testbed";
import { applyObjects } from "../src/demo/install.ts";
import type { SetUp } from "../src/demo/set-up.ts";
import { until } from "../src/demo/stage.ts";
import { runPod } from "../src/demo/volumes.ts";
import type { DatabaseContents } from "../src/demo-pod/database-server.ts";
import type { ListedEntry } from "../src/demo-pod/volume-list.ts";
import type { WebAnswer } from "../src/demo-pod/web-server.ts";
import { parseList } from "../src/proof.ts";

const password = "open sesame";
const dataPath = "/dm-app-data";
const devicePath = "/dm-app-device";
const settingsPath = "/dm-app-settings";

export const stockDefinition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "stocks.shop.example" },
  spec: {
    group: "shop.example",
    scope: "Namespaced",
    names: { plural: "stocks", singular: "stock", kind: "Stock", listKind: "StockList" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: {
              spec: {
                type: "object",
                properties: { article: { type: "string" }, count: { type: "integer" } },
              },
              status: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
            },
          },
        },
      },
    ],
  },
} as KubeObject;

export interface ApplicationOptions {
  readonly namespace: string;
  readonly storageClass: string;
  readonly image: string;
  readonly command: readonly string[];
  /** More annotations of the Deployment's pods. */
  readonly webAnnotations?: Readonly<Record<string, string>> | undefined;
  /** Without the block volume the Deployment reads a file of its settings instead. */
  readonly withoutBlock?: boolean | undefined;
}

/** In the order in which they can be made. The block volume must be filled before the Deployment is looked at. */
export function applicationObjects(options: ApplicationOptions): KubeObject[] {
  const { command, image, namespace, storageClass } = options;
  const object = (apiVersion: string, kind: string, name: string, more: object): KubeObject => ({
    apiVersion,
    kind,
    metadata: { name, namespace, labels: { app: "shop" } },
    ...more,
  });
  const container = (name: string, args: readonly string[], more: object): object => ({
    name,
    image,
    imagePullPolicy: "IfNotPresent",
    command,
    args,
    ports: [{ name: "http", containerPort: 8080 }],
    readinessProbe: { httpGet: { path: "/healthz", port: "http" }, periodSeconds: 1 },
    ...more,
  });
  const env = [
    { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
    {
      name: "DATABASE_PASSWORD",
      valueFrom: { secretKeyRef: { name: "database-password", key: "password" } },
    },
    {
      name: "DATABASE_SERVICE",
      valueFrom: { configMapKeyRef: { name: "settings", key: "service" } },
    },
  ];
  const tell = (what: string): string => JSON.stringify([...command, "tell-database", what]);
  const hook = (when: "pre" | "post", what: string): Record<string, string> => ({
    [`${when}.hook.backup.velero.io/container`]: "database",
    [`${when}.hook.backup.velero.io/command`]: tell(what),
    [`${when}.hook.backup.velero.io/timeout`]: "30s",
    [`${when}.hook.backup.velero.io/on-error`]: "Fail",
  });
  const claim = (volumeMode: string, storage: string): object => ({
    accessModes: ["ReadWriteOnce"],
    storageClassName: storageClass,
    volumeMode,
    resources: { requests: { storage } },
  });
  const device = options.withoutBlock
    ? []
    : [{ name: "device", persistentVolumeClaim: { claimName: "image" } }];
  return [
    object("v1", "ServiceAccount", "shop", {}),
    object("rbac.authorization.k8s.io/v1", "Role", "shop", {
      rules: [{ apiGroups: [""], resources: ["endpoints"], verbs: ["get"] }],
    }),
    object("rbac.authorization.k8s.io/v1", "RoleBinding", "shop", {
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "shop" },
      subjects: [{ kind: "ServiceAccount", name: "shop", namespace }],
    }),
    // More than whoever restores it may do himself.
    object("rbac.authorization.k8s.io/v1", "Role", "janitor", {
      rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["delete"] }],
    }),
    object("rbac.authorization.k8s.io/v1", "RoleBinding", "janitor", {
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "janitor" },
      subjects: [{ kind: "ServiceAccount", name: "shop", namespace }],
    }),
    object("v1", "ConfigMap", "settings", {
      data: { greeting: "Good morning", service: "database" },
      binaryData: { bytes: Buffer.from([0, 255, 128]).toString("base64") },
    }),
    object("v1", "ConfigMap", "fixed", { immutable: true, data: { answer: "42" } }),
    object("v1", "Secret", "database-password", {
      type: "Opaque",
      data: { password: Buffer.from(password).toString("base64") },
    }),
    object("v1", "Service", "database", {
      spec: {
        selector: { tier: "database" },
        ports: [{ name: "http", port: 80, targetPort: 8080 }],
      },
    }),
    object("v1", "Service", "web", {
      spec: {
        type: "NodePort",
        selector: { tier: "web" },
        ports: [{ port: 80, targetPort: 8080 }],
      },
    }),
    object("policy/v1", "PodDisruptionBudget", "database", {
      spec: { minAvailable: 1, selector: { matchLabels: { tier: "database" } } },
    }),
    object("networking.k8s.io/v1", "NetworkPolicy", "database", {
      spec: {
        podSelector: { matchLabels: { tier: "database" } },
        ingress: [{ from: [{ podSelector: { matchLabels: { tier: "web" } } }] }],
      },
    }),
    object("shop.example/v1", "Stock", "pears", { spec: { article: "pears", count: 7 } }),
    ...(options.withoutBlock
      ? []
      : [object("v1", "PersistentVolumeClaim", "image", { spec: claim("Block", "4Mi") })]),
    object("apps/v1", "StatefulSet", "database", {
      spec: {
        serviceName: "database",
        replicas: 1,
        selector: { matchLabels: { tier: "database" } },
        template: {
          metadata: {
            labels: { app: "shop", tier: "database" },
            annotations: { ...hook("pre", "freeze"), ...hook("post", "thaw") },
          },
          spec: {
            terminationGracePeriodSeconds: 2,
            containers: [
              container("database", ["serve-database", `${dataPath}/rows.db`], {
                env,
                volumeMounts: [{ name: "data", mountPath: dataPath }],
              }),
            ],
          },
        },
        volumeClaimTemplates: [
          {
            metadata: { name: "data", labels: { app: "shop" } },
            spec: claim("Filesystem", "16Mi"),
          },
        ],
      },
    }),
    object("apps/v1", "Deployment", "web", {
      spec: {
        replicas: 1,
        strategy: { type: "Recreate" },
        selector: { matchLabels: { tier: "web" } },
        template: {
          metadata: {
            labels: { app: "shop", tier: "web" },
            ...(options.webAnnotations && { annotations: { ...options.webAnnotations } }),
          },
          spec: {
            serviceAccountName: "shop",
            terminationGracePeriodSeconds: 2,
            containers: [
              container(
                "web",
                [
                  "serve-web",
                  `${settingsPath}/greeting`,
                  options.withoutBlock ? `${settingsPath}/bytes` : devicePath,
                ],
                {
                  env,
                  volumeMounts: [{ name: "settings", mountPath: settingsPath }],
                  ...(!options.withoutBlock && {
                    volumeDevices: [{ name: "device", devicePath }],
                  }),
                },
              ),
            ],
            volumes: [{ name: "settings", configMap: { name: "settings" } }, ...device],
          },
        },
      },
    }),
  ];
}

/** What the application says of itself, and what its volumes hold, by the witness inside of its pods. */
export interface Application {
  readonly answer: WebAnswer;
  readonly files: readonly ListedEntry[];
  readonly device: readonly ListedEntry[];
}

/** One in a namespace of a scene. */
export class Shop {
  readonly #scene: SetUp;
  readonly namespace: string;

  constructor(scene: SetUp, namespace: string) {
    this.#scene = scene;
    this.namespace = namespace;
  }

  get #client(): NodeKubeClient {
    return this.#scene.stage.client;
  }

  get #cluster(): Cluster {
    return this.#scene.embedded.cluster;
  }

  /** Makes it, fills its block volume with `image`, and waits until it answers. */
  async install(image: string, options: Partial<ApplicationOptions> = {}): Promise<void> {
    const { stage } = this.#scene;
    const { namespace } = this;
    const objects = applicationObjects({
      namespace,
      storageClass: stage.storageClass,
      image: stage.pod.image,
      command: stage.pod.command,
      ...options,
    });
    const isDeployment = ({ kind }: KubeObject): boolean => kind === "Deployment";
    const space: KubeObject = {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: namespace },
    };
    const early = [stockDefinition, space, ...objects.filter((one) => !isDeployment(one))];
    await applyObjects(this.#client, early, stage);
    if (!options.withoutBlock) {
      const args = ["fill-device", "--to", "VOLUME", image];
      const volume = { claim: "image", volumeMode: "Block" } as const;
      await runPod({ ...stage, namespace }, { name: "fill-image", ...volume, args });
    }
    await applyObjects(this.#client, objects.filter(isDeployment), stage);
    await this.answer();
  }

  /** The running pod of a tier. */
  #pod(tier: "database" | "web"): StoredObject | undefined {
    return this.#cluster.api.list("pods", this.namespace).find(({ metadata, status }) => {
      const ready = (status?.conditions ?? []).find(
        ({ type }: { type: string }) => type === "Ready",
      );
      return (
        metadata.labels?.["tier"] === tier &&
        !metadata.deletionTimestamp &&
        ready?.status === "True"
      );
    });
  }

  /** Through the Deployment; resolves when it answers. */
  async answer(): Promise<WebAnswer> {
    let last = "nobody was there";
    return until(
      `the application in ${this.namespace} to answer`,
      this.#scene.stage,
      async () => {
        const pod = this.#pod("web");
        if (!pod) return undefined;
        const response = await fetch(`http://${pod.status.podIP}:8080/`).catch((error: unknown) => {
          last = String(error);
        });
        if (!response) return undefined;
        const said = await response.text();
        if (response.ok) return JSON.parse(said) as WebAnswer;
        last = said;
        return undefined;
      },
      60_000,
    ).catch((error: unknown) => {
      throw new Error(`${error} (${last})`, { cause: error });
    });
  }

  async #run(tier: "database" | "web", args: readonly string[]): Promise<string> {
    const pod = await until(`a pod of ${tier}`, this.#scene.stage, async () => this.#pod(tier));
    const { name } = pod.metadata;
    const command = [...this.#scene.stage.pod.command, ...args];
    const options = { container: tier, command, timeoutMs: 30_000 };
    const end = await this.#client.exec({ namespace: this.namespace, name }, options);
    if (end.exitCode !== 0) throw new Error(`${args.join(" ")}: ${end.exitCode} ${end.stderr}`);
    return end.stdout;
  }

  async addRows(...rows: readonly string[]): Promise<void> {
    await this.#run("database", ["tell-database", "add", ...rows]);
  }

  async database(): Promise<DatabaseContents> {
    return JSON.parse(await this.#run("database", ["tell-database", "contents"]));
  }

  /** More files beside the database. */
  async addFile(name: string, bytes: number): Promise<void> {
    await this.#run("database", ["write-once", `${dataPath}/${name}`, String(bytes)]);
  }

  async look(withoutBlock = false): Promise<Application> {
    const answer = await this.answer();
    const files = parseList(await this.#run("database", ["list", dataPath]));
    const device = withoutBlock ? [] : parseList(await this.#run("web", ["list", devicePath]));
    return { answer, files, device };
  }

  /** The namespace with all that is in it, its volumes and the definition of its custom resource. */
  async destroy({ definition = true } = {}): Promise<void> {
    const { stage } = this.#scene;
    const { api } = this.#cluster;
    await this.#client.delete(namespaces, { name: this.namespace });
    await until(`namespace ${this.namespace} to go`, stage, async () =>
      api.get("namespaces", "", this.namespace) ? undefined : true,
    );
    if (definition)
      await this.#client.delete(definitions, { name: stockDefinition.metadata.name ?? "" });
    await until("its volumes to go", stage, async () => {
      const left = api
        .list("persistentvolumes")
        .some(({ spec }) => spec.claimRef?.namespace === this.namespace);
      return left ? undefined : true;
    });
  }

  /** What the cluster has of the application, without what a cluster assigns; of every kind that it could have. */
  objects(): Record<string, unknown> {
    const found = compared
      .filter((resource) => resource !== "stocks.shop.example" || this.#stocksAreServed())
      .flatMap((resource) =>
        this.#cluster.api
          .list(resource, this.namespace)
          .filter(({ metadata }) => metadata.name !== "kube-root-ca.crt")
          .map((one) => [`${resource} ${one.metadata.name}`, essence(one, this.namespace)]),
      );
    return Object.fromEntries(found);
  }

  #stocksAreServed(): boolean {
    const name = stockDefinition.metadata.name ?? "";
    return Boolean(
      this.#cluster.api.get("customresourcedefinitions.apiextensions.k8s.io", "", name),
    );
  }

  /** Names of pods that have names of their own. */
  podNames(): string[] {
    return this.#cluster.api
      .list("pods", this.namespace)
      .map(({ metadata }) => metadata.name)
      .sort();
  }
}

const namespaces: Resource = {
  group: "",
  version: "v1",
  kind: "Namespace",
  plural: "namespaces",
  namespaced: false,
};
const definitions: Resource = {
  group: "apiextensions.k8s.io",
  version: "v1",
  kind: "CustomResourceDefinition",
  plural: "customresourcedefinitions",
  namespaced: false,
};

const compared = [
  "configmaps",
  "secrets",
  "serviceaccounts",
  "services",
  "persistentvolumeclaims",
  "statefulsets.apps",
  "deployments.apps",
  "replicasets.apps",
  "roles.rbac.authorization.k8s.io",
  "rolebindings.rbac.authorization.k8s.io",
  "poddisruptionbudgets.policy",
  "networkpolicies.networking.k8s.io",
  "stocks.shop.example",
];

/** What a cluster adds to objects, and what backups and restores mark them with. */
const assigned =
  /^(pv|volume)\.(beta\.)?kubernetes\.io\/|^deployment\.kubernetes\.io\/|velero\.io\//;

const without = (map: Readonly<Record<string, string>> | undefined): Record<string, string> =>
  Object.fromEntries(Object.entries(map ?? {}).filter(([key]) => !assigned.test(key)));

/** An object without what a cluster assigns; its namespace is called NAMESPACE. */
export function essence(object: StoredObject, namespace: string): unknown {
  const { kind, metadata, status: _, ...rest } = structuredClone(object);
  const { spec } = rest;
  if (kind === "Service") {
    delete spec.clusterIP;
    delete spec.clusterIPs;
    for (const port of spec.ports) delete port.nodePort;
  }
  if (kind === "PersistentVolumeClaim") {
    delete spec.volumeName;
    delete spec.dataSource;
    delete spec.dataSourceRef;
    delete spec.selector;
  }
  for (const subject of rest["subjects"] ?? [])
    if (subject.namespace === namespace) subject.namespace = "NAMESPACE";
  return {
    kind,
    name: metadata.name,
    labels: without(metadata.labels),
    annotations: without(metadata.annotations),
    owners: (metadata.ownerReferences ?? []).map(({ kind: owner, name }) => `${owner} ${name}`),
    ...rest,
  };
}
