/**
 * What was found about one object and everything that it depends on, and how its fields are read: an explanation is a pure
 * function of it.
 * Proof: test/why/explain.test.ts.
 * @module
 */
import type { KubeEvent, KubeObject } from "@dm/crds";

/** Which part an object plays for the one that is asked about. */
export type Role =
  | "subject"
  | "backup"
  | "restore"
  | "location"
  | "repository"
  | "transfer"
  | "hosting pod"
  | "hosting claim"
  | "hosting volume"
  | "snapshot"
  | "snapshot content"
  | "source snapshot"
  | "source claim"
  | "target claim"
  | "storage class"
  | "pod of the volume"
  | "node"
  | "node agent"
  | "server"
  | "lease"
  | "maintenance"
  | "request"
  | "earlier";

export interface SeenObject {
  readonly role: Role;
  readonly kind: string;
  readonly namespace?: string | undefined;
  readonly name: string;
  /** How far from the subject: 0 is the subject. */
  readonly depth: number;
  /** Undefined when it is not there. */
  readonly object: KubeObject | undefined;
  /** About it, oldest first. */
  readonly events: readonly KubeEvent[];
}

export interface Seen {
  /** Where the operator, its movers and Velero's objects are. */
  readonly namespace: string;
  /** The subject first. */
  readonly objects: readonly SeenObject[];
  /** What could not be looked at, and why: rights that are missing, kinds that are not served. */
  readonly notRead: readonly string[];
}

export function subjectOf({ objects }: Seen): SeenObject {
  const [subject] = objects;
  if (subject === undefined) throw new RangeError("nothing was asked about");
  return subject;
}

export function inRole({ objects }: Seen, ...roles: readonly Role[]): SeenObject[] {
  return objects.filter(({ role }) => roles.includes(role));
}

/** `DataUpload velero/nightly-1`. */
export function titleOf({ kind, name, namespace }: Omit<SeenObject, "object">): string {
  return `${kind} ${namespace ? `${namespace}/` : ""}${name}`;
}

/** The value at a path of names; undefined where the path ends early. */
export function valueAt(value: unknown, ...path: readonly string[]): unknown {
  let at: unknown = value;
  for (const name of path) {
    if (typeof at !== "object" || at === null) return undefined;
    at = (at as Record<string, unknown>)[name];
  }
  return at;
}

/** A text or a number at a path; empty where there is none. */
export function textAt(value: unknown, ...path: readonly string[]): string {
  const found = valueAt(value, ...path);
  return typeof found === "string" || typeof found === "number" ? String(found) : "";
}

export function listAt(value: unknown, ...path: readonly string[]): readonly unknown[] {
  const found = valueAt(value, ...path);
  return Array.isArray(found) ? found : [];
}

export function phaseText({ object }: Pick<SeenObject, "object">): string {
  return textAt(object, "status", "phase") || "New";
}

export const transferKinds: ReadonlySet<string> = new Set([
  "DataUpload",
  "DataDownload",
  "PodVolumeBackup",
  "PodVolumeRestore",
]);
