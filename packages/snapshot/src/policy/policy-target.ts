/**
 * What a policy is for: everything, a host, a user on a host, or a path of a user, and which of these cover a source.
 * Format: docs/format/policies.md. Proof: test/policy-target.test.ts, test/policy.kopia.test.ts.
 * @module
 */
import type { SnapshotSource } from "../snapshot-codec.ts";

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

/** Paths of every system are understood everywhere: `/a/b`, `C:\a\b`, `a/b`. A path without a parent is its own. */
export function parentPath(path: string): string {
  const volume = volumeOf(path);
  let rest = path.slice(volume.length);
  if (rest.length > 1 && isSeparator(rest.at(-1))) rest = rest.slice(0, -1);
  const last = lastSeparator(rest);
  if (last < 0) return path;
  return volume + rest.slice(0, Math.max(last, 1));
}

/** The path below a directory, with slashes; undefined when it is not below it. */
export function pathBelow(directory: string, path: string): string | undefined {
  const base = directory.replace(/\/$/, "").replace(/\\$/, "");
  if (!path.startsWith(base) || !isSeparator(path[base.length])) return undefined;
  const below = path.slice(base.length + 1);
  if (below === "") return undefined;
  return volumeOf(directory) === "" ? below : below.replaceAll("\\", "/");
}

/** Whether a policy can be set for this path: a separator at its end would make it one that is never found. */
export function endsInSeparator(path: string): boolean {
  return path.length > volumeOf(path).length + 1 && isSeparator(path.at(-1));
}

function volumeOf(path: string): string {
  return path.length >= 3 && path[1] === ":" && isSeparator(path[2]) ? path.slice(0, 2) : "";
}

function isSeparator(character: string | undefined): boolean {
  return character === "/" || character === "\\";
}

function lastSeparator(path: string): number {
  return Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
}
