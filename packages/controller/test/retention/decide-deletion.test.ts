// What becomes of a DeleteBackupRequest: each branch of the decision, with Velero's words where it is refused.
import type {
  Backup,
  BackupStorageLocation,
  DataUpload,
  DeleteBackupRequest,
  Restore,
} from "@dm/crds";
import { expect, it } from "vitest";
import { decideDeletion, type SeenRequest } from "../../src/retention/decide-deletion.ts";

const nowMs = Date.parse("2026-11-25T12:00:00Z");
const hourMs = 3_600_000;
const request = (name: string, phase: string, more: object = {}): DeleteBackupRequest =>
  ({
    metadata: { name, creationTimestamp: "2026-11-25T12:00:00Z", ...more },
    spec: { backupName: "b" },
    status: { phase, errors: phase === "Processed" ? ["x"] : [] },
  }) as DeleteBackupRequest;
const backup = (phase: string): Backup =>
  ({ metadata: { name: "b" }, spec: { storageLocation: "default" }, status: { phase } }) as Backup;
const location = (spec: object = {}, phase = "Available"): BackupStorageLocation =>
  ({ metadata: { name: "default" }, spec, status: { phase } }) as BackupStorageLocation;
const upload = (phase: string, spec: object = {}): DataUpload =>
  ({ kind: "DataUpload", metadata: { name: "du" }, spec, status: { phase } }) as DataUpload;
const restore = (phase: string): Restore =>
  ({ metadata: { name: "r" }, spec: {}, status: { phase } }) as Restore;
const base: SeenRequest = {
  request: request("x", ""),
  others: [],
  backup: backup("Completed"),
  location: location(),
  restores: [],
  movements: [],
  limits: { maxAgeMs: 24 * hourMs, cancelTimeoutMs: 600_000 },
};
const refused = (reason: string) => ({ do: "refuse", reason });

it.each<[string, Partial<SeenRequest>, object]>([
  ["a new one", {}, { do: "delete" }],
  [
    "one under way",
    { request: request("x", "InProgress"), backup: backup("Deleting") },
    { do: "delete" },
  ],
  ["a backup that Failed", { backup: backup("Failed") }, { do: "delete" }],
  ["one that is over", { request: request("x", "Processed") }, { do: "wait", ms: 24 * hourMs }],
  [
    "one that is over for a day",
    { request: request("x", "Processed", { creationTimestamp: "2026-11-24T12:00:00Z" }) },
    { do: "forget" },
  ],
  [
    "one that went well",
    { request: { ...request("x", "Processed"), status: { phase: "Processed" } } },
    { do: "forget" },
  ],
  [
    "no name",
    { request: { ...request("x", ""), spec: { backupName: "" } } },
    refused("spec.backupName is required"),
  ],
  ["an older one for the same backup", { others: [request("a", "New")] }, { do: "forget" }],
  ["an older one that is over", { others: [request("a", "Processed")] }, { do: "delete" }],
  ["a younger one", { others: [request("y", "")] }, { do: "delete" }],
  ["no backup", { backup: undefined }, refused("backup not found")],
  [
    "no backup any more",
    {
      backup: undefined,
      request: request("x", "InProgress", { labels: { "velero.io/backup-uid": "u" } }),
    },
    { do: "finish" },
  ],
  ...[
    "",
    "New",
    "Queued",
    "ReadyToStart",
    "InProgress",
    "WaitingForPluginOperations",
    "WaitingForPluginOperationsPartiallyFailed",
    "Finalizing",
    "FinalizingPartiallyFailed",
  ].map((phase): [string, Partial<SeenRequest>, object] => [
    `a backup that is ${phase || "not begun"}`,
    { backup: backup(phase) },
    refused("backup is still in progress"),
  ]),
  ["no location", { location: undefined }, refused("backup storage location default not found")],
  [
    "a location to read only",
    { location: location({ accessMode: "ReadOnly" }) },
    refused(
      "cannot delete backup because backup storage location default is currently in read-only mode",
    ),
  ],
  [
    "a location that is away",
    { location: location({}, "Unavailable") },
    refused(
      "cannot delete backup because backup storage location default is currently in Unavailable state",
    ),
  ],
  [
    "a restore under way",
    { restores: [restore("Completed"), restore("InProgress")] },
    refused("restore r of the backup is still in progress"),
  ],
  [
    "restores that are over, or have not begun",
    { restores: [restore("Failed"), restore("New"), restore("")] },
    { do: "delete" },
  ],
  [
    "data that is moved",
    { movements: [upload("InProgress"), upload("Completed")] },
    { do: "cancel", movements: [upload("InProgress")] },
  ],
  [
    "data that is moved, and was cancelled",
    { movements: [upload("InProgress", { cancel: true })] },
    { do: "cancel", movements: [] },
  ],
  [
    "data that is moved in spite of it",
    {
      movements: [upload("InProgress", { cancel: true })],
      request: request("x", "", { creationTimestamp: "2026-11-25T11:50:00Z" }),
    },
    refused("data of the backup is still being moved, although it was cancelled: DataUpload du"),
  ],
  [
    "data that was moved",
    { movements: [upload("Completed"), upload("Canceled"), upload("Failed")] },
    { do: "delete" },
  ],
])("%s", (_, seen, expected) => {
  expect(decideDeletion({ ...base, ...seen }, nowMs)).toMatchObject(expected);
});

it("of several that come at once, one is carried out, whoever looks", () => {
  const all = [request("c", "New"), request("a", "InProgress"), request("b", "")];
  const chosen = all.filter(
    (one) =>
      decideDeletion({ ...base, request: one, others: all.filter((other) => other !== one) }, nowMs)
        .do === "delete",
  );
  expect(chosen.map(({ metadata }) => metadata.name)).toEqual(["a"]);
});
