/**
 * The run of a Backup: pods and claims first, in blocks whose volumes are taken while their pods are held still, then every other
 * object that is covered, kind by kind as it is read, and at last the definitions of custom resources. The order is Velero's: what
 * an object needs comes before it.
 * Proof: test/backup/run-backup.test.ts.
 * @module
 */
import { type Backup, labels, namespaces } from "@dm/crds";
import type { BackupFiles } from "../bucket/write-backup.ts";
import type { HookCount } from "../hooks/run-hooks.ts";
import type { ApiResource } from "../runtime/api-discovery.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { resourceScope } from "../scope/resource-filter.ts";
import { findResources } from "../scope/resource-names.ts";
import { admits, plainNames } from "../scope/scope.ts";
import { addDefinitions, addOtherKinds } from "./add-kinds.ts";
import { backUpVolumes } from "./back-up-volumes.ts";
import { BackupArchive } from "./backup-archive.ts";
import { type BackupDeps, nowOf, settingsOf } from "./backup-deps.ts";
import type { BackupLog } from "./backup-log.ts";
import { recordVolumes, type SettledClaim } from "./backup-record.ts";
import type { BackupRun } from "./backup-run.ts";
import { listAll } from "./list-all.ts";
import { Messages } from "./messages.ts";

export interface BackupRunEnd extends Omit<BackupFiles, "log"> {
  readonly count: number;
  readonly hooks: HookCount;
  readonly claims: readonly SettledClaim[];
}

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
  const { client } = deps;
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
    deps,
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
