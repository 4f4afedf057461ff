/**
 * VolumeAttachments, as Kubernetes' attach-detach controller keeps them: one for each volume and node with a pod that uses it. It
 * also takes a volume from a node that does not answer any more, so that the pod's successor elsewhere gets it.
 * Proof: test/csi/attach-controller.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import { type RunningController, startController } from "../controllers/controller.ts";
import { createEventRecorder } from "../controllers/event-recorder.ts";
import { nowMs, timestamp } from "../controllers/timestamp.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import type { CsiDriver } from "./csi-driver.ts";
import { resources } from "./storage-names.ts";
import { claimNamesOf, isDeleting } from "./storage-object.ts";

export interface AttachControllerOptions {
  readonly api: ClusterApi;
  readonly driver: CsiDriver;
  readonly logger?: Logger | undefined;
  /** How long a kubelet may take to give a volume back before it is taken. Default 6 minutes. */
  readonly longestUnmountMs?: number | undefined;
}

const outOfService = "node.kubernetes.io/out-of-service";

export function startAttachController(options: AttachControllerOptions): RunningController {
  const { api, driver, logger, longestUnmountMs = 6 * 60_000 } = options;
  const events = createEventRecorder(api, { component: "attachdetach-controller" });
  /** Scheduled pods that have not ended, as watches tell. */
  const pods = new Map<string, StoredObject>();
  /** Attachments by their names, as watches tell. */
  const nodesOf = new Map<string, { readonly volumeName: string; readonly nodeName: string }>();
  /** Since when nobody wants a volume on a node that still has it. */
  const unwantedSinceMs = new Map<string, number>();

  const keysOf = (pod: StoredObject): string[] =>
    volumesOf(pod).map((volume) => `${volume}/${pod.spec.nodeName}`);

  const volumesOf = (pod: StoredObject): string[] => {
    const { namespace = "" } = pod.metadata;
    return claimNamesOf(pod)
      .map((name) => api.get(resources.claims, namespace, name)?.spec.volumeName)
      .filter((name) => name !== undefined);
  };

  const notePod = (pod: StoredObject, isGone: boolean): string[] => {
    const keys = keysOf(pods.get(pod.metadata.uid) ?? pod);
    const { phase } = pod.status ?? {};
    if (isGone || !pod.spec.nodeName || phase === "Succeeded" || phase === "Failed")
      pods.delete(pod.metadata.uid);
    else pods.set(pod.metadata.uid, pod);
    return pod.spec.nodeName ? [...keys, ...keysOf(pod)] : keys;
  };

  const reconcile = async (key: string): Promise<number | undefined> => {
    const slash = key.indexOf("/");
    const volumeName = key.slice(0, slash);
    const nodeName = key.slice(slash + 1);
    const name = attachmentName(driver.name, volumeName, nodeName);
    const attachment = api.get(resources.attachments, "", name);
    const users = [...pods.values()].filter(
      (pod) => pod.spec.nodeName === nodeName && volumesOf(pod).includes(volumeName),
    );
    const volume = api.get(resources.volumes, "", volumeName);
    if (users.length > 0 && volume?.spec.csi?.driver === driver.name) {
      unwantedSinceMs.delete(key);
      if (attachment?.status?.attached !== true) attach(attachment, volume, nodeName, users);
      return undefined;
    }
    const published = driver
      .publications()
      .filter((each) => each.volumeName === volumeName && each.nodeName === nodeName);
    if (published.length > 0 && !isLost(nodeName)) {
      const now = nowMs(api.clock);
      const sinceMs = unwantedSinceMs.get(key) ?? now;
      unwantedSinceMs.set(key, sinceMs);
      const remainingMs = sinceMs + longestUnmountMs - now;
      if (remainingMs > 0) return remainingMs;
    }
    for (const target of published) await driver.unpublish(target);
    unwantedSinceMs.delete(key);
    if (attachment && !isDeleting(attachment)) api.delete(resources.attachments, "", name);
    return undefined;
  };

  const attach = (
    existing: StoredObject | undefined,
    volume: StoredObject,
    nodeName: string,
    users: readonly StoredObject[],
  ): void => {
    const volumeName = volume.metadata.name;
    const tell = (type: "Normal" | "Warning", reason: string, message: string): void => {
      for (const pod of users) events.record(pod, type, reason, message);
    };
    if (isExclusive(volume) && hasOther(volumeName, nodeName)) {
      tell(
        "Warning",
        "FailedAttachVolume",
        `Multi-Attach error for volume "${volumeName}" Volume is already exclusively attached to one node and can't be attached to another`,
      );
      return;
    }
    const name = attachmentName(driver.name, volumeName, nodeName);
    if (!existing)
      api.create(resources.attachments, {
        apiVersion: "storage.k8s.io/v1",
        kind: "VolumeAttachment",
        metadata: { name, annotations: { "csi.alpha.kubernetes.io/node-id": nodeName } },
        spec: { attacher: driver.name, nodeName, source: { persistentVolumeName: volumeName } },
      });
    const ref = volume.spec.claimRef;
    try {
      driver.faults.check("attach", `${ref?.namespace}/${ref?.name}`);
    } catch (error) {
      const { message } = error as Error;
      if (existing?.status?.attachError?.message !== message)
        setStatus(name, {
          attached: false,
          attachError: { message, time: timestamp(api.clock) },
        });
      tell(
        "Warning",
        "FailedAttachVolume",
        `AttachVolume.Attach failed for volume "${volumeName}" : ${message}`,
      );
      throw error;
    }
    setStatus(name, { attached: true });
    tell(
      "Normal",
      "SuccessfulAttachVolume",
      `AttachVolume.Attach succeeded for volume "${volumeName}" `,
    );
  };

  const setStatus = (name: string, status: Json): void => {
    api.modify(
      resources.attachments,
      "",
      name,
      (stored) => {
        stored.status = status;
      },
      { subresource: "status" },
    );
  };

  const hasOther = (volumeName: string, nodeName: string): boolean =>
    [...nodesOf.values()].some(
      (each) => each.volumeName === volumeName && each.nodeName !== nodeName,
    );

  /** Nothing runs there any more, and nobody will give anything back. */
  const isLost = (nodeName: string): boolean => {
    const node = api.get("nodes", "", nodeName);
    return (
      !node || (node.spec?.taints ?? []).some((each: { key: string }) => each.key === outOfService)
    );
  };

  const keysOfPublications = (): string[] =>
    driver.publications().map(({ volumeName, nodeName }) => `${volumeName}/${nodeName}`);

  const controller = startController({
    name: "attach-controller",
    api,
    logger,
    watches: {
      pods: ({ type, object }) => notePod(object, type === "DELETED"),
      // A claim that is bound after its pod was scheduled.
      [resources.claims]: ({ object }) =>
        [...pods.values()]
          .filter((pod) => pod.metadata.namespace === object.metadata.namespace)
          .filter((pod) => claimNamesOf(pod).includes(object.metadata.name))
          .flatMap(keysOf),
      [resources.attachments]: ({ type, object }) => {
        if (object.spec.attacher !== driver.name) return [];
        const volumeName: string = object.spec.source.persistentVolumeName;
        const { nodeName } = object.spec;
        if (type !== "DELETED") nodesOf.set(object.metadata.name, { volumeName, nodeName });
        else nodesOf.delete(object.metadata.name);
        const key = `${volumeName}/${nodeName}`;
        // Pods on another node may have waited for it.
        return type === "DELETED"
          ? [
              key,
              ...[...pods.values()]
                .flatMap(keysOf)
                .filter((each) => each.startsWith(`${volumeName}/`)),
            ]
          : [key];
      },
      nodes: keysOfPublications,
    },
    reconcile,
  });
  const stop = driver.onChange((what) => {
    const keys = what === "faults" ? [...pods.values()].flatMap(keysOf) : unwantedSinceMs.keys();
    for (const key of keys) controller.enqueue(key);
  });
  return {
    ...controller,
    async close() {
      stop();
      await controller.close();
    },
  };
}

/** One node at a time. */
function isExclusive(volume: StoredObject): boolean {
  const modes: string[] = volume.spec.accessModes ?? [];
  return !modes.some((mode) => mode.endsWith("Many"));
}

function attachmentName(driverName: string, volumeName: string, nodeName: string): string {
  const digest = createHash("sha256").update(`${volumeName}${driverName}${nodeName}`).digest("hex");
  return `csi-${digest}`;
}
