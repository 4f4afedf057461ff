/**
 * The command lines of the server and the node agent, from an application. Pure.
 *
 * Order of what counts: a ConfigMap that an annotation names gives all arguments; else `velero.args` takes the place of what the
 * other fields say about the same; else those. Flags by which our programs find each other are there always.
 * Proof: test/oadp/server-arguments.test.ts.
 * @module
 */
import { type ConfigMap, type DataProtectionApplication, formatGoDuration } from "@dm/crds";
import {
  type ApplicationSettings,
  featuresOf,
  hostPodsMount,
  nodeAgentName,
  nodeAgentOf,
  type SeenApplication,
  serverName,
  usesHostPaths,
  veleroOf,
} from "./application.ts";
import {
  hasRepositoryConfig,
  maintenanceConfigName,
  nodeAgentConfigName,
  repositoryConfigName,
} from "./plan-config-maps.ts";

/** What a restore brings first, and behind the dash what it brings last: OADP's order. */
const restorePriorities = [
  "securitycontextconstraints",
  "customresourcedefinitions",
  "klusterletconfigs.config.open-cluster-management.io",
  "managedcluster.cluster.open-cluster-management.io",
  "namespaces",
  "roles",
  "rolebindings",
  "clusterrolebindings",
  "klusterletaddonconfig.agent.open-cluster-management.io",
  "managedclusteraddon.addon.open-cluster-management.io",
  "storageclasses",
  "volumesnapshotclass.snapshot.storage.k8s.io",
  "volumesnapshotcontents.snapshot.storage.k8s.io",
  "volumesnapshots.snapshot.storage.k8s.io",
  "datauploads.velero.io",
  "persistentvolumes",
  "persistentvolumeclaims",
  "serviceaccounts",
  "secrets",
  "configmaps",
  "limitranges",
  "pods",
  "replicasets.apps",
  "clusterclasses.cluster.x-k8s.io",
  "endpoints",
  "services",
  "-",
  "clusterbootstraps.run.tanzu.vmware.com",
  "clusters.cluster.x-k8s.io",
  "clusterresourcesets.addons.cluster.x-k8s.io",
].join(",");

/** The value of a flag; null and undefined: it is not passed. */
type Flags = Readonly<Record<string, string | number | boolean | null | undefined>>;

export function serverArguments(seen: SeenApplication): string[] {
  const { application, serverArguments: map } = seen;
  const role = ["server"];
  const own: Flags = { deployment: serverName };
  if (map) return [...role, ...written({ ...own, ...flagsOf(map) })];
  return [...role, ...written({ ...own, ...commonFlags(application), ...argsFlags(application) })];
}

function commonFlags(application: DataProtectionApplication): Flags {
  const velero = veleroOf(application);
  const { spec } = application;
  const agent = nodeAgentOf(application);
  return {
    features: featuresOf(application).join(",") || undefined,
    "uploader-type": agent?.uploaderType,
    "fs-backup-timeout": agent?.timeout || "4h",
    "restore-resource-priorities": restorePriorities,
    "client-burst": velero["client-burst"],
    "client-qps": velero["client-qps"],
    "log-level": velero.logLevel || undefined,
    "log-format": spec?.logFormat || undefined,
    "item-operation-sync-frequency": velero.itemOperationSyncFrequency || undefined,
    "default-item-operation-timeout": velero.defaultItemOperationTimeout || undefined,
    "resource-timeout": velero.resourceTimeout || undefined,
    "default-snapshot-move-data": velero.defaultSnapshotMoveData,
    "default-volumes-to-fs-backup": velero.defaultVolumesToFSBackup,
    "disable-informer-cache": velero.disableInformerCache ?? false,
    "item-block-worker-count": velero.itemBlockWorkerCount || undefined,
    "backup-repository-configmap": hasRepositoryConfig(application)
      ? repositoryConfigName(application)
      : undefined,
    "repo-maintenance-job-configmap": spec?.configuration?.repositoryMaintenance
      ? maintenanceConfigName(application)
      : undefined,
  };
}

/** Fields of `velero.args` whose flag has another name. */
const otherNames: Readonly<Record<string, string>> = {
  "disabled-controllers": "disable-controllers",
};
/** Fields that are durations: integers of nanoseconds. */
const durations = new Set([
  "backup-sync-period",
  "default-backup-ttl",
  "default-item-operation-timeout",
  "default-repo-maintain-frequency",
  "fs-backup-timeout",
  "garbage-collection-frequency",
  "item-operation-sync-frequency",
  "resource-timeout",
  "store-validation-frequency",
  "terminating-resource-timeout",
]);

function argsFlags(application: DataProtectionApplication): Flags {
  const { args } = veleroOf(application);
  if (!args) return {};
  const velero = veleroOf(application);
  const given = Object.entries(args).map(([name, value]) => [
    otherNames[name] ?? name,
    argumentText(name, value),
  ]);
  // These fields of the application are not passed beside `args`: that is what it replaces.
  const replaced = {
    "uploader-type": undefined,
    "client-burst": undefined,
    "client-qps": undefined,
  };
  return { ...replaced, "log-level": velero.logLevel || undefined, ...Object.fromEntries(given) };
}

function argumentText(name: string, value: unknown): string | undefined {
  if (value === null || value === undefined || value === "") return undefined;
  if (durations.has(name) && typeof value === "number") return formatGoDuration(value / 1e6);
  return Array.isArray(value) ? value.join(",") : String(value);
}

export function nodeAgentArguments(
  seen: SeenApplication,
  settings: ApplicationSettings,
  hasConfig: boolean,
): string[] {
  const { application, nodeAgentArguments: map } = seen;
  const role = ["node-agent"];
  const agent = nodeAgentOf(application);
  const own: Flags = {
    daemonset: nodeAgentName,
    "mover-service-account": settings.moverAccount,
    "take-over-velero": settings.takeOverVelero || undefined,
    // Where the volumes of running pods are, as the DaemonSet mounts them; without it their files are not backed up.
    "host-pods-root": usesHostPaths(application) ? hostPodsMount : undefined,
  };
  if (map) return [...role, ...written({ ...own, ...flagsOf(map) })];
  return [
    ...role,
    ...written({
      ...own,
      "node-agent-configmap": hasConfig ? nodeAgentConfigName(application) : undefined,
      "data-mover-prepare-timeout": agent?.dataMoverPrepareTimeout || undefined,
      "resource-timeout": agent?.resourceTimeout || undefined,
      "log-format": application.spec?.logFormat || undefined,
    }),
  ];
}

/** Keys with or without dashes; sorted, so that the same map gives the same line. */
function flagsOf({ data = {} }: ConfigMap): Flags {
  const entries = Object.entries(data).map(([key, value]) => [
    key.replace(/^--?/, ""),
    /^(true|false)$/i.test(value) ? value.toLowerCase() : value,
  ]);
  return Object.fromEntries(entries.sort(([a = ""], [b = ""]) => (a < b ? -1 : 1)));
}

/** `--take-over-velero` and its like take no value when they are true. */
const switches = new Set(["take-over-velero", "random-password"]);

function written(flags: Flags): string[] {
  return Object.entries(flags).flatMap(([name, value]) => {
    if (value === undefined || value === null) return [];
    const isSwitch = switches.has(name);
    if (isSwitch) return String(value) === "true" ? [`--${name}`] : [];
    return [`--${name}=${value}`];
  });
}
