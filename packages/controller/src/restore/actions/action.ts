/**
 * What a restore changes in the objects of one kind: a pure function from the object and what is known around it to the object that
 * is created, or to the reason why none is. They are listed in `actions.ts`, one file each.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import type { KubeObject, Restore, VolumeSnapshotClass } from "@dm/crds";
import type { PodVolumes } from "../pod-volumes.ts";
import type { Volumes } from "../volumes.ts";

/** An object of any kind, with whatever fields it has. */
export interface AnyObject extends KubeObject {
  [field: string]: unknown;
}

export interface ActionContext {
  readonly restore: Restore;
  /** As it lies in the backup: with owners and status, and in its old namespace. */
  readonly source: AnyObject;
  /** The one that it is restored into; empty for kinds without. */
  readonly namespace: string;
  /** Whether one of that name is there and stays. Asked for claims only, whose data is not restored then. */
  readonly exists: boolean;
  readonly volumes: Volumes;
  readonly podVolumes: PodVolumes;
  readonly settings: RestoreConfig;
}

/** What the administrator has set up for all restores, in ConfigMaps and in the cluster. */
export interface RestoreConfig {
  /** Old storage class to new one. */
  readonly storageClasses: ReadonlyMap<string, string>;
  /** Of the new ones, those that are not there. */
  readonly missingStorageClasses: ReadonlySet<string>;
  /** Parts of image names, old and new. */
  readonly images: readonly (readonly [string, string])[];
  readonly snapshotClasses: readonly VolumeSnapshotClass[];
  /** Of the init container of pods that wait for their files, under Velero's names. */
  readonly podVolumeWait: Readonly<Record<string, string>>;
}

/** The object is not created. */
export class Leave {
  readonly as: "skipped" | "failed";
  readonly reason: string;

  constructor(as: "skipped" | "failed", reason: string) {
    this.as = as;
    this.reason = reason;
  }
}

export type Action = (object: AnyObject, context: ActionContext) => AnyObject | Leave;

/** The namespace that stands for this one in the target. */
export function targetNamespace({ spec }: Restore, source: string): string {
  const mapping = spec?.namespaceMapping ?? {};
  return Object.hasOwn(mapping, source) ? (mapping[source] ?? source) : source;
}

/** The object with this field, or without it when the value is undefined. */
export function withField(object: AnyObject, field: string, value: unknown): AnyObject {
  const { [field]: _old, ...others } = object;
  return (value === undefined ? others : { ...others, [field]: value }) as AnyObject;
}

/** A map without these keys; undefined when nothing is left. */
export function without<T>(
  map: Readonly<Record<string, T>> | undefined,
  keys: Iterable<string>,
): Record<string, T> | undefined {
  const gone = new Set(keys);
  const kept = Object.entries(map ?? {}).filter(([key]) => !gone.has(key));
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}
