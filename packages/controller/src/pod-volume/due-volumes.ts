/**
 * Which volumes of a pod a Backup takes by their files: those that the pod opts in, or all but those that it opts out, or those
 * that a resource policy says; with a reason for each one that is due and cannot be taken. The reasons are Velero's texts, which
 * people look for. Pure.
 * Proof: test/pod-volume/due-volumes.test.ts.
 * @module
 */
import {
  annotations,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type Volume,
} from "@dm/crds";

/** A claim that a volume of the pod names, and what it is bound to. */
export interface BoundClaim {
  readonly claim: PersistentVolumeClaim;
  readonly volume?: PersistentVolume | undefined;
}

export interface DueVolumesOptions {
  /** All volumes but those opted out (`true`), or only those opted in. */
  readonly defaultVolumesToFsBackup: boolean;
  /** What a resource policy says about a volume: `fs-backup` takes it, any other action leaves it; undefined: no rule fits. */
  readonly actionOf?:
    | ((volume: Volume, bound: BoundClaim | undefined) => string | undefined)
    | undefined;
}

export interface DueVolume {
  readonly volume: Volume;
  readonly claim?: PersistentVolumeClaim | undefined;
}

export interface DueVolumes {
  readonly due: readonly DueVolume[];
  /** Names of volumes that the pod's annotation leaves out, although all others are due. */
  readonly optedOut: readonly string[];
  readonly skipped: readonly { readonly volume: string; readonly reason: string }[];
}

/**
 * @param claims of the pod's namespace, by name; a volume whose claim is not among them is skipped with that reason
 * @example dueVolumes(pod, new Map([["data", { claim }]]), { defaultVolumesToFsBackup: true }).due[0]?.volume.name // "data"
 */
export function dueVolumes(
  pod: Pod,
  claims: ReadonlyMap<string, BoundClaim>,
  options: DueVolumesOptions,
): DueVolumes {
  const due: DueVolume[] = [];
  const optedOut: string[] = [];
  const skipped: { volume: string; reason: string }[] = [];
  const excluded = namesIn(pod, annotations.backupVolumesExcludes);
  for (const volume of pod.spec.volumes ?? []) {
    if (isClusterState(volume)) continue;
    const claimName = volume.persistentVolumeClaim?.claimName;
    const bound = claimName === undefined ? undefined : claims.get(claimName);
    const action = options.actionOf?.(volume, bound);
    if (action === undefined && options.defaultVolumesToFsBackup && excluded.has(volume.name))
      optedOut.push(volume.name);
    if (!isWanted(pod, volume, action, options)) continue;
    const reason = obstacle(pod, volume, bound);
    if (reason === undefined) due.push({ volume, ...(bound && { claim: bound.claim }) });
    else skipped.push({ volume: volume.name, reason });
  }
  return { due, optedOut, skipped };
}

/** What comes from objects of the cluster, which are backed up themselves, or from the node, where the kubelet mounts nothing. */
function isClusterState({ name, ...source }: Volume): boolean {
  return (
    source.hostPath !== undefined ||
    source.secret !== undefined ||
    source.configMap !== undefined ||
    source.projected !== undefined ||
    source.downwardAPI !== undefined ||
    name.startsWith("default-token")
  );
}

function isWanted(
  pod: Pod,
  { name }: Volume,
  action: string | undefined,
  { defaultVolumesToFsBackup }: DueVolumesOptions,
): boolean {
  if (action !== undefined) return action === "fs-backup";
  return defaultVolumesToFsBackup
    ? !namesIn(pod, annotations.backupVolumesExcludes).has(name)
    : namesIn(pod, annotations.backupVolumes).has(name);
}

function namesIn({ metadata }: Pod, annotation: string): ReadonlySet<string> {
  const text = metadata.annotations?.[annotation] ?? "";
  return new Set(text.split(",").filter((name) => name !== ""));
}

/** Why the files of a volume that is due cannot be reached. */
function obstacle(pod: Pod, volume: Volume, bound: BoundClaim | undefined): string | undefined {
  const { name } = volume;
  const { metadata, spec } = pod;
  const podName = `${metadata.namespace}/${metadata.name}`;
  const trouble = notRunning(pod);
  if (trouble !== undefined)
    return `encountered a problem with backing up the PVC of pod ${podName}: ${trouble}`;
  const claimName = volume.persistentVolumeClaim?.claimName;
  if (claimName !== undefined && bound === undefined)
    return `error getting persistent volume claim for volume: persistentvolumeclaims "${claimName}" not found`;
  if (bound?.volume?.spec.hostPath !== undefined)
    return `Volume ${name} in pod ${podName} is a hostPath volume which is not supported for pod volume backup, skipping`;
  const uses = (mounts: readonly { name: string }[] | undefined): boolean =>
    mounts?.some((mount) => mount.name === name) ?? false;
  // Of a disk in use there is no whole copy but a snapshot. Velero would take its file; what it had in the end nobody knows.
  if (claimName !== undefined && metadata.labels?.["kubevirt.io"] === "virt-launcher")
    return `volume ${name} declared in pod ${podName} is a disk of a virtual machine. Disks of virtual machines are not supported for fs backup, skipping`;
  if (spec.containers.some(({ volumeDevices }) => uses(volumeDevices)))
    return `volume ${name} declared in pod ${podName} is a block volume. Block volumes are not supported for fs backup, skipping`;
  // The kubelet makes no directory for it.
  if (!spec.containers.some(({ volumeMounts }) => uses(volumeMounts)))
    return `volume ${name} is declared in pod ${podName} but not mounted by any container, skipping`;
  return undefined;
}

function notRunning({ metadata, spec, status }: Pod): string | undefined {
  const phase = status?.phase ?? "";
  const which = `name=${metadata.name}, namespace=${metadata.namespace}, phase=${phase}`;
  if (!spec.nodeName) return `pod is not scheduled, ${which}`;
  if (phase !== "Running") return `pod is not in the expected status, ${which}: pod is not running`;
  return metadata.deletionTimestamp === undefined ? undefined : `pod is being terminated, ${which}`;
}
