/**
 * Role-based access: what a user may do by the roles that are bound to him. Everybody may read discovery and ask about himself;
 * members of `system:masters` may do everything.
 * Proof: test/api-server/access.test.ts.
 * @module
 */
import type { Json, StoredObject } from "../kube-object.ts";
import { ApiError } from "./api-error.ts";
import { mastersGroup, type User } from "./authentication.ts";
import { type ObjectStore, storeKey } from "./object-store.ts";

/** What a request wants to do. */
export interface AccessAttributes {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  /** Empty for a collection. */
  readonly name: string;
  /** Undefined at the scope of the cluster, and for all namespaces. */
  readonly namespace: string | undefined;
  /** Set instead of all others for paths that are no resources. */
  readonly path?: string | undefined;
}

export const roleGroup = "rbac.authorization.k8s.io";

/** Whether one of the rules that hold for the user allows it. */
export function isAllowed(store: ObjectStore, user: User, wanted: AccessAttributes): boolean {
  if (user.groups.includes(mastersGroup)) return true;
  if (isForEverybody(wanted)) return true;
  for (const rule of rulesOf(store, user, wanted.namespace)) {
    if (ruleAllows(rule, wanted)) return true;
  }
  return false;
}

function isForEverybody({ path, verb, group, resource }: AccessAttributes): boolean {
  if (path !== undefined)
    return verb === "get" && /^\/(api|apis|openapi|version|healthz|livez|readyz)(\/|$)/.test(path);
  return (
    verb === "create" &&
    ((group === "authorization.k8s.io" && resource.startsWith("selfsubject")) ||
      (group === "authentication.k8s.io" && resource === "selfsubjectreviews"))
  );
}

/** The rules of all roles that are bound to the user, in the whole cluster and in this namespace. */
export function* rulesOf(
  store: ObjectStore,
  user: User,
  namespace: string | undefined,
): Generator<Json> {
  for (const binding of store.list(`clusterrolebindings.${roleGroup}`)) {
    if (bindsUser(binding, user)) yield* roleRules(store, binding, undefined);
  }
  if (namespace === undefined) return;
  for (const binding of store.list(`rolebindings.${roleGroup}`, storeKey(namespace, ""))) {
    if (bindsUser(binding, user)) yield* roleRules(store, binding, namespace);
  }
}

function bindsUser(binding: StoredObject, user: User): boolean {
  return (binding["subjects"] ?? []).some((subject: Json) => {
    switch (subject.kind) {
      case "User":
        return subject.name === user.name;
      case "Group":
        return user.groups.includes(subject.name);
      case "ServiceAccount":
        return user.name === `system:serviceaccount:${subject.namespace}:${subject.name}`;
      default:
        return false;
    }
  });
}

function roleRules(
  store: ObjectStore,
  binding: StoredObject,
  namespace: string | undefined,
): readonly Json[] {
  const reference = binding["roleRef"] ?? {};
  const role =
    reference.kind === "ClusterRole"
      ? store.get(`clusterroles.${roleGroup}`, storeKey("", reference.name))
      : namespace !== undefined
        ? store.get(`roles.${roleGroup}`, storeKey(namespace, reference.name))
        : undefined;
  return role?.["rules"] ?? [];
}

function ruleAllows(rule: Json, wanted: AccessAttributes): boolean {
  const has = (list: Json, value: string): boolean =>
    Array.isArray(list) && (list.includes(value) || list.includes("*"));
  if (!has(rule.verbs, wanted.verb)) return false;
  if (wanted.path !== undefined) {
    const { path } = wanted;
    return (rule.nonResourceURLs ?? []).some((one: string) =>
      one.endsWith("*") ? path.startsWith(one.slice(0, -1)) : path === one,
    );
  }
  if (!has(rule.apiGroups, wanted.group)) return false;
  const { resource, subresource, name } = wanted;
  const names =
    subresource === "" ? [resource] : [`${resource}/${subresource}`, `*/${subresource}`];
  if (!names.some((one) => has(rule.resources, one))) return false;
  const only: Json = rule.resourceNames ?? [];
  return only.length === 0 || (name !== "" && only.includes(name));
}

/** 403 with the text that people know. */
export function accessDenied(user: User, wanted: AccessAttributes): ApiError {
  const { verb, group, resource, subresource, name, namespace, path } = wanted;
  const who = `User ${JSON.stringify(user.name)} cannot ${verb}`;
  if (path !== undefined) {
    return new ApiError(403, "Forbidden", `forbidden: ${who} path ${JSON.stringify(path)}`, {});
  }
  const full = subresource === "" ? resource : `${resource}/${subresource}`;
  const qualified = group === "" ? resource : `${resource}.${group}`;
  const what = name === "" ? qualified : `${qualified} ${JSON.stringify(name)}`;
  const where =
    namespace === undefined
      ? "at the cluster scope"
      : `in the namespace ${JSON.stringify(namespace)}`;
  return new ApiError(
    403,
    "Forbidden",
    `${what} is forbidden: ${who} resource ${JSON.stringify(full)} in API group ${JSON.stringify(group)} ${where}`,
    { ...(name === "" ? {} : { name }), ...(group === "" ? {} : { group }), kind: resource },
  );
}
