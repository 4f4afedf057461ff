/**
 * Pods that do not start or do not live: images, places, nodes, node agents, rights.
 * Proof: test/why/known-problems.test.ts.
 * @module
 */
import type { KnownProblem } from "../known-problem.ts";
import {
  inRole,
  listAt,
  phaseText,
  type Seen,
  subjectOf,
  textAt,
  titleOf,
  transferKinds,
  valueAt,
} from "../seen.ts";

export const podProblems: readonly KnownProblem[] = [
  {
    id: "image-pull",
    title: "the image of a pod cannot be pulled",
    texts: [
      /is in pull image failed with reason/,
      /\b(ErrImagePull|ImagePullBackOff|ErrImageNeverPull|InvalidImageName|ImageInspectError)\b/,
      /Failed to pull image/,
    ],
    cause:
      "The image does not exist, the registry cannot be reached from the node, or it wants a login. Movers use the node agent's image and pull secrets.",
    remedy: [
      "kubectl -n <namespace> describe pod <pod> names the image and the registry's answer",
      "Correct the image of the node agent's DaemonSet (or unsupportedOverrides.veleroImageFqin), or add imagePullSecrets",
    ],
  },
  {
    id: "pod-unschedulable",
    title: "no node has a place for a pod",
    texts: [/nodes are available|condition PodScheduled is False|FailedScheduling/],
    cause:
      "Resources, taints, affinity (loadAffinity of the node agent's configuration) or the topology of the volume leave no node.",
    remedy: [
      "The message of the condition PodScheduled counts the nodes by reason",
      "Lower podResources or loadAffinity in the node agent's configuration, add nodes, or add tolerations to the DaemonSet",
    ],
  },
  {
    id: "quota-exceeded",
    title: "a quota or limit of the namespace does not allow the object",
    texts: [/exceeded quota|maximum \S+ usage per|minimum \S+ usage per/],
    cause:
      "A ResourceQuota or LimitRange of the operator's namespace refuses pods or claims of movers.",
    remedy: [
      "kubectl -n <namespace> describe resourcequota,limitrange",
      "Raise it, or lower podResources and the concurrency (loadConcurrency, prepareQueueLength)",
    ],
  },
  {
    id: "pod-security",
    title: "the cluster does not allow a pod of this kind",
    texts: [/violates PodSecurity|unable to validate against any security context constraint/],
    cause:
      "Movers run as root with few capabilities, file-system backup also with directories of the node: the namespace must allow it.",
    remedy: [
      "Label the operator's namespace pod-security.kubernetes.io/enforce: privileged",
      "On OpenShift apply the SecurityContextConstraints of the manifests",
    ],
  },
  {
    id: "rights-missing",
    title: "a service account lacks a right",
    texts: [/is forbidden: User|cannot (get|list|watch|create|update|patch|delete) resource/],
    codes: ["DM_KUBE_FORBIDDEN", "DM_KUBE_UNAUTHORIZED", "DM_KUBE_CONFIG"],
    cause: "The roles of the manifests are not applied, are of an older release, or were changed.",
    remedy: ["Apply the manifests of this release again; the message names account, verb and kind"],
  },
  {
    id: "api-unavailable",
    title: "the Kubernetes API did not answer as it should",
    texts: [/HTTP (429|5\d\d)|etcdserver: |connection refused|the server is currently unable/],
    codes: [
      "DM_KUBE_UNAVAILABLE",
      "DM_KUBE_EXPIRED",
      "DM_KUBE_CONFLICT",
      "DM_KUBE_ALREADY_EXISTS",
      "DM_KUBE_NOT_FOUND",
      "DM_KUBE_INVALID",
      "DM_LEASE_LOST",
      "DM_RECONCILE_TIMEOUT",
    ],
    cause:
      "The API server was away or overloaded, a kind is not served (CRDs are missing), or it refused an object. Controllers try again by themselves.",
    remedy: [
      "Wait; if it stays, look at the API server and at the logs of the server and node agents",
      "Apply the CRDs of this release when the message says that a kind is not there",
    ],
    isGeneral: true,
  },
  {
    id: "volume-not-mounted",
    title: "the volume of a pod cannot be attached or mounted",
    texts: [/\bFailed(Mount|AttachVolume|MapVolume)\b/],
    cause: "The CSI driver or the kubelet could not bring the volume to the node.",
    remedy: [
      "Look at the CSI driver's node plugin on that node, and at VolumeAttachments",
      "A class for restored or copied volumes is set by backupPVC in the node agent's configuration",
    ],
  },
  {
    id: "container-not-started",
    title: "a container does not start, or ends again and again",
    texts: [
      /\b(CreateContainerError|CreateContainerConfigError|RunContainerError|CrashLoopBackOff|FailedCreatePodSandBox)\b/,
    ],
    cause: "The container runtime says why in the message; often a Secret or ConfigMap is missing.",
    remedy: ["kubectl -n <namespace> describe pod <pod>, and its log with --previous"],
  },
  {
    id: "volume-full-relabel",
    title: "the volume is full and its file system (XFS) has no room for SELinux labels",
    texts: [/has no room for SELinux labels|relabel failed|lsetxattr.*no space left/i],
    codes: ["DM_EXPOSE_VOLUME_FULL"],
    cause:
      "The runtime labels every file of a mounted volume; XFS takes space for that, and the copy is as full as the volume.",
    remedy: [
      "Enlarge the volume, or use another file system such as ext4",
      "Or have it mounted read-only without relabelling: backupPVC with readOnly and spcNoRelabeling for its storage class in the node agent's configuration",
    ],
  },
  {
    id: "mover-killed",
    title: "the mover was killed",
    texts: [
      /OOMKilled|\bEvicted\b|the mover ended without a message/,
      /the hosting pod (was made again|that was made again)|hosting pod is made again/,
      /the hosting pod ended without its container|the hosting pod is (gone|on node )/,
    ],
    cause:
      "Its pod was ended from outside: out of memory, evicted, deleted, or with its node. It is started again three times.",
    remedy: [
      "Out of memory: give movers at least 512Mi (podResources in the node agent's configuration)",
      "Evicted: look at the node's memory and disk pressure",
    ],
  },
  {
    id: "mover-interrupted",
    title: "the mover was told to stop before it had ended",
    texts: [/data path is interrupted/],
    cause: "SIGTERM: a drain, an update, or a node that shuts down. What was moved is kept.",
    remedy: ["Run the backup or restore again; unchanged data is not moved twice"],
  },
  {
    id: "mover-result-invalid",
    title: "the mover's result cannot be read",
    texts: [/its message is no result of a/],
    codes: ["DM_MOVER_RESULT_INVALID"],
    cause: "Node agent and mover are of different releases, or somebody wrote the pod's message.",
    remedy: ["Use the same image for both, and run it again"],
  },
  {
    id: "node-lost",
    title: "a node, or the node agent on it, is away",
    texts: [
      /the node no longer reports about|the node agent on node \S+ is gone|no node is in charge/,
      /NodeNotReady|condition Ready is (False|Unknown)/,
    ],
    shows: (seen) =>
      inRole(seen, "node").flatMap((of) => {
        if (of.object === undefined) return [`${titleOf(of)} is not there`];
        const ready = listAt(of.object, "status", "conditions").find(
          (one) => textAt(one, "type") === "Ready",
        );
        return textAt(ready, "status") === "True" ? [] : [`${titleOf(of)} is not ready`];
      }),
    cause: "The node is down or cut off. After five minutes another agent takes over what it can.",
    remedy: [
      "Bring the node back, or delete its Node object",
      "Volumes of pods on that node cannot be read from elsewhere: back them up again",
    ],
  },
  {
    id: "no-node-agent",
    title: "no node agent runs where one is needed",
    texts: [
      /no node agent (is running in|runs)|node-agent is not running in node|no appropriate node to run/,
      /no expose result is available for the current node/,
    ],
    codes: ["DM_EXPOSE_NODE_OS"],
    shows: agentsMissing,
    cause:
      "The DaemonSet is not there, not enabled, has no pod on the node, or does not tolerate its taints.",
    remedy: [
      "kubectl -n <namespace> get daemonset,pods -o wide",
      "With OADP set spec.configuration.nodeAgent.enable: true; add tolerations and the node's operating system to its nodeSelector",
    ],
  },
  {
    id: "node-agent-settings",
    title: "the node agent's configuration or DaemonSet cannot be used",
    texts: [
      /error getting node agent configs from configMap|configMap \S+: (it has|its data)/,
      /hosting pods are made after it/,
    ],
    codes: [
      "DM_NODE_AGENT_CONFIG_NOT_FOUND",
      "DM_NODE_AGENT_CONFIG_INVALID",
      "DM_NODE_AGENT_TEMPLATE",
    ],
    cause:
      "The ConfigMap that its arguments name is missing or no JSON object, or no image is set.",
    remedy: ["Create or correct the ConfigMap; the message has its name and what is wrong"],
  },
  {
    id: "velero-beside",
    title: "Velero's own node agent runs beside this one",
    texts: [/cannot take over data movers/],
    codes: ["DM_VELERO_NODE_AGENT"],
    cause: "Both would move the same volumes.",
    remedy: ["Remove Velero's DaemonSet, or keep to spec.datamover: dm and switch pod volumes off"],
  },
  {
    id: "other-data-mover",
    title: "another data mover is asked for",
    shows: (seen, nowMs) => {
      const { kind, object } = subjectOf(seen);
      const mover = textAt(object, "spec", "datamover");
      const isNew = phaseText({ object }) === "New";
      const isOther = mover !== "dm" && valueAt(object, "spec") !== undefined;
      const createdMs = Date.parse(object?.metadata.creationTimestamp ?? "");
      // A node agent that takes it needs a moment.
      const isOld = nowMs - createdMs > 60_000;
      return (kind === "DataUpload" || kind === "DataDownload") && isNew && isOther && isOld
        ? [`spec.datamover is ${JSON.stringify(mover)}`]
        : [];
    },
    cause:
      'Node agents take objects of spec.datamover "dm", and those of "velero" and "" only with --take-over-velero.',
    remedy: [
      "Start the node agent with take-over, when no node agent of Velero's runs",
      "Or set spec.datamover: dm in the Backup",
    ],
    isGeneral: true,
  },
  {
    id: "server-not-running",
    title: "the server does not run",
    shows: (seen) => {
      const subject = subjectOf(seen);
      if (transferKinds.has(subject.kind) || subject.kind === "DataProtectionApplication")
        return [];
      if (
        subject.object === undefined ||
        seen.notRead.some((one) => /^(pods|deployments) /.test(one))
      )
        return [];
      const servers = inRole(seen, "server");
      const isReady = servers.some(
        ({ kind, object }) =>
          kind === "Deployment" && Number(textAt(object, "status", "readyReplicas")) > 0,
      );
      if (isReady) return [];
      return servers.length === 0
        ? [`there is no Deployment velero or dm-server in ${seen.namespace}`]
        : servers
            .filter(({ kind }) => kind === "Deployment")
            .map((of) => `${titleOf(of)} has no ready pod`);
    },
    cause: "Backups, Restores, deletion, schedules, repositories and locations are its work.",
    remedy: ["kubectl -n <namespace> get deployments,pods, and describe the pod of the server"],
    isGeneral: true,
  },
  {
    id: "pod-abnormal",
    title: "the hosting pod can never do its work",
    texts: [
      /Pod is in abnormal state|is in abnormal status for reason|with expose error/,
      /DM_EXPOSE_POD_WITHOUT_VOLUME/,
      /pod \S+ has no volume/,
    ],
    codes: ["DM_EXPOSE_POD_WITHOUT_VOLUME"],
    cause:
      "It has failed, or its volume is not in it: the reason is in the message and its events.",
    remedy: ["kubectl -n <namespace> describe pod <the name of the object>, while it is there"],
    isGeneral: true,
  },
  {
    id: "prepare-timeout",
    title: "the volume was not exposed in time",
    texts: [/timeout on preparing|PrepareTimeout/],
    cause:
      "From acceptance until its pod runs an object has 30 minutes (--data-mover-prepare-timeout): snapshot, claim or pod was not ready. The diagnosis in the message has the state of each.",
    remedy: [
      "Read the diagnosis: the first line that is not ready names the culprit",
      "Slow storage: raise the time limit; many volumes: lower prepareQueueLength",
    ],
    isGeneral: true,
  },
];

/** Where agents are needed and there are none. */
function agentsMissing(seen: Seen): string[] {
  const { kind, object } = subjectOf(seen);
  if (!transferKinds.has(kind) && kind !== "Backup" && kind !== "Restore") return [];
  const transfers = transferKinds.has(kind) ? [subjectOf(seen)] : inRole(seen, "transfer");
  const waits = transfers.some(({ object: one }) =>
    ["New", "Accepted"].includes(phaseText({ object: one })),
  );
  if (!waits || object === undefined || seen.notRead.some((one) => /^(pods|daemonsets) /.test(one)))
    return [];
  const agents = inRole(seen, "node agent").filter((of) => of.kind === "Pod");
  const running = agents.filter((of) => phaseText(of) === "Running");
  if (running.length === 0) return [`no pod of a node agent runs in ${seen.namespace}`];
  const node = textAt(object, "spec", "node");
  if (node === "" || running.some((of) => textAt(of.object, "spec", "nodeName") === node))
    return [];
  return [`no node agent runs on node ${node}`];
}
