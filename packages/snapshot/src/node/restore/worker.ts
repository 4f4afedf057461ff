/**
 * The entry of a worker thread of a restore. Proof: test/restore-workers.test.ts.
 * @module
 */
import { workerData } from "node:worker_threads";
import { useCompiledCode } from "../compiled-code.ts";
import type { RestoreWorkerStart } from "./worker-messages.ts";

useCompiledCode((workerData as RestoreWorkerStart).compiledCode);
await import("./worker-jobs.ts");
