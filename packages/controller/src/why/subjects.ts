/**
 * The kinds that can be asked about, and the names under which people know them.
 * Proof: test/why/gather.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import {
  backupRepositories,
  backupStorageLocations,
  backups,
  dataDownloads,
  dataProtectionApplications,
  dataUploads,
  deleteBackupRequests,
  type KubeObject,
  persistentVolumeClaims,
  podVolumeBackups,
  podVolumeRestores,
  type Resource,
  restores,
  schedules,
} from "@dm/crds";

/** Velero's short names, and those of its command line. */
const shortNames: readonly (readonly [Resource<KubeObject>, readonly string[]])[] = [
  [backups as Resource, []],
  [restores as Resource, []],
  [dataUploads as Resource, ["du"]],
  [dataDownloads as Resource, ["dd"]],
  [podVolumeBackups as Resource, ["pvb"]],
  [podVolumeRestores as Resource, ["pvr"]],
  [backupRepositories as Resource, ["repo", "backuprepo", "repository"]],
  [backupStorageLocations as Resource, ["bsl", "location", "backuplocation", "backup-location"]],
  [schedules as Resource, []],
  [deleteBackupRequests as Resource, ["dbr"]],
  [dataProtectionApplications as Resource, ["dpa"]],
  [persistentVolumeClaims as Resource, ["pvc"]],
];

export const subjectKinds: readonly string[] = shortNames.map(([{ kind }]) => kind);

export interface SubjectRef {
  readonly resource: Resource<KubeObject>;
  /** Only where the name of the object was given with one: `app/data`. */
  readonly namespace?: string | undefined;
  readonly name: string;
}

/**
 * `backup/nightly`, `du/x`, `datauploads.velero.io/x`, `pvc/app/data`: the last part is the name, one before it a namespace.
 * @throws {FormatError} `DM_WHY_KIND_UNKNOWN` for any other kind, with those that there are
 */
export function parseSubject(text: string): SubjectRef {
  const parts = text.split("/");
  const [word = "", ...rest] = parts;
  const name = rest.at(-1) ?? "";
  const kind = word.toLowerCase().split(".")[0];
  const found = shortNames.find(
    ([{ kind: own, plural }, short]) =>
      own.toLowerCase() === kind || plural === kind || short.includes(kind ?? ""),
  );
  if (found === undefined || name === "" || rest.length > 2) {
    throw new FormatError(
      "DM_WHY_KIND_UNKNOWN",
      `${JSON.stringify(text)} is no <kind>/<name>; kinds: ${subjectKinds.join(", ")}`,
      { text },
    );
  }
  return { resource: found[0], namespace: rest.length === 2 ? rest[0] : undefined, name };
}
