/**
 * Hooks that run as init containers of a restored pod, before its own ones: those of its annotations, or else those of the Restore.
 * Proof: test/restore/restore-hooks.test.ts.
 * @module
 */
import type { Container, Pod } from "@dm/crds";
import { initContainersFor } from "../restore-hooks.ts";
import type { Action, AnyObject } from "./action.ts";

export const addInitHooks: Action = (object, { namespace, restore }) => {
  const pod = object as AnyObject & Pod;
  const hooks = initContainersFor(restore, pod, namespace);
  if (hooks.length === 0) return pod;
  // A pod that was restored before has them already.
  const names = new Set(hooks.map(({ name }) => name));
  const own = (pod.spec.initContainers ?? []).filter(({ name }: Container) => !names.has(name));
  return { ...pod, spec: { ...pod.spec, initContainers: [...hooks, ...own] } };
};
