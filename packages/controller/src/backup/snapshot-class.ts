/**
 * Which VolumeSnapshotClass the snapshot of a claim is taken with. Pure.
 * Proof: test/backup/decide-claim.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import {
  annotations,
  type Backup,
  labels,
  type PersistentVolumeClaim,
  type VolumeSnapshotClass,
} from "@dm/crds";

/**
 * In this order, among the driver's classes: the one that the claim names, the one that the Backup names for the driver, one with
 * the label, the default, the only one.
 * @throws {FormatError} `DM_SNAPSHOT_CLASS_NOT_FOUND`
 */
export function chooseSnapshotClass(
  classes: readonly VolumeSnapshotClass[],
  driver: string,
  { metadata: claim }: PersistentVolumeClaim,
  { metadata: backup }: Backup,
): VolumeSnapshotClass {
  const own = classes
    .filter((one) => one.driver === driver)
    .sort((a, b) => (a.metadata.name ?? "").localeCompare(b.metadata.name ?? ""));
  const named = (name: string | undefined): VolumeSnapshotClass | undefined =>
    name ? own.find(({ metadata }) => metadata.name === name) : undefined;
  const key = annotations.csiVolumeSnapshotClass;
  const found =
    named(claim.annotations?.[key]) ??
    named(backup.annotations?.[`${key}_${driver.toLowerCase()}`]) ??
    own.find(({ metadata }) => metadata.labels?.[labels.csiVolumeSnapshotClass] !== undefined) ??
    own.find(
      ({ metadata }) =>
        metadata.annotations?.[annotations.defaultVolumeSnapshotClass] !== undefined,
    ) ??
    (own.length === 1 ? own[0] : undefined);
  if (found) return found;
  throw new FormatError(
    "DM_SNAPSHOT_CLASS_NOT_FOUND",
    `failed to get VolumeSnapshotClass for provisioner ${driver}: ensure that the desired VolumeSnapshotClass has the ` +
      `${labels.csiVolumeSnapshotClass} label or ${annotations.defaultVolumeSnapshotClass} annotation, and that its driver ` +
      "matches the StorageClass provisioner",
  );
}
