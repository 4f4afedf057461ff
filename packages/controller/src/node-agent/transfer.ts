/**
 * A DataUpload, DataDownload, PodVolumeBackup or PodVolumeRestore as the node agent sees it: what the kinds have in common, read
 * from whichever version of Velero wrote it, and what this agent has noted on the object to find again after a crash.
 * Proof: test/node-agent/transfer.test.ts.
 * @module
 */
import { parseGoDuration } from "@dm/core";
import {
  annotations,
  type DataDownload,
  type DataMovementPhase,
  type DataUpload,
  dataDownloads,
  dataUploads,
  finalizers,
  labels,
  type PodVolumeBackup,
  type PodVolumeRestore,
  phaseOf,
  podVolumeBackups,
  podVolumeRestores,
  type Resource,
} from "@dm/crds";
import { type DataPathKind, dataPathKinds, isPodVolume } from "../mover/data-path-kind.ts";
import type { DataPathProgress } from "../mover/data-path-message.ts";
import { uploaderProblem } from "../pod-volume/pod-volume-restore.ts";

export type TransferKind = DataPathKind;
export type TransferObject = DataUpload | DataDownload | PodVolumeBackup | PodVolumeRestore;
export const transferKinds: readonly TransferKind[] = dataPathKinds;
export type FinalPhase = "Completed" | "Failed" | "Canceled";

export interface TransferKey {
  readonly kind: TransferKind;
  readonly namespace: string;
  readonly name: string;
}

/**
 * How the object will end, noted before anything is cleaned up: with the hosting pod goes the mover's result, and whoever takes
 * over after a crash must still find it.
 */
export interface Ending {
  readonly phase: FinalPhase;
  /** The stored message stays when absent. */
  readonly message?: string | undefined;
  readonly snapshotID?: string | undefined;
  readonly path?: string | undefined;
  readonly incrementalBytes?: number | undefined;
  readonly totalBytes?: number | undefined;
  /** Node whose agent cleans up. */
  readonly by: string;
  readonly atMs: number;
}

/** A hosting pod that is made again. */
export interface Resume {
  /** How often so far. */
  readonly count: number;
  readonly cause: string;
  /** The pod to remove, when there was one. */
  readonly podUid?: string | undefined;
  readonly atMs: number;
  /** Until the new pod runs. */
  readonly pending: boolean;
}

export interface ClientPodKey {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface Transfer extends TransferKey {
  readonly uid: string;
  readonly phase: DataMovementPhase;
  readonly cancel: boolean;
  readonly deleting: boolean;
  readonly finalizer: boolean;
  /** Of a DataUpload or DataDownload. */
  readonly dataMover?: string | undefined;
  /** Of a PodVolumeBackup or PodVolumeRestore: the pod that has the volume mounted. */
  readonly client?: ClientPodKey | undefined;
  /** Why it is not carried out, whoever looks at it. */
  readonly problem?: string | undefined;
  /** Of a DataUpload. */
  readonly snapshotType?: string | undefined;
  /** Of a DataDownload. */
  readonly nodeOS?: "linux" | "windows" | undefined;
  readonly acceptedBy?: string | undefined;
  /** Start of the prepare clock; the best guess when nobody wrote it. */
  readonly acceptedAtMs: number;
  readonly node?: string | undefined;
  readonly progress: DataPathProgress;
  readonly operationTimeoutMs: number;
  readonly ending?: Ending | undefined;
  readonly resume?: Resume | undefined;
  /** When an agent first saw that nobody had acted upon `spec.cancel`. */
  readonly cancelSeenAtMs?: number | undefined;
  /** When an agent first saw that the one in charge is gone. */
  readonly ownerLostAtMs?: number | undefined;
}

/** Keys of the node agent's notes on the object. */
export const notes = {
  ending: "dm.velero.io/ending",
  resume: "dm.velero.io/resume",
  cancelSeen: "dm.velero.io/cancel-seen",
  ownerLost: "dm.velero.io/owner-lost",
} as const;

/** Velero's own default for `spec.operationTimeout`. */
const defaultOperationTimeoutMs = 10 * 60_000;

const resources: Readonly<Record<TransferKind, Resource<TransferObject>>> = {
  DataUpload: dataUploads,
  DataDownload: dataDownloads,
  PodVolumeBackup: podVolumeBackups,
  PodVolumeRestore: podVolumeRestores,
};

export function resourceOf(kind: TransferKind): Resource<TransferObject> {
  return resources[kind];
}

/** By a field that the kind must have: objects of a list do not say their kind. */
export function kindOf({ spec }: TransferObject): TransferKind {
  if ("snapshotType" in spec) return "DataUpload";
  if ("targetVolume" in spec) return "DataDownload";
  return "node" in spec ? "PodVolumeBackup" : "PodVolumeRestore";
}

export function finalizerOf(kind: TransferKind): string {
  return isPodVolume(kind) ? finalizers.podVolume : finalizers.dataUploadDownload;
}

/** The hosting pod's label that names the object. */
export const podLabels: Readonly<Record<TransferKind, string>> = {
  DataUpload: labels.dataUpload,
  DataDownload: labels.dataDownload,
  PodVolumeBackup: labels.podVolumeBackup,
  PodVolumeRestore: labels.podVolumeRestore,
};

/** Where the data path runs: a PodVolumeBackup says so from the start. */
export function nodeOf({ spec, status }: TransferObject): string | undefined {
  return textOf("node" in spec ? spec.node : (status as DataUpload["status"])?.node);
}

/** @example viewTransfer("DataUpload", upload).phase // "New" */
export function viewTransfer(kind: TransferKind, object: TransferObject): Transfer {
  const { metadata, spec } = object;
  const status = object.status as DataUpload["status"];
  const createdAtMs = timeOf(metadata.creationTimestamp) ?? 0;
  return {
    kind,
    namespace: metadata.namespace ?? "",
    name: metadata.name ?? "",
    uid: metadata.uid ?? "",
    phase: phaseOf<DataMovementPhase>(object),
    cancel: spec.cancel === true,
    deleting: Boolean(metadata.deletionTimestamp),
    finalizer: metadata.finalizers?.includes(finalizerOf(kind)) ?? false,
    operationTimeoutMs: defaultOperationTimeoutMs,
    ...kindsOwn(kind, object),
    acceptedAtMs:
      timeOf(status?.acceptedTimestamp) ??
      timeOf(metadata.annotations?.[annotations.acceptedAt]) ??
      timeOf(status?.startTimestamp) ??
      createdAtMs,
    node: nodeOf(object),
    progress: {
      totalBytes: status?.progress?.totalBytes ?? 0,
      doneBytes: status?.progress?.bytesDone ?? 0,
    },
    ending: endingOf(object),
    resume: note<Resume>(object, notes.resume, isResume),
    cancelSeenAtMs: timeOf(metadata.annotations?.[notes.cancelSeen]),
    ownerLostAtMs: timeOf(metadata.annotations?.[notes.ownerLost]),
  };
}

export function endingOf(object: TransferObject): Ending | undefined {
  return note<Ending>(object, notes.ending, isEnding);
}

/** The agent in charge: the one that accepted the object, later the one on the hosting pod's node, at last who cleans up. */
export function ownerOf(transfer: Transfer): string | undefined {
  if (transfer.ending) return transfer.ending.by;
  // A pod's volume can be reached from the pod's node only; that of a PodVolumeBackup is known from the start.
  if (transfer.phase === "New")
    return transfer.kind === "PodVolumeBackup" ? transfer.node : undefined;
  return transfer.phase === "Accepted" ? transfer.acceptedBy : transfer.node;
}

/** RFC 3339 with seconds, as Velero writes it. */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

type KindsOwn =
  | "snapshotType"
  | "nodeOS"
  | "dataMover"
  | "client"
  | "problem"
  | "acceptedBy"
  | "operationTimeoutMs";

function kindsOwn(kind: TransferKind, object: TransferObject): Partial<Pick<Transfer, KindsOwn>> {
  if (isPodVolume(kind)) {
    const { spec } = object as PodVolumeBackup | PodVolumeRestore;
    const { name = "", namespace = "", uid = "" } = spec.pod;
    return {
      client: { namespace, name, uid },
      problem: uploaderProblem(spec.uploaderType),
      acceptedBy: nodeOf(object),
    };
  }
  const { metadata, spec, status } = object as DataUpload | DataDownload;
  const common = {
    dataMover: spec.datamover ?? "",
    acceptedBy: textOf(status?.acceptedByNode) ?? textOf(metadata.labels?.[labels.acceptedBy]),
    operationTimeoutMs: parseGoDuration(spec.operationTimeout) || defaultOperationTimeoutMs,
  };
  if (kind === "DataUpload")
    return { ...common, snapshotType: (object as DataUpload).spec.snapshotType };
  const { nodeOS } = (object as DataDownload).spec;
  return { ...common, nodeOS: nodeOS === "windows" ? "windows" : "linux" };
}

function timeOf(text: string | null | undefined): number | undefined {
  const ms = Date.parse(text ?? "");
  return Number.isNaN(ms) ? undefined : ms;
}

function textOf(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

/** What somebody made unreadable counts as not noted. */
function note<T>(
  object: TransferObject,
  key: string,
  isNote: (value: Record<string, unknown>) => boolean,
): T | undefined {
  const text = object.metadata.annotations?.[key];
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    return isNote(value as Record<string, unknown>) ? (value as T) : undefined;
  } catch {
    return undefined;
  }
}

const isEnding = ({ phase, by, atMs }: Record<string, unknown>): boolean =>
  (phase === "Completed" || phase === "Failed" || phase === "Canceled") &&
  typeof by === "string" &&
  typeof atMs === "number";

const isResume = ({ count, cause, atMs, pending }: Record<string, unknown>): boolean =>
  typeof count === "number" &&
  typeof cause === "string" &&
  typeof atMs === "number" &&
  typeof pending === "boolean";
