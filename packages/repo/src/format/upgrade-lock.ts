/**
 * The lock that an upgrade puts into the format blob: after a notice, every client but the owner stays away.
 * Pure arithmetic; the steps of an upgrade are in upgrade.ts. Format: docs/format/format-blob.md.
 * Proof: test/format-upgrade.test.ts.
 * @module
 */
import { formatTime } from "../json/go-json.ts";
import type { RawMembers } from "./raw-members.ts";

export interface UpgradeLock {
  readonly ownerId: string;
  readonly creationTimeNs: bigint;
  /** How long clients may go on after the lock was set; 0 locks at once. */
  readonly advanceNoticeDurationMs: number;
  /** Longest time that a client needs to finish what it has under way. */
  readonly ioDrainTimeoutMs: number;
  readonly statusPollIntervalMs: number;
  readonly message: string;
  readonly maxPermittedClockDriftMs: number;
  readonly unknownMembers?: RawMembers | undefined;
}

/** Times of a lock, nanoseconds since 1970. */
export interface UpgradeTimes {
  /** From here on clients other than the owner must not touch the store. */
  readonly lockedAtNs: bigint;
  /** From here on no client is left; the owner may migrate. */
  readonly drainedAtNs: bigint;
}

const toNs = (ms: number): bigint => BigInt(Math.round(ms * 1e6));

export function upgradeTimes(lock: UpgradeLock): UpgradeTimes {
  const notice = toNs(lock.advanceNoticeDurationMs);
  const drain = toNs(lock.maxPermittedClockDriftMs) + 2n * toNs(lock.ioDrainTimeoutMs);
  const created = lock.creationTimeNs;
  return {
    // A notice too short to drain in locks at once, whatever a client's clock says.
    lockedAtNs: notice < drain ? 0n : created + notice - drain,
    drainedAtNs: created + (notice > drain ? notice : drain),
  };
}

export function isUpgradeLocked(lock: UpgradeLock, nowNs: bigint): boolean {
  return nowNs >= upgradeTimes(lock).lockedAtNs;
}

export function isUpgradeDrained(lock: UpgradeLock, nowNs: bigint): boolean {
  return nowNs >= upgradeTimes(lock).drainedAtNs;
}

/** One sentence for people: who, since when, until when at least. */
export function describeUpgradeLock(lock: UpgradeLock): string {
  const { drainedAtNs } = upgradeTimes(lock);
  const note = lock.message === "" ? "" : ` (${lock.message})`;
  return (
    `the repository is being upgraded by ${lock.ownerId}${note}: begun ${formatTime(lock.creationTimeNs)}, ` +
    `clients are drained at ${formatTime(drainedAtNs)}`
  );
}
