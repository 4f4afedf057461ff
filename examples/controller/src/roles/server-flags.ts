/**
 * Command line of the server, with the names that users of Velero know. Durations are Go's.
 * Proof: test/server-flags.test.ts.
 * @module
 */
import { parseGoDuration } from "@dm/core";
import { type Command, InvalidArgumentError, Option } from "commander";
import { addUnusedFlags } from "./common-flags.ts";

/** What commander reads; a flag that was not given is undefined and its default is that of `@dm/controller`. */
export interface ServerOptions {
  readonly deployment: string;
  readonly backupRepositoryConfigmap?: string;
  readonly repoMaintenanceJobConfigmap?: string;
  readonly randomPassword: boolean;
  readonly backupSyncPeriod?: number;
  readonly concurrentBackups?: number;
  readonly csiSnapshotPoll?: number;
  readonly defaultBackupStorageLocation?: string;
  readonly defaultBackupTtl?: string;
  readonly defaultItemOperationTimeout?: string;
  readonly defaultRepoMaintainFrequency?: number;
  readonly defaultSnapshotMoveData?: boolean;
  readonly defaultVolumesToFsBackup?: boolean;
  readonly disableControllers: readonly string[];
  readonly features: readonly string[];
  readonly fsBackupTimeout?: number;
  readonly garbageCollectionFrequency?: number;
  readonly itemOperationSyncFrequency?: number;
  readonly keepLatestMaintenanceJobs?: number;
  readonly podVolumeOperationTimeout?: number;
  readonly resourceTimeout?: number;
  readonly restoreResourcePriorities?: string;
  readonly scheduleSkipImmediately?: boolean;
  readonly storeValidationFrequency?: number;
  readonly terminatingResourceTimeout?: number;
  readonly uploaderType: string;
}

/** Milliseconds of `1h30m`. */
export function durationMs(text: string): number {
  const ms = parseGoDuration(text);
  if (ms === undefined || ms < 0)
    throw new InvalidArgumentError("It is no duration such as 30m or 1h30m.");
  return ms;
}

/** As Go writes it into objects, down to seconds. */
export function durationText(text: string): string {
  const seconds = durationMs(text) / 1000;
  if (!Number.isInteger(seconds)) return text;
  const [hours, rest] = [Math.floor(seconds / 3600), seconds % 3600];
  const parts = [hours, Math.floor(rest / 60), rest % 60];
  const units = ["h", "m", "s"];
  const first = parts.findIndex((part) => part > 0);
  return parts
    .map((part, index) => `${part}${units[index]}`)
    .slice(first < 0 ? 2 : first)
    .join("");
}

function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError("It is no number above 0.");
  return Number(text);
}

const listOf = (text: string): string[] =>
  text
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean);

const controllerNames = [
  "backup",
  "backup-deletion",
  "backup-repo",
  "backup-sync",
  "download-request",
  "gc",
  "restore",
  "schedule",
  "server-status-request",
] as const;
export type ControllerName = (typeof controllerNames)[number];
/** Velero's, which are parts of others here. */
const partNames = [
  "backup-finalizer",
  "backup-operations",
  "restore-finalizer",
  "restore-operations",
];

function controllersOf(text: string): string[] {
  const names = listOf(text);
  const known: readonly string[] = [...controllerNames, ...partNames];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown) throw new InvalidArgumentError(`There is no controller ${unknown}.`);
  return names;
}

/** `--flag`, `--flag=true` and `--flag=false`, as Go's programs have them. */
function switchOf(text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new InvalidArgumentError("It is neither true nor false.");
}

interface Flag {
  readonly name: string;
  readonly what: string;
  readonly parse: (text: string) => unknown;
  readonly default?: unknown;
  readonly preset?: unknown;
}

const duration = (name: string, what: string): Flag => ({
  name: `${name} <duration>`,
  what,
  parse: durationMs,
});
const onOff = (name: string, what: string): Flag => ({
  name: `${name} [true|false]`,
  what,
  parse: switchOf,
  preset: "true",
});

const flags: readonly Flag[] = [
  duration("--backup-sync-period", "between two looks for backups in a bucket; 1m"),
  {
    name: "--concurrent-backups <number>",
    what: "that run at the same time; 1",
    parse: positiveInteger,
  },
  duration("--csi-snapshot-poll", "between two looks at snapshots that are being taken; 5s"),
  {
    name: "--default-backup-storage-location <name>",
    what: "when a Backup names none and none is marked; default",
    parse: String,
  },
  {
    name: "--default-backup-ttl <duration>",
    what: "how long a Backup is kept that does not say; 720h",
    parse: durationText,
  },
  {
    name: "--default-item-operation-timeout <duration>",
    what: "for all data of a Backup or Restore that does not say; 4h",
    parse: durationText,
  },
  duration("--default-repo-maintain-frequency", "of new repositories; 1h"),
  onOff("--default-snapshot-move-data", "move data of snapshots when a Backup does not say"),
  onOff("--default-volumes-to-fs-backup", "back up volumes by their files when it does not say"),
  {
    name: "--disable-controllers <names>",
    what: `of ${controllerNames.join(", ")}`,
    parse: controllersOf,
    default: [],
  },
  {
    name: "--features <names>",
    what: "EnableCSI, which is on here in any case",
    parse: listOf,
    default: [],
  },
  duration("--fs-backup-timeout", "the same as --pod-volume-operation-timeout"),
  duration("--garbage-collection-frequency", "between two looks for expired Backups; 1h"),
  duration("--item-operation-sync-frequency", "between two looks at data that moves; 10s"),
  {
    name: "--keep-latest-maintenance-jobs <number>",
    what: "of each repository; 3",
    parse: positiveInteger,
  },
  duration("--pod-volume-operation-timeout", "for volumes that are backed up by their files; 4h"),
  duration("--resource-timeout", "for single things that are in the way; 10m"),
  {
    name: "--restore-resource-priorities <names>",
    what: "resources that are restored first, and after a - those that are last",
    parse: String,
  },
  onOff("--schedule-skip-immediately", "Schedules that do not say begin with their next time"),
  duration("--store-validation-frequency", "between two checks of a storage location; 1m"),
  duration("--terminating-resource-timeout", "for namespaces and volumes on their way out; 10m"),
  {
    name: "--uploader-type <type>",
    what: "kopia; restic is accepted, and kopia is used",
    parse: (text) => {
      if (text !== "kopia" && text !== "restic")
        throw new InvalidArgumentError("It is kopia or restic.");
      return text;
    },
    default: "kopia",
  },
];

export function addServerFlags(command: Command): Command {
  command
    .option("--deployment <name>", "what this runs in; maintenance is made after it", "dm-server")
    .option(
      "--backup-repository-configmap <name>",
      "settings of new repositories, under the key kopia",
    )
    .option("--repo-maintenance-job-configmap <name>", "settings of maintenance Jobs")
    .option("--random-password", "for a missing password Secret, instead of Velero's", false);
  for (const { name, parse, preset, what, ...rest } of flags) {
    const option = new Option(name, what).argParser(parse);
    if (preset !== undefined) option.preset(preset);
    if ("default" in rest) option.default(rest.default);
    command.addOption(option);
  }
  return addUnusedFlags(command);
}
