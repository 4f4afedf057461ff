/**
 * What a mover says to the node agent, as texts: the reasons and messages of its Events, and the termination message of its
 * container. Velero's wording, so that either side may be Velero's. Pure: no I/O, nothing of Kubernetes' client.
 *
 * Ours beyond Velero: a failure that left a snapshot behind ends with {@link savedSnapshotNote}; a mover that was told to stop
 * (SIGTERM, drained node) says {@link interruptedText}: the same work may be started again and goes on from its checkpoint.
 * Proof: test/mover/data-path-message.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import { type DataPathKind, isBackup } from "./data-path-kind.ts";

/** `reason` of the Events on the object that asked for the data path. */
export const dataPathReasons = {
  started: "Data-Path-Started",
  progress: "Data-Path-Progress",
  completed: "Data-Path-Completed",
  failed: "Data-Path-Failed",
  canceling: "Data-Path-Canceling",
  canceled: "Data-Path-Canceled",
  stopped: "Data-Path-Stopped",
} as const;

export type DataPathReason = (typeof dataPathReasons)[keyof typeof dataPathReasons];

/** The kubelet keeps no more of a termination message. */
export const maxTerminationMessageBytes = 4096;

/** A canceled data path's message ends like this. */
export const canceledText = "data path is canceled";

/** A data path that was stopped from outside and can go on says this at its end. */
export const interruptedText = "data path is interrupted";

export type VolumeMode = "Filesystem" | "Block";

export interface AccessPoint {
  /** The volume's path in the hosting pod. */
  readonly byPath: string;
  readonly volumeMode: VolumeMode;
}

/** What a finished backup left behind. */
export interface BackupResult {
  /** Manifest id of the snapshot: 32 hex digits. */
  readonly snapshotID: string;
  /** The volume held nothing. */
  readonly emptySnapshot: boolean;
  readonly source: AccessPoint;
  readonly totalBytes: number;
  /** Bytes that had to be read because the parent did not have them. */
  readonly incrementalBytes: number;
}

export interface RestoreResult {
  readonly target: AccessPoint;
  readonly totalBytes: number;
}

/** As in `status.progress`, with the names that the Events use. */
export interface DataPathProgress {
  readonly totalBytes: number;
  readonly doneBytes: number;
}

/**
 * How a mover ended.
 * - `interrupted`: it was stopped or killed before it had a result; another attempt may go on.
 */
export type DataPathOutcome =
  | { readonly outcome: "backedUp"; readonly result: BackupResult }
  | { readonly outcome: "restored"; readonly result: RestoreResult }
  | { readonly outcome: "canceled"; readonly message: string }
  | { readonly outcome: "interrupted"; readonly message: string }
  | {
      readonly outcome: "failed";
      readonly message: string;
      /** A snapshot that was saved although files of it could not be read. */
      readonly snapshotID?: string;
    };

/** The container's `state.terminated` (or the pod's fate, when it left none). */
export interface TerminatedContainer {
  readonly exitCode: number;
  /** `OOMKilled`, `Error`, `Evicted`, … */
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
}

/** @example encodeProgress({ totalBytes: 10, doneBytes: 0 }) // '{"totalBytes":10}' */
export function encodeProgress({ totalBytes, doneBytes }: DataPathProgress): string {
  return JSON.stringify({
    ...(totalBytes === 0 ? {} : { totalBytes }),
    ...(doneBytes === 0 ? {} : { doneBytes }),
  });
}

/** Absent members are 0. Undefined for a text that is no progress: one of these must not end a backup. */
export function decodeProgress(message: string): DataPathProgress | undefined {
  const members = objectOf(message);
  if (members === undefined) return undefined;
  const totalBytes = byteCount(members.totalBytes);
  const doneBytes = byteCount(members.doneBytes);
  return totalBytes === undefined || doneBytes === undefined
    ? undefined
    : { totalBytes, doneBytes };
}

/** Message of the `Data-Path-Completed` Event and of the container that ends with 0. */
export function encodeBackupResult(result: BackupResult): string {
  const { snapshotID, emptySnapshot, source, totalBytes, incrementalBytes } = result;
  return JSON.stringify({
    snapshotID,
    emptySnapshot,
    source: { byPath: source.byPath, volumeMode: source.volumeMode },
    totalBytes,
    incrementalBytes,
  });
}

/** See {@link encodeBackupResult}. */
export function encodeRestoreResult({ target, totalBytes }: RestoreResult): string {
  return JSON.stringify({
    target: { byPath: target.byPath, volumeMode: target.volumeMode },
    totalBytes,
  });
}

/** @throws {FormatError} `DM_MOVER_RESULT_INVALID`: without a snapshot's id a backup is not done. */
export function decodeBackupResult(message: string): BackupResult {
  const members = objectOf(message);
  const source = accessPoint(members?.source);
  const snapshotID = members?.snapshotID;
  const totalBytes = byteCount(members?.totalBytes);
  const incrementalBytes = byteCount(members?.incrementalBytes);
  if (
    members === undefined ||
    source === undefined ||
    typeof snapshotID !== "string" ||
    !snapshotIdPattern.test(snapshotID) ||
    totalBytes === undefined ||
    incrementalBytes === undefined
  )
    throw invalidResult("backup", message);
  const emptySnapshot = members.emptySnapshot === true;
  return { snapshotID, emptySnapshot, source, totalBytes, incrementalBytes };
}

/** @throws {FormatError} `DM_MOVER_RESULT_INVALID` */
export function decodeRestoreResult(message: string): RestoreResult {
  const members = objectOf(message);
  const target = accessPoint(members?.target);
  const totalBytes = byteCount(members?.totalBytes);
  if (target === undefined || totalBytes === undefined) throw invalidResult("restore", message);
  return { target, totalBytes };
}

/** Appended to the message of a failure that left a snapshot behind. */
export function savedSnapshotNote(snapshotID: string): string {
  return `; snapshot ${snapshotID} was saved`;
}

/** Which step of a mover failed, in Velero's words. */
export const failedSteps = {
  create: "Failed to create data path service for",
  init: "Failed to init data path service for",
  run: "Failed to run data path service for",
} as const;

export interface FailureText {
  readonly step: keyof typeof failedSteps;
  readonly kind: DataPathKind;
  readonly name: string;
  /** One line about the cause, without secrets. */
  readonly cause: string;
  readonly savedSnapshotID?: string | undefined;
}

/**
 * The termination message of a failed mover, cut in the middle of its cause when it is too long: both the beginning and what a
 * reader looks for at the end survive.
 */
export function encodeFailure({ step, kind, name, cause, savedSnapshotID }: FailureText): string {
  const head = `${failedSteps[step]} ${kind} ${name}: `;
  const tail = savedSnapshotID === undefined ? "" : savedSnapshotNote(savedSnapshotID);
  const room = maxTerminationMessageBytes - byteLength(head) - byteLength(tail);
  return `${head}${shortened(cause, room)}${tail}`;
}

/** See {@link canceledText}. */
export function encodeCanceled(kind: DataPathKind, name: string): string {
  return encodeFailure({ step: "run", kind, name, cause: canceledText });
}

/** See {@link interruptedText}. */
export function encodeInterrupted(kind: DataPathKind, name: string): string {
  return encodeFailure({ step: "run", kind, name, cause: interruptedText });
}

/**
 * Reads how a mover ended from its container. A success whose message cannot be read is a failure: a backup without a known
 * snapshot id is none. One that was killed when it had written its result has that result.
 */
export function decodeOutcome(kind: DataPathKind, container: TerminatedContainer): DataPathOutcome {
  const message = (container.message ?? "").trim();
  if (container.exitCode === 0) return success(kind, message);
  if (wasKilled(container)) {
    const finished = success(kind, message);
    if (finished.outcome !== "failed") return finished;
  }
  if (message.endsWith(canceledText)) return { outcome: "canceled", message };
  if (message.endsWith(interruptedText)) return { outcome: "interrupted", message };
  if (message === "") {
    const reason = container.reason === undefined ? "" : `, ${container.reason}`;
    const text = `the mover ended without a message (exit code ${container.exitCode}${reason})`;
    return wasKilled(container)
      ? { outcome: "interrupted", message: text }
      : { outcome: "failed", message: text };
  }
  const snapshotID = savedSnapshotPattern.exec(message)?.[1];
  return { outcome: "failed", message, ...(snapshotID === undefined ? {} : { snapshotID }) };
}

const snapshotIdPattern = /^[0-9a-f]{32}$/;
const savedSnapshotPattern = /; snapshot ([0-9a-f]{32}) was saved$/;

/** 128 + 9 and 128 + 15: SIGKILL (also for memory) and SIGTERM. */
function wasKilled({ exitCode, reason }: TerminatedContainer): boolean {
  return exitCode === 137 || exitCode === 143 || reason === "OOMKilled" || reason === "Evicted";
}

function success(kind: DataPathKind, message: string): DataPathOutcome {
  try {
    return isBackup(kind)
      ? { outcome: "backedUp", result: decodeBackupResult(message) }
      : { outcome: "restored", result: decodeRestoreResult(message) };
  } catch (error) {
    return { outcome: "failed", message: (error as Error).message };
  }
}

function objectOf(message: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(message);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return value as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function byteCount(value: unknown): number | undefined {
  if (value === undefined) return 0;
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}

/** Velero leaves the mode out for a file system; older ones have no such member. */
function accessPoint(value: unknown): AccessPoint | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { byPath, volumeMode = "Filesystem" } = value as Record<string, unknown>;
  if (typeof byPath !== "string") return undefined;
  if (volumeMode !== "Filesystem" && volumeMode !== "Block") return undefined;
  return { byPath, volumeMode };
}

function invalidResult(what: string, message: string): FormatError {
  return new FormatError(
    "DM_MOVER_RESULT_INVALID",
    `the mover ended well, but its message is no result of a ${what}: ${shortened(message, 200) || "(empty)"}`,
  );
}

function byteLength(text: string): number {
  return Buffer.byteLength(text);
}

const gap = " … ";

/** Keeps the first three quarters and the last quarter of what fits, at whole characters. */
function shortened(text: string, maxBytes: number): string {
  if (byteLength(text) <= maxBytes) return text;
  const room = maxBytes - byteLength(gap);
  const head = Math.floor((room * 3) / 4);
  const characters = [...text];
  return takeBytes(characters, head) + gap + lastBytes(characters, room - head);
}

function takeBytes(characters: readonly string[], maxBytes: number): string {
  let taken = "";
  let used = 0;
  for (const character of characters) {
    used += byteLength(character);
    if (used > maxBytes) break;
    taken += character;
  }
  return taken;
}

function lastBytes(characters: readonly string[], maxBytes: number): string {
  let start = characters.length;
  let used = 0;
  while (start > 0) {
    used += byteLength(characters[start - 1] as string);
    if (used > maxBytes) break;
    start--;
  }
  return characters.slice(start).join("");
}
