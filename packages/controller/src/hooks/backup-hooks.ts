/**
 * Hooks of a Backup: commands in the containers of a pod before and after its volumes are taken. The pod's annotations win over the
 * Backup's `spec.hooks`. Pure.
 * Proof: test/hooks/backup-hooks.test.ts.
 * @module
 */
import { parseGoDuration } from "@dm/core";
import type { BackupSpec, Pod } from "@dm/crds";
import { matchesSelector } from "../node-agent/label-selector.ts";
import type { ApiResource } from "../runtime/api-discovery.ts";
import { resourceFilter } from "../scope/resource-filter.ts";
import { admits } from "../scope/scope.ts";

export type HookPhase = "pre" | "post";

export interface BackupHook {
  /** Of the Backup; `<from-annotation>` otherwise. */
  readonly name: string;
  readonly container: string;
  readonly command: readonly string[];
  readonly onError: "Continue" | "Fail";
  readonly timeoutMs: number;
}

const defaultTimeoutMs = 30_000;

/** In the order in which they run. A pod that has ended has none. */
export function backupHooks(
  { hooks }: BackupSpec,
  { metadata, spec, status }: Pod,
  phase: HookPhase,
  resources: readonly ApiResource[],
): BackupHook[] {
  if (status?.phase === "Succeeded" || status?.phase === "Failed") return [];
  const first = spec.containers[0]?.name ?? "";
  const annotated = annotatedHook(metadata.annotations ?? {}, phase, first);
  if (annotated) return [annotated];
  return (hooks?.resources ?? [])
    .filter(
      (set) =>
        admits(set.includedNamespaces, set.excludedNamespaces, metadata.namespace ?? "") &&
        resourceFilter(set.includedResources, set.excludedResources, resources)("pods") &&
        (!set.labelSelector || matchesSelector(set.labelSelector, metadata.labels ?? {})),
    )
    .flatMap((set) =>
      (set[phase] ?? []).map(({ exec }) => ({
        name: set.name,
        container: exec.container || first,
        command: exec.command,
        onError: exec.onError ?? "Fail",
        timeoutMs: timeoutOf(exec.timeout),
      })),
    );
}

function annotatedHook(
  annotations: Readonly<Record<string, string>>,
  phase: HookPhase,
  first: string,
): BackupHook | undefined {
  // Before there were two phases, the keys had none.
  const prefixes = phase === "pre" ? ["pre.hook", "hook"] : ["post.hook"];
  for (const prefix of prefixes) {
    const note = (key: string): string => annotations[`${prefix}.backup.velero.io/${key}`] ?? "";
    if (note("command") === "") continue;
    return {
      name: "<from-annotation>",
      container: note("container") || first,
      command: commandIn(note("command")),
      onError: note("on-error") === "Continue" ? "Continue" : "Fail",
      timeoutMs: timeoutOf(note("timeout")),
    };
  }
  return undefined;
}

/** A list in JSON, or a program without arguments. */
function commandIn(text: string): readonly string[] {
  if (!text.startsWith("[")) return [text];
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.every((part) => typeof part === "string")) return list;
  } catch {
    // Then it is the name of a program.
  }
  return [text];
}

const timeoutOf = (text: string | undefined): number =>
  parseGoDuration(text ?? "") || defaultTimeoutMs;
