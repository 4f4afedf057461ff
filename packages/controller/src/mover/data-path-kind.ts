/**
 * The four kinds of objects that ask for data to be moved, and what they have in common two by two.
 * Proof: test/mover/data-path-kind.test.ts.
 * @module
 */
export const dataPathKinds = [
  "DataUpload",
  "DataDownload",
  "PodVolumeBackup",
  "PodVolumeRestore",
] as const;
export type DataPathKind = (typeof dataPathKinds)[number];

/** From a volume into the repository; the others go the other way. */
export function isBackup(kind: DataPathKind): boolean {
  return kind === "DataUpload" || kind === "PodVolumeBackup";
}

/** About a volume that a pod has mounted, on that pod's node; the others have a volume of their own. */
export function isPodVolume(kind: DataPathKind): boolean {
  return kind === "PodVolumeBackup" || kind === "PodVolumeRestore";
}

/** By which flag a mover is told the name of its object. */
export const nameFlags = {
  DataUpload: "data-upload",
  DataDownload: "data-download",
  PodVolumeBackup: "pod-volume-backup",
  PodVolumeRestore: "pod-volume-restore",
} as const satisfies Readonly<Record<DataPathKind, string>>;
