/**
 * Annotations, finalizers and resource names of Kubernetes' storage.
 * Proof: test/csi/provisioner.test.ts.
 * @module
 */

export const resources = {
  claims: "persistentvolumeclaims",
  volumes: "persistentvolumes",
  storageClasses: "storageclasses.storage.k8s.io",
  drivers: "csidrivers.storage.k8s.io",
  attachments: "volumeattachments.storage.k8s.io",
  snapshots: "volumesnapshots.snapshot.storage.k8s.io",
  contents: "volumesnapshotcontents.snapshot.storage.k8s.io",
  snapshotClasses: "volumesnapshotclasses.snapshot.storage.k8s.io",
  customResources: "customresourcedefinitions.apiextensions.k8s.io",
} as const;

export const annotations = {
  bindCompleted: "pv.kubernetes.io/bind-completed",
  boundByController: "pv.kubernetes.io/bound-by-controller",
  provisionedBy: "pv.kubernetes.io/provisioned-by",
  storageProvisioner: "volume.kubernetes.io/storage-provisioner",
  storageProvisionerBeta: "volume.beta.kubernetes.io/storage-provisioner",
  selectedNode: "volume.kubernetes.io/selected-node",
  defaultStorageClass: "storageclass.kubernetes.io/is-default-class",
  defaultSnapshotClass: "snapshot.storage.kubernetes.io/is-default-class",
  snapshotBeingCreated: "snapshot.storage.kubernetes.io/volumesnapshot-being-created",
  snapshotBeingDeleted: "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted",
} as const;

export const finalizers = {
  claimProtection: "kubernetes.io/pvc-protection",
  volumeProtection: "kubernetes.io/pv-protection",
  provisioner: "external-provisioner.volume.kubernetes.io/finalizer",
  claimAsSource: "snapshot.storage.kubernetes.io/pvc-as-source-protection",
  snapshotAsSource: "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection",
  snapshotBound: "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection",
  contentBound: "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection",
} as const;

export const snapshotApiGroup = "snapshot.storage.k8s.io";
