/**
 * Runs pods until enough have succeeded or too many failed. A finalizer holds each pod until its end is counted, so that none is
 * lost when somebody deletes it.
 * Proof: test/controllers/jobs.test.ts.
 * @module
 */
import type { Logger } from "@dm/core";
import type { ClusterApi } from "../cluster-api.ts";
import type { Json, StoredObject } from "../kube-object.ts";
import { mergeConditions } from "../kubelet/pod-status.ts";
import { keyOf, parseKey, type RunningController, startController } from "./controller.ts";
import { createEventRecorder } from "./event-recorder.ts";
import { controllerOf, ownerKeys } from "./owner.ts";
import { isActive, isDeleting, isOver, isReady, podFromTemplate } from "./pod-template.ts";
import { writeStatus } from "./status-writer.ts";
import { nowMs, timestampOf } from "./timestamp.ts";

const resource = "jobs.batch";
const trackingFinalizer = "batch.kubernetes.io/job-tracking";

/** Pause before a pod follows a failed one, doubling. */
const failurePauseMs = { first: 10_000, longest: 600_000 };

export function startJobController({
  api,
  logger,
}: {
  readonly api: ClusterApi;
  readonly logger?: Logger | undefined;
}): RunningController {
  const events = createEventRecorder(api, { component: "job-controller" });

  const release = (pod: StoredObject): void => {
    const { namespace = "", name, uid } = pod.metadata;
    api.modify("pods", namespace, name, ({ metadata }) => {
      if (metadata.uid !== uid) return;
      metadata.finalizers = (metadata.finalizers ?? []).filter((one) => one !== trackingFinalizer);
    });
  };

  return startController({
    name: "job",
    api,
    logger,
    watches: {
      [resource]: ({ object }) => [keyOf(object)],
      pods: ({ object }) => ownerKeys(object, "Job"),
    },
    reconcile(key) {
      const { namespace, name } = parseKey(key);
      const job = api.get(resource, namespace, name);
      const owned = api
        .list("pods", namespace)
        .filter((pod) => ownerKeys(pod, "Job").includes(key));
      const isOwn = (pod: StoredObject): boolean => controllerOf(pod)?.uid === job?.metadata.uid;
      for (const pod of owned) if (job === undefined || !isOwn(pod)) release(pod);
      if (job === undefined || isDeleting(job)) {
        for (const pod of owned) release(pod);
        return undefined;
      }
      const pods = owned.filter(isOwn);
      const { spec, metadata } = job;
      const now = nowMs(api.clock);
      const status: Json = {
        startTime: timestampOf(now),
        succeeded: 0,
        failed: 0,
        ...job.status,
      };
      const finished = (status.conditions ?? []).find(
        ({ type, status: value }: Json) =>
          value === "True" && (type === "Complete" || type === "Failed"),
      );
      const done = (): number | undefined => {
        for (const pod of pods) release(pod);
        const ttlSeconds: number | undefined = spec.ttlSecondsAfterFinished;
        if (ttlSeconds === undefined) return undefined;
        const end = Date.parse(finished?.lastTransitionTime ?? timestampOf(now));
        const leftMs = end + ttlSeconds * 1000 - now;
        if (leftMs > 0) return leftMs;
        api.delete(resource, namespace, name, {
          uid: metadata.uid,
          propagationPolicy: "Background",
        });
        return undefined;
      };
      if (finished !== undefined) return done();

      // Unless the job waits for their end, pods that are going have failed: on a lost node nobody would ever say so.
      const waitsForEnd = spec.podReplacementPolicy === "Failed";
      const hasFailed = (pod: StoredObject): boolean =>
        pod.status?.phase === "Failed" || (!waitsForEnd && isDeleting(pod) && !isOver(pod));
      const counted: StoredObject[] = [];
      let lastFailureMs = 0;
      for (const pod of pods) {
        const failed = hasFailed(pod);
        if (failed) lastFailureMs = Math.max(lastFailureMs, endOf(pod));
        if (!pod.metadata.finalizers?.includes(trackingFinalizer)) continue;
        if (failed) status.failed++;
        else if (pod.status?.phase === "Succeeded") status.succeeded++;
        else continue;
        counted.push(pod);
      }
      const active = pods.filter(isActive);
      const restarts = active.reduce((sum, pod) => sum + restartsOf(pod), 0);
      const backoffLimit: number = spec.backoffLimit ?? 6;
      const completions: number | undefined = spec.completions;
      const finish = (type: "Complete" | "Failed", reason: string, message: string): void => {
        for (const pod of active) {
          api.delete("pods", namespace, pod.metadata.name, { uid: pod.metadata.uid });
        }
        status.conditions = mergeConditions(status.conditions ?? [], now, [
          { type, status: "True", reason, message, lastProbeTime: timestampOf(now) },
        ]);
        if (type === "Complete") status.completionTime = timestampOf(now);
        events.record(
          job,
          type === "Complete" ? "Normal" : "Warning",
          type === "Complete" ? "Completed" : reason,
          type === "Complete" ? "Job completed" : message,
        );
      };

      let againMs: number | undefined;
      let running = active.length;
      const deadlineSeconds: number | undefined = spec.activeDeadlineSeconds;
      const deadlineMs =
        deadlineSeconds === undefined
          ? Number.POSITIVE_INFINITY
          : Date.parse(status.startTime) + deadlineSeconds * 1000;
      const complete =
        completions === undefined
          ? status.succeeded > 0 && active.length === 0
          : status.succeeded >= completions;
      if (complete) {
        finish("Complete", "CompletionsReached", "Reached expected number of succeeded pods");
        running = 0;
      } else if (
        status.failed > backoffLimit ||
        (spec.template.spec?.restartPolicy === "OnFailure" && restarts > backoffLimit)
      ) {
        finish("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit");
        running = 0;
      } else if (now >= deadlineMs) {
        finish("Failed", "DeadlineExceeded", "Job was active longer than specified deadline");
        running = 0;
      } else if (spec.suspend === true) {
        for (const pod of active) {
          api.delete("pods", namespace, pod.metadata.name, { uid: pod.metadata.uid });
        }
        running = 0;
      } else {
        if (deadlineMs !== Number.POSITIVE_INFINITY) againMs = deadlineMs - now;
        const open =
          completions === undefined
            ? status.succeeded > 0
              ? 0
              : (spec.parallelism ?? 1)
            : Math.min(spec.parallelism ?? 1, completions - status.succeeded);
        const pauseMs =
          status.failed === 0
            ? 0
            : Math.min(failurePauseMs.first * 2 ** (status.failed - 1), failurePauseMs.longest);
        const waitMs = lastFailureMs === 0 ? 0 : lastFailureMs + pauseMs - now;
        const going = waitsForEnd
          ? pods.filter((pod) => isDeleting(pod) && !isOver(pod)).length
          : 0;
        if (running + going < open && waitMs > 0) againMs = Math.min(againMs ?? waitMs, waitMs);
        else {
          for (; running + going < open; running++) {
            const pod = podFromTemplate(job, spec.template, { generateName: `${name}-` });
            pod.metadata.finalizers = [...(pod.metadata.finalizers ?? []), trackingFinalizer];
            const created = api.create("pods", pod);
            events.record(
              job,
              "Normal",
              "SuccessfulCreate",
              `Created pod: ${created.metadata.name}`,
            );
          }
        }
      }
      status.active = running;
      status.ready = active.filter(isReady).length;
      writeStatus(api, resource, job, withoutZeros(status));
      // Only after the count is written: then a pod that is still there has not been counted.
      for (const pod of counted) release(pod);
      return againMs;
    },
  });
}

function withoutZeros(status: Json): Json {
  const result = { ...status };
  for (const field of ["active", "succeeded", "failed"])
    if (result[field] === 0) delete result[field];
  return result;
}

function restartsOf(pod: StoredObject): number {
  return (pod.status?.containerStatuses ?? []).reduce(
    (sum: number, { restartCount }: Json) => sum + restartCount,
    0,
  );
}

/** When the last container ended; of a pod that is going, when it was deleted. */
function endOf(pod: StoredObject): number {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = pod.metadata;
  if (!isOver(pod) && deletionTimestamp !== undefined) {
    return Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000;
  }
  const ends = (pod.status?.containerStatuses ?? []).map(({ state }: Json) =>
    Date.parse(state?.terminated?.finishedAt ?? pod.metadata.creationTimestamp),
  );
  return Math.max(0, ...ends);
}
