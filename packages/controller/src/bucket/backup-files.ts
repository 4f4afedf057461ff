/**
 * The files of a backup, as Velero lays them out: the Backup itself, a tarball of objects, what ran asynchronously, what became of
 * volumes, and results. Pure.
 * Proof: test/bucket/backup-files.test.ts.
 * @module
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { FormatError } from "@dm/core";
import type { Backup, KubeObject } from "@dm/crds";
import { goJson } from "./go-json.ts";
import { decodeTar, encodeTar, type TarFile } from "./tar-codec.ts";

/** One object in the tarball. */
export interface BackupItem {
  /** Plural, with its group after a dot: `persistentvolumeclaims`, `datauploads.velero.io`. */
  readonly resource: string;
  /** The version that the cluster prefers. */
  readonly version: string;
  readonly object: KubeObject;
}

/** Work that went on after the objects were read: for a claim, its DataUpload. */
export interface ItemOperation {
  readonly spec: {
    readonly backupName: string;
    readonly backupUID: string;
    readonly backupItemAction: string;
    readonly resourceIdentifier: ItemIdentifier;
    readonly operationID: string;
    readonly postOperationItems: readonly ItemIdentifier[];
  };
  readonly status: {
    readonly phase: "New" | "InProgress" | "Completed" | "Failed";
    readonly error?: string | undefined;
    readonly nCompleted?: number | undefined;
    readonly nTotal?: number | undefined;
    readonly operationUnits?: string | undefined;
    readonly description?: string | undefined;
    readonly created?: string | undefined;
    readonly started?: string | undefined;
    readonly updated?: string | undefined;
  };
}

export interface ItemIdentifier {
  readonly Group: string;
  readonly Resource: string;
  readonly Namespace: string;
  readonly Name: string;
}

/** What became of one volume. */
export interface VolumeInfo {
  /** Not of volumes that only a pod has. */
  readonly pvcName?: string | undefined;
  readonly pvcNamespace?: string | undefined;
  readonly pvName?: string | undefined;
  /** `CSISnapshot`, `PodVolumeBackup`; absent when it was skipped. */
  readonly backupMethod?: string | undefined;
  readonly snapshotDataMoved: boolean;
  readonly preserveLocalSnapshot: boolean;
  readonly skipped: boolean;
  readonly skippedReason?: string | undefined;
  readonly startTimestamp?: string | undefined;
  readonly completionTimestamp?: string | undefined;
  readonly result?: "succeeded" | "failed" | undefined;
  readonly csiSnapshotInfo?: Readonly<Record<string, unknown>> | undefined;
  readonly snapshotDataMovementInfo?: Readonly<Record<string, unknown>> | undefined;
  readonly pvbInfo?: Readonly<Record<string, unknown>> | undefined;
  readonly pvInfo?:
    | { readonly reclaimPolicy: string; readonly labels: Readonly<Record<string, string>> }
    | undefined;
}

/** Messages by what they concern. */
export interface ResultMessages {
  readonly velero?: readonly string[] | undefined;
  readonly cluster?: readonly string[] | undefined;
  readonly namespaces?: Readonly<Record<string, readonly string[]>> | undefined;
}

export interface Results {
  readonly errors: ResultMessages;
  readonly warnings: ResultMessages;
}

/** Its existence says that there is a backup. */
export const backupFile = "velero-backup.json";
export const tarballFile = (name: string): string => `${name}.tar.gz`;
export const operationsFile = (name: string): string => `${name}-itemoperations.json.gz`;
export const volumeInfoFile = (name: string): string => `${name}-volumeinfo.json.gz`;
export const resultsFile = (name: string): string => `${name}-results.gz`;
/** What there is in the backup: names by `<apiVersion>/<Kind>`. */
export const resourceListFile = (name: string): string => `${name}-resource-list.json.gz`;
export const logFile = (name: string): string => `${name}-logs.gz`;
export const podVolumeBackupsFile = (name: string): string => `${name}-podvolumebackups.json.gz`;
/** Snapshots of Velero's own plugins: there are none. */
export const volumeSnapshotsFile = (name: string): string => `${name}-volumesnapshots.json.gz`;
export const restoreResultsFile = (name: string): string => `restore-${name}-results.gz`;

/** Longer names make file names that stores refuse. */
export const maxBackupNameLength = 200;
/** Unpacked. No honest file of a backup is larger: none is written that is, and what claims to be is not unpacked. */
export const maxUnpackedBytes = 1 << 30;
const formatVersion = "1.1.0";
/** The first in the tarball. */
export const versionFile: TarFile = {
  path: "metadata/version",
  bytes: new TextEncoder().encode(`${formatVersion}\n`),
};

/** In the order in which Velero has the fields. */
export function encodeBackup({ metadata, spec, status }: Backup): Uint8Array {
  const backup = { kind: "Backup", apiVersion: "velero.io/v1", metadata, spec, status };
  return new TextEncoder().encode(JSON.stringify(backup, null, 2));
}

/** @throws {FormatError} `DM_BACKUP_FILE_INVALID` */
export function decodeBackup(bytes: Uint8Array): Backup {
  const backup = parsed(bytes, backupFile) as Partial<Backup> | null;
  if (typeof backup !== "object" || typeof backup?.metadata?.name !== "string")
    throw invalid(backupFile, "it is no Backup");
  return backup as Backup;
}

/** The tarball: each object twice, under its resource and under its version too. */
export function encodeItems(items: readonly BackupItem[], modifiedAt: Date): Uint8Array {
  return gzipSync(encodeTar([versionFile, ...items.flatMap(itemFiles)], modifiedAt));
}

/** Both places of an object in the tarball. */
export function itemFiles({ object, resource, version }: BackupItem): TarFile[] {
  const bytes = new TextEncoder().encode(goJson(object));
  const { name, namespace } = object.metadata;
  const rest = `${namespace ? `namespaces/${namespace}` : "cluster"}/${name}.json`;
  return [
    { path: `resources/${resource}/${rest}`, bytes },
    { path: `resources/${resource}/${version}-preferredversion/${rest}`, bytes },
  ];
}

const itemPath = /^resources\/([^/]+)\/(?:namespaces\/[^/]+|cluster)\/[^/]+\.json$/;
const versionedPath = /^resources\/([^/]+)\/([^/]+)-preferredversion\//;

/**
 * The objects in a tarball, each once.
 * @throws {FormatError} `DM_BACKUP_FILE_INVALID`, `DM_TAR_INVALID`
 */
export function decodeItems(bytes: Uint8Array, file: string): BackupItem[] {
  const versions = new Map<string, string>();
  const found: { readonly resource: string; readonly object: KubeObject }[] = [];
  for (const { bytes: json, path } of decodeTar(unpacked(bytes, file))) {
    const [, versioned, version] = versionedPath.exec(path) ?? [];
    if (versioned !== undefined && version !== undefined) versions.set(versioned, version);
    const resource = itemPath.exec(path)?.[1];
    if (resource === undefined) continue;
    const object = parsed(json, `${file}: ${path}`) as KubeObject | null;
    if (typeof object?.metadata?.name !== "string")
      throw invalid(`${file}: ${path}`, "it is no object of Kubernetes");
    found.push({ resource, object });
  }
  return found.map(({ object, resource }) => {
    const own = object.apiVersion?.split("/").at(-1) ?? "";
    return { resource, version: versions.get(resource) ?? own, object };
  });
}

/** With a line's end, as Go's encoder has it. */
export function encodeGzipJson(value: unknown): Uint8Array {
  return gzipSync(new TextEncoder().encode(`${JSON.stringify(value)}\n`));
}

/** @throws {FormatError} `DM_BACKUP_FILE_INVALID` */
export function decodeGzipJson(bytes: Uint8Array, file: string): unknown {
  return parsed(unpacked(bytes, file), file);
}

function unpacked(bytes: Uint8Array, file: string): Uint8Array {
  try {
    return gunzipSync(bytes, { maxOutputLength: maxUnpackedBytes });
  } catch (cause) {
    throw invalid(file, "it is not gzip, or damaged", cause);
  }
}

function parsed(bytes: Uint8Array, file: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw invalid(file, "it is no JSON", cause);
  }
}

function invalid(file: string, reason: string, cause?: unknown): FormatError {
  const text = `the file ${file} of the backup cannot be read: ${reason}`;
  return new FormatError("DM_BACKUP_FILE_INVALID", text, { file }, { cause });
}
