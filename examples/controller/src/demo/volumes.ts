/**
 * Claims of the demo, and the pods that fill and list them.
 * @module
 */
import {
  type PersistentVolumeClaim,
  type PersistentVolumeClaimSpec,
  type Pod,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  type VolumeMode,
} from "@dm/crds";
import type { ListedEntry } from "../demo-pod/volume-list.ts";
import { parseList } from "../proof.ts";
import { metadataOf, type Stage, until } from "./stage.ts";

export interface DemoVolume {
  readonly claim: string;
  readonly volumeMode: VolumeMode;
  readonly size: string;
}

/** Where pods have the volume; a name that no source has. */
export const mountPath = "/dm-demo-volume";

export function claimOf(
  stage: Stage,
  { claim, size, volumeMode }: DemoVolume,
  more: Partial<PersistentVolumeClaimSpec> = {},
): PersistentVolumeClaim {
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: metadataOf(stage, claim),
    spec: {
      accessModes: ["ReadWriteOnce"],
      storageClassName: stage.storageClass,
      volumeMode,
      resources: { requests: { storage: size } },
      ...more,
    },
  };
}

export interface PodWork {
  readonly name: string;
  readonly claim: string;
  readonly volumeMode: VolumeMode;
  /** `VOLUME` stands for the path of the volume. */
  readonly args: readonly string[];
}

function podOf(stage: Stage, { args, claim, name, volumeMode }: PodWork): Pod {
  const { command, image } = stage.pod;
  const attachment =
    volumeMode === "Block"
      ? { volumeDevices: [{ name: "volume", devicePath: mountPath }] }
      : { volumeMounts: [{ name: "volume", mountPath }] };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: metadataOf(stage, name),
    spec: {
      restartPolicy: "Never",
      securityContext: { runAsUser: 0 },
      containers: [
        {
          name: "demo",
          image,
          imagePullPolicy: "IfNotPresent",
          command: [...command],
          args: args.map((arg) => arg.replace("VOLUME", mountPath)),
          ...attachment,
        },
      ],
      volumes: [{ name: "volume", persistentVolumeClaim: { claimName: claim } }],
    },
  } as Pod;
}

/** Runs to its end; what it printed. */
export async function runPod(stage: Stage, work: PodWork): Promise<string> {
  await startPod(stage, work, ["Succeeded"]);
  const key = { namespace: stage.namespace, name: work.name };
  const log = (await stage.client.podLog(key)) ?? "";
  await deletePod(stage, work.name);
  return log;
}

/** Resolves when the pod is in one of the phases. */
export async function startPod(
  stage: Stage,
  work: PodWork,
  phases: readonly string[] = ["Running"],
): Promise<void> {
  const { client, namespace } = stage;
  const key = { namespace, name: work.name };
  await client.create(pods, podOf(stage, work));
  await until(`pod ${work.name} to be ${phases.join(" or ")}`, stage, async () => {
    const pod = await client.get(pods, key);
    const phase = pod?.status?.phase ?? "";
    if (phases.includes(phase)) return phase;
    if (phase === "Failed") {
      const log = await client.podLog(key, { tailLines: 5 });
      throw new Error(`pod ${work.name} failed: ${log ?? pod?.status?.message ?? ""}`);
    }
    return undefined;
  });
}

export async function deletePod(stage: Stage, name: string): Promise<void> {
  const key = { namespace: stage.namespace, name };
  await stage.client.delete(pods, key);
  await until(`pod ${name} to go`, stage, async () =>
    (await stage.client.get(pods, key)) ? undefined : true,
  );
}

/** What a claim holds, by the witness in a pod of its own. */
export async function listClaim(
  stage: Stage,
  claim: string,
  volumeMode: VolumeMode,
): Promise<ListedEntry[]> {
  const args = ["list", "VOLUME"];
  return parseList(await runPod(stage, { name: `list-${claim}`, claim, volumeMode, args }));
}

/** The claim and its volume are gone afterwards. */
export async function destroyClaim(stage: Stage, claim: string): Promise<void> {
  const { client, namespace } = stage;
  const key = { namespace, name: claim };
  const volume = (await client.get(persistentVolumeClaims, key))?.spec.volumeName;
  await client.delete(persistentVolumeClaims, key);
  await until(`claim ${claim} to go`, stage, async () =>
    (await client.get(persistentVolumeClaims, key)) ? undefined : true,
  );
  if (volume)
    await until(`volume ${volume} to go`, stage, async () =>
      (await client.get(persistentVolumes, { name: volume })) ? undefined : true,
    );
}
