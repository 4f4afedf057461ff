/**
 * The first step of a Restore: what it left open is filled in, and what cannot work is refused, all reasons at once. Pure.
 * Proof: test/restore/reconcile-restore.test.ts.
 * @module
 */
import { parseGoDuration } from "@dm/core";
import {
  type Backup,
  type BackupStorageLocation,
  finalizers,
  labels,
  labelValue,
  normalizeGoDuration,
  phaseOf,
  type Restore,
  type RestoreSpec,
} from "@dm/crds";
import type { BackupSettings } from "../backup/backup-deps.ts";
import { maxBackupNameLength } from "../bucket/backup-files.ts";
import { kubeTime } from "../runtime/objects.ts";
import { listProblems } from "../scope/scope.ts";

/** Never restored: they describe the cluster they came from, or are the backups themselves. */
export const neverRestored: readonly string[] = [
  "nodes",
  "events",
  "events.events.k8s.io",
  "backups.velero.io",
  "restores.velero.io",
  "resticrepositories.velero.io",
  "csinodes.storage.k8s.io",
  "volumeattachments.storage.k8s.io",
  "backuprepositories.velero.io",
];

/** The Backup that a Restore means; of a schedule, the newest that is Completed. */
export function findBackup(
  { spec }: Restore,
  backups: readonly Backup[],
): { readonly backup?: Backup; readonly problems: readonly string[] } {
  const { backupName = "", scheduleName = "" } = spec ?? {};
  if ((backupName === "") === (scheduleName === ""))
    return {
      problems: [
        "Either a backup or schedule must be specified as a source for the restore, but not both",
      ],
    };
  if (backupName !== "") {
    const backup = backups.find(({ metadata }) => metadata.name === backupName);
    if (backup) return { backup, problems: [] };
    return { problems: [`Error retrieving backup: backups.velero.io "${backupName}" not found`] };
  }
  const started = ({ status }: Backup): number => Date.parse(status?.startTimestamp ?? "") || 0;
  const [newest] = backups
    .filter(
      ({ metadata, status }) =>
        metadata.labels?.[labels.scheduleName] === labelValue(scheduleName) &&
        status?.phase === "Completed",
    )
    .sort((a, b) => started(b) - started(a));
  if (newest) return { backup: newest, problems: [] };
  return { problems: ["No completed backups found for schedule"] };
}

/** Why a backup cannot be read. */
export function backupProblems(
  backup: Backup,
  location: BackupStorageLocation | undefined,
): string[] {
  const name = backup.spec?.storageLocation ?? "";
  if (location === undefined)
    return [`Error retrieving backup: backupstoragelocations.velero.io "${name}" not found`];
  if (location.status?.phase === "Unavailable")
    return [`The BSL ${name} is unavailable, cannot retrieve the backup`];
  const phase = phaseOf<string>(backup);
  if (phase === "Completed" || phase === "PartiallyFailed") return [];
  return [`Error retrieving backup: backup ${backup.metadata.name} is ${phase}`];
}

/** The Restore as InProgress, or as FailedValidation with the reasons. */
export function startRestore(
  restore: Restore,
  sourceProblems: readonly string[],
  backup: Backup | undefined,
  settings: BackupSettings,
  now: Date,
): Restore {
  const spec: RestoreSpec = { ...restore.spec };
  const problems = [...sourceProblems, ...specProblems(restore)];
  const timeout = spec.itemOperationTimeout;
  spec.itemOperationTimeout =
    timeout && parseGoDuration(timeout) !== 0
      ? (normalizeGoDuration(timeout) ?? timeout)
      : settings.itemOperationTimeout;
  if (backup?.metadata.name) spec.backupName = backup.metadata.name;
  const excluded = spec.excludedResources ?? [];
  spec.excludedResources = [
    ...excluded,
    ...neverRestored.filter((resource) => !excluded.includes(resource)),
  ];
  const kept = restore.metadata.finalizers ?? [];
  const ours = finalizers.restoreExternalResources;
  return {
    ...restore,
    metadata: {
      ...restore.metadata,
      finalizers: kept.includes(ours) ? kept : [...kept, ours],
    },
    spec,
    status: {
      ...restore.status,
      ...(problems.length === 0
        ? { phase: "InProgress", startTimestamp: kubeTime(now) }
        : { phase: "FailedValidation", validationErrors: problems }),
    },
  };
}

function specProblems({ metadata, spec = {} }: Restore): string[] {
  const problems: string[] = [];
  const { existingResourcePolicy: policy, itemOperationTimeout: timeout } = spec;
  if ((metadata.name ?? "").length > maxBackupNameLength)
    problems.push(`the name of a restore may have ${maxBackupNameLength} characters at most`);
  if (timeout && parseGoDuration(timeout) === undefined)
    problems.push(`itemOperationTimeout ${JSON.stringify(timeout)} is no duration such as 4h0m0s`);
  const asked = (spec.includedResources ?? []).filter((name) => neverRestored.includes(name));
  for (const name of asked) problems.push(`${name} are non-restorable resources`);
  for (const problem of listProblems(spec.includedResources, spec.excludedResources))
    problems.push(`Invalid included/excluded resource lists: ${problem}`);
  for (const problem of listProblems(spec.includedNamespaces, spec.excludedNamespaces))
    problems.push(`Invalid included/excluded namespace lists: ${problem}`);
  if (spec.labelSelector && spec.orLabelSelectors?.length)
    problems.push(
      "encountered labelSelector as well as orLabelSelectors in restore spec, only one can be specified",
    );
  if (policy && policy !== "none" && policy !== "update")
    problems.push(`Invalid ExistingResourcePolicy: ${policy}`);
  for (const { postHooks = [] } of spec.hooks?.resources ?? [])
    for (const container of postHooks.flatMap(({ init }) => init?.initContainers ?? []))
      if (!container["name"] || !container["image"] || !(container["command"] as unknown[])?.length)
        problems.push(
          "invalid InitContainer in restore hook, it doesn't have Command, Name or Image field",
        );
  return problems;
}
