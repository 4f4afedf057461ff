/**
 * What a worker thread of a restore does: decrypts and writes, one job after another. Descriptors are the process's, so
 * that the directories and files that the main thread has opened are open here. Proof: test/restore-workers.test.ts.
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import { ContentDecoder, createCrypter } from "@dm/repo/sealing";
import { loadPosix } from "../posix/load-posix.ts";
import type { Posix } from "../posix/posix.ts";
import { PieceReader } from "./contents.ts";
import { writeSome } from "./executor.ts";
import { restoreEntries } from "./file-work.ts";
import type { RestoreJob, RestoreResult, RestoreWorkerStart } from "./worker-messages.ts";

const port = parentPort!;
const { format, settings } = workerData as RestoreWorkerStart;
const decoder = new ContentDecoder(createCrypter(format));
const reader = new PieceReader(decoder, { isOwner: true });

function resultOf(job: RestoreJob, posix: Posix): RestoreResult {
  const { id, loaded } = job;
  try {
    if ("entries" in job)
      return { id, outcomes: restoreEntries(job.entries, loaded, settings, reader, posix) };
    return { id, failure: writeSome(job.pieces, loaded, settings, reader) };
  } catch (error) {
    return { id, error };
  }
}

async function run(): Promise<void> {
  const posix = await loadPosix();
  port.on("message", (job: RestoreJob) => {
    const result = resultOf(job, posix);
    // Freed now: the collector sees memory outside of its heap late.
    for (const { buffer } of job.loaded.buffers) (buffer as ArrayBuffer).transfer(0);
    port.postMessage(result);
  });
}

// No await here: a program in CommonJS may have this module in it.
void run();
