/**
 * Jobs: the labels by which the old one found its pods have its uid in them.
 * Proof: test/restore/actions.test.ts.
 * @module
 */
import type { Job } from "@dm/crds";
import { type Action, type AnyObject, without } from "./action.ts";

const ofOldJob = ["controller-uid", "batch.kubernetes.io/controller-uid"];

export const restoreJob: Action = (object) => {
  const job = object as AnyObject & Job;
  const { selector, template, ...spec } = job.spec;
  const { matchLabels, ...otherSelector } = selector ?? {};
  const { labels, ...otherMetadata } = template.metadata ?? {};
  const keptMatch = without(matchLabels, ofOldJob);
  const keptSelector = { ...otherSelector, ...(keptMatch && { matchLabels: keptMatch }) };
  const keptLabels = without(labels, ofOldJob);
  return {
    ...job,
    spec: {
      ...spec,
      // Without one, the new job's is made.
      ...(Object.keys(keptSelector).length > 0 && { selector: keptSelector }),
      template: {
        ...template,
        metadata: { ...otherMetadata, ...(keptLabels && { labels: keptLabels }) },
      },
    },
  };
};
