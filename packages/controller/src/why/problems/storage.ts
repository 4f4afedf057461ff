/**
 * Object stores that cannot be used, and repositories that cannot be opened.
 * Proof: test/why/known-problems.test.ts.
 * @module
 */
import type { KnownProblem } from "../known-problem.ts";
import { inRole, listAt, textAt, titleOf } from "../seen.ts";

export const storageProblems: readonly KnownProblem[] = [
  {
    id: "location-credentials",
    title: "the object store does not accept the credentials, or there are none",
    texts: [
      /does not know this access key id|secret access key does not belong/,
      /session token has expired|shared access signature has expired/,
      /is not that of this account: check both/,
      /does not accept these credentials|refuses these credentials|credentials cannot be used/,
      /no credentials: |profile \S+ of \S+ has neither keys|has no profile/,
      /(secret|key) \S+( of secret \S+)? does not exist in/,
    ],
    codes: [
      "DM_STORE_CREDENTIALS_MISSING",
      "DM_STORE_CREDENTIALS_INVALID",
      "DM_STORE_CREDENTIALS_EXPIRED",
      "DM_SECRET_NOT_FOUND",
    ],
    cause:
      "The Secret that the BackupStorageLocation names (spec.credential) is missing, lacks the key, has another profile than config.profile says, or holds keys that the server does not accept.",
    remedy: [
      "Compare spec.credential of the location with the Secret: kubectl -n <namespace> describe secret <name>",
      "Put a valid credentials file into the Secret; it is read anew at the next look, no pod has to be restarted",
    ],
  },
  {
    id: "location-bucket",
    title: "there is no such bucket or container",
    texts: [/there is no (bucket|container) /],
    codes: ["DM_STORE_NOT_FOUND"],
    cause: "The bucket of the location does not exist at that endpoint, or not for this account.",
    remedy: [
      "Check spec.objectStorage.bucket, config.s3Url, config.region and config.storageAccount of the BackupStorageLocation",
      "Create the bucket; nothing creates it by itself",
    ],
  },
  {
    id: "location-region",
    title: "the bucket is in another region or at another endpoint",
    texts: [/the server sends us .*(region|endpoint)|use that endpoint, or give the region/],
    cause: "The server redirects to where the bucket is: config.region or config.s3Url is another.",
    remedy: ["Set config.region of the BackupStorageLocation to the region that the message names"],
  },
  {
    id: "location-certificate",
    title: "the certificate of the object store is not trusted, or it speaks no TLS",
    texts: [/the certificate of \S+ is not trusted|does not speak TLS|the server wants TLS/],
    codes: ["DM_STORE_TLS_UNTRUSTED"],
    cause:
      "The server has a certificate of an authority that is not known, or http and https are mixed up in config.s3Url.",
    remedy: [
      "Give the authority's certificate: spec.objectStorage.caCert (base64 of PEM)",
      "Check whether config.s3Url begins with http:// or https://",
    ],
  },
  {
    id: "location-endpoint",
    title: "the object store cannot be reached",
    texts: [
      /there is no host \S+: check the endpoint|cannot be reached/,
      /no answer, or no progress, within/,
      /the answer ended too early|the server's answer is no /,
    ],
    codes: [
      "DM_STORE_UNREACHABLE",
      "DM_STORE_TIMEOUT",
      "DM_STORE_ANSWER_INCOMPLETE",
      "DM_STORE_ANSWER_INVALID",
    ],
    cause:
      "Name, port or network: a wrong config.s3Url, a NetworkPolicy or proxy in between, or a server that is down.",
    remedy: [
      "Try the endpoint from a pod of the operator's namespace",
      "Check config.s3Url, and that the pods may leave the cluster to it",
    ],
  },
  {
    id: "location-permission",
    title: "the credentials lack a permission in the object store",
    texts: [/no permission for \S+/],
    codes: ["DM_STORE_ACCESS_DENIED"],
    cause:
      "The account is known, but its policy does not allow the operation that the message names.",
    remedy: ["Add the permission that the message names to the account's policy for this bucket"],
  },
  {
    id: "location-clock",
    title: "the clock of a node is wrong",
    texts: [/the clock of this machine is too far from the server's/],
    codes: ["DM_STORE_CLOCK_SKEWED"],
    cause: "Requests are signed with their time, and servers refuse those that are too old or new.",
    remedy: ["Set the clock of the node on which the pod runs, and see to NTP"],
  },
  {
    id: "location-object-lock",
    title: "the store keeps objects from being changed until their time is over",
    texts: [/(policy|retention) keeps the (blob|object) from being changed until its time is over/],
    cause: "Object lock or an immutability policy holds what should be deleted or replaced.",
    remedy: [
      "Let the retention pass; deletion is tried again with a new DeleteBackupRequest",
      "Keep backups longer than the bucket's retention",
    ],
  },
  {
    id: "location-foreign-folders",
    title: "there are other folders beside Velero's in the bucket",
    texts: [/Backup store contains .*invalid top-level directories/],
    codes: ["DM_BUCKET_FOREIGN"],
    cause:
      "At the top of the location (bucket and prefix) only Velero's folders may lie: the prefix is missing, or somebody else uses the bucket.",
    remedy: [
      "Set spec.objectStorage.prefix to a folder of its own",
      "Or remove the folders that the message names, if nobody needs them",
    ],
  },
  {
    id: "store-full",
    title: "the store has no space",
    texts: [/the store has no space|no space on the server/],
    codes: ["DM_STORE_NO_SPACE"],
    cause: "The disk or the quota of the object store is used up.",
    remedy: [
      "Make space; deleting backups frees it with the next full maintenance",
      "A deletion that found no space goes on with a new DeleteBackupRequest",
    ],
  },
  {
    id: "location-missing",
    title: "the BackupStorageLocation does not exist",
    texts: [
      /backup storage location (\S+ )?(does not exist|not found)|its backup storage location does not exist/,
      /existing backup storage location was not (found|specified)/,
      /backupstoragelocations\.velero\.io "[^"]*" not found|BSLNotFound|BSLCannotGet/,
    ],
    codes: ["DM_LOCATION_NOT_FOUND"],
    cause: "The object names a location that is not there, or none and there is no default one.",
    remedy: [
      "kubectl -n <namespace> get backupstoragelocations",
      "Create it, or set spec.default: true on the one to use where none is named",
    ],
  },
  {
    id: "location-read-only",
    title: "the BackupStorageLocation may only be read",
    texts: [/in read-only mode|is read-only|for read-only backup storage location|BSLReadOnly/],
    codes: ["DM_LOCATION_READ_ONLY", "DM_STORE_READ_ONLY"],
    cause: "spec.accessMode of the location is ReadOnly: no backups, no deletion, no maintenance.",
    remedy: ["Set spec.accessMode: ReadWrite, or use another location"],
  },
  {
    id: "location-unavailable",
    title: "the BackupStorageLocation is Unavailable",
    texts: [/in Unavailable stat(us|e)|The BSL \S+ is unavailable|BSLUnavailable/],
    shows: (seen) =>
      inRole(seen, "location", "subject").flatMap((of) =>
        of.kind === "BackupStorageLocation" &&
        textAt(of.object, "status", "phase") === "Unavailable"
          ? [`${titleOf(of)} is Unavailable`]
          : [],
      ),
    cause: "The last look into the bucket failed; the location's status.message says why.",
    remedy: ["dm why bsl/<name> explains it; the next look is a minute later at most"],
    isGeneral: true,
  },
  {
    id: "repository-password",
    title: "the password does not open the repository",
    texts: [/invalid password|the password does not open blob/],
    codes: ["DM_PASSWORD_INVALID"],
    cause:
      "The Secret velero-repo-credentials is not the one with which the repository was made: it was changed, or comes from another cluster.",
    remedy: [
      "Put the old password back into key repository-password of velero-repo-credentials",
      "A repository's password is changed with dm repository change-password, then in the Secret",
    ],
  },
  {
    id: "repository-algorithm",
    title: "an algorithm or the format of the repository is not known",
    texts: [
      /known here: |KOPIA_(HASHING|ENCRYPTION|SPLITTER)_ALGORITHM/,
      /fullMaintenanceInterval \S+ is not supported/,
    ],
    codes: ["DM_FORMAT_UNSUPPORTED", "DM_MAINTENANCE_INTERVAL_UNKNOWN"],
    cause:
      "KOPIA_HASHING_ALGORITHM, KOPIA_ENCRYPTION_ALGORITHM, KOPIA_SPLITTER_ALGORITHM or a setting of the repository has a name that does not exist.",
    remedy: [
      "Correct the name (spec.configuration.velero.podConfig.env of the application); the message lists those that there are",
      "Repositories that exist keep the algorithms with which they were made",
    ],
  },
  {
    id: "repository-gone",
    title: "the repository is gone from the bucket",
    texts: [/the repository is gone from its storage location/],
    codes: ["DM_REPOSITORY_NOT_FOUND", "DM_BLOB_NOT_FOUND"],
    cause:
      "Somebody has removed its folder, or the location leads to another place now. Nothing is made in its place, so that the loss shows.",
    remedy: [
      "Bring the folder kopia/<namespace> back, or correct the location",
      "To begin a new one, delete the BackupRepository; backups in the old one are lost",
    ],
  },
  {
    id: "repository-replaced",
    title: "another repository lies where the known one was",
    texts: [/another repository \(unique ID .*\) lies where/],
    cause: "The bucket was replaced, or another cluster has made a repository in the same place.",
    remedy: [
      "Bring the old one back",
      "Or delete the BackupRepository to go on with what lies there",
    ],
  },
  {
    id: "repository-foreign-data",
    title: "other data lies where the repository should be made",
    texts: [/found existing data in storage location/],
    codes: ["DM_STORE_NOT_EMPTY", "DM_REPOSITORY_EXISTS", "DM_VELERO_REPOSITORY_UNFINISHED"],
    cause: "A repository is made in an empty place only; here are files that are no repository.",
    remedy: [
      "Look at the folder kopia/<namespace> of the bucket, and move away what nobody needs",
      "Or set another prefix",
    ],
  },
  {
    id: "repository-damaged",
    title: "data of the repository is damaged or missing",
    texts: [/DM_(CONTENT|PACK|INDEX|OBJECT|MANIFEST|BLOB)_(ALTERED|TRUNCATED|NOT_FOUND|INVALID)/],
    cause: "Blobs of the repository were changed, cut short or removed.",
    remedy: [
      "Connect with dm repository connect and run dm repository doctor: it says what is lost and what can be repaired",
    ],
  },
  {
    id: "repository-ambiguous",
    title: "there are several BackupRepositories for one namespace and location",
    texts: [/more than one BackupRepository found/],
    codes: ["DM_BACKUP_REPOSITORY_AMBIGUOUS"],
    cause: "Somebody has created one beside the one of the server.",
    remedy: ["Delete all but one; the data in the bucket stays"],
  },
  {
    id: "repository-not-ready",
    title: "the BackupRepository is not ready",
    texts: [
      /backup repository is not ready|backup repository not provisioned|failed to wait BackupRepository/,
    ],
    codes: ["DM_BACKUP_REPOSITORY_NOT_READY"],
    shows: (seen) =>
      inRole(seen, "repository").flatMap((of) => {
        const phase = textAt(of.object, "status", "phase");
        return phase === "NotReady" ? [`${titleOf(of)} is NotReady`] : [];
      }),
    cause:
      "The repository of the volume's namespace cannot be opened, or the server that opens it does not run.",
    remedy: [
      "dm why backuprepository/<name> explains it: its status.message has the reason",
      "It is tried again every few minutes, and at once when location or password change",
    ],
    isGeneral: true,
  },
  {
    id: "maintenance-failed",
    title: "maintenance of the repository fails",
    texts: [
      /Repo maintenance error|the last maintenance failed|MaintenanceFailed/,
      /to make a maintenance Job after|maintenance Jobs are made after it/,
    ],
    codes: ["DM_MAINTENANCE_NOT_OWNER", "DM_SERVER_TEMPLATE"],
    shows: (seen) =>
      inRole(seen, "subject", "repository").flatMap((of) => {
        const last = listAt(of.object, "status", "recentMaintenance").at(-1);
        return textAt(last, "result") === "Failed" ? [`${titleOf(of)}: the last run failed`] : [];
      }),
    cause:
      "The Job that maintains the repository ended with an error. Backups go on, but nothing that was deleted is freed.",
    remedy: [
      "kubectl -n <namespace> logs job/<repository>-maintain-job-…",
      "Owned by another client: kopia maintenance set --owner=default@default",
    ],
  },
  {
    id: "orphaned-snapshots",
    title: "the repository has snapshots that no backup knows",
    texts: [/snapshots in the repository belong to no backup of the bucket|OrphanedSnapshots/],
    cause:
      "A backup's files were removed from the bucket without a DeleteBackupRequest. Nothing deletes such snapshots by itself.",
    remedy: [
      "Connect with dm repository connect and delete what nobody needs: dm snapshot delete <id>",
    ],
  },
];
