/**
 * What a pod has before its containers: volumes, credentials, an address.
 * Proof: test/kubelet/volumes.test.ts, test/kubelet/service-account.test.ts.
 * @module
 */
import type { ClusterApi } from "../cluster-api.ts";
import type { StoredObject } from "../kube-object.ts";
import type { PodDirectory } from "./pod-directory.ts";
import { type MountedVolume, PodVolumes, VolumeMountError } from "./pod-volumes.ts";
import { type ServiceAccountFiles, writeServiceAccountFiles } from "./service-account-files.ts";
import type { KubeletTimes } from "./times.ts";
import type { VolumeDriver } from "./volume-driver.ts";

export interface PodSandboxOptions {
  readonly api: ClusterApi;
  readonly nodeName: string;
  readonly nodeRoot: string;
  readonly hostIP: string;
  readonly volumes: VolumeDriver | undefined;
  readonly times: KubeletTimes;
  readonly directory: PodDirectory;
  allocatePodIP(): string;
}

export interface ReadySandbox {
  readonly mounted: ReadonlyMap<string, MountedVolume>;
  readonly serviceAccount: ServiceAccountFiles | undefined;
  readonly podIP: string;
}

/** Not yet: `refused` is what was tried just now, if anything was. */
export interface SandboxDelay {
  readonly retryAtMs: number;
  readonly refused?: VolumeMountError;
}

export class PodSandbox {
  readonly #options: PodSandboxOptions;
  readonly #volumes: PodVolumes;
  #ready: ReadySandbox | undefined;
  #retry = { delayMs: 0, atMs: 0 };
  #outdated = false;
  #unmounted = false;
  /** Known before the rest when a kubelet before this one gave it. */
  podIP: string | undefined;

  constructor(options: PodSandboxOptions) {
    this.#options = options;
    this.#volumes = new PodVolumes({ ...options, driver: options.volumes });
  }

  get ready(): ReadySandbox | undefined {
    return this.#ready;
  }

  /** Makes what is missing, and brings files up to date that are there. */
  async prepare(
    pod: StoredObject,
    now: number,
    signal: AbortSignal,
  ): Promise<ReadySandbox | SandboxDelay> {
    if (this.#ready !== undefined) {
      if (this.#outdated) {
        this.#outdated = false;
        await this.#volumes.refresh(pod);
      }
      return this.#ready;
    }
    if (now < this.#retry.atMs) return { retryAtMs: this.#retry.atMs };
    const { api, directory, hostIP, times, allocatePodIP } = this.#options;
    try {
      const mounted = await this.#volumes.mount(pod, signal);
      const serviceAccount =
        pod.spec?.automountServiceAccountToken === false
          ? undefined
          : await writeServiceAccountFiles(
              api,
              pod,
              directory.volume("projected", "kube-api-access"),
            );
      this.podIP ??= pod.spec?.hostNetwork === true ? hostIP : allocatePodIP();
      this.#ready = { mounted, serviceAccount, podIP: this.podIP };
      return this.#ready;
    } catch (error) {
      if (!(error instanceof VolumeMountError)) throw error;
      const delayMs = Math.min(
        Math.max(times.mountRetryMs, this.#retry.delayMs * 2),
        times.longestMountRetryMs,
      );
      this.#retry = { delayMs, atMs: now + delayMs };
      return { retryAtMs: this.#retry.atMs, refused: error };
    }
  }

  /** Something that the pod refers to has changed: no more waiting, and files may be old. */
  referencesChanged(): void {
    this.#retry = { delayMs: 0, atMs: 0 };
    this.#outdated = true;
  }

  /** Takes the volumes away, once. */
  async unmount(): Promise<void> {
    if (this.#unmounted) return;
    await this.#volumes.unmount();
    this.#unmounted = true;
  }
}
