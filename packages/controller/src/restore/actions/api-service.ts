/**
 * API services that the API server itself registers are left to it.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import { type Action, Leave } from "./action.ts";

const autoRegistered = "kube-aggregator.kubernetes.io/automanaged";

export const restoreApiService: Action = (object) =>
  object.metadata.labels?.[autoRegistered] === undefined
    ? object
    : new Leave("skipped", "it is managed by Kubernetes");
