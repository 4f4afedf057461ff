/**
 * What is written down of a Restore: messages, what became of each object, volumes and operations, as Velero writes them. Pure.
 * Proof: test/restore/restore-objects.test.ts, test/restore/restore-record.test.ts.
 * @module
 */
import {
  annotations,
  type DataDownload,
  labels,
  type Pod,
  type PodVolumeRestore,
  type Restore,
} from "@dm/crds";
import type { Followed } from "../backup/follow.ts";
import type { ResultMessages, Results } from "../bucket/backup-files.ts";
import { keyText } from "../runtime/object-key.ts";
import type { AnyObject } from "./actions/action.ts";
import { restoredSnapshotName } from "./actions/volume-snapshot.ts";
import type { ItemOutcome } from "./bring-item.ts";
import type { PlanMessage, RestorePlan } from "./plan-restore.ts";

interface Movements {
  readonly downloads: readonly DataDownload[];
  readonly podVolumes: readonly PodVolumeRestore[];
}

export interface RestoreRecord {
  readonly results: Results;
  /** Each message of the results, for the log. */
  readonly told: readonly (PlanMessage & { readonly isError: boolean })[];
  readonly list: ResourceList;
  readonly operations: readonly object[];
  readonly volumes: readonly object[];
}

/** What there is to tell when all objects have been made. */
export function recordRestore(
  restore: Restore,
  { madeNamespaces, outcomes, plan }: BroughtItems,
  movements: Movements,
): RestoreRecord {
  const messages = (of: "errors" | "warnings"): PlanMessage[] => [
    ...plan[of],
    ...outcomes.flatMap(({ item, ...outcome }) =>
      outcome[of].map((message) => ({ namespace: item.namespace, message })),
    ),
  ];
  const [errors, warnings] = [messages("errors"), messages("warnings")];
  return {
    results: { errors: messagesOf(errors), warnings: messagesOf(warnings) },
    told: [
      ...errors.map((one) => ({ ...one, isError: true })),
      ...warnings.map((one) => ({ ...one, isError: false })),
    ],
    list: resourceListOf(outcomes, madeNamespaces),
    operations: restoreOperations(restore, movements.downloads, []),
    volumes: volumeInfosOf(restore, outcomes, movements),
  };
}

interface BroughtItems {
  readonly plan: Pick<RestorePlan, "errors" | "warnings">;
  readonly outcomes: readonly ItemOutcome[];
  readonly madeNamespaces: readonly string[];
}

/** `<apiVersion>/<Kind>` to `<namespace>/<name>(<what became of it>)`. */
export type ResourceList = Readonly<Record<string, readonly string[]>>;

function resourceListOf(
  outcomes: readonly ItemOutcome[],
  madeNamespaces: readonly string[],
): ResourceList {
  const entries = [
    ...madeNamespaces.map((name) => ({ kind: "v1/Namespace", entry: `${name}(created)` })),
    ...outcomes.map(({ action, createdName, item }) => ({
      kind: `${item.source.apiVersion}/${item.source.kind}`,
      entry: `${item.namespace ? `${item.namespace}/` : ""}${createdName ?? item.name}(${action})`,
    })),
  ];
  const byKind = [...Map.groupBy(entries, ({ kind }) => kind)].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    byKind.map(([kind, list]) => [kind, list.map(({ entry }) => entry).sort()]),
  );
}

/** Messages of objects by namespace, others by the cluster. */
export function messagesOf(messages: readonly PlanMessage[]): ResultMessages {
  const { "": cluster, ...namespaces } = Object.groupBy(messages, ({ namespace }) => namespace);
  const texts = (list: readonly PlanMessage[] = []): string[] => list.map(({ message }) => message);
  const named = Object.entries(namespaces).map(([name, list]) => [name, texts(list)]);
  return {
    ...(cluster && { cluster: texts(cluster) }),
    ...(named.length > 0 && { namespaces: Object.fromEntries(named) }),
  };
}

/** Each message once: a step that was cut off is taken again. */
export function withMessages(before: ResultMessages, more: ResultMessages): ResultMessages {
  const both = (a: readonly string[] = [], b: readonly string[] = []): string[] => [
    ...new Set([...a, ...b]),
  ];
  const velero = both(before.velero, more.velero);
  const cluster = both(before.cluster, more.cluster);
  const names = both(Object.keys(before.namespaces ?? {}), Object.keys(more.namespaces ?? {}));
  // A namespace may be called as what every object has: `constructor`.
  const of = ({ namespaces = {} }: ResultMessages, name: string): readonly string[] =>
    Object.hasOwn(namespaces, name) ? (namespaces[name] ?? []) : [];
  const namespaces = names.map((name) => [name, both(of(before, name), of(more, name))]);
  return {
    ...(velero.length > 0 && { velero }),
    ...(cluster.length > 0 && { cluster }),
    ...(names.length > 0 && { namespaces: Object.fromEntries(namespaces) }),
  };
}

/** One operation of Velero's: a DataDownload. */
export function restoreOperations(
  { metadata: { name = "", uid = "" } }: Restore,
  downloads: readonly DataDownload[],
  failed: Followed<DataDownload>["failed"],
): object[] {
  const failures = new Map(failed.map(({ message, object }) => [object, message]));
  return downloads.map((download) => {
    const { metadata, spec, status } = download;
    const { completionTimestamp, phase, progress, startTimestamp } = status ?? {};
    const error = failures.get(download);
    const isDone = phase === "Completed";
    return {
      spec: {
        restoreName: name,
        restoreUID: uid,
        restoreItemAction: "velero.io/csi-pvc-restorer",
        resourceIdentifier: {
          Group: "",
          Resource: "persistentvolumeclaims",
          Namespace: spec.targetVolume.namespace,
          Name: spec.targetVolume.pvc,
        },
        operationID: metadata.labels?.[labels.asyncOperationId] ?? "",
      },
      status: {
        phase: error ? "Failed" : isDone ? "Completed" : phase ? "InProgress" : "New",
        ...(error && { error }),
        ...(progress?.bytesDone && { nCompleted: progress.bytesDone }),
        ...(progress?.totalBytes && { nTotal: progress.totalBytes }),
        ...(phase && { operationUnits: "Bytes", description: phase }),
        ...(metadata.creationTimestamp && { created: metadata.creationTimestamp }),
        ...(startTimestamp && { started: startTimestamp }),
        ...(completionTimestamp && { updated: completionTimestamp }),
      },
    };
  });
}

/** Velero's has neither size nor phase of the movement. */
function volumeInfosOf(
  restore: Restore,
  outcomes: readonly ItemOutcome[],
  { downloads, podVolumes }: Movements,
): object[] {
  const moved = downloads.map(({ metadata, spec }) => ({
    pvcName: spec.targetVolume.pvc,
    pvcNamespace: spec.targetVolume.namespace,
    restoreMethod: "CSISnapshot",
    snapshotDataMoved: true,
    snapshotDataMovementInfo: {
      dataMover: spec.datamover || "velero",
      uploaderType: "kopia",
      snapshotHandle: spec.snapshotID,
      operationID: metadata.labels?.[labels.asyncOperationId] ?? "",
      size: 0,
      Phase: "",
    },
  }));
  const byFiles = podVolumes.flatMap(({ spec }) => {
    const { name = "", namespace = "" } = spec.pod;
    const pvcName = claimOf(outcomes, namespace, name, spec.volume);
    if (pvcName === undefined) return [];
    return [
      {
        pvcName,
        pvcNamespace: namespace,
        restoreMethod: "PodVolumeRestore",
        snapshotDataMoved: false,
        pvrInfo: {
          snapshotHandle: spec.snapshotID,
          uploaderType: spec.uploaderType || "kopia",
          volumeName: spec.volume,
          podName: name,
          podNamespace: namespace,
        },
      },
    ];
  });
  return [...byFiles, ...snapshotInfos(restore, outcomes), ...moved];
}

function claimOf(
  outcomes: readonly ItemOutcome[],
  namespace: string,
  name: string,
  volume: string,
): string | undefined {
  const pod = outcomes.find(
    ({ item }) => item.resource === "pods" && item.namespace === namespace && item.name === name,
  )?.item.source as (AnyObject & Pod) | undefined;
  const found = pod?.spec.volumes?.find((one) => one.name === volume);
  return found?.persistentVolumeClaim?.claimName;
}

/** Of claims whose volumes were made of snapshots in the storage. */
function snapshotInfos({ metadata, spec }: Restore, outcomes: readonly ItemOutcome[]): object[] {
  if (spec?.restorePVs === false) return [];
  const of = (resource: string): ItemOutcome[] =>
    outcomes.filter(({ action, item }) => item.resource === resource && action === "created");
  const snapshots = new Map(
    of("volumesnapshots.snapshot.storage.k8s.io").map(({ item }) => [
      keyText(item),
      item.source.metadata.annotations ?? {},
    ]),
  );
  return of("persistentvolumeclaims").flatMap(({ item }) => {
    const notes = item.source.metadata.annotations ?? {};
    const name = notes[annotations.volumeSnapshotName];
    if (!name || notes[annotations.dataUploadName]) return [];
    const snapshot = snapshots.get(keyText({ namespace: item.namespace, name })) ?? {};
    return [
      {
        pvcName: item.name,
        pvcNamespace: item.namespace,
        restoreMethod: "CSISnapshot",
        snapshotDataMoved: false,
        csiSnapshotInfo: {
          snapshotHandle: snapshot[annotations.csiVolumeSnapshotHandle] ?? "",
          size: Number(snapshot[annotations.csiVolumeSnapshotRestoreSize]) || 0,
          driver: snapshot[annotations.csiDriverName] ?? "",
          vscName: restoredSnapshotName(metadata.uid ?? "", name),
        },
      },
    ];
  });
}
