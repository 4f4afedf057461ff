/**
 * The entry of a worker thread of the data plane. Proof: test/data-plane.test.ts.
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import type { ToWorker, WorkerStart } from "./messages.ts";
import { createSealer } from "./sealer.ts";

const port = parentPort!;
const handle = createSealer(workerData as WorkerStart, (report) => port.postMessage(report));
port.on("message", (message: ToWorker) => handle(message));
