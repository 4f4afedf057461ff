/**
 * Questions that are asked by POST and stored nowhere: may I, may he, who am I, whose token is this; and tokens on request.
 * Proof: test/api-server/access.test.ts.
 * @module
 */

import { timestampOf } from "../controllers/timestamp.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import { badRequest, unknownPath } from "./api-error.ts";
import type { Authenticator, User } from "./authentication.ts";
import type { ObjectStore } from "./object-store.ts";
import { type AccessAttributes, isAllowed, rulesOf } from "./rbac.ts";

export interface ReviewWorld {
  readonly store: ObjectStore;
  readonly authenticator: Authenticator;
}

/** The answer: the question with its `status`. */
export function answerReview(world: ReviewWorld, user: User, review: Json): StoredObject {
  const spec = review.spec ?? {};
  const status = answer(world, user, String(review.kind), spec);
  const metadata = { creationTimestamp: null, ...review.metadata };
  return { ...review, metadata, spec, status };
}

function answer(world: ReviewWorld, user: User, kind: string, spec: Json): Json {
  switch (kind) {
    case "SelfSubjectAccessReview":
      return accessStatus(world.store, user, spec);
    case "SubjectAccessReview": {
      const other = { name: spec.user ?? "", groups: spec.groups ?? [] };
      return accessStatus(world.store, other, spec);
    }
    case "SelfSubjectRulesReview":
      return rulesStatus(world.store, user, spec.namespace ?? "default");
    case "SelfSubjectReview":
      return { userInfo: userInfo(user) };
    case "TokenReview": {
      const found = world.authenticator.userOf(String(spec.token ?? ""));
      return found === undefined
        ? { authenticated: false, error: "the token is not one of this server" }
        : { authenticated: true, user: userInfo(found) };
    }
    default:
      throw unknownPath();
  }
}

function userInfo(user: User): Json {
  return { username: user.name, groups: user.groups };
}

function accessStatus(store: ObjectStore, user: User, spec: Json): Json {
  const allowed = isAllowed(store, user, attributesOf(spec));
  return { allowed, ...(allowed ? { reason: "RBAC: allowed" } : {}) };
}

function attributesOf(spec: Json): AccessAttributes {
  const nothing = { group: "", resource: "", subresource: "", name: "", namespace: undefined };
  const path = spec.nonResourceAttributes;
  if (path) return { ...nothing, verb: path.verb ?? "", path: path.path ?? "" };
  const wanted = spec.resourceAttributes;
  if (!wanted) throw badRequest("a review needs resourceAttributes or nonResourceAttributes");
  return {
    verb: wanted.verb ?? "",
    group: wanted.group ?? "",
    resource: wanted.resource ?? "",
    subresource: wanted.subresource ?? "",
    name: wanted.name ?? "",
    namespace: wanted.namespace || undefined,
  };
}

function rulesStatus(store: ObjectStore, user: User, namespace: string): Json {
  const rules = user.groups.includes("system:masters")
    ? [
        { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
        { verbs: ["*"], nonResourceURLs: ["*"] },
      ]
    : [...rulesOf(store, user, namespace)];
  return {
    resourceRules: rules
      .filter(({ resources }) => resources?.length > 0)
      .map(({ verbs, apiGroups, resources, resourceNames }) => ({
        verbs,
        apiGroups,
        resources,
        ...(resourceNames === undefined ? {} : { resourceNames }),
      })),
    nonResourceRules: rules
      .filter(({ nonResourceURLs }) => nonResourceURLs?.length > 0)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
    incomplete: false,
  };
}

/** An hour by default, as a real server; the time is told, but the testbed's tokens do not run out. */
const defaultTokenSeconds = 3600;

/** The answer to a TokenRequest for a service account. */
export function answerTokenRequest(
  world: ReviewWorld,
  account: StoredObject,
  request: Json,
  nowMs: number,
): Json {
  const seconds = request.spec?.expirationSeconds ?? defaultTokenSeconds;
  const { name, namespace = "" } = account.metadata;
  return {
    kind: "TokenRequest",
    apiVersion: "authentication.k8s.io/v1",
    metadata: { name, namespace, creationTimestamp: timestampOf(nowMs) },
    spec: { audiences: [], boundObjectRef: null, ...request.spec, expirationSeconds: seconds },
    status: {
      token: world.authenticator.tokenFor(namespace, name),
      expirationTimestamp: timestampOf(nowMs + seconds * 1000),
    },
  };
}
