/**
 * Pods: they are scheduled anew, and get tokens of the service account that they find. Mirror pods are made by their kubelet.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import type { Container, Pod, Volume } from "@dm/crds";
import { type Action, type AnyObject, Leave } from "./action.ts";

const mirror = "kubernetes.io/config.mirror";

export const restorePod: Action = (object) => {
  if (object.metadata.annotations?.[mirror]) return new Leave("skipped", "it is a mirror pod");
  const pod = object as AnyObject & Pod;
  const { nodeName: _node, priority: _priority, ...spec } = pod.spec as Pod["spec"] & Priority;
  const tokens = `${spec.serviceAccountName ?? ""}-token-`;
  const isKept = ({ name }: Pick<Volume, "name">): boolean => !name.startsWith(tokens);
  const withoutTokens = (container: Container): Container =>
    container.volumeMounts
      ? { ...container, volumeMounts: container.volumeMounts.filter(isKept) }
      : container;
  return {
    ...pod,
    spec: {
      ...spec,
      ...(spec.volumes && { volumes: spec.volumes.filter(isKept) }),
      containers: (spec.containers ?? []).map(withoutTokens),
      ...(spec.initContainers && { initContainers: spec.initContainers.map(withoutTokens) }),
    },
  };
};

interface Priority {
  readonly priority?: number;
}
