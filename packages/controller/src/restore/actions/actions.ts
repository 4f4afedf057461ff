/**
 * Which actions change which resource, in this order.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import type { Action } from "./action.ts";
import { restoreApiService } from "./api-service.ts";
import { restoreClaim } from "./claim.ts";
import { restoreDefinition } from "./custom-resource-definition.ts";
import { leaveDoneWork } from "./done-work.ts";
import { changeCronJobImages, changePodImages, changeTemplateImages } from "./image.ts";
import { addInitHooks } from "./init-hook.ts";
import { restoreJob } from "./job.ts";
import { restoreVolume } from "./persistent-volume.ts";
import { restorePod } from "./pod.ts";
import { waitForPodVolumes } from "./pod-volume.ts";
import { restoreRoleBinding } from "./role-binding.ts";
import { restoreSecret } from "./secret.ts";
import { restoreService } from "./service.ts";
import { restoreServiceAccount } from "./service-account.ts";
import { changeStorageClass, changeTemplateStorageClass } from "./storage-class.ts";
import {
  restoreSnapshot,
  restoreSnapshotClass,
  restoreSnapshotContent,
} from "./volume-snapshot.ts";
import { restoreWebhookConfiguration } from "./webhook-configuration.ts";

const table: Readonly<Record<string, readonly Action[]>> = {
  "apiservices.apiregistration.k8s.io": [restoreApiService],
  "clusterrolebindings.rbac.authorization.k8s.io": [restoreRoleBinding],
  "cronjobs.batch": [changeCronJobImages],
  "customresourcedefinitions.apiextensions.k8s.io": [restoreDefinition],
  "daemonsets.apps": [changeTemplateImages],
  "datadownloads.velero.io": [leaveDoneWork],
  "datauploads.velero.io": [leaveDoneWork],
  "deletebackuprequests.velero.io": [leaveDoneWork],
  "deployments.apps": [changeTemplateImages],
  "downloadrequests.velero.io": [leaveDoneWork],
  "jobs.batch": [changeTemplateImages, restoreJob],
  "mutatingwebhookconfigurations.admissionregistration.k8s.io": [restoreWebhookConfiguration],
  persistentvolumeclaims: [changeStorageClass, restoreClaim],
  persistentvolumes: [changeStorageClass, restoreVolume],
  pods: [restorePod, changePodImages, addInitHooks, waitForPodVolumes],
  "podvolumebackups.velero.io": [leaveDoneWork],
  "podvolumerestores.velero.io": [leaveDoneWork],
  "replicasets.apps": [changeTemplateImages],
  replicationcontrollers: [changeTemplateImages],
  "rolebindings.rbac.authorization.k8s.io": [restoreRoleBinding],
  secrets: [restoreSecret],
  serviceaccounts: [restoreServiceAccount],
  "serverstatusrequests.velero.io": [leaveDoneWork],
  services: [restoreService],
  "statefulsets.apps": [changeTemplateImages, changeTemplateStorageClass],
  "validatingwebhookconfigurations.admissionregistration.k8s.io": [restoreWebhookConfiguration],
  "volumesnapshotclasses.snapshot.storage.k8s.io": [restoreSnapshotClass],
  "volumesnapshotcontents.snapshot.storage.k8s.io": [restoreSnapshotContent],
  "volumesnapshots.snapshot.storage.k8s.io": [restoreSnapshot],
};

export function actionsOf(resource: string): readonly Action[] {
  return Object.hasOwn(table, resource) ? (table[resource] ?? []) : [];
}
