/**
 * Runs the commands that a Restore has for its pods, as soon as their containers are up. Before a command runs, its pod says so: of a
 * server that died meanwhile nobody knows whether it ran, and it counts as failed.
 * Proof: test/restore/run-hooks.test.ts.
 * @module
 */
import { isDmError, mapConcurrent, parseGoDuration } from "@dm/core";
import { labels, labelValue, type Pod, pods, type Restore } from "@dm/crds";
import { nowOf } from "../backup/backup-deps.ts";
import { listAll } from "../backup/list-all.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { isNotFound } from "../runtime/kube-errors.ts";
import type { AnyObject } from "./actions/action.ts";
import { isMadeBy } from "./existing.ts";
import type { PlanMessage } from "./plan-restore.ts";
import type { RestoreDeps } from "./restore-deps.ts";
import {
  decideHooks,
  type ExecHook,
  execHooksFor,
  type HookNote,
  hookNotes,
  isFailure,
  notesOf,
  notesText,
} from "./restore-hooks.ts";

/** Pods in which hooks run at once. */
const concurrency = 8;

export interface HooksState {
  readonly isWaiting: boolean;
  readonly failed: number;
  readonly failures: readonly PlanMessage[];
}

/** How many commands the pods of a Restore have. */
export async function countHooks(
  deps: RestoreDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<number> {
  const all = await podsOf(deps, restore, options);
  return all.reduce((sum, pod) => sum + execHooksFor(restore, pod).length, 0);
}

/** Its status says how many there were when the pods had been made. */
export async function runHooks(
  deps: RestoreDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<HooksState> {
  const attempted = restore.status?.hookStatus?.hooksAttempted ?? 0;
  if (attempted === 0) return { isWaiting: false, failed: 0, failures: [] };
  const found = (await podsOf(deps, restore, options)).map(
    (pod) => new HookedPod(deps, restore, pod),
  );
  const isStopped = (): boolean => found.some((pod) => pod.hasStopped);
  const waits = await mapConcurrent(found, (pod) => pod.run(isStopped, options), {
    concurrency,
    signal: options.signal,
  });
  const failures = found.flatMap((pod) => pod.failures);
  const failed = failures.length;
  const gone = attempted - found.reduce((sum, pod) => sum + pod.hooks.length, 0);
  if (gone > 0)
    failures.push({
      namespace: restore.metadata.namespace ?? "",
      message: `${gone} hooks not executed: their pods were deleted`,
    });
  return { isWaiting: waits.some(Boolean), failed: failed + Math.max(gone, 0), failures };
}

async function podsOf(
  { client }: RestoreDeps,
  restore: Restore,
  options: KubeCallOptions,
): Promise<Pod[]> {
  const labelSelector = `${labels.restoreName}=${labelValue(restore.metadata.name ?? "")}`;
  const found = await listAll(client, pods, { ...options, labelSelector });
  return found.filter((pod) => isMadeBy(restore, pod as unknown as AnyObject));
}

class HookedPod {
  readonly hooks: readonly ExecHook[];
  readonly #deps: RestoreDeps;
  readonly #restore: Restore;
  readonly #pod: Pod;
  readonly #notes: HookNote[];

  constructor(deps: RestoreDeps, restore: Restore, pod: Pod) {
    this.#deps = deps;
    this.#restore = restore;
    this.#pod = pod;
    this.hooks = execHooksFor(restore, pod);
    // Only one server works on a Restore: what has begun was begun by one that is dead.
    this.#notes = notesOf(pod, restore.metadata.uid ?? "").map((note, index) =>
      note === "begun" ? this.#failed(index, "the server ended while it ran") : note,
    );
  }

  /** A hook of it has failed after which no other one shall run. */
  get hasStopped(): boolean {
    return this.#notes.some(
      (note, index) => isFailure(note) && this.hooks[index]?.onError === "Fail",
    );
  }

  get failures(): PlanMessage[] {
    const { namespace = "" } = this.#pod.metadata;
    return this.#notes.flatMap((note) =>
      isFailure(note) ? [{ namespace, message: note.error }] : [],
    );
  }

  /** Whether something is left to wait for. */
  async run(isStopped: () => boolean, options: KubeCallOptions): Promise<boolean> {
    for (;;) {
      const decision = isStopped() ? this.#stop() : this.#decide();
      if (decision.do === "nothing") return false;
      if (decision.do === "wait") return true;
      if (decision.do === "fail") {
        for (const index of decision.indexes)
          this.#notes[index] = this.#unexecuted(index, decision.reason);
      } else {
        this.#notes[decision.index] = "begun";
        if (!(await this.#write(options))) return false;
        this.#notes[decision.index] = await this.#execute(decision.index, decision.hook, options);
      }
      if (!(await this.#write(options))) return false;
    }
  }

  #decide() {
    const { spec, status } = this.#restore;
    const timeoutMs = parseGoDuration(spec?.itemOperationTimeout ?? "") ?? 0;
    return decideHooks(this.#pod, this.hooks, this.#notes, {
      nowMs: nowOf(this.#deps).getTime(),
      deadlineMs: Date.parse(status?.startTimestamp ?? "") + timeoutMs,
    });
  }

  #stop() {
    const indexes = this.hooks.flatMap((_hook, index) => (this.#notes[index] ? [] : [index]));
    return indexes.length === 0
      ? ({ do: "nothing" } as const)
      : ({ do: "fail", indexes, reason: "a hook with onError Fail has failed" } as const);
  }

  async #execute(
    index: number,
    { command, container, execTimeoutMs }: ExecHook,
    { signal }: KubeCallOptions,
  ): Promise<HookNote> {
    const { name = "", namespace } = this.#pod.metadata;
    const options = { command, container, timeoutMs: execTimeoutMs, signal };
    try {
      const { exitCode } = await this.#deps.exec({ namespace, name }, options);
      if (exitCode === 0) return "done";
      return this.#failed(index, `command terminated with exit code ${exitCode}`);
    } catch (error) {
      if (!isDmError(error)) throw error;
      return this.#failed(index, error.message);
    }
  }

  /** False when the pod is gone. */
  async #write(options: KubeCallOptions): Promise<boolean> {
    const { name = "", namespace } = this.#pod.metadata;
    const text = notesText(this.#restore.metadata.uid ?? "", this.#notes);
    const patch = { metadata: { annotations: { [hookNotes]: text } } };
    try {
      await this.#deps.client.patch(pods, { namespace, name }, patch, options);
      return true;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return false;
    }
  }

  #failed(index: number, reason: string): HookNote {
    return { error: `${this.#titleOf(index)} failed to execute, err: ${reason}` };
  }

  #unexecuted(index: number, reason: string): HookNote {
    const { name, namespace } = this.#pod.metadata;
    return { error: `${this.#titleOf(index)} in pod ${namespace}/${name} not executed: ${reason}` };
  }

  #titleOf(index: number): string {
    const hook = this.hooks[index];
    return `hook ${hook?.name} in container ${hook?.container}`;
  }
}
