/**
 * Snapshots, claims and volumes on their way into a backup or out of it.
 * Proof: test/why/known-problems.test.ts.
 * @module
 */
import { annotations } from "@dm/crds";
import type { KnownProblem } from "../known-problem.ts";
import { inRole, phaseText, type Seen, subjectOf, textAt, titleOf, valueAt } from "../seen.ts";
import { verdictOf } from "../state.ts";

export const volumeProblems: readonly KnownProblem[] = [
  {
    id: "snapshot-class-missing",
    title: "there is no VolumeSnapshotClass to take a snapshot with",
    texts: [/failed to get VolumeSnapshotClass/],
    codes: ["DM_SNAPSHOT_CLASS_NOT_FOUND"],
    cause: "No class, or none with the label, is for the CSI driver of the claim's storage class.",
    remedy: [
      "kubectl label volumesnapshotclass <name> velero.io/csi-volumesnapshot-class=true, for one of the same driver, with deletionPolicy as wanted",
    ],
  },
  {
    id: "snapshot-not-ready",
    title: "a volume snapshot is not ready",
    texts: [
      /timed out waiting for the snapshot handle|timed out waiting for VolumeSnapshot/,
      /volume snapshot \S+ is not ready|the snapshot controller has not seen/,
      // Of the diagnosis of a time limit.
      /^VS \S+, bind to \S*, readyToUse false/m,
      /SnapshotContentCreationFailed|SnapshotCreationFailed|SnapshotContentCheckandUpdateFailed|Failed to check and update snapshot content/,
    ],
    shows: (seen) =>
      verdictOf(subjectOf(seen)) === "waiting"
        ? inRole(seen, "source snapshot", "snapshot").flatMap((of) =>
            of.object !== undefined && valueAt(of.object, "status", "readyToUse") !== true
              ? [`${titleOf(of)} is not ready to use`]
              : [],
          )
        : [],
    cause:
      "The storage takes long, refuses, or its snapshot controller or csi-snapshotter does not run. The error of the VolumeSnapshotContent is the driver's.",
    remedy: [
      "kubectl describe volumesnapshot,volumesnapshotcontent, and the log of the driver's csi-snapshotter",
      "Storage that is only slow: raise csiSnapshotTimeout of the Backup",
    ],
  },
  {
    id: "snapshot-missing",
    title: "a volume snapshot, or its content, is gone",
    texts: [
      /its VolumeSnapshot is gone|volume snapshot \S+ is not there/,
      /error to get volume snapshot content|has no snapshot handle|names no CSI snapshot/,
      /doesn't have bound VSC|fail to get snapshot handle from VSC/,
    ],
    codes: ["DM_EXPOSE_SNAPSHOT_NOT_FOUND", "DM_EXPOSE_CONTENT_NOT_FOUND"],
    cause: "Somebody or a policy of the storage has deleted it before its data was moved.",
    remedy: ["Find out who deletes VolumeSnapshots, and make a new Backup"],
  },
  {
    id: "volume-not-csi",
    title: "the volume is of no CSI driver",
    texts: [
      /no CSI volume|is of no CSI driver|not exist type of exposer/,
      /names a snapshotter of Velero's own|snapshots of Velero's own/,
    ],
    cause: "Only CSI volumes have snapshots here; those of Velero's own plugins are not taken.",
    remedy: [
      "Back it up by its files: annotation backup.velero.io/backup-volumes on its pod, or defaultVolumesToFsBackup",
      "Or migrate the volume to a CSI driver",
    ],
  },
  {
    id: "claim-not-bound",
    title: "a claim has no volume",
    texts: [
      /is not bound to a volume|PVC has no storage class|PersistentVolume \S+ of PVC \S+ does not exist/,
      /is not there, or is not bound|encountered a problem with backing up the PVC/,
      /error getting persistent volume claim|PVC \S+ is not bound/,
      /\bProvisioningFailed\b/,
    ],
    shows: (seen) =>
      inRole(seen, "subject").flatMap((of) =>
        of.kind === "PersistentVolumeClaim" && phaseText(of) === "Pending"
          ? [`${titleOf(of)} is Pending`]
          : [],
      ),
    cause: "What is not bound has no data: no pod uses it yet, or its provisioner fails.",
    remedy: [
      "kubectl describe pvc: its events have the provisioner's words",
      "Claims that nobody uses can be left out with the label velero.io/exclude-from-backup=true",
    ],
  },
  {
    id: "source-missing",
    title: "the claim or volume that is backed up is gone",
    texts: [/failed to get PVC |error getting volume topology for PV|PV \S+ is not there/],
    codes: ["DM_EXPOSE_SOURCE_NOT_FOUND", "DM_EXPOSE_SOURCE_VOLUME_NOT_FOUND"],
    cause: "It was deleted after its snapshot was taken; its size and class are read from it.",
    remedy: ["Make a new Backup when the claim is there again"],
  },
  {
    id: "foreign-object",
    title: "an object of somebody else has the name of one that is needed",
    texts: [
      /exists already and does not belong to|is there already and was not made for/,
      /the snapshot copy \S+ was made by another/,
    ],
    codes: ["DM_EXPOSE_FOREIGN_OBJECT"],
    cause: "Objects are named after the one that they are for. What is not ours is left alone.",
    remedy: [
      "Look at the object that the message names, remove it if nobody needs it, and run it again",
    ],
  },
  {
    id: "deletion-stuck",
    title: "an object is being deleted and does not go",
    texts: [
      /timeout to assure .* is deleted, finalizers/,
      /(pod|PVC|PV|VolumeSnapshot|namespace|snapshot copy) \S+ is (still )?being deleted|is still being deleted/,
    ],
    codes: ["DM_EXPOSE_DELETION_STUCK"],
    cause:
      "A finalizer holds it: its controller (CSI driver, snapshot controller) does not run or fails.",
    remedy: [
      "See to the controller that owns the finalizer in the message",
      "Remove the finalizer by hand only when nothing in the storage hangs on it",
    ],
  },
  {
    id: "wait-for-first-consumer",
    title: "the claim to restore into waits for the first pod that uses it",
    texts: [/wait target PVC consumed|waits for the first pod/],
    shows: consumerMissing,
    cause:
      "Its storage class binds with WaitForFirstConsumer, so the node is not known before a pod wants the volume.",
    remedy: [
      "Restore or start the pod that mounts it",
      "Or set restorePVC.ignoreDelayBinding: true in the node agent's configuration: any node will do",
    ],
  },
  {
    id: "target-claim-taken",
    title: "the claim to restore into is gone, or has a volume already",
    texts: [
      /Target PVC \S+ has already been bound|error to (wait|get) target PVC( consumed)?, /,
      /target PVC \S+ is not there/,
    ],
    codes: [
      "DM_EXPOSE_TARGET_NOT_FOUND",
      "DM_EXPOSE_TARGET_BOUND",
      "DM_REBIND_TARGET_NOT_FOUND",
      "DM_REBIND_TARGET_BOUND",
    ],
    cause:
      "Nothing is written to volumes that others use. Claims that existed before are not restored into.",
    remedy: [
      "Delete the claim, if its data is not needed, and restore again; or restore into another namespace",
    ],
  },
  {
    id: "rebind-failed",
    title: "the restored volume could not be given to its claim",
    texts: [
      /error rebinding volume|error to rebind target PVC|error to get PV from restore PVC/,
      /error to wait restore PV bound|wait restore PV bound|is not bound to its restored volume|not done in time/,
    ],
    codes: ["DM_REBIND_VOLUME_NOT_FOUND", "DM_REBIND_VOLUME_TAKEN", "DM_REBIND_NOT_BOUND"],
    cause:
      "The volume controller did not bind it in time, or somebody else has taken or removed it.",
    remedy: [
      "The data is in the volume that the message names, kept with reclaim policy Retain: look at its claimRef",
      "Restore again when it is gone",
    ],
  },
  {
    id: "host-pods-mount",
    title: "the node agent does not see the kubelet's pods",
    texts: [
      /expected one matching path|unexpected directory structure for host-pods/,
      /kubelet's directory of pods cannot be read/,
    ],
    codes: ["DM_HOST_PODS_MISMATCH", "DM_HOST_PODS_UNREADABLE", "DM_HOST_PATH_NOT_FOUND"],
    cause:
      "The kubelet's root directory is another than /var/lib/kubelet, or it is not mounted or not readable.",
    remedy: [
      "Set the hostPath of the DaemonSet's volume host-pods to <kubelet root>/pods (OADP: nodeAgent.podConfig, K3s and MicroK8s have other paths)",
      "Let the pod run as root with SELinux type spc_t",
    ],
  },
  {
    id: "pod-of-volume-over",
    title: "the pod whose volume is backed up or restored is over, or does not wait",
    texts: [
      /does not wait for its files|error getting client pod|is over or gone/,
      /ended while its volume was backed up|the pod declares none of that name/,
      /no image is configured for the init container/,
    ],
    codes: [
      "DM_EXPOSE_CLIENT_POD_NOT_FOUND",
      "DM_EXPOSE_CLIENT_POD_STARTED",
      "DM_EXPOSE_CLIENT_VOLUME_NOT_FOUND",
    ],
    cause:
      "Files are read and written by way of the pod that mounts the volume: it has ended, was replaced, or its init container restore-wait is missing.",
    remedy: [
      "Backup: let the pod run, or take the volume by a snapshot",
      "Restore: delete the pod and restore it again; do not change its init containers",
    ],
  },
  {
    id: "volume-not-by-files",
    title: "a volume cannot be backed up by its files",
    texts: [
      /is a hostPath volume which is not supported|is a (block volume|disk of a virtual machine)/,
      /not mounted by any container|pod is not (scheduled|in the expected status)|pod is being terminated/,
      /no running pod mounts it|is a directory of the node|is a block volume/,
      /volume \S+: it was not taken|podvolume: it was not taken/,
    ],
    codes: ["DM_EXPOSE_CLIENT_VOLUME_UNSUPPORTED"],
    cause:
      "Directories of the node, block devices, what no container mounts, and pods that do not run are skipped.",
    remedy: [
      "Take the volume by a snapshot (snapshotMoveData), or leave it out with backup.velero.io/backup-volumes-excludes",
    ],
  },
  {
    id: "restic",
    title: "data of restic is not supported",
    texts: [/\brestic\b/],
    cause: "Restic's repositories are neither written nor read: the uploader is Kopia.",
    remedy: [
      "Restore with the Velero that made the backup (up to 1.16), then back it up again",
      "Set uploaderType: kopia",
    ],
  },
  {
    id: "volsync",
    title: "the OADP 1.2 (VolSync) data mover is not supported",
    texts: [/VolSync/],
    cause: "VolumeSnapshotBackups of OADP 1.2 hold data in restic repositories of VolSync.",
    remedy: ["Restore with OADP 1.2, then back it up with the built-in data mover"],
  },
  {
    id: "files-not-moved",
    title: "some files of the volume could not be read or written",
    texts: [/files? (could not be|cannot be) (read|written|restored|backed up)/],
    codes: ["DM_VELERO_FILES_FAILED"],
    cause:
      "The message names the first of them: permissions, damage of the file system, or names that the target does not take.",
    remedy: ["Mend the files on the volume, or exclude them, and run it again"],
  },
  {
    id: "data-path-failed",
    title: "the mover failed",
    texts: [
      /data path (backup|restore) failed|Failed to (create|init|run) data path service/,
      /error exposing snapshot|error to expose|exposed \S+ is not ready|restore exposer is not ready/,
    ],
    cause: "What follows in the message is what the mover, or the step before it, ended with.",
    remedy: ["kubectl -n <namespace> logs of the hosting pod or of the node agent of that time"],
    isGeneral: true,
  },
];

/** A target that waits for its consumer, while no hosting pod is there yet. */
function consumerMissing(seen: Seen): string[] {
  const waiting = new Set(
    inRole(seen, "subject", "transfer").flatMap((of) =>
      of.kind === "DataDownload" && ["New", "Accepted"].includes(phaseText(of))
        ? [
            `${textAt(of.object, "spec", "targetVolume", "namespace")}/${textAt(of.object, "spec", "targetVolume", "pvc")}`,
          ]
        : [],
    ),
  );
  const classes = new Map(inRole(seen, "storage class").map((of) => [of.name, of.object]));
  return inRole(seen, "target claim").flatMap((of) => {
    const { metadata } = of.object ?? {};
    const storageClass = classes.get(textAt(of.object, "spec", "storageClassName"));
    const isLate = textAt(storageClass, "volumeBindingMode") === "WaitForFirstConsumer";
    const hasNode = metadata?.annotations?.[annotations.selectedNode] !== undefined;
    const isBound = textAt(of.object, "spec", "volumeName") !== "";
    return metadata && isLate && !hasNode && !isBound && waiting.has(`${of.namespace}/${of.name}`)
      ? [`${titleOf(of)} has no pod that uses it`]
      : [];
  });
}
