/**
 * Pods whose volumes come back by their files wait for them in an init container, before those of hooks.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import type { Pod } from "@dm/crds";
import { withRestoreWait } from "../../pod-volume/index.ts";
import { volumesOfPod } from "../pod-volumes.ts";
import type { Action, AnyObject } from "./action.ts";

export const waitForPodVolumes: Action = (object, { podVolumes, restore, source }) => {
  const pod = object as AnyObject & Pod;
  const { restorable } = volumesOfPod(podVolumes, pod, source.metadata.namespace ?? "");
  const names = restorable.map(({ spec }) => spec.volume);
  const settings = podVolumes.wait ?? { image: "" };
  return withRestoreWait(pod, restore.metadata.uid ?? "", names, settings) as AnyObject & Pod;
};
