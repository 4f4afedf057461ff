/**
 * Status messages of DataUploads and DataDownloads, in Velero's words: people and tools look for them.
 * Proof: test/node-agent/decide.test.ts.
 * @module
 */
import type { TransferKind } from "./transfer.ts";

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
};

export const rebindContext = "error rebinding volume";
export const emptyVolumeText = "volume was empty so no data was upload";

interface NamedTransfer {
  readonly kind: TransferKind;
  readonly namespace: string;
  readonly name: string;
}

const lowerKind = (kind: TransferKind): string => kind.toLowerCase();

export const texts = {
  deleting: (kind: TransferKind): string => `Cancel ${lowerKind(kind)} because it is being deleted`,

  abnormalPod: ({ kind, namespace, name }: NamedTransfer, reason: string): string =>
    `Cancel ${lowerKind(kind)} because the exposing pod ${namespace}/${name} is in abnormal status for reason ${reason}`,

  exposeError: ({ kind, namespace, name }: NamedTransfer, error: string): string =>
    `found a ${kind === "DataUpload" ? "du" : "datadownload"} ${namespace}/${name} with expose error: ${error}. mark it as cancel`,

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

  nodeLost: (node: string | undefined): string =>
    node === undefined ? "no node is in charge" : `the node agent on node ${node} is gone`,
} as const;

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}
