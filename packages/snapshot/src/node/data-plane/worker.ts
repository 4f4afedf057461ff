/**
 * The entry of a worker thread of the data plane. Proof: test/data-plane.test.ts.
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import { useCompiledCode } from "../compiled-code.ts";
import type { ToWorker, WorkerStart } from "./messages.ts";

async function run(): Promise<void> {
  const port = parentPort!;
  const start = workerData as WorkerStart;
  useCompiledCode(start.compiledCode);
  const { createSealer } = await import("./sealer.ts");
  const handle = createSealer(start, (report) => port.postMessage(report));
  port.on("message", (message: ToWorker) => handle(message));
}

// No await here: a program in CommonJS may have this module in it.
void run();
