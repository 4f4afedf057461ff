/**
 * Copies policies to another repository. Proof: test/migrate-snapshots.test.ts.
 * @module
 */
import { isDmError } from "@dm/core";
import type { Repository } from "@dm/repo";
import { loadPolicies, readPolicy, setPolicy } from "../policy/policies.ts";
import { encodePolicy } from "../policy/policy-codec.ts";
import { type PolicyTarget, sameTarget } from "../policy/policy-target.ts";
import type { MigrateOptions } from "./migrate-snapshots.ts";

export interface MigratedPolicies {
  policiesMigrated: number;
  policiesKept: number;
  policiesFailed: number;
}

export async function migratePolicies(
  from: Repository,
  to: Repository,
  options: MigrateOptions,
): Promise<MigratedPolicies> {
  const { onEvent, overwritePolicies = false, signal, sources } = options;
  const report = { policiesMigrated: 0, policiesKept: 0, policiesFailed: 0 };
  const isWanted = (target: PolicyTarget): boolean =>
    !sources || sources.some((source) => sameTarget(source, target));
  await using session = await to.openWriteSession({ signal });
  for (const stored of await loadPolicies(from, { signal })) {
    const { target } = stored;
    if (!isWanted(target)) continue;
    try {
      const known = await readPolicy(session, target, { signal });
      const isSame = known && encodePolicy(known) === encodePolicy(stored.policy);
      if (known && (isSame || !overwritePolicies)) {
        report.policiesKept += 1;
        onEvent?.({ type: "policyKept", target });
        continue;
      }
      await setPolicy(session, target, stored.policy, { signal });
      report.policiesMigrated += 1;
      onEvent?.({ type: "policyMigrated", target });
    } catch (error) {
      // A policy that cannot be read, or that contradicts itself.
      if (!isDmError(error, "DM_POLICY_INVALID") && !(error instanceof RangeError)) throw error;
      report.policiesFailed += 1;
      onEvent?.({ type: "policyFailed", target, error });
    }
  }
  await session.commit({ signal });
  return report;
}
