/**
 * The state of one object in a few words, and what it waits for.
 * Proof: test/why/explain.test.ts.
 * @module
 */
import { listAt, phaseText, type SeenObject, textAt, transferKinds, valueAt } from "./seen.ts";

export type Verdict = "fine" | "waiting" | "failed" | "absent";

const failed = /^(Failed|PartiallyFailed|FailedValidation|Canceled|Unavailable|NotReady|Lost)$/;
const fine = /^(Completed|Available|Ready|Enabled|Bound|Succeeded|Processed|Running|Active)$/;

/** Of one object by itself; what depends on it is another matter. */
export function verdictOf(of: SeenObject): Verdict {
  const { kind, object } = of;
  if (object === undefined) return "absent";
  const status = valueAt(object, "status");
  if (kind === "DataProtectionApplication") return reconciledVerdict(status);
  if (/^VolumeSnapshot(Content)?$/.test(kind))
    return valueAt(status, "readyToUse") === true ? "fine" : "waiting";
  if (kind === "Node") return isReadyNode(status) ? "fine" : "waiting";
  if (kind === "Deployment" || kind === "DaemonSet") {
    const { ready, wanted } = readyPods(of);
    return ready >= wanted ? "fine" : "waiting";
  }
  const phase = phaseText(of);
  if (kind === "DeleteBackupRequest" && listAt(status, "errors").length > 0) return "failed";
  if (kind === "Schedule" && valueAt(object, "spec", "paused") === true) return "waiting";
  if (failed.test(phase) || /PartiallyFailed$/.test(phase)) return "failed";
  return fine.test(phase) ? "fine" : "waiting";
}

function reconciledVerdict(status: unknown): Verdict {
  const condition = listAt(status, "conditions").find(
    (one) => textAt(one, "type") === "Reconciled",
  );
  const state = textAt(condition, "status");
  if (state === "") return "waiting";
  return state === "True" ? "fine" : "failed";
}

/** `is Failed, on node n1`; `is not there`. */
export function stateText(of: SeenObject): string {
  const { kind, object } = of;
  if (object === undefined) return "is not there";
  const [spec, status] = [valueAt(object, "spec"), valueAt(object, "status")];
  const parts: string[] = [];
  const add = (prefix: string, value: string): void => {
    if (value !== "") parts.push(`${prefix}${value}`);
  };
  switch (kind) {
    case "DaemonSet":
    case "Deployment": {
      const { ready, wanted } = readyPods(of);
      return `has ${ready} of ${wanted} pods ready`;
    }
    case "VolumeSnapshot":
    case "VolumeSnapshotContent":
      return valueAt(status, "readyToUse") === true ? "is ready to use" : "is not ready to use";
    case "StorageClass":
      return `of ${textAt(object, "provisioner")}, binds ${textAt(object, "volumeBindingMode") || "Immediate"}`;
    case "Lease":
      return `is held by ${textAt(spec, "holderIdentity") || "nobody"}, renewed ${textAt(spec, "renewTime") || "never"}`;
    case "Node":
      return isReadyNode(status) ? "is ready" : "is not ready";
    case "Job":
      return `has ${textAt(status, "succeeded") || "0"} pods that succeeded, ${textAt(status, "failed") || "0"} that failed`;
    case "DataProtectionApplication":
      return { fine: "is reconciled", failed: "is not reconciled", waiting: "is New", absent: "" }[
        verdictOf(of)
      ];
    default:
      parts.push(`is ${phaseText(of)}`);
  }
  add("place in the queue: ", textAt(status, "queuePosition").replace(/^0$/, ""));
  add("accepted by ", textAt(status, "acceptedByNode"));
  add("on node ", textAt(status, "node") || textAt(spec, "nodeName") || textAt(spec, "node"));
  if (transferKinds.has(kind)) add("", progressText(status));
  if (kind === "Backup" || kind === "Restore") {
    add("errors: ", textAt(status, "errors"));
    add("warnings: ", textAt(status, "warnings"));
  }
  add("volume ", textAt(spec, "volumeName"));
  add("access mode ", textAt(spec, "accessMode").replace(/^ReadWrite$/, ""));
  if (valueAt(spec, "paused") === true) parts.push("paused");
  if (valueAt(spec, "cancel") === true) parts.push("to be cancelled");
  if (object.metadata.deletionTimestamp) parts.push("being deleted");
  return parts.join(", ");
}

function isReadyNode(status: unknown): boolean {
  const ready = listAt(status, "conditions").find((one) => textAt(one, "type") === "Ready");
  return textAt(ready, "status") === "True";
}

function readyPods({ object }: SeenObject): { readonly ready: number; readonly wanted: number } {
  const count = (...path: readonly string[]): string => textAt(object, ...path);
  return {
    ready: Number(count("status", "numberReady") || count("status", "readyReplicas")),
    wanted: Number(
      count("status", "desiredNumberScheduled") ||
        count("spec", "replicas") ||
        (count("status", "numberReady") === "" ? 1 : 0),
    ),
  };
}

function progressText(status: unknown): string {
  const total = textAt(status, "progress", "totalBytes");
  const done = textAt(status, "progress", "bytesDone") || "0";
  return total === "" ? "" : `${done} of ${total} bytes`;
}

/** What has to happen next for an object that is not at its end. */
export function waitsFor(of: SeenObject): string {
  const { kind, object } = of;
  const phase = phaseText(of);
  if (transferKinds.has(kind)) return transferWaits[phase] ?? `phase ${phase}`;
  if (kind === "Backup" || kind === "Restore") return serverWaits[phase] ?? `phase ${phase}`;
  if (kind === "BackupRepository") return "the server to make it, or to connect to it";
  if (kind === "BackupStorageLocation") return "the server to ask the object store";
  if (kind === "PersistentVolumeClaim") return "a volume to be bound to it";
  if (kind === "DeleteBackupRequest") return "the server to delete what belongs to the backup";
  if (kind === "Schedule" && valueAt(object, "spec", "paused") === true)
    return "somebody to take back its pause";
  return "the server to look at it";
}

const transferWaits: Readonly<Record<string, string>> = {
  New: "a node agent to accept it",
  Accepted: "its volume to be exposed: snapshot, claim and hosting pod",
  Prepared: "a free place on its node, where others move data",
  InProgress: "its mover, which moves data now",
  Canceling: "its mover to stop",
};

const serverWaits: Readonly<Record<string, string>> = {
  New: "the server to put it into the queue",
  Queued: "its turn in the queue",
  ReadyToStart: "the server to begin with it",
  InProgress: "the server, which works on its objects now",
  WaitingForPluginOperations: "its volumes: data is moved",
  WaitingForPluginOperationsPartiallyFailed: "its other volumes: data is moved",
  Finalizing: "the server to finish it",
  FinalizingPartiallyFailed: "the server to finish it",
  Deleting: "the server to delete what belongs to it",
};
