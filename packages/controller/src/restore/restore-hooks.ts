/**
 * Hooks of a Restore: init containers that a restored pod gets, and commands that run in its containers once they are up. The pod's
 * annotations win over the Restore's `spec.hooks`. What was begun is noted on the pod before it runs, so that a server that dies
 * never runs a hook twice. Pure.
 * Proof: test/restore/restore-hooks.test.ts.
 * @module
 */
import { parseGoDuration } from "@dm/core";
import type { Container, LabelSelector, Pod, Restore } from "@dm/crds";
import { matchesSelector } from "../node-agent/label-selector.ts";
import { admits } from "../scope/scope.ts";

export interface ExecHook {
  /** Of the Restore; `<from-annotation>` otherwise. */
  readonly name: string;
  readonly container: string;
  readonly command: readonly string[];
  readonly onError: "Continue" | "Fail";
  readonly execTimeoutMs: number;
  /** From the pod's start on; without, the Restore's time for operations counts. */
  readonly waitTimeoutMs: number | undefined;
  readonly waitForReady: boolean;
}

/** Of each hook of a pod, in their order: `begun` says that it may have run. */
export type HookNote = "done" | "begun" | { readonly error: string } | null | undefined;

export const isFailure = (note: HookNote): note is { readonly error: string } =>
  typeof note === "object" && note !== null;

export type HookDecision =
  | { readonly do: "nothing" }
  | { readonly do: "wait" }
  | { readonly do: "run"; readonly index: number; readonly hook: ExecHook }
  /** These never will run. */
  | { readonly do: "fail"; readonly indexes: readonly number[]; readonly reason: string };

/** On a restored pod. */
export const hookNotes = "dm.velero.io/restore-hooks";

const defaultExecTimeoutMs = 30_000;
const fromAnnotation = "<from-annotation>";
const prefix = { init: "init.hook.restore.velero.io/", post: "post.hook.restore.velero.io/" };

export function initContainersFor(restore: Restore, pod: Pod, namespace: string): Container[] {
  const note = (key: string): string => pod.metadata.annotations?.[prefix.init + key] ?? "";
  const image = note("container-image");
  if (image !== "") {
    const command = note("command");
    const name = note("container-name") || "velero-restore-init";
    return [{ name, image, ...(command && { command: commandIn(command) }) }];
  }
  return hooksFor(restore, pod, namespace).flatMap(({ postHooks = [] }) =>
    postHooks.flatMap(({ init }) => (init?.initContainers ?? []) as unknown as Container[]),
  );
}

export function execHooksFor(restore: Restore, pod: Pod): ExecHook[] {
  const first = pod.spec.containers[0]?.name ?? "";
  const note = (key: string): string => pod.metadata.annotations?.[prefix.post + key] ?? "";
  const command = note("command");
  if (command !== "")
    return [
      execHook(fromAnnotation, first, {
        command: commandIn(command),
        container: note("container"),
        onError: note("on-error"),
        execTimeout: note("exec-timeout"),
        waitTimeout: note("wait-timeout"),
        waitForReady: note("wait-for-ready").toLowerCase() === "true",
      }),
    ];
  return hooksFor(restore, pod, pod.metadata.namespace ?? "").flatMap(({ name, postHooks = [] }) =>
    postHooks.flatMap(({ exec }) => (exec ? [execHook(name, first, exec)] : [])),
  );
}

/** Notes of a pod; hooks without one have not begun. */
export function notesOf({ metadata }: Pod, restoreUid: string): readonly HookNote[] {
  try {
    const all = JSON.parse(metadata.annotations?.[hookNotes] ?? "{}") as {
      readonly restore?: string;
      readonly hooks?: readonly HookNote[];
    };
    return all.restore === restoreUid && Array.isArray(all.hooks) ? all.hooks : [];
  } catch {
    return [];
  }
}

/** The annotation that holds these notes. */
export function notesText(restoreUid: string, hooks: readonly HookNote[]): string {
  return JSON.stringify({ restore: restoreUid, hooks });
}

/** What to do next in a pod. */
export function decideHooks(
  pod: Pod,
  hooks: readonly ExecHook[],
  notes: readonly HookNote[],
  { deadlineMs, nowMs }: { readonly nowMs: number; readonly deadlineMs: number },
): HookDecision {
  const open = hooks.flatMap((hook, index) => (notes[index] ? [] : [{ hook, index }]));
  if (open.length === 0) return { do: "nothing" };
  const fail = (hopeless: typeof open, reason: string): HookDecision => ({
    do: "fail",
    indexes: hopeless.map(({ index }) => index),
    reason,
  });
  const { phase } = pod.status ?? {};
  if (phase === "Succeeded" || phase === "Failed")
    return fail(open, `pod entered phase ${phase} before some post-restore exec hooks ran`);
  const homeless = open.filter(({ hook }) => !has(pod, hook.container));
  if (homeless.length > 0) return fail(homeless, "the pod does not have such a container");
  const startedMs = Date.parse(pod.metadata.creationTimestamp ?? "");
  // Hooks of one container run in their order; containers do not wait for each other.
  const seen = new Set<string>();
  for (const { hook, index } of open) {
    if (seen.has(hook.container)) continue;
    seen.add(hook.container);
    const waits = hooks.some((one) => one.container === hook.container && one.waitForReady);
    if (isUp(pod, hook.container, waits)) return { do: "run", index, hook };
  }
  const lastMs = Math.max(
    ...open.map(({ hook }) => (hook.waitTimeoutMs ? startedMs + hook.waitTimeoutMs : deadlineMs)),
  );
  if (nowMs < Math.min(lastMs, deadlineMs)) return { do: "wait" };
  return fail(open, "its container was not up in time");
}

const has = ({ spec }: Pod, container: string): boolean =>
  spec.containers.some(({ name }) => name === container);

function isUp({ status }: Pod, container: string, isReadyNeeded: boolean): boolean {
  const found = status?.containerStatuses?.find(({ name }) => name === container);
  return isReadyNeeded ? found?.ready === true : found?.state?.running !== undefined;
}

type HookResource = NonNullable<
  NonNullable<NonNullable<Restore["spec"]>["hooks"]>["resources"]
>[number];

function hooksFor({ spec }: Restore, { metadata }: Pod, namespace: string): HookResource[] {
  return (spec?.hooks?.resources ?? []).filter(
    ({ excludedNamespaces, includedNamespaces, labelSelector }) =>
      admits(includedNamespaces, excludedNamespaces, namespace) &&
      (!labelSelector || matchesSelector(labelSelector as LabelSelector, metadata.labels ?? {})),
  );
}

interface ExecSpec {
  readonly command: readonly string[];
  readonly container?: string;
  readonly onError?: string;
  readonly execTimeout?: string;
  readonly waitTimeout?: string;
  readonly waitForReady?: boolean | null;
}

function execHook(name: string, first: string, spec: ExecSpec): ExecHook {
  return {
    name,
    container: spec.container || first,
    command: spec.command,
    onError: spec.onError === "Fail" ? "Fail" : "Continue",
    execTimeoutMs: parseGoDuration(spec.execTimeout ?? "") || defaultExecTimeoutMs,
    waitTimeoutMs: parseGoDuration(spec.waitTimeout ?? "") || undefined,
    waitForReady: spec.waitForReady === true,
  };
}

/** A list as JSON, or one word. */
function commandIn(text: string): string[] {
  if (!text.startsWith("[")) return [text];
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) && list.every((one) => typeof one === "string") ? list : [text];
  } catch {
    return [text];
  }
}
