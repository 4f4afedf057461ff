/**
 * Secrets with tokens of service accounts: those that Kubernetes made by itself stay behind, those that somebody asked for are filled
 * by the new cluster. (Velero asks the cluster whether the account is there; here the Secret's own annotation tells.)
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import { type Action, Leave, withField, without } from "./action.ts";

const tokenType = "kubernetes.io/service-account-token";
const accountName = "kubernetes.io/service-account.name";
const accountUid = "kubernetes.io/service-account.uid";

export const restoreSecret: Action = (object) => {
  if (object["type"] !== tokenType) return object;
  const { annotations = {}, name = "" } = object.metadata;
  const account = annotations[accountName];
  if (account && name.startsWith(`${account}-token-`))
    return new Leave("skipped", "it is the token that was made for a service account");
  const { annotations: _old, ...metadata } = object.metadata;
  const kept = without(annotations, [accountUid]);
  const data = without(object["data"] as Record<string, string>, ["token", "ca.crt"]);
  return withField(
    { ...object, metadata: { ...metadata, ...(kept && { annotations: kept }) } },
    "data",
    data,
  );
};
