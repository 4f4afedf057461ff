/**
 * What is backed up together: pods, and the claims that they share, so that their hooks hold them still while all of their volumes are
 * taken. Pure.
 * Proof: test/backup/plan-blocks.test.ts.
 * @module
 */
import type { PersistentVolumeClaim, Pod } from "@dm/crds";

export interface Block {
  readonly pods: readonly Pod[];
  /** Of each pod in the order of its volumes; claims that no pod has are blocks of their own. */
  readonly claims: readonly PersistentVolumeClaim[];
}

/**
 * In the order of the pods, then of the claims that are left. What `ordered` names goes first, in that order and as one block, so
 * that it is done one after the other.
 * @param ordered `namespace/name` of pods, then of claims
 */
export function planBlocks(
  pods: readonly Pod[],
  claims: readonly PersistentVolumeClaim[],
  ordered: { readonly pods: readonly string[]; readonly claims: readonly string[] },
): Block[] {
  const claimsByKey = new Map(claims.map((claim) => [keyOf(claim), claim]));
  const users = new Map<string, Pod[]>();
  for (const pod of pods)
    for (const key of claimKeys(pod)) users.set(key, [...(users.get(key) ?? []), pod]);
  const taken = new Set<Pod | PersistentVolumeClaim>();

  /** With everything that hangs together with it. */
  const take = (block: { pods: Pod[]; claims: PersistentVolumeClaim[] }, first: Pod): void => {
    const open = [first];
    for (let pod = open.shift(); pod !== undefined; pod = open.shift()) {
      if (taken.has(pod)) continue;
      taken.add(pod);
      block.pods.push(pod);
      for (const key of claimKeys(pod)) {
        const claim = claimsByKey.get(key);
        if (claim === undefined || taken.has(claim)) continue;
        taken.add(claim);
        block.claims.push(claim);
        open.push(...(users.get(key) ?? []));
      }
    }
  };

  const blocks: Block[] = [];
  const add = (members: readonly (Pod | PersistentVolumeClaim)[]): void => {
    const block = { pods: [] as Pod[], claims: [] as PersistentVolumeClaim[] };
    for (const member of members) {
      if (taken.has(member)) continue;
      if ("containers" in member.spec) take(block, member as Pod);
      else {
        taken.add(member);
        block.claims.push(member as PersistentVolumeClaim);
      }
    }
    if (block.pods.length + block.claims.length > 0) blocks.push(block);
  };
  add(named(pods, ordered.pods));
  add(named(claims, ordered.claims));
  for (const pod of pods) add([pod]);
  for (const claim of claims) add([claim]);
  return blocks;
}

/** Those that the list names, in its order. */
export function named<T extends { readonly metadata: { name?: string; namespace?: string } }>(
  objects: readonly T[],
  names: readonly string[],
): T[] {
  const byKey = new Map(objects.map((object) => [keyOf(object), object]));
  return names.flatMap((name) => byKey.get(name) ?? []);
}

/** What `spec.orderedResources` says for a kind: `namespace/name,…`. */
export function orderOf(
  ordered: Readonly<Record<string, string>> | null | undefined,
  plural: string,
): string[] {
  const list = ordered?.[plural] ?? "";
  return list.split(",").flatMap((name) => name.trim() || []);
}

export const keyOf = ({
  metadata: { name, namespace },
}: {
  readonly metadata: { name?: string; namespace?: string };
}): string => (namespace ? `${namespace}/${name}` : `${name}`);

export function claimKeys({ metadata, spec }: Pod): string[] {
  return (spec.volumes ?? []).flatMap(({ name, ephemeral, persistentVolumeClaim }) => {
    // Kubernetes makes the claim of an ephemeral volume under this name.
    const own = ephemeral === undefined ? undefined : `${metadata.name}-${name}`;
    const claim = persistentVolumeClaim?.claimName ?? own;
    return claim === undefined ? [] : [`${metadata.namespace}/${claim}`];
  });
}
