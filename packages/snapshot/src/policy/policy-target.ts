/**
 * What a policy is for: everything, a host, a user on a host, or a path of a user, and which of these cover a source.
 * Format: docs/format/policies.md. Proof: test/policy-target.test.ts, test/policy.kopia.test.ts.
 * @module
 */
import type { SnapshotSource } from "../snapshot-codec.ts";
import { parentPath } from "../source/source-path.ts";

/** Empty parts widen it: without a path a user's, without a user a host's, without a host everybody's. */
export type PolicyTarget = SnapshotSource;

/** Everybody's: what it defines, all others inherit. */
export const globalPolicyTarget: PolicyTarget = { host: "", userName: "", path: "" };

/** Labels of the manifest of a target's policy. */
export function policyLabels({ host, path, userName }: PolicyTarget): Record<string, string> {
  if (path !== "")
    return { type: "policy", policyType: "path", username: userName, hostname: host, path };
  if (userName !== "")
    return { type: "policy", policyType: "user", username: userName, hostname: host };
  if (host !== "") return { type: "policy", policyType: "host", hostname: host };
  return { type: "policy", policyType: "global" };
}

/** The reverse of {@link policyLabels}; labels that are missing are empty parts. */
export function targetOfLabels(labels: Readonly<Record<string, string>>): PolicyTarget {
  return {
    host: labels["hostname"] ?? "",
    userName: labels["username"] ?? "",
    path: labels["path"] ?? "",
  };
}

export function sameTarget(a: PolicyTarget, b: PolicyTarget): boolean {
  return a.path === b.path && a.userName === b.userName && a.host === b.host;
}

/** Targets whose policies a source inherits, most specific first; the source itself is the first. */
export function targetsCovering(source: PolicyTarget): PolicyTarget[] {
  const { host, userName } = source;
  const targets: PolicyTarget[] = [];
  for (let path = source.path; path !== ""; ) {
    targets.push({ host, userName, path });
    const parent = parentPath(path);
    if (parent === path) break;
    path = parent;
  }
  if (userName !== "") targets.push({ host, userName, path: "" });
  if (host !== "") targets.push({ host, userName: "", path: "" });
  targets.push(globalPolicyTarget);
  return targets;
}
