/**
 * Whether the directory that the node agent has mounted is the kubelet's directory of pods: with another one no volume would be found,
 * backup by backup. Looked at once, at the start.
 * Proof: test/node-agent/check-host-pods.test.ts.
 * @module
 */
import { readdir } from "node:fs/promises";
import { AccessError, FormatError } from "@dm/core";
import { pods } from "@dm/crds";
import { hostPodsProblem, hostPodsRoot, kubeletPodUid } from "../expose/host-path.ts";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";

export interface CheckHostPodsOptions extends KubeCallOptions {
  readonly node: string;
  /** `/host_pods` by default. */
  readonly root?: string | undefined;
}

/**
 * @throws {AccessError} `DM_HOST_PODS_UNREADABLE`
 * @throws {FormatError} `DM_HOST_PODS_MISMATCH` when a pod that runs on the node has no directory there
 */
export async function checkHostPods(
  client: Pick<KubeClient, "list">,
  { node, root = hostPodsRoot, ...options }: CheckHostPodsOptions,
): Promise<void> {
  const fieldSelector = `spec.nodeName=${node}`;
  // First the pods: one that comes in between is not missed.
  const { items } = await client.list(pods, { ...options, fieldSelector });
  const running = items.filter(({ status }) => status?.phase === "Running").map(kubeletPodUid);
  const directories = await readdir(root).catch((cause: unknown) => {
    const reason = (cause as NodeJS.ErrnoException).code ?? "";
    throw new AccessError(
      "DM_HOST_PODS_UNREADABLE",
      `the kubelet's directory of pods cannot be read at ${root} (${reason}): volumes of pods cannot be backed up by their files`,
      { root },
      { cause },
    );
  });
  const problem = hostPodsProblem(running, directories);
  if (problem !== undefined) throw new FormatError("DM_HOST_PODS_MISMATCH", problem, { root });
}
