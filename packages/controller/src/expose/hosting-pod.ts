/**
 * The pod that holds a volume for the data path and runs the mover: a pure function of what was found.
 * Proof: test/expose/hosting-pod.test.ts.
 * @module
 */
import {
  type Container,
  exposerPodGroups,
  labelValue,
  type NodeSelectorTerm,
  type OwnerReference,
  type Pod,
  type PodSecurityContext,
  type PodSpec,
  type ResourceRequirements,
  type Volume,
  type VolumeMode,
  type VolumeMount,
  labels as wellKnown,
} from "@dm/crds";
import { type DataPathKind, isBackup } from "../mover/data-path-kind.ts";
import type { ExposerSettings, PodResources } from "./exposer-settings.ts";
import type { HostingTemplate } from "./hosting-template.ts";
import { moverArgs } from "./mover-command.ts";
import { type HostingOS, loadAffinityFor, nodeSelectorTerms } from "./node-affinity.ts";

export interface HostingPodInput {
  readonly kind: DataPathKind;
  readonly namespace: string;
  /** The object that asks for the data path; the pod, its container and its volume are named after it. */
  readonly owner: OwnerReference;
  readonly template: HostingTemplate;
  readonly settings: ExposerSettings;
  readonly claim?: HostedClaim | undefined;
  /** In the claim's place: a volume that another pod has mounted, as a directory of that pod's node. */
  readonly hosted?: { readonly path: string; readonly node: string } | undefined;

  /** From where the volume can be reached; empty when from everywhere, or not known here. */
  readonly topology: readonly NodeSelectorTerm[];
  /** The one node that may run it (its label `kubernetes.io/hostname`); the load affinity is then left out. */
  readonly hostname?: string | undefined;
  readonly avoidHostnames?: readonly string[] | undefined;
  readonly nodeOS: HostingOS;
  /** As Go writes durations. */
  readonly resourceTimeout: string;
  readonly cacheClaim?: string | undefined;
}

export interface HostedClaim {
  readonly name: string;
  readonly volumeMode: VolumeMode;
  readonly storageClass?: string | undefined;
  readonly readOnly?: boolean | undefined;
  /** Ask for the SELinux type `spc_t`, with which no file is relabelled. Counts only with `readOnly`. */
  readonly noRelabeling?: boolean | undefined;
}

const podLabels: Readonly<Record<DataPathKind, string>> = {
  DataUpload: wellKnown.dataUpload,
  DataDownload: wellKnown.dataDownload,
  PodVolumeBackup: wellKnown.podVolumeBackup,
  PodVolumeRestore: wellKnown.podVolumeRestore,
};
/** The last is ours: Velero has no group for those. */
const podGroups: Readonly<Record<DataPathKind, string>> = {
  DataUpload: exposerPodGroups.snapshot,
  DataDownload: exposerPodGroups.genericRestore,
  PodVolumeBackup: "pod-volume-exposer",
  PodVolumeRestore: "pod-volume-exposer",
};

const terminationLog = "/dev/termination-log";
const cachePath = "/cache";
const cacheVolume = "cache";

/** What some clouds need on a pod so that it gets credentials or a node, taken over from the node agent. */
const passedLabels = ["azure.workload.identity/use"];
const passedAnnotations = ["iam.amazonaws.com/role"];
const passedTolerations = ["kubernetes.azure.com/scalesetpriority", "CriticalAddonsOnly"];

/**
 * Of root's rights a mover keeps what its work takes, all from the runtimes' usual set. A backup reads files of every owner and
 * mode: DAC_OVERRIDE (DAC_READ_SEARCH would do, but it opens files by handle too, past the mount). A restore also gives files
 * their owners (CHOWN), modes and times of files that are no longer its own (FOWNER), and set-group-id bits (FSETID). A block
 * device belongs to root: nothing.
 */
const capabilities = {
  backup: ["DAC_OVERRIDE"],
  restore: ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"],
} as const;

const windowsTolerations = ["NoSchedule", "NoExecute"].map((effect) => ({
  key: "os",
  operator: "Equal",
  value: "windows",
  effect,
}));

/** Where the hosting pod has the volume. */
export function hostingPath(ownerUid: string): string {
  return `/${ownerUid}`;
}

/** @example await client.create(pods, hostingPod(input)) */
export function hostingPod(input: HostingPodInput): Pod {
  const { kind, owner, template, settings, nodeOS } = input;
  const labels = {
    ...(settings.podLabels ?? picked(template.labels, passedLabels)),
    [podLabels[kind]]: labelValue(owner.name),
    [wellKnown.exposerPodGroup]: podGroups[kind],
  };
  const annotations = settings.podAnnotations ?? picked(template.annotations, passedAnnotations);
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: owner.name,
      namespace: input.namespace,
      labels,
      ...(Object.keys(annotations).length > 0 && { annotations }),
      ownerReferences: [owner],
    },
    spec: {
      restartPolicy: "Never",
      // Velero gives none. A drained node leaves a backup the time for a checkpoint, from which the next attempt goes on.
      terminationGracePeriodSeconds: 20,
      ...(template.serviceAccountName && { serviceAccountName: template.serviceAccountName }),
      ...(template.imagePullSecrets.length > 0 && { imagePullSecrets: template.imagePullSecrets }),
      ...(template.dnsPolicy && { dnsPolicy: template.dnsPolicy }),
      ...(template.dnsConfig && { dnsConfig: template.dnsConfig }),
      ...(settings.priorityClassName && { priorityClassName: settings.priorityClassName }),
      os: { name: nodeOS },
      ...placeOf(input),
      securityContext: podSecurity(input),
      containers: [container(input)],
      volumes: [
        ...template.volumes,
        hostedVolume(input),
        ...(input.cacheClaim === undefined
          ? []
          : [{ name: cacheVolume, persistentVolumeClaim: { claimName: input.cacheClaim } }]),
      ],
    },
  };
}

/** Where it runs: a scheduler's choice, or the one node that has the volume. */
function placeOf(input: HostingPodInput): Partial<PodSpec> {
  const { kind, template, settings, claim, hosted, nodeOS } = input;
  // The node agent is there, so its tolerations suffice.
  if (hosted) return { nodeName: hosted.node, tolerations: [...template.tolerations] };
  return {
    ...(input.hostname && { nodeSelector: { [wellKnown.hostname]: input.hostname } }),
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: nodeSelectorTerms({
            topology: input.topology,
            selector:
              input.hostname === undefined
                ? loadAffinityFor(settings.loadAffinity, claim?.storageClass)?.nodeSelector
                : undefined,
            nodeOS,
            avoidHostnames: input.avoidHostnames,
          }),
        },
      },
    },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: wellKnown.hostname,
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: { matchLabels: { [wellKnown.exposerPodGroup]: podGroups[kind] } },
      },
    ],
    tolerations: [
      ...template.tolerations.filter(({ key }) => passedTolerations.includes(String(key))),
      ...(nodeOS === "windows" ? windowsTolerations : []),
    ],
  };
}

function hostedVolume({ owner, claim, hosted }: HostingPodInput): Volume {
  const name = owner.uid;
  // A directory that is gone must not be made again, empty.
  if (hosted) return { name, hostPath: { path: hosted.path, type: "Directory" } };
  const claimName = claim?.name ?? owner.name;
  return {
    name,
    persistentVolumeClaim: { claimName, ...(claim?.readOnly && { readOnly: true }) },
  };
}

function volumeMount({ kind, owner, claim, hosted }: HostingPodInput): VolumeMount {
  const mount = { name: owner.uid, mountPath: hostingPath(owner.uid) };
  if (hosted === undefined) return { ...mount, ...(claim?.readOnly && { readOnly: true }) };
  // What is mounted below it later, on the node, is seen here too.
  const mountPropagation = "HostToContainer";
  return { ...mount, mountPropagation, ...(isBackup(kind) && { readOnly: true }) };
}

function container(input: HostingPodInput): Container {
  const { kind, owner, template, claim, hosted, nodeOS } = input;
  const path = hostingPath(owner.uid);
  const volumeMode = claim?.volumeMode ?? "Filesystem";
  const args = moverArgs({
    kind,
    name: owner.name,
    volumePath: path,
    volumeMode,
    terminationLog,
    resourceTimeout: input.resourceTimeout,
    cachePath: input.cacheClaim === undefined ? undefined : cachePath,
  });
  const resources = podResources(input.settings.podResources);
  const privileged = hosted !== undefined && input.settings.privilegedFsBackup === true;
  return {
    name: owner.uid,
    image: template.image,
    // The node agent runs on every node that may be chosen, so its image is there; nothing is pulled for each volume.
    imagePullPolicy: "Never",
    ...(template.program.length > 0 && { command: [...template.program] }),
    args: [...args, ...template.logArgs],
    env: template.env,
    envFrom: template.envFrom,
    terminationMessagePath: terminationLog,
    terminationMessagePolicy: "File",
    volumeMounts: [
      ...template.volumeMounts,
      ...(volumeMode === "Block" ? [] : [volumeMount(input)]),
      ...(input.cacheClaim === undefined ? [] : [{ name: cacheVolume, mountPath: cachePath }]),
    ],
    ...(volumeMode === "Block" && {
      volumeDevices: [{ name: owner.uid, devicePath: path }],
    }),
    ...(resources && { resources }),
    ...(nodeOS === "linux" && {
      securityContext: privileged
        ? { privileged, ...rootOf(template) }
        : {
            privileged: false,
            allowPrivilegeEscalation: false,
            ...rootOf(template),
            capabilities: {
              drop: ["ALL"],
              ...(volumeMode === "Filesystem" && {
                add: [...capabilities[isBackup(kind) ? "backup" : "restore"]],
              }),
            },
            seccompProfile: { type: "RuntimeDefault" },
          },
    }),
  };
}

const rootOf = ({ readOnlyRootFilesystem }: HostingTemplate) =>
  readOnlyRootFilesystem ? { readOnlyRootFilesystem } : {};

function podSecurity({ nodeOS, claim, hosted }: HostingPodInput): PodSecurityContext {
  if (nodeOS === "windows") return { windowsOptions: { runAsUserName: "ContainerAdministrator" } };
  // The labels of another pod's volume are that pod's: no type but this one may read them, and none may change them.
  const unlabelled =
    hosted !== undefined || (claim?.readOnly === true && claim.noRelabeling === true);
  return { runAsUser: 0, ...(unlabelled && { seLinuxOptions: { type: "spc_t" } }) };
}

/** Undefined when nothing is set. */
export function podResources(wanted: PodResources | undefined): ResourceRequirements | undefined {
  const requests = withoutAbsent({
    cpu: wanted?.cpuRequest,
    memory: wanted?.memoryRequest,
    "ephemeral-storage": wanted?.ephemeralStorageRequest,
  });
  const limits = withoutAbsent({
    cpu: wanted?.cpuLimit,
    memory: wanted?.memoryLimit,
    "ephemeral-storage": wanted?.ephemeralStorageLimit,
  });
  if (requests === undefined && limits === undefined) return undefined;
  return { ...(requests && { requests }), ...(limits && { limits }) };
}

/** "0" stands for "not set" in the configuration, as in Velero. */
function withoutAbsent(
  quantities: Readonly<Record<string, string | undefined>>,
): Record<string, string> | undefined {
  const present = Object.entries(quantities).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !["", "0"].includes(entry[1]),
  );
  return present.length === 0 ? undefined : Object.fromEntries(present);
}

function picked(
  from: Readonly<Record<string, string>>,
  keys: readonly string[],
): Record<string, string> {
  return Object.fromEntries(
    keys.flatMap((key) => (from[key] === undefined ? [] : [[key, from[key]]])),
  );
}
