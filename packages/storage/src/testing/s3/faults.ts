/**
 * Faults on purpose, one request at a time: errors, cut connections, answers that get lost after the work was done, bodies
 * that are slow, short, or of another length than announced, lists that are behind.
 * Proof: test/testing-s3-faults.test.ts.
 * @module
 */
import { seededChoice } from "../seeded.ts";
import type { S3Operation } from "./operation.ts";

/** A request as rules and the log see it. */
export interface S3Call {
  /** Counts the requests of one server from 1. */
  readonly number: number;
  readonly operation: S3Operation;
  readonly method: string;
  readonly bucket: string;
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
}

/** An answer that is given in place of the right one. */
export interface InjectedAnswer {
  /** 500 by default. */
  readonly status?: number | undefined;
  /** The code of an error document, `SlowDown`; without it `body` is sent as it is. */
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Empty by default. */
  readonly body?: string | undefined;
}

/** What happens to one request; members combine. */
export interface S3Fault {
  /** Waits first. */
  readonly delayMs?: number | undefined;
  /** Answers so and does nothing; the body of the request is read. */
  readonly answer?: InjectedAnswer | undefined;
  /** Cuts the connection: `before` anything is done, or `after` all of it, so that only the answer is lost. */
  readonly reset?: "before" | "after" | undefined;
  /** Cuts the connection once so many bytes of the request's body have come; nothing is stored. */
  readonly resetAfterReceivedBytes?: number | undefined;
  /** Cuts the connection behind so many bytes of the answer's body. */
  readonly resetAfterSentBytes?: number | undefined;
  /** The body of the answer ends there, and its announced length is that of what is left: nothing looks wrong. */
  readonly shortenToBytes?: number | undefined;
  /** The length that is announced, whatever the body's is; the connection ends with the answer. */
  readonly announceBytes?: number | undefined;
  /** Sends the body of the answer no faster than this. */
  readonly bytesPerSecond?: number | undefined;
  /** A list shows the bucket as it was so long ago. */
  readonly staleMs?: number | undefined;
}

export type S3FaultRule = (call: S3Call) => S3Fault | undefined;

export interface FaultScope {
  /** Operations that are met; all by default. */
  readonly operations?: readonly S3Operation[] | undefined;
  /** Only requests for keys, or lists of prefixes, that this accepts. */
  readonly key?: ((key: string) => boolean) | undefined;
  /** Requests that fit and pass before the first that is met; 0 by default. */
  readonly skip?: number | undefined;
  /** How many are met; all by default. */
  readonly times?: number | undefined;
}

/**
 * A rule that meets the requests of a scope.
 * @example server.inject(faultOn({ operations: ["PutObject"], times: 2 }, { answer: slowDown }));
 */
export function faultOn(scope: FaultScope, fault: S3Fault): S3FaultRule {
  const { key, operations, skip = 0, times = Number.POSITIVE_INFINITY } = scope;
  let fitting = 0;
  return (call) => {
    if (operations && !operations.includes(call.operation)) return undefined;
    if (key && !key(call.key || (call.query.get("prefix") ?? ""))) return undefined;
    fitting += 1;
    return fitting > skip && fitting <= skip + times ? fault : undefined;
  };
}

/** The answer of a store that is asked too much. */
export const slowDown: InjectedAnswer = {
  status: 503,
  code: "SlowDown",
  message: "Please reduce your request rate.",
};

export interface SeededS3FaultOptions {
  readonly seed: number;
  /** Share of requests that meet a fault; 0.1 by default. */
  readonly probability?: number | undefined;
  /** One of these is chosen each time; by default 503, 500, and connections cut before and after the work. */
  readonly faults?: readonly S3Fault[] | undefined;
  readonly operations?: readonly S3Operation[] | undefined;
}

const usualFaults: readonly S3Fault[] = [
  { answer: slowDown },
  { answer: { status: 500, code: "InternalError" } },
  { reset: "before" },
  { reset: "after" },
];

/** Faults by chance. The same seed and the same requests in the same order meet the same faults. */
export function seededS3Faults({
  faults = usualFaults,
  ...options
}: SeededS3FaultOptions): S3FaultRule {
  const choose = seededChoice<S3Fault, S3Operation>({ faults, ...options });
  return ({ operation }) => choose(operation);
}
