/** For each known problem texts by which it shows, made by the functions that make them where there are such; the first one is in the page. */
import type { Pod } from "@dm/crds";
import { relabelFailureText, unrecoverablePod } from "../../src/expose/pod-trouble.ts";
import { failureContexts, rebindContext, texts } from "../../src/node-agent/transfer-texts.ts";

const transfer = { kind: "DataUpload", namespace: "velero", name: "nightly-x7" } as const;

function podOf(status: object): Pod {
  return { metadata: { name: "nightly-x7", namespace: "velero" }, spec: {}, status } as Pod;
}

const unpullable = podOf({
  phase: "Pending",
  containerStatuses: [{ name: "mover", state: { waiting: { reason: "ImagePullBackOff" } } }],
});

/** Those that show in the state of objects alone have none. */
export const samples: Readonly<Record<string, readonly string[]>> = {
  "image-pull": [
    unrecoverablePod(unpullable) ?? "",
    "container mover waits: ErrImagePull: rpc error: not found",
    'Failed: Failed to pull image "example.com/dm:9"',
  ],
  "pod-unschedulable": [
    "condition PodScheduled is False: Unschedulable: 0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available",
  ],
  "quota-exceeded": [
    'pods "nightly-x7" is forbidden: exceeded quota: compute, requested: cpu=1, used: cpu=4, limited: cpu=4',
  ],
  "pod-security": [
    'pods "nightly-x7" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true',
  ],
  "rights-missing": [
    'DM_KUBE_FORBIDDEN: volumesnapshots.snapshot.storage.k8s.io is forbidden: User "system:serviceaccount:velero:dm" cannot list resource "volumesnapshots"',
  ],
  "api-unavailable": ["DM_KUBE_UNAVAILABLE: get Pod velero/nightly-x7: ECONNREFUSED"],
  "volume-not-mounted": ["FailedMount: MountVolume.SetUp failed for volume pvc-1: no such device"],
  "container-not-started": [
    'container mover waits: CreateContainerConfigError: secret "s" not found',
  ],
  "volume-full-relabel": [
    `${failureContexts.DataUpload.expose}: DM_EXPOSE_VOLUME_FULL: ${relabelFailureText("shop/data", "fast-xfs")}`,
    "Failed: relabel failed /data: lsetxattr: no space left on device",
  ],
  "mover-killed": [
    texts.gaveUp("DataUpload", "the mover ended without a message (exit code 137, OOMKilled)", 3),
    texts.notResumed("DataDownload", "the hosting pod is gone"),
  ],
  "mover-interrupted": [
    `${failureContexts.DataUpload.dataPath}: data path is interrupted; snapshot k1 was saved`,
  ],
  "mover-result-invalid": [
    "DM_MOVER_RESULT_INVALID: the mover ended well, but its message is no result of a backup: (empty)",
  ],
  "node-lost": [
    texts.nodeLost("node-2"),
    texts.nodeLost(undefined),
    "condition Ready is Unknown: NodeStatusUnknown: Kubelet stopped posting node status.",
  ],
  "no-node-agent": [
    texts.noNode({ kind: "DataDownload", namespace: "velero", name: "back-1" }),
    texts.clientLost({ namespace: "shop", name: "web" } as never, "node-2"),
    "volume data: no node agent is running in node node-2",
  ],
  "node-agent-settings": [
    "DM_NODE_AGENT_CONFIG_INVALID: configMap node-agent: its data is no JSON object",
  ],
  "velero-beside": [
    'cannot take over data movers "" and "velero", or volumes of pods: DaemonSet velero/node-agent (image velero/velero) works on them.',
  ],
  "pod-abnormal": [
    texts.abnormalPod(transfer, unrecoverablePod(podOf({ phase: "Failed" })) ?? ""),
    texts.exposeError(transfer, "pod velero/nightly-x7 has no volume nightly-x7"),
  ],
  "prepare-timeout": Object.values(failureContexts).map(({ prepareTimeout }) => prepareTimeout),
  "snapshot-class-missing": [
    "failed to get VolumeSnapshotClass for provisioner ebs.csi.aws.com: ensure that the desired VolumeSnapshotClass has the velero.io/csi-volumesnapshot-class label",
  ],
  "snapshot-not-ready": [
    "timed out waiting for the snapshot handle of VolumeSnapshot shop/velero-data-1: array is busy",
    "wait volume snapshot ready: volume snapshot shop/velero-data-1 is not ready, errors: []",
  ],
  "snapshot-missing": [
    "DM_EXPOSE_SNAPSHOT_NOT_FOUND: error wait volume snapshot ready: volume snapshot shop/velero-data-1 is not there",
  ],
  "volume-not-csi": ["no CSI volume", texts.snapshotType("NFS")],
  "claim-not-bound": ["PVC shop/data is in phase Pending and is not bound to a volume"],
  "source-missing": ["DM_EXPOSE_SOURCE_NOT_FOUND: failed to get PVC shop/data"],
  "foreign-object": [
    "pod velero/nightly-x7 exists already and does not belong to DataUpload nightly-x7",
  ],
  "deletion-stuck": [
    "DM_EXPOSE_DELETION_STUCK: timeout to assure VolumeSnapshot shop/velero-data-1 is deleted, finalizers in VolumeSnapshot [example.com/keep]",
  ],
  "wait-for-first-consumer": [
    "wait target PVC consumed, shop/data: its storage class waits for the first pod that uses it, and there is none",
  ],
  "target-claim-taken": ["Target PVC shop/data has already been bound, abort"],
  "rebind-failed": [
    `${rebindContext}: error to wait restore PV bound, pvc-1: it is Released and waits for PVC shop/data; the restored data is in it, and it is kept`,
  ],
  "host-pods-mount": [
    "unexpected directory structure for host-pods volume, ensure that the host-pods volume corresponds to the pods subdirectory of the kubelet root directory",
  ],
  "pod-of-volume-over": [
    texts.clientEnded({ namespace: "shop", name: "web" } as never),
    texts.notWaiting({ namespace: "shop", name: "web" } as never),
    texts.clientOver({ namespace: "shop", name: "web" } as never),
  ],
  "volume-not-by-files": [
    "Volume host in pod shop/web is a hostPath volume which is not supported for pod volume backup, skipping",
  ],
  restic: [
    "the volume was backed up with restic, whose repositories are not supported: only kopia can be restored. Restore it with the Velero that made it (restic: up to 1.16), and back it up again",
  ],
  volsync: ["data: volumes of the OADP 1.2 VolSync data mover are not restored"],
  "files-not-moved": ["DM_VELERO_FILES_FAILED: 2 files could not be read: a/b: EIO"],
  "data-path-failed": Object.values(failureContexts).flatMap(({ dataPath, expose, notReady }) => [
    dataPath,
    expose,
    notReady,
  ]),
  "location-credentials": [
    "the server does not know this access key id: check it and the endpoint (InvalidAccessKeyId)",
    "the secret access key does not belong to the access key id (SignatureDoesNotMatch)",
    "secret cloud-credentials does not exist in velero",
    "key cloud of secret cloud-credentials does not exist in velero",
  ],
  "location-bucket": [
    "there is no bucket backups: create it, or check its name, the endpoint and the region",
  ],
  "location-region": [
    "list in bucket backups: the server sends us elsewhere, where the bucket is in eu-west-1; use that endpoint, or give the region",
  ],
  "location-certificate": [
    "the certificate of s3.example.com is not trusted (SELF_SIGNED_CERT_IN_CHAIN): give the certificate authority of the server, or do not verify TLS",
  ],
  "location-endpoint": [
    "there is no host s3.example.com: check the endpoint",
    "s3.example.com cannot be reached: ECONNREFUSED",
    "no answer, or no progress, within 10000 ms",
  ],
  "location-permission": [
    "no permission for list in bucket backups: the credentials need s3:ListBucket (AccessDenied)",
  ],
  "location-clock": [
    "the clock of this machine is too far from the server's: set it (RequestTimeTooSkewed)",
  ],
  "location-object-lock": [
    "delete of p1 in container backups: a policy keeps the blob from being changed until its time is over (BlobImmutableDueToPolicy)",
  ],
  "location-foreign-folders": ["Backup store contains invalid top-level directories: [photos]"],
  "store-full": ["the store has no space to delete snapshots", "DM_STORE_NO_SPACE: disk full"],
  "location-missing": ["an existing backup storage location was not found: elsewhere"],
  "location-read-only": [
    "backup can't be created because backup storage location archive is currently in read-only mode",
  ],
  "location-unavailable": [
    "backup can't be created because BackupStorageLocation default is in Unavailable status.",
  ],
  "repository-password": [
    "invalid password: the password does not open blob kopia.repository: it is wrong, or the blob is damaged (the two cannot be told apart)",
  ],
  "repository-algorithm": [
    'KOPIA_HASHING_ALGORITHM: repository format has hash "BLAKE9", known here: BLAKE2B-256-128, BLAKE3-256',
  ],
  "repository-gone": [
    "the repository is gone from its storage location (unique ID abc): nothing is created in its place. Bring it back, or delete this BackupRepository to begin a new one.",
  ],
  "repository-replaced": [
    "another repository (unique ID abc) lies where the one of this object was (def): bring that one back, or delete this BackupRepository to use the other one",
  ],
  "repository-foreign-data": ["found existing data in storage location: there is something"],
  "repository-damaged": ["DM_CONTENT_ALTERED: content k1 does not match its tag"],
  "repository-ambiguous": [
    'DM_BACKUP_REPOSITORY_AMBIGUOUS: more than one BackupRepository found for workload namespace "shop", backup storage location "default", repository type "kopia"',
  ],
  "repository-not-ready": [
    "DM_BACKUP_REPOSITORY_NOT_READY: failed to wait BackupRepository, timeout exceeded: backup repository not provisioned",
  ],
  "maintenance-failed": [
    "the last maintenance failed: DM_MAINTENANCE_NOT_OWNER: maintenance is run by alice@laptop",
  ],
  "orphaned-snapshots": [
    "OrphanedSnapshots: 2 snapshots in the repository belong to no backup of the bucket: k1, k2.",
  ],
  "backup-name-taken": ["backup already exists in object storage"],
  "server-restarted": [
    'found a backup with status "InProgress" during the server starting, mark it as "Failed"',
  ],
  "backup-invalid": [
    "Invalid included/excluded namespace lists: excludes list cannot contain '*'",
    "csiSnapshotTimeout soon is no duration such as 4h0m0s",
  ],
  "restore-invalid": [
    "Either a backup or schedule must be specified as a source for the restore, but not both",
  ],
  "backup-missing": ['Error retrieving backup: backups.velero.io "nightly" not found'],
  "backup-damaged": [
    "the file nightly-volumeinfo.json.gz of the backup cannot be read: it is not gzip, or damaged",
  ],
  "backup-lacks-data": ["its DataUpload nightly-x7 is Failed and left no snapshot to restore"],
  "item-timeout": ["Asynchronous action timed out"],
  cancelled: ["DataUpload is canceled", texts.deleting("DataUpload")],
  "volume-object-gone": ["a DataUpload is gone that was not ended"],
  "hook-failed": ["pre hook freeze in container db: command terminated with exit code 1"],
  "backup-too-large": [
    "the objects of a backup may take 1006632960 bytes in its tarball, each twice: make several, by namespaces",
  ],
  "items-not-backed-up": ["namespaces/shopp: it does not exist"],
  "items-not-restored": [
    'could not restore, Service "web" already exists. Warning: the in-cluster version is different than the backed-up version',
  ],
  "resource-policy": ["fail to get ResourcePolicies velero/policy ConfigMap: it does not exist"],
  "resource-modifier": ["failed to get resource modifiers configmap velero/patches"],
  "schedule-invalid": ["invalid schedule: expected exactly 5 fields, found 4: [* * * *]"],
  "deletion-waits": ["backup is still in progress"],
  "deletion-errors": ["error deleting snapshots of namespace shop (k1)"],
  "download-unsupported": ['unsupported download target kind "Pictures"'],
  "application-foreign-object": [
    "Deployment velero/velero was not made for this application; remove it first",
  ],
};
