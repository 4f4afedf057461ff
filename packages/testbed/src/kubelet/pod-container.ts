/**
 * What a kubelet remembers of one container of a pod between looks.
 * Proof: test/kubelet/pod-lifecycle.test.ts.
 * @module
 */
import { open } from "node:fs/promises";
import type { Json } from "../kube-object.ts";
import type { Container } from "./container-runtime.ts";
import type { ContainerEnd, ContainerView } from "./pod-status.ts";
import type { KubeletTimes } from "./times.ts";

/** Longest termination message, and of a log that stands in for it. */
const messageBytes = { file: 4096, log: 2048 };
const logLines = 80;

export class PodContainer {
  readonly spec: Json;
  readonly init: boolean;
  /** -1 before the first start. */
  attempt = -1;
  container: Container | undefined;
  ended: ContainerEnd | undefined;
  lastEnded: ContainerEnd | undefined;
  waiting: { reason: string; message?: string | undefined } | undefined;
  /** Not started again before. */
  retryAtMs = 0;
  restartDelayMs = 0;
  pullDelayMs = 0;
  probes: AbortController | undefined;
  /** By its probes; a container without a readiness probe is ready when it runs. */
  probedReady: boolean | undefined;

  constructor(spec: Json, init: boolean) {
    this.spec = spec;
    this.init = init;
  }

  get isRunning(): boolean {
    return this.container !== undefined && this.ended === undefined;
  }

  /** A new attempt begins. */
  started(container: Container): void {
    this.attempt = container.spec.attempt;
    this.container = container;
    this.lastEnded = this.ended ?? this.lastEnded;
    this.ended = undefined;
    this.waiting = undefined;
  }

  /** Takes over the exit of the current attempt, once; decides when the next may start. */
  async noteExit(times: KubeletTimes, now: number): Promise<void> {
    const { container } = this;
    const exit = container?.exit;
    if (container === undefined || exit === undefined || this.ended !== undefined) return;
    this.probes?.abort();
    this.probedReady = undefined;
    this.ended = {
      containerID: container.id,
      exitCode: exit.exitCode,
      signal: exit.signal,
      reason: exit.reason ?? (exit.exitCode === 0 ? "Completed" : "Error"),
      message: exit.startError ?? (await terminationMessage(this.spec, container, exit.exitCode)),
      startedAtMs: exit.startedAtMs,
      finishedAtMs: exit.finishedAtMs,
    };
    // The first restart is at once; then pauses, until one ran for long.
    if (exit.finishedAtMs - exit.startedAtMs >= times.restartResetMs) this.restartDelayMs = 0;
    this.retryAtMs = this.restartDelayMs === 0 ? now : exit.finishedAtMs + this.restartDelayMs;
  }

  /** The pause before the attempt after the next. */
  lengthenRestart(times: KubeletTimes): void {
    if (this.ended === undefined) return;
    this.restartDelayMs = Math.min(
      Math.max(times.restartMs, this.restartDelayMs * 2),
      times.longestRestartMs,
    );
  }
}

/** From what the runtime knows, else from what the status says, as after a crash of the node. */
export function createPodContainer(
  spec: Json,
  init: boolean,
  known: readonly Container[],
  status: Json | undefined,
  now: number,
): PodContainer {
  const one = new PodContainer(spec, init);
  one.attempt = status?.restartCount ?? -1;
  const last = status?.lastState?.terminated;
  if (last !== undefined) one.lastEnded = endOf(last);
  const newest = known.at(-1);
  if (newest !== undefined) {
    one.attempt = newest.spec.attempt;
    one.container = newest;
    return one;
  }
  const { running, terminated } = status?.state ?? {};
  if (terminated !== undefined) one.ended = endOf(terminated);
  else if (running !== undefined) {
    one.ended = {
      containerID: status.containerID,
      exitCode: 137,
      reason: "ContainerStatusUnknown",
      message: "The container could not be located when the pod was terminated",
      startedAtMs: Date.parse(running.startedAt),
      finishedAtMs: now,
    };
  } else if (last !== undefined) {
    one.ended = endOf(last);
  } else {
    one.attempt = -1;
  }
  return one;
}

export function containerView(one: PodContainer): ContainerView {
  const running =
    one.isRunning && one.container !== undefined
      ? { containerID: one.container.id, startedAtMs: one.container.startedAtMs }
      : undefined;
  return {
    name: one.spec.name,
    image: one.spec.image,
    restartCount: Math.max(0, one.attempt),
    waiting: one.waiting,
    running,
    ended: one.ended,
    lastEnded: one.lastEnded,
    ready: one.init
      ? one.ended?.exitCode === 0
      : running !== undefined && (one.probedReady ?? one.spec.readinessProbe === undefined),
  };
}

function endOf(terminated: Json): ContainerEnd {
  return {
    containerID: terminated.containerID,
    exitCode: terminated.exitCode,
    signal: terminated.signal ?? 0,
    reason: terminated.reason,
    message: terminated.message,
    startedAtMs: Date.parse(terminated.startedAt),
    finishedAtMs: Date.parse(terminated.finishedAt),
  };
}

async function terminationMessage(
  spec: Json,
  { spec: { logPath, terminationMessagePath } }: Container,
  exitCode: number,
): Promise<string> {
  const message = await readStart(terminationMessagePath, messageBytes.file);
  if (message !== "") return message;
  if (spec.terminationMessagePolicy !== "FallbackToLogsOnError" || exitCode === 0) return "";
  const log = await readEnd(logPath, messageBytes.log);
  const lines = log.split("\n");
  return lines.slice(-(logLines + 1)).join("\n");
}

async function readStart(path: string, length: number): Promise<string> {
  const file = await open(path).catch(() => undefined);
  if (file === undefined) return "";
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead).toString();
  } finally {
    await file.close();
  }
}

async function readEnd(path: string, length: number): Promise<string> {
  const file = await open(path).catch(() => undefined);
  if (file === undefined) return "";
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - length);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, from);
    return buffer.subarray(0, bytesRead).toString();
  } finally {
    await file.close();
  }
}
