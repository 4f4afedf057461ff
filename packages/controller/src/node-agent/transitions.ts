/**
 * The writes of the state machine, as pure functions from one object to the next. Each leaves alone what it does not name, so that
 * labels and fields of others survive.
 * Proof: test/node-agent/transitions.test.ts, test/node-agent/bounded.test.ts.
 * @module
 */
import { type DataMovementPhase, type DataUpload, labels } from "@dm/crds";
import { type DataPathProgress, isBackup } from "../mover/index.ts";
import type { Verdict } from "./action.ts";
import {
  type Ending,
  finalizerOf,
  kindOf,
  notes,
  type Resume,
  type TransferKind,
  type TransferObject,
  timestamp,
} from "./transfer.ts";

type Status = NonNullable<DataUpload["status"]>;

export function withFinalizer(object: TransferObject): TransferObject {
  const finalizer = finalizerOf(kindOf(object));
  const next = copyOf(object);
  next.metadata.finalizers = [
    ...(next.metadata.finalizers ?? []).filter((name) => name !== finalizer),
    finalizer,
  ];
  return next;
}

export function withoutFinalizer(object: TransferObject): TransferObject {
  const next = copyOf(object);
  next.metadata.finalizers = (next.metadata.finalizers ?? []).filter(
    (name) => name !== finalizerOf(kindOf(object)),
  );
  return next;
}

export function accepted(object: TransferObject, node: string, nowMs: number): TransferObject {
  const next = withPhase(object, "Accepted", {
    ...acceptedOn(object, node),
    acceptedTimestamp: timestamp(nowMs),
  });
  next.metadata.labels = { ...next.metadata.labels, [labels.exposeOnGoing]: "true" };
  return next;
}

export function prepared(object: TransferObject, node: string): TransferObject {
  return withPhase(object, "Prepared", atNode(object, node));
}

/** `nodeOS` has a place in the status of a DataUpload only. */
export function started(
  kind: TransferKind,
  object: TransferObject,
  nodeOS: "linux" | "windows",
  nowMs: number,
): TransferObject {
  const next = withPhase(object, "InProgress", {
    startTimestamp: timestamp(nowMs),
    ...(kind === "DataUpload" && { nodeOS }),
  });
  return withoutLabel(next, labels.exposeOnGoing);
}

export function withProgress(object: TransferObject, progress: DataPathProgress): TransferObject {
  return withStatus(object, { progress: fieldsOf(progress) });
}

export function cancelRequested(object: TransferObject, message: string): TransferObject {
  const next = withStatus(object, { message });
  next.spec.cancel = true;
  return next;
}

export function canceling(object: TransferObject, nowMs: number): TransferObject {
  return withNote(withPhase(object, "Canceling", {}), notes.cancelSeen, timestamp(nowMs));
}

export function withEnding(object: TransferObject, ending: Ending): TransferObject {
  return withNote(object, notes.ending, JSON.stringify(ending));
}

export function withResume(object: TransferObject, resume: Resume, node: string): TransferObject {
  const next = withNote(
    withStatus(object, atNode(object, node)),
    notes.resume,
    JSON.stringify(resume),
  );
  return withoutNote(next, notes.ownerLost);
}

/** The new pod runs, on `node`. */
export function resumed(object: TransferObject, resume: Resume, node: string): TransferObject {
  return withResume(object, { ...resume, pending: false }, node);
}

/** `node` is in charge from now on, and has all the time for the clean-up that the one before had. */
export function adopted(
  object: TransferObject,
  ending: Ending | undefined,
  node: string,
  nowMs: number,
): TransferObject {
  const next = withoutNote(object, notes.ownerLost);
  if (ending) return withEnding(next, { ...ending, by: node, atMs: nowMs });
  return next.status?.phase === "Accepted"
    ? withStatus(next, acceptedOn(next, node))
    : withStatus(next, atNode(next, node));
}

export function withNote(object: TransferObject, key: string, value: string): TransferObject {
  const next = copyOf(object);
  next.metadata.annotations = { ...next.metadata.annotations, [key]: value };
  return next;
}

export function withoutNote(object: TransferObject, key: string): TransferObject {
  const next = copyOf(object);
  if (next.metadata.annotations) delete next.metadata.annotations[key];
  return next;
}

/** The final phase, with everything that told how to get there taken off. */
export function ended(
  kind: TransferKind,
  object: TransferObject,
  verdict: Verdict,
  nowMs: number,
): TransferObject {
  const { phase, message, snapshotID, path, incrementalBytes, totalBytes } = verdict;
  const now = timestamp(nowMs);
  const neverStarted = !object.status?.startTimestamp;
  const isUpload = isBackup(kind);
  const next = withPhase(object, phase, {
    completionTimestamp: now,
    ...(neverStarted && (isUpload || phase === "Canceled") && { startTimestamp: now }),
    ...(message !== undefined && { message }),
    ...(isUpload && snapshotID !== undefined && { snapshotID }),
    ...(isUpload && path !== undefined && { path }),
    ...(isUpload && incrementalBytes !== undefined && { incrementalBytes }),
    ...(totalBytes !== undefined && {
      progress: fieldsOf({ totalBytes, doneBytes: totalBytes }),
    }),
  });
  for (const key of [notes.ending, notes.cancelSeen, notes.ownerLost])
    delete next.metadata.annotations?.[key];
  return withoutFinalizer(withoutLabel(next, labels.exposeOnGoing));
}

const fieldsOf = ({ totalBytes, doneBytes }: DataPathProgress) => ({
  bytesDone: doneBytes,
  totalBytes,
});

/** A PodVolumeBackup has its node in its specification, a PodVolumeRestore gets it when it is accepted. */
function acceptedOn(object: TransferObject, node: string): Partial<Status> {
  const kind = kindOf(object);
  if (kind === "PodVolumeBackup") return {};
  return kind === "PodVolumeRestore" ? { node } : { acceptedByNode: node };
}

function atNode(object: TransferObject, node: string): Partial<Status> {
  return kindOf(object) === "PodVolumeBackup" ? {} : { node };
}

function withPhase(
  object: TransferObject,
  phase: DataMovementPhase,
  fields: Partial<Status>,
): TransferObject {
  return withStatus(object, { ...fields, phase });
}

function withStatus(object: TransferObject, fields: Partial<Status>): TransferObject {
  const next = copyOf(object);
  // What one kind has no place for, its callers leave out.
  next.status = { ...next.status, ...fields } as TransferObject["status"] & {};
  return next;
}

function withoutLabel(object: TransferObject, key: string): TransferObject {
  const next = copyOf(object);
  if (next.metadata.labels) delete next.metadata.labels[key];
  return next;
}

function copyOf(object: TransferObject): TransferObject {
  return structuredClone(object);
}
