/**
 * The `scale` subresource: how many there shall be, in the same form for all kinds that have a number.
 * Proof: test/api-server/http.test.ts.
 * @module
 */
import type { Json, StoredObject } from "../kube-object.ts";
import { badRequest } from "./api-error.ts";
import type { ScalePaths } from "./api-kind.ts";
import { isObject, valueAt } from "./json.ts";

function fieldsOf(path: string): string[] {
  return path.split(".").slice(1);
}

export function scaleOf(object: StoredObject, paths: ScalePaths): Json {
  const { name, uid, resourceVersion, creationTimestamp, namespace } = object.metadata;
  const selector: Record<string, string> = object.spec?.selector?.matchLabels ?? {};
  const terms = Object.entries(selector).map(([key, value]) => `${key}=${value}`);
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: valueAt(object, fieldsOf(paths.specReplicasPath)) ?? 0 },
    status: {
      replicas: valueAt(object, fieldsOf(paths.statusReplicasPath)) ?? 0,
      selector: terms.join(","),
    },
  };
}

/**
 * Writes the number of a scale into its object.
 * @throws {ApiError} 400
 */
export function setScale(object: StoredObject, paths: ScalePaths, scale: Json): StoredObject {
  const replicas = scale?.spec?.replicas;
  if (!Number.isInteger(replicas) || replicas < 0) {
    throw badRequest("spec.replicas must be a number");
  }
  const [last = "", ...parents] = fieldsOf(paths.specReplicasPath).reverse();
  const parent = valueAt(object, parents.reverse());
  if (isObject(parent)) parent[last] = replicas;
  const { resourceVersion } = scale.metadata ?? {};
  if (resourceVersion) object.metadata.resourceVersion = resourceVersion;
  return object;
}
