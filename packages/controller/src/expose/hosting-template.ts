/**
 * What hosting pods take over from the node agent's own pods: its image is on every node, its account may do what a mover needs,
 * its mounts hold the credentials.
 * Proof: test/expose/hosting-pod.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import type {
  DaemonSet,
  EnvFromSource,
  EnvVar,
  PodSpec,
  Toleration,
  Volume,
  VolumeMount,
} from "@dm/crds";

/** Parts of a pod template as they stand there. */
export interface HostingTemplate {
  readonly image: string;
  /** The program without its role: what stands before `mover` in a hosting pod. Empty: the image's entry point. */
  readonly program: readonly string[];
  /** Flags about logging, which movers take as well. */
  readonly logArgs: readonly string[];
  readonly serviceAccountName?: string | undefined;
  readonly imagePullSecrets: NonNullable<PodSpec["imagePullSecrets"]>;
  readonly env: EnvVar[];
  readonly envFrom: EnvFromSource[];
  readonly volumes: Volume[];
  readonly volumeMounts: VolumeMount[];
  readonly tolerations: Toleration[];
  readonly dnsPolicy?: string | undefined;
  readonly dnsConfig?: object | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Labels that the node agent's pods have, and no others. */
  readonly agentLabels?: Readonly<Record<string, string>> | undefined;
  /** What the node agent does without writing to its image, a mover does too: it is the same program with the same mounts. */
  readonly readOnlyRootFilesystem?: boolean | undefined;
  /** On the node, what the node agent has as its volume `host-pods`: the kubelet's directory of pods. */
  readonly hostPodsPath?: string | undefined;
}

/** The role of the node agent on its command line; what follows is not for movers. */
const role = "node-agent";

/**
 * The node's own directories, which only the node agent needs: a mover runs as root and sees one volume, so it gets neither.
 * Velero copies them.
 */
const hostPodsVolume = "host-pods";
const hostVolumes: ReadonlySet<string> = new Set([hostPodsVolume, "host-plugins"]);

/**
 * @throws {FormatError} `DM_NODE_AGENT_TEMPLATE` when the DaemonSet has no container with an image.
 */
export function hostingTemplateOf(daemonSet: DaemonSet): HostingTemplate {
  const { metadata, spec } = daemonSet.spec.template;
  const container =
    spec.containers.find((candidate) => candidate.name === role) ?? spec.containers[0];
  if (container?.image === undefined) {
    const name = daemonSet.metadata.name ?? "";
    throw new FormatError(
      "DM_NODE_AGENT_TEMPLATE",
      `the DaemonSet ${name} has no container with an image: hosting pods are made after it`,
      { daemonSet: name },
    );
  }
  return {
    image: container.image,
    program: untilRole(container.command ?? []),
    logArgs: [...(container.command ?? []), ...(container.args ?? [])].filter((arg) =>
      /^--log-(level|format)=/.test(arg),
    ),
    serviceAccountName: spec.serviceAccountName,
    imagePullSecrets: spec.imagePullSecrets ?? [],
    env: container.env ?? [],
    envFrom: container.envFrom ?? [],
    volumes: (spec.volumes ?? []).filter(({ name }) => !hostVolumes.has(name)),
    volumeMounts: (container.volumeMounts ?? []).filter(({ name }) => !hostVolumes.has(name)),
    tolerations: spec.tolerations ?? [],
    dnsPolicy: spec.dnsPolicy,
    dnsConfig: spec.dnsConfig,
    labels: metadata?.labels ?? {},
    annotations: metadata?.annotations ?? {},
    agentLabels: daemonSet.spec.selector.matchLabels,
    readOnlyRootFilesystem: container.securityContext?.readOnlyRootFilesystem,
    hostPodsPath: spec.volumes?.find(({ name }) => name === hostPodsVolume)?.hostPath?.path,
  };
}

function untilRole(command: readonly string[]): readonly string[] {
  const end = command.indexOf(role);
  return end === -1 ? command : command.slice(0, end);
}
