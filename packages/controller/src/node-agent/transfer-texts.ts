/**
 * Status messages, in Velero's words: people and tools look for them.
 * Proof: test/node-agent/decide.test.ts.
 * @module
 */
import type { ClientPodKey, TransferKind } from "./transfer.ts";

/** What was being done when an error came. */
export interface FailureContexts {
  readonly expose: string;
  readonly notReady: string;
  readonly dataPath: string;
  readonly prepareTimeout: string;
}

export const failureContexts: Readonly<Record<TransferKind, FailureContexts>> = {
  DataUpload: {
    expose: "error exposing snapshot",
    notReady: "exposed snapshot is not ready",
    dataPath: "data path backup failed",
    prepareTimeout: "timeout on preparing data upload",
  },
  DataDownload: {
    expose: "error to expose snapshot",
    notReady: "restore exposer is not ready",
    dataPath: "data path restore failed",
    prepareTimeout: "timeout on preparing data download",
  },
  PodVolumeBackup: {
    expose: "error to expose PVB",
    notReady: "exposed PVB is not ready",
    dataPath: "data path backup failed",
    prepareTimeout: "timeout on preparing PVB",
  },
  PodVolumeRestore: {
    expose: "error to expose PVR",
    notReady: "exposed PVR is not ready",
    dataPath: "data path restore failed",
    prepareTimeout: "timeout on preparing PVR",
  },
};

export const rebindContext = "error rebinding volume";
export const emptyVolumeTexts: Readonly<Record<TransferKind, string>> = {
  DataUpload: "volume was empty so no data was upload",
  DataDownload: "",
  PodVolumeBackup: "volume was empty so no snapshot was taken",
  PodVolumeRestore: "",
};

interface NamedTransfer {
  readonly kind: TransferKind;
  readonly namespace: string;
  readonly name: string;
}

/** How Velero calls them in the middle of a message. */
const words: Readonly<Record<TransferKind, string>> = {
  DataUpload: "dataupload",
  DataDownload: "datadownload",
  PodVolumeBackup: "PVB",
  PodVolumeRestore: "PVR",
};

export const texts = {
  deleting: (kind: TransferKind): string => `Cancel ${words[kind]} because it is being deleted`,

  abnormalPod: ({ kind, namespace, name }: NamedTransfer, reason: string): string =>
    `Cancel ${words[kind]} because the exposing pod ${namespace}/${name} is in abnormal status for reason ${reason}`,

  exposeError: ({ kind, namespace, name }: NamedTransfer, error: string): string =>
    `found a ${kind === "DataUpload" ? "du" : words[kind]} ${namespace}/${name} with expose error: ${error}. mark it as cancel`,

  snapshotType: (type: string): string =>
    `not exist type of exposer: ${type} type of snapshot exposer is not exist`,

  noNode: ({ namespace, name }: NamedTransfer): string =>
    `no appropriate node to run datadownload ${namespace}/${name}`,

  /** Ours: how often the mover was started, and why it ended the last time. */
  gaveUp: (kind: TransferKind, cause: string, count: number): string =>
    `${failureContexts[kind].dataPath}: ${cause}; the hosting pod was made again ${times(count)}`,

  /** Ours: the new pod did not start in time. */
  notResumed: (kind: TransferKind, cause: string): string =>
    `${failureContexts[kind].dataPath}: ${cause}; the hosting pod that was made again did not start in time`,

  /** Ours: what is written into the volume now would meet a program that has begun to use it. */
  notWaiting: ({ namespace, name }: ClientPodKey): string =>
    `pod ${namespace}/${name} does not wait for its files: its init container restore-wait is over, or missing`,

  clientOver: ({ namespace, name }: ClientPodKey): string =>
    `pod ${namespace}/${name} is over or gone`,

  /** Ours: with the pod go the files, perhaps before they were read. */
  clientEnded: ({ namespace, name }: ClientPodKey): string =>
    `pod ${namespace}/${name} ended while its volume was backed up: the snapshot may lack files`,

  clientLost: ({ namespace, name }: ClientPodKey, node: string): string =>
    `pod ${namespace}/${name} is on node ${node}, where no node agent runs`,

  nodeLost: (node: string | undefined): string =>
    node === undefined ? "no node is in charge" : `the node agent on node ${node} is gone`,
} as const;

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}
