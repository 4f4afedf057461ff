/**
 * What a worker of the data plane does: reads and splits, hashes, compresses and seals, all with synchronous calls into
 * memory that it shares with the main thread. Proof: test/data-plane.test.ts.
 * @module
 */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { type CompressorName, compress, compressors } from "@dm/compression";
import { toHex } from "@dm/core";
import { type Crypter, type CrypterFormat, contentIv, createCrypter } from "@dm/repo/sealing";
import { createSplitter, type Splitter, splitterDescription } from "@dm/splitter";
import type { LocalPath } from "../../source/source-entry.ts";
import type {
  CutReport,
  FileOutcome,
  FilesJob,
  FromWorker,
  HashReport,
  RangeJob,
  ReadFailure,
  SealReport,
  SealRequest,
  Span,
  ToWorker,
} from "./messages.ts";
import { aligned, alignment, type SlotMemory, slotsOf } from "./slots.ts";

/** Bytes of one read where a cut may be: what lies behind the cut was read in vain. */
const pieceBytes = 256 << 10;
/** What was a file a moment ago may be a link or a FIFO now: neither is followed or waited for. */
export const openFlags: number =
  constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

interface Hashed {
  readonly spans: readonly Span[];
  readonly digests: readonly Uint8Array[];
}

/** Handles messages; `post` is called once or twice for each. */
export function createSealer(
  start: { readonly format: CrypterFormat; readonly memory: ArrayBufferLike },
  post: (report: FromWorker) => void,
): (message: ToWorker) => void {
  const crypter = createCrypter(start.format);
  const slots = slotsOf(start.memory);
  const splitters = new Map<string, Splitter>();
  /** By slot: what was hashed and waits for its answer. */
  const waiting = new Map<number, Hashed>();

  const splitterFor = (name: string): Splitter => {
    let splitter = splitters.get(name);
    if (!splitter) {
      splitter = createSplitter(name);
      splitters.set(name, splitter);
    }
    splitter.reset();
    return splitter;
  };

  const hash = (
    slot: number,
    spans: readonly Span[],
    files?: readonly FileOutcome[],
  ): HashReport => {
    const { input } = slots[slot]!;
    const chunks = spans.map(({ length, start: at }) => input.subarray(at, at + length));
    // Several at once are copied to a kernel's memory, byte by byte where the two are not aligned alike.
    const isAligned = spans.every(({ start: at }) => at % alignment === 0);
    const { hash: hasher } = crypter;
    const digests = isAligned
      ? hasher.digestMany(chunks)
      : chunks.map((chunk) => hasher.digest(chunk));
    waiting.set(slot, { spans, digests });
    return { type: "hashed", slot, digests: digests.map(toHex).join(""), files };
  };

  const handle = (message: ToWorker): void => {
    const memory = slots[message.slot]!;
    switch (message.type) {
      case "files": {
        const { files, spans } = readFiles(message, memory.input);
        post(hash(message.slot, spans, files));
        return;
      }
      case "range": {
        const report = readRange(message, memory.input, splitterFor(message.splitter));
        post(report);
        let at = 0;
        const spans = report.lengths.map((length) => {
          at += length;
          return { start: at - length, length };
        });
        post(hash(message.slot, spans));
        return;
      }
      case "bytes":
        post(hash(message.slot, message.spans));
        return;
      case "seal": {
        const hashed = waiting.get(message.slot)!;
        waiting.delete(message.slot);
        post(seal(message, hashed, memory, crypter));
      }
    }
  };

  return (message) => {
    try {
      handle(message);
    } catch (error) {
      post({
        type: "failed",
        slot: message.slot,
        failure: failureOf(error, message.type === "range" ? message.path : undefined),
      });
    }
  };
}

function readFiles(
  { limitBytes, paths, sizes }: FilesJob,
  input: Uint8Array,
): { readonly files: FileOutcome[]; readonly spans: Span[] } {
  const spans: Span[] = [];
  let at = 0;
  const files = paths.map((path, index): FileOutcome => {
    try {
      const room = input.subarray(at, Math.min(at + limitBytes + 1, input.length));
      const length = readSmall(path, sizes[index]!, room);
      // Room that is used up says nothing about the end.
      if (length === room.length) return "long";
      spans.push({ start: at, length });
      at = aligned(at + length);
      return length;
    } catch (error) {
      return failureOf(error, path);
    }
  });
  return { files, spans };
}

/** Reads a whole file into `room`; the answer is `room.length` when it is longer than that, or just as long. */
function readSmall(path: LocalPath, sizeBytes: number, room: Uint8Array): number {
  const fd = openSync(path as string | Buffer, openFlags);
  try {
    let length = 0;
    // One byte more than there should be: when it is not there, this one call has shown the end.
    let wanted = sizeBytes + 1;
    for (;;) {
      const most = Math.min(wanted, room.length - length);
      if (most === 0) return length;
      const count = readSync(fd, room, length, most, length);
      length += count;
      if (count === 0 || length === sizeBytes) return length;
      wanted = pieceBytes;
    }
  } finally {
    closeSync(fd);
  }
}

function readRange(job: RangeJob, input: Uint8Array, splitter: Splitter): CutReport {
  const { end = Number.POSITIVE_INFINITY, fd, jobBytes, position, slot } = job;
  const { maxChunkBytes, minChunkBytes } = splitterDescription(job.splitter);
  const lengths: number[] = [];
  let filled = 0;
  let chunkStart = 0;
  for (;;) {
    // No cut lies before the shortest chunk's end.
    const most = Math.max(chunkStart + minChunkBytes - filled, pieceBytes);
    const room = Math.min(most, input.length - filled, end - position - filled);
    const count = room === 0 ? 0 : readSync(fd, input, filled, room, position + filled);
    if (count === 0) {
      const rest = filled - chunkStart;
      if (rest > 0 || (job.isFirst && lengths.length === 0)) lengths.push(rest);
      return { type: "cut", slot, lengths, isEnd: true };
    }
    const bytes = input.subarray(0, filled + count);
    for (let from = filled; from < bytes.length; ) {
      from = splitter.next(bytes, from);
      if (from < 0) break;
      lengths.push(from - chunkStart);
      chunkStart = from;
      if (chunkStart + maxChunkBytes > jobBytes)
        return { type: "cut", slot, lengths, isEnd: position + chunkStart === end };
    }
    filled += count;
  }
}

function seal(
  { compressors: wanted, picks, slot }: SealRequest,
  { digests, spans }: Hashed,
  { input, output }: SlotMemory,
  crypter: Crypter,
): SealReport {
  const compressionHeaderIds: number[] = [];
  let at = 0;
  const sealed = picks.map((pick, index) => {
    const { length, start } = spans[pick]!;
    const plaintext = input.subarray(start, start + length);
    const { headerId, payload } = compressed(plaintext, wanted[index]);
    compressionHeaderIds.push(headerId);
    const room = output.subarray(at, at + crypter.storedLength(payload.length));
    const stored = crypter.seal(payload, contentIv(digests[pick]!), room);
    const span = { start: at, length: stored.length };
    at = aligned(at + stored.length);
    return span;
  });
  return { type: "sealed", slot, spans: sealed, compressionHeaderIds };
}

function compressed(
  plaintext: Uint8Array,
  compressor: CompressorName | undefined,
): { readonly payload: Uint8Array; readonly headerId: number } {
  if (compressor && plaintext.length > 0) {
    const payload = compress(compressor, plaintext);
    if (payload.length < plaintext.length)
      return { payload, headerId: compressors[compressor].headerId };
  }
  return { payload: plaintext, headerId: 0 };
}

/** An error's own fields do not survive the way between threads. */
function failureOf(error: unknown, path?: LocalPath): ReadFailure {
  if (!(error instanceof Error)) return { message: String(error), path };
  const { code, errno, message, syscall } = error as NodeJS.ErrnoException;
  return { message, code, errno, syscall, path };
}
