/**
 * A pod's volumes on the disk of its node: claims by way of the driver, the rest filled here.
 * Proof: test/kubelet/volumes.test.ts.
 * @module
 */
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DmError } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import { podField } from "./downward-api.ts";
import { writePayload } from "./payload-files.ts";
import type { PodDirectory } from "./pod-directory.ts";
import type { VolumeDriver, VolumeTarget } from "./volume-driver.ts";

/** A volume that is not to be had now; shown as event `FailedMount` (or `FailedMapVolume`). */
export class VolumeMountError extends DmError {
  override readonly name = "VolumeMountError";
  readonly reason: "FailedMount" | "FailedMapVolume";
  constructor(message: string, reason: "FailedMount" | "FailedMapVolume", cause?: unknown) {
    super("DM_VOLUME_MOUNT", message, {}, cause === undefined ? {} : { cause });
    this.reason = reason;
  }
}

export interface MountedVolume {
  readonly hostPath: string;
  /** Name of the PersistentVolume behind it. */
  readonly volumeName?: string | undefined;
  readonly readOnly: boolean;
}

export interface PodVolumesOptions {
  readonly api: ClusterApi;
  readonly nodeName: string;
  readonly nodeRoot: string;
  readonly driver: VolumeDriver | undefined;
  readonly directory: PodDirectory;
}

export class PodVolumes {
  readonly #options: PodVolumesOptions;
  #published = new Map<string, VolumeTarget>();

  constructor(options: PodVolumesOptions) {
    this.#options = options;
  }

  /**
   * All volumes of the pod, by name. Repeats are harmless and bring the files up to date.
   * @throws {VolumeMountError} `DM_VOLUME_MOUNT` at the first that cannot be had.
   */
  async mount(pod: StoredObject, signal: AbortSignal): Promise<Map<string, MountedVolume>> {
    const mounted = new Map<string, MountedVolume>();
    for (const volume of pod.spec?.volumes ?? []) {
      mounted.set(volume.name, await this.#mountOne(volume, pod, signal));
    }
    return mounted;
  }

  /** Brings Secrets, ConfigMaps and the like up to date; what is missing now stays as it was. */
  async refresh(pod: StoredObject): Promise<void> {
    for (const volume of pod.spec?.volumes ?? []) {
      try {
        await this.#payload(volume, pod);
      } catch (error) {
        if (!(error instanceof VolumeMountError)) throw error;
      }
    }
  }

  /** Takes away what a driver made, also what a kubelet before this one had asked for. */
  async unmount(): Promise<void> {
    const { directory, driver } = this.#options;
    const record = this.#recordPath();
    if (this.#published.size === 0) {
      const text = await readFile(record, "utf8").catch(() => undefined);
      for (const target of text === undefined ? [] : (JSON.parse(text) as VolumeTarget[])) {
        this.#published.set(target.targetPath, target);
      }
    }
    for (const [path, target] of this.#published) {
      await driver?.unpublish(target);
      this.#published.delete(path);
    }
    await rm(record, { force: true });
    await rm(join(directory.root, "volumeDevices"), { recursive: true, force: true });
  }

  async #mountOne(volume: Json, pod: StoredObject, signal: AbortSignal): Promise<MountedVolume> {
    const { directory, nodeRoot } = this.#options;
    if (volume.persistentVolumeClaim !== undefined) return await this.#claim(volume, pod, signal);
    if (volume.hostPath !== undefined) {
      const hostPath = join(nodeRoot, volume.hostPath.path);
      const there = await stat(hostPath).catch(() => undefined);
      const type: string = volume.hostPath.type ?? "";
      if (there === undefined) {
        if (type !== "" && !type.endsWith("OrCreate")) {
          throw mountError(volume, `hostPath type check failed: ${hostPath} is not a ${type}`);
        }
        if (type === "FileOrCreate") await writeFile(hostPath, "");
        else await mkdir(hostPath, { recursive: true });
      }
      return { hostPath, readOnly: false };
    }
    if (volume.emptyDir !== undefined) {
      const hostPath = directory.volume("empty-dir", volume.name);
      await mkdir(hostPath, { recursive: true });
      return { hostPath, readOnly: false };
    }
    const hostPath = await this.#payload(volume, pod);
    if (hostPath === undefined) {
      throw mountError(volume, `no volume plugin matched: ${Object.keys(volume).join(", ")}`);
    }
    return { hostPath, readOnly: true };
  }

  async #payload(volume: Json, pod: StoredObject): Promise<string | undefined> {
    const { directory } = this.#options;
    const files = new Map<string, Uint8Array>();
    const modes = new Map<string, number>();
    let plugin: string;
    let defaultMode: number;
    if (volume.projected !== undefined) {
      plugin = "projected";
      defaultMode = volume.projected.defaultMode ?? 0o644;
      for (const source of volume.projected.sources ?? []) {
        this.#collect(volume, source, pod, defaultMode, files, modes);
      }
    } else {
      const kind = ["secret", "configMap", "downwardAPI"].find((one) => volume[one] !== undefined);
      if (kind === undefined) return undefined;
      plugin = { secret: "secret", configMap: "configmap", downwardAPI: "downward-api" }[
        kind
      ] as string;
      const source =
        kind === "secret"
          ? { ...volume.secret, name: volume.secret.secretName ?? volume.secret.name }
          : volume[kind];
      defaultMode = source.defaultMode ?? 0o644;
      this.#collect(volume, { [kind]: source }, pod, defaultMode, files, modes);
    }
    const hostPath = directory.volume(plugin, volume.name);
    await writePayload(hostPath, files, modes);
    return hostPath;
  }

  #collect(
    volume: Json,
    source: Json,
    pod: StoredObject,
    defaultMode: number,
    files: Map<string, Uint8Array>,
    modes: Map<string, number>,
  ): void {
    const { api } = this.#options;
    const { namespace = "" } = pod.metadata;
    const put = (path: string, content: string | Uint8Array, mode = defaultMode): void => {
      files.set(path, typeof content === "string" ? Buffer.from(content) : content);
      modes.set(path, mode);
    };
    if (source.downwardAPI !== undefined) {
      for (const { path, fieldRef, mode } of source.downwardAPI.items ?? []) {
        put(path, podField(pod, fieldRef?.fieldPath ?? "") ?? "", mode);
      }
      return;
    }
    if (source.serviceAccountToken !== undefined) {
      const account: string = pod.spec?.serviceAccountName ?? "default";
      put(source.serviceAccountToken.path, api.tokenFor(namespace, account), 0o600);
      return;
    }
    const kind = source.secret === undefined ? "configmap" : "secret";
    const { name, items, optional = false } = source.secret ?? source.configMap;
    const object = api.get(`${kind}s`, namespace, name);
    if (object === undefined) {
      if (optional) return;
      throw mountError(volume, `${kind} "${name}" not found`);
    }
    const data = new Map<string, Uint8Array>();
    for (const [key, text] of Object.entries<string>(object["data"] ?? {})) {
      data.set(key, Buffer.from(text, kind === "secret" ? "base64" : "utf8"));
    }
    for (const [key, text] of Object.entries<string>(object["binaryData"] ?? {})) {
      data.set(key, Buffer.from(text, "base64"));
    }
    if (items === undefined) {
      for (const [key, content] of data) put(key, content);
      return;
    }
    for (const { key, path, mode } of items) {
      const content = data.get(key);
      if (content !== undefined) put(path, content, mode);
      else if (!optional) throw mountError(volume, `references non-existent ${kind} key: ${key}`);
    }
  }

  async #claim(volume: Json, pod: StoredObject, signal: AbortSignal): Promise<MountedVolume> {
    const { api, directory, driver, nodeName, nodeRoot } = this.#options;
    const { namespace = "", uid } = pod.metadata;
    const { claimName, readOnly = false } = volume.persistentVolumeClaim;
    const claim = api.get("persistentvolumeclaims", namespace, claimName);
    if (claim === undefined) {
      throw mountError(volume, `persistentvolumeclaim "${claimName}" not found`);
    }
    if (claim.metadata.deletionTimestamp !== undefined) {
      throw mountError(
        volume,
        `can't use PVC ${namespace}/${claimName} because it is being deleted`,
      );
    }
    const volumeName: string | undefined = claim.spec?.volumeName;
    const persistent =
      volumeName === undefined ? undefined : api.get("persistentvolumes", "", volumeName);
    if (persistent === undefined || claim.status?.phase !== "Bound") {
      throw mountError(volume, `PVC ${namespace}/${claimName} is not bound`);
    }
    const name = persistent.metadata.name;
    const onHost = persistent.spec?.hostPath ?? persistent.spec?.local;
    if (onHost !== undefined) {
      const hostPath = join(nodeRoot, onHost.path);
      await mkdir(hostPath, { recursive: true });
      return { hostPath, volumeName: name, readOnly };
    }
    const volumeMode = claim.spec?.volumeMode === "Block" ? "Block" : "Filesystem";
    const targetPath = volumeMode === "Block" ? directory.device(name) : directory.mount(name);
    const reason = volumeMode === "Block" ? "FailedMapVolume" : "FailedMount";
    const verb = volumeMode === "Block" ? "MapVolume.SetUpDevice" : "MountVolume.SetUp";
    const failure = (text: string, cause?: unknown): VolumeMountError =>
      new VolumeMountError(`${verb} failed for volume "${name}" : ${text}`, reason, cause);
    if (driver === undefined) {
      const wanted = persistent.spec?.csi?.driver;
      throw failure(`driver name ${wanted} not found in the list of registered CSI drivers`);
    }
    const target: VolumeTarget = {
      volumeName: name,
      podUid: uid,
      nodeName,
      volumeMode,
      targetPath,
    };
    // First the record, then the deed: whoever comes after a crash finds it.
    this.#published.set(targetPath, target);
    await mkdir(dirname(targetPath), { recursive: true });
    await writeFile(this.#recordPath(), JSON.stringify([...this.#published.values()]));
    const accessModes: string[] = claim.spec?.accessModes ?? [];
    const onlyRead = readOnly || accessModes.every((mode) => mode === "ReadOnlyMany");
    try {
      const { path } = await driver.publish(
        { ...target, claim, volume: persistent, pod, readOnly: onlyRead },
        { signal },
      );
      return { hostPath: path, volumeName: name, readOnly: onlyRead };
    } catch (error) {
      signal.throwIfAborted();
      throw failure(error instanceof Error ? error.message : String(error), error);
    }
  }

  #recordPath(): string {
    return join(this.#options.directory.root, "volumes.json");
  }
}

function mountError(volume: Json, message: string): VolumeMountError {
  return new VolumeMountError(
    `MountVolume.SetUp failed for volume "${volume.name}" : ${message}`,
    "FailedMount",
  );
}
