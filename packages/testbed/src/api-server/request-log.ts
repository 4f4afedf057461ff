/**
 * How many requests came, by whom and for what: tests hold controllers to a budget with it.
 * Proof: test/api-server/faults.test.ts.
 * @module
 */
import type { FaultyRequest } from "./faults.ts";

export interface RequestCount {
  readonly user: string;
  /** Up to the first slash. */
  readonly userAgent: string;
  readonly verb: string;
  /** With the subresource: `pods/log`. */
  readonly resource: string;
  readonly count: number;
}

export interface RequestFilter {
  readonly user?: string | undefined;
  readonly userAgent?: string | undefined;
  readonly verb?: string | undefined;
  readonly resource?: string | undefined;
}

export interface RequestLog {
  /** The sum over everything that matches. */
  count(filter?: RequestFilter): number;
  /** The largest counts first. */
  entries(): RequestCount[];
  reset(): void;
}

export function createRequestLog(): RequestLog & {
  record(request: FaultyRequest, resource: string): void;
} {
  const counts = new Map<string, { -readonly [Name in keyof RequestCount]: RequestCount[Name] }>();
  return {
    record({ user, userAgent, verb }, resource) {
      const key = JSON.stringify([user, userAgent, verb, resource]);
      const entry = counts.get(key);
      if (entry === undefined) counts.set(key, { user, userAgent, verb, resource, count: 1 });
      else entry.count++;
    },
    count(filter = {}) {
      let sum = 0;
      const wanted = Object.entries(filter).filter(([, value]) => value !== undefined);
      for (const entry of counts.values()) {
        const fields: Record<string, unknown> = { ...entry };
        if (wanted.every(([name, value]) => fields[name] === value)) sum += entry.count;
      }
      return sum;
    },
    entries: () =>
      [...counts.values()].map((one) => ({ ...one })).sort((a, b) => b.count - a.count),
    reset: () => counts.clear(),
  };
}
