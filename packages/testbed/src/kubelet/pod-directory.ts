/**
 * Where a node keeps what belongs to a pod: the places of a real kubelet, under the node's own root.
 * Proof: test/kubelet/volumes.test.ts.
 * @module
 */
import { join } from "node:path";
import type { StoredObject } from "../kube-object.ts";

export interface PodDirectory {
  readonly root: string;
  readonly logs: string;
  /** A volume that the kubelet itself fills; `plugin` is `secret`, `configmap`, `empty-dir`, `downward-api`, `projected`. */
  volume(plugin: string, name: string): string;
  /** A bound volume with files. */
  mount(volumeName: string): string;
  /** A bound volume without a file system. */
  device(volumeName: string): string;
  /** What else belongs to one container: its working directory and termination messages. */
  container(name: string): string;
  log(container: string, attempt: number): string;
  terminationMessage(container: string, attempt: number): string;
}

export function podsDirectory(nodeRoot: string): string {
  return join(nodeRoot, "var/lib/kubelet/pods");
}

export function podDirectory(nodeRoot: string, pod: StoredObject): PodDirectory {
  const { uid, namespace = "", name } = pod.metadata;
  const root = join(podsDirectory(nodeRoot), uid);
  const logs = join(nodeRoot, "var/log/pods", `${namespace}_${name}_${uid}`);
  const container = (one: string): string => join(root, "containers", one);
  return {
    root,
    logs,
    volume: (plugin, volume) => join(root, "volumes", `kubernetes.io~${plugin}`, volume),
    mount: (volumeName) => join(root, "volumes/kubernetes.io~csi", volumeName, "mount"),
    device: (volumeName) => join(root, "volumeDevices/kubernetes.io~csi", volumeName),
    container,
    log: (one, attempt) => join(logs, one, `${attempt}.log`),
    terminationMessage: (one, attempt) => join(container(one), `termination-log.${attempt}`),
  };
}
