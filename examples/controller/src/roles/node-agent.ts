/**
 * The node agent: on every node, the controllers of DataUploads and DataDownloads, and where it sees the kubelet's pods those of
 * PodVolumeBackups and PodVolumeRestores.
 * @module
 */
import {
  addNodeAgent,
  checkHostPods,
  hostingTemplateOf,
  readNodeAgentConfig,
  refuseBesideVelero,
} from "@dm/controller";
import {
  createEventRecorder,
  createManager,
  nodeKubeClient,
  stopSignal,
} from "@dm/controller/runtime";
import { daemonSets, labels, nodes } from "@dm/crds";
import type { RoleFlags } from "./common-flags.ts";
import { endpointsOf, fromEnvironment, loggerOf } from "./process.ts";

export interface NodeAgentFlags extends RoleFlags {
  readonly node?: string | undefined;
  readonly daemonSet: string;
  readonly configMap?: string | undefined;
  readonly moverServiceAccount: string;
  /** Where the kubelet's directory of pods is mounted; without it there are no backups of volumes by their files. */
  readonly hostPodsRoot?: string | undefined;
  readonly prepareTimeoutMs?: number | undefined;
  /** As Go writes durations. */
  readonly resourceTimeout?: string | undefined;
  readonly takeOverVelero: boolean;
}

export async function runNodeAgent(flags: NodeAgentFlags): Promise<void> {
  const logger = loggerOf(flags);
  const namespace = flags.namespace ?? fromEnvironment("POD_NAMESPACE");
  const node = flags.node ?? fromEnvironment("NODE_NAME");
  const signal = stopSignal();
  const client = nodeKubeClient({ userAgent: "dm-node-agent" });
  try {
    const own = await client.get(daemonSets, { namespace, name: flags.daemonSet }, { signal });
    if (!own) throw new Error(`there is no DaemonSet ${namespace}/${flags.daemonSet}`);
    const template = hostingTemplateOf(own);
    // Backups of pods' volumes name no data mover: Velero's node agent would carry out the same ones.
    const podVolumes = flags.hostPodsRoot !== undefined;
    if (flags.takeOverVelero || podVolumes)
      await refuseBesideVelero(client, {
        namespace,
        ownImages: new Set([template.image]),
        signal,
      });
    if (podVolumes) await checkHostPods(client, { node, root: flags.hostPodsRoot, signal });
    const config = flags.configMap
      ? await readNodeAgentConfig(client, { namespace, name: flags.configMap }, { signal })
      : undefined;
    const manager = createManager({ client, logger, endpoints: endpointsOf(flags) });
    addNodeAgent(manager, {
      client,
      recorder: createEventRecorder(client, { component: "dm-node-agent", host: node, logger }),
      namespace,
      node,
      nodeLabels: (await client.get(nodes, { name: node }, { signal }))?.metadata.labels,
      // A mover reads a volume and a store; it has no business with claims and pods.
      template: { ...template, serviceAccountName: flags.moverServiceAccount },
      agentSelector: `${labels.appName}=${flags.daemonSet}`,
      config,
      resourceTimeout: flags.resourceTimeout,
      hostPods: flags.hostPodsRoot === undefined ? undefined : { root: flags.hostPodsRoot },
      settings: {
        podVolumes,
        takeOverVelero: flags.takeOverVelero,
        ...(flags.prepareTimeoutMs ? { prepareTimeoutMs: flags.prepareTimeoutMs } : {}),
      },
      podLog: (key, limits) => client.podLog(key, limits),
      logger,
    });
    await manager.run(signal);
  } finally {
    client.close();
  }
}
