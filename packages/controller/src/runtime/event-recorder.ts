/**
 * Events: what happened to an object, for `kubectl describe` and for programs that listen. Recording never waits and never fails;
 * the events are written one after the other behind it, in order.
 * Proof: test/runtime/event-recorder.test.ts.
 * @module
 */
import { type Clock, isDmError, type Logger, nsPerMs, silentLogger, systemClock } from "@dm/core";
import { apiVersionOf, events, type KubeEvent, type KubeObject, type Resource } from "@dm/crds";
import { createBackoff } from "./backoff.ts";
import type { KubeClient } from "./kube-client.ts";
import { retryAfterMsOf } from "./kube-errors.ts";
import { kubeTime } from "./objects.ts";

export interface EventOptions {
  readonly type?: "Normal" | "Warning" | undefined;
  /** CamelCase, for programs. */
  readonly reason: string;
  /** For people; cut at 1024 bytes, as the API demands. */
  readonly message: string;
}

export interface EventRecorder {
  record<T extends KubeObject>(resource: Resource<T>, object: T, event: EventOptions): void;
  /** Waits until everything recorded so far is written or given up. */
  flush(options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
}

export interface EventRecorderOptions {
  /** `source.component` of the events. */
  readonly component: string;
  /** `source.host`: the node, where there is one. */
  readonly host?: string | undefined;
  /** Equal events of one object within this time become one with a count; 0: each is an object of its own. */
  readonly countWithinMs?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

/** More than this waiting and the oldest are dropped: events are no place to keep anything. */
const maxWaiting = 1_000;
const maxMessageBytes = 1_024;
/** An event is tried this often while the server is unavailable. */
const maxAttempts = 8;
/** Remembered for counting. */
const maxRemembered = 4_096;

/** @example createEventRecorder(client, { component: "dm" }).record(dataUploads, upload, { reason: "Accepted", message: "by n1" }); */
export function createEventRecorder(
  client: KubeClient,
  options: EventRecorderOptions,
): EventRecorder {
  const {
    component,
    host,
    countWithinMs = 0,
    clock = systemClock,
    logger = silentLogger,
  } = options;
  const waiting: KubeEvent[] = [];
  const counted = new Map<string, { event: KubeEvent; lastNs: bigint }>();
  let writing: Promise<void> | undefined;
  let lastNs = 0n;

  const write = async (event: KubeEvent): Promise<void> => {
    const same = sameness(event);
    const known = countWithinMs > 0 ? counted.get(same) : undefined;
    const nowNs = clock.nowNs();
    if (known && nowNs - known.lastNs <= BigInt(countWithinMs) * nsPerMs) {
      const { namespace, name = "" } = known.event.metadata;
      const count = (known.event.count ?? 1) + 1;
      const patch = { count, lastTimestamp: event.lastTimestamp };
      try {
        known.event = await client.patch(events, { namespace, name }, patch);
        known.lastNs = nowNs;
        return;
      } catch (error) {
        if (!isDmError(error, "DM_KUBE_NOT_FOUND")) throw error;
        counted.delete(same);
      }
    }
    const created = await client.create(events, event);
    if (countWithinMs <= 0) return;
    if (counted.size >= maxRemembered) counted.delete(counted.keys().next().value ?? "");
    counted.set(same, { event: created, lastNs: nowNs });
  };

  const writeAll = async (): Promise<void> => {
    for (let event = waiting.shift(); event !== undefined; event = waiting.shift()) {
      const backoff = createBackoff({ firstMs: 200, maxMs: 10_000 });
      for (let attempt = 1; ; attempt += 1) {
        try {
          await write(event);
          break;
        } catch (error) {
          if (isDmError(error, "DM_KUBE_ALREADY_EXISTS")) break;
          if (!isDmError(error, "DM_KUBE_UNAVAILABLE") || attempt >= maxAttempts) {
            logger.warn("Could not write an event", { reason: event.reason, error });
            break;
          }
          await clock.sleep(Math.max(backoff.nextMs(), retryAfterMsOf(error) ?? 0));
        }
      }
    }
  };

  return {
    record(resource, object, { type = "Normal", reason, message }) {
      const { namespace, name = "", uid, resourceVersion } = object.metadata;
      // Two events of one object at one time need two names.
      const now = clock.nowNs();
      lastNs = now > lastNs ? now : lastNs + 1n;
      const time = kubeTime(new Date(Number(now / nsPerMs)));
      waiting.push({
        metadata: {
          namespace: namespace || "default",
          name: `${name.slice(0, 230)}.${lastNs.toString(16)}`,
        },
        involvedObject: {
          apiVersion: apiVersionOf(resource),
          kind: resource.kind,
          name,
          ...(namespace ? { namespace } : {}),
          ...(uid ? { uid } : {}),
          ...(resourceVersion ? { resourceVersion } : {}),
        },
        type,
        reason,
        message: cut(message),
        source: { component, ...(host ? { host } : {}) },
        firstTimestamp: time,
        lastTimestamp: time,
        count: 1,
        reportingComponent: component,
        reportingInstance: host ?? "",
      });
      if (waiting.length > maxWaiting) {
        waiting.shift();
        logger.warn("Dropped an event", { waiting: maxWaiting });
      }
      writing ??= writeAll().finally(() => {
        writing = undefined;
      });
    },
    async flush({ signal } = {}) {
      signal?.throwIfAborted();
      if (!writing) return;
      if (!signal) {
        await writing;
        return;
      }
      const aborted = Promise.withResolvers<never>();
      const onAbort = (): void => aborted.reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        await Promise.race([writing, aborted.promise]);
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    },
  };
}

function sameness({ involvedObject, type, reason, message }: KubeEvent): string {
  return JSON.stringify([
    involvedObject?.kind,
    involvedObject?.uid,
    involvedObject?.name,
    type,
    reason,
    message,
  ]);
}

function cut(message: string): string {
  const bytes = Buffer.from(message);
  if (bytes.length <= maxMessageBytes) return message;
  // Ends before a code point, not in it.
  let end = maxMessageBytes - 3;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end -= 1;
  return `${bytes.subarray(0, end).toString("utf8")}…`;
}
