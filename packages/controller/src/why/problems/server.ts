/**
 * Backups, Restores, their deletion, Schedules and applications: what the server refuses, waits for and reports.
 * Proof: test/why/known-problems.test.ts.
 * @module
 */
import type { KnownProblem } from "../known-problem.ts";
import { inRole, listAt, phaseText, subjectOf, textAt, titleOf, valueAt } from "../seen.ts";
import { verdictOf } from "../state.ts";

export const serverProblems: readonly KnownProblem[] = [
  {
    id: "backup-queue",
    title: "other Backups are before it",
    shows: (seen) => {
      const subject = subjectOf(seen);
      if (subject.kind !== "Backup" || !["New", "Queued"].includes(phaseText(subject))) return [];
      return inRole(seen, "earlier").map((of) => `${titleOf(of)} is ${phaseText(of)}`);
    },
    cause:
      "As many Backups run at once as the server allows (--concurrent-backups), and never two with a namespace in common.",
    remedy: [
      "Wait, or let more run at once; a Backup that hangs is explained by dm why backup/<name>",
    ],
  },
  {
    id: "backup-name-taken",
    title: "a backup of this name is in the bucket already",
    texts: [/backup already exists in object storage/],
    codes: ["DM_BACKUP_NAME_TAKEN"],
    cause: "Perhaps of another cluster that uses the same bucket and prefix.",
    remedy: ["Choose another name, or delete that backup first; give each cluster its own prefix"],
  },
  {
    id: "server-restarted",
    title: "the server was restarted while it worked on it",
    texts: [/during the server starting|the server ended while it ran/],
    cause:
      "A Backup that was InProgress cannot be gone on with, as with Velero; nothing of it is left.",
    remedy: [
      "Make a new Backup; look why the server ended: kubectl -n <namespace> logs --previous",
    ],
  },
  {
    id: "backup-invalid",
    title: "the Backup is not valid",
    texts: [
      /Invalid (label selector|.*included\/excluded)|includes list must|excludes list (must|cannot|item)|exclude is '\*'/,
      /cannot be used together with the lists by scope|encountered labelSelector as well as orLabelSelectors in backup/,
      /is no duration such as|the name of a (backup|restore) may have/,
      /VolumeSnapshotLocation (CRD|name)|backup can't be created because/,
    ],
    shows: (seen) => invalid(seen, "Backup"),
    cause: "status.validationErrors says which field.",
    remedy: ["Correct the spec and create it anew; a Backup is validated once"],
    isGeneral: true,
  },
  {
    id: "restore-invalid",
    title: "the Restore is not valid",
    texts: [
      /a backup or schedule must be specified|are non-restorable resources/,
      /as well as orLabelSelectors in restore|Invalid ExistingResourcePolicy|invalid InitContainer/,
    ],
    shows: (seen) => invalid(seen, "Restore"),
    cause: "status.validationErrors says which field.",
    remedy: ["Correct the spec and create it anew; a Restore is validated once"],
    isGeneral: true,
  },
  {
    id: "backup-missing",
    title: "the Backup, or what it should have, does not exist",
    texts: [
      /Error retrieving backup: |there is no Backup |No completed backups found/,
      /^backup (\S+ )?(does not exist|not found)|names no backup yet|spec\.backupName is required/,
      /restore \S+ does not exist|the bucket has no file/,
    ],
    codes: ["DM_BACKUP_NOT_FOUND"],
    cause: "Wrong name, or it was deleted, or it has not been synchronised from the bucket yet.",
    remedy: [
      "kubectl -n <namespace> get backups; what only the bucket has appears within a minute while the location is Available",
    ],
  },
  {
    id: "backup-damaged",
    title: "a file of the backup in the bucket is damaged",
    texts: [
      /of the backup (cannot be read|holds no list|has more than)|not a tar archive/,
      /error decoding |it has not the fields of its kind/,
    ],
    codes: ["DM_BACKUP_FILE_INVALID", "DM_TAR_INVALID"],
    cause: "The upload was cut short, or the file was changed. The message names it.",
    remedy: [
      "Restore from another backup; volumes can be read with dm restore from the repository",
    ],
  },
  {
    id: "backup-lacks-data",
    title: "the backup has no data of a volume",
    texts: [
      /DataUpload \S+ is (not in the backup|that of another claim|.* and left no snapshot)|VolumeSnapshot \S+ is not in the backup/,
      /the backup has no data of it|no DataUpload found with label|\S+\/\S+ is not in the backup/,
    ],
    cause:
      "Its DataUpload failed or was cancelled when the backup was made, so the volume comes back empty or not at all.",
    remedy: ["Restore the volume from another backup"],
  },
  {
    id: "item-timeout",
    title: "the data of a volume was not moved in time",
    texts: [/Asynchronous action timed out|timed out waiting for all PodVolumeBackups/],
    cause:
      "itemOperationTimeout (4 hours) or podVolumeOperationTimeout was over; what had not ended was cancelled.",
    remedy: [
      "Raise spec.itemOperationTimeout; the next backup moves only what has changed",
      "More places: loadConcurrency in the node agent's configuration",
    ],
  },
  {
    id: "cancelled",
    title: "it was cancelled",
    texts: [/is cance?lled|data path is canceled|because it is being deleted/, /\bis canceled\b/],
    shows: (seen) => {
      const { object } = subjectOf(seen);
      return valueAt(object, "spec", "cancel") === true ? ["spec.cancel is true"] : [];
    },
    cause:
      "Somebody set spec.cancel or deleted it, or the server did: its Backup or Restore failed or ran out of time.",
    remedy: ["Look at its Backup or Restore, and run that again"],
    isGeneral: true,
  },
  {
    id: "volume-object-gone",
    title: "the object that moved a volume's data was deleted",
    texts: [/is gone that was not ended|its PodVolumeBackup is gone/],
    cause:
      "Somebody deleted a DataUpload, DataDownload, PodVolumeBackup or PodVolumeRestore before its end.",
    remedy: ["Run the Backup or Restore again; to stop one, set spec.cancel instead"],
  },
  {
    id: "hook-failed",
    title: "a hook failed",
    texts: [
      /\bhooks? .*in container|hook with onError Fail|hooks not executed|command terminated with exit code/,
      /before some post-restore exec hooks ran|the pod does not have such a container|was not up in time/,
      /failed to execute, err|not executed: /,
    ],
    codes: ["DM_EXEC_TIMEOUT", "DM_EXEC_FAILED"],
    cause:
      "The command of a hook ended with an error, took too long, or its container was not there.",
    remedy: [
      "Run the command with kubectl exec in that container",
      "Raise the hook's timeout, or set onError: Continue when the backup is good without it",
    ],
  },
  {
    id: "backup-too-large",
    title: "the Backup has more objects than fit into one",
    texts: [/the objects of a backup may take \S+ bytes in its tarball/],
    codes: ["DM_BACKUP_TOO_LARGE"],
    cause: "The tarball of objects has a limit; volumes do not count.",
    remedy: ["Make several Backups, by namespaces or kinds"],
  },
  {
    id: "items-not-backed-up",
    title: "some objects could not be backed up",
    texts: [
      /error listing items|what it needs cannot be read|namespaces\/\S+: it does not exist/,
      /The log ends here/,
    ],
    shows: (seen) => partly(seen, "Backup"),
    cause: "The API refused to list or read them, or a namespace that is named does not exist.",
    remedy: ["velero backup logs <name> names each; mend rights or names, and back up again"],
  },
  {
    id: "items-not-restored",
    title: "some objects could not be restored",
    texts: [
      /error (restoring|preparing) |could not restore, .* already exists|status could not be restored/,
      /the CRD \S+ is not available|another one came and went|could not find the requested resource/,
      /error getting storage class/,
    ],
    shows: (seen) => partly(seen, "Restore"),
    cause:
      "The API refused them, or others of their name exist (existingResourcePolicy: none leaves those alone).",
    remedy: [
      "velero restore describe <name> --details names each",
      "existingResourcePolicy: update, or restore into an empty namespace",
    ],
  },
  {
    id: "resource-policy",
    title: "the volume policy of the Backup cannot be used",
    texts: [
      /resourcePolicy: |ResourcePolicies|illegal resource policies/,
      /incompatible version number|invalid action type|not found in conditions|wrong format of Capacity/,
    ],
    cause:
      "The ConfigMap of spec.resourcePolicy is missing, has several keys, or a field that is not known.",
    remedy: ["Correct the ConfigMap: one key, version v1, actions skip, snapshot and fs-backup"],
  },
  {
    id: "resource-modifier",
    title: "the resource modifiers of the Restore cannot be used",
    texts: [
      /resource modifiers?\b|resourceModifier|error in applying patch|error in creating label selector/,
      /patches, mergePatches|strategicPatches|groupResource cannot be empty|found more than one ConfigMap matching/,
    ],
    codes: ["DM_PLUGIN_CONFIG_AMBIGUOUS"],
    cause:
      "The ConfigMap is missing or wrong, a patch does not fit the object, or several ConfigMaps claim one setting.",
    remedy: [
      "Correct it: version v1, and JSON patches or merge patches; strategic ones are not supported",
    ],
  },
  {
    id: "schedule-paused",
    title: "the Schedule is paused",
    shows: (seen) => {
      const { kind, object } = subjectOf(seen);
      return kind === "Schedule" && valueAt(object, "spec", "paused") === true
        ? ["spec.paused is true"]
        : [];
    },
    cause: "spec.paused is set: no Backups are made.",
    remedy: [
      'kubectl -n <namespace> patch schedule <name> --type merge -p \'{"spec":{"paused":false}}\'',
    ],
  },
  {
    id: "schedule-invalid",
    title: "the Schedule's expression is not valid",
    texts: [
      /invalid schedule: |Schedule must be a non-empty valid Cron expression/,
      /expected exactly 5 fields|unrecognized descriptor|provided bad location|(beginning|end|step) of range/,
    ],
    codes: ["DM_CRON_INVALID"],
    cause:
      "Five cron fields are taken, @daily and its like, @every 6h, and CRON_TZ=<zone> before them.",
    remedy: ["Correct spec.schedule; it is looked at again at once"],
  },
  {
    id: "schedule-waits",
    title: "a Backup of the Schedule is still under way",
    shows: (seen) =>
      subjectOf(seen).kind === "Schedule"
        ? inRole(seen, "backup").flatMap((of) =>
            /^(New|Queued|ReadyToStart|InProgress|WaitingFor.*|Finalizing.*)$/.test(phaseText(of))
              ? [`${titleOf(of)} is ${phaseText(of)}`]
              : [],
          )
        : [],
    cause: "A Schedule has one Backup at a time; a run that is due meanwhile is left out.",
    remedy: ["dm why backup/<name> explains the one that is under way"],
  },
  {
    id: "deletion-waits",
    title: "the backup cannot be deleted yet",
    texts: [
      /backup is still in progress|of the backup is still in progress/,
      /data of the backup is still being moved|the backup is being deleted/,
    ],
    cause: "It is being made or restored, or a deletion of it runs.",
    remedy: ["Wait for its end, or cancel what runs, and create a new DeleteBackupRequest"],
  },
  {
    id: "deletion-errors",
    title: "something of the backup could not be deleted",
    texts: [/^error deleting /],
    shows: (seen) => {
      const { kind, object } = subjectOf(seen);
      const count = kind === "DeleteBackupRequest" ? listAt(object, "status", "errors").length : 0;
      return count > 0 ? [`status.errors has ${count} of them`] : [];
    },
    cause: "The Backup stays, so that nothing is forgotten; a second deletion finishes the first.",
    remedy: ["Mend what the errors name, and create a new DeleteBackupRequest for the same backup"],
    isGeneral: true,
  },
  {
    id: "download-unsupported",
    title: "there is no URL for a download",
    texts: [/unsupported download target kind/],
    codes: ["DM_STORE_OPTION_UNSUPPORTED"],
    cause: "The kind that was asked for is not known, or the store's credentials cannot sign URLs.",
    remedy: [
      "Use keys that can sign (an account key, a service account's key), and publicUrl for stores inside of the cluster",
    ],
  },
  {
    id: "application-invalid",
    title: "the DataProtectionApplication is not valid, or a step of it failed",
    codes: ["DM_APPLICATION_INVALID"],
    shows: (seen) => {
      const { kind, object } = subjectOf(seen);
      if (kind !== "DataProtectionApplication") return [];
      const reconciled = listAt(object, "status", "conditions").find(
        (one) => textAt(one, "type") === "Reconciled" && textAt(one, "status") === "False",
      );
      return reconciled === undefined
        ? []
        : [`Reconciled is False: ${textAt(reconciled, "message")}`];
    },
    cause: "The condition Reconciled has the first thing that is wrong, in OADP's words.",
    remedy: ["Correct the field that the message names; it is looked at again at once"],
    isGeneral: true,
  },
  {
    id: "application-foreign-object",
    title: "an object that the application needs belongs to somebody else",
    texts: [/was not made for this application|is already owned by another/],
    codes: ["DM_APPLICATION_FOREIGN_OBJECT"],
    cause:
      "Another installation, such as Velero's own, has an object of that name in the namespace.",
    remedy: ["Remove it, or install into a namespace of its own"],
  },
];

type Look = NonNullable<KnownProblem["shows"]>;

/** Errors that are of no volume are told in the bucket only. */
function partly(seen: Parameters<Look>[0], kind: string): string[] {
  const subject = subjectOf(seen);
  const errors = textAt(subject.object, "status", "errors");
  const isOfVolume = inRole(seen, "transfer").some((of) => verdictOf(of) === "failed");
  const isPartly = /PartiallyFailed$/.test(phaseText(subject));
  return subject.kind === kind && isPartly && errors !== "" && !isOfVolume
    ? [`${titleOf(subject)} has ${errors} errors, and no volume failed`]
    : [];
}

function invalid(seen: Parameters<Look>[0], kind: string): string[] {
  const subject = subjectOf(seen);
  return subject.kind === kind && phaseText(subject) === "FailedValidation"
    ? [`${titleOf(subject)} is FailedValidation`]
    : [];
}
