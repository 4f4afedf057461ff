/**
 * Nobody gives others, or himself, rights that he does not have: roles with more than the writer's own rules need the verb
 * `escalate`, bindings to such roles the verb `bind`.
 * Proof: test/api-server/access.test.ts.
 * @module
 */
import type { Json, StoredObject } from "../kube-object.ts";
import { ApiError } from "./api-error.ts";
import { type ApiKind, resourceOf } from "./api-kind.ts";
import { mastersGroup, type User } from "./authentication.ts";
import { type ObjectStore, storeKey } from "./object-store.ts";
import { type AccessAttributes, isAllowed, roleGroup, rulesOf } from "./rbac.ts";

export interface Grant {
  readonly store: ObjectStore;
  readonly user: User;
  readonly kind: ApiKind;
  /** Undefined at the scope of the cluster. */
  readonly namespace: string | undefined;
  /** Told what was refused. */
  readonly refused: (wanted: AccessAttributes) => void;
}

/** @throws {ApiError} 403 */
export function forbidEscalation(grant: Grant, object: StoredObject): void {
  const { kind, namespace, store, user } = grant;
  if (kind.group !== roleGroup || user.groups.includes(mastersGroup)) return;
  const isBinding = kind.kind.endsWith("Binding");
  const reference = isBinding ? object["roleRef"] : { kind: kind.kind, name: object.metadata.name };
  const resource = reference?.kind === "ClusterRole" ? "clusterroles" : "roles";
  const name: string = reference?.name ?? "";
  const rules: readonly Json[] = isBinding
    ? (store.get(
        `${resource}.${roleGroup}`,
        storeKey(resource === "roles" ? (namespace ?? "") : "", name),
      )?.["rules"] ?? [])
    : (object["rules"] ?? []);
  const verb = isBinding ? "bind" : "escalate";
  const wanted = { verb, group: roleGroup, resource, subresource: "", name, namespace };
  if (isAllowed(store, user, wanted)) return;
  const own = [...rulesOf(store, user, namespace)];
  const missing = rules.filter((rule) => !isCovered(rule, own));
  if (missing.length === 0) return;
  grant.refused(wanted);
  const list = missing
    .map(
      ({ apiGroups = [], resources = [], verbs = [] }) =>
        `{APIGroups:${JSON.stringify(apiGroups)}, Resources:${JSON.stringify(resources)}, Verbs:${JSON.stringify(verbs)}}`,
    )
    .join("\n");
  throw new ApiError(
    403,
    "Forbidden",
    `${resourceOf(kind)} ${JSON.stringify(object.metadata.name)} is forbidden: user ${JSON.stringify(user.name)} is attempting to grant RBAC permissions not currently held:\n${list}`,
    { name: object.metadata.name, group: roleGroup, kind: kind.plural },
  );
}

/** Every verb on every resource of the rule is in one of the writer's own; names of objects are not looked into. */
function isCovered(rule: Json, own: readonly Json[]): boolean {
  const has = (list: Json, value: string): boolean =>
    Array.isArray(list) && (list.includes(value) || list.includes("*"));
  const some = (test: (one: Json) => boolean): boolean =>
    own.some((one) => (one.resourceNames ?? []).length === 0 && test(one));
  const verbs: string[] = rule.verbs ?? [];
  const groups: string[] = rule.apiGroups ?? [];
  const resources: string[] = rule.resources ?? [];
  const paths: string[] = rule.nonResourceURLs ?? [];
  return verbs.every(
    (verb) =>
      paths.every((path) =>
        some((one) => has(one.verbs, verb) && has(one.nonResourceURLs, path)),
      ) &&
      groups.every((group) =>
        resources.every((resource) =>
          some(
            (one) =>
              has(one.verbs, verb) && has(one.apiGroups, group) && has(one.resources, resource),
          ),
        ),
      ),
  );
}
