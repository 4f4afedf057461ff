/**
 * Which policy counts where in a source. At its root the effective policy; at an entry below for which a policy is defined,
 * that policy as it stands, inheriting nothing (so does Kopia's uploader, whatever `policy show` prints); elsewhere that of the
 * directory above.
 * Format: docs/format/policies.md. Proof: test/policy-tree.test.ts, test/policy.kopia.test.ts.
 * @module
 */
import type { CallOptions } from "@dm/storage";
import type { SnapshotSource } from "../snapshot-codec.ts";
import type { ManifestSource } from "../snapshots.ts";
import { pathBelow } from "../source/source-path.ts";
import { effectiveOf } from "./effective-policy.ts";
import { loadPolicies, type StoredPolicy } from "./policies.ts";
import type { Policy } from "./policy.ts";

/** One directory or file of a source, as policies see it. Children without policies of their own share one node. */
export class PolicyTree {
  readonly policy: Policy;
  /** Whether `policy` is defined for this very entry, the root included; ignore rules are read where it is. */
  readonly isDefined: boolean;
  readonly #children = new Map<string, PolicyTree>();
  #heir: PolicyTree | undefined;

  constructor(policy: Policy, isDefined = true) {
    this.policy = policy;
    this.isDefined = isDefined;
  }

  /** The node of an entry of this directory. Allocates at most once. */
  child(name: string): PolicyTree {
    const child = this.#children.get(name);
    if (child) return child;
    if (!this.isDefined && this.#children.size === 0) return this;
    this.#heir ??= new PolicyTree(this.policy, false);
    return this.#heir;
  }

  /** @internal A tree of the root's policy and those of paths below it. */
  static of(root: Policy, below: ReadonlyMap<string, Policy>): PolicyTree {
    const outline: Outline = { policy: root, children: new Map() };
    for (const [path, policy] of below) {
      let node = outline;
      for (const name of path.split("/")) {
        let next = node.children.get(name);
        if (!next) {
          next = { policy: undefined, children: new Map() };
          node.children.set(name, next);
        }
        node = next;
      }
      node.policy = policy;
    }
    return PolicyTree.#grow(outline, root);
  }

  static #grow(outline: Outline, inherited: Policy): PolicyTree {
    const policy = outline.policy ?? inherited;
    const tree = new PolicyTree(policy, outline.policy !== undefined);
    for (const [name, child] of outline.children)
      tree.#children.set(name, PolicyTree.#grow(child, policy));
    return tree;
  }
}

interface Outline {
  policy: Policy | undefined;
  readonly children: Map<string, Outline>;
}

/**
 * The policies of a source and of what lies below it, as they stand now.
 * @throws {FormatError} `DM_POLICY_INVALID`
 * @example
 * const tree = await policyTree(repository, { host: "h", userName: "u", path: "/data" });
 * const compressor = compressorOf(tree.child("logs").child("app.log").policy, "app.log", 1234);
 */
export async function policyTree(
  repository: Pick<ManifestSource, "findManifests">,
  source: SnapshotSource,
  options: CallOptions & {
    /** Counts in the place of what is defined for the source itself. */
    readonly override?: Policy | undefined;
  } = {},
): Promise<PolicyTree> {
  const { override, signal } = options;
  return policyTreeOf(await loadPolicies(repository, { signal }), source, override);
}

/** {@link policyTree} out of all policies. */
export function policyTreeOf(
  all: readonly StoredPolicy[],
  source: SnapshotSource,
  override?: Policy,
): PolicyTree {
  const below = new Map<string, Policy>();
  for (const stored of all) {
    const { host, path, userName } = stored.target;
    if (host !== source.host || userName !== source.userName) continue;
    const relative = pathBelow(source.path, path);
    if (relative) below.set(relative, stored.policy);
  }
  return PolicyTree.of(effectiveOf(all, source, override).policy, below);
}
