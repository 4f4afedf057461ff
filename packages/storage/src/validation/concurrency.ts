/**
 * Many clients at once: some write new blobs, others read, ask for metadata and list what is being written. Nobody may see a
 * part of a blob, and what a put has resolved everybody sees.
 * Proof: test/validate-provider.test.ts.
 * @module
 */
import { equalBytes, isDmError } from "@dm/core";
import { type Check, type CheckContext, difference, fail } from "./check.ts";
import { bytesOf } from "./sample.ts";

export interface ConcurrencyOptions {
  readonly durationMs: number;
  readonly putWorkers: number;
  readonly getWorkers: number;
  readonly statWorkers: number;
  readonly listWorkers: number;
  readonly maxBlobBytes: number;
}

interface Written {
  readonly id: string;
  readonly seed: number;
  readonly length: number;
  isComplete: boolean;
}

const longestPauseMs = 500;

export const concurrency = (options: ConcurrencyOptions): Check => ({
  name: "concurrency",
  title: `Many clients at once, for ${options.durationMs / 1000} s`,
  consequence:
    "clients that work at the same time would see halves of blobs, or lose what others have stored",
  run: (context) => runWorkers(context, options),
});

async function runWorkers(context: CheckContext, options: ConcurrencyOptions): Promise<void> {
  const { anyStore, chance, clock, id } = context;
  const { durationMs, maxBlobBytes } = options;
  const untilNs = clock.nowNs() + BigInt(Math.round(durationMs * 1e6));
  const stop = new AbortController();
  const signal = context.call.signal
    ? AbortSignal.any([context.call.signal, stop.signal])
    : stop.signal;
  const call = { signal };
  const blobs: Written[] = [];
  const pause = (): Promise<void> =>
    clock.sleep(chance() * Math.min(longestPauseMs, durationMs / 20), call);
  const anyBlob = (): Written | undefined => blobs[Math.floor(chance() * blobs.length)];

  async function put(): Promise<void> {
    const seed = Math.floor(chance() * 0x7fffffff);
    const blob: Written = {
      id: id(`concurrency-${blobs.length}-${seed.toString(16)}`),
      seed,
      length: Math.floor(chance() * maxBlobBytes),
      isComplete: false,
    };
    blobs.push(blob);
    // Others may ask for it before it is there.
    await pause();
    await anyStore().put(blob.id, bytesOf(blob.seed, blob.length), call);
    blob.isComplete = true;
  }

  async function seen<Result>(
    blob: Written,
    ask: () => Promise<Result>,
  ): Promise<Result | undefined> {
    const { isComplete } = blob;
    try {
      return await ask();
    } catch (error) {
      if (!isDmError(error, "DM_BLOB_NOT_FOUND")) throw error;
      if (isComplete) fail(`a blob that was written is not there for another client: ${blob.id}`);
      return undefined;
    }
  }

  async function get(): Promise<void> {
    await pause();
    const blob = anyBlob();
    if (!blob) return;
    const got = await seen(blob, () => anyStore().get(blob.id, call));
    const wanted = bytesOf(blob.seed, blob.length);
    if (got && !equalBytes(got, wanted))
      fail(`${blob.id}, read by another client, is ${difference(got, wanted)}`);
  }

  async function stat(): Promise<void> {
    await pause();
    const blob = anyBlob();
    if (!blob) return;
    const got = await seen(blob, () => anyStore().stat(blob.id, call));
    if (got && got.length !== blob.length)
      fail(`metadata of ${blob.id} say ${got.length} bytes while ${blob.length} are being written`);
  }

  async function list(): Promise<void> {
    await pause();
    const complete = blobs.filter(({ isComplete }) => isComplete);
    const lengths = new Map<string, number>();
    for await (const blob of anyStore().list(id("concurrency-"), call))
      lengths.set(blob.id, blob.length);
    for (const blob of complete) {
      if (!lengths.has(blob.id)) fail(`a list lacks a blob that was written before: ${blob.id}`);
    }
    for (const blob of blobs) {
      const length = lengths.get(blob.id) ?? blob.length;
      if (length !== blob.length)
        fail(`a list says that ${blob.id} has ${length} bytes, not ${blob.length}`);
    }
  }

  const workers: Promise<void>[] = [];
  const work = (count: number, step: () => Promise<void>): void => {
    for (let worker = 0; worker < count; worker++) workers.push(repeat(step));
  };
  async function repeat(step: () => Promise<void>): Promise<void> {
    try {
      while (clock.nowNs() < untilNs) await step();
    } catch (error) {
      // The others end, too, and what they then say has no meaning.
      stop.abort(error);
      throw error;
    }
  }
  work(options.putWorkers, put);
  work(options.getWorkers, get);
  work(options.statWorkers, stat);
  work(options.listWorkers, list);
  await Promise.allSettled(workers);
  context.call.signal?.throwIfAborted();
  if (stop.signal.aborted) throw stop.signal.reason;
}
