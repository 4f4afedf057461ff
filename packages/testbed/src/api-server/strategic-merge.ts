/**
 * Strategic merge patch for built-in kinds: lists whose items have a key are merged item by item.
 * Proof: test/api-server/patches.test.ts.
 * @module
 */
import type { Json } from "../kube-object.ts";
import { badRequest } from "./api-error.ts";
import { copyJson, equalJson, isObject } from "./json.ts";

/** Key of the items of a list, by the name of its field; the same name means the same list in all kinds but for `ports`. */
const mergeKeys: Readonly<Record<string, string>> = {
  containers: "name",
  initContainers: "name",
  ephemeralContainers: "name",
  volumes: "name",
  env: "name",
  volumeMounts: "mountPath",
  volumeDevices: "devicePath",
  ownerReferences: "uid",
  conditions: "type",
  imagePullSecrets: "name",
  hostAliases: "ip",
  topologySpreadConstraints: "topologyKey",
  taints: "key",
  addresses: "type",
  podIPs: "ip",
  resourceClaims: "name",
};

/** Lists of plain values that are merged as sets. */
const sets: ReadonlySet<string> = new Set(["finalizers"]);

/** The key by which items of this list are told apart; undefined for lists that are replaced as a whole. */
export function listMergeKey(kind: string, field: string): string | undefined {
  if (field === "ports") return kind === "Service" ? "port" : "containerPort";
  if (field === "secrets") return kind === "ServiceAccount" ? "name" : undefined;
  return mergeKeys[field];
}

export function isSetField(field: string): boolean {
  return sets.has(field);
}

/** @throws {ApiError} 400 */
export function applyStrategicMerge(kind: string, document: Json, patch: Json): Json {
  if (!isObject(patch)) throw badRequest("error decoding patch: a merge patch is an object");
  return mergeObject(kind, document, patch);
}

function mergeObject(kind: string, target: Json, patch: Record<string, Json>): Json {
  if (patch["$patch"] === "replace") {
    const { $patch: _, ...rest } = patch;
    return copyJson(rest);
  }
  if (patch["$patch"] === "delete") return {};
  const result: Record<string, Json> = isObject(target) ? copyJson(target) : {};
  const retained = patch["$retainKeys"];
  if (Array.isArray(retained)) {
    for (const name of Object.keys(result)) if (!retained.includes(name)) delete result[name];
  }
  for (const [name, value] of Object.entries(patch)) {
    if (name === "__proto__" || name.startsWith("$")) continue;
    const before = Object.hasOwn(result, name) ? result[name] : undefined;
    if (value === null) delete result[name];
    else if (Array.isArray(value)) result[name] = mergeList(kind, name, before, value);
    else if (isObject(value)) result[name] = mergeObject(kind, before, value);
    else result[name] = value;
  }
  applyListDirectives(kind, result, patch);
  return result;
}

function mergeList(kind: string, field: string, before: Json, patch: readonly Json[]): Json[] {
  const existing: Json[] = Array.isArray(before) ? before : [];
  const key = listMergeKey(kind, field);
  if (key === undefined || !patch.every(isObject)) {
    if (!isSetField(field)) return copyJson(patch) as Json[];
    return [...new Set([...existing, ...patch])];
  }
  const replace = patch.some((item) => item["$patch"] === "replace");
  let result = replace ? [] : copyJson(existing);
  for (const item of patch) {
    const directive = item["$patch"];
    if (directive === "replace" && item[key] === undefined) continue;
    if (item[key] === undefined) {
      throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
    }
    if (directive === "delete") {
      result = result.filter((one) => !equalJson(one[key], item[key]));
      continue;
    }
    const index = result.findIndex((one) => equalJson(one?.[key], item[key]));
    if (index < 0) result.push(mergeObject(kind, {}, item));
    else result[index] = mergeObject(kind, result[index], item);
  }
  return result;
}

const orderPrefix = "$setElementOrder/";
const deletePrefix = "$deleteFromPrimitiveList/";

function applyListDirectives(
  kind: string,
  result: Record<string, Json>,
  patch: Record<string, Json>,
): void {
  for (const [name, value] of Object.entries(patch)) {
    if (!Array.isArray(value)) continue;
    if (name.startsWith(deletePrefix)) {
      const field = name.slice(deletePrefix.length);
      const list = result[field];
      if (Array.isArray(list)) result[field] = list.filter((one) => !value.includes(one));
    } else if (name.startsWith(orderPrefix)) {
      const field = name.slice(orderPrefix.length);
      const list = result[field];
      if (!Array.isArray(list)) continue;
      const key = listMergeKey(kind, field);
      const idOf = (item: Json): Json => (isObject(item) && key ? item[key] : item);
      const order = value.map(idOf);
      const rank = (item: Json): number => {
        const at = order.indexOf(idOf(item));
        return at < 0 ? order.length : at;
      };
      result[field] = [...list].sort((a, b) => rank(a) - rank(b));
    }
  }
}
