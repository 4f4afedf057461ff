/**
 * What a DataProtectionApplication says, as everything here asks it: with the defaults of its fields, and what follows from them.
 * Pure. Meaning of each plugin name: aws, legacy-aws, gcp and azure are built in and choose a default Secret; csi switches volume
 * snapshots on; openshift, kubevirt and hypershift are programs for Velero's server, which this one does not run.
 * Proof: test/oadp/application.test.ts.
 * @module
 */
import {
  type ConfigMap,
  type DataProtectionApplication,
  labels,
  labelValue,
  type NodeAgentConfig,
  type Secret,
  type VeleroConfig,
} from "@dm/crds";
import type { CloudStorage } from "./cloud-storage.ts";

/** Everything that validation and planning look at. */
export interface SeenApplication {
  readonly application: DataProtectionApplication;
  /** Applications in its namespace, this one included. */
  readonly applications: number;
  /** Those that are named and exist. */
  readonly secrets: ReadonlyMap<string, Secret>;
  readonly cloudStorages: ReadonlyMap<string, CloudStorage>;
  /** Regions of buckets whose location says none, as far as AWS tells. */
  readonly regions: ReadonlyMap<string, string>;
  /** The ConfigMaps that two annotations name: all arguments of a program, beside support. */
  readonly serverArguments?: ConfigMap | undefined;
  readonly nodeAgentArguments?: ConfigMap | undefined;
}

/** The programs that an application is made of. */
export interface ApplicationSettings {
  /** Unless `unsupportedOverrides.veleroImageFqin` names another one. */
  readonly image: string;
  /** The program without its role; empty: the image's entry point. */
  readonly command: readonly string[];
  readonly serverAccount: string;
  readonly nodeAgentAccount: string;
  /** As whom movers speak. */
  readonly moverAccount: string;
  /** Nobody else moves data in this installation, so what is meant for Velero's data mover is ours too. */
  readonly takeOverVelero: boolean;
  /** Where the kubelet keeps volumes of pods, and its plugins: elsewhere on some platforms. */
  readonly hostPodsPath: string;
  readonly hostPluginsPath: string;
}

/** Accounts as the manifests of the reference controller make them, each with the rights of its role. */
export const applicationDefaults: ApplicationSettings = Object.freeze({
  image: "dm",
  command: Object.freeze([]),
  serverAccount: "dm-server",
  nodeAgentAccount: "dm-node-agent",
  moverAccount: "dm-mover",
  takeOverVelero: true,
  hostPodsPath: "/var/lib/kubelet/pods",
  hostPluginsPath: "/var/lib/kubelet/plugins",
});

export const oadpOperator = "oadp-operator";
export const serverName = "velero";
export const nodeAgentName = "node-agent";

export function nameOf({ metadata }: DataProtectionApplication): string {
  return metadata.name ?? "";
}

/** Once validated; an application without it is refused. */
export function veleroOf({ spec }: DataProtectionApplication): VeleroConfig {
  return spec?.configuration?.velero ?? {};
}

export function nodeAgentOf({ spec }: DataProtectionApplication): NodeAgentConfig | undefined {
  return spec?.configuration?.nodeAgent;
}

export function hasNodeAgent(application: DataProtectionApplication): boolean {
  return nodeAgentOf(application)?.enable === true;
}

/** Where node agents see the volumes of the pods of their node. */
export const hostPodsMount = "/host_pods";

/** Volumes of running pods are reached on the node; without file system backups nothing of the node is needed. */
export function usesHostPaths(application: DataProtectionApplication): boolean {
  return veleroOf(application).disableFsBackup !== true;
}

/** Null and absent count as true. */
export function backsUpImages({ spec }: DataProtectionApplication): boolean {
  return spec?.backupImages !== false;
}

export type Plugin = NonNullable<VeleroConfig["defaultPlugins"]>[number];

export function pluginsOf(application: DataProtectionApplication): Plugin[] {
  return [...new Set(veleroOf(application).defaultPlugins ?? [])];
}

/** Of the operator, not of the server: Secrets are not looked at. */
const noSecret = "no-secret";

export function checksSecrets(application: DataProtectionApplication): boolean {
  return !(veleroOf(application).featureFlags ?? []).includes(noSecret);
}

/** Flags of the server: those of the application, and those that other fields need. Each once. */
export function featuresOf(application: DataProtectionApplication): string[] {
  const { featureFlags = [], restoreResourcesVersionPriority } = veleroOf(application);
  const features = new Set(featureFlags.filter((flag) => flag !== "" && flag !== noSecret));
  if (pluginsOf(application).includes("csi")) features.add("EnableCSI");
  if (restoreResourcesVersionPriority) features.add("EnableAPIGroupVersions");
  return [...features];
}

export type LoadAffinityConfig = NonNullable<NodeAgentConfig["loadAffinity"]>;

/** Where data may be moved: a node selector of the pods counts when nothing else is said. */
export function nodeAgentAffinity(
  application: DataProtectionApplication,
): LoadAffinityConfig | undefined {
  const { loadAffinity, podConfig } = nodeAgentOf(application) ?? {};
  if (loadAffinity || !podConfig?.nodeSelector) return loadAffinity;
  return [{ nodeSelector: { matchLabels: podConfig.nodeSelector } }];
}

/** Labels of what belongs to the server; its Service finds it by them. */
export function serverLabels(application: DataProtectionApplication): Record<string, string> {
  return {
    [labels.appName]: serverName,
    [labels.appInstance]: labelValue(nameOf(application)),
    [labels.appManagedBy]: oadpOperator,
    [labels.appComponent]: "server",
    [labels.oadp]: "True",
  };
}

/** Of a location: `component` is bsl or vsl. */
export function locationLabels(name: string, component: "bsl" | "vsl"): Record<string, string> {
  return {
    [labels.appName]: "oadp-operator-velero",
    [labels.appInstance]: labelValue(name),
    [labels.appManagedBy]: oadpOperator,
    [labels.appComponent]: component,
    [labels.oadp]: "True",
  };
}

export function configLabels(
  application: DataProtectionApplication,
  component: string,
): Record<string, string> {
  return {
    [labels.appInstance]: labelValue(nameOf(application)),
    [labels.appManagedBy]: oadpOperator,
    [labels.appComponent]: component,
    [labels.oadp]: "True",
  };
}
