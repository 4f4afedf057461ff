/**
 * What a write may change of an object: its metadata are checked, and what the server keeps comes from the stored one.
 * Proof: test/api-server/registry.test.ts.
 * @module
 */
import type { Json, StoredObject } from "../kube-object.ts";
import { badRequest, conflict, type FieldError, invalid } from "./api-error.ts";
import { type ApiKind, type ApiVersion, resourceOf } from "./api-kind.ts";
import { checkBuiltInUpdate } from "./built-in-rules.ts";
import { copyJson, equalJson, isObject } from "./json.ts";

export type WriteSubresource = "" | "status" | "finalize" | "scale";

/**
 * Whether the update is one of the stored object, in the version it is in.
 * @throws {ApiError}
 */
export function checkSame(
  kind: ApiKind,
  current: StoredObject,
  object: StoredObject,
  versionRequired: boolean,
): void {
  const { metadata } = object;
  const { name } = current.metadata;
  if (!metadata.name) metadata.name = name;
  if (metadata.name !== name) {
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${name})`,
    );
  }
  if (kind.namespaced) {
    if (!metadata.namespace) metadata.namespace = current.metadata.namespace as string;
    if (metadata.namespace !== current.metadata.namespace) {
      throw badRequest(
        `the namespace of the provided object does not match the namespace sent on the request`,
      );
    }
  }
  if (metadata.uid && metadata.uid !== current.metadata.uid) {
    throw conflict(
      kind,
      name,
      `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${current.metadata.uid}`,
    );
  }
  if (!metadata.resourceVersion) {
    if (!versionRequired || !(kind.custom || kind.versionRequired)) return;
    throw invalid(kind, name, [
      {
        reason: "FieldValueInvalid",
        field: "metadata.resourceVersion",
        message: "Invalid value: 0: must be specified for an update",
      },
    ]);
  }
  if (metadata.resourceVersion !== current.metadata.resourceVersion) throw conflict(kind, name);
}

/** What of `object` the request may change, on top of what is stored. */
export function mergeUpdate(
  kind: ApiKind,
  version: ApiVersion,
  current: StoredObject,
  object: StoredObject,
  subresource: WriteSubresource,
): StoredObject {
  if (subresource === "status") {
    const next = copyJson(current);
    if (object.status === undefined) delete next.status;
    else next.status = object.status;
    if (object.metadata["managedFields"]) {
      next.metadata["managedFields"] = object.metadata["managedFields"];
    }
    return next;
  }
  if (subresource === "finalize") {
    const next = copyJson(current);
    next.spec = { ...next.spec, finalizers: object.spec?.finalizers ?? [] };
    return next;
  }
  const next = object;
  const { metadata } = next;
  const kept = current.metadata;
  metadata.uid = kept.uid;
  metadata.creationTimestamp = kept.creationTimestamp;
  for (const field of [
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
    "selfLink",
  ]) {
    delete metadata[field];
    if (kept[field] !== undefined) metadata[field] = kept[field];
  }
  if (version.status) {
    delete next.status;
    if (current.status !== undefined) next.status = copyJson(current.status);
  }
  if (resourceOf(kind) === "namespaces" && next.metadata.deletionTimestamp === undefined) {
    // The last finalizer of a namespace goes through its own subresource.
    next.spec = copyJson(current.spec ?? {});
  }
  return next;
}

/** @throws {ApiError} 422 */
export function checkUpdate(kind: ApiKind, current: StoredObject, next: StoredObject): void {
  if (!kind.custom) checkBuiltInUpdate(kind, current, next);
  if (current.metadata.deletionTimestamp === undefined) return;
  const before = current.metadata.finalizers ?? [];
  const added = (next.metadata.finalizers ?? []).filter((name) => !before.includes(name));
  if (added.length === 0) return;
  const list = added.map((name) => JSON.stringify(name)).join(", ");
  throw invalid(kind, next.metadata.name, [
    {
      reason: "FieldValueForbidden",
      field: "metadata.finalizers",
      message: `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
    },
  ]);
}

/** Whether something else than metadata, and status where it is apart, is another. */
export function changesGeneration(
  version: ApiVersion,
  before: StoredObject,
  after: StoredObject,
): boolean {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  for (const name of names) {
    if (name === "metadata" || name === "apiVersion" || (name === "status" && version.status))
      continue;
    if (!equalJson(before[name], after[name])) return true;
  }
  return false;
}

/** Labels and the like with wrong types would break every reader. */
export function checkMetadataTypes(kind: ApiKind, metadata: Record<string, Json>): void {
  const errors: FieldError[] = [];
  for (const field of ["labels", "annotations"]) {
    const value = metadata[field];
    if (value === undefined || value === null) continue;
    if (isObject(value) && Object.values(value).every((one) => typeof one === "string")) continue;
    throw badRequest(
      `${kind.kind} in version cannot be handled: metadata.${field} must be a map of strings`,
    );
  }
  for (const field of ["finalizers", "ownerReferences"]) {
    const value = metadata[field];
    if (value === undefined || value === null || Array.isArray(value)) continue;
    throw badRequest(`${kind.kind} cannot be handled: metadata.${field} must be a list`);
  }
  for (const [index, reference] of (metadata["ownerReferences"] ?? []).entries()) {
    for (const field of ["apiVersion", "kind", "name", "uid"]) {
      if (reference?.[field]) continue;
      errors.push({
        reason: "FieldValueInvalid",
        field: `metadata.ownerReferences[${index}].${field}`,
        message: `Invalid value: "": ${field} must not be empty`,
      });
    }
  }
  if (errors.length > 0) throw invalid(kind, String(metadata["name"] ?? ""), errors);
}
