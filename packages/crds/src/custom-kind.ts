/**
 * What a custom kind is besides its schema: the names under which it is served, and the columns in which it is listed.
 * Proof: test/manifests.test.ts.
 * @module
 */
import type { z } from "zod";
import type { KubeObject, Resource } from "./kube-object.ts";

/** A column of `kubectl get`. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: "string" | "date" | "integer" | "boolean" | "number";
  readonly format?: "int64";
  readonly jsonPath: string;
  /** Above 0: with `-o wide` only. */
  readonly priority?: number;
}

export interface CustomKind<T extends KubeObject = KubeObject> {
  readonly resource: Resource<T>;
  readonly schema: z.ZodType<T>;
  readonly singular: string;
  readonly shortNames?: readonly string[];
  /** Without any, the API server shows NAME and AGE. */
  readonly columns?: readonly PrinterColumn[];
  /** Whether status is written through `/status` alone. No kind of velero.io has it. */
  readonly statusSubresource?: boolean;
  /** Whether the API server takes an object without spec. The schema here does not: nothing could be done with it. */
  readonly specOptional?: boolean;
  /** Served by the group `.k8s.io`, which wants an approval named. */
  readonly approvedBy?: string;
  readonly description: string;
}

export const ageColumn: PrinterColumn = {
  name: "Age",
  type: "date",
  jsonPath: ".metadata.creationTimestamp",
};
export const statusColumn: PrinterColumn = {
  name: "Status",
  type: "string",
  jsonPath: ".status.phase",
};
export const startedColumn: PrinterColumn = {
  name: "Started",
  type: "date",
  jsonPath: ".status.startTimestamp",
};
export const bytesDoneColumn: PrinterColumn = {
  name: "Bytes Done",
  type: "integer",
  format: "int64",
  jsonPath: ".status.progress.bytesDone",
};
export const totalBytesColumn: PrinterColumn = {
  name: "Total Bytes",
  type: "integer",
  format: "int64",
  jsonPath: ".status.progress.totalBytes",
};
export const incrementalBytesColumn: PrinterColumn = {
  name: "Incremental Bytes",
  type: "integer",
  format: "int64",
  jsonPath: ".status.incrementalBytes",
  priority: 10,
};
export const storageLocationColumn: PrinterColumn = {
  name: "Storage Location",
  type: "string",
  jsonPath: ".spec.backupStorageLocation",
};
export const nodeColumn: PrinterColumn = {
  name: "Node",
  type: "string",
  jsonPath: ".status.node",
};
