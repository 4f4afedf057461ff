/**
 * What to do about a Backup whose time may be over. Pure: no I/O, no clock; each branch is a row of a table in the test.
 *
 * As Velero does it, and a location that is Unavailable shows in the label, too (`BSLUnavailable`; Velero knows the word, and only
 * returns an error).
 * Proof: test/retention/decide-gc.test.ts.
 * @module
 */
import {
  type Backup,
  type BackupStorageLocation,
  type DeleteBackupRequest,
  labels,
  phaseOf,
} from "@dm/crds";

export interface SeenExpiry {
  readonly backup: Backup;
  /** The backup's; undefined when there is none, `unknown` when it cannot be read. */
  readonly location: BackupStorageLocation | undefined | "unknown";
  /** For this backup. */
  readonly requests: readonly DeleteBackupRequest[];
}

export type GcFailure = "BSLNotFound" | "BSLCannotGet" | "BSLReadOnly" | "BSLUnavailable";

export type GcDecision =
  /** Undefined: it never expires. */
  | { readonly do: "wait"; readonly ms: number | undefined }
  | { readonly do: "fail"; readonly reason: GcFailure }
  | { readonly do: "request"; readonly hasFailed: boolean }
  /** A request is under way. */
  | { readonly do: "leave"; readonly hasFailed: boolean };

/** Time until a Backup expires, at most `periodMs`; undefined when it never does. */
export function untilExpiry(
  { metadata, status }: Backup,
  nowMs: number,
  periodMs: number,
): number | undefined {
  const expiresMs = Date.parse(status?.expiration ?? "");
  if (Number.isNaN(expiresMs) || metadata.deletionTimestamp) return undefined;
  return Math.min(Math.max(0, expiresMs - nowMs), periodMs);
}

export function decideGc(
  { backup, location, requests }: SeenExpiry,
  nowMs: number,
  periodMs: number,
): GcDecision {
  const ms = untilExpiry(backup, nowMs, periodMs);
  if (ms === undefined || ms > 0) return { do: "wait", ms };
  if (location === undefined) return { do: "fail", reason: "BSLNotFound" };
  if (location === "unknown") return { do: "fail", reason: "BSLCannotGet" };
  if (location.status?.phase !== "Available") return { do: "fail", reason: "BSLUnavailable" };
  if (location.spec.accessMode === "ReadOnly") return { do: "fail", reason: "BSLReadOnly" };
  const hasFailed = backup.metadata.labels?.[labels.gcFailure] !== undefined;
  const isPending = requests.some((request) => phaseOf(request) !== "Processed");
  return { do: isPending ? "leave" : "request", hasFailed };
}
