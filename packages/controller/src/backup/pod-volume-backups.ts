/**
 * Volumes of pods that are backed up by their files: their PodVolumeBackups, until all of them have ended.
 * Proof: test/backup/pod-volumes.test.ts.
 * @module
 */
import { nsPerMs, parseGoDuration } from "@dm/core";
import {
  annotations,
  isFinalPhase,
  labels,
  type Pod,
  type PodVolumeBackup,
  pods,
  podVolumeBackups,
} from "@dm/crds";
import { type DueVolume, newPodVolumeBackup } from "../pod-volume/index.ts";
import { isAlreadyExists } from "../runtime/kube-errors.ts";
import { isDeleting } from "../runtime/objects.ts";
import { settingsOf } from "./backup-deps.ts";
import { addError, type BackupRun } from "./backup-run.ts";
import { follow } from "./follow.ts";
import { cancelMovement } from "./give-up.ts";
import { listAll } from "./list-all.ts";

type DueOfPod = DueVolume & { readonly pod: Pod };

export const podVolumesTimedOut = "timed out waiting for all PodVolumeBackups to complete";

/** Resolves with all that were made, as they ended; what went wrong with them is among the run's errors. */
export async function backUpPodVolumes(
  run: BackupRun,
  due: readonly DueOfPod[],
): Promise<PodVolumeBackup[]> {
  if (due.length === 0) return [];
  const made: { readonly due: DueOfPod; readonly name: string }[] = [];
  const agents = await nodesWithAgents(run);
  for (const one of due) {
    const node = one.pod.spec.nodeName ?? "";
    if (!agents.has(node)) {
      const what = `volume ${one.volume.name}: no node agent is running in node ${node}`;
      addError(run, [pods, one.pod], what);
      continue;
    }
    made.push({ due: one, name: await create(run, one) });
  }
  const names = new Set(made.map(({ name }) => name));
  const ended = await untilEnded(run, names);
  for (const { due: one, name } of made) {
    const object = ended.find(({ metadata }) => metadata.name === name);
    const error = problemOf(object);
    if (error !== undefined) addError(run, [pods, one.pod], `volume ${one.volume.name}: ${error}`);
  }
  return ended;
}

function problemOf(object: PodVolumeBackup | undefined): string | undefined {
  if (object === undefined) return "its PodVolumeBackup is gone";
  if (!isFinalPhase(object.status?.phase)) return podVolumesTimedOut;
  const options = { kind: "PodVolumeBackup", made: 1, now: new Date(0), timeoutMs: 1 } as const;
  return follow([object], options).failed[0]?.message;
}

async function create({ backup, deps, options }: BackupRun, due: DueOfPod): Promise<string> {
  const { generateName: _chance, ...metadata } = newPodVolumeBackup({ backup, ...due }).metadata;
  const object = { ...newPodVolumeBackup({ backup, ...due }), metadata };
  try {
    await deps.client.create(podVolumeBackups, object, options);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
  return metadata.name ?? "";
}

async function untilEnded(
  { backup, deps, options }: BackupRun,
  names: ReadonlySet<string>,
): Promise<PodVolumeBackup[]> {
  const { client, clock } = deps;
  const { name: _name, namespace, uid } = backup.metadata;
  const labelSelector = `${labels.backupUid}=${uid}`;
  const settings = settingsOf(deps);
  const own = parseGoDuration(backup.metadata.annotations?.[annotations.podVolumeTimeout] ?? "");
  const timeoutMs = own || settings.podVolumeTimeoutMs;
  const endNs = clock.nowNs() + BigInt(timeoutMs) * nsPerMs;
  for (;;) {
    const all = await listAll(client, podVolumeBackups, { ...options, namespace, labelSelector });
    const ours = all.filter(({ metadata }) => names.has(metadata.name ?? ""));
    const running = ours.filter(({ status }) => !isFinalPhase(status?.phase));
    if (running.length === 0) return ours;
    if (clock.nowNs() >= endNs) {
      for (const one of running)
        await cancelMovement(client, podVolumeBackups, one, podVolumesTimedOut, options);
      return ours;
    }
    await clock.sleep(settings.snapshotPollMs, options);
  }
}

/** Without one, a PodVolumeBackup would wait for hours while its pod stands still. */
async function nodesWithAgents({ backup, deps, options }: BackupRun): Promise<Set<string>> {
  const { namespace } = backup.metadata;
  const all = await listAll(deps.client, pods, { ...options, namespace });
  const running = all.filter(
    (one) => isAgent(one) && one.status?.phase === "Running" && !isDeleting(one),
  );
  return new Set(running.map(({ spec }) => spec.nodeName ?? ""));
}

/** Velero and OADP give their pods a role; manifests of other names the name of the program. */
const isAgent = ({ metadata: { labels: own = {} } }: Pod): boolean =>
  [own[labels.role], own[labels.appName]].some((value) => value?.endsWith("node-agent"));
