/**
 * Groups of files in worker threads, which start at once and end with the restore; each job goes to the thread with the least
 * to do. Memory of each: one content, beside the stored bytes that moved to it.
 * Proof: test/restore-workers.test.ts.
 * @module
 */
import { Worker } from "node:worker_threads";
import { StorageError } from "@dm/core";
import type { CrypterFormat } from "@dm/repo";
import { compiledCodeFolder } from "../compiled-code.ts";
import type { LoadedContents } from "./contents.ts";
import type { Executor } from "./executor.ts";
import type { WorkSettings } from "./file-work.ts";
import type { RestoreJob, RestoreResult, RestoreWorkerStart } from "./worker-messages.ts";

/** Beside this module, from sources and in a bundle. */
const isSource = import.meta.url.endsWith(".ts");
const workerUrl = new URL(isSource ? "./worker.ts" : "./restore-worker.js", import.meta.url);
const execArgv = isSource ? { execArgv: ["--conditions=@dm/source"] } : {};

interface Lane {
  readonly worker: Worker;
  readonly jobs: Map<number, (result: RestoreResult) => void>;
}

/** A job without its number. */
type Unnumbered<Job> = Job extends unknown ? Omit<Job, "id"> : never;

export function workerExecutor(
  format: CrypterFormat,
  settings: WorkSettings,
  workers: number,
): Executor {
  const { ecc, eccOverheadPercent, encryption, hash, masterKey, secret } = format;
  const keys = { ecc, eccOverheadPercent, encryption, hash, masterKey, secret };
  const workerData: RestoreWorkerStart = {
    format: keys,
    settings,
    compiledCode: compiledCodeFolder(),
  };
  let lastId = 0;
  let lost: StorageError | undefined;
  const lanes = Array.from({ length: workers }, (): Lane => {
    const worker = new Worker(workerUrl, { workerData, name: "dm restore", ...execArgv });
    const jobs: Lane["jobs"] = new Map();
    worker.on("message", (result: RestoreResult) => {
      const settle = jobs.get(result.id);
      jobs.delete(result.id);
      settle?.(result);
    });
    let cause: unknown;
    worker.once("error", (error) => {
      cause = error;
    });
    worker.once("exit", (exitCode) => {
      const why = cause instanceof Error ? cause.message : `exit code ${exitCode}`;
      lost ??= new StorageError(
        "DM_WORKER_LOST",
        `a worker thread of the restore ended: ${why}`,
        { exitCode },
        { cause },
      );
      for (const [id, settle] of jobs) settle({ id, error: lost });
      jobs.clear();
    });
    return { worker, jobs };
  });

  async function run(job: Unnumbered<RestoreJob>): Promise<RestoreResult> {
    if (lost) throw lost;
    const id = ++lastId;
    const lane = lanes.reduce((best, other) => (other.jobs.size < best.jobs.size ? other : best));
    const result = await new Promise<RestoreResult>((settle) => {
      lane.jobs.set(id, settle);
      const { loaded, transfer } = movable(job.loaded);
      lane.worker.postMessage({ ...job, id, loaded }, transfer);
    });
    if ("error" in result) throw result.error;
    return result;
  }

  return {
    async restoreEntries(entries, loaded) {
      const result = await run({ entries, loaded });
      return (result as Extract<RestoreResult, { outcomes: unknown }>).outcomes;
    },
    async writePieces(pieces, loaded) {
      const result = await run({ pieces, loaded });
      return (result as Extract<RestoreResult, { failure: unknown }>).failure;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(lanes.map(({ worker }) => worker.terminate()));
    },
  };
}

/** Buffers that can move to another thread: none that other bytes lie in, too. */
function movable({ buffers, contents }: LoadedContents): {
  readonly loaded: LoadedContents;
  readonly transfer: ArrayBuffer[];
} {
  const moved = buffers.map((bytes) => {
    const isWhole = bytes.byteLength === bytes.buffer.byteLength;
    const own = isWhole && bytes.buffer instanceof ArrayBuffer ? bytes : Uint8Array.from(bytes);
    // A Buffer would arrive as what it is anyway.
    return new Uint8Array(own.buffer as ArrayBuffer);
  });
  return {
    loaded: { buffers: moved, contents },
    transfer: moved.map((bytes) => bytes.buffer as ArrayBuffer),
  };
}
