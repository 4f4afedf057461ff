/**
 * Volumes: one whose data is restored, or that would be deleted with its claim, is provisioned anew and so stays behind. Others come
 * back as they were, free to be bound to their claim.
 * Proof: test/restore/actions.test.ts, test/restore/volumes.test.ts.
 * @module
 */
import { annotations, type PersistentVolume } from "@dm/crds";
import { type Action, type AnyObject, Leave, targetNamespace, without } from "./action.ts";

export const restoreVolume: Action = (object, { restore, source, volumes }) => {
  const fate = volumes.fateOf(source.metadata.name ?? "");
  if (fate.do === "provision") return new Leave("skipped", fate.reason);
  if (fate.do === "refuse") return new Leave("failed", fate.reason);
  const volume = object as AnyObject & PersistentVolume;
  const { annotations: old, ...metadata } = volume.metadata;
  const kept = without(old, [annotations.bindCompleted, annotations.boundByController]);
  const { claimRef, ...spec } = volume.spec;
  const { resourceVersion: _version, uid: _uid, namespace, ...claim } = claimRef ?? {};
  return {
    ...volume,
    metadata: { ...metadata, ...(kept && { annotations: kept }) },
    spec: {
      ...spec,
      ...(claimRef && {
        claimRef: {
          ...claim,
          ...(namespace && { namespace: targetNamespace(restore, namespace) }),
        },
      }),
    },
  };
};
