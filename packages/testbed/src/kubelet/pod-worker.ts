/**
 * One pod on its node, from its volumes to the last exit: looks at the pod's object and at what its containers do, takes the
 * next step, writes the status, and waits for whatever changes next. Each look is whole, so a kubelet that comes back goes on.
 * Proof: test/kubelet/pod-lifecycle.test.ts.
 * @module
 */
import { rm } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { type Clock, isDmError, type Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { EventRecorder } from "../controllers/event-recorder.ts";
import { nowMs, timestampOf } from "../controllers/timestamp.ts";
import { relabelFailed } from "../csi/faults.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import type { Container, ContainerRuntime } from "./container-runtime.ts";
import type { NodeImages } from "./images.ts";
import type { PodContainer } from "./pod-container.ts";
import { containerView, createPodContainer } from "./pod-container.ts";
import { type PodDirectory, podDirectory } from "./pod-directory.ts";
import { PodSandbox, type ReadySandbox } from "./pod-sandbox.ts";
import { type PodView, podPhase, podStatus } from "./pod-status.ts";
import type { VolumeMountError } from "./pod-volumes.ts";
import { type StartContext, startPodContainer, startProbes } from "./start-container.ts";
import type { KubeletTimes } from "./times.ts";
import type { VolumeDriver } from "./volume-driver.ts";

/** What a test wants to go wrong when a container is to start. */
export type StartFault = (
  pod: StoredObject,
  container: string,
) =>
  | { readonly reason: string; readonly message: string }
  /** The pod stays in ContainerCreating. */
  | "hang"
  | undefined;

export interface PodWorkerContext {
  readonly api: ClusterApi;
  readonly nodeName: string;
  readonly nodeRoot: string;
  readonly hostIP: string;
  readonly allocatable: Readonly<Record<string, string>>;
  readonly runtime: ContainerRuntime;
  readonly images: NodeImages;
  readonly volumes: VolumeDriver | undefined;
  readonly events: EventRecorder;
  readonly logger: Logger;
  readonly times: KubeletTimes;
  readonly keepPodLogs: boolean;
  readonly startFaults: ReadonlySet<StartFault>;
  allocatePodIP(): string;
  /** The pod is gone and so is everything of it. */
  finished(uid: string): void;
}

export class PodWorker {
  readonly uid: string;
  readonly directory: PodDirectory;
  readonly #context: PodWorkerContext;
  readonly #clock: Clock;
  readonly #sandbox: PodSandbox;
  #pod: StoredObject;
  #gone = false;
  #stopped = false;
  #dirty = false;
  #running: Promise<void> | undefined;
  #timer: { atMs: number; abort: AbortController } | undefined;

  #containers: PodContainer[] | undefined;
  #mountAbort = new AbortController();
  #startTime: string | undefined;
  #failure: { reason: string; message: string } | undefined;
  /** When SIGKILL follows. */
  #stopDeadlineMs: number | undefined;

  constructor(context: PodWorkerContext, pod: StoredObject) {
    this.uid = pod.metadata.uid;
    this.#context = context;
    this.#clock = context.api.clock;
    this.#pod = pod;
    this.directory = podDirectory(context.nodeRoot, pod);
    this.#sandbox = new PodSandbox({ ...context, directory: this.directory });
    this.wake();
  }

  get pod(): StoredObject {
    return this.#pod;
  }

  /** The newest attempt of a container, or with `previous` the one before. */
  attempt(name: string, previous = false): { attempt: number; running: Container | undefined } {
    const one = this.#containers?.find(({ spec }) => spec.name === name);
    if (one === undefined) return { attempt: -1, running: undefined };
    const running = one.container?.exit === undefined ? one.container : undefined;
    return { attempt: previous ? one.attempt - 1 : one.attempt, running };
  }

  update(pod: StoredObject): void {
    // An event of before our own last write may still come.
    if (version(pod) < version(this.#pod)) return;
    this.#pod = pod;
    if (pod.metadata.deletionTimestamp !== undefined) this.#mountAbort.abort();
    this.wake();
  }

  /** The object is deleted: what still runs has two seconds. */
  gone(): void {
    this.#gone = true;
    this.#mountAbort.abort();
    this.wake();
  }

  wake(): void {
    this.#dirty = true;
    if (this.#stopped) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#dirty && !this.#stopped) this.wake();
    });
  }

  /** A Secret, ConfigMap, claim or volume of the pod's namespace changed. */
  referencesChanged(): void {
    this.#sandbox.referencesChanged();
    for (const one of this.#containers ?? []) {
      if (one.waiting?.reason === "CreateContainerConfigError") one.retryAtMs = 0;
    }
    this.wake();
  }

  /** The kubelet stops; containers go on. Resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#mountAbort.abort();
    this.#timer?.abort.abort();
    for (const one of this.#containers ?? []) one.probes?.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#dirty && !this.#stopped) {
      this.#dirty = false;
      try {
        await this.#sync();
      } catch (error) {
        if (this.#stopped) return;
        if (!this.#mountAbort.signal.aborted) this.#log(error);
        this.#wakeAt(nowMs(this.#clock) + this.#context.times.retryMs);
      }
    }
  }

  async #sync(): Promise<void> {
    const pod = this.#pod;
    const phase: string | undefined = pod.status?.phase;
    this.#containers ??= this.#adopt();
    await this.#noteExits();
    const going = this.#gone || pod.metadata.deletionTimestamp !== undefined;
    const ended = phase === "Succeeded" || phase === "Failed";
    if (going || ended) {
      if (!(await this.#stopContainers(going))) {
        if (!ended) this.#writeStatus(going);
        return;
      }
      if (going && !ended) this.#writeStatus(true);
      await this.#sandbox.unmount();
      if (going) await this.#finish();
      return;
    }
    if (this.#deadlineExceeded()) {
      await this.#stopContainers(true);
      this.#writeStatus(false);
      return;
    }
    this.#startTime ??= pod.status?.startTime ?? timestampOf(nowMs(this.#clock));
    // Volumes may take long: until then it is to be seen that the pod has been taken up.
    if (pod.status?.containerStatuses === undefined) this.#writeStatus(false);
    const sandbox = await this.#prepare();
    if (sandbox !== undefined) await this.#startContainers(sandbox);
    this.#writeStatus(false);
  }

  /** What a kubelet before this one, or a node before its crash, left. */
  #adopt(): PodContainer[] {
    const { spec = {}, status = {} } = this.#pod;
    const known = this.#context.runtime.containers(this.uid);
    this.#sandbox.podIP = status.podIP;
    this.#startTime = status.startTime;
    const make = (init: boolean) => (one: Json) =>
      createPodContainer(
        one,
        init,
        known.filter(({ spec: { name } }) => name === one.name),
        (status[init ? "initContainerStatuses" : "containerStatuses"] ?? []).find(
          ({ name }: Json) => name === one.name,
        ),
        nowMs(this.#clock),
      );
    const all = [
      ...(spec.initContainers ?? []).map(make(true)),
      ...(spec.containers ?? []).map(make(false)),
    ];
    for (const one of all) this.#follow(one);
    return all;
  }

  #follow(one: PodContainer): void {
    if (one.container === undefined || one.container.exit !== undefined) return;
    void one.container.exited.then(() => this.wake());
  }

  async #noteExits(): Promise<void> {
    for (const one of this.#containers ?? []) {
      await one.noteExit(this.#context.times, nowMs(this.#clock));
    }
  }

  async #prepare(): Promise<ReadySandbox | undefined> {
    const now = nowMs(this.#clock);
    const sandbox = await this.#sandbox.prepare(this.#pod, now, this.#mountAbort.signal);
    if (!("retryAtMs" in sandbox)) return sandbox;
    if (sandbox.refused !== undefined) this.#tellRefusal(sandbox.refused);
    this.#wakeAt(sandbox.retryAtMs);
    return undefined;
  }

  #tellRefusal({ reason, message, cause }: VolumeMountError): void {
    if (isDmError(cause, relabelFailed)) this.#refuseLabels(cause.message);
    else this.#context.events.record(this.#pod, "Warning", reason, message);
  }

  /** On a real node it is the container runtime that labels, when the volume is mounted already. */
  #refuseLabels(message: string): void {
    for (const one of this.#containers ?? []) {
      one.waiting = { reason: "CreateContainerError", message };
      this.#record(one, "Warning", "Failed", `Error: ${message}`);
    }
  }

  async #startContainers(sandbox: ReadySandbox): Promise<void> {
    const containers = this.#containers ?? [];
    const policy: string = this.#pod.spec?.restartPolicy ?? "Always";
    const someStarted = containers.some(({ init, attempt }) => !init && attempt >= 0);
    for (const one of containers) {
      // Volumes took their time: meanwhile the pod may have been deleted.
      if (this.#gone || this.#pod.metadata.deletionTimestamp !== undefined) return;
      if (one.init && someStarted) continue;
      if (one.isRunning) {
        if (one.init) return;
        if (one.probes === undefined) startProbes(one, this.#startContext(one, sandbox));
        continue;
      }
      if (one.ended !== undefined) {
        const { exitCode } = one.ended;
        if (one.init && exitCode === 0) continue;
        const again = policy === "Always" || (policy === "OnFailure" && exitCode !== 0);
        if (!(again || (one.init && policy !== "Never"))) {
          if (one.init) return;
          continue;
        }
      }
      await this.#startOne(one, sandbox);
      if (one.init) return;
    }
  }

  async #startOne(one: PodContainer, sandbox: ReadySandbox): Promise<void> {
    const now = nowMs(this.#clock);
    if (now < one.retryAtMs) {
      if (one.ended !== undefined && one.waiting === undefined) {
        const pod = `${this.#pod.metadata.name}_${this.#pod.metadata.namespace}(${this.uid})`;
        const seconds = Math.round(one.restartDelayMs / 1000);
        one.waiting = {
          reason: "CrashLoopBackOff",
          message: `back-off ${seconds}s restarting failed container=${one.spec.name} pod=${pod}`,
        };
        this.#record(
          one,
          "Warning",
          "BackOff",
          `Back-off restarting failed container ${one.spec.name} in pod ${pod}`,
        );
      }
      if (one.waiting?.reason === "ErrImagePull") {
        one.waiting = {
          reason: "ImagePullBackOff",
          message: `Back-off pulling image "${one.spec.image}"`,
        };
        this.#record(one, "Normal", "BackOff", `Back-off pulling image "${one.spec.image}"`);
        this.#record(one, "Warning", "Failed", "Error: ImagePullBackOff");
      }
      this.#wakeAt(one.retryAtMs);
      return;
    }
    const refusal = await startPodContainer(one, this.#startContext(one, sandbox));
    if (refusal !== undefined) {
      one.waiting = refusal.waiting;
      if (refusal.retryMs !== undefined) {
        one.retryAtMs = nowMs(this.#clock) + refusal.retryMs;
        // Soon, so that the state goes on from ErrImagePull to ImagePullBackOff.
        if (refusal.waiting.reason === "ErrImagePull") this.#writeStatus(false);
        this.#dirty = true;
      }
      return;
    }
    this.#follow(one);
  }

  #startContext(one: PodContainer, sandbox: ReadySandbox): StartContext {
    return {
      ...this.#context,
      ...sandbox,
      pod: this.#podForEnvironment(sandbox.podIP),
      directory: this.directory,
      record: (type, reason, message) => this.#record(one, type, reason, message),
      wake: () => this.wake(),
    };
  }

  /** The address is known to the pod's own processes before it stands in the status. */
  #podForEnvironment(podIP: string): StoredObject {
    const { hostIP } = this.#context;
    return {
      ...this.#pod,
      status: { ...this.#pod.status, hostIP, podIP, podIPs: [{ ip: podIP }] },
    };
  }

  /** True when none runs. First asks, then, when the time of grace is over, kills. */
  async #stopContainers(going: boolean): Promise<boolean> {
    const { runtime, times } = this.#context;
    const running = (this.#containers ?? []).filter(({ isRunning }) => isRunning);
    if (running.length === 0) return true;
    const now = nowMs(this.#clock);
    const { spec, metadata } = this.#pod;
    const graceSeconds: number = going
      ? this.#gone
        ? 0
        : (metadata.deletionGracePeriodSeconds ?? spec?.terminationGracePeriodSeconds ?? 30)
      : (spec?.terminationGracePeriodSeconds ?? 30);
    const deadlineMs = now + Math.max(graceSeconds * 1000, times.shortestGraceMs);
    if (this.#stopDeadlineMs === undefined) {
      for (const one of running) {
        one.probes?.abort();
        this.#record(one, "Normal", "Killing", `Stopping container ${one.spec.name}`);
        runtime.signal(one.container?.id as string, "SIGTERM");
      }
    }
    this.#stopDeadlineMs = Math.min(this.#stopDeadlineMs ?? deadlineMs, deadlineMs);
    if (now >= this.#stopDeadlineMs) {
      for (const one of running) runtime.signal(one.container?.id as string, "SIGKILL");
    } else {
      this.#wakeAt(this.#stopDeadlineMs);
    }
    return false;
  }

  #deadlineExceeded(): boolean {
    if (this.#failure !== undefined) return true;
    const seconds: number | undefined = this.#pod.spec?.activeDeadlineSeconds;
    if (seconds === undefined || this.#startTime === undefined) return false;
    const endMs = Date.parse(this.#startTime) + seconds * 1000;
    if (nowMs(this.#clock) < endMs) {
      this.#wakeAt(endMs);
      return false;
    }
    this.#failure = {
      reason: "DeadlineExceeded",
      message: "Pod was active on the node longer than the specified deadline",
    };
    this.#context.events.record(this.#pod, "Normal", "DeadlineExceeded", this.#failure.message);
    return true;
  }

  async #finish(): Promise<void> {
    const { api, runtime, keepPodLogs } = this.#context;
    if (!this.#gone) {
      const { namespace = "", name } = this.#pod.metadata;
      // The event of the deletion comes back as gone().
      api.delete("pods", namespace, name, { uid: this.uid, gracePeriodSeconds: 0 });
      return;
    }
    await runtime.remove(this.uid);
    await rm(this.directory.root, { recursive: true, force: true });
    if (!keepPodLogs) await rm(this.directory.logs, { recursive: true, force: true });
    this.#stopped = true;
    this.#timer?.abort.abort();
    this.#context.finished(this.uid);
  }

  #view(stopping: boolean): PodView {
    const containers = this.#containers ?? [];
    return {
      initContainers: containers.filter(({ init }) => init).map(containerView),
      containers: containers.filter(({ init }) => !init).map(containerView),
      startTime: this.#startTime ?? timestampOf(nowMs(this.#clock)),
      hostIP: this.#context.hostIP,
      podIP: this.#sandbox.podIP,
      sandboxReady: this.#sandbox.ready !== undefined,
      failure: this.#failure,
      stopping,
    };
  }

  #writeStatus(stopping: boolean): void {
    if (this.#gone || this.#stopped) return;
    const { namespace = "", name } = this.#pod.metadata;
    const view = this.#view(stopping);
    const stored = this.#context.api.get("pods", namespace, name);
    if (stored === undefined || stored.metadata.uid !== this.uid) return;
    const status = podStatus(stored, view, nowMs(this.#clock));
    if (!isDeepStrictEqual(status, stored.status)) {
      const after = this.#context.api.modify(
        "pods",
        namespace,
        name,
        (pod) => {
          if (pod.metadata.uid === this.uid) pod.status = status;
        },
        { subresource: "status" },
      );
      if (after !== undefined && after.metadata.uid === this.uid) this.#pod = after;
    }
    const phase = podPhase(this.#pod, view);
    // What comes next is the end of its volumes.
    if (phase === "Succeeded" || phase === "Failed") this.#dirty = true;
  }

  #record(one: PodContainer, type: "Normal" | "Warning", reason: string, message: string): void {
    const list = one.init ? "initContainers" : "containers";
    this.#context.events.record(this.#pod, type, reason, message, `spec.${list}{${one.spec.name}}`);
  }

  /** Keeps the earliest. */
  #wakeAt(atMs: number): void {
    if (this.#stopped) return;
    if (this.#timer !== undefined && this.#timer.atMs <= atMs) return;
    this.#timer?.abort.abort();
    const timer = { atMs, abort: new AbortController() };
    this.#timer = timer;
    this.#clock.sleep(Math.max(0, atMs - nowMs(this.#clock)), { signal: timer.abort.signal }).then(
      () => {
        if (this.#timer === timer) this.#timer = undefined;
        this.wake();
      },
      () => {},
    );
  }

  #log(error: unknown): void {
    const { namespace, name } = this.#pod.metadata;
    this.#context.logger.warn("Pod could not be synced", { pod: `${namespace}/${name}`, error });
  }
}

function version({ metadata }: StoredObject): number {
  return Number(metadata.resourceVersion);
}
