/** DataUploads, DataDownloads and what surrounds them, for tests of decisions. */

import type { DataDownload, DataUpload, Pod, PodVolumeBackup, PodVolumeRestore } from "@dm/crds";
import { expect } from "vitest";
import {
  encodeBackupResult,
  encodeRestoreResult,
  isBackup,
  isPodVolume,
} from "../../src/mover/index.ts";
import { type AgentSettings, agentDefaults } from "../../src/node-agent/agent-settings.ts";
import type { World } from "../../src/node-agent/decide.ts";
import type { HostingPodState } from "../../src/node-agent/hosting-pod-state.ts";
import {
  type Ending,
  finalizerOf,
  notes,
  type Resume,
  type Transfer,
  type TransferKind,
  type TransferObject,
  timestamp,
  viewTransfer,
} from "../../src/node-agent/transfer.ts";

export const snapshotID = "0123456789abcdef0123456789abcdef";
export const t0 = Date.UTC(2026, 0, 2, 3, 4, 5);
export const minute = 60_000;
export const settings: AgentSettings = { ...agentDefaults, podVolumes: true };
export const clientPod = { namespace: "app", name: "db-0", uid: "client-1" } as const;

export interface Given {
  readonly phase?: string;
  readonly cancel?: boolean;
  readonly deleting?: boolean;
  /** True by default. */
  readonly finalizer?: boolean;
  readonly dataMover?: string;
  readonly snapshotType?: string;
  readonly nodeOS?: "linux" | "windows";
  readonly acceptedBy?: string;
  readonly acceptedAtMs?: number;
  readonly node?: string;
  readonly ending?: Ending;
  readonly resume?: Resume;
  readonly cancelSeenAtMs?: number;
  readonly ownerLostAtMs?: number;
  readonly startedAtMs?: number;
  readonly uploaderType?: "kopia" | "restic";
}

export function transferObject(kind: TransferKind, given: Given = {}): TransferObject {
  const annotations: Record<string, string> = {};
  if (given.ending) annotations[notes.ending] = JSON.stringify(given.ending);
  if (given.resume) annotations[notes.resume] = JSON.stringify(given.resume);
  if (given.cancelSeenAtMs !== undefined)
    annotations[notes.cancelSeen] = timestamp(given.cancelSeenAtMs);
  if (given.ownerLostAtMs !== undefined)
    annotations[notes.ownerLost] = timestamp(given.ownerLostAtMs);
  const common = {
    apiVersion: isPodVolume(kind) ? "velero.io/v1" : "velero.io/v2alpha1",
    kind,
    metadata: {
      name: "b-1",
      namespace: "velero",
      uid: "uid-1",
      resourceVersion: "1",
      creationTimestamp: timestamp(t0),
      finalizers: given.finalizer === false ? [] : [finalizerOf(kind)],
      annotations,
      ...(given.deleting && { deletionTimestamp: timestamp(t0) }),
    },
    status: {
      ...(given.phase && { phase: given.phase as "New" }),
      ...(given.acceptedBy && !isPodVolume(kind) && { acceptedByNode: given.acceptedBy }),
      ...(given.acceptedAtMs !== undefined && {
        acceptedTimestamp: timestamp(given.acceptedAtMs),
      }),
      ...(given.startedAtMs !== undefined && { startTimestamp: timestamp(given.startedAtMs) }),
      ...(given.node && kind !== "PodVolumeBackup" && { node: given.node }),
    },
  };
  if (isPodVolume(kind)) {
    const specOfPods = {
      backupStorageLocation: "default",
      repoIdentifier: "",
      uploaderType: given.uploaderType ?? "kopia",
      pod: { kind: "Pod", ...clientPod },
      volume: "data",
      ...(given.cancel && { cancel: true }),
    };
    return kind === "PodVolumeBackup"
      ? ({ ...common, spec: { ...specOfPods, node: given.node ?? "a" } } as PodVolumeBackup)
      : ({
          ...common,
          spec: { ...specOfPods, snapshotID, sourceNamespace: "app" },
        } as PodVolumeRestore);
  }
  const specOfBoth = {
    backupStorageLocation: "default",
    operationTimeout: "10m0s",
    sourceNamespace: "app",
    datamover: given.dataMover ?? "dm",
    ...(given.cancel && { cancel: true }),
  };
  if (kind === "DataUpload")
    return {
      ...common,
      spec: {
        ...specOfBoth,
        snapshotType: given.snapshotType ?? "CSI",
        sourcePVC: "data",
        csiSnapshot: { storageClass: "csi", volumeSnapshot: "velero-data-x" },
      },
    } as DataUpload;
  return {
    ...common,
    spec: {
      ...specOfBoth,
      snapshotID,
      targetVolume: { namespace: "app", pvc: "data", pv: "" },
      ...(given.nodeOS && { nodeOS: given.nodeOS }),
    },
  } as DataDownload;
}

export function transfer(kind: TransferKind, given: Given = {}): Transfer {
  return viewTransfer(kind, transferObject(kind, given));
}

export function world(given: Partial<World> = {}): World {
  return {
    self: "a",
    exposing: 0,
    running: 0,
    targetClaim: true,
    nodeOSes: new Set(["linux"]),
    agents: new Set(["a", "b"]),
    ...given,
  } satisfies World;
}

export const runningPod = (node = "a", uid = "pod-1"): HostingPodState => ({
  uid,
  node,
  running: true,
});
export const endedPod = (
  outcome: NonNullable<HostingPodState["outcome"]>,
  node = "a",
  uid = "pod-1",
): HostingPodState => ({ uid, node, running: false, outcome });

export const backedUp = {
  outcome: "backedUp",
  result: {
    snapshotID,
    emptySnapshot: false,
    source: { byPath: "/uid-1", volumeMode: "Filesystem" },
    totalBytes: 100,
    incrementalBytes: 40,
  },
} as const;
export const restored = {
  outcome: "restored",
  result: { target: { byPath: "/uid-1", volumeMode: "Filesystem" }, totalBytes: 100 },
} as const;

export const resultMessage = (kind: TransferKind): string =>
  isBackup(kind) ? encodeBackupResult(backedUp.result) : encodeRestoreResult(restored.result);

export function pod(status: Pod["status"], given: Partial<Pod["metadata"]> = {}): Pod {
  return {
    metadata: {
      name: "b-1",
      namespace: "velero",
      uid: "pod-1",
      ownerReferences: [
        { apiVersion: "velero.io/v2alpha1", kind: "DataUpload", name: "b-1", uid: "uid-1" },
      ],
      ...given,
    },
    spec: { containers: [], nodeName: "a" },
    ...(status && { status }),
  };
}

/** RFC 3339 with seconds, as Velero writes it. */
export const timestampPattern = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
