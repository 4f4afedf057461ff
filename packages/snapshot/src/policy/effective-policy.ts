/**
 * The policy that holds for a source: what is defined for it, then for the directories above it, the user, the host and
 * everybody, then the built-in defaults. Of fields that several define, the most specific counts.
 * Format: docs/format/policies.md. Proof: test/effective-policy.test.ts, test/policy.kopia.test.ts.
 * @module
 */
import { compareUtf8 } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { ManifestSource } from "../snapshots.ts";
import { loadPolicies, policiesFor, type StoredPolicy } from "./policies.ts";
import {
  defaultPolicy,
  emptyPolicy,
  type Policy,
  sortedTimesOfDay,
  type TimeOfDay,
} from "./policy.ts";
import { type FieldKind, policySections, type SectionTable } from "./policy-fields.ts";
import {
  globalPolicyTarget,
  type PolicyTarget,
  sameTarget,
  targetsCovering,
} from "./policy-target.ts";

/** What holds for a target, and where it comes from. */
export interface EffectivePolicy {
  readonly target: PolicyTarget;
  readonly policy: Policy;
  /**
   * Which target a field comes from, by its path: `retention.keepLatest`, `logging.entries.cacheHit`. The built-in defaults
   * count as the global policy's; fields that nothing defines are missing.
   */
  readonly definedBy: ReadonlyMap<string, PolicyTarget>;
}

/**
 * Costs one look at all manifests, which the repository holds in memory, and reads the policies that cover the target.
 * @throws {FormatError} `DM_POLICY_INVALID` when one of those cannot be read
 * @example
 * const { policy } = await effectivePolicy(repository, { host: "h", userName: "u", path: "/data" });
 */
export async function effectivePolicy(
  repository: Pick<ManifestSource, "findManifests">,
  target: PolicyTarget,
  options: CallOptions & {
    /** Counts in the place of what is defined for the target itself. */
    readonly override?: Policy | undefined;
  } = {},
): Promise<EffectivePolicy> {
  const { override, signal } = options;
  return effectiveOf(await loadPolicies(repository, { signal }), target, override);
}

/** {@link effectivePolicy} out of all policies. Several for one target all count, the oldest first, as in Kopia. */
export function effectiveOf(
  all: readonly StoredPolicy[],
  target: PolicyTarget,
  override?: Policy,
): EffectivePolicy {
  const layers: PolicyLayer[] = [];
  for (const covering of targetsCovering(target)) {
    if (override && sameTarget(covering, target)) layers.push({ target, policy: override });
    else layers.push(...policiesFor(all, covering));
  }
  // Commands of a directory are its own: what a directory above defines does not reach it.
  if (!layers[0] || !sameTarget(layers[0].target, target))
    layers.unshift({ target, policy: emptyPolicy });
  const { definedBy, policy } = mergePolicies(layers);
  return { target, policy, definedBy };
}

/** One policy of several that hold together. */
export interface PolicyLayer {
  readonly target: PolicyTarget;
  readonly policy: Policy;
}

type Values = Record<string, unknown>;

/** Merges policies, most specific first, and the built-in defaults unless one of them has `noParent`. */
export function mergePolicies(
  layers: readonly PolicyLayer[],
): Pick<EffectivePolicy, "policy" | "definedBy"> {
  const merged: Values = {};
  const definedBy = new Map<string, PolicyTarget>();
  const add = ({ policy, target }: PolicyLayer): void => {
    for (const [name, fields] of Object.entries(policySections)) {
      merged[name] ??= {};
      const from = policy[name as keyof typeof policySections] as Values;
      mergeSection(fields, merged[name] as Values, from, (field) =>
        definedBy.set(`${name}.${field}`, target),
      );
    }
  };
  const stop = layers.findIndex(({ policy }) => policy.noParent);
  for (const layer of stop < 0 ? layers : layers.slice(0, stop + 1)) add(layer);
  if (stop < 0) {
    add({ policy: defaultPolicy, target: globalPolicyTarget });
    const { afterFolder, beforeFolder } = layers[0]?.policy.actions ?? {};
    merged["actions"] = {
      ...(beforeFolder && { beforeFolder }),
      ...(afterFolder && { afterFolder }),
      ...(merged["actions"] as Values),
    };
  }
  return { policy: merged as unknown as Policy, definedBy };
}

function mergeSection(
  fields: SectionTable,
  into: Values,
  from: Values,
  defines: (field: string) => void,
): void {
  // Flags that stop a list stand behind it in the table, so that they do not stop their own policy's list.
  let stopsUnion = "";
  for (const [name, kind] of Object.entries(fields)) {
    const value = from[name];
    if (typeof kind !== "string") {
      into[name] ??= {};
      mergeSection(kind, into[name] as Values, (value ?? {}) as Values, (field) =>
        defines(`${name}.${field}`),
      );
    } else if (kind === "union") {
      stopsUnion = `noParent${name[0]!.toUpperCase()}${name.slice(1)}`;
      if (into[stopsUnion] || !isDefined(kind, value)) continue;
      into[name] = united((into[name] ?? []) as string[], value as string[]);
      defines(name);
    } else if (kind === "times") {
      if (!isDefined(kind, value)) continue;
      defines(name);
      if (!into["noParentTimeOfDay"])
        into[name] = sortedTimesOfDay([
          ...((into[name] ?? []) as TimeOfDay[]),
          ...(value as TimeOfDay[]),
        ]);
    } else if (kind !== "ownCommand" && isDefined(kind, value) && !isDefined(kind, into[name])) {
      into[name] = value;
      if (kind !== "stopUnion" && kind !== "stopTimes") defines(name);
    }
  }
}

function isDefined(kind: FieldKind, value: unknown): boolean {
  if (value === undefined) return false;
  switch (kind) {
    case "optionalFlag":
    case "optionalInteger":
    case "command":
    case "ownCommand":
      return true;
    case "texts":
    case "union":
    case "times":
      return (value as readonly unknown[]).length > 0;
    default:
      return value !== 0 && value !== false && value !== "";
  }
}

function united(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set([...a, ...b])].sort(compareUtf8);
}
