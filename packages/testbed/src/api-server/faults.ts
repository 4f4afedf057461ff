/**
 * Bad days on purpose: what a network and a busy or restarting server do to clients. All switches are off at first, can be changed
 * at any time, and draw from a seeded generator.
 * Proof: test/api-server/faults.test.ts.
 * @module
 */
import type { Clock } from "@dm/core";
import { ApiError, conflict } from "./api-error.ts";
import type { ApiKind } from "./api-kind.ts";
import type { WatchGate } from "./watch-stream.ts";

export interface FaultyRequest {
  /** As RBAC names it: get, list, watch, create, update, patch, delete, deletecollection. */
  readonly verb: string;
  /** `pods`, `datauploads.velero.io`; empty for paths that are no resources. */
  readonly resource: string;
  readonly name: string;
  readonly namespace: string | undefined;
  readonly user: string;
  readonly userAgent: string;
}

export interface ErrorFault {
  readonly status: 429 | 500 | 503;
  /** Share of the requests, 0 to 1. */
  readonly rate: number;
  /** 1 by default; 0 for an answer without Retry-After. */
  readonly retryAfterSeconds?: number | undefined;
  /** Which requests; all by default. */
  readonly matches?: ((request: FaultyRequest) => boolean) | undefined;
}

export interface ApiFaults {
  /** Answers instead of the real ones. */
  errors: readonly ErrorFault[];
  /** Share of updates and patches that meet a conflict, 0 to 1. */
  conflictRate: number;
  /** Every request waits this long, by the server's clock. */
  delayMs: number;
  /** Each watch is cut after this time, by the server's clock; 0 for never. Holds for watches that start from now on. */
  dropWatchesEveryMs: number;
  /** Cuts come in the middle of a line, and without the end of the chunked body. */
  dropMidLine: boolean;
  /** Watches stay open and say nothing; what they do not say is lost to them. */
  silentWatches: boolean;
  /** Every event comes twice. */
  duplicateEvents: boolean;
}

export interface FaultControl {
  readonly faults: ApiFaults;
  /** Waits and refuses as the switches say. */
  before(request: FaultyRequest, kind: ApiKind | undefined, signal: AbortSignal): Promise<void>;
  readonly watchGate: WatchGate;
  /** Cuts every watch now. */
  dropWatches(): void;
}

const texts: Readonly<Record<number, readonly [reason: string, message: string]>> = {
  429: ["TooManyRequests", "Too many requests, please try again later."],
  500: ["InternalError", "Internal error occurred: injected"],
  503: ["ServiceUnavailable", "the server is currently unable to handle the request"],
};

export function createFaults(clock: Clock, seed: number): FaultControl {
  const random = mulberry32(seed);
  const stops = new Set<(midLine: boolean) => void>();
  const faults: ApiFaults = {
    errors: [],
    conflictRate: 0,
    delayMs: 0,
    dropWatchesEveryMs: 0,
    dropMidLine: false,
    silentWatches: false,
    duplicateEvents: false,
  };
  return {
    faults,
    async before(request, kind, signal) {
      if (faults.delayMs > 0) await clock.sleep(faults.delayMs, { signal });
      for (const { status, rate, retryAfterSeconds = 1, matches } of faults.errors) {
        if (matches?.(request) === false || random() >= rate) continue;
        const [reason, message] = texts[status] as readonly [string, string];
        throw new ApiError(
          status,
          reason,
          message,
          retryAfterSeconds > 0 ? { retryAfterSeconds } : {},
        );
      }
      const update = request.verb === "update" || request.verb === "patch";
      if (update && kind !== undefined && random() < faults.conflictRate) {
        throw conflict(kind, request.name);
      }
    },
    watchGate: {
      through(line) {
        if (faults.silentWatches) return [];
        return faults.duplicateEvents ? [line, line] : [line];
      },
      onStart(stop) {
        stops.add(stop);
        const over = new AbortController();
        if (faults.dropWatchesEveryMs > 0) {
          clock.sleep(faults.dropWatchesEveryMs, { signal: over.signal }).then(
            () => stop(faults.dropMidLine),
            () => {},
          );
        }
        return () => {
          stops.delete(stop);
          over.abort();
        };
      },
    },
    dropWatches() {
      for (const stop of [...stops]) stop(faults.dropMidLine);
    },
  };
}

/** A small generator of numbers in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
