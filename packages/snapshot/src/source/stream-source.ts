/**
 * A stream as a source: a directory with one file, which has no size before it is read. So Kopia stores standard input.
 * Format: docs/format/snapshots.md. Proof: test/upload.test.ts, test/upload.kopia.test.ts.
 * @module
 */
import type { SourceDirectory, SourceFile } from "./source-entry.ts";

/** Go's zero time, cut to 64 bits: the time of a directory that exists nowhere. */
const noTimeNs = -6_795_364_578_871_345_152n;

/**
 * @param name of the directory: whatever the snapshot's root is to be called
 * @param fileName of the file in it
 * @param bytes read once, by one upload
 * @param modifiedAtNs of the file: when the stream was opened
 * @example streamSource("/var/backups", "dump.sql", process.stdin, clock.nowNs());
 */
export function streamSource(
  name: string,
  fileName: string,
  bytes: AsyncIterable<Uint8Array>,
  modifiedAtNs: bigint,
): SourceDirectory {
  const common = { mode: 0o777, sizeBytes: 0, uid: 0, gid: 0 };
  const file: SourceFile = {
    ...common,
    name: fileName,
    type: "f",
    isStream: true,
    modifiedAtNs,
    read: ({ signal } = {}) => abortable(bytes, signal),
  };
  return { ...common, name, type: "d", modifiedAtNs: noTimeNs, list: async () => [file] };
}

/** A pipe may be silent for hours: an abort must not wait for its next bytes. */
async function* abortable(
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]();
  try {
    for (;;) {
      signal?.throwIfAborted();
      const step = await nextOrAbort(iterator, signal);
      if (step.done) return;
      yield step.value;
    }
  } finally {
    // Behind a read that is under way this settles with it, which may be never.
    iterator.return?.().catch(() => undefined);
  }
}

function nextOrAbort(
  iterator: AsyncIterator<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<IteratorResult<Uint8Array>> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal?.reason);
    const done = (): void => signal?.removeEventListener("abort", onAbort);
    signal?.addEventListener("abort", onAbort, { once: true });
    iterator.next().then(resolve, reject).finally(done);
  });
}
