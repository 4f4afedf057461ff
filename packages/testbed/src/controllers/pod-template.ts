/**
 * Pods made from a template, and how far they are.
 * Proof: test/controllers/workloads.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import type { Json, NewObject, StoredObject } from "../kube-object.ts";
import { controllerReference } from "./owner.ts";

export function podFromTemplate(
  owner: StoredObject,
  template: Json,
  metadata: { name?: string; generateName?: string; labels?: Record<string, string> },
): NewObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...metadata,
      namespace: owner.metadata.namespace as string,
      labels: { ...template.metadata?.labels, ...metadata.labels },
      ...(template.metadata?.annotations === undefined
        ? {}
        : { annotations: { ...template.metadata.annotations } }),
      ...(template.metadata?.finalizers === undefined
        ? {}
        : { finalizers: [...template.metadata.finalizers] }),
      ownerReferences: [controllerReference(owner)],
    },
    spec: structuredClone(template.spec ?? {}),
  };
}

const letters = "bcdfghjklmnpqrstvwxz2456789";

/** Ten letters that stand for the template: equal for equal JSON, whatever the order of its fields. */
export function templateHash(template: Json): string {
  const digest = createHash("sha256")
    .update(JSON.stringify(sorted(template)))
    .digest();
  return Array.from(digest.subarray(0, 10), (byte) => letters[byte % letters.length]).join("");
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}

export function isReady(pod: StoredObject): boolean {
  return (pod.status?.conditions ?? []).some(
    ({ type, status }: Json) => type === "Ready" && status === "True",
  );
}

/** All its containers have ended for good. */
export function isOver({ status }: StoredObject): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/** Neither over nor about to go. */
export function isActive(pod: StoredObject): boolean {
  return !isOver(pod) && !isDeleting(pod);
}

export function isDeleting({ metadata }: StoredObject): boolean {
  return metadata.deletionTimestamp !== undefined;
}
