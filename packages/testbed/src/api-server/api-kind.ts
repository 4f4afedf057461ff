/**
 * What the server knows about a kind: its names, its scope, its subresources and the rules that hold for it.
 * @module
 */
import type { Json } from "../kube-object.ts";

export interface ApiKind {
  /** Empty for the core group. */
  readonly group: string;
  /** Served versions, the preferred one first. */
  readonly versions: readonly ApiVersion[];
  readonly kind: string;
  readonly listKind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** Whether `metadata.generation` counts changes. */
  readonly hasGeneration: boolean;
  /** PUT without `metadata.resourceVersion` is refused. */
  readonly versionRequired: boolean;
  /** Fields beside `metadata.name` and `metadata.namespace` that field selectors may name. */
  readonly selectableFields: readonly string[];
  /** Set for kinds that a CRD defines. */
  readonly custom: boolean;
  /** Only POST is served, and nothing is stored. */
  readonly virtual: boolean;
}

export interface ApiVersion {
  readonly name: string;
  /** `GROUP/VERSION`, `v1`. */
  readonly apiVersion: string;
  readonly status: boolean;
  readonly scale: ScalePaths | undefined;
  /** OpenAPI schema of a custom kind. */
  readonly schema: Json | undefined;
  readonly columns: readonly PrinterColumn[] | undefined;
}

export interface ScalePaths {
  readonly specReplicasPath: string;
  readonly statusReplicasPath: string;
  readonly labelSelectorPath?: string | undefined;
}

export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly format?: string | undefined;
  readonly description?: string | undefined;
  readonly priority?: number | undefined;
  readonly jsonPath: string;
}

/** `pods`, `datauploads.velero.io`: the key of a kind everywhere in this server. */
export function resourceOf({ group, plural }: { group: string; plural: string }): string {
  return group === "" ? plural : `${plural}.${group}`;
}

export function apiVersionName(group: string, version: string): string {
  return group === "" ? version : `${group}/${version}`;
}

/** @throws {RangeError} when the kind is not served in this version */
export function versionOf(kind: ApiKind, name: string): ApiVersion {
  const version = kind.versions.find((one) => one.name === name);
  if (version === undefined) throw new RangeError(`${resourceOf(kind)} has no version ${name}`);
  return version;
}

/** The version that objects are stored in and ClusterApi speaks. */
export function preferredVersion(kind: ApiKind): ApiVersion {
  return kind.versions[0] as ApiVersion;
}
