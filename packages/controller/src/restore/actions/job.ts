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
  const keptSelector = without(matchLabels, ofOldJob);
  const keptLabels = without(labels, ofOldJob);
  return {
    ...job,
    spec: {
      ...spec,
      ...(selector && {
        selector: { ...otherSelector, ...(keptSelector && { matchLabels: keptSelector }) },
      }),
      template: {
        ...template,
        metadata: { ...otherMetadata, ...(keptLabels && { labels: keptLabels }) },
      },
    },
  };
};
