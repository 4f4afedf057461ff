/**
 * Service accounts: the token that the old cluster made for one is not the new one's.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import type { Action } from "./action.ts";
import { withField } from "./action.ts";

export const restoreServiceAccount: Action = (object) => {
  const secrets = object["secrets"] as readonly { readonly name?: string }[] | undefined;
  if (secrets === undefined) return object;
  const tokens = `${object.metadata.name}-token-`;
  const kept = secrets.filter(({ name }) => !name?.startsWith(tokens));
  return withField(object, "secrets", kept.length > 0 ? kept : undefined);
};
