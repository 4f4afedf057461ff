/**
 * Pods and claims of a Backup, in blocks whose volumes are taken while their pods are held still; then they go into the backup, each
 * claim after its volume, each pod after its claims.
 * Proof: test/backup/run-backup.test.ts, test/backup/pod-volumes.test.ts.
 * @module
 */
import { mapConcurrent } from "@dm/core";
import {
  type ConfigMap,
  configMaps,
  type KubeObject,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  type Resource,
  type VolumeSnapshotClass,
  volumeSnapshotClasses,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@dm/crds";
import type { BoundClaim } from "../pod-volume/index.ts";
import { isNotFound } from "../runtime/kube-errors.ts";
import { resourceName } from "../scope/resource-names.ts";
import { isSelected } from "../scope/scope.ts";
import { addWithNeeds, coveredPages } from "./add-kinds.ts";
import { type BlockEnd, type BlockPlan, backUpBlock } from "./back-up-block.ts";
import { settingsOf } from "./backup-deps.ts";
import { claimItem, type SettledClaim } from "./backup-record.ts";
import { addItem, addWarning, type BackupRun } from "./backup-run.ts";
import { contentItem, snapshotItem } from "./kept-snapshots.ts";
import { listAll } from "./list-all.ts";
import { type Block, claimKeys, keyOf, orderOf, planBlocks } from "./plan-blocks.ts";
import { planVolumes } from "./volume-plan.ts";
import { readVolumePolicy, type VolumePolicy } from "./volume-policy.ts";

const readConcurrency = 8;

export async function backUpVolumes(
  run: BackupRun,
): Promise<{ claims: SettledClaim[]; ends: BlockEnd[] }> {
  const { backup, deps, log, options } = run;
  const spec = backup.spec ?? {};
  const { boundClaims, included, selected } = await collectVolumes(run);
  const policy = await policyOf(run);
  const volumes = planVolumes(spec, selected, [...boundClaims.values()], policy);
  for (const { pod, reason } of volumes.skipped) addWarning(run, [pods, pod], reason);
  const ordered = {
    pods: orderOf(spec.orderedResources, "pods"),
    claims: orderOf(spec.orderedResources, "persistentvolumeclaims"),
  };
  const blocks = planBlocks(selected, included, ordered);
  const plan: BlockPlan = { volumes, bound: boundClaims, classes: await snapshotClasses(run) };
  log.info("Planned blocks of pods and claims", {
    blocks: blocks.length,
    pods: selected.length,
    claims: included.length,
  });
  // What has an order goes one after the other.
  const isOrdered = (block: Block): boolean =>
    block.pods.some((pod) => ordered.pods.includes(keyOf(pod))) ||
    block.claims.some((claim) => ordered.claims.includes(keyOf(claim)));
  const ends: BlockEnd[] = [];
  for (const block of blocks.filter(isOrdered)) ends.push(await backUpBlock(run, block, plan));
  const others = blocks.filter((block) => !isOrdered(block));
  ends.push(
    ...(await mapConcurrent(others, (block) => backUpBlock(run, block, plan), {
      concurrency: settingsOf(deps).blockConcurrency,
      signal: options.signal,
    })),
  );
  const claims = ends.flatMap((end) => end.claims);
  const settled = new Map(claims.map((one) => [keyOf(one.claim), one]));
  const inTurn = [...blocks.filter(isOrdered), ...others];
  for (const [index, block] of inTurn.entries()) {
    for (const pod of block.pods) {
      for (const key of claimKeys(pod)) await addClaim(run, settled.get(key), plan.classes);
      if (!ends[index]?.failedPods.has(pod)) await addWithNeeds(run, pods, pod);
    }
    for (const claim of block.claims) await addClaim(run, settled.get(keyOf(claim)), plan.classes);
  }
  return { claims, ends };
}

/** The claim after its volume; one that could not be taken is left out, as it would come back empty. */
async function addClaim(
  run: BackupRun,
  settled: SettledClaim | undefined,
  classes: readonly VolumeSnapshotClass[],
): Promise<void> {
  if (settled === undefined || run.archive.has(persistentVolumeClaims, settled.claim)) return;
  const { claim, outcome, volume } = settled;
  const permits = (resource: Resource): boolean => {
    const served = run.find(resourceName(resource));
    return served !== undefined && run.scope.permits(served);
  };
  if (volume && permits(persistentVolumes)) await addItem(run, persistentVolumes, volume);
  if (outcome.do === "fail") return;
  if (outcome.do === "keep") {
    const { content, snapshot } = outcome;
    const name = snapshot.spec.volumeSnapshotClassName ?? "";
    const snapshotClass = classes.find(({ metadata }) => metadata.name === name);
    if (snapshotClass) await addItem(run, volumeSnapshotClasses, snapshotClass);
    await addItem(run, volumeSnapshotContents, contentItem(run.backup, content));
    await addItem(run, volumeSnapshots, snapshotItem(run.backup, snapshot, content));
  }
  await addItem(run, persistentVolumeClaims, claimItem(run.backup, claim, outcome));
}

interface CollectedVolumes {
  readonly selected: readonly Pod[];
  /** Those of the Backup, and those that its pods mount. */
  readonly boundClaims: ReadonlyMap<PersistentVolumeClaim, BoundClaim>;
  /** Of the Backup: none when it leaves claims out, though the files of its pods are backed up. */
  readonly included: readonly PersistentVolumeClaim[];
}

async function collectVolumes(run: BackupRun): Promise<CollectedVolumes> {
  const { backup, deps, options } = run;
  const spec = backup.spec ?? {};
  const isListed = (resource: Resource): boolean => {
    const served = run.find(resourceName(resource));
    return served !== undefined && run.scope.lists(served);
  };
  const covered = async <T extends KubeObject>(resource: Resource<T>): Promise<T[]> => {
    const found: T[] = [];
    for await (const page of coveredPages(run, resource)) found.push(...page);
    return found;
  };
  const allPods = isListed(pods) ? await covered(pods) : [];
  const selected = allPods.filter((pod) => isSelected(spec, pod));
  // The volumes of a selected pod belong to it, whatever labels they have.
  const mounted = new Set(selected.flatMap(claimKeys));
  const hasClaims = isListed(persistentVolumeClaims);
  const all = hasClaims || mounted.size > 0 ? await covered(persistentVolumeClaims) : [];
  const claims = all.filter(
    (claim) => mounted.has(keyOf(claim)) || (hasClaims && isSelected(spec, claim)),
  );
  const bound = await mapConcurrent(
    claims,
    async (claim): Promise<[PersistentVolumeClaim, BoundClaim]> => {
      const name = claim.spec.volumeName;
      const volume: PersistentVolume | undefined = name
        ? await deps.client.get(persistentVolumes, { name }, options)
        : undefined;
      return [claim, { claim, ...(volume && { volume }) }];
    },
    { concurrency: readConcurrency, signal: options.signal },
  );
  return { selected, boundClaims: new Map(bound), included: hasClaims ? claims : [] };
}

async function policyOf({ backup, deps, options }: BackupRun): Promise<VolumePolicy | undefined> {
  const { name } = backup.spec?.resourcePolicy ?? {};
  if (!name) return undefined;
  const key = { namespace: backup.metadata.namespace, name };
  const map: ConfigMap | undefined = await deps.client.get(configMaps, key, options);
  const policy = map && (await readVolumePolicy(map));
  // It was there and right at the start.
  return typeof policy === "function" ? policy : undefined;
}

/** None where the cluster takes no snapshots. */
async function snapshotClasses({ deps, options }: BackupRun): Promise<VolumeSnapshotClass[]> {
  try {
    return await listAll(deps.client, volumeSnapshotClasses, options);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return [];
  }
}
