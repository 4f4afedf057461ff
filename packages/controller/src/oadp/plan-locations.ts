/**
 * Backup and snapshot locations as an application wants them. Pure.
 *
 * Different on purpose: a backup location without credential gets the provider's default Secret by name, where OADP mounts that
 * Secret into the pods: here every process reads credentials when it needs them, so none has to lie in a pod.
 * Proof: test/oadp/plan-locations.test.ts.
 * @module
 */
import type {
  BackupLocation,
  BackupStorageLocation,
  BackupStorageLocationSpec,
  DataProtectionApplication,
  VolumeSnapshotLocation,
} from "@dm/crds";
import { checksSecrets, locationLabels, nameOf, type SeenApplication } from "./application.ts";
import { backupLocationSecret, providerName } from "./location-secret.ts";

export function backupLocationName(
  application: DataProtectionApplication,
  { name }: BackupLocation,
  index: number,
): string {
  return name || `${nameOf(application)}-${index + 1}`;
}

export function snapshotLocationName(
  application: DataProtectionApplication,
  { name }: { readonly name?: string },
  index: number,
): string {
  return name || `${nameOf(application)}-${index + 1}`;
}

/** Of an application that is valid. */
export function planBackupLocations(seen: SeenApplication): BackupStorageLocation[] {
  const { application } = seen;
  return (application.spec?.backupLocations ?? []).map((location, index) => {
    const name = backupLocationName(application, location, index);
    const secret = checksSecrets(application) ? backupLocationSecret(location) : undefined;
    const spec = location.velero ? ownSpec(location.velero) : bucketSpec(seen, location);
    return {
      apiVersion: "velero.io/v1",
      kind: "BackupStorageLocation",
      metadata: {
        name,
        namespace: application.metadata.namespace ?? "",
        labels: locationLabels(name, "bsl"),
      },
      spec: { ...spec, ...(secret && !spec.credential && { credential: { ...secret } }) },
    };
  });
}

export function planSnapshotLocations({ application }: SeenApplication): VolumeSnapshotLocation[] {
  return (application.spec?.snapshotLocations ?? []).map((location, index) => {
    const name = snapshotLocationName(application, location, index);
    return {
      apiVersion: "velero.io/v1",
      kind: "VolumeSnapshotLocation",
      metadata: {
        name,
        namespace: application.metadata.namespace ?? "",
        labels: locationLabels(name, "vsl"),
      },
      spec: structuredClone(location.velero),
    };
  });
}

/** Names of Secrets that the locations read, each once. */
export function secretNames({ spec }: DataProtectionApplication): string[] {
  const all = [
    ...(spec?.backupLocations ?? []).map((location) => backupLocationSecret(location)?.name),
    ...(spec?.snapshotLocations ?? []).map(({ velero }) =>
      velero ? backupLocationSecret({ velero: { ...velero, objectStorage: noBucket } })?.name : "",
    ),
  ];
  return [...new Set(all.filter((name): name is string => !!name))];
}

const noBucket = { bucket: "" };

function ownSpec(location: NonNullable<BackupLocation["velero"]>): BackupStorageLocationSpec {
  const spec: BackupStorageLocationSpec = structuredClone(location);
  if (providerName(spec.provider) !== "aws" || !spec.config) return spec;
  const { s3Url } = spec.config;
  if (s3Url) spec.config["s3Url"] = withoutDefaultPort(s3Url);
  // Nothing chosen means no checksums, which not every server of S3 knows; a client's own default would be one.
  spec.config["checksumAlgorithm"] ??= "";
  return spec;
}

/** A server may leave the port out of what it signs when it is the usual one. */
export function withoutDefaultPort(url: string): string {
  return url.replace(
    /^(http:\/\/[^/?#]*?):80(?=[/?#]|$)|^(https:\/\/[^/?#]*?):443(?=[/?#]|$)/i,
    "$1$2",
  );
}

function bucketSpec(
  { cloudStorages }: SeenApplication,
  { bucket }: BackupLocation,
): BackupStorageLocationSpec {
  const { backupSyncPeriod, caCert, cloudStorageRef, config, credential, prefix } = bucket ?? {
    cloudStorageRef: {},
  };
  const storage = cloudStorages.get(cloudStorageRef.name ?? "")?.spec;
  const all = { ...config, ...(storage?.enableSharedConfig && { enableSharedConfig: "true" }) };
  return {
    provider: storage?.provider ?? "",
    objectStorage: {
      bucket: storage?.name ?? "",
      ...(prefix && { prefix }),
      ...(caCert && { caCert }),
    },
    ...(Object.keys(all).length > 0 && { config: all }),
    ...(credential && { credential: { ...credential } }),
    ...(bucket?.default !== undefined && { default: bucket.default }),
    ...(backupSyncPeriod && { backupSyncPeriod }),
  };
}
