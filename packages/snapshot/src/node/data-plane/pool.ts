/**
 * The worker threads of a data plane, and who uses which slot of their memory. A worker starts when all slots of the others
 * are taken, and keeps the process alive only while one of its own is. Proof: test/data-plane.test.ts.
 * @module
 */
import { Worker } from "node:worker_threads";
import { StorageError } from "@dm/core";
import type { CrypterFormat } from "@dm/repo";
import type { FromWorker, ToWorker, WorkerStart } from "./messages.ts";
import { allocateSlots, type SlotMemory, slotsOf, slotsPerWorker } from "./slots.ts";

/** Beside this module, from sources and in a bundle. */
const isSource = import.meta.url.endsWith(".ts");
const workerUrl = new URL(isSource ? "./worker.ts" : "./data-plane-worker.js", import.meta.url);
const execArgv = isSource ? { execArgv: ["--conditions=@dm/source"] } : {};

/** A place for one job. */
export interface Slot<Job> extends SlotMemory {
  readonly lane: Lane<Job>;
  readonly index: number;
  /** Undefined while the slot is free. */
  job: Job | undefined;
}

interface Lane<Job> {
  readonly worker: Worker;
  readonly slots: readonly Slot<Job>[];
  taken: number;
}

export interface PoolOptions<Job> {
  readonly format: CrypterFormat;
  readonly maxWorkers: number;
  readonly onReport: (slot: Slot<Job>, report: FromWorker) => void;
  /** The worker is gone, and with it what was under way in this slot. */
  readonly onLost: (slot: Slot<Job>, reason: unknown) => void;
}

export class WorkerPool<Job> {
  readonly #options: PoolOptions<Job>;
  readonly #lanes = new Set<Lane<Job>>();
  #started = 0;
  #closed: { readonly reason: unknown } | undefined;
  #failure: unknown;

  constructor(options: PoolOptions<Job>) {
    this.#options = options;
  }

  /** Workers that run. */
  get workers(): number {
    return this.#lanes.size;
  }

  /** Workers started so far; one that is lost is not replaced. */
  get started(): number {
    return this.#started;
  }

  /**
   * Takes a slot for a job; undefined while all are taken.
   * @throws {StorageError} `DM_WORKER_LOST` when no worker is left
   */
  take(job: Job): Slot<Job> | undefined {
    let best: Lane<Job> | undefined;
    for (const lane of this.#lanes) if (!best || lane.taken < best.taken) best = lane;
    if (!best || best.taken === slotsPerWorker) {
      if (this.#started < this.#options.maxWorkers) best = this.#start();
      else if (!best) throw this.#failure;
      else return undefined;
    }
    const slot = best.slots.find((free) => free.job === undefined)!;
    slot.job = job;
    if (best.taken === 0) best.worker.ref();
    best.taken += 1;
    return slot;
  }

  release(slot: Slot<Job>): void {
    slot.job = undefined;
    slot.lane.taken -= 1;
    if (slot.lane.taken === 0) slot.lane.worker.unref();
  }

  send(slot: Slot<Job>, message: ToWorker): void {
    slot.lane.worker.postMessage(message);
  }

  #start(): Lane<Job> {
    this.#started += 1;
    const memory = allocateSlots();
    const { encryption, ecc, eccOverheadPercent, hash, masterKey, secret } = this.#options.format;
    const format = { encryption, ecc, eccOverheadPercent, hash, masterKey, secret };
    const workerData: WorkerStart = { format, memory };
    const worker = new Worker(workerUrl, { workerData, name: "dm data plane", ...execArgv });
    const slots: Slot<Job>[] = [];
    const lane: Lane<Job> = { worker, slots, taken: 0 };
    for (const [index, part] of slotsOf(memory).entries())
      slots.push({ ...part, lane, index, job: undefined });
    worker.on("message", (report: FromWorker) => {
      const slot = slots[report.slot]!;
      if (slot.job !== undefined) this.#options.onReport(slot, report);
    });
    let cause: unknown;
    worker.once("error", (error) => {
      cause = error;
    });
    worker.once("exit", (exitCode) => this.#lose(lane, exitCode, cause));
    worker.unref();
    this.#lanes.add(lane);
    return lane;
  }

  #lose(lane: Lane<Job>, exitCode: number, cause: unknown): void {
    this.#lanes.delete(lane);
    const why = cause instanceof Error ? cause.message : `exit code ${exitCode}`;
    const reason = this.#closed
      ? this.#closed.reason
      : new StorageError(
          "DM_WORKER_LOST",
          `a worker thread of the data plane ended: ${why}`,
          { exitCode },
          { cause },
        );
    this.#failure = reason;
    for (const slot of lane.slots) {
      if (slot.job === undefined) continue;
      this.#options.onLost(slot, reason);
      slot.job = undefined;
    }
  }

  /** Ends all workers; what is under way in their slots is lost for `reason`. */
  async close(reason: unknown): Promise<void> {
    this.#closed ??= { reason };
    this.#failure = reason;
    this.#started = this.#options.maxWorkers;
    await Promise.all([...this.#lanes].map(({ worker }) => worker.terminate()));
  }
}
