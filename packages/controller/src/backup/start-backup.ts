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
  type LabelSelector,
  labels,
  labelValue,
  normalizeGoDuration,
} from "@dm/crds";
import { maxBackupNameLength } from "../bucket/backup-files.ts";
import { selectorProblem } from "../node-agent/label-selector.ts";
import { kubeTime } from "../runtime/objects.ts";
import { isByScope, neverIncluded } from "../scope/resource-filter.ts";
import { listProblems, scopedListProblems } from "../scope/scope.ts";
import type { BackupSettings } from "./backup-deps.ts";
import type { SeenStart } from "./observe-start.ts";

const formatVersion = "1.1.0";

/** The Backup as InProgress, or as FailedValidation with the reasons. */
export function startBackup(
  backup: Backup,
  seen: SeenStart,
  settings: BackupSettings,
  now: Date,
): Backup {
  const { location, problem } = locationOf(backup.spec, seen.locations, settings);
  const spec = filledSpec(backup.spec ?? {}, settings);
  if (location?.metadata.name) spec.storageLocation = location.metadata.name;
  const problems = [...(problem ? [problem] : []), ...specProblems(backup, spec, seen)];
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
        [annotations.sourceClusterGitVersion]: seen.version.gitVersion,
        [annotations.sourceClusterMajorVersion]: seen.version.major,
        [annotations.sourceClusterMinorVersion]: seen.version.minor,
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
  // The old name wins when it says yes.
  if (spec.defaultVolumesToRestic) spec.defaultVolumesToFsBackup = true;
  spec.defaultVolumesToFsBackup ??= settings.defaultVolumesToFsBackup;
  spec.volumeGroupSnapshotLabelKey ||= labels.volumeGroup;
  spec.storageLocation ||= settings.storageLocation;
  if (!spec.includedNamespaces?.length) spec.includedNamespaces = ["*"];
  const [snapshots = "", contents = ""] = neverIncluded;
  if (isOldStyle(given)) spec.excludedResources = withNames(spec.excludedResources, neverIncluded);
  else {
    spec.excludedNamespaceScopedResources = withNames(spec.excludedNamespaceScopedResources, [
      snapshots,
    ]);
    spec.excludedClusterScopedResources = withNames(spec.excludedClusterScopedResources, [
      contents,
    ]);
  }
  return spec;
}

function withNames(list: readonly string[] | null | undefined, names: readonly string[]): string[] {
  const given = list ?? [];
  if (given.includes("*")) return [...given];
  return [...given, ...names.filter((name) => !given.includes(name))];
}

/** One list for kinds of every scope. */
function isOldStyle(spec: BackupSpec): boolean {
  return Boolean(
    spec.includedResources?.length ||
      spec.excludedResources?.length ||
      typeof spec.includeClusterResources === "boolean",
  );
}

function specProblems(backup: Backup, spec: BackupSpec, seen: SeenStart): string[] {
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
  for (const problem of scopedListProblems(
    given.includedClusterScopedResources,
    given.excludedClusterScopedResources,
  ))
    problems.push(`Invalid cluster-scoped included/excluded resource lists: ${problem}`);
  for (const problem of scopedListProblems(
    given.includedNamespaceScopedResources,
    given.excludedNamespaceScopedResources,
  ))
    problems.push(`Invalid namespace-scoped included/excluded resource lists: ${problem}`);
  if (isOldStyle(given) && isByScope(given))
    problems.push(
      "includedResources, excludedResources and includeClusterResources cannot be used together with the lists by scope " +
        "(includedNamespaceScopedResources and the others)",
    );
  if (given.labelSelector && given.orLabelSelectors?.length)
    problems.push(
      "encountered labelSelector as well as orLabelSelectors in backup spec, only one can be specified",
    );
  problems.push(...selectorProblems(given));
  if (seen.policyProblem) problems.push(seen.policyProblem);
  return [...problems, ...snapshotLocationProblems(spec, seen)];
}

/** The API server does not look at operators; a selector that is none selects nothing. */
function selectorProblems({ hooks, labelSelector, orLabelSelectors }: BackupSpec): string[] {
  const all: (readonly [of: string, LabelSelector | null | undefined])[] = [
    ["", labelSelector],
    ...(orLabelSelectors ?? []).map((one) => ["", one] as const),
    ...(hooks?.resources ?? []).map((one) => [` of hook ${one.name}`, one.labelSelector] as const),
  ];
  return all.flatMap(([of, selector]) => {
    const problem = selector ? selectorProblem(selector) : undefined;
    return problem === undefined ? [] : [`Invalid label selector${of}: ${problem}`];
  });
}

function snapshotLocationProblems(spec: BackupSpec, { snapshotLocations }: SeenStart): string[] {
  const problems: string[] = [];
  const byProvider = new Map<string, string>();
  for (const name of spec.volumeSnapshotLocations ?? []) {
    const found = snapshotLocations.find(({ metadata }) => metadata.name === name);
    const provider = found?.spec.provider ?? "";
    const other = byProvider.get(provider);
    if (found === undefined)
      problems.push(
        `a VolumeSnapshotLocation CRD for the location ${name} with the name specified in the backup spec needs to be created ` +
          "before this snapshot can be executed",
      );
    else if (other !== undefined && other !== name)
      problems.push(
        `more than one VolumeSnapshotLocation name specified for provider ${provider}: ${other}; unexpected name was ${name}`,
      );
    else byProvider.set(provider, name);
  }
  return problems;
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
