// Every field of an application is kept by the API server as it was written, and ends where it belongs; what no release of OADP takes
// is refused there.
import { crdManifests, type StructuralSchema } from "@dm/crds";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { awsLocation, cloudCredentials, namespace, secret } from "./samples.ts";
import { ApplicationWorld, kinds } from "./world.ts";

let world: ApplicationWorld;
beforeEach(async () => {
  world = await ApplicationWorld.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const selector = {
  matchLabels: { zone: "a" },
  matchExpressions: [{ key: "disk", operator: "In", values: ["ssd"] }],
};
const podConfig = (env: string) => ({
  env: [
    { name: env, value: "1" },
    { name: "FROM_SECRET", valueFrom: { secretKeyRef: { name: "s", key: "k" } } },
  ],
  labels: { team: "storage" },
  nodeSelector: { zone: "a" },
  resourceAllocations: { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "200m" } },
  tolerations: [{ key: "infra", operator: "Equal", value: "yes", effect: "NoSchedule" }],
});
const podResources = {
  cpuLimit: "1",
  cpuRequest: "100m",
  memoryLimit: "1Gi",
  memoryRequest: "256Mi",
};

/** Section by section in the order of the documentation. */
const everything = {
  backupImages: false,
  backupLocations: [
    {
      name: "default",
      velero: {
        ...awsLocation,
        accessMode: "ReadWrite",
        backupSyncPeriod: "2m0s",
        validationFrequency: "5m0s",
        config: {
          region: "eu-central-1",
          profile: "default",
          s3Url: "https://minio.example:443",
          publicUrl: "https://public.example",
          s3ForcePathStyle: "true",
          insecureSkipTLSVerify: "false",
          signatureVersion: "4",
          kmsKeyId: "k",
          serverSideEncryption: "AES256",
          enableSharedConfig: "false",
          checksumAlgorithm: "CRC32",
        },
        credential: { name: "cloud-credentials", key: "cloud" },
        objectStorage: { bucket: "backups", caCert: "Y2VydA==", prefix: "velero" },
      },
    },
    {
      name: "azure",
      velero: {
        provider: "azure",
        objectStorage: { bucket: "container" },
        config: { resourceGroup: "g", storageAccount: "s", subscriptionId: "i" },
        credential: { name: "azure", key: "cloud" },
      },
    },
    { velero: { provider: "velero.io/gcp", objectStorage: { bucket: "g" } } },
  ],
  configuration: {
    nodeAgent: {
      backupPVC: { csi: { storageClass: "shallow", readOnly: true, spcNoRelabeling: true } },
      cacheLimitMB: 1024,
      dataMoverPrepareTimeout: "45m0s",
      enable: true,
      fullMaintenanceInterval: "fastGC",
      loadConcurrency: {
        globalConfig: 2,
        perNodeConfig: [{ nodeSelector: selector, number: 3 }],
      },
      podConfig: podConfig("FOR_AGENT"),
      podResources,
      resourceTimeout: "15m0s",
      restorePVC: { ignoreDelayBinding: true },
      supplementalGroups: [1000, 2000],
      timeout: "2h",
      uploaderType: "kopia",
    },
    repositoryMaintenance: {
      global: { podResources, loadAffinity: [{ nodeSelector: selector }] },
      "shop-default-kopia": { podResources: { cpuRequest: "2" } },
    },
    velero: {
      "client-burst": 100,
      "client-qps": 50,
      customPlugins: [{ name: "mine", image: "example/mine:1" }],
      defaultItemOperationTimeout: "6h",
      defaultPlugins: ["aws", "azure", "gcp", "csi", "openshift", "kubevirt", "hypershift"],
      defaultSnapshotMoveData: true,
      defaultVolumesToFSBackup: false,
      disableFsBackup: false,
      disableInformerCache: true,
      featureFlags: ["EnableCSI", "EnableAPIGroupVersions"],
      itemBlockWorkerCount: 2,
      itemOperationSyncFrequency: "30s",
      loadAffinity: [{ nodeSelector: selector }],
      logLevel: "debug",
      noDefaultBackupLocation: false,
      podConfig: podConfig("KOPIA_HASHING_ALGORITHM"),
      resourceTimeout: "20m",
      restoreResourcesVersionPriority: "cronjobs=v1",
    },
  },
  features: {},
  imagePullPolicy: "IfNotPresent",
  logFormat: "json",
  nonAdmin: {
    backupSyncPeriod: "3m0s",
    enable: false,
    enforceBSLSpec: { provider: "aws" },
    enforceBackupSpec: { ttl: "24h0m0s" },
    enforceRestoreSpec: { restorePVs: true },
    garbageCollectionPeriod: "12h0m0s",
    requireApprovalForBSL: true,
  },
  podAnnotations: { note: "x" },
  podDnsConfig: { nameservers: ["10.0.0.1"], options: [{ name: "ndots", value: "2" }] },
  podDnsPolicy: "None",
  snapshotLocations: [
    {
      name: "native",
      velero: {
        provider: "aws",
        config: { region: "eu-central-1", profile: "default" },
        credential: { name: "cloud-credentials", key: "cloud" },
      },
    },
  ],
  unsupportedOverrides: { veleroImageFqin: "example/dm:2", "operator-type": "mtc" },
};

/** Paths of the schema that a value does not have. */
function unused(schema: StructuralSchema, values: readonly unknown[], path: string): string[] {
  const { additionalProperties, items, properties = {} } = schema;
  if (items) return unused(items, values.flat(), `${path}[]`);
  const objects = values.filter((value): value is object => typeof value === "object");
  if (additionalProperties)
    return unused(additionalProperties, objects.flatMap(Object.values), `${path}.*`);
  return Object.entries(properties).flatMap(([name, property]) => {
    const below = objects.flatMap((value) => (name in value ? [value[name as never]] : []));
    const at = `${path}.${name}`;
    return below.length === 0 ? [at] : unused(property, below, at);
  });
}

it("the example has every field, but for those with examples of their own", () => {
  const [crd] = crdManifests({ kinds: ["DataProtectionApplication"] });
  const spec = crd?.spec.versions[0]?.schema.openAPIV3Schema.properties?.["spec"];
  expect(
    unused(spec ?? {}, [everything], "spec").filter((path) => !/credential\.optional$/.test(path)),
  ).toEqual([
    // What is refused, or not together with the rest.
    "spec.backupLocations[].bucket",
    "spec.configuration.nodeAgent.loadAffinity",
    "spec.configuration.restic",
    "spec.configuration.velero.args",
    "spec.features.dataMover",
  ]);
});

const install = (spec: object): void => {
  world.create(kinds.applications, {
    apiVersion: "oadp.openshift.io/v1alpha1",
    kind: "DataProtectionApplication",
    metadata: { name: "dpa", namespace },
    spec,
  });
};

it("every field is kept, and ends where it belongs", async () => {
  for (const one of [
    cloudCredentials,
    secret("azure", { cloud: "AZURE_CLIENT_ID=x" }),
    secret("cloud-credentials-gcp", { cloud: "{}" }),
  ])
    world.create(kinds.secrets, one);
  install(everything);
  expect(world.get("applications", "dpa").spec).toEqual(everything);
  await world.reconcile();
  expect(world.condition()).toMatchObject({ status: "True", message: "Reconcile complete" });

  expect(world.names("locations")).toEqual(["azure", "default", "dpa-3"]);
  expect(world.get("locations", "default").spec).toEqual({
    ...everything.backupLocations[0]?.velero,
    config: {
      ...everything.backupLocations[0]?.velero.config,
      s3Url: "https://minio.example",
    },
  });
  expect(world.get("locations", "dpa-3").spec.credential).toEqual({
    name: "cloud-credentials-gcp",
    key: "cloud",
  });
  expect(world.get("snapshotLocations", "native").spec).toEqual(
    everything.snapshotLocations[0]?.velero,
  );
  expect(world.names("configMaps")).toEqual([
    "backup-repository-dpa",
    "enableapigroupversions",
    "node-agent-dpa",
    "repository-maintenance-dpa",
  ]);
  const agentConfig = world.get("configMaps", "node-agent-dpa") as unknown as {
    readonly data: Record<string, string>;
  };
  const { backupPVC, loadConcurrency, restorePVC } = everything.configuration.nodeAgent;
  expect(JSON.parse(agentConfig.data["node-agent-config"] ?? "")).toEqual({
    backupPVC,
    loadConcurrency,
    restorePVC,
    podResources,
    loadAffinity: [{ nodeSelector: { matchLabels: { zone: "a" } } }],
  });
  expect(world.args("deployments", "velero")).toEqual([
    "server",
    "--deployment=velero",
    "--features=EnableCSI,EnableAPIGroupVersions",
    "--uploader-type=kopia",
    "--fs-backup-timeout=2h",
    expect.stringMatching(/^--restore-resource-priorities=/),
    "--client-burst=100",
    "--client-qps=50",
    "--log-level=debug",
    "--log-format=json",
    "--item-operation-sync-frequency=30s",
    "--default-item-operation-timeout=6h",
    "--resource-timeout=20m",
    "--default-snapshot-move-data=true",
    "--default-volumes-to-fs-backup=false",
    "--disable-informer-cache=true",
    "--item-block-worker-count=2",
    "--backup-repository-configmap=backup-repository-dpa",
    "--repo-maintenance-job-configmap=repository-maintenance-dpa",
  ]);
  expect(world.args("daemonSets", "node-agent")).toEqual(
    expect.arrayContaining([
      "--node-agent-configmap=node-agent-dpa",
      "--data-mover-prepare-timeout=45m0s",
      "--resource-timeout=15m0s",
      "--log-format=json",
    ]),
  );
  for (const [kind, name] of [
    ["deployments", "velero"],
    ["daemonSets", "node-agent"],
  ] as const) {
    const { metadata, spec } = world.get(kind, name).spec.template;
    expect(metadata.labels.team).toBe("storage");
    expect(metadata.annotations.note).toBe("x");
    expect(spec).toMatchObject({
      dnsPolicy: "None",
      dnsConfig: everything.podDnsConfig,
      nodeSelector: { zone: "a" },
      tolerations: podConfig("").tolerations,
    });
    expect(spec.containers[0]).toMatchObject({
      image: "example/dm:2",
      imagePullPolicy: "IfNotPresent",
      resources: {
        limits: { cpu: "1", memory: "1Gi" },
        requests: { cpu: "200m", memory: "128Mi" },
      },
    });
  }
});

it("arguments of the server are kept as they are written", () => {
  const args = {
    "default-backup-ttl": 3_600_000_000_000,
    "disabled-controllers": ["gc"],
    "metrics-address": ":9000",
    colorized: true,
    v: 2,
  };
  install({ backupLocations: [], configuration: { velero: { args } } });
  expect(world.get("applications", "dpa").spec.configuration.velero.args).toEqual(args);
});

describe("the API server refuses", () => {
  const nodeAgent = (more: object): object => ({
    configuration: { velero: {}, nodeAgent: { uploaderType: "kopia", ...more } },
  });
  it.each<[string, object]>([
    ["another uploader", nodeAgent({ uploaderType: "rsync" })],
    ["no uploader", nodeAgent({ uploaderType: undefined })],
    ["another interval of maintenance", nodeAgent({ fullMaintenanceInterval: "daily" })],
    ["a cache of less than nothing", nodeAgent({ cacheLimitMB: -1 })],
    ["a number for a flag", { configuration: { velero: { defaultVolumesToFSBackup: 1 } } }],
    ["another plugin", { configuration: { velero: { defaultPlugins: ["minio"] } } }],
    ["another level of logs", { configuration: { velero: { logLevel: "chatty" } } }],
    ["another format of logs", { configuration: {}, logFormat: "xml" }],
    ["no configuration", { backupLocations: [] }],
    [
      "a location without a bucket",
      {
        configuration: {},
        backupLocations: [{ velero: { provider: "aws", objectStorage: {} } }],
      },
    ],
  ])("%s", (_, spec) => {
    expect(() => install(JSON.parse(JSON.stringify(spec)))).toThrow(
      expect.objectContaining({ status: 422 }),
    );
  });
});
