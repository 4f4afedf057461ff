/**
 * The worker threads of a data plane, and who uses which slot of their memory. A worker starts when all slots of the others
 * are taken, and keeps the process alive only while one of its own is. This thread has slots, too, for what is not worth
 * the start of a worker. Proof: test/data-plane.test.ts.
 * @module
 */
import { Worker } from "node:worker_threads";
import { StorageError } from "@dm/core";
import type { CrypterFormat } from "@dm/repo";
import { compiledCodeFolder } from "../compiled-code.ts";
import type { FromWorker, ToWorker, WorkerStart } from "./messages.ts";
import { createSealer } from "./sealer.ts";
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

/** What a worker is to a lane. */
interface Thread {
  postMessage(message: ToWorker): void;
  ref(): void;
  unref(): void;
  terminate(): Promise<unknown>;
}

interface Lane<Job> {
  readonly thread: Thread;
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
  /** This thread. */
  #here: Lane<Job> | undefined;
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
      const started = this.#started < this.#options.maxWorkers ? this.#start() : undefined;
      if (!started && best) return undefined;
      if (!started) throw this.#failure;
      best = started;
    }
    return occupy(best, job);
  }

  /** Takes a slot of this thread, which does the job in a turn of its own; undefined while all of these are taken. */
  takeHere(job: Job): Slot<Job> | undefined {
    this.#here ??= this.#open(
      allocateSlots(),
      (start, onReport) => new ThisThread(start, onReport),
    );
    return this.#here.taken < slotsPerWorker ? occupy(this.#here, job) : undefined;
  }

  release(slot: Slot<Job>): void {
    slot.job = undefined;
    slot.lane.taken -= 1;
    if (slot.lane.taken === 0) slot.lane.thread.unref();
  }

  send(slot: Slot<Job>, message: ToWorker): void {
    slot.lane.thread.postMessage(message);
  }

  /** Undefined where the system has no thread or no memory for it: then none is tried again. */
  #start(): Lane<Job> | undefined {
    this.#started += 1;
    try {
      return this.#startWorker();
    } catch (cause) {
      this.#started = this.#options.maxWorkers;
      const why = cause instanceof Error ? cause.message : String(cause);
      const message = `a worker thread of the data plane did not start: ${why}`;
      this.#failure = new StorageError("DM_WORKER_LOST", message, {}, { cause });
      return undefined;
    }
  }

  #startWorker(): Lane<Job> {
    const lane = this.#open(allocateSlots(), (workerData, onReport) => {
      const worker = new Worker(workerUrl, { workerData, name: "dm data plane", ...execArgv });
      worker.on("message", onReport);
      let cause: unknown;
      worker.once("error", (error) => {
        cause = error;
      });
      worker.once("exit", (exitCode) => this.#lose(lane, exitCode, cause));
      worker.unref();
      return worker;
    });
    this.#lanes.add(lane);
    return lane;
  }

  #open(
    memory: SharedArrayBuffer,
    startThread: (start: WorkerStart, onReport: (report: FromWorker) => void) => Thread,
  ): Lane<Job> {
    const { encryption, ecc, eccOverheadPercent, hash, masterKey, secret } = this.#options.format;
    const format = { encryption, ecc, eccOverheadPercent, hash, masterKey, secret };
    const slots: Slot<Job>[] = [];
    const thread = startThread({ format, memory, compiledCode: compiledCodeFolder() }, (report) => {
      const slot = slots[report.slot]!;
      if (slot.job !== undefined) this.#options.onReport(slot, report);
    });
    const lane: Lane<Job> = { thread, slots, taken: 0 };
    for (const [index, part] of slotsOf(memory).entries())
      slots.push({ ...part, lane, index, job: undefined });
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
    if (this.#here) {
      await this.#here.thread.terminate();
      this.#lose(this.#here, 0, undefined);
    }
    await Promise.all([...this.#lanes].map(({ thread }) => thread.terminate()));
  }
}

function occupy<Job>(lane: Lane<Job>, job: Job): Slot<Job> {
  const slot = lane.slots.find((free) => free.job === undefined)!;
  slot.job = job;
  if (lane.taken === 0) lane.thread.ref();
  lane.taken += 1;
  return slot;
}

/** Does what a worker does, one message in a turn. */
class ThisThread implements Thread {
  readonly #handle: (message: ToWorker) => void;
  #isEnded = false;

  constructor(start: WorkerStart, onReport: (report: FromWorker) => void) {
    // Not within the sealer: it would take an error of whoever is told for one of its own.
    this.#handle = createSealer(start, (report) => queueMicrotask(() => onReport(report)));
  }

  postMessage(message: ToWorker): void {
    setImmediate(() => {
      if (!this.#isEnded) this.#handle(message);
    });
  }

  ref(): void {}

  unref(): void {}

  async terminate(): Promise<void> {
    this.#isEnded = true;
  }
}
