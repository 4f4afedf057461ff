/**
 * Which operating system a volume needs. It is asked only where the node agent runs on Windows nodes too; everything else is Linux.
 * Proof: test/expose/node-os.test.ts.
 * @module
 */
import { UnsupportedError } from "@dm/core";
import {
  annotations,
  labels,
  nodes,
  type PersistentVolumeClaim,
  storageClasses,
  volumeAttachments,
} from "@dm/crds";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { volumeModeOf } from "./claims.ts";
import type { Exposure } from "./exposure.ts";
import type { HostingTemplate } from "./hosting-template.ts";
import type { HostingOS } from "./node-affinity.ts";

const fsType = "csi.storage.k8s.io/fstype";

/** By the node that has the source volume attached, else the one chosen for it, else its file system. */
export async function nodeOSOf(
  exposure: Exposure,
  volume: { readonly source: PersistentVolumeClaim | undefined; readonly storageClass: string },
  options: KubeCallOptions,
): Promise<HostingOS> {
  const { client, windowsTemplate } = exposure.context;
  const { source, storageClass } = volume;
  if (windowsTemplate === undefined || source === undefined || volumeModeOf(source) === "Block")
    return "linux";
  const { items } = await client.list(volumeAttachments, options);
  const attached = items.find(
    ({ spec }) => spec.source.persistentVolumeName === source.spec.volumeName,
  );
  const nodeName =
    attached?.spec.nodeName ?? source.metadata.annotations?.[annotations.selectedNode];
  if (nodeName !== undefined) {
    const node = await client.get(nodes, { name: nodeName }, options);
    const os = node?.metadata.labels?.[labels.nodeOS];
    if (os !== undefined) return os === "windows" ? "windows" : "linux";
  }
  const found = await client.get(storageClasses, { name: storageClass }, options);
  return found?.parameters?.[fsType]?.toLowerCase() === "ntfs" ? "windows" : "linux";
}

/** @throws {UnsupportedError} `DM_EXPOSE_NODE_OS` when no node agent runs there. */
export function templateFor(exposure: Exposure, nodeOS: HostingOS): HostingTemplate {
  const { template, windowsTemplate } = exposure.context;
  const found = nodeOS === "windows" ? windowsTemplate : template;
  if (found !== undefined) return found;
  throw new UnsupportedError(
    "DM_EXPOSE_NODE_OS",
    `no appropriate node to run ${exposure.owner.kind.toLowerCase()} ${exposure.key.namespace}/${exposure.key.name}: the volume needs ${nodeOS}, where no node agent runs`,
    { nodeOS },
  );
}
