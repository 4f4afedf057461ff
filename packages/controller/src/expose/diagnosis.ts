/**
 * Lines about every object of an exposure, for the log and for messages: what a person would look up with `kubectl describe`.
 * Proof: test/expose/diagnosis.test.ts.
 * @module
 */
import {
  annotations,
  type KubeEvent,
  type KubeObject,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  type VolumeSnapshot,
  type VolumeSnapshotContent,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@dm/crds";
import { type DataPathKind, isPodVolume } from "../mover/data-path-kind.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { type Exposure, textOf } from "./exposure.ts";
import { warningsOf } from "./hosted-volume.ts";

/** An object of the user's, if it is there. */
export interface SeenObject<T> {
  readonly key: string;
  readonly object: T | undefined;
}

/** What was found. Absent objects are told as absent. */
export interface SeenExposure {
  readonly kind: DataPathKind;
  readonly name: string;
  readonly pod: Pod | undefined;
  readonly claim: PersistentVolumeClaim | undefined;
  readonly volume: PersistentVolume | undefined;
  readonly snapshot: VolumeSnapshot | undefined;
  readonly content: VolumeSnapshotContent | undefined;
  /** What a backup begins with; gone once it is copied. */
  readonly source?: SeenObject<VolumeSnapshot> | undefined;
  /** What a restore ends with. */
  readonly target?: SeenObject<PersistentVolumeClaim> | undefined;
  readonly warnings: readonly KubeEvent[];
  /** False when the pod has a node on which no node agent runs. */
  readonly nodeAgentRuns: boolean;
}

const titles: Readonly<Record<DataPathKind, string>> = {
  DataUpload: "CSI exposer",
  DataDownload: "restore exposer",
  PodVolumeBackup: "pod volume exposer",
  PodVolumeRestore: "pod volume exposer",
};

export function diagnosisText(seen: SeenExposure): string {
  const lines = [`begin diagnose ${titles[seen.kind]}`, ...podLines(seen)];
  if (!isPodVolume(seen.kind)) lines.push(...claimLines(seen));
  if (seen.kind === "DataUpload") lines.push(...snapshotLines(seen));
  lines.push(
    ...targetLines(seen),
    ...seen.warnings.map(
      ({ involvedObject, reason, message }) =>
        `${involvedObject.kind ?? "object"} ${involvedObject.name ?? ""} event reason ${reason ?? ""}, message ${message ?? ""}`,
    ),
    `end diagnose ${titles[seen.kind]}`,
  );
  return lines.join("\n");
}

export async function diagnoseExposure(
  exposure: Exposure,
  about: { readonly source?: ObjectKey; readonly target?: ObjectKey },
  options: KubeCallOptions,
): Promise<string> {
  const { context, key, kind } = exposure;
  const { client } = context;
  const { source, target } = about;
  const backup = kind === "DataUpload";
  const [pod, claim, snapshot, content, sourceSnapshot, targetClaim] = await Promise.all([
    client.get(pods, key, options),
    isPodVolume(kind) ? undefined : client.get(persistentVolumeClaims, key, options),
    backup ? client.get(volumeSnapshots, key, options) : undefined,
    backup ? client.get(volumeSnapshotContents, { name: key.name }, options) : undefined,
    source && client.get(volumeSnapshots, source, options),
    target && client.get(persistentVolumeClaims, target, options),
  ]);
  const volumeName = claim?.spec.volumeName ?? "";
  const volume =
    volumeName === ""
      ? undefined
      : await client.get(persistentVolumes, { name: volumeName }, options);
  const present: KubeObject[] = [pod, claim, snapshot].filter((object) => object !== undefined);
  const warnings: KubeEvent[] = [];
  for (const { metadata } of present)
    warnings.push(...(await warningsOf(exposure, metadata.uid ?? "", options)));
  const nodeName = pod?.spec.nodeName ?? "";
  const nodeAgentRuns = nodeName === "" || (await runsOn(exposure, nodeName, options));
  return diagnosisText({
    kind,
    name: textOf(key),
    pod,
    claim,
    volume,
    snapshot,
    content,
    source: source && { key: textOf(source), object: sourceSnapshot },
    target: target && { key: textOf(target), object: targetClaim },
    warnings,
    nodeAgentRuns,
  });
}

async function runsOn(
  exposure: Exposure,
  nodeName: string,
  options: KubeCallOptions,
): Promise<boolean> {
  const { client, namespace, template, windowsTemplate } = exposure.context;
  for (const { agentLabels = {} } of [template, windowsTemplate ?? {}]) {
    const labelSelector = Object.entries(agentLabels)
      .map(([key, value]) => `${key}=${value}`)
      .join(",");
    if (labelSelector === "") continue;
    const fieldSelector = `spec.nodeName=${nodeName}`;
    const { items } = await client.list(pods, {
      ...options,
      namespace,
      labelSelector,
      fieldSelector,
    });
    if (items.some(({ status }) => status?.phase === "Running")) return true;
  }
  return false;
}

function podLines({ pod, name, nodeAgentRuns }: SeenExposure): string[] {
  if (pod === undefined) return [`Pod ${name} is not there`];
  const { phase = "", message = "", conditions = [], containerStatuses = [] } = pod.status ?? {};
  const { nodeName = "" } = pod.spec;
  return [
    `Pod ${name}, phase ${phase}, node name ${nodeName}, message ${message}`,
    ...conditions.map(
      ({ type, status, reason = "", message: text = "" }) =>
        `Pod condition ${type}, status ${status}, reason ${reason}, message ${text}`,
    ),
    ...containerStatuses.flatMap(({ name: container, state }) =>
      state?.waiting === undefined
        ? []
        : `Container ${container} waits, reason ${state.waiting.reason ?? ""}, message ${state.waiting.message ?? ""}`,
    ),
    ...(nodeAgentRuns ? [] : [`node-agent is not running in node ${nodeName}`]),
  ];
}

function claimLines({ claim, volume, name }: SeenExposure): string[] {
  if (claim === undefined) return [`PVC ${name} is not there`];
  const volumeName = claim.spec.volumeName ?? "";
  const line = `PVC ${name}, phase ${claim.status?.phase ?? ""}, binding to ${volumeName}`;
  if (volumeName === "") return [line];
  if (volume === undefined) return [line, `PV ${volumeName} is not there`];
  const { phase = "", reason = "", message = "" } = volume.status ?? {};
  return [line, `PV ${volumeName}, phase ${phase}, reason ${reason}, message ${message}`];
}

function snapshotLines({ snapshot, content, name, source }: SeenExposure): string[] {
  const lines: string[] = [];
  // After the copy was made, nobody misses what it was made of.
  if (source !== undefined && (snapshot === undefined || source.object !== undefined))
    lines.push(snapshotLine(source.key, source.object));
  lines.push(snapshotLine(name, snapshot));
  if (content === undefined) return [...lines, `VSC of ${name} is not there`];
  const { readyToUse = false, snapshotHandle = "", error } = content.status ?? {};
  return [
    ...lines,
    `VSC ${content.metadata.name ?? ""}, readyToUse ${readyToUse}, errMessage ${error?.message ?? ""}, handle ${snapshotHandle}`,
  ];
}

function snapshotLine(name: string, snapshot: VolumeSnapshot | undefined): string {
  if (snapshot === undefined) return `VS ${name} is not there`;
  const { boundVolumeSnapshotContentName = "", readyToUse = false, error } = snapshot.status ?? {};
  return `VS ${name}, bind to ${boundVolumeSnapshotContentName}, readyToUse ${readyToUse}, errMessage ${error?.message ?? ""}`;
}

function targetLines({ target }: SeenExposure): string[] {
  if (target === undefined) return [];
  const { key, object } = target;
  if (object === undefined) return [`target PVC ${key} is not there`];
  const node = object.metadata.annotations?.[annotations.selectedNode] ?? "";
  return [
    `target PVC ${key}, phase ${object.status?.phase ?? ""}, binding to ${object.spec.volumeName ?? ""}, selected node ${node}`,
  ];
}
