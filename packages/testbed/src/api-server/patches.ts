/**
 * Patches by their media type.
 * Proof: test/api-server/patches.test.ts, test/api-server/http.test.ts.
 * @module
 */
import type { Json, StoredObject } from "../kube-object.ts";
import { ApiError } from "./api-error.ts";
import type { ApiKind } from "./api-kind.ts";
import { applyJsonPatch, applyMergePatch } from "./json-patch.ts";
import { applyStrategicMerge } from "./strategic-merge.ts";

export const applyPatchType = "application/apply-patch+yaml";

export type Patcher = (kind: ApiKind, current: StoredObject, patch: Json) => Json;

const patchers: Readonly<Record<string, Patcher>> = {
  "application/json-patch+json": (_kind, current, patch) => applyJsonPatch(current, patch),
  "application/merge-patch+json": (_kind, current, patch) => applyMergePatch(current, patch),
  "application/strategic-merge-patch+json": (kind, current, patch) =>
    applyStrategicMerge(kind.kind, current, patch),
};

/** @throws {ApiError} 415 with the types that this kind takes */
export function patcherFor(kind: ApiKind, type: string): Patcher {
  const patcher = patchers[type];
  if (patcher === undefined || (kind.custom && type.includes("strategic"))) {
    throw unsupportedPatch(kind);
  }
  return patcher;
}

function unsupportedPatch({ custom }: ApiKind): ApiError {
  const types = [
    "application/json-patch+json",
    "application/merge-patch+json",
    ...(custom ? [] : ["application/strategic-merge-patch+json"]),
    "application/apply-patch+yaml",
  ];
  return new ApiError(
    415,
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: ${types.join(", ")}`,
    {},
  );
}
