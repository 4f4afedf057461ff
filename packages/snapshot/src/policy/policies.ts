/**
 * The policies of a repository: manifests of the type `policy`, one for each target.
 * Format: docs/format/policies.md. Proof: test/policies.test.ts, test/policy.kopia.test.ts.
 * @module
 */
import { NotFoundError } from "@dm/core";
import type { ManifestEntry } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { ManifestWriter } from "../edit.ts";
import type { ManifestSource } from "../snapshots.ts";
import { endsInSeparator } from "../source/source-path.ts";
import { emptyPolicy, type Policy } from "./policy.ts";
import { decodePolicy, encodePolicy } from "./policy-codec.ts";
import { type PolicyTarget, policyLabels, sameTarget, targetOfLabels } from "./policy-target.ts";

/** What is needed of a write session to change policies. */
export type PolicyWriter = ManifestWriter & Pick<ManifestSource, "findManifests">;

/** A policy as the repository has it. */
export interface StoredPolicy {
  /** Of its manifest; another one after each change. */
  readonly id: string;
  readonly target: PolicyTarget;
  readonly policy: Policy;
}

/**
 * The policy defined for exactly this target, nothing inherited; undefined when there is none. Of several (two clients have
 * set it at once) one is picked as Kopia does: the later one, or the one with the greater id.
 * @throws {FormatError} `DM_POLICY_INVALID`
 */
export async function readPolicy(
  repository: Pick<ManifestSource, "findManifests">,
  target: PolicyTarget,
  options: CallOptions = {},
): Promise<Policy | undefined> {
  let pick: ManifestEntry | undefined;
  for (const entry of await manifestsOf(repository, target, options)) {
    if (!pick || entry.modifiedAtNs > pick.modifiedAtNs || entry.id > pick.id) pick = entry;
  }
  return pick && decodePolicy(pick.data, pick.id);
}

/**
 * All policies, in the order in which they were set.
 * @throws {FormatError} `DM_POLICY_INVALID`
 * @example
 * for (const { id, target } of await listPolicies(repository)) console.log(id, target.path);
 */
export async function listPolicies(
  repository: Pick<ManifestSource, "findManifests">,
  options: CallOptions = {},
): Promise<StoredPolicy[]> {
  const policies = await loadPolicies(repository, options);
  return policies.map(({ id, policy, target }) => ({ id, policy, target }));
}

/** {@link listPolicies}, but each is read when it is asked for: a damaged one concerns only those that it covers. */
export async function loadPolicies(
  repository: Pick<ManifestSource, "findManifests">,
  options: CallOptions = {},
): Promise<StoredPolicy[]> {
  const entries = await repository.findManifests({ type: "policy" }, options);
  return entries.map((entry) => new UnreadPolicy(entry));
}

class UnreadPolicy implements StoredPolicy {
  readonly id: string;
  readonly target: PolicyTarget;
  readonly #data: string;
  #policy: Policy | undefined;

  constructor({ data, id, labels }: ManifestEntry) {
    this.id = id;
    this.target = targetOfLabels(labels);
    this.#data = data;
  }

  get policy(): Policy {
    this.#policy ??= decodePolicy(this.#data, this.id);
    return this.#policy;
  }
}

/**
 * One policy by the id of its manifest.
 * @throws {NotFoundError} `DM_POLICY_NOT_FOUND`, also when the manifest is something else
 * @throws {FormatError} `DM_POLICY_INVALID`
 */
export async function openPolicy(
  repository: Pick<ManifestSource, "findManifests">,
  id: string,
  options: CallOptions = {},
): Promise<StoredPolicy> {
  const found = (await loadPolicies(repository, options)).find((stored) => stored.id === id);
  if (found) return { id, policy: found.policy, target: found.target };
  throw new NotFoundError(
    "DM_POLICY_NOT_FOUND",
    `policy ${id} does not exist: it was deleted, or has a new id since it was changed`,
    { manifestId: id },
  );
}

/**
 * Puts a policy in the place of whatever is defined for the target; visible with the session's next flush.
 * @returns the id of its manifest
 * @throws {RangeError} when the policy contradicts itself or its target, see {@link checkPolicy}
 * @example
 * await setPolicy(session, { host: "h", userName: "u", path: "/data" }, {
 *   ...emptyPolicy,
 *   compression: { compressorName: "zstd-fastest" },
 * });
 */
export async function setPolicy(
  session: PolicyWriter,
  target: PolicyTarget,
  policy: Policy,
  options: CallOptions = {},
): Promise<string> {
  checkPolicy(target, policy);
  const rawData = encodePolicy(policy);
  await deletePolicy(session, target, options);
  return session.putManifest(policyLabels(target), undefined, { rawData });
}

/** Removes what is defined for the target; answers how many manifests that were. */
export async function deletePolicy(
  session: PolicyWriter,
  target: PolicyTarget,
  options: CallOptions = {},
): Promise<number> {
  const found = await manifestsOf(session, target, options);
  for (const { id } of found) await session.deleteManifest(id, options);
  return found.length;
}

/**
 * Reads what is defined for a target, lets it be changed and puts it back: for single fields.
 * @returns the id of its manifest
 * @throws {RangeError} as {@link setPolicy}
 */
export async function updatePolicy(
  session: PolicyWriter,
  target: PolicyTarget,
  change: (policy: Policy) => Policy,
  options: CallOptions = {},
): Promise<string> {
  const policy = (await readPolicy(session, target, options)) ?? emptyPolicy;
  return setPolicy(session, target, change(policy), options);
}

/** @throws {RangeError} when the policy contradicts itself or cannot be one for this target */
export function checkPolicy(target: PolicyTarget, policy: Policy): void {
  const { manual, ...schedule } = policy.scheduling;
  if (manual && Object.values(schedule).some((value) => value !== undefined))
    throw new RangeError(
      "invalid scheduling policy: manual cannot be combined with other scheduling policies",
    );
  if (target.path === "") return;
  if (policy.upload.maxParallelSnapshots !== undefined)
    throw new RangeError(
      "max parallel snapshots cannot be specified for paths, only global, username@hostname or @hostname",
    );
  if (endsInSeparator(target.path))
    throw new RangeError("path cannot end with a slash or a backslash");
}

/** Manifests of exactly this target, oldest first. */
async function manifestsOf(
  repository: Pick<ManifestSource, "findManifests">,
  target: PolicyTarget,
  options: CallOptions,
): Promise<ManifestEntry[]> {
  return repository.findManifests(policyLabels(target), options);
}

/** The policies that stand for a target, oldest first, out of all. */
export function policiesFor(all: readonly StoredPolicy[], target: PolicyTarget): StoredPolicy[] {
  return all.filter((stored) => sameTarget(stored.target, target));
}
