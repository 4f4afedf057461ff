/**
 * Why a hosting pod can never do its work, read from its status and the warnings about it. An unschedulable pod is not among
 * these: a node may come.
 * Proof: test/expose/pod-trouble.test.ts.
 * @module
 */
import type { Pod } from "@dm/crds";
import { textOf } from "./exposure.ts";

const pullFailures: ReadonlySet<string> = new Set(["ImagePullBackOff", "ErrImageNeverPull"]);

/** The reason as Velero words it. */
export function unrecoverablePod(pod: Pod): string | undefined {
  const { phase, message = "" } = pod.status ?? {};
  if (phase === "Failed" || phase === "Unknown") {
    const ends = containerStatuses(pod).flatMap(({ state }) => state?.terminated?.message ?? []);
    const texts = [message, ...ends].map((text) => `${text}/`).join("");
    return `Pod is in abnormal state [${phase}], message [${texts}]`;
  }
  for (const { name, state } of containerStatuses(pod)) {
    const reason = state?.waiting?.reason ?? "";
    if (pullFailures.has(reason)) {
      const key = { namespace: pod.metadata.namespace, name: pod.metadata.name ?? "" };
      return `Container ${name} in Pod ${textOf(key)} is in pull image failed with reason ${reason}`;
    }
  }
  return undefined;
}

/** Whether the pod is held up before its containers run: only then are the warnings about it worth a call. */
export function isStarting(pod: Pod): boolean {
  return pod.status?.phase === undefined || pod.status.phase === "Pending";
}

/** What the kubelet says about a pod that does not start. */
export function startMessages(pod: Pod, warnings: readonly { message?: string }[]): string[] {
  return [
    ...containerStatuses(pod).flatMap(({ state }) => state?.waiting?.message ?? []),
    ...warnings.flatMap(({ message }) => message ?? []),
  ];
}

/**
 * Whether SELinux labels could not be written for want of room. The runtime labels every file of a mounted volume; XFS takes
 * space for that, and a full volume has none. It is the volume that was backed up, so it stays full.
 */
export function isRelabelFailure(messages: readonly string[]): boolean {
  return messages.some(
    (message) =>
      /relabel failed|lsetxattr/i.test(message) && /no space left on device/i.test(message),
  );
}

/** What to do about it: the documentation's remedies first. */
export function relabelFailureText(claim: string, storageClass: string): string {
  return `cannot attach snapshot of ${claim}: the volume is full and its file system (XFS) has no room for SELinux labels (no space left on device). Enlarge the volume, use ext4, or set backupPVC readOnly with spcNoRelabeling for storage class ${storageClass}.`;
}

function containerStatuses(pod: Pod) {
  return [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
}
