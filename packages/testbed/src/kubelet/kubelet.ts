/**
 * The agent of one node: takes up the pods that are bound to it, one worker each, keeps the node's heartbeat, answers for logs
 * and exec, and clears away what pods left that are no more. It may stop and another may go on: containers are the runtime's.
 * Proof: test/kubelet/pod-lifecycle.test.ts, test/kubelet/node-failure.test.ts.
 * @module
 */
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Logger, silentLogger } from "@dm/core";
import { ApiError, badRequest } from "../api-server/api-error.ts";
import type {
  ExecOptions,
  ExecResult,
  LogOptions,
  PodStreams,
  PodTarget,
} from "../api-server/pod-streams.ts";
import type { ClusterApi } from "../cluster-api.ts";
import { createEventRecorder } from "../controllers/event-recorder.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import type { ContainerRuntime } from "./container-runtime.ts";
import { execInContainer } from "./exec.ts";
import { Heartbeat } from "./heartbeat.ts";
import type { NodeImages } from "./images.ts";
import { podsDirectory } from "./pod-directory.ts";
import { readLog } from "./pod-logs.ts";
import { PodWorker, type PodWorkerContext, type StartFault } from "./pod-worker.ts";
import type { KubeletTimes } from "./times.ts";
import type { VolumeDriver, VolumeTarget } from "./volume-driver.ts";

export interface KubeletOptions {
  readonly api: ClusterApi;
  readonly nodeName: string;
  readonly nodeRoot: string;
  readonly labels: Readonly<Record<string, string>>;
  /** What pods may ask for; see `defaultCapacity`. */
  readonly capacity?: Readonly<Record<string, string>> | undefined;
  readonly runtime: ContainerRuntime;
  readonly images: NodeImages;
  readonly volumes: VolumeDriver | undefined;
  readonly times: KubeletTimes;
  readonly startFaults: ReadonlySet<StartFault>;
  readonly allocatePodIP: () => string;
  readonly keepPodLogs: boolean;
  readonly logger?: Logger | undefined;
}

export class Kubelet implements PodStreams {
  readonly #options: KubeletOptions;
  readonly #context: PodWorkerContext;
  readonly #logger: Logger;
  readonly #workers = new Map<string, PodWorker>();
  readonly #stops: (() => void)[] = [];
  readonly #heartbeat: Heartbeat;
  #stopped = false;

  constructor(options: KubeletOptions) {
    this.#options = options;
    const { api, nodeName, logger = silentLogger } = options;
    this.#logger = logger;
    this.#heartbeat = new Heartbeat(options);
    this.#context = {
      ...options,
      logger,
      hostIP: "127.0.0.1",
      allocatable: this.#heartbeat.allocatable,
      events: createEventRecorder(api, { component: "kubelet", host: nodeName }),
      finished: (uid) => this.#workers.delete(uid),
    };
  }

  async start(): Promise<void> {
    const { api, nodeName, nodeRoot } = this.#options;
    await mkdir(podsDirectory(nodeRoot), { recursive: true });
    this.#heartbeat.start();
    this.#stops.push(
      api.watch("pods", ({ type, object }) => {
        if (object.spec?.nodeName !== nodeName) return;
        this.#podChanged(object, type === "DELETED");
      }),
    );
    for (const kind of ["secrets", "configmaps", "persistentvolumeclaims", "persistentvolumes"]) {
      this.#stops.push(
        api.watch(kind, ({ object }) => {
          for (const worker of this.#workers.values()) {
            if (refersTo(worker.pod, kind, object)) worker.referencesChanged();
          }
        }),
      );
    }
    // When the watch has told of all pods that there are, what is not theirs is nobody's.
    await new Promise<void>((resolve) => setImmediate(resolve));
    await this.#clearOrphans();
  }

  /** Leaves the containers alone. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const stop of this.#stops) stop();
    await this.#heartbeat.stop();
    await Promise.all([...this.#workers.values()].map((worker) => worker.stop()));
  }

  /** Looks at every pod again, for what no event tells: a fault that is over. */
  wakeAll(): void {
    for (const worker of this.#workers.values()) worker.wake();
  }

  async *log(target: PodTarget, options: LogOptions): AsyncIterable<Uint8Array> {
    const worker = this.#worker(target);
    const { container } = target;
    const { attempt, running } = worker.attempt(container, options.previous);
    if (attempt < 0) {
      if (options.previous) {
        throw badRequest(
          `previous terminated container "${container}" in pod "${target.name}" not found`,
        );
      }
      throw badRequest(
        `container "${container}" in pod "${target.name}" is waiting to start: ${waitingReason(worker.pod, container)}`,
      );
    }
    const path = worker.directory.log(container, attempt);
    const exited = options.previous ? undefined : running?.exited;
    yield* readLog(path, options, this.#options.api.clock, exited);
  }

  async exec(target: PodTarget, options: ExecOptions): Promise<ExecResult> {
    const { running } = this.#worker(target).attempt(target.container);
    if (running === undefined) {
      throw new ApiError(
        500,
        "InternalError",
        `unable to upgrade connection: container not found ("${target.container}")`,
      );
    }
    return await execInContainer(this.#options.runtime, running, options);
  }

  #worker({ uid, name }: PodTarget): PodWorker {
    const worker = this.#workers.get(uid);
    if (worker === undefined) {
      throw new ApiError(404, "NotFound", `pod "${name}" is not known to its kubelet`);
    }
    return worker;
  }

  #podChanged(pod: StoredObject, deleted: boolean): void {
    if (this.#stopped) return;
    const worker = this.#workers.get(pod.metadata.uid);
    if (worker !== undefined) {
      if (deleted) worker.gone();
      else worker.update(pod);
    } else if (!deleted) {
      this.#workers.set(pod.metadata.uid, new PodWorker(this.#context, pod));
    }
  }

  /** Directories, volumes, logs and processes of pods that were deleted while no kubelet looked. */
  async #clearOrphans(): Promise<void> {
    const { nodeRoot, runtime, volumes } = this.#options;
    const known = this.#workers;
    for (const uid of runtime.podUids()) {
      if (!known.has(uid)) await runtime.remove(uid);
    }
    for (const uid of await readdir(podsDirectory(nodeRoot))) {
      if (known.has(uid)) continue;
      const root = join(podsDirectory(nodeRoot), uid);
      try {
        const text = await readFile(join(root, "volumes.json"), "utf8").catch(() => "[]");
        for (const target of JSON.parse(text) as VolumeTarget[]) await volumes?.unpublish(target);
        await rm(root, { recursive: true, force: true });
      } catch (error) {
        // Better left over than a volume's files deleted through a mount that is still there.
        this.#logger.warn("Orphaned pod could not be cleared away", { uid, error });
      }
    }
    if (this.#options.keepPodLogs) return;
    const logs = join(nodeRoot, "var/log/pods");
    for (const folder of await readdir(logs).catch(() => [])) {
      const uid = folder.slice(folder.lastIndexOf("_") + 1);
      if (!known.has(uid)) await rm(join(logs, folder), { recursive: true, force: true });
    }
  }
}

function refersTo(pod: StoredObject, kind: string, object: StoredObject): boolean {
  const { spec } = pod;
  if (kind === "persistentvolumes") {
    const claim = object.spec?.claimRef;
    return (
      claim?.namespace === pod.metadata.namespace &&
      (spec?.volumes ?? []).some(
        (volume: Json) => volume.persistentVolumeClaim?.claimName === claim?.name,
      )
    );
  }
  if (object.metadata.namespace !== pod.metadata.namespace) return false;
  const { name } = object.metadata;
  if (kind === "persistentvolumeclaims") {
    return (spec?.volumes ?? []).some(
      (volume: Json) => volume.persistentVolumeClaim?.claimName === name,
    );
  }
  const field = kind === "secrets" ? "secret" : "configMap";
  const inVolume = (source: Json): boolean =>
    source?.[field]?.secretName === name || source?.[field]?.name === name;
  return (
    (spec?.volumes ?? []).some(
      (volume: Json) =>
        inVolume(volume) || (volume.projected?.sources ?? []).some((one: Json) => inVolume(one)),
    ) ||
    [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].some(
      (container: Json) =>
        (container.env ?? []).some(
          ({ valueFrom }: Json) => valueFrom?.[`${field}KeyRef`]?.name === name,
        ) || (container.envFrom ?? []).some((from: Json) => from[`${field}Ref`]?.name === name),
    )
  );
}

function waitingReason(pod: StoredObject, container: string): string {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const status = [...containerStatuses, ...initContainerStatuses].find(
    ({ name }: Json) => name === container,
  );
  return status?.state?.waiting?.reason ?? "ContainerCreating";
}
