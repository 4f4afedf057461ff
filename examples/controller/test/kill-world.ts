/**
 * The data mover on an embedded cluster whose processes are killed while volumes move: one small volume of files and one block
 * volume, and for each case a DataUpload or a DataDownload of one of them.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type DataDownload,
  type DataUpload,
  dataDownloads,
  dataUploads,
  isFinalPhase,
  labels,
  persistentVolumeClaims,
  volumeSnapshots,
} from "@dm/crds";
import type { Cluster, StoredObject } from "@dm/testbed";
import { createScreen } from "../src/demo/screen.ts";
import { type SetUp, setUp } from "../src/demo/set-up.ts";
import { until } from "../src/demo/stage.ts";
import { claimOf, type DemoVolume, destroyClaim, listClaim, runPod } from "../src/demo/volumes.ts";
import type { ListedEntry } from "../src/demo-pod/volume-list.ts";
import { prove } from "../src/proof.ts";
import { layOutImage } from "./programs.ts";

export type Victim = "server" | "node-agent" | "mover";
export const victims: readonly Victim[] = ["server", "node-agent", "mover"];
export const moments = ["New", "Accepted", "Prepared", "InProgress", "random"] as const;

export interface KillCase {
  readonly victim: Victim;
  readonly moment: (typeof moments)[number];
  readonly kind: "DataUpload" | "DataDownload";
  readonly volumeMode: "Filesystem" | "Block";
  /** How long after the moment; for `random` after the object is made. */
  readonly delayMs: number;
}

export interface KillOutcome {
  readonly phase: string;
  readonly message: string;
  /** Whether there was a process to kill at the moment. */
  readonly killed: boolean;
}

const volumes: Readonly<Record<KillCase["volumeMode"], DemoVolume>> = {
  Filesystem: { claim: "files", volumeMode: "Filesystem", size: "64Mi" },
  Block: { claim: "image", volumeMode: "Block", size: "8Mi" },
};
const installedConfigMaps = new Set(["dm-node-agent", "dm-repositories", "kube-root-ca.crt"]);
const appOf = { server: "dm-server", "node-agent": "dm-node-agent" } as const;

/** A case ends within this time, whatever dies: far less than any timeout of the data mover. */
const limitMs = 150_000;

export class KillWorld {
  readonly #scene: SetUp;
  readonly #frozen = new Map<string, ListedEntry[]>();
  readonly #snapshotIDs = new Map<string, string>();
  #count = 0;

  private constructor(scene: SetUp) {
    this.#scene = scene;
  }

  static async open(folder: string, signal: AbortSignal): Promise<KillWorld> {
    const scene = await setUp({
      programs: layOutImage(folder),
      screen: createScreen(() => {}, false),
      signal,
      // Containers that are killed again and again start again at once.
      cluster: { times: { restartMs: 200, longestRestartMs: 1_000 } },
    });
    const world = new KillWorld(scene);
    try {
      await world.#fill(folder);
      return world;
    } catch (error) {
      await scene.close();
      throw error;
    }
  }

  get #cluster(): Cluster {
    return this.#scene.embedded.cluster;
  }

  close(): Promise<void> {
    return this.#scene.close();
  }

  async #fill(folder: string): Promise<void> {
    const { stage } = this.#scene;
    const source = join(folder, "source");
    mkdirSync(join(source, "deep"), { recursive: true });
    for (let number = 0; number < 200; number++)
      writeFileSync(join(source, "deep", `${number}`), `${number}`.repeat(1 + number * 20));
    writeFileSync(join(folder, "image"), Buffer.alloc(5 << 20, "some block "));
    for (const { claim, ...volume } of Object.values(volumes)) {
      await stage.client.create(persistentVolumeClaims, claimOf(stage, { claim, ...volume }));
      const args =
        volume.volumeMode === "Block"
          ? ["fill-device", "--to", "VOLUME", join(folder, "image")]
          : ["fill", "--to", "VOLUME", source];
      await runPod(stage, { name: `fill-${claim}`, claim, volumeMode: volume.volumeMode, args });
      this.#frozen.set(claim, await listClaim(stage, claim, volume.volumeMode));
    }
  }

  /** Plays one case to its end, and looks for what was left behind or lost. */
  async play(kill: KillCase): Promise<KillOutcome> {
    const { stage } = this.#scene;
    const volume = volumes[kill.volumeMode];
    const name = `case-${++this.#count}-${stage.run}`;
    const namespace = stage.operatorNamespace;
    if (kill.kind === "DataUpload") {
      await this.#snapshot(volume, name);
      const killing = this.#killAt(kill, name);
      await stage.client.create(dataUploads, this.#upload(volume, name));
      const ended = await this.#ended(() => stage.client.get(dataUploads, { namespace, name }));
      const killed = await killing;
      const { message = "", phase = "", snapshotID } = ended.status ?? {};
      if (phase === "Completed") this.#snapshotIDs.set(volume.claim, snapshotID ?? "");
      await this.#nothingLeft(2);
      return { phase, message, killed };
    }
    const target = { ...volume, claim: `back-${this.#count}` };
    const snapshotID = this.#snapshotIDs.get(volume.claim) ?? (await this.#backUp(volume));
    const matchLabels = {
      [labels.dynamicPVRestore]: `${stage.namespace}.${target.claim}.${stage.run}`,
    };
    await stage.client.create(
      persistentVolumeClaims,
      claimOf(stage, target, { selector: { matchLabels } }),
    );
    const killing = this.#killAt(kill, name);
    await stage.client.create(dataDownloads, this.#download(target, name, snapshotID));
    const ended = await this.#ended(() => stage.client.get(dataDownloads, { namespace, name }));
    const killed = await killing;
    const { message = "", phase = "" } = ended.status ?? {};
    if (phase === "Completed") {
      const restored = await listClaim(stage, target.claim, target.volumeMode);
      const { differences } = prove(this.#frozen.get(volume.claim) ?? [], restored);
      if (differences.length > 0) throw new Error(`lost: ${differences.join("; ")}`);
    }
    await destroyClaim(stage, target.claim);
    await this.#nothingLeft(2);
    return { phase, message, killed };
  }

  async #backUp(volume: DemoVolume): Promise<string> {
    const { stage } = this.#scene;
    const name = `first-${volume.claim}-${stage.run}`;
    await this.#snapshot(volume, name);
    await stage.client.create(dataUploads, this.#upload(volume, name));
    const key = { namespace: stage.operatorNamespace, name };
    const { status } = await this.#ended(() => stage.client.get(dataUploads, key));
    const id = status?.snapshotID ?? "";
    this.#snapshotIDs.set(volume.claim, id);
    return id;
  }

  async #snapshot(volume: DemoVolume, name: string): Promise<void> {
    const { stage } = this.#scene;
    const { client, namespace, snapshotClass } = stage;
    await client.create(volumeSnapshots, {
      apiVersion: "snapshot.storage.k8s.io/v1",
      kind: "VolumeSnapshot",
      metadata: { name, namespace },
      spec: {
        volumeSnapshotClassName: snapshotClass,
        source: { persistentVolumeClaimName: volume.claim },
      },
    });
  }

  #upload(volume: DemoVolume, name: string): DataUpload {
    const { location, namespace, operatorNamespace, snapshotClass, storageClass } =
      this.#scene.stage;
    return {
      apiVersion: "velero.io/v2alpha1",
      kind: "DataUpload",
      metadata: { name, namespace: operatorNamespace },
      spec: {
        backupStorageLocation: location,
        csiSnapshot: { snapshotClass, storageClass, volumeSnapshot: name },
        datamover: "dm",
        operationTimeout: "10m0s",
        snapshotType: "CSI",
        sourceNamespace: namespace,
        sourcePVC: volume.claim,
      },
    };
  }

  #download(target: DemoVolume, name: string, snapshotID: string): DataDownload {
    const { location, namespace, operatorNamespace } = this.#scene.stage;
    return {
      apiVersion: "velero.io/v2alpha1",
      kind: "DataDownload",
      metadata: { name, namespace: operatorNamespace },
      spec: {
        backupStorageLocation: location,
        datamover: "dm",
        operationTimeout: "10m0s",
        snapshotID,
        sourceNamespace: namespace,
        targetVolume: { namespace, pv: "", pvc: target.claim },
      },
    };
  }

  async #ended<T extends DataUpload | DataDownload>(get: () => Promise<T | undefined>): Promise<T> {
    let last = "";
    return until(
      "the object to end",
      this.#scene.stage,
      async () => {
        const object = await get();
        last = JSON.stringify(object?.status);
        return object && isFinalPhase(object.status?.phase) ? object : undefined;
      },
      limitMs,
    ).catch((error: unknown) => {
      throw new Error(`${error}; last ${last}`);
    });
  }

  /** Kills once, when the object reaches the moment; whether there was anything to kill. */
  #killAt({ delayMs, kind, moment, victim }: KillCase, name: string): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const plural = kind === "DataUpload" ? "datauploads.velero.io" : "datadownloads.velero.io";
    let isSet = false;
    const stop = this.#cluster.api.watch(plural, ({ object }) => {
      if (object.metadata.name !== name || isSet) return;
      const phase: string = object.status?.phase || "New";
      const isOver = isFinalPhase(phase as never);
      if (phase !== moment && moment !== "random" && !isOver) return;
      isSet = true;
      setTimeout(() => {
        stop();
        resolve(this.#kill(victim, name));
      }, delayMs);
    });
    return promise;
  }

  #kill(victim: Victim, name: string): boolean {
    const { api } = this.#cluster;
    const pods = api
      .list("pods", this.#scene.stage.operatorNamespace)
      .filter(({ metadata }) =>
        victim === "mover"
          ? metadata.name === name
          : metadata.labels?.["app.kubernetes.io/name"] === appOf[victim],
      );
    let killed = false;
    for (const pod of pods) killed = this.#killPod(pod) || killed;
    return killed;
  }

  #killPod(pod: StoredObject): boolean {
    try {
      this.#cluster.node(pod.spec.nodeName).killContainer(pod);
      return true;
    } catch {
      // It does not run now.
      return false;
    }
  }

  /** Of the cases so far only the source volumes are there. */
  async #nothingLeft(volumeCount: number): Promise<void> {
    const { api, csi } = this.#cluster;
    const { operatorNamespace } = this.#scene.stage;
    const left = (): Record<string, string[]> => {
      const names = (objects: readonly StoredObject[]): string[] =>
        objects.map(({ metadata }) => metadata.name);
      const isOfDaemon = ({ metadata }: StoredObject): boolean =>
        Object.values(appOf).includes(metadata.labels?.["app.kubernetes.io/name"] as never);
      return {
        snapshots: names(api.list("volumesnapshots.snapshot.storage.k8s.io")),
        contents: names(api.list("volumesnapshotcontents.snapshot.storage.k8s.io")),
        claims: names(api.list("persistentvolumeclaims", operatorNamespace)),
        volumes: names(api.list("persistentvolumes")).slice(volumeCount),
        pods: names(api.list("pods", operatorNamespace).filter((pod) => !isOfDaemon(pod))),
        configMaps: names(api.list("configmaps", operatorNamespace)).filter(
          (name) => !installedConfigMaps.has(name),
        ),
        storage: (csi?.volumes() ?? []).map(({ handle }) => handle).slice(volumeCount),
        storageSnapshots: (csi?.snapshots() ?? []).map(({ handle }) => handle),
      };
    };
    await until(
      "everything to be cleaned up",
      this.#scene.stage,
      async () => (Object.values(left()).every((names) => names.length === 0) ? true : undefined),
      60_000,
    ).catch(() => {
      throw new Error(`left behind: ${JSON.stringify(left())}`);
    });
  }
}
