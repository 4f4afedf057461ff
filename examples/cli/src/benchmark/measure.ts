/**
 * Runs a job a number of times, on this thread or on several worker threads at once, and takes the time.
 * @module
 */
import { Worker } from "node:worker_threads";
import { type Job, type JobResult, prepare } from "./jobs.ts";

export interface MeasureOptions {
  readonly repeat: number;
  /** Threads that each do all repetitions. */
  readonly parallel: number;
  readonly signal: AbortSignal;
}

export interface Measurement {
  readonly seconds: number;
  readonly result: JobResult;
}

/** What a worker is given. */
export interface WorkerTask {
  readonly job: Job;
  readonly repeat: number;
}

export type WorkerMessage =
  | { readonly state: "ready" }
  | { readonly state: "done"; readonly result: JobResult };

export async function measure(job: Job, options: MeasureOptions): Promise<Measurement> {
  const { parallel, repeat, signal } = options;
  if (parallel > 1) return measureInWorkers(job, options);
  const work = await prepare(job);
  const start = performance.now();
  const result = await repeated(work, repeat, signal);
  return { seconds: secondsSince(start), result };
}

/** A clock that stands still for very short work would give an infinite rate. */
const secondsSince = (start: number): number => Math.max(performance.now() - start, 1e-3) / 1000;

const yieldAfterMs = 200;

/** The event loop gets a turn now and then: otherwise an interrupt would wait for the end. */
export async function repeated(
  work: () => JobResult,
  repeat: number,
  signal?: AbortSignal,
): Promise<JobResult> {
  let result: JobResult = {};
  let turn = performance.now();
  for (let round = 0; round < repeat; round++) {
    result = work();
    if (performance.now() - turn < yieldAfterMs) continue;
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
    turn = performance.now();
  }
  return result;
}

/** The built worker, also when this module runs from its source: a worker thread does not know the sources' names. */
const workerUrl = new URL(
  import.meta.url.endsWith(".ts") ? "../../dist/benchmark-worker.js" : "./benchmark-worker.js",
  import.meta.url,
);

async function measureInWorkers(job: Job, options: MeasureOptions): Promise<Measurement> {
  const { parallel, repeat, signal } = options;
  const workerData: WorkerTask = { job, repeat };
  const workers = Array.from({ length: parallel }, () => new Worker(workerUrl, { workerData }));
  const abort = (): void => {
    for (const worker of workers) void worker.terminate();
  };
  signal.addEventListener("abort", abort, { once: true });
  try {
    await Promise.all(workers.map((worker) => messageOf(worker, "ready")));
    const done = workers.map((worker) => messageOf(worker, "done"));
    const start = performance.now();
    for (const worker of workers) worker.postMessage("go");
    const [first] = await Promise.all(done);
    const seconds = secondsSince(start);
    return { seconds, result: first?.state === "done" ? first.result : {} };
  } finally {
    signal.removeEventListener("abort", abort);
    for (const worker of workers) await worker.terminate();
  }
}

function messageOf(worker: Worker, state: WorkerMessage["state"]): Promise<WorkerMessage> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: WorkerMessage): void => {
      if (message.state !== state) return;
      worker.off("message", onMessage);
      resolve(message);
    };
    worker.on("message", onMessage);
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`a benchmark thread ended with ${code}`)));
  });
}
