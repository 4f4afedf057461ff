/**
 * What to do about a BackupRepository. Pure: no I/O, no clock; each branch is a row of a table in the test.
 * Proof: test/repository/decide-repository.test.ts.
 * @module
 */
import type { BackupRepositoryPhase } from "@dm/crds";
import type { RepositoryMark } from "./repository-mark.ts";

export interface SeenRepository {
  readonly phase: BackupRepositoryPhase;
  readonly mark: RepositoryMark;
  /** Undefined when there is no such location. */
  readonly location?:
    | { readonly place: string; readonly fingerprint: string; readonly readOnly: boolean }
    | undefined;
  /** Of the password's Secret; undefined when there is none. */
  readonly passwordVersion: string | undefined;
  /** What a try depends on. */
  readonly inputs: string;
  readonly maintenance: {
    readonly frequencyMs: number;
    /** Last success. */
    readonly lastAtMs?: number | undefined;
    /** Start of the last try, whatever came of it. */
    readonly triedAtMs?: number | undefined;
    /** Jobs that have not ended. */
    readonly unfinished: number;
  };
  readonly retryMs: number;
}

export type RepositoryDecision =
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "refuse"; readonly message: string }
  /** NotReady, because the location is another one now. */
  | { readonly do: "invalidate" }
  | {
      readonly do: "connect";
      /** Only where no repository of this object has ever been. */
      readonly mayCreate: boolean;
      /** The one that must be found. */
      readonly uniqueID?: string | undefined;
    }
  /** A Job for the maintenance that was due at this time. */
  | { readonly do: "maintain"; readonly dueMs: number };

/** While a Job runs its end is looked for at least this often. */
const jobPollMs = 30_000;

export function decideRepository(seen: SeenRepository, nowMs: number): RepositoryDecision {
  const { location, mark, phase, retryMs } = seen;
  if (location === undefined) {
    return phase === "New"
      ? { do: "refuse", message: "its backup storage location does not exist" }
      : { do: "wait", ms: retryMs };
  }
  if (phase === "Ready") {
    // Made Ready by somebody else, by Velero for instance: there is a repository, and this finds out which.
    if (mark.uniqueID === undefined) return { do: "connect", mayCreate: false };
    if (mark.fingerprint !== location.fingerprint) return { do: "invalidate" };
    if (mark.password !== seen.passwordVersion) return connect(seen, location.place);
    return location.readOnly ? { do: "wait", ms: retryMs } : decideMaintenance(seen, nowMs);
  }
  const { attempt } = mark;
  const isSame = attempt?.inputs === seen.inputs;
  const waitMs = attempt === undefined ? 0 : attempt.atMs + retryMs - nowMs;
  // A clock that was set back does not make anything wait for longer than usual.
  if (phase === "NotReady" && isSame && waitMs > 0)
    return { do: "wait", ms: Math.min(waitMs, retryMs) };
  return connect(seen, location.place);
}

function connect({ mark }: SeenRepository, place: string): RepositoryDecision {
  const wasHere = mark.uniqueID !== undefined && mark.place === place;
  return wasHere
    ? { do: "connect", mayCreate: false, uniqueID: mark.uniqueID }
    : { do: "connect", mayCreate: true };
}

function decideMaintenance(
  { maintenance, retryMs }: SeenRepository,
  nowMs: number,
): RepositoryDecision {
  const { frequencyMs, lastAtMs, triedAtMs, unfinished } = maintenance;
  if (unfinished > 0) return { do: "wait", ms: jobPollMs };
  if (frequencyMs <= 0) return { do: "wait", ms: retryMs };
  // A run that failed is not repeated before the next one would be due.
  const fromMs = Math.max(lastAtMs ?? 0, triedAtMs ?? 0);
  const dueMs = fromMs === 0 ? nowMs : fromMs + frequencyMs;
  return dueMs <= nowMs
    ? { do: "maintain", dueMs }
    : { do: "wait", ms: Math.min(dueMs - nowMs, retryMs) };
}
