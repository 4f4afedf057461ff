/**
 * Backups, Restores and deletions of an application on an embedded cluster whose processes are killed meanwhile: by the data mover, and
 * by files from the node with one volume left to the data mover.
 */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { deleteBackupRequests } from "@dm/crds";
import { listVeleroSnapshots, openVeleroRepository, openVeleroStore } from "@dm/snapshot/velero";
import type { StoredObject } from "@dm/testbed";
import type { SetUp } from "../src/demo/set-up.ts";
import { until } from "../src/demo/stage.ts";
import { prove } from "../src/proof.ts";
import { type Application, Shop } from "./application.ts";
import {
  atItsEnd,
  backUp,
  backups,
  begin,
  bucketFiles,
  nothingLeft,
  openBackupScene,
  restores,
  withoutMark,
} from "./backup-scene.ts";
import { layOutImage } from "./programs.ts";

export type Victim = "server" | "node-agent" | "mover";
export type Action = "Backup" | "Restore" | "Deletion";
export type Method = "moved" | "files";

export interface BackupKill {
  readonly action: Action;
  readonly method: Method;
  readonly victim: Victim;
  /** A phase of the Backup, Restore or DeleteBackupRequest. */
  readonly moment: string;
  /** How long after the moment; for `random` after the object is made. */
  readonly delayMs: number;
}

export interface BackupKillOutcome {
  readonly phase: string;
  readonly reason: string;
  /** Whether there was a process to kill at the moment. */
  readonly killed: boolean;
}

const plurals: Readonly<Record<Action, string>> = {
  Backup: "backups.velero.io",
  Restore: "restores.velero.io",
  Deletion: "deletebackuprequests.velero.io",
};

const spec: Readonly<Record<Method, object>> = {
  moved: { includedNamespaces: ["shop"], snapshotMoveData: true },
  files: {
    includedNamespaces: ["shop"],
    snapshotMoveData: true,
    defaultVolumesToFsBackup: true,
  },
};

interface State {
  readonly objects: Record<string, unknown>;
  readonly application: Application;
}

export class BackupKillWorld {
  readonly #scene: SetUp;
  readonly #shop: Shop;
  #before: State | undefined;
  #count = 0;

  private constructor(scene: SetUp) {
    this.#scene = scene;
    this.#shop = new Shop(scene, "shop");
  }

  static async open(folder: string, signal: AbortSignal): Promise<BackupKillWorld> {
    const scene = await openBackupScene({
      programs: layOutImage(folder),
      signal,
      manifests: "overlays/fs-backup",
      // Containers that are killed again and again start again at once.
      cluster: { times: { restartMs: 200, longestRestartMs: 1_000 } },
    });
    const world = new BackupKillWorld(scene);
    try {
      writeFileSync(join(folder, "image"), randomBytes(2 << 20));
      // The block volume cannot be backed up by its files.
      await world.#shop.install(join(folder, "image"), {
        webAnnotations: { "backup.velero.io/backup-volumes-excludes": "device" },
      });
      await world.#shop.addRows("an order");
      for (const method of ["moved", "files"] as const) {
        const { phase } = await backUp(scene, method, spec[method]);
        if (phase !== "Completed") throw new Error(`the Backup ${method} is ${phase}`);
      }
      world.#before = await world.#look(world.#shop);
      return world;
    } catch (error) {
      await scene.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#scene.close();
  }

  async #look(shop: Shop): Promise<State> {
    return { objects: shop.objects(), application: await shop.look() };
  }

  /** Plays one case to its end, and looks for what was left behind or lost. */
  async play(kill: BackupKill): Promise<BackupKillOutcome> {
    const name = `case-${++this.#count}`;
    const outcome =
      kill.action === "Restore" ? await this.#restore(kill, name) : await this.#backUp(kill, name);
    await nothingLeft(this.#scene);
    return outcome;
  }

  /** Complete snapshots in the repository that no DataUpload or PodVolumeBackup names. */
  async unknownSnapshots(): Promise<string[]> {
    const { embedded, stage, store } = this.#scene;
    const { provider, config = {}, objectStorage } = store.location.spec;
    const { bucket, prefix } = objectStorage;
    const location = { provider, config, objectStorage: { bucket, prefix } };
    const text = Buffer.from(store.secret?.data?.["cloud"] ?? "", "base64").toString();
    const blobs = await openVeleroStore(location, "shop", { credentials: async () => text });
    await using repository = await openVeleroRepository(blobs, { password: "static-passw0rd" });
    const known = new Set(
      ["datauploads", "podvolumebackups"]
        .flatMap((plural) =>
          embedded.cluster.api.list(`${plural}.velero.io`, stage.operatorNamespace),
        )
        .map(({ status }) => status?.snapshotID),
    );
    return (await listVeleroSnapshots(repository))
      .filter(({ id, isComplete }) => isComplete && !known.has(id))
      .map(({ id, tags }) => `${id} ${JSON.stringify(tags)}`);
  }

  async #backUp(kill: BackupKill, name: string): Promise<BackupKillOutcome> {
    const scene = this.#scene;
    let killing = kill.action === "Backup" ? this.#killAt(kill, name) : undefined;
    await begin(scene, backups, name, spec[kill.method]);
    const { failureReason = "", phase = "" } = await atItsEnd(scene, backups, name);
    let killed = await killing;
    // Whatever became of the Backup: nobody waits for a thaw that never comes.
    await until("the database to be thawed", scene.stage, async () =>
      (await this.#shop.database()).frozen ? undefined : true,
    );
    await nothingLeft(scene);
    if (kill.action === "Deletion") killing = this.#killAt(kill, `no-${name}`);
    await this.#delete(name);
    if (kill.action === "Deletion") killed = await killing;
    return { phase, reason: failureReason, killed: killed ?? false };
  }

  /** The Backup with all that belongs to it. */
  async #delete(name: string): Promise<void> {
    const { embedded, stage } = this.#scene;
    const { client, operatorNamespace: namespace } = stage;
    await client.create(deleteBackupRequests, {
      apiVersion: "velero.io/v1",
      kind: "DeleteBackupRequest",
      metadata: { name: `no-${name}`, namespace },
      spec: { backupName: name },
    });
    const { api } = embedded.cluster;
    const left = (): string[] =>
      ["backups", "deletebackuprequests", "datauploads", "podvolumebackups"].flatMap((plural) =>
        api
          .list(`${plural}.velero.io`, namespace)
          .filter(
            ({ metadata, spec: { backupName } }) =>
              metadata.name === name ||
              backupName === name ||
              metadata.labels?.["velero.io/backup-name"] === name,
          )
          .map(({ metadata, status }) => `${plural} ${metadata.name} ${JSON.stringify(status)}`),
      );
    await until(
      `Backup ${name} to be deleted`,
      stage,
      async () => (left().length === 0 ? true : undefined),
      90_000,
    ).catch((error: unknown) => {
      throw new Error(`${error}: ${left().join("; ")}`, { cause: error });
    });
    const files = [...(await bucketFiles(this.#scene, `backups/${name}/`)).keys()];
    if (files.length > 0) throw new Error(`left in the bucket: ${files.join(", ")}`);
  }

  async #restore(kill: BackupKill, name: string): Promise<BackupKillOutcome> {
    const scene = this.#scene;
    const killing = this.#killAt(kill, name);
    const namespaceMapping = { shop: name };
    await begin(scene, restores, name, { backupName: kill.method, namespaceMapping });
    const { failureReason = "", phase = "" } = await atItsEnd(scene, restores, name);
    const killed = await killing;
    const copy = new Shop(scene, name);
    if (phase === "Completed") {
      const after = await this.#look(copy);
      const lost = differences(this.#before as State, after);
      if (lost.length > 0) throw new Error(`lost: ${lost.join("; ")}`);
    }
    await copy.destroy({ definition: false });
    return { phase, reason: failureReason, killed };
  }

  /** Kills once, when the object reaches the moment; whether there was anything to kill. */
  #killAt({ action, delayMs, moment, victim }: BackupKill, name: string): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    let isSet = false;
    const over = /^(Completed|PartiallyFailed|Failed|Processed|FailedValidation)$/;
    const stop = this.#scene.embedded.cluster.api.watch(plurals[action], ({ object, type }) => {
      if (object.metadata.name !== name || isSet) return;
      const phase: string = object.status?.phase || "New";
      const isOver = type === "DELETED" || over.test(phase);
      if (phase !== moment && moment !== "random" && !isOver) return;
      isSet = true;
      const kill = (): void => {
        stop();
        resolve(!isOver && this.#kill(victim));
      };
      if (delayMs > 0) setTimeout(kill, delayMs);
      else kill();
    });
    return promise;
  }

  #kill(victim: Victim): boolean {
    const { api } = this.#scene.embedded.cluster;
    const appOf = ({ metadata }: StoredObject): string =>
      metadata.labels?.["app.kubernetes.io/name"] ?? "";
    const pods = api
      .list("pods", this.#scene.stage.operatorNamespace)
      .filter((pod) =>
        victim === "mover"
          ? !appOf(pod) && pod.metadata.ownerReferences?.[0]?.kind !== "Job"
          : appOf(pod) === `dm-${victim}`,
      );
    return pods.map((pod) => this.#killContainer(pod)).includes(true);
  }

  #killContainer(pod: StoredObject): boolean {
    try {
      this.#scene.embedded.cluster.node(pod.spec.nodeName).killContainer(pod);
      return true;
    } catch {
      // It does not run now.
      return false;
    }
  }
}

function differences(before: State, after: State): string[] {
  const lost = [
    ...prove(before.application.files, withoutMark(after.application.files)).differences,
    ...prove(before.application.device, after.application.device).differences,
  ];
  if (!isDeepStrictEqual(before.application.answer, after.application.answer))
    lost.push(`it answers ${JSON.stringify(after.application.answer)}`);
  const names = new Set([...Object.keys(before.objects), ...Object.keys(after.objects)]);
  for (const name of names)
    if (!isDeepStrictEqual(before.objects[name], after.objects[name]))
      lost.push(`${name} is ${JSON.stringify(after.objects[name])}`);
  return lost;
}
