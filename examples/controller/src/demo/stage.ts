/**
 * Where the demo plays: a cluster, a namespace of its own in it, and what its objects are marked with.
 * @module
 */

import { setTimeout as sleep } from "node:timers/promises";
import type { NodeKubeClient } from "@dm/controller/runtime";
import type { KubeObject } from "@dm/crds";

/** On every object of a run; its value is the run. Nothing without it is ever deleted. */
export const runLabel = "dm.demo/run";

export interface Stage {
  readonly client: NodeKubeClient;
  readonly run: string;
  /** Of the volumes. */
  readonly namespace: string;
  /** Of the controllers and of DataUploads and DataDownloads. */
  readonly operatorNamespace: string;
  readonly location: string;
  readonly storageClass: string;
  readonly snapshotClass: string;
  /** Image of the demo's pods, and the program in it before its arguments. */
  readonly pod: { readonly image: string; readonly command: readonly string[] };
  readonly signal: AbortSignal;
}

export function metadataOf(
  { run, namespace }: Stage,
  name: string,
  more: Partial<KubeObject["metadata"]> = {},
): KubeObject["metadata"] {
  return { name, namespace, ...more, labels: { ...more.labels, [runLabel]: run } };
}

/** Asks again and again until there is an answer; names what it waited for when time is over. */
export async function until<T>(
  what: string,
  { signal }: Pick<Stage, "signal">,
  ask: () => Promise<T | undefined>,
  limitMs = 300_000,
): Promise<T> {
  const end = performance.now() + limitMs;
  for (;;) {
    signal.throwIfAborted();
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > end) throw new Error(`waited ${limitMs / 1000} s in vain: ${what}`);
    // With the reason of whoever interrupted.
    await sleep(250, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
