/**
 * The entry of a worker thread of a restore. Proof: test/restore-workers.test.ts.
 * @module
 */
import { workerData } from "node:worker_threads";
import { useCompiledCode } from "../compiled-code.ts";
import type { RestoreWorkerStart } from "./worker-messages.ts";

useCompiledCode((workerData as RestoreWorkerStart).compiledCode);
// No await here: a program in CommonJS may have this module in it.
void import("./worker-jobs.ts");
