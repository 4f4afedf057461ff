/**
 * The run of a Backup: pods and claims first, in blocks whose volumes are taken while their pods are held still, then every other
 * object that is covered, kind by kind as it is read, and at last the definitions of custom resources. The order is Velero's: what
 * an object needs comes before it.
 * Proof: test/backup/run-backup.test.ts.
 * @module
 */
import { isDmError, mapConcurrent } from "@dm/core";
import {
  type Backup,
  type ConfigMap,
  configMaps,
  type KubeObject,
  labels,
  namespaces,
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
import type { BackupFiles } from "../bucket/write-backup.ts";
import type { HookCount } from "../hooks/run-hooks.ts";
import { patientClient } from "../node-agent/patient-client.ts";
import type { BoundClaim } from "../pod-volume/index.ts";
import type { ApiResource } from "../runtime/api-discovery.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { isNotFound } from "../runtime/kube-errors.ts";
import { isDeleting } from "../runtime/objects.ts";
import { neverIncluded, resourceScope } from "../scope/resource-filter.ts";
import { findResources, resourceName } from "../scope/resource-names.ts";
import { admits, isSelected, plainNames } from "../scope/scope.ts";
import { type BlockEnd, type BlockPlan, backUpBlock } from "./back-up-block.ts";
import { BackupArchive } from "./backup-archive.ts";
import { type BackupDeps, nowOf, settingsOf } from "./backup-deps.ts";
import type { BackupLog } from "./backup-log.ts";
import { claimItem, recordVolumes, type SettledClaim } from "./backup-record.ts";
import { addError, addItem, addWarning, type BackupRun } from "./backup-run.ts";
import { itemNeeds } from "./item-needs.ts";
import { contentItem, snapshotItem } from "./kept-snapshots.ts";
import { listAll, listPages } from "./list-all.ts";
import { Messages } from "./messages.ts";
import { type Block, claimKeys, keyOf, orderOf, planBlocks } from "./plan-blocks.ts";
import { planVolumes } from "./volume-plan.ts";
import { readVolumePolicy, type VolumePolicy } from "./volume-policy.ts";

export interface BackupRunEnd extends Omit<BackupFiles, "log"> {
  readonly count: number;
  readonly hooks: HookCount;
  readonly claims: readonly SettledClaim[];
}

const readConcurrency = 8;

/**
 * Throws only what makes all of it pointless: a cluster that cannot be asked, a policy that cannot be read.
 * @param onProgress told now and then of how many objects there are
 */
export async function runBackup(
  deps: BackupDeps,
  backup: Backup,
  log: BackupLog,
  onProgress: (count: number) => Promise<void>,
  options: KubeCallOptions,
): Promise<BackupRunEnd> {
  const run = await openRun(deps, backup, log, onProgress, options);
  warnOfSettings(run);
  const { claims, ends } = await backUpVolumes(run);
  await addOtherKinds(run);
  await addDefinitions(run);
  const podVolumeBackups = ends.flatMap((end) => end.podVolumeBackups);
  return {
    ...recordVolumes(backup, claims, podVolumeBackups),
    claims,
    podVolumeBackups,
    resourceList: run.archive.resourceList,
    results: { errors: run.errors.all, warnings: run.warnings.all },
    count: run.archive.count,
    hooks: run.hooks,
    tarball: await run.archive.end(),
  };
}

async function openRun(
  deps: BackupDeps,
  backup: Backup,
  log: BackupLog,
  onProgress: (count: number) => Promise<void>,
  options: KubeCallOptions,
): Promise<BackupRun> {
  const client = patientClient(deps.client, { clock: deps.clock });
  const resources = inOrder(await deps.discovery.resources(options));
  const archive = await BackupArchive.open(nowOf(deps));
  const errors = new Messages();
  const find = findResources(resources);
  const covered = new Set<string>();
  const { excludedNamespaces, includedNamespaces } = backup.spec ?? {};
  const all = new Set<string>();
  for (const { metadata, status } of await listAll(client, namespaces, options)) {
    const { name = "" } = metadata;
    all.add(name);
    if (!admits(includedNamespaces, excludedNamespaces, name)) continue;
    if (metadata.labels?.[labels.excludeFromBackup] === "true") continue;
    if ((status as { phase?: string } | undefined)?.phase === "Terminating") continue;
    covered.add(name);
  }
  for (const name of plainNames(includedNamespaces) ?? [])
    if (!all.has(name)) errors.about("", `namespaces/${name}: it does not exist`);
  return {
    deps: { ...deps, client },
    backup,
    options,
    log,
    resources,
    find,
    scope: resourceScope(backup.spec ?? {}, resources),
    namespaces: covered,
    archive,
    errors,
    warnings: new Messages(),
    hooks: { attempted: 0, failed: 0 },
    onProgress: () => onProgress(archive.count),
  };
}

/** What was asked for and is done another way, or not at all. */
function warnOfSettings(run: BackupRun): void {
  const { backup, deps } = run;
  const about = (message: string): void => {
    run.log.warn(message);
    run.warnings.about("", message);
  };
  for (const name of backup.spec?.volumeSnapshotLocations ?? [])
    about(
      `VolumeSnapshotLocation ${name} names a snapshotter of Velero's own, which is not run: volumes are backed up by CSI ` +
        "snapshots or by their files",
    );
  if (settingsOf(deps).uploaderType === "restic")
    about("uploaderType restic is deprecated: Kopia is used in its place");
}

/** Pods, claims and volumes first, then as the server has them; what stood in `extensions` once comes last. */
function inOrder(resources: readonly ApiResource[]): ApiResource[] {
  const first = ["pods", "persistentvolumeclaims", "persistentvolumes"];
  const rank = ({ group, plural }: ApiResource): number => {
    if (group === "extensions") return 4;
    return group === "" && first.includes(plural) ? first.indexOf(plural) : 3;
  };
  return [...resources].sort((a, b) => rank(a) - rank(b));
}

async function backUpVolumes(
  run: BackupRun,
): Promise<{ claims: SettledClaim[]; ends: BlockEnd[] }> {
  const { backup, deps, log, options } = run;
  const spec = backup.spec ?? {};
  const { boundClaims, selected } = await collectVolumes(run);
  const policy = await policyOf(run);
  const volumes = planVolumes(spec, selected, [...boundClaims.values()], policy);
  for (const { pod, reason } of volumes.skipped) addWarning(run, [pods, pod], reason);
  const ordered = {
    pods: orderOf(spec.orderedResources, "pods"),
    claims: orderOf(spec.orderedResources, "persistentvolumeclaims"),
  };
  const blocks = planBlocks(selected, [...boundClaims.keys()], ordered);
  const plan: BlockPlan = { volumes, bound: boundClaims, classes: await snapshotClasses(run) };
  log.info("Planned blocks of pods and claims", {
    blocks: blocks.length,
    pods: selected.length,
    claims: boundClaims.size,
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
      for (const key of claimKeys(pod)) await addClaim(run, settled.get(key));
      if (!ends[index]?.failedPods.has(pod)) await addWithNeeds(run, pods, pod);
    }
    for (const claim of block.claims) await addClaim(run, settled.get(keyOf(claim)));
  }
  return { claims, ends };
}

/** The claim after its volume; one that could not be taken is left out, as it would come back empty. */
async function addClaim(run: BackupRun, settled: SettledClaim | undefined): Promise<void> {
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
    const snapshotClass = await run.deps.client.get(volumeSnapshotClasses, { name }, run.options);
    if (snapshotClass) await addItem(run, volumeSnapshotClasses, snapshotClass);
    await addItem(run, volumeSnapshotContents, contentItem(run.backup, content));
    await addItem(run, volumeSnapshots, snapshotItem(run.backup, snapshot, content));
  }
  await addItem(run, persistentVolumeClaims, claimItem(run.backup, claim, outcome));
}

async function collectVolumes(
  run: BackupRun,
): Promise<{ selected: Pod[]; boundClaims: Map<PersistentVolumeClaim, BoundClaim> }> {
  const { backup, deps, options } = run;
  const spec = backup.spec ?? {};
  const covered = async <T extends KubeObject>(resource: Resource<T>): Promise<T[]> => {
    const served = run.find(resourceName(resource));
    if (served === undefined || !run.scope.lists(served)) return [];
    const found: T[] = [];
    for await (const page of coveredPages(run, resource)) found.push(...page);
    return found;
  };
  const selected = (await covered<Pod>(pods)).filter((pod) => isSelected(spec, pod));
  // The volumes of a selected pod belong to it, whatever labels they have.
  const mounted = new Set(selected.flatMap(claimKeys));
  const claims = (await covered<PersistentVolumeClaim>(persistentVolumeClaims)).filter(
    (claim) => isSelected(spec, claim) || mounted.has(keyOf(claim)),
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
  return { selected, boundClaims: new Map(bound) };
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

/** Those in covered namespaces that nothing keeps out of the backup. */
async function* coveredPages<T extends KubeObject>(
  run: BackupRun,
  resource: Resource<T>,
): AsyncGenerator<T[]> {
  const { backup, deps, namespaces, options } = run;
  const byName = resource.namespaced ? plainNames(backup.spec?.includedNamespaces) : undefined;
  const places = byName ? byName.filter((name) => namespaces.has(name)) : [undefined];
  const isCovered = ({ metadata }: T): boolean =>
    !resource.namespaced || namespaces.has(metadata.namespace ?? "");
  for (const namespace of places)
    for await (const page of listPages(deps.client, resource, { ...options, namespace }))
      yield page.filter(
        (object) =>
          isCovered(object) &&
          !isDeleting(object) &&
          object.metadata.labels?.[labels.excludeFromBackup] !== "true",
      );
}

/** What one group has taken over from another: it is there twice. */
const twins: Readonly<Record<string, string>> = {
  "events.events.k8s.io": "events",
  "deployments.extensions": "deployments.apps",
  "daemonsets.extensions": "daemonsets.apps",
  "replicasets.extensions": "replicasets.apps",
  "networkpolicies.extensions": "networkpolicies.networking.k8s.io",
};
const done = new Set(["pods", "persistentvolumeclaims", ...neverIncluded]);

async function addOtherKinds(run: BackupRun): Promise<void> {
  const isThere = (name: string | undefined): boolean =>
    name !== undefined && run.resources.some((one) => resourceName(one) === name);
  const kinds = run.resources.filter(
    (resource) =>
      !done.has(resourceName(resource)) &&
      !isThere(twins[resourceName(resource)]) &&
      ["list", "create", "get", "delete"].every((verb) => resource.verbs.includes(verb)) &&
      run.scope.lists(resource),
  );
  const isNamespaces = (kind: ApiResource): boolean => resourceName(kind) === "namespaces";
  // With a selector, a namespace is there for what is selected in it.
  const isByContents = isEverywhere(run.backup) && hasSelector(run.backup);
  for (const kind of kinds) if (!isByContents || !isNamespaces(kind)) await addKind(run, kind);
  const namespaces = kinds.find(isNamespaces);
  if (isByContents && namespaces) await addKind(run, namespaces);
}

const hasSelector = ({ spec }: Backup): boolean =>
  Boolean(spec?.labelSelector || spec?.orLabelSelectors?.length);

const isEverywhere = ({ spec }: Backup): boolean =>
  plainNames(spec?.includedNamespaces) === undefined && !spec?.excludedNamespaces?.length;

async function addKind(run: BackupRun, kind: ApiResource): Promise<void> {
  const spec = run.backup.spec ?? {};
  const resource = resourceName(kind);
  let count = 0;
  const isWanted = (object: KubeObject): boolean => {
    if (resource !== "namespaces") return isSelected(spec, object);
    const { name = "" } = object.metadata;
    if (!run.namespaces.has(name)) return false;
    if (!isEverywhere(run.backup) || !hasSelector(run.backup)) return true;
    return isSelected(spec, object) || run.archive.hasNamespace(name);
  };
  try {
    for await (const page of coveredPages(run, kind))
      for (const object of page)
        if (isWanted(object) && (await addWithNeeds(run, kind, object))) count++;
  } catch (error) {
    run.options.signal?.throwIfAborted();
    if (!isDmError(error)) throw error;
    if (!isNotFound(error)) {
      run.log.error("Error listing items", { resource, error: error.message });
      run.errors.about("", `${resource}: error listing items: ${error.message}`);
    }
  }
  if (count > 0) run.log.info("Backed up items", { resource, count });
}

/** An object after those that it needs. */
async function addWithNeeds(
  run: BackupRun,
  resource: Resource,
  object: KubeObject,
): Promise<boolean> {
  if (run.archive.has(resource, object)) return false;
  try {
    for (const need of await itemNeeds(run, resource, object))
      await addItem(run, need.resource, need.object);
  } catch (error) {
    if (!isDmError(error)) throw error;
    addError(run, [resource, object], `what it needs cannot be read: ${error.message}`);
  }
  return addItem(run, resource, object);
}

/** The definition of each custom resource in the backup, unless definitions are listed anyway, or are not wanted. */
async function addDefinitions(run: BackupRun): Promise<void> {
  const definitions = run.find("customresourcedefinitions.apiextensions.k8s.io");
  if (!definitions || run.scope.lists(definitions) || !run.scope.permits(definitions)) return;
  const names = run.archive.resources.filter((name) => name.includes(".")).sort();
  for (const name of names) {
    const found = await run.deps.client.get(definitions, { name }, run.options);
    if (found) await addItem(run, definitions, found);
  }
}
