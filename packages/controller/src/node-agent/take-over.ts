/**
 * DataUploads and DataDownloads that name no data mover, or `velero`, are Velero's own, and so are all PodVolumeBackups and
 * PodVolumeRestores. Ours may work on them only where no node agent of Velero's would work on the same objects.
 * Proof: test/node-agent/take-over.test.ts.
 * @module
 */
import { ConflictError } from "@dm/core";
import { daemonSets } from "@dm/crds";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";

export interface TakeOverOptions extends KubeCallOptions {
  readonly namespace: string;
  /** Images of this program. A DaemonSet with any other is somebody else's node agent. */
  readonly ownImages: ReadonlySet<string>;
}

const names = ["node-agent", "node-agent-windows"];
/** Of any install: Velero's own manifests, its chart and OADP all give their pods these labels. */
const veleroLabels = { role: "node-agent", component: "velero" } as const;

/**
 * Run before anything is taken over.
 * @throws {ConflictError} `DM_VELERO_NODE_AGENT`: with it beside us, two programs would move the same volumes
 */
export async function refuseBesideVelero(
  client: KubeClient,
  { namespace, ownImages, signal }: TakeOverOptions,
): Promise<void> {
  const { items } = await client.list(daemonSets, { namespace, signal });
  for (const { metadata, spec } of items) {
    const { template } = spec;
    const labels = { ...metadata.labels, ...template.metadata?.labels };
    const isNodeAgent =
      names.includes(metadata.name ?? "") ||
      labels["role"] === veleroLabels.role ||
      labels["component"] === veleroLabels.component;
    const images = template.spec.containers.map(({ image = "" }) => image);
    const foreign = images.find((image) => !ownImages.has(image));
    if (!isNodeAgent || foreign === undefined) continue;
    throw new ConflictError(
      "DM_VELERO_NODE_AGENT",
      `cannot take over data movers "" and "velero", or volumes of pods: DaemonSet ${namespace}/${metadata.name} (image ${foreign}) works on them. Remove it, or leave them to it and set spec.datamover to dm`,
      { namespace, daemonSet: metadata.name, image: foreign },
    );
  }
}
