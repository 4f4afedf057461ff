/**
 * Labels, annotations and finalizers that Velero, OADP, Kubernetes and this data mover agree upon.
 * Proof: test/well-known.test.ts.
 * @module
 */

/** Keys of labels. Values longer than 63 bytes are shortened with `labelValue`. */
export const labels = {
  backupName: "velero.io/backup-name",
  backupUid: "velero.io/backup-uid",
  restoreName: "velero.io/restore-name",
  restoreUid: "velero.io/restore-uid",
  scheduleName: "velero.io/schedule-name",
  pvcUid: "velero.io/pvc-uid",
  podUid: "velero.io/pod-uid",
  asyncOperationId: "velero.io/async-operation-id",
  storageLocation: "velero.io/storage-location",
  volumeNamespace: "velero.io/volume-namespace",
  repositoryType: "velero.io/repository-type",
  /** On maintenance Jobs and their pods; value by `repositoryLabelValue`. */
  repoName: "velero.io/repo-name",
  /** On the pod that hosts the data path of a DataUpload. */
  dataUpload: "velero.io/data-upload",
  /** On the pod that hosts the data path of a DataDownload. */
  dataDownload: "velero.io/data-download",
  podVolumeBackup: "velero.io/pod-volume-backup",
  podVolumeRestore: "velero.io/pod-volume-restore",
  exposerPodGroup: "velero.io/exposer-pod-group",
  /** On DataUploads and DataDownloads from Accepted until the data path runs. */
  exposeOnGoing: "velero.io/expose-on-going",
  /** Velero 1.12 to 1.15. */
  acceptedBy: "velero.io/accepted-by",
  dataUploadSnapshotInfo: "velero.io/data-upload-snapshot-info",
  pvcNamespaceName: "velero.io/pvc-namespace-name",
  resourceUsage: "velero.io/resource-usage",
  /** In the selector of a target claim, so that no volume but the restored one matches. */
  dynamicPVRestore: "velero.io/dynamic-pv-restore",
  volumeSnapshotName: "velero.io/volume-snapshot-name",
  excludeFromBackup: "velero.io/exclude-from-backup",
  /** On the VolumeSnapshotClass to use. */
  csiVolumeSnapshotClass: "velero.io/csi-volumesnapshot-class",
  volumeGroup: "velero.io/volume-group",
  gcFailure: "velero.io/gc-failure",
  oadp: "openshift.io/oadp",
  dataProtectionApplicationName: "dataprotectionapplication.name",
  nodeAgentConfigVersion: "openshift.io/node-agent-cm-version",
  appName: "app.kubernetes.io/name",
  appInstance: "app.kubernetes.io/instance",
  appManagedBy: "app.kubernetes.io/managed-by",
  appComponent: "app.kubernetes.io/component",
  /** On VolumeSnapshotContents that a sidecar on each node looks after. */
  snapshotManagedBy: "snapshot.storage.kubernetes.io/managed-by",
  nodeOS: "kubernetes.io/os",
  hostname: "kubernetes.io/hostname",
  /** `node-agent` on the pods of the node agent. */
  role: "role",
} as const;

/** Values of `labels.exposerPodGroup`. */
export const exposerPodGroups = {
  snapshot: "snapshot-exposer",
  genericRestore: "generic-restore-exposer",
} as const;

export const annotations = {
  /** `<namespace>/<DataUpload>`, on the claim inside a backup. */
  dataUploadName: "velero.io/data-upload-name",
  volumeSnapshotName: "velero.io/volume-snapshot-name",
  mustIncludeAdditionalItems: "backup.velero.io/must-include-additional-items",
  skippedNoCSIPV: "backup.velero.io/skipped-no-csi-pv",
  skipFromBackup: "velero.io/skip-from-backup",
  backupVolumes: "backup.velero.io/backup-volumes",
  backupVolumesExcludes: "backup.velero.io/backup-volumes-excludes",
  /** On a claim: the VolumeSnapshotClass to use. On a Backup, `_<driver in lower case>` follows. */
  csiVolumeSnapshotClass: "velero.io/csi-volumesnapshot-class",
  csiVolumeSnapshotHandle: "velero.io/csi-volumesnapshot-handle",
  csiVolumeSnapshotRestoreSize: "velero.io/csi-volumesnapshot-restore-size",
  csiDriverName: "velero.io/csi-driver-name",
  csiDeletionPolicy: "velero.io/csi-vsc-deletion-policy",
  defaultVolumeSnapshotClass: "snapshot.storage.kubernetes.io/is-default-class",
  sourceClusterGitVersion: "velero.io/source-cluster-k8s-gitversion",
  sourceClusterMajorVersion: "velero.io/source-cluster-k8s-major-version",
  sourceClusterMinorVersion: "velero.io/source-cluster-k8s-minor-version",
  resourceTimeout: "velero.io/resource-timeout",
  podVolumeTimeout: "velero.io/pod-volume-timeout",
  pvcName: "velero.io/pvc-name",
  /** Velero 1.15: when a DataUpload or DataDownload was accepted. */
  acceptedAt: "velero.io/accepted-at",
  /** Node that the scheduler chose for the first consumer of a claim. */
  selectedNode: "volume.kubernetes.io/selected-node",
  bindCompleted: "pv.kubernetes.io/bind-completed",
  boundByController: "pv.kubernetes.io/bound-by-controller",
  vSphereFastProvisioning: "csi.vsphere.volume/fast-provisioning",
  openshiftSCC: "openshift.io/scc",
  unsupportedVeleroServerArgs: "oadp.openshift.io/unsupported-velero-server-args",
  unsupportedNodeAgentServerArgs: "oadp.openshift.io/unsupported-node-agent-server-args",
} as const;

export const finalizers = {
  /** On DataUploads and DataDownloads until their phase is final. */
  dataUploadDownload: "velero.io/data-upload-download-finalizer",
  /** On PodVolumeBackups and PodVolumeRestores. */
  podVolume: "velero.io/pod-volume-finalizer",
  /** On Restores, until what lies in the bucket is deleted. */
  restoreExternalResources: "restores.velero.io/external-resources-finalizer",
  volumeSnapshotContentProtect: "velero.io/volume-snapshot-content-protect-finalizer",
} as const;
