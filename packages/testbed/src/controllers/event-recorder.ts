/**
 * Events as Kubernetes' own parts write them: one object for the same thing said of the same object, counted.
 * Proof: test/controllers/event-recorder.test.ts.
 * @module
 */
import type { ClusterApi } from "../cluster-api.ts";
import type { StoredObject } from "../kube-object.ts";
import { timestamp } from "./timestamp.ts";

export interface EventSource {
  readonly component: string;
  readonly host?: string | undefined;
}

export interface EventRecorder {
  /** `fieldPath` names a part, such as `spec.containers{mover}`. Never throws: an event that cannot be written is lost. */
  record(
    about: StoredObject,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
    fieldPath?: string,
  ): void;
}

/** How many different events are remembered for counting. */
const remembered = 1000;

export function createEventRecorder(api: ClusterApi, source: EventSource): EventRecorder {
  const known = new Map<string, string>();
  return {
    record(about, type, reason, message, fieldPath) {
      const { metadata } = about;
      const namespace = metadata.namespace ?? "default";
      const key = JSON.stringify([metadata.uid, type, reason, message, fieldPath]);
      const now = timestamp(api.clock);
      try {
        const name = known.get(key);
        if (name !== undefined) {
          const counted = api.modify("events", namespace, name, (event) => {
            event["count"] = (event["count"] ?? 1) + 1;
            event["lastTimestamp"] = now;
          });
          if (counted !== undefined) return;
        }
        const created = api.create("events", {
          apiVersion: "v1",
          kind: "Event",
          metadata: { name: eventName(metadata.name, api), namespace },
          involvedObject: {
            kind: about.kind,
            ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
            name: metadata.name,
            uid: metadata.uid,
            apiVersion: about.apiVersion,
            resourceVersion: metadata.resourceVersion,
            ...(fieldPath === undefined ? {} : { fieldPath }),
          },
          reason,
          message,
          source: {
            component: source.component,
            ...(source.host === undefined ? {} : { host: source.host }),
          },
          firstTimestamp: now,
          lastTimestamp: now,
          count: 1,
          type,
          eventTime: null,
          reportingComponent: source.component,
          reportingInstance: source.host ?? "",
        });
        if (known.size >= remembered) known.delete(known.keys().next().value as string);
        known.set(key, created.metadata.name);
      } catch {
        // A namespace that is going takes no events, and nobody waits for one.
      }
    },
  };
}

let lastSuffix = 0n;

/** As client-go names them: the object's name and a time in hexadecimal, here made different for each. */
function eventName(name: string, { clock }: ClusterApi): string {
  const now = clock.nowNs();
  lastSuffix = now > lastSuffix ? now : lastSuffix + 1n;
  return `${name}.${lastSuffix.toString(16)}`;
}
