/**
 * How far the DataUploads and PodVolumeBackups of a Backup, or the DataDownloads and PodVolumeRestores of a Restore, are. Pure.
 * Proof: test/backup/follow.test.ts.
 * @module
 */
import {
  type DataDownload,
  type DataUpload,
  isFinalPhase,
  type PodVolumeBackup,
  type PodVolumeRestore,
} from "@dm/crds";

export const timedOutText = "Asynchronous action timed out";

export interface Followed<T> {
  readonly completed: readonly T[];
  /** Without an object when it is gone. */
  readonly failed: readonly { readonly object?: T | undefined; readonly message: string }[];
  readonly running: readonly T[];
  /** Among the failed ones: to be cancelled, because their time is over. */
  readonly overdue: readonly T[];
}

export interface FollowOptions {
  readonly kind: "DataUpload" | "DataDownload" | "PodVolumeBackup" | "PodVolumeRestore";
  /** How many were made. */
  readonly made: number;
  readonly timeoutMs: number;
  readonly now: Date;
}

/** All have the same phases. */
export type Movement = DataUpload | DataDownload | PodVolumeBackup | PodVolumeRestore;

export function follow<T extends Movement>(
  objects: readonly T[],
  { kind, made, now, timeoutMs }: FollowOptions,
): Followed<T> {
  const completed: T[] = [];
  const running: T[] = [];
  const overdue: T[] = [];
  const failed: { object?: T; message: string }[] = [];
  for (const object of objects) {
    const { message = "", phase } = object.status ?? {};
    const wasOverdue = object.spec.cancel === true && message === timedOutText;
    if (phase === "Completed") completed.push(object);
    else if (isFinalPhase(phase) || wasOverdue)
      failed.push({ object, message: wasOverdue ? timedOutText : whyEnded(kind, phase, message) });
    else if (!(now.getTime() - Date.parse(object.metadata.creationTimestamp ?? "") < timeoutMs)) {
      overdue.push(object);
      failed.push({ object, message: timedOutText });
    } else running.push(object);
  }
  for (let missing = made - objects.length; missing > 0; missing--)
    failed.push({ message: `a ${kind} is gone that was not ended` });
  return { completed, failed, running, overdue };
}

function whyEnded(kind: string, phase: string | undefined, message: string): string {
  if (phase === "Canceled") return `${kind} is canceled${message === "" ? "" : `: ${message}`}`;
  return message || `${kind} is ${phase}`;
}
