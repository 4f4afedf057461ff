/**
 * The first step of a Backup: what it left open is filled in, and what cannot work is refused, all reasons at once. Pure.
 * Proof: test/backup/start-backup.test.ts.
 * @module
 */
import { parseGoDuration } from "@dm/core";
import {
  annotations,
  type Backup,
  type BackupSpec,
  type BackupStorageLocation,
  labels,
  labelValue,
  normalizeGoDuration,
} from "@dm/crds";
import { maxBackupNameLength } from "../bucket/backup-files.ts";
import { kubeTime } from "../runtime/objects.ts";
import { listProblems } from "../scope/scope.ts";
import type { BackupSettings } from "./backup-deps.ts";

/** Left out of every backup: snapshots are taken, not copied. */
const neverIncluded = [
  "volumesnapshots.snapshot.storage.k8s.io",
  "volumesnapshotcontents.snapshot.storage.k8s.io",
];
const formatVersion = "1.1.0";

/** The Backup as InProgress, or as FailedValidation with the reasons. */
export function startBackup(
  backup: Backup,
  locations: readonly BackupStorageLocation[],
  settings: BackupSettings,
  now: Date,
): Backup {
  const { location, problem } = locationOf(backup.spec, locations, settings);
  const spec = filledSpec(backup.spec ?? {}, settings);
  if (location?.metadata.name) spec.storageLocation = location.metadata.name;
  const problems = [...(problem ? [problem] : []), ...specProblems(backup, spec)];
  const isValid = problems.length === 0;
  const ttlMs = parseGoDuration(spec.ttl ?? "") ?? 0;
  return {
    ...backup,
    metadata: {
      ...backup.metadata,
      labels: {
        ...backup.metadata.labels,
        [labels.storageLocation]: labelValue(spec.storageLocation ?? ""),
      },
      annotations: {
        ...backup.metadata.annotations,
        [annotations.resourceTimeout]:
          backup.metadata.annotations?.[annotations.resourceTimeout] ?? "10m0s",
      },
    },
    spec,
    status: {
      ...backup.status,
      version: 1,
      formatVersion,
      expiration: kubeTime(new Date(now.getTime() + ttlMs)),
      ...(isValid
        ? { phase: "InProgress", startTimestamp: kubeTime(now) }
        : { phase: "FailedValidation", validationErrors: problems }),
    },
  };
}

function filledSpec(given: BackupSpec, settings: BackupSettings): BackupSpec {
  const spec: BackupSpec = { ...given };
  for (const name of ["ttl", "csiSnapshotTimeout", "itemOperationTimeout"] as const) {
    const value = spec[name];
    if (!value || parseGoDuration(value) === 0) spec[name] = settings[name];
    else spec[name] = normalizeGoDuration(value) ?? value;
  }
  spec.snapshotMoveData ??= settings.snapshotMoveData;
  spec.defaultVolumesToFsBackup ??= spec.defaultVolumesToRestic ?? false;
  spec.volumeGroupSnapshotLabelKey ||= labels.volumeGroup;
  spec.storageLocation ||= settings.storageLocation;
  if (!spec.includedNamespaces?.length) spec.includedNamespaces = ["*"];
  // The lists by scope are another style, which must not be mixed with this one.
  if (!isByScope(spec)) {
    const excluded = spec.excludedResources ?? [];
    spec.excludedResources = [
      ...excluded,
      ...neverIncluded.filter((resource) => !excluded.includes(resource)),
    ];
  }
  return spec;
}

function specProblems(backup: Backup, spec: BackupSpec): string[] {
  const given = backup.spec ?? {};
  const problems: string[] = [];
  const { name = "" } = backup.metadata;
  if (name.length > maxBackupNameLength)
    problems.push(`the name of a backup may have ${maxBackupNameLength} characters at most`);
  for (const each of ["ttl", "csiSnapshotTimeout", "itemOperationTimeout"] as const)
    if (parseGoDuration(spec[each] ?? "") === undefined)
      problems.push(`${each} ${JSON.stringify(spec[each])} is no duration such as 4h0m0s`);
  for (const problem of listProblems(spec.includedNamespaces, spec.excludedNamespaces))
    problems.push(`Invalid included/excluded namespace lists: ${problem}`);
  for (const problem of listProblems(given.includedResources, given.excludedResources))
    problems.push(`Invalid included/excluded resource lists: ${problem}`);
  const isOldStyle =
    given.includedResources?.length ||
    given.excludedResources?.length ||
    typeof given.includeClusterResources === "boolean";
  if (isOldStyle && isByScope(given))
    problems.push(
      "includedResources, excludedResources and includeClusterResources cannot be used together with the lists by scope " +
        "(includedNamespaceScopedResources and the others)",
    );
  if (given.labelSelector && given.orLabelSelectors?.length)
    problems.push(
      "encountered labelSelector as well as orLabelSelectors in backup spec, only one can be specified",
    );
  return [...problems, ...notServed(spec)];
}

/** What would silently do something else than asked. */
function notServed(spec: BackupSpec): string[] {
  const problems: string[] = [];
  if (!spec.snapshotMoveData && spec.snapshotVolumes !== false)
    problems.push("volumes are backed up by moving their data only: snapshotMoveData must be true");
  if (spec.defaultVolumesToFsBackup)
    problems.push("defaultVolumesToFsBackup is not supported: volumes are backed up by snapshots");
  if (spec.resourcePolicy) problems.push("resourcePolicy is not supported");
  if (spec.hooks?.resources?.length) problems.push("hooks are not supported");
  return problems;
}

function isByScope(spec: BackupSpec): boolean {
  return [
    spec.includedNamespaceScopedResources,
    spec.excludedNamespaceScopedResources,
    spec.includedClusterScopedResources,
    spec.excludedClusterScopedResources,
  ].some((list) => list?.length);
}

function locationOf(
  spec: BackupSpec | undefined,
  locations: readonly BackupStorageLocation[],
  settings: BackupSettings,
): { location?: BackupStorageLocation; problem?: string } {
  const byDefault = locations.find((one) => one.spec.default)?.metadata.name;
  const name = spec?.storageLocation || byDefault || settings.storageLocation;
  const location = locations.find(({ metadata }) => metadata.name === name);
  if (location === undefined) {
    const problem = spec?.storageLocation
      ? `an existing backup storage location was not found: ${name}`
      : `an existing backup storage location was not specified at backup creation time and the default ${name} was not found`;
    return { problem };
  }
  if (location.spec.accessMode === "ReadOnly")
    return {
      location,
      problem: `backup can't be created because backup storage location ${name} is currently in read-only mode`,
    };
  if (location.status?.phase === "Unavailable")
    return {
      location,
      problem: `backup can't be created because BackupStorageLocation ${name} is in Unavailable status.`,
    };
  return { location };
}
