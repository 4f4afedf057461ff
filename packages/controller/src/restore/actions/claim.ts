/**
 * Claims: bound anew, to the volume that its data is restored into, that is made of its snapshot, or that it had.
 * Proof: test/restore/actions.test.ts, test/restore/reconcile-restore.test.ts.
 * @module
 */
import { annotations, labels, type PersistentVolumeClaim, volumeSnapshots } from "@dm/crds";
import { boundLabel } from "../claim-download.ts";
import type { ClaimData } from "../volumes.ts";
import { type Action, type ActionContext, type AnyObject, Leave, without } from "./action.ts";
import { restoredSnapshotName } from "./volume-snapshot.ts";

/** Of the cluster that the claim came from: what the storage of this one decides anew. */
const leftBehind = [
  annotations.bindCompleted,
  annotations.boundByController,
  annotations.selectedNode,
  annotations.dataUploadName,
  annotations.volumeSnapshotName,
  annotations.mustIncludeAdditionalItems,
  annotations.skippedNoCSIPV,
  "volume.kubernetes.io/storage-provisioner",
  "volume.beta.kubernetes.io/storage-provisioner",
];

export const restoreClaim: Action = (object, context) => {
  const claim = object as AnyObject & PersistentVolumeClaim;
  const source = context.source as AnyObject & PersistentVolumeClaim;
  const { annotations: allAnnotations, labels: allLabels, ...metadata } = claim.metadata;
  const ownAnnotations = without(allAnnotations, leftBehind);
  const ownLabels = without(allLabels, [labels.volumeSnapshotName]);
  const cleaned: AnyObject & PersistentVolumeClaim = {
    ...claim,
    metadata: {
      ...metadata,
      ...(ownLabels && { labels: ownLabels }),
      ...(ownAnnotations && { annotations: ownAnnotations }),
    },
  };
  if (context.exists) return cleaned;
  const data = context.volumes.dataOf(source);
  if (data.from === "lost") return new Leave("failed", data.error);
  return { ...cleaned, spec: specFor(data, cleaned.spec, source, context) };
};

function specFor(
  data: ClaimData,
  spec: PersistentVolumeClaim["spec"],
  source: PersistentVolumeClaim,
  { namespace, restore }: ActionContext,
): PersistentVolumeClaim["spec"] {
  if (data.from === "volume") return spec;
  const {
    dataSource: _source,
    dataSourceRef: _reference,
    volumeName: _volume,
    ...anew
  } = withoutOurSelector(spec);
  if (data.from === "repository") {
    const matchLabels = { [labels.dynamicPVRestore]: boundLabel(source, namespace, restore) };
    return { ...anew, selector: { matchLabels } };
  }
  if (data.from !== "snapshot") return anew;
  const name = restoredSnapshotName(restore.metadata.uid ?? "", data.snapshot);
  const { group: apiGroup, kind } = volumeSnapshots;
  return { ...anew, dataSource: { apiGroup, kind, name } };
}

/** A claim that was restored before still asks for the volume of that time, and no driver makes one for it. */
function withoutOurSelector(spec: PersistentVolumeClaim["spec"]): PersistentVolumeClaim["spec"] {
  const { selector, ...others } = spec;
  if (selector?.matchLabels?.[labels.dynamicPVRestore] === undefined) return spec;
  const { [labels.dynamicPVRestore]: _ours, ...matchLabels } = selector.matchLabels;
  const isEmpty = Object.keys(matchLabels).length === 0 && !selector.matchExpressions?.length;
  return isEmpty ? others : { ...others, selector: { ...selector, matchLabels } };
}
