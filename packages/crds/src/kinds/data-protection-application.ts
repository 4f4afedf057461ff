/**
 * DataProtectionApplication (oadp.openshift.io/v1alpha1): how an installation of OADP is set up. Parts that are copies of core
 * types, and those of the non-admin controller, are kept but not described.
 * Proof: test/manifests.test.ts, test/samples.test.ts.
 * @module
 */
import { z } from "zod";
import { ageColumn, type CustomKind } from "../custom-kind.ts";
import {
  anyFields,
  bytes,
  dateTime,
  flag,
  goDuration,
  int64,
  integer,
  kindSchema,
  labelSelectorSchema,
  nullable,
  object,
  optional,
  secretKeySelectorSchema,
  text,
  textMap,
  texts,
} from "../fields.ts";
import type { Resource } from "../kube-object.ts";
import { accessModeSchema, volumeSnapshotLocationSpecSchema } from "./storage-locations.ts";

const loadAffinity = z.array(object({ nodeSelector: optional(labelSelectorSchema) }));

const podConfigSchema = object({
  env: optional(z.array(anyFields)),
  labels: optional(textMap),
  nodeSelector: optional(textMap),
  resourceAllocations: nullable(anyFields),
  tolerations: optional(z.array(anyFields)),
});

const podResourcesSchema = object({
  cpuLimit: optional(text),
  cpuRequest: optional(text),
  memoryLimit: optional(text),
  memoryRequest: optional(text),
});

/** As a BackupStorageLocation, but the certificate authorities stand inline only. */
const veleroLocationSchema = object({
  accessMode: optional(accessModeSchema),
  backupSyncPeriod: nullable(goDuration),
  config: optional(textMap),
  credential: optional(secretKeySelectorSchema),
  default: optional(flag.describe("exactly one location is")),
  objectStorage: object({ bucket: text, caCert: optional(bytes), prefix: optional(text) }),
  provider: text,
  validationFrequency: nullable(goDuration),
});

const bucketLocationSchema = object({
  backupSyncPeriod: nullable(goDuration),
  caCert: optional(bytes),
  cloudStorageRef: object({ name: optional(text.meta({ default: "" })) }),
  config: optional(textMap),
  credential: optional(secretKeySelectorSchema),
  default: optional(flag),
  prefix: optional(text),
});

export const backupLocationSchema = object({
  bucket: optional(bucketLocationSchema.describe("by a CloudStorage; not together with velero")),
  name: optional(text.describe("<name of the application>-<number from 1> when absent")),
  velero: optional(veleroLocationSchema.describe("a BackupStorageLocation")),
});
export interface BackupLocation extends z.infer<typeof backupLocationSchema> {}

export const nodeAgentConfigSchema = object({
  backupPVC: optional(
    z.record(
      z.string(),
      object({
        readOnly: optional(flag),
        spcNoRelabeling: optional(flag),
        storageClass: optional(text),
      }),
    ),
  ),
  cacheLimitMB: optional(int64.min(0)),
  dataMoverPrepareTimeout: optional(goDuration),
  enable: optional(flag.describe("whether there is a node agent at all")),
  fullMaintenanceInterval: optional(z.enum(["normalGC", "fastGC", "eagerGC"])),
  loadAffinity: optional(loadAffinity),
  loadConcurrency: optional(
    object({
      globalConfig: optional(integer.describe("data paths of a node; 1 when absent")),
      perNodeConfig: optional(
        z.array(object({ nodeSelector: labelSelectorSchema, number: integer })),
      ),
    }),
  ),
  podConfig: optional(podConfigSchema),
  podResources: optional(podResourcesSchema.describe("of the pods that host a data path")),
  resourceTimeout: optional(goDuration),
  restorePVC: optional(object({ ignoreDelayBinding: optional(flag) })),
  supplementalGroups: optional(z.array(int64)),
  timeout: optional(goDuration),
  uploaderType: z.enum(["restic", "kopia"]).describe("of file system backups only"),
});
export interface NodeAgentConfig extends z.infer<typeof nodeAgentConfigSchema> {}

export const veleroConfigSchema = object({
  args: optional(anyFields.describe("nearly all arguments of the server")),
  "client-burst": optional(integer),
  "client-qps": optional(integer),
  customPlugins: optional(z.array(object({ image: text, name: text }))),
  defaultItemOperationTimeout: optional(goDuration),
  defaultPlugins: optional(
    z.array(
      z.enum([
        "aws",
        "legacy-aws",
        "gcp",
        "azure",
        "csi",
        "vsm",
        "openshift",
        "kubevirt",
        "hypershift",
      ]),
    ),
  ),
  defaultSnapshotMoveData: optional(flag),
  defaultVolumesToFSBackup: optional(flag),
  disableFsBackup: optional(flag.meta({ default: false })),
  disableInformerCache: optional(flag),
  featureFlags: optional(texts),
  itemBlockWorkerCount: optional(integer),
  itemOperationSyncFrequency: optional(goDuration),
  loadAffinity: optional(loadAffinity),
  logLevel: optional(z.enum(["trace", "debug", "info", "warning", "error", "fatal", "panic"])),
  noDefaultBackupLocation: optional(flag),
  podConfig: optional(podConfigSchema),
  resourceTimeout: optional(goDuration),
  restoreResourcesVersionPriority: optional(text),
});
export interface VeleroConfig extends z.infer<typeof veleroConfigSchema> {}

export const dataProtectionApplicationSpecSchema = object({
  backupImages: optional(flag.describe("true when absent")),
  backupLocations: optional(z.array(backupLocationSchema)),
  configuration: object({
    nodeAgent: optional(nodeAgentConfigSchema),
    repositoryMaintenance: optional(
      z.record(
        z.string(),
        object({
          loadAffinity: optional(loadAffinity),
          podResources: optional(podResourcesSchema),
        }),
      ),
    ),
    restic: optional(anyFields.describe("refused: OADP 1.2 and earlier")),
    velero: optional(veleroConfigSchema),
  }),
  features: optional(
    object({
      dataMover: optional(
        anyFields.describe("refused: the VolSync data mover of OADP 1.1 and 1.2"),
      ),
    }),
  ),
  imagePullPolicy: optional(z.enum(["Always", "IfNotPresent", "Never"])),
  logFormat: optional(z.enum(["text", "json"]).meta({ default: "text" })),
  nonAdmin: optional(
    object({
      backupSyncPeriod: optional(goDuration),
      enable: optional(flag),
      enforceBSLSpec: optional(anyFields),
      enforceBackupSpec: optional(anyFields),
      enforceRestoreSpec: optional(anyFields),
      garbageCollectionPeriod: optional(goDuration),
      requireApprovalForBSL: optional(flag),
    }),
  ),
  podAnnotations: optional(textMap),
  podDnsConfig: optional(anyFields),
  podDnsPolicy: optional(text),
  snapshotLocations: optional(
    z.array(object({ name: optional(text), velero: volumeSnapshotLocationSpecSchema })),
  ),
  unsupportedOverrides: optional(textMap),
});
export interface DataProtectionApplicationSpec
  extends z.infer<typeof dataProtectionApplicationSpecSchema> {}

/** A condition of metav1. */
const conditionSchema = object({
  lastTransitionTime: dateTime,
  message: text,
  observedGeneration: optional(int64.min(0)),
  reason: text,
  status: z.enum(["True", "False", "Unknown"]),
  type: text,
});

export const dataProtectionApplicationSchema = kindSchema(
  "oadp.openshift.io/v1alpha1",
  "DataProtectionApplication",
  {
    spec: dataProtectionApplicationSpecSchema,
    status: optional(object({ conditions: optional(z.array(conditionSchema)) })),
  },
);
export interface DataProtectionApplication
  extends z.infer<typeof dataProtectionApplicationSchema> {}

export const dataProtectionApplications: Resource<DataProtectionApplication> = {
  group: "oadp.openshift.io",
  version: "v1alpha1",
  kind: "DataProtectionApplication",
  plural: "dataprotectionapplications",
  namespaced: true,
};

export const dataProtectionApplicationKind: CustomKind<DataProtectionApplication> = {
  resource: dataProtectionApplications,
  schema: dataProtectionApplicationSchema,
  singular: "dataprotectionapplication",
  specOptional: true,
  shortNames: ["dpa"],
  statusSubresource: true,
  description: "How an installation of OADP is set up.",
  columns: [
    {
      name: "Reconciled",
      type: "string",
      jsonPath: ".status.conditions[?(@.type=='Reconciled')].status",
    },
    ageColumn,
  ],
};
