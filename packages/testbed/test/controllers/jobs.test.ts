// Jobs run until they are done or have failed too often, count every pod once, and clear themselves away when asked to.
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Json, StoredObject } from "../../src/kube-object.ts";
import { createWorld, template, type World } from "./world.ts";

let world: World;

beforeEach(async () => {
  world = await createWorld({ nodes: ["node-1"] });
});

afterEach(() => world.close());

const createJob = async (spec: object = {}): Promise<void> => {
  world.api.create("jobs.batch", {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "job", namespace: "default" },
    spec: { template: template("busybox:1", { restartPolicy: "Never" }), ...spec },
  });
  await world.settle();
};

const job = (): StoredObject | undefined => world.api.get("jobs.batch", "default", "job");
const conditions = (): string[] =>
  (job()?.status?.conditions ?? []).map(({ type, reason }: Json) => `${type} ${reason}`);
const unfinished = (): string[] =>
  world
    .pods()
    .filter(({ status }) => status.phase !== "Failed" && status.phase !== "Succeeded")
    .map(({ metadata }) => metadata.name);

it("runs one pod and is complete", async () => {
  await createJob();
  const [pod] = world.pods();
  expect(pod?.metadata.name).toMatch(/^job-[a-z0-9]{5}$/);
  expect(pod?.metadata.labels).toMatchObject({ app: "x", "job-name": "job" });
  expect(job()?.status).toMatchObject({ active: 1, startTime: "2026-01-02T03:04:05Z" });
  await world.setPod(pod?.metadata.name as string, "succeeded");
  expect(conditions()).toEqual(["Complete CompletionsReached"]);
  expect(job()?.status).toMatchObject({ succeeded: 1, completionTime: expect.any(String) });
  expect(job()?.status.active).toBeUndefined();
  // Nothing holds the pod any more, and it stays for its logs.
  expect(world.pods()).toMatchObject([{ status: { phase: "Succeeded" } }]);
  expect(world.pods()[0]?.metadata.finalizers).toBeUndefined();
});

it("tries again after a pause, until the backoff limit", async () => {
  await createJob({ backoffLimit: 1 });
  await world.setPod(unfinished()[0] as string, "failed");
  expect(job()?.status.failed).toBe(1);
  expect(unfinished()).toEqual([]);
  await world.clock.advance(9_999);
  expect(unfinished()).toEqual([]);
  await world.clock.advance(1);
  expect(unfinished()).toHaveLength(1);
  await world.setPod(unfinished()[0] as string, "failed");
  expect(conditions()).toEqual(["Failed BackoffLimitExceeded"]);
  expect(job()?.status.failed).toBe(2);
  await world.clock.advance(3_600_000);
  expect(world.pods()).toHaveLength(2);
});

it("with a backoff limit of 0 fails at once", async () => {
  await createJob({ backoffLimit: 0 });
  await world.setPod(unfinished()[0] as string, "failed");
  expect(conditions()).toEqual(["Failed BackoffLimitExceeded"]);
});

it("runs several, so many at a time", async () => {
  await createJob({ completions: 3, parallelism: 2 });
  expect(unfinished()).toHaveLength(2);
  await world.setPod(unfinished()[0] as string, "succeeded");
  expect(unfinished()).toHaveLength(2);
  for (const name of unfinished()) await world.setPod(name, "succeeded");
  expect(job()?.status.succeeded).toBe(3);
  expect(conditions()).toEqual(["Complete CompletionsReached"]);
});

it("counts a pod that somebody deletes as failed, at once, and makes another", async () => {
  await createJob();
  const [name] = unfinished() as [string];
  world.api.delete("pods", "default", name);
  await world.settle();
  expect(job()?.status.failed).toBe(1);
  await world.clock.advance(10_000);
  expect(unfinished().filter((one) => one !== name)).toHaveLength(1);
  // How its kubelet lets it end does not count again.
  await world.setPod(name, "failed");
  await world.finishDeletions();
  expect(job()?.status).toMatchObject({ failed: 1, active: 1 });
});

it("with replacement policy Failed waits until the pod has ended", async () => {
  await createJob({ podReplacementPolicy: "Failed" });
  const [name] = unfinished() as [string];
  world.api.delete("pods", "default", name);
  await world.clock.advance(60_000);
  expect(world.pods()).toHaveLength(1);
  expect(job()?.status.failed).toBeUndefined();
  await world.setPod(name, "failed");
  await world.finishDeletions();
  await world.clock.advance(10_000);
  expect(job()?.status.failed).toBe(1);
  expect(unfinished()).toHaveLength(1);
  expect(unfinished()).not.toContain(name);
});

it("ends at its deadline", async () => {
  await createJob({ activeDeadlineSeconds: 60 });
  await world.clock.advance(59_000);
  expect(conditions()).toEqual([]);
  await world.clock.advance(1_000);
  expect(conditions()).toEqual(["Failed DeadlineExceeded"]);
  expect(world.pods()[0]?.metadata.deletionTimestamp).toBeDefined();
});

it("goes with its pods after its time to live", async () => {
  await createJob({ ttlSecondsAfterFinished: 100 });
  await world.setPod(unfinished()[0] as string, "succeeded");
  await world.clock.advance(99_000);
  expect(job()).toBeDefined();
  await world.clock.advance(1_000);
  await world.finishDeletions();
  expect(job()).toBeUndefined();
  expect(world.pods()).toEqual([]);
});

it("leaves no pod behind that it held when it is deleted", async () => {
  await createJob();
  world.api.delete("jobs.batch", "default", "job");
  await world.finishDeletions();
  await world.finishDeletions();
  expect(world.pods()).toEqual([]);
});

it("waits while it is suspended", async () => {
  await createJob({ suspend: true });
  expect(world.pods()).toEqual([]);
  world.api.modify("jobs.batch", "default", "job", ({ spec }) => {
    spec.suspend = false;
  });
  await world.settle();
  expect(unfinished()).toHaveLength(1);
});
