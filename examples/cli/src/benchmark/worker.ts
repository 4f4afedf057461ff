/** A thread of `dm benchmark --parallel`: prepares its job, waits for the start, runs it, answers. */
import { parentPort, workerData } from "node:worker_threads";
import { prepare } from "./jobs.ts";
import { repeated, type WorkerMessage, type WorkerTask } from "./measure.ts";

const { job, repeat } = workerData as WorkerTask;
const post = (message: WorkerMessage): void => parentPort?.postMessage(message);

async function run(): Promise<void> {
  const work = await prepare(job);
  parentPort?.once("message", () => {
    void repeated(work, repeat).then((result) => post({ state: "done", result }));
  });
  post({ state: "ready" });
}

void run();
