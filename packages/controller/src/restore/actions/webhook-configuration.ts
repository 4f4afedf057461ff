/**
 * Admission webhooks: version v1 takes only two values for `sideEffects`, older objects have others.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import type { Action } from "./action.ts";

interface Webhook {
  readonly sideEffects?: string;
}

export const restoreWebhookConfiguration: Action = (object) => {
  const webhooks = object["webhooks"] as readonly Webhook[] | undefined;
  if (object.apiVersion !== "admissionregistration.k8s.io/v1" || !webhooks) return object;
  const isAllowed = ({ sideEffects }: Webhook): boolean =>
    sideEffects === "None" || sideEffects === "NoneOnDryRun";
  return {
    ...object,
    webhooks: webhooks.map((one) => (isAllowed(one) ? one : { ...one, sideEffects: "None" })),
  };
};
