/**
 * Restore (velero.io/v1).
 * Proof: test/manifests.test.ts, test/samples.test.ts.
 * @module
 */
import { z } from "zod";
import type { CustomKind } from "../custom-kind.ts";
import {
  anyFields,
  dateTime,
  flag,
  goDuration,
  integer,
  kindSchema,
  labelSelectorSchema,
  nullable,
  object,
  optional,
  text,
  textMap,
  texts,
} from "../fields.ts";
import type { Resource } from "../kube-object.ts";
import {
  hookErrorModeSchema,
  hookScope,
  hookStatusSchema,
  typedReferenceSchema,
} from "./backup.ts";

export const restorePhases = [
  "New",
  "FailedValidation",
  "InProgress",
  "WaitingForPluginOperations",
  "WaitingForPluginOperationsPartiallyFailed",
  "Completed",
  "PartiallyFailed",
  "Failed",
  "Finalizing",
  "FinalizingPartiallyFailed",
] as const;
export type RestorePhase = (typeof restorePhases)[number];

const restoreHookSchema = object({
  exec: optional(
    object({
      command: texts,
      container: optional(text),
      execTimeout: optional(goDuration),
      onError: optional(hookErrorModeSchema),
      waitForReady: nullable(flag),
      waitTimeout: optional(goDuration),
    }),
  ),
  init: optional(
    object({
      initContainers: optional(
        z.array(anyFields).meta({ "x-kubernetes-preserve-unknown-fields": true }),
      ),
      timeout: optional(goDuration),
    }),
  ),
});

export const restoreSpecSchema = object({
  backupName: optional(text.describe("this or scheduleName")),
  excludedNamespaces: nullable(texts),
  excludedResources: nullable(texts),
  existingResourcePolicy: nullable(text.describe("none or update")),
  hooks: optional(
    object({
      resources: optional(
        z.array(object({ ...hookScope, postHooks: optional(z.array(restoreHookSchema)) })),
      ),
    }),
  ),
  includeClusterResources: nullable(flag),
  includedNamespaces: nullable(texts),
  includedResources: nullable(texts),
  itemOperationTimeout: optional(goDuration),
  labelSelector: nullable(labelSelectorSchema),
  namespaceMapping: optional(textMap.describe("old namespace to new one")),
  orLabelSelectors: nullable(z.array(labelSelectorSchema)),
  preserveNodePorts: nullable(flag),
  resourceModifier: nullable(typedReferenceSchema.describe("ConfigMap with patches")),
  restorePVs: nullable(flag.describe("false: claims come back empty")),
  restoreStatus: nullable(
    object({ excludedResources: nullable(texts), includedResources: nullable(texts) }),
  ),
  scheduleName: optional(text.describe("its newest completed backup")),
  uploaderConfig: nullable(
    object({ parallelFilesDownload: optional(integer), writeSparseFiles: nullable(flag) }),
  ),
});
export interface RestoreSpec extends z.infer<typeof restoreSpecSchema> {}

export const restoreStatusSchema = object({
  completionTimestamp: nullable(dateTime),
  errors: optional(integer),
  failureReason: optional(text),
  hookStatus: nullable(hookStatusSchema),
  phase: optional(z.enum(restorePhases)),
  progress: nullable(object({ itemsRestored: optional(integer), totalItems: optional(integer) })),
  restoreItemOperationsAttempted: optional(integer.describe("DataDownloads that were started")),
  restoreItemOperationsCompleted: optional(integer),
  restoreItemOperationsFailed: optional(integer),
  startTimestamp: nullable(dateTime),
  validationErrors: nullable(texts),
  warnings: optional(integer),
});
export interface RestoreStatus extends z.infer<typeof restoreStatusSchema> {}

export const restoreSchema = kindSchema("velero.io/v1", "Restore", {
  spec: optional(restoreSpecSchema),
  status: optional(restoreStatusSchema),
});
export interface Restore extends z.infer<typeof restoreSchema> {}

export const restores: Resource<Restore> = {
  group: "velero.io",
  version: "v1",
  kind: "Restore",
  plural: "restores",
  namespaced: true,
};

export const restoreKind: CustomKind<Restore> = {
  resource: restores,
  schema: restoreSchema,
  singular: "restore",
  description: "Brings back objects and volumes of a backup.",
};
