/**
 * Where a pod's volume lies on its node, seen through the mount of the kubelet's directory of pods: how Velero 1.12 to 1.14 spell
 * `status.path`, and how volumes of running pods are backed up. Paths are computed; one function looks.
 * Proof: test/expose/host-path.test.ts.
 * @module
 */
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { NotFoundError } from "@dm/core";

/** Where the node agent mounts the kubelet's directory of pods. */
export const hostPodsRoot = "/host_pods";
/** That directory on the node, unless the kubelet's root directory is set otherwise. */
export const kubeletPods = "/var/lib/kubelet/pods";

const mirrorAnnotation = "kubernetes.io/config.mirror";
const migratedAnnotation = "pv.kubernetes.io/migrated-to";

/** A digest that the kubelet makes of a manifest, or the uid that stands in the manifest, as OpenShift's do. Never another path. */
const staticPodUid = /^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/;

/** The uid under which the kubelet keeps the pod: that of a static pod is in the annotation of its mirror. */
export function kubeletPodUid(pod: {
  readonly metadata: {
    readonly uid?: string | undefined;
    readonly annotations?: Readonly<Record<string, string>> | undefined;
  };
}): string {
  const mirrored = pod.metadata.annotations?.[mirrorAnnotation] ?? "";
  return staticPodUid.test(mirrored) ? mirrored : (pod.metadata.uid ?? "");
}

/** What decides the directory: a claim's volume, or a volume that stands in the pod's specification. */
export interface PodVolumeSource {
  /** The volume's name in the pod. */
  readonly volumeName: string;
  readonly volumeMode: "Filesystem" | "Block";
  /** Whether the pod itself names a CSI driver for it (an ephemeral inline volume). */
  readonly inlineCsi?: boolean | undefined;
  /** The persistent volume that the claim is bound to. */
  readonly persistentVolume?:
    | {
        readonly name: string;
        readonly csi?: boolean | undefined;
        readonly annotations?: Readonly<Record<string, string>> | undefined;
      }
    | undefined;
}

/** The pieces of `<root>/<pod uid>/<kind>/<any plugin>/<directory>[/mount]`. */
export interface HostPathPattern {
  readonly kind: "volumes" | "volumeDevices";
  readonly directory: string;
  readonly mount: boolean;
}

export function hostPathPattern(source: PodVolumeSource): HostPathPattern {
  const block = source.volumeMode === "Block";
  const kind = block ? "volumeDevices" : "volumes";
  const pv = source.persistentVolume;
  if (pv === undefined)
    return { kind, directory: source.volumeName, mount: !block && source.inlineCsi === true };
  const csi = pv.csi === true || pv.annotations?.[migratedAnnotation] !== undefined;
  return { kind, directory: pv.name, mount: !block && csi };
}

/** As people write it: `/host_pods/<uid>/volumes/<plugin>/pvc-1/mount`. */
export function hostPathGlob(
  podUid: string,
  pattern: HostPathPattern,
  root = hostPodsRoot,
): string {
  const tail = pattern.mount ? "/mount" : "";
  return `${root}/${podUid}/${pattern.kind}/*/${pattern.directory}${tail}`;
}

/**
 * The one path that the pattern names on this node.
 * @throws {NotFoundError} `DM_HOST_PATH_NOT_FOUND` when none or several match.
 */
export async function findHostPath(
  podUid: string,
  pattern: HostPathPattern,
  root: string = hostPodsRoot,
): Promise<string> {
  const base = join(root, podUid, pattern.kind);
  const found: string[] = [];
  for (const plugin of await namesIn(base)) {
    const inner = join(base, plugin);
    if (!(await namesIn(inner)).includes(pattern.directory)) continue;
    const path = join(inner, pattern.directory);
    if (!pattern.mount) found.push(path);
    else if ((await namesIn(path)).includes("mount")) found.push(join(path, "mount"));
  }
  const [path] = found;
  if (path !== undefined && found.length === 1) return path;
  const glob = hostPathGlob(podUid, pattern, root);
  throw new NotFoundError(
    "DM_HOST_PATH_NOT_FOUND",
    `expected one matching path: ${glob}, got ${found.length}`,
    { glob, count: found.length },
  );
}

/** The directory of a pod's volume, as a path of the node. */
export type FindHostPath = (podUid: string, pattern: HostPathPattern) => Promise<string>;

/** @param path on the node of what is mounted at `root` */
export function hostPods(root: string = hostPodsRoot, path: string = kubeletPods): FindHostPath {
  return async (podUid, pattern) => {
    const found = await findHostPath(podUid, pattern, root);
    return join(path, relative(root, found));
  };
}

/** What is wrong with the mount when a running pod of this node has no directory in it. */
export function hostPodsProblem(
  runningPodUids: readonly string[],
  directories: readonly string[],
): string | undefined {
  const present = new Set(directories);
  if (runningPodUids.every((uid) => present.has(uid))) return undefined;
  return "unexpected directory structure for host-pods volume, ensure that the host-pods volume corresponds to the pods subdirectory of the kubelet root directory";
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}
