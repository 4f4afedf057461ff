/**
 * Switches that make the storage fail as real storage does.
 * Proof: test/csi/faults.test.ts.
 * @module
 */
import { type Clock, StorageError } from "@dm/core";
import { nowMs } from "../controllers/timestamp.ts";

export type CsiOperation =
  | "createVolume"
  | "deleteVolume"
  | "expandVolume"
  | "createSnapshot"
  | "deleteSnapshot"
  | "attach"
  | "publish"
  | "unpublish";

export interface CsiFault {
  readonly operation: CsiOperation;
  /**
   * Only for this claim (`namespace/name`; operations on volumes) or VolumeSnapshot (`namespace/name`; operations on volume
   * snapshots), or one whose name matches. Default: for all.
   */
  readonly of?: string | RegExp | undefined;
  /** The operation is refused with this text. */
  readonly error?: string | undefined;
  /** What drivers call the refusal, as in `ResourceExhausted` for storage without space. Default `Internal`. */
  readonly code?: string | undefined;
  /** It takes this long; a volume snapshot is cut at once, but is ready to use only then. */
  readonly delayMs?: number | undefined;
  /** It does not end, or the volume snapshot never gets ready to use, until the fault is taken away. */
  readonly never?: boolean | undefined;
  /** The container runtime cannot write security labels on the volume: a full XFS, see exposers' diagnosis. */
  readonly relabelFails?: boolean | undefined;
  /** How often it strikes. Default: always. */
  readonly times?: number | undefined;
}

/** The volume has no room for the security labels that the container runtime writes. The kubelet tells it of the container. */
export const relabelFailed = "DM_CSI_RELABEL_FAILED";

export function relabelError(path: string): StorageError {
  return new StorageError(
    relabelFailed,
    `relabel failed ${path}: lsetxattr ${path}: no space left on device`,
    { path },
  );
}

/** Not refused, just not done yet. */
export class PendingError extends StorageError {
  readonly remainingMs: number | undefined;

  constructor(operation: CsiOperation, subject: string, remainingMs: number | undefined) {
    super(
      "DM_CSI_PENDING",
      `rpc error: code = DeadlineExceeded desc = ${operation} of ${subject} is still under way`,
      { operation, subject },
      { retryable: true },
    );
    this.remainingMs = remainingMs;
  }
}

interface ActiveFault extends CsiFault {
  left: number;
  readonly sinceMs: Map<string, number>;
}

export class CsiFaults {
  readonly #clock: Clock;
  readonly #onChange: () => void;
  readonly #faults = new Set<ActiveFault>();

  constructor(clock: Clock, onChange: () => void = () => {}) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Switches a fault on; the result switches it off, and has everything tried again at once. */
  add(fault: CsiFault): () => void {
    const active = { ...fault, left: fault.times ?? Number.POSITIVE_INFINITY, sinceMs: new Map() };
    this.#faults.add(active);
    return () => {
      if (this.#faults.delete(active)) this.#onChange();
    };
  }

  clear(): void {
    this.#faults.clear();
    this.#onChange();
  }

  /**
   * The gate before an operation.
   * @throws {StorageError} `DM_CSI_FAULT` for a refusal
   * @throws {PendingError} `DM_CSI_PENDING` while a delay lasts
   */
  check(operation: CsiOperation, subject: string): void {
    for (const fault of this.#matching(operation, subject)) {
      if (fault.error !== undefined) {
        this.#strike(fault);
        throw new StorageError(
          "DM_CSI_FAULT",
          `rpc error: code = ${fault.code ?? "Internal"} desc = ${fault.error}`,
          { operation, subject },
          { retryable: true },
        );
      }
      // A volume snapshot that takes its time exists meanwhile: `isReady`.
      if (operation === "createSnapshot") continue;
      if (fault.never) throw new PendingError(operation, subject, undefined);
      const remainingMs = this.#remainingMs(fault, subject);
      if (remainingMs > 0) throw new PendingError(operation, subject, remainingMs);
    }
  }

  /** Whether a refusal or delay is on, without letting it strike. */
  isOn(operation: CsiOperation, subject: string): boolean {
    return this.#matching(operation, subject).length > 0;
  }

  /** For volume snapshots that were cut: how long until they are ready; undefined: never, 0: now. */
  untilReadyMs(subject: string): number | undefined {
    let longestMs = 0;
    for (const fault of this.#matching("createSnapshot", subject)) {
      if (fault.never) return undefined;
      longestMs = Math.max(longestMs, this.#remainingMs(fault, subject));
    }
    return longestMs;
  }

  failsToRelabel(subject: string): boolean {
    const [fault] = this.#matching("publish", subject).filter((each) => each.relabelFails);
    if (fault) this.#strike(fault);
    return fault !== undefined;
  }

  #matching(operation: CsiOperation, subject: string): ActiveFault[] {
    return [...this.#faults].filter(
      ({ operation: own, of }) =>
        own === operation &&
        (of === undefined || (typeof of === "string" ? of === subject : of.test(subject))),
    );
  }

  /** Counted from the first time that it was asked. */
  #remainingMs(fault: ActiveFault, subject: string): number {
    const { delayMs = 0, sinceMs } = fault;
    const now = nowMs(this.#clock);
    if (!sinceMs.has(subject)) sinceMs.set(subject, now);
    return Math.max(0, sinceMs.get(subject)! + delayMs - now);
  }

  #strike(fault: ActiveFault): void {
    fault.left -= 1;
    if (fault.left <= 0) this.#faults.delete(fault);
  }
}
